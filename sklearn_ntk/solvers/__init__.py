"""Solvers on a Gram matrix: ridge regression, training in time, and the choice of ridge or time.

A solver is a value with one method: ``solver.fit(operator, Y, weights)`` returns a `Path`.

`_ridge` and `_stopping` have the solvers, `_grid` errors of all ridges at all times, `_solution`
their results and the checks of their arguments, `_factors` factorisations, `_units` units of
targets and weights, `_stacking` combinations of candidates, `_scoring` scores and the temperature
of probabilities.
"""

from ._grid import loo_errors
from ._ridge import RELATIVE_RIDGES, Ridge
from ._solution import Path, Solution
from ._stopping import EarlyStopping

__all__ = ["RELATIVE_RIDGES", "EarlyStopping", "Path", "Ridge", "Solution", "loo_errors"]

for _cls in (EarlyStopping, Path, Ridge, Solution, loo_errors):
    _cls.__module__ = __name__  # the public module, which pickles name
