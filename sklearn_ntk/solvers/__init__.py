"""Solvers on a Gram matrix: ridge regression, training in time, and the choice of ridge or time.

A solver is a value with one method: ``solver.fit(operator, Y, weights)`` returns a `Path`.

`_ridge`, `_stopping` and, for many rows, `_conjugate_gradient`, `_nystroem` and `_local` have the
solvers, `_grid` errors of all ridges at all times, `_part` the ridge of some rows, `_solution`
results and the checks of arguments, `_factors` factorisations, `_iterations` and `_preconditioner`
conjugate gradients, `_trials` their search for a ridge, `_diagonal` diagonals by random signs,
`_sums` what is left of rows that are not kept, `_tree` splits of rows, `_leaves` the models in its
leaves, `_units` units of targets and weights, `_moments` what columns are centred and divided
by, `_stacking` combinations of candidates, `_scoring` scores and the temperature of probabilities.
"""

from .._values import publish
from ._conjugate_gradient import ConjugateGradient
from ._grid import loo_errors
from ._local import Local
from ._nystroem import Nystroem
from ._ridge import RELATIVE_RIDGES, Ridge
from ._solution import Path, Solution
from ._stopping import EarlyStopping

__all__ = [
    "RELATIVE_RIDGES",
    "ConjugateGradient",
    "EarlyStopping",
    "Local",
    "Nystroem",
    "Path",
    "Ridge",
    "Solution",
    "loo_errors",
]

publish(__name__, globals())
