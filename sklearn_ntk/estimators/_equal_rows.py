"""Rows that are equal, which are merged: targets, weights, observations, scatter of targets."""

from typing import NamedTuple

import numpy as np

from .._runtime.device import is_on_device
from ..solvers._repeats import Repeats

OFTEN = 10
"""Rows that come so often are categories, no accidental copies: each is an observation."""

MIXED = 0.1
"""Share of the rows that come several times from which on different targets are no accident."""

ROWS_OF_TARGET = 5
"""Rows for each value of the targets from which on equal targets of equal rows are no copies."""


def distinct(X):
    """Indices of the first of each set of equal rows, and for each row the number of its set.

    Sets are numbered in the order of their first rows. Both are arrays of NumPy.
    """
    if is_on_device(X):
        return _distinct_on_device(X)
    X = X + 0.0  # -0.0 and 0.0 are equal
    numbers = {}
    group = np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in X])
    return np.unique(group, return_index=True)[1], group


def _distinct_on_device(X):
    """As `distinct`, of rows on a GPU, of which a number is copied for each row.

    That is a sum of the bits of all entries, as integers, times random odd ones.
    """
    X, rng = (X + 0.0).copy(order="C"), np.random.default_rng(0)
    bits = X.view(np.int64)
    while True:
        factors = rng.integers(-(2**62), 2**62, X.shape[1]) * 2 + 1
        keys = (bits * np.asarray(factors, like=bits)).sum(axis=1).get()
        _, first, place = np.unique(keys, return_index=True, return_inverse=True)
        order = np.argsort(first)  # to numbers in the order of first rows
        first, group = first[order], np.argsort(order)[place.ravel()]
        if bool((X[np.asarray(first[group], like=bits)] == X).all()):
            return first, group


class Scatter(NamedTuple):
    """How much the targets of equal rows differ.

    ``squares`` (k,) are the weighted sums of squares about the means of equal rows. ``n`` is the
    number of observations, as of `Pairs`, minus that of distinct rows: the degrees of
    freedom. ``unit`` is the mean weight of an observation.
    """

    squares: np.ndarray
    n: int
    unit: float


class Pairs(NamedTuple):
    """Distinct pairs of a row and its targets, N of them, and their observations.

    Copies of a pair are one observation, as an integer weight is, unless rows are categories, which
    come `OFTEN`, or with different targets more often than by accident: then each copy is one.
    ``group`` (N,) is the number of the distinct row, ``unit`` (N,) the weight of one observation,
    the mean of all, ``targets`` has shape (N, k), and ``counts`` (N,) are numbers of observations.
    """

    group: np.ndarray
    unit: np.ndarray
    targets: np.ndarray
    counts: np.ndarray


def pairs_of(Y, weights, group):
    """`Pairs` of rows; ``group`` is the number of the distinct row of each row."""
    if group[-1] == len(group) - 1:
        return Pairs(group, weights, Y, np.ones(len(group)))
    pairs, place, n_copies = np.unique(
        np.column_stack([group, Y]), axis=0, return_inverse=True, return_counts=True
    )
    own, n_of_row = pairs[:, 0].astype(int), np.bincount(group)
    are_categories = (n_of_row[own] >= OFTEN) | _differ_by_chance(n_of_row, own, pairs[:, 1:])
    counts = np.where(are_categories, n_copies, 1.0)
    return Pairs(own, np.bincount(place.ravel(), weights) / counts, pairs[:, 1:], counts)


def _differ_by_chance(n_of_row, own, targets):
    """Whether equal rows often have other targets, of a few: then equal ones are no copies.

    Distinct rows come ``n_of_row`` times; ``own`` (N,) are the numbers of the rows in distinct
    pairs of rows and ``targets`` (N, k).
    """
    is_often_other = np.mean(np.bincount(own)[n_of_row > 1] > 1) >= MIXED
    return is_often_other and n_of_row.sum() >= ROWS_OF_TARGET * len(np.unique(targets, axis=0))


def observations_of(Y, weights, group, mean):
    """`Repeats` of rows with targets (n, k), or None if each distinct row is one observation.

    ``mean`` are the targets of distinct rows.
    """
    own, unit, targets, counts = pairs_of(Y, weights, group)
    total, number = np.bincount(group, weights), np.bincount(own, counts)
    if np.all(number == 1.0):
        return None
    shares = np.where(number[own] > 1.0, unit / total[own], 1.0)
    return Repeats(own, targets, targets - mean[own], unit * counts, counts, shares)


class Merged(NamedTuple):
    """Distinct rows: weighted means of targets (n, k), sums of weights (n,), and more of each."""

    Y: np.ndarray
    weights: np.ndarray
    scatter: Scatter
    repeats: Repeats | None


def merge(Y, weights, group):
    """`Merged` rows; ``group`` is the number of the distinct row of each row, as of `distinct`.

    Solutions stay the same. What is left out is an observation, see `Pairs`, so that an
    integer weight is the same as a repetition in everything that is fitted, except for categories.
    """
    if group[-1] == len(group) - 1:
        return Merged(Y, weights, Scatter(np.zeros(Y.shape[1]), 0, weights.mean()), None)
    total = np.bincount(group, weights)
    first = Y[np.unique(group, return_index=True)[1]]  # the mean of equal targets is not rounded
    sums = [np.bincount(group, weights * y) for y in (Y - first[group]).T]
    mean = first + np.stack(sums, axis=1) / total[:, None]
    repeats = observations_of(Y, weights, group, mean)
    n = len(total) if repeats is None else int(repeats.n)
    squares = weights @ (Y - mean[group]) ** 2
    return Merged(mean, total, Scatter(squares, n - len(total), weights.sum() / n), repeats)
