"""Solvers on a Gram matrix: ridge regression, training in time, and the choice of ridge or time.

A solver is a value with one method: ``solver.fit(operator, Y, weights)`` returns a `Path`.
"""

from ._ridge import RELATIVE_RIDGES, Ridge
from ._solution import Path, Solution
from ._stopping import EarlyStopping

__all__ = ["RELATIVE_RIDGES", "EarlyStopping", "Path", "Ridge", "Solution"]

for _cls in (EarlyStopping, Path, Ridge, Solution):
    _cls.__module__ = __name__  # the public module, which pickles name
