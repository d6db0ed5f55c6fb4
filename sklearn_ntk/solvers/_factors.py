"""Factorisations of symmetric matrices."""

import warnings

import numpy as np
from scipy import linalg

from .._runtime.device import is_on_device, product
from .._runtime.lapack import potrf, trtri
from ..engines._work import linear_algebra
from ..gram._spectrum import eigenvectors

LARGEST, PANEL = 10_000, 1024
"""Rows up to which LAPACK factorises at once, and columns at a time beyond."""


def shift(A, ridge):
    """``A + ridge I``, in place."""
    diagonal = np.arange(len(A), like=A)
    A[diagonal, diagonal] += ridge
    return A


def try_cholesky(A, progress=None):
    """`Cholesky` of a symmetric matrix, or None if not positive definite; ``A`` is overwritten.

    That of a matrix on a GPU stays there. The factor has the precision of the matrix. A `Progress`
    counts the `work` of more than `LARGEST` rows.
    """
    if is_on_device(A):
        return linear_algebra(A).try_cholesky(A)
    # the transpose is the same matrix in Fortran order, which LAPACK does not copy
    if len(A) > LARGEST:
        factor = _factorise(A.T, progress)
        return None if factor is None else Cholesky(factor)
    factor = potrf(A.T)
    return None if factor is None else Cholesky(factor)


def _factorise(F, progress):
    """Lower factor, in place, of a matrix in Fortran order, by panels; None if there is none.

    OpenBLAS 0.3.30 on two threads ends the process when it factorises 16,000 rows at once.
    """
    n = len(F)
    (trsm,) = linalg.get_blas_funcs(("trsm",), (F,))
    for start in range(0, n, PANEL):
        end = min(start + PANEL, n)
        own = slice(start, end)
        L = potrf(F[own, own].copy(order="F"))
        if L is None:
            return None
        F[own, own], F[:start, own] = L, 0.0
        if end < n:
            below = F[end:, own] = trsm(1.0, L, F[end:, own], 1, 1, 1)
            for first in range(end, n, PANEL):
                part = below[first - end :]
                F[first:, first : first + PANEL] -= part @ part[:PANEL].T
        if progress is not None:
            progress.add(work(n - start) - work(n - end))
    return F


def work(n):
    """Units of progress of the factorisation of n rows."""
    return (n // 10) ** 3


def cholesky(A):
    """`Cholesky` of a symmetric positive definite matrix.

    Parameters
    ----------
    A : array of shape (n, n)
        Rounding may have made it slightly indefinite: then up to 1e-8 of its mean diagonal is
        added, with a warning.

    Raises
    ------
    ValueError
        If the matrix is not positive definite.
    """
    scale = float(np.abs(A.diagonal()).mean())
    for jitter in (0.0, 1e-14, 1e-12, 1e-10, 1e-8):
        factor = try_cholesky(shift(A.copy(), jitter * scale))
        if factor is not None:
            break
    else:
        smallest = _least_eigenvalue(A)
        raise ValueError(
            f"The Gram matrix plus its ridge must be positive definite; its smallest eigenvalue "
            f"is {smallest:.3g}. Use a positive definite kernel, or increase alpha."
        )
    if jitter:
        warnings.warn(
            f"The Gram matrix plus its ridge is singular to working precision; "
            f"{jitter * scale:.3g} was added to its diagonal. Increase alpha.",
            linalg.LinAlgWarning,
            stacklevel=4,
        )
    return factor


def _least_eigenvalue(A):
    if is_on_device(A):
        return linear_algebra(A).least_eigenvalue(A)
    return linalg.eigh(A, eigvals_only=True, subset_by_index=[0, 0])[0]


class Cholesky:
    """A positive definite matrix ``A = L L'``, given by its lower factor ``L``.

    Solutions have the precision of the factor.
    """

    def __init__(self, factor):
        self.factor = factor

    def solve(self, B):
        """``A^-1 B``."""
        return linalg.cho_solve((self.factor, True), self._like(B), check_finite=False)

    def half_solve(self, B):
        """``L^-1 B``."""
        return linalg.solve_triangular(self.factor, self._like(B), lower=True, check_finite=False)

    def back_solve(self, B):
        """``L'^-1 B``."""
        B = self._like(B)
        return linalg.solve_triangular(self.factor, B, lower=True, trans="T", check_finite=False)

    def _like(self, B):
        """B in the precision of the factor, which SciPy would copy otherwise."""
        return B.astype(self.factor.dtype, copy=False)

    def inverse_diagonal(self):
        """Diagonal of ``A^-1``."""
        n = len(self.factor)
        if n > LARGEST:
            parts = [self._squares(start) for start in range(0, n, PANEL)]
            return np.concatenate(parts)
        inverse = trtri(self.factor.copy(order="F"))
        return np.einsum("ij,ij->j", inverse, inverse, dtype=np.float64)

    def _squares(self, start):
        """Sums of the squares of the columns of ``L^-1`` in the panel that starts there."""
        L, n = self.factor, len(self.factor)
        V = np.zeros((n - start, min(PANEL, n - start)), L.dtype)
        V[: V.shape[1]] = np.eye(V.shape[1])
        for first in range(start, n, PANEL):
            own, done = slice(first, first + PANEL), first - start
            here = V[done : done + PANEL]
            here -= L[own, start:first] @ V[:done]
            here[:] = Cholesky(L[own, own]).half_solve(here)
        return np.einsum("ij,ij->j", V, V, dtype=np.float64)

    def condition(self, norm):
        """Condition number of ``A`` in the 1-norm, of which ``norm`` is that of A; an estimate."""
        (pocon,) = linalg.get_lapack_funcs(("pocon",), (self.factor,))
        share, _ = pocon(self.factor, norm, uplo="L")
        return 1.0 / share if share > 0.0 else np.inf

    def log_determinant(self):
        """Logarithm of the determinant of ``A``."""
        return 2.0 * np.log(self.factor.diagonal()).sum()


class Spectrum:
    """Eigendecomposition of a symmetric matrix ``A``, for ``A + shift I`` with many shifts."""

    def __init__(self, A):
        self.values, self.vectors = eigenvectors(A)
        self._squares = self.vectors**2

    def shifted(self, shift):
        """``A + shift I``, with the methods of `Cholesky`, or None if not positive definite."""
        values = self.values + shift
        if values[0] <= np.finfo(self.values.dtype).eps * abs(values[-1]):
            return None
        return _Shifted(self.vectors, self._squares, values)


class _Shifted:
    """A positive definite matrix by its eigenvalues and eigenvectors."""

    def __init__(self, vectors, squares, values):
        self._vectors, self._squares, self._values = vectors, squares, values

    def solve(self, B):
        return product(self._vectors, product(self._vectors.T, B) / self._values[:, None])

    def inverse_diagonal(self):
        return product(self._squares, 1.0 / self._values)

    def log_determinant(self):
        return np.log(self._values).sum()
