"""The scikit-learn estimators of one network: regression and classification.

`_base` has what both share, `_streams` their fits, by `_squares` or the solvers of `_many_rows`,
`_gradients` what follows from gradients, `_predictions` what a regressor predicts, `_uncertainty`
its posterior, `_ensemble` networks that start at random, `_intervals` prediction intervals,
`_losses` the fit for each loss of classification, `_scores` what a classifier makes of rows,
`_classes` labels and probabilities.
"""

from .._values import publish
from ._classification import NTKClassifier
from ._regression import NTKRegressor

__all__ = ["NTKClassifier", "NTKRegressor"]

publish("sklearn_ntk", globals())
