"""The solution of ridge regression for one ridge, by a factorisation of the Gram matrix."""

import numpy as np

from ._factors import Spectrum, shift, try_cholesky
from ._mixed import try_mixed
from ._solution import Solution

SPECTRAL_LIMIT = 500
"""Number of rows up to which all ridges share an eigendecomposition; beyond, ridges are searched
with a Cholesky factorisation each."""


def is_spectral(n):
    """Whether all ridges of n rows share an eigendecomposition."""
    return n <= SPECTRAL_LIMIT


def factorisations(K, ridges, refused=None):
    """Yield a factorisation of ``K + ridge I`` for each ridge, None if not positive definite.

    With a set of ridges, diagonals of inverses may be in single precision for larger ones. Those
    for which that is not exact enough join the set, for matrices that are alike.
    """
    if is_spectral(len(K)):
        yield from map(Spectrum(K).shifted, ridges)
        return
    for ridge in ridges:
        factor = None
        if refused is not None and ridge > max(refused, default=-1.0):
            factor = try_mixed(K, ridge)
            if factor is None:
                refused.add(float(ridge))
        yield factor or try_cholesky(shift(K.copy(), ridge))


def scale(K, root):
    """``W^1/2 K W^1/2``, in place."""
    if np.any(root != 1.0):
        root = np.asarray(root, like=K)
        K *= root[:, None]
        K *= root
    return K


def with_constant(Y, root):
    """Right sides ``W^1/2 [Y, 1]`` (n, k + 1) for targets (n, k); ``root`` is ``sqrt(w)``."""
    return np.column_stack([root[:, None] * Y, root])


def split_constant(columns, root):
    """Dual coefficients (n, k) and intercept (k,) from ``A^-1 W^1/2 [Y, 1]`` (n, k + 1)."""
    ones = columns[:, -1]
    total = root @ ones
    intercept = root @ columns[:, :-1] / total if total > 0.0 else np.zeros(columns.shape[1] - 1)
    return root[:, None] * (columns[:, :-1] - np.outer(ones, intercept)), intercept


def solve(factor, Y, root, ridge):
    """`Solution` by a factorisation of ``A = W^1/2 K W^1/2 + ridge I``.

    With ``G = (K + ridge W^-1)^-1`` and the constant eliminated, ``M = G - G 1 1'G / 1'G 1``, the
    coefficients are ``c = M y`` and the leave-one-out residuals ``c_i / M_ii``.
    """
    columns = factor.solve(with_constant(Y, root))
    (dual, intercept), ones = split_constant(columns, root), columns[:, -1]
    precision = precision_of(factor.inverse_diagonal(), ones, root)
    return Solution(
        dual,
        intercept,
        residuals=dual / precision[:, None],
        gcv=gcv_of(dual, precision, root),
        precision=precision,
        log_determinant=(factor.log_determinant() + np.log(root @ ones) - 2.0 * np.log(root).sum()),
        **training_of(dual, precision, ridge, root),
    )


def gcv_of(dual, precision, root):
    """`Solution.gcv` from dual coefficients (n, k) and precisions (n,); ``root`` is ``sqrt(w)``."""
    return np.mean((dual / root[:, None] / np.mean(precision / root**2)) ** 2)


def training_of(dual, precision, ridge, root):
    """Training residuals and leverages of a `Solution` for a ridge, ``root`` is ``sqrt(w)``."""
    weights = root**2
    with np.errstate(over="ignore", invalid="ignore"):
        training = ridge * dual / weights[:, None]
        leverages = 1.0 - ridge * precision / weights
    least = weights / weights.sum()  # that of the constant
    return {"training_residuals": training, "leverages": np.clip(leverages, least, 1.0)}


def precision_of(diagonal, ones, root):
    """`Solution.precision` (n,) from the diagonal of ``A^-1`` and ``A^-1 sqrt(w)``."""
    precision = diagonal - ones * (ones / (root @ ones))  # no squares: K may be tiny
    floor = np.maximum(np.finfo(float).eps * diagonal, np.finfo(float).tiny)  # less is rounding
    return root**2 * np.maximum(precision, floor if len(root) > 1 else 1.0)
