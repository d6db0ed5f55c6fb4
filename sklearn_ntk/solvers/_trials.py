"""Ridges that are tried by conjugate gradients, with leave-one-out errors by random signs."""

import numpy as np

from ._diagonal import estimate_diagonal
from ._iterations import WRONG
from ._ridge import precision_of
from ._solution import Solution, best_of, descend

PROBES = 8, 32
"""Random signs by which leave-one-out errors are estimated, at least and at most."""

SIGNS = 160_000
"""Signs of all rows together: errors of estimates for single rows cancel in the mean over many."""

TRIAL_TOL, PROBE_TOL = 1e-3, 1e-2
"""Tolerances of solves by which ridges are compared, and of those for signs if one is given, which
is far below what so few signs leave uncertain."""

COLUMNS, AT_ONCE = 200, 3
"""Columns of a product, at most, of which several ridges have a part, more being no faster; and
ridges at a time."""

UNSURE = 0.25
"""Share of squared leave-one-out errors that errors of their diagonals add from which on they say
nothing: some rows have a leverage close to one."""


def n_probes(n):
    """Number of random signs of each of n rows."""
    return int(np.clip(SIGNS // n, *PROBES))


def columns_of(n, n_outputs):
    """Columns of a product, at most, in a search for a ridge."""
    width = n_outputs + 1 + n_probes(n)
    return width * _at_once(width)


def _at_once(width):
    """How many ridges share products, for columns (n, width) of each."""
    return min(AT_ONCE, max(1, COLUMNS // width))


class Trials:
    """Estimated leave-one-out errors and solutions of the ridges tried so far, by their index.

    An error is infinite where the solution has not converged, and ``is_sure`` tells whether it says
    much. ``estimates`` are generalised cross-validation and `Solution.precision`. The random signs,
    the same for all ridges, are targets like others: they estimate the diagonal of ``(K + ridge
    W^-1)^-1``, in which rows of large weight keep their digits.
    """

    def __init__(self, error, system, Y, B, ridges, rng, start, most):
        self._error, self._system, self._Y, self._ridges = error, system, Y, ridges
        self._signs = rng.choice([-1.0, 1.0], (len(Y), n_probes(len(Y))))
        self._B = np.hstack([B, system.root[:, None] * self._signs])
        self._start, self._most = start, most
        self.errors, self.columns, self.probes = {}, {}, {}
        self.estimates, self.is_sure = {}, {}

    def search(self, begin):
        """Index of the best ridge to which a descent leads."""
        descend(self.errors, self._try_all, len(self._ridges), begin)
        return best_of(self.errors)

    def _try_all(self, places):
        """Add errors and solutions of some ridges."""
        step = _at_once(self._B.shape[1])
        for first in range(0, len(places), step):
            self.solve(places[first : first + step])

    def solve(self, places, tol=TRIAL_TOL, probe_tol=TRIAL_TOL):
        """Solve for targets and ones, and for signs, of some ridges, which share products."""
        n_ridges, (width, known) = len(places), (self._B.shape[1], self._Y.shape[1] + 1)
        start, ridges = None, self._ridges[places]
        if self._start is not None:
            probes = self._start.probes
            probes = np.zeros_like(self._signs) if probes is None else probes
            start = np.tile(np.hstack([self._start.columns, probes]), n_ridges)
        what = f"Conjugate gradients for {n_ridges} ridges from {ridges.min():.3g} on"
        what = what if n_ridges > 1 else "Conjugate gradients"
        tols = np.where(np.arange(width) < known, tol, probe_tol)
        B, every = np.tile(self._B, n_ridges), np.repeat(ridges, width)
        X, residuals = self._system.solve(
            B, every, np.tile(tols, n_ridges), self._most, start, what
        )
        parts = np.split(X, n_ridges, axis=1), np.split(residuals, n_ridges)
        for place, part, left in zip(places, *parts, strict=True):
            self._add(place, part)
            self.is_sure[place] &= left[known:].max() <= WRONG
            if not left[:known].max() <= WRONG:
                self.errors[place] = np.inf

    def _add(self, place, X):
        """Estimate the error of a ridge from the solutions (n, c) for it."""
        k = self._Y.shape[1] + 1
        columns, precondition = X[:, :k], self._system.precondition
        root, ridge = self._system.root, self._ridges[place]
        weights = root**2
        dual, intercept = coefficients(columns, root)
        known = precondition(self._B[:, k:], np.full(X.shape[1] - k, ridge))
        diagonal, error = estimate_diagonal(
            self._signs,
            root[:, None] * X[:, k:],
            root[:, None] * known,
            weights * precondition.diagonal(ridge),
        )
        diagonal = np.maximum(diagonal / weights, 1.0 / (self._system.diagonal + ridge))
        rough = precision_of(diagonal, columns[:, -1], root)
        gcv = float(np.mean((dual / root[:, None] / np.mean(rough / weights)) ** 2))
        # the mean of an inverse square is larger than that of the mean: to second order, as if by
        precision = np.hypot(rough, np.sqrt(3.0) * error)
        residuals = dual / precision[:, None]
        size, least = np.abs(dual).max(axis=0), rough.min()
        shares = root[:, None] * dual / np.where(size > 0.0, size, 1.0)
        before, after = (
            np.sum((shares * (least / each)[:, None]) ** 2, axis=0) for each in (rough, precision)
        )
        self.is_sure[place] = bool(np.all(before - after <= UNSURE * before))
        self.errors[place] = self._error(
            Solution(dual, intercept, residuals, gcv, precision), self._Y, weights
        )
        self.columns[place], self.probes[place] = columns.copy(), X[:, k:].copy()
        self.estimates[place] = gcv, precision


def coefficients(columns, root):
    """Dual coefficients (n, k) and intercept (k,) from ``A^-1 [W^1/2 Y, sqrt(w)]`` (n, k + 1)."""
    ones = columns[:, -1]
    total = root @ ones
    intercept = root @ columns[:, :-1] / total if total > 0.0 else np.zeros(columns.shape[1] - 1)
    return root[:, None] * (columns[:, :-1] - np.outer(ones, intercept)), intercept
