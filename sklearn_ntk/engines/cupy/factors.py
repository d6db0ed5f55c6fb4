"""Factorisations of symmetric matrices in the memory of a GPU, which stay there.

Arrays of NumPy that meet them, a few numbers for each row, are copied there, and results back.
"""

import numpy as np

from ..._runtime.device import is_on_device
from .devices import library, refusing, with_room

COLUMNS = 1024
"""Columns of the inverse of a factor that are computed at a time."""


def eigenvectors(A):
    """Increasing eigenvalues, an array of NumPy, and eigenvectors as columns, in float64."""
    values, vectors = _decomposed(library().linalg.eigh, A.astype(np.float64, copy=False))
    return values.get(), vectors


def least_eigenvalue(A):
    """Smallest eigenvalue of a symmetric matrix."""
    return float(_decomposed(library().linalg.eigvalsh, A)[0])


def _decomposed(function, A):
    """``function(A)`` for a function of eigenvalues; raises LinAlgError if cuSOLVER fails."""
    import cupyx

    try:
        with cupyx.errstate(linalg="raise"), _refusing(A):  # else a failure leaves wrong numbers
            return with_room(function, A)
    except (np.linalg.LinAlgError, RuntimeError) as error:
        text = str(error).split("\n")[0].rstrip(".")
        raise np.linalg.LinAlgError(
            f"The GPU finds no eigenvalues of a matrix of {len(A)} rows, since cuSOLVER says "
            f"'{text}': take fewer rows, or arrays of NumPy and device='cpu'."
        ) from error


def try_cholesky(A):
    """`DeviceCholesky` of a symmetric matrix, or None if it is not positive definite."""
    import cupyx

    try:
        with cupyx.errstate(linalg="raise"), _refusing(A):  # else a failure leaves a part of it
            A = A.astype(np.float64, copy=False)
            return DeviceCholesky(with_room(library().linalg.cholesky, A))
    except np.linalg.LinAlgError:
        return None


class DeviceCholesky:
    """`solvers._factors.Cholesky` on a GPU; solutions are where right-hand sides are."""

    def __init__(self, factor):
        self._upper = factor.T  # in Fortran order, which cuBLAS does not copy

    def solve(self, B):
        """``A^-1 B``."""
        return self._apply(B, 1, 0)

    def half_solve(self, B):
        """``L^-1 B``."""
        return self._apply(B, 1)

    def back_solve(self, B):
        """``L'^-1 B``."""
        return self._apply(B, 0)

    def inverse_diagonal(self):
        """Diagonal of ``A^-1``: sums of squares of the columns of ``L^-1``."""
        cupy, n, found = library(), len(self._upper), []
        for start in range(0, n, COLUMNS):
            upper = self._upper[start:, start:]
            unit = cupy.eye(n - start, min(COLUMNS, n - start))
            found.append((_solve_triangular(upper, unit, 1) ** 2).sum(axis=0))
        return cupy.concatenate(found).get()

    def log_determinant(self):
        """Logarithm of the determinant of ``A``."""
        return 2.0 * float(np.log(self._upper.diagonal()).sum())

    def _apply(self, B, *transposed):
        """B through ``L'^-1`` (0) or ``L^-1`` (1), one after the other."""
        result = library().asarray(B)
        for each in transposed:
            result = _solve_triangular(self._upper, result, each)
        return result if is_on_device(B) else result.get()


def _solve_triangular(upper, B, transposed):
    from cupyx.scipy.linalg import solve_triangular

    with _refusing(upper):
        return with_room(solve_triangular, upper, B, trans=transposed)


def _refusing(A):
    """`refusing` what factorisations of a matrix, or products with its factors, need."""
    return refusing(f"the factors of a matrix of {len(A)} rows")
