"""Factorisations in single precision, in half of the time, with solutions in double precision."""

import numpy as np

from .._runtime.device import is_on_device
from .._runtime.lapack import potrf, trtri
from ._factors import Cholesky, shift
from ._iterations import SINGLE
from ._moments import norms, sizes

LEAST_ROWS = 1000
"""Rows from which on single precision saves time."""

PART_ROWS = 500
"""Rows, about, of the part of a matrix that says whether single precision may do."""

LEAST_PIVOT = 1e-5
"""Least square of a factor's diagonal, in units of that of the matrix, from which on it is tried.

Below, rounding errors matter nearly always.
"""

ROUGH = 0.005
"""Share of a solution by the factor alone that may be wrong. Entries of the inverse's diagonal are
then wrong by a few times as much at most, and by a tenth of it or less in the mean."""

EXACT, STEPS = 1e-9, 10
"""Share of a refined solution that may be wrong, and refinements at most."""

FEW_COLUMNS = 3
"""Columns up to which products are faster one by one."""


def try_mixed(K, ridge):
    """`Mixed` of ``K + ridge I``, or None if it would not be exact enough, or not be faster.

    A part of the rows says first whether it may be; errors grow with their number.
    """
    n, step = len(K), max(1, len(K) // PART_ROWS)
    if n < LEAST_ROWS or is_on_device(K):
        return None
    few = _factor(np.ascontiguousarray(K[::step, ::step]), ridge)
    if few is None or step * few[1] > ROUGH:
        return None
    found = few if step == 1 else _factor(K, ridge)
    return None if found is None or found[1] > ROUGH else Mixed(K, ridge, *found)


def _factor(K, ridge):
    """Lower factor of ``K + ridge I``, and the share of a solution by it that is wrong.

    The right side has random signs. None if there is no factor, or it would be wrong nearly always.
    """
    size = K.diagonal().mean() + ridge
    if not SINGLE[0] < size < SINGLE[1]:
        return None
    factor = potrf(shift(K.astype(np.float32), ridge).T)
    if factor is None or factor.diagonal().min() ** 2 < LEAST_PIVOT * size:
        return None
    signs = np.random.default_rng(0).choice([-1.0, 1.0], len(K))
    rough = Cholesky(factor).solve(signs).astype(np.float64)
    wrong = Cholesky(factor).solve(signs - K @ rough - ridge * rough).astype(np.float64)
    return factor, np.linalg.norm(wrong) / np.linalg.norm(rough)


class Mixed:
    """A positive definite matrix ``A = K + ridge I``, with the methods of `Cholesky`.

    ``factor`` is the lower one in single precision; it is overwritten by its inverse, by which
    solutions are refined until they are those of A. ``K`` must not be changed. ``error`` is the
    share of rough solutions that is wrong.
    """

    def __init__(self, K, ridge, factor, error):
        self._K, self._ridge, self.error = K, ridge, error
        self._log_determinant = 2.0 * np.log(factor.diagonal().astype(np.float64)).sum()
        self._inverse = trtri(factor)

    def solve(self, B):
        """``A^-1 B`` (n, c)."""
        X = self._rough(B)
        for _ in range(STEPS):
            step = self._rough(B - self._times(X))
            X += step
            if np.all(self.error * norms(step) <= EXACT * norms(X)):
                break
        return X

    def _times(self, X):
        """``A X`` (n, c)."""
        return _product(self._K, X) + self._ridge * X

    def _rough(self, B):
        """``A^-1 B`` (n, c) by the factor alone."""
        size = sizes(B)
        X = _product(self._inverse, (B / size).astype(np.float32))
        return _product(self._inverse.T, X) * size

    def inverse_diagonal(self):
        """Diagonal of ``A^-1``, in single precision."""
        return np.einsum("ij,ij->j", self._inverse, self._inverse, dtype=np.float64)

    def log_determinant(self):
        """Logarithm of the determinant of A."""
        return self._log_determinant


def _product(A, X):
    """``A X`` (n, c)."""
    if X.shape[1] > FEW_COLUMNS:
        return A @ X
    return np.column_stack([A @ np.ascontiguousarray(column) for column in X.T])
