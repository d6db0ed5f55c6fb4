"""Ridges that are tried by conjugate gradients, with leave-one-out errors by random signs."""

from typing import NamedTuple

import numpy as np

from ._diagonal import estimate_diagonal
from ._exact import gcv_of, precision_of, split_constant, training_of
from ._iterations import WRONG
from ._moments import sizes
from ._solution import Solution

PROBES = 8, 32
"""Random signs by which leave-one-out errors are estimated, at least and at most."""

SIGNS = 160_000
"""Signs of all rows together: errors of estimates for single rows cancel in the mean over many."""

TOGETHER, NEAR = 64, 0.1
"""Columns up to which a product takes less than twice the time of that of half of them, and the
least ratio of ridges that are near each other."""

PROBE_TOL = 1e-2
"""Tolerance of solves for signs, which is far below what so few of them leave uncertain."""

UNSURE = 0.25
"""Estimates are discarded if the uncertainty of the diagonal accounts for more than this share of
the squared errors: some rows then have a leverage close to one."""


def n_probes(n):
    """Number of random signs of each of n rows."""
    return int(np.clip(SIGNS // n, *PROBES))


def n_columns(n, k):
    """Most columns of n rows that are solved for at a time: of k targets, of ones and of signs."""
    width = k + 1 + n_probes(n)
    return 2 * width if 2 * width <= TOGETHER else width


class Trial(NamedTuple):
    """A solution by conjugate gradients, and estimates of what leaving out one row does to it.

    ``columns`` (n, k + 1) and ``probes`` (n, p) are as in `Iterations`. ``error`` is infinite where
    they have not converged, and ``is_sure`` tells whether the estimates of ``solution`` say much.
    """

    columns: np.ndarray
    probes: np.ndarray
    error: float
    is_sure: bool
    solution: Solution


class Trials:
    """Fits of targets and, by the same products, of random signs.

    The signs, the same for all ridges, are targets like others: they estimate the diagonal of ``(K
    + ridge W^-1)^-1``, in which rows of large weight keep their digits. Errors are those of the
    ``judges``, or of all rows.
    """

    def __init__(self, error, system, Y, B, rng, judges=None):
        self._error, self._system, self._Y, self._judges = error, system, Y, judges
        self._signs = rng.choice([-1.0, 1.0], (len(Y), n_probes(len(Y))))
        self._B = np.hstack([B, system.root[:, None] * self._signs])

    def is_cheap(self, ridges, place, tried):
        """Whether a ridge takes little time beside another one that is tried, by their places.

        Both share products of few columns, with a matrix in single precision.
        """
        if not 0 <= place < len(ridges) or 2 * self._B.shape[1] > TOGETHER:
            return False
        least, largest = sorted((ridges[place], ridges[tried]))
        return least >= NEAR * largest and self._system.is_stable(least)

    def solve(self, ridges, tol, most, start=None):
        """List of a `Trial` for each ridge, all by the same products.

        One ridge may have `Iterations` to go on from.
        """
        k = self._Y.shape[1] + 1
        if start is not None:
            probes = np.zeros_like(self._signs) if start.probes is None else start.probes
            start = np.hstack([start.columns, probes])
        tols = np.where(np.arange(self._B.shape[1]) < k, tol, PROBE_TOL)
        B, tols = (np.tile(each, len(ridges)) for each in (self._B, tols))
        X, left = self._system.solve(B, np.repeat(ridges, self._B.shape[1]), tols, most, start)
        parts = (np.split(each, len(ridges), axis=-1) for each in (X, left))
        return [self._trial(*each) for each in zip(ridges, *parts, strict=True)]

    def _trial(self, ridge, X, left):
        """`Trial` of the solutions (n, c) for a ridge, and what is left of their residuals (c,)."""
        found, k = self._estimate(ridge, X), self._Y.shape[1] + 1
        error = found.error if left[:k].max() <= WRONG else np.inf
        return found._replace(error=error, is_sure=found.is_sure and left[k:].max() <= WRONG)

    def _estimate(self, ridge, X):
        """`Trial` of the solutions (n, c) for a ridge."""
        k = self._Y.shape[1] + 1
        columns, precondition, root = X[:, :k], self._system.precondition, self._system.root
        weights = root**2
        dual, intercept = split_constant(columns, root)
        known = precondition(self._B[:, k:], ridge)
        diagonal, error = estimate_diagonal(
            self._signs,
            root[:, None] * X[:, k:],
            root[:, None] * known,
            weights * precondition.diagonal(ridge),
        )
        diagonal = np.maximum(diagonal / weights, 1.0 / (self._system.diagonal + ridge))
        rough = precision_of(diagonal, columns[:, -1], root)
        # the mean of an inverse square is larger than that of the mean: to second order, as if by
        precision = np.hypot(rough, np.sqrt(3.0) * error)
        shares, least = root[:, None] * dual / sizes(dual), rough.min()
        before, after = (
            np.sum((shares * (least / each)[:, None]) ** 2, axis=0) for each in (rough, precision)
        )
        is_sure = bool(np.all(before - after <= UNSURE * before))
        solution = Solution(
            dual,
            intercept,
            residuals=dual / precision[:, None],
            gcv=gcv_of(dual, rough, root),
            precision=precision,
            **training_of(dual, precision, ridge, root),
        )
        error = self._error(solution.among(self._judges), self._Y, weights)
        return Trial(columns, X[:, k:], error, is_sure, solution)
