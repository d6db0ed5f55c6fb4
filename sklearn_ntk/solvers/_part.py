"""Some of many rows, and their best ridge, where searches among ridges for all of them begin."""

import numpy as np

from .._runtime.threads import run_apart
from ._ridge import Ridge
from ._solution import error_for, places, relative_error, varied

GUESS_ROWS = 3500
"""Rows whose best ridge, by exact leave-one-out errors, is where searches for more rows begin."""


def guess_ridge(ridges, operator, Y, weights, rows, error, judges=None):
    """Index of the best of several ridges for some rows, by `Ridge`.

    It carries over unscaled to more rows, if these are from everywhere.
    """
    path = fit_part(ridges, operator, Y, weights, rows, error, judges)
    return int(np.flatnonzero(ridges == path.value)[0])


def part_of(Y, rng, judges=None):
    """Indices of `GUESS_ROWS` rows by chance, of the ``judges`` first; targets vary on them."""
    order = rng.permutation(len(Y))
    if judges is not None:
        order = order[np.argsort(~np.isin(order, judges), kind="stable")]
    return np.sort(varied(order[:GUESS_ROWS], order[GUESS_ROWS:], Y))


def fit_part(ridges, operator, Y, weights, rows, error=relative_error, judges=None):
    """`Path` of `Ridge` for some rows, by those that choose; Ctrl-C ends the wait for it."""
    problem = operator.take(rows), Y[rows], weights[rows]
    error = error_for(error, rows)
    return run_apart(lambda: Ridge(ridges, error).fit(*problem, judges=places(rows, judges)))
