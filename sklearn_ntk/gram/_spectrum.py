"""Eigenvalues and eigenvectors of Gram matrices, with and without the constant."""

import numpy as np
from scipy import linalg

from .._runtime.device import is_on_device
from .._runtime.lapack import syevd
from ..engines._work import linear_algebra

NOISE = 1e-7
"""Size of negative eigenvalues that may be rounding, in units of a matrix: those of networks that
average over positions, for rows that are nearly equal."""


def eigenvectors(A, overwrite=False):
    """Increasing eigenvalues, and eigenvectors as columns; only the lower half of ``A`` is read.

    The eigenvectors of a matrix on a GPU stay there.
    """
    if is_on_device(A):
        return linear_algebra(A).eigenvectors(A)
    return syevd(A if overwrite else A.copy(order="F"))


def weighted_spectrum(K, root):
    """Eigenvalues (n,) and eigenvectors (n, n) of ``W^1/2 K W^1/2``, where ``root`` is ``sqrt(w)``.

    The transpose is the same matrix in Fortran order, which LAPACK does not copy.
    """
    root = np.asarray(root, like=K)
    return eigenvectors((root[:, None] * K * root).T, overwrite=True)


def spectrum_without_constant(K, root):
    """Eigenvalues (n - 1,), eigenvectors (n, n - 1) of ``W^1/2 K W^1/2`` orthogonal to ``sqrt(w)``.

    ``root`` is ``sqrt(w)``. A Householder reflection maps it to the first coordinate, which is
    removed.
    """
    n, root = len(K), np.asarray(root, like=K)
    mirror = root / np.sqrt(root @ root)
    mirror[0] += 1.0
    vectors = np.empty((n, n - 1), like=K)
    if n < 2:
        return np.empty(0), vectors
    image = root * (K @ (root * mirror)) / mirror[0]
    image -= mirror * (mirror @ image / (2.0 * mirror[0]))
    block = K[1:, 1:].copy(order="F")
    block *= root[1:, None]
    block *= root[1:]
    block = _without_outer(block, mirror[1:], image[1:])
    values, vectors[1:] = eigenvectors(block, overwrite=True)
    vectors[0] = -mirror[1:] @ vectors[1:]
    vectors[1:] += np.outer(mirror[1:], vectors[0] / mirror[0])
    return values, vectors


def _without_outer(A, u, v):
    """``A - u v' - v u'`` in the lower half of A, which is in Fortran order; A is overwritten."""
    if is_on_device(A):
        A = A.astype(np.float64, copy=False)
        A -= np.outer(u, v)
        A -= np.outer(v, u)
        return A
    return linalg.blas.dsyr2(-1.0, u, v, a=A, lower=1, overwrite_a=1)


def non_negative(values, alpha, scale):
    """Eigenvalues, those below rounding set to zero; raises ValueError for negative ones."""
    if len(values) and values[0] + alpha < -NOISE * scale:
        raise ValueError(
            "A Gram matrix must be positive semi-definite; its smallest eigenvalue is "
            f"{values[0]:.3g}. Use a positive definite kernel, in float64, or, if rows are nearly "
            f"equal, add a ridge."
        )
    least = len(values) * np.finfo(float).eps * np.max(np.abs(values), initial=0.0)
    return np.where(values > least, values, 0.0)
