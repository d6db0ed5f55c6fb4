"""The scikit-learn estimators of one network: regression and classification.

`_base` has what both share, `_fits` their fits, `_solvers` each solver, `_choice_of_solver` the
choice of one, `_squares` exact fits, `_gradients` what follows from gradients, `_predictions` what
a regressor predicts, `_uncertainty` its amplitude and noise, `_posterior` and `_approximations` its
posterior, `_ensemble` networks that start at random, `_intervals` prediction intervals, `_losses`
the fit for each loss of classification, `_scores` what a classifier makes of rows, `_classes`
labels and probabilities.
"""

from .._values import publish
from ._classification import NTKClassifier
from ._regression import NTKRegressor

__all__ = ["NTKClassifier", "NTKRegressor"]

publish("sklearn_ntk", globals())
