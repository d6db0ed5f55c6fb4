"""Rows that come several times, which were merged, and what leaving out one of them does."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ._solution import relative_error, relative_squares


class Repeats(NamedTuple):
    """Observations of n distinct rows, of which some have several; N pairs of row and targets.

    ``group`` (N,) is the number of the row of each pair, ``targets`` has shape (N, k), as have the
    ``deviations`` from the targets of the row, their mean. ``weights`` (N,) are those of all
    observations of the pair, ``counts`` (N,) their number, and ``shares`` (N,) is the part of one
    of them of the weight of the row, exactly one where it is the only one.
    """

    group: np.ndarray
    targets: np.ndarray
    deviations: np.ndarray
    weights: np.ndarray
    counts: np.ndarray
    shares: np.ndarray

    @property
    def n(self):
        """Number of observations."""
        return float(self.counts.sum())

    def take(self, rows):
        """The observations of some of the rows, whose places are their new numbers."""
        place = np.full(max(self.group.max(), rows.max()) + 1, -1)
        place[rows] = np.arange(len(rows))
        group = place[self.group]
        return Repeats(*(each[group >= 0] for each in self._replace(group=group)))

    def single(self):
        """The pair, row, targets and weight of each observation: (n,), (n,), (n, k) and (n,)."""
        pairs = np.repeat(np.arange(len(self.counts)), self.counts.astype(int))
        return pairs, self.group[pairs], self.targets[pairs], (self.weights / self.counts)[pairs]


class LeftOut(NamedTuple):
    """What leaving out one observation at a time does, for N pairs, or rows, with residuals.

    ``residuals`` and ``targets`` (N, k), ``weights`` (N,), and the number ``n`` of observations.
    """

    residuals: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    n: float

    @property
    def scores(self):
        """Predictions (N, k) of the fits without an observation."""
        return self.targets - self.residuals


def left_out(solution, Y, weights, repeats=None):
    """`LeftOut` of a `Solution` for targets (n, k) and weights (n,) of distinct rows.

    Without one of several observations, of the share ``s`` of its row and with the residual ``r``
    in the fit to all, the residual is ``r / (1 - s h)``, where ``h`` is the leverage of the row: of
    ridge regression exactly, of training that stops and of blended local models nearly.
    """
    if repeats is None:
        Y, weights = solution.known(Y, weights)
        return LeftOut(solution.residuals, Y, weights, len(Y))
    if solution.rows is not None:
        repeats = repeats.take(solution.rows)
    group, share = repeats.group, repeats.shares[:, None]
    training = repeats.deviations + solution.training_residuals[group]
    left = np.where(share < 1.0, 1.0 - share * solution.leverages[group, None], 1.0)
    residuals = np.where(share < 1.0, training / left, solution.residuals[group])
    return LeftOut(residuals, repeats.targets, repeats.weights, repeats.n)


class RelativeError(NamedTuple):
    """`relative_error` of leaving out one observation at a time, for a solver to minimise."""

    repeats: Repeats

    def __call__(self, solution, Y, weights):
        found = left_out(solution, Y, weights, self.repeats)
        return relative_squares(
            found.residuals, self.repeats.targets, self.repeats.weights, found.weights
        )

    def take(self, rows):
        """The error for some of the rows."""
        return RelativeError(self.repeats.take(rows))


class ScoreError(NamedTuple):
    """Minus a score of `solvers._scoring`, of leaving out one observation at a time."""

    score: Callable
    repeats: Repeats | None

    def __call__(self, solution, Y, weights):
        found = left_out(solution, Y, weights, self.repeats)
        fit = solution, Y, weights, self.repeats
        return -self.score(found.scores, found.targets, found.weights, fit)

    def take(self, rows):
        """The error for some of the rows."""
        return self if self.repeats is None else self._replace(repeats=self.repeats.take(rows))


def error_of(repeats):
    """The relative error of leaving out one observation; `Repeats`, or None for distinct rows."""
    return relative_error if repeats is None else RelativeError(repeats)
