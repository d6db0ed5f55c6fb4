"""Factorisations of symmetric matrices."""

import warnings

import numpy as np
from scipy import linalg


def variances(Y, weights):
    """Weighted variances of columns, exactly zero for those that are constant but for rounding."""
    mean = np.average(Y, axis=0, weights=weights)
    found = np.average((Y - mean) ** 2, axis=0, weights=weights)
    return np.where(found <= (1e-13 * mean) ** 2, 0.0, found)


def sizes(Y):
    """Largest absolute values of columns; one for those of zeros."""
    found = np.abs(Y).max(axis=0)
    return np.where(found > 0.0, found, 1.0)


def try_cholesky(A):
    """`Cholesky` of a symmetric matrix, which is overwritten, or None if it is not positive."""
    # the transpose is the same matrix in the order of LAPACK, so that nothing is copied
    factor, failed = linalg.lapack.dpotrf(A.T, lower=1, overwrite_a=1, clean=1)
    return None if failed else Cholesky(factor)


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
    scale = np.abs(A.diagonal()).mean()
    for jitter in (0.0, 1e-14, 1e-12, 1e-10, 1e-8):
        shifted = A.copy()
        shifted[np.diag_indices_from(A)] += jitter * scale
        found = try_cholesky(shifted)
        if found is not None:
            break
    else:
        smallest = linalg.eigh(A, eigvals_only=True, subset_by_index=[0, 0])[0]
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
    return found


class Cholesky:
    """A positive definite matrix ``L L'`` by its lower factor."""

    def __init__(self, factor):
        self.factor = factor

    def solve(self, B):
        """``A^-1 B``."""
        return linalg.cho_solve((self.factor, True), B, check_finite=False)

    def half_solve(self, B):
        """``L^-1 B`` with the lower factor ``A = L L'``."""
        return linalg.solve_triangular(self.factor, B, lower=True, check_finite=False)

    def inverse_diagonal(self):
        """Diagonal of ``A^-1``."""
        inverse, _ = linalg.lapack.dtrtri(self.factor, lower=1)
        return np.einsum("ij,ij->j", inverse, inverse)

    def log_determinant(self):
        """Logarithm of the determinant of ``A``."""
        return 2.0 * np.log(self.factor.diagonal()).sum()


def eigenvectors(A, overwrite=False):
    """Increasing eigenvalues, and eigenvectors, of a symmetric matrix by its lower half."""
    return linalg.eigh(A, driver="evd", overwrite_a=overwrite, check_finite=False)


def spectrum_without_constant(K, root):
    """Eigenvalues and eigenvectors of ``W^1/2 K W^1/2`` on the complement of ``sqrt(w)``.

    A reflection takes ``sqrt(w)`` to the first coordinate, which is then left out.
    """
    n, mirror = len(K), root / np.sqrt(root @ root)
    mirror[0] += 1.0
    vectors = np.empty((n, n - 1))
    if n < 2:
        return np.empty(0), vectors
    image = root * (K @ (root * mirror)) / mirror[0]
    image -= mirror * (mirror @ image / (2.0 * mirror[0]))
    block = np.array(K[1:, 1:], order="F")
    block *= root[1:, None]
    block *= root[1:]
    values, vectors[1:] = eigenvectors(
        linalg.blas.dsyr2(-1.0, mirror[1:], image[1:], a=block, lower=1, overwrite_a=1),
        overwrite=True,
    )
    vectors[0] = -mirror[1:] @ vectors[1:]
    vectors[1:] += np.outer(mirror[1:], vectors[0] / mirror[0])
    return values, vectors


class Spectrum:
    """Eigendecomposition of a symmetric matrix: all its shifts at little extra cost each."""

    def __init__(self, A):
        self.values, self.vectors = eigenvectors(A)
        self._squares = self.vectors**2

    def shifted(self, shift):
        """``A + shift`` in factorised form, or None if it is not positive definite."""
        values = self.values + shift
        if values[0] <= np.finfo(float).eps * abs(values[-1]):
            return None
        return _Shifted(self.vectors, self._squares, values)


class _Shifted:
    def __init__(self, vectors, squares, values):
        self._vectors, self._squares, self._values = vectors, squares, values

    def solve(self, B):
        return self._vectors @ ((self._vectors.T @ B) / self._values[:, None])

    def inverse_diagonal(self):
        return self._squares @ (1.0 / self._values)

    def log_determinant(self):
        return np.log(self._values).sum()
