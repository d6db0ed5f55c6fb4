"""Choice among networks: estimators that score all candidates of a grid in one fit.

`_regression` and `_classification` have the public classes, `_search` their base class, `_grid` the
candidates, `_passes` their Gram matrices, `_candidates` their scores, and `_folds` the folds.
"""

from .._values import publish
from ._classification import NTKClassifierCV
from ._precomputed import precomputed
from ._regression import NTKRegressorCV

__all__ = ["NTKClassifierCV", "NTKRegressorCV", "precomputed"]

publish(__name__, globals())
publish("sklearn_ntk", globals())
