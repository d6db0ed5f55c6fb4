"""Ridge regression on functions of a few centres, from sums over rows that need not be kept.

With the kernel ``K_mm = L L'`` of the centres, ``Z = K_nm L^-T`` (n, m) are the values at n rows of
functions that are orthonormal in the space of the kernel. Fits need the sums of ``z_i z_i'`` and
the like only: memory does not grow with the rows.
"""

from typing import NamedTuple

import numpy as np
from scipy import linalg

from .._runtime.chunks import chunks
from ._factors import Cholesky, try_cholesky
from ._solution import Solution

WELL = 1e7
"""Condition of ``K_mm`` up to which sums may be whitened at the end, which is faster: beyond, the
digits that are lost would be missed."""

ILL, ILL_SINGLE = 1e13, 1e6
"""Condition from which on ``K_mm`` counts as singular, of a kernel in double and single
precision."""

NEGLIGIBLE, NEGLIGIBLE_SINGLE = 1e-12, 1e-7
"""Eigenvalues of a singular ``K_mm`` are dropped up to this share of the largest."""

SINGULAR = 1e15
"""Condition from which on the equations of a `Fit` have no solution: with all rows as centres and
no ridge, a constant is one of the functions, and may be factorised by rounding."""


def basis_of(K, may_be_late=True):
    """Orthonormal functions of the centres, from their kernel ``K_mm`` (m, m): the basis of a fit.

    It is `Factored`, or `Mapped` for a singular kernel. Sums are never whitened late unless they
    ``may_be_late``. All is computed in double precision, whatever that of the kernel: sums of its
    squares lose twice the digits.
    """
    is_single, K = K.dtype == np.float32, K.astype(np.float64, copy=False)
    factor, condition = try_cholesky(K.copy()), np.inf
    if factor is not None:
        condition = factor.condition(linalg.norm(K, 1, check_finite=False))
    if condition < (ILL_SINGLE if is_single else ILL):
        return Factored(factor, may_be_late and condition < WELL)
    values, vectors = np.linalg.eigh(K)
    kept = values > (NEGLIGIBLE_SINGLE if is_single else NEGLIGIBLE) * values[-1]
    if not np.any(kept):
        raise ValueError(
            f"The kernel of the centres must not vanish; its largest eigenvalue is "
            f"{values[-1]:.3g}: use another kernel."
        )
    return Mapped(vectors[:, kept] / np.sqrt(values[kept]))


class Factored(NamedTuple):
    """As many functions as centres, by the Cholesky factor of their kernel.

    Sums are of the kernel itself, and whitened at the end, if the basis ``is_late``.
    """

    factor: Cholesky
    is_late: bool

    @property
    def size(self):
        """Number of the functions."""
        return len(self.factor.factor)

    n_centers = size

    def values(self, K):
        """Values (n, p) of the functions at rows, from the kernel (n, m) with the centres."""
        return self.factor.half_solve(K.astype(np.float64, copy=False).T).T

    def summands(self, K):
        """What is summed over rows: `values`, or the kernel itself if sums are whitened late."""
        return K.astype(np.float64, copy=False) if self.is_late else self.values(K)

    def whitened(self, sums):
        """`Sums` of the values of the functions."""
        if not self.is_late:
            return sums
        solve = self.factor.half_solve
        outer = solve(solve(sums.outer).T)
        return sums._replace(outer=outer, cross=solve(sums.cross), ones=solve(sums.ones))

    def dual(self, coef):
        """Coefficients (m, k) of the kernel from those of the functions (p, k)."""
        return self.factor.back_solve(coef)


class Mapped(NamedTuple):
    """Fewer functions than centres, by a map (m, p) from the kernel; methods of `Factored`."""

    map: np.ndarray
    is_late = False

    @property
    def size(self):
        return self.map.shape[1]

    @property
    def n_centers(self):
        return len(self.map)

    def values(self, K):
        return K.astype(np.float64, copy=False) @ self.map

    summands = values

    def whitened(self, sums):
        return sums

    def dual(self, coef):
        return self.map @ coef


class Sums(NamedTuple):
    """Weighted sums over rows ``z`` with targets ``y`` (k,), see `Factored.summands`.

    ``outer`` (p, p) of ``z z'``, ``cross`` (p, k) of ``z y'``, ``ones`` (p,) of z, ``targets`` (k,)
    of y, and the total ``weight``.
    """

    outer: np.ndarray
    cross: np.ndarray
    ones: np.ndarray
    targets: np.ndarray
    weight: float

    @classmethod
    def over(cls, pieces, basis, k):
        """`Sums` over the rows of pieces, for k targets.

        ``pieces`` yield functions that return the kernel (b, m) of rows with the centres, targets
        (b, k) and weights (b,).
        """
        p = basis.size
        total = [np.zeros((p, p)), np.zeros((p, k)), np.zeros(p), np.zeros(k), 0.0]
        for between, Y, weights in pieces:
            for i, term in enumerate(_summed(basis.summands(between()), Y, weights)):
                total[i] += term
        return cls(*total)

    def joined(self, others):
        """`Sums` over the rows of these and of others."""
        return Sums(*(sum(rest, one) for one, *rest in zip(self, *others, strict=True)))


def _summed(Z, Y, weights):
    """The fields of `Sums` over rows of summands ``Z`` (b, p); it leaves no block behind."""
    root = np.sqrt(weights)[:, None]
    Z = Z if np.all(root == 1.0) else root * Z
    return Z.T @ Z, Z.T @ (root * Y), (root.T @ Z)[0], weights @ Y, weights.sum()


class Held(NamedTuple):
    """Rows by whose leave-one-out residuals a ridge is chosen.

    They are in the sums, too. ``Z`` (v, p) are their values of the functions, ``unseen`` (v,) is
    the kernel ``k(x, x)`` less ``z'z``, what the functions do not reach, and ``are_centers`` (v,)
    tells which are centres.
    """

    rows: np.ndarray
    Z: np.ndarray
    Y: np.ndarray
    weights: np.ndarray
    unseen: np.ndarray
    are_centers: np.ndarray

    def plus(self, other):
        """These rows and others."""
        return Held(*(np.concatenate(pair) for pair in zip(self, other, strict=True)))

    def apart(self, share):
        """Those that are no centres, if there are at most ``share`` centres for each of them.

        Centres would choose ridges that are too large.
        """
        kept = ~self.are_centers
        if share * np.sum(kept) < np.sum(self.are_centers):
            return self
        return Held(*(each[kept] for each in self))


class Fit(NamedTuple):
    """Coefficients (p, k) of the functions and intercept (k,) for one ridge.

    ``factor`` is that of ``Z'WZ - z z' / w + ridge`` for the sums ``z`` of the rows and ``w`` of
    the weights, ``mean`` is ``z / w`` and ``weight`` is ``w``.
    """

    coef: np.ndarray
    intercept: np.ndarray
    factor: Cholesky
    mean: np.ndarray
    weight: float
    ridge: float

    @classmethod
    def solve(cls, sums, ridge, shift=0.0):
        """`Fit` to whitened sums, or None if the matrix is not positive definite.

        ``shift`` (k,) was subtracted from the targets.
        """
        mean = sums.ones / sums.weight
        A = sums.outer - np.outer(sums.ones, mean)
        A[np.diag_indices_from(A)] += ridge
        norm = linalg.norm(A, 1, check_finite=False)
        factor = try_cholesky(A)
        if factor is None or factor.condition(norm) > SINGULAR:
            return None
        coef = factor.solve(sums.cross - np.outer(mean, sums.targets))
        intercept = shift + sums.targets / sums.weight - mean @ coef
        return cls(coef, intercept, factor, mean, sums.weight, ridge)

    def half(self, Z):
        """``L^-1 (z - mean)`` (p, m) of rows with these values of the functions."""
        return self.factor.half_solve((Z - self.mean).T)

    def doubt(self, Z):
        """Posterior variances (m,) over the ridge, of rows with these values of the functions."""
        doubt = np.empty(len(Z))
        for rows in chunks(*Z.shape):
            half = self.half(Z[rows])
            doubt[rows] = 1.0 / self.weight + np.einsum("ij,ij->j", half, half)
        return doubt

    def variance(self, Z, unseen):
        """Posterior variances (m,), with that of functions that the centres do not reach."""
        return self.ridge * self.doubt(Z) + np.maximum(unseen, 0.0)

    def covariance(self, Z):
        """Posterior covariances (m, m) without that of functions that are not reached."""
        half = self.half(Z)
        return self.ridge * (1.0 / self.weight + half.T @ half)

    def solution(self, basis, held):
        """`Solution` with the leave-one-out residuals of the `Held` rows."""
        leverages = np.minimum(held.weights * self.doubt(held.Z), 1.0)
        left = np.maximum(1.0 - leverages, np.finfo(float).eps)
        training = held.Y - held.Z @ self.coef - self.intercept
        variance = self.ridge / held.weights / left + np.maximum(held.unseen, 0.0)
        return Solution(
            basis.dual(self.coef),
            self.intercept,
            residuals=training / left[:, None],
            precision=1.0 / np.maximum(variance, np.finfo(float).tiny),
            rows=held.rows,
            training_residuals=training,
            leverages=leverages,
        )
