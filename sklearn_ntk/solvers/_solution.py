"""Results of solvers: the `Solution` for one ridge or time, and the `Path` along several.

Also the checks of arguments that all solvers share.
"""

from typing import NamedTuple

import numpy as np

from .._runtime.check import read_gram, read_number, read_targets, read_weights
from .._runtime.device import on_host
from ..gram import ArrayOperator, GramOperator
from ._moments import or_one, sizes, variances

BY_ROW = ("residuals", "precision", "training_residuals", "leverages")
"""Fields of a `Solution` that have an entry for each row: what belongs to leaving it out."""

UNLIKE = 2
"""Rows that `varied` adds for a column, at most."""


class Solution(NamedTuple):
    """A function of the kernel plus a constant, fitted to k columns of targets of n rows.

    Parameters
    ----------
    dual : array of shape (n, k)
        Dual coefficients: values at new rows are ``k(x, X) @ dual + intercept``.
    intercept : array of shape (k,)
    residuals : array of shape (n, k) or None
        Residual of each row in the fit without it (leave-one-out). This and all fields below are
        None if they were not computed.
    gcv : float or None
        Error of generalised cross-validation (Golub, Heath and Wahba, 1979).
    precision : array of shape (n,) or None
        Inverse variances of ``residuals`` under the Gaussian process with this kernel and ridge.
    log_determinant : float or None
        Log determinant of the covariance of this Gaussian process, with the constant eliminated;
        only from `Ridge`.
    rows : array of shape (m,) or None
        The rows to which ``residuals`` and ``precision`` belong, if not all.
    details : object
        Further results of the solver: `Iterations`, `Centers` or `Leaves`. With centres, ``dual``
        belongs to these instead of the training rows; leaves have coefficients of their own.
    training_residuals, leverages : arrays of shape (n, k) and (n,), or None
        For the rows of ``residuals``: residuals in the fit to all rows, and derivatives of the
        fitted values with respect to their own targets.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ntk.solvers import Ridge
    >>> Ridge(1.0).fit(np.eye(2), np.array([0.0, 2.0])).solution.intercept
    array([1.])
    """

    dual: np.ndarray
    intercept: np.ndarray
    residuals: np.ndarray | None = None
    gcv: float | None = None
    precision: np.ndarray | None = None
    log_determinant: float | None = None
    rows: np.ndarray | None = None
    details: object = None
    training_residuals: np.ndarray | None = None
    leverages: np.ndarray | None = None

    def among(self, rows):
        """The solution with residuals and precisions of these rows only, or itself for None."""
        if rows is None:
            return self
        own = np.arange(len(self.residuals)) if self.rows is None else self.rows
        kept = np.flatnonzero(np.isin(own, rows))
        parts = {name: part[kept] for name, part in self._by_row().items()}
        return self._replace(**parts, rows=own[kept])

    def judged(self, other, rows):
        """The solution with residuals, and what goes with them, of these rows from another one."""
        parts = {name: part.copy() for name, part in self._by_row().items()}
        for name, part in parts.items():
            part[rows] = getattr(other, name)[rows]
        return self._replace(**parts)

    def _by_row(self):
        """The fields `BY_ROW` by their names, those that were computed."""
        parts = ((name, getattr(self, name)) for name in BY_ROW)
        return {name: part for name, part in parts if part is not None}

    def known(self, Y, weights):
        """Targets and weights of the rows that ``residuals`` belong to."""
        return (Y, weights) if self.rows is None else (Y[self.rows], weights[self.rows])


class Path(NamedTuple):
    """The parameter values that a solver has tried, and the solution for the best one.

    Parameters
    ----------
    values : array
        Ridges in increasing order, or times in decreasing order.
    errors : array
        The error for each value; empty if one value was given.
    best : int
        Index of the least error.
    solution : Solution
        Solution for the best value.
    guess, shift, ratio : int, int and float, optional
        From a search among many ridges, to start the search in a similar problem: the index of the
        best ridge for a subset of the rows; the index of the best ridge for all rows, minus that;
        and the ratio of the error for all rows to the error for the subset.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ntk.solvers import Ridge
    >>> path = Ridge([0.1, 1.0]).fit(np.eye(3), np.array([0.0, 2.0, 7.0]))
    >>> path.value, path.errors.shape
    (np.float64(1.0), (2,))
    """

    values: np.ndarray
    errors: np.ndarray
    best: int
    solution: Solution
    guess: int | None = None
    shift: int | None = None
    ratio: float | None = None

    @property
    def value(self):
        """The best value."""
        return self.values[self.best]


def read_problem(operator, Y, weights):
    """Checked arguments of ``fit``: `GramOperator`, targets (n, k), weights (n,)."""
    if not isinstance(operator, GramOperator):
        operator = ArrayOperator(read_gram(operator))
    n = operator.shape[0]
    weights = np.ones(n) if weights is None else read_weights(on_host(weights), n)
    return operator, read_targets(on_host(Y), n)[0], weights


def read_index(values, n, name):
    """Array of distinct indices of n rows, as given; raises ValueError."""
    index = np.asarray(values)
    if index.ndim != 1 or index.dtype.kind not in "iu" or not len(index):
        raise ValueError(f"{name} must be indices of rows; got an array of {index.dtype}.")
    if index.min() < 0 or index.max() >= n:
        far = index[(index < 0) | (index >= n)][0]
        raise ValueError(f"{name} must be indices from 0 to {n - 1}; got {far}.")
    if len(np.unique(index)) < len(index):
        raise ValueError(f"{name} must differ from each other; an index occurs twice: drop it.")
    return index


def read_judges(judges, n):
    """`read_index` of the rows that choose a ridge, or None for all."""
    return None if judges is None else read_index(judges, n, "judges")


def error_for(error, rows):
    """An error to minimise for some of the rows; those that know the rows have ``take``."""
    return error.take(rows) if hasattr(error, "take") else error


def places(rows, judges):
    """Places of the ``judges`` among some rows, or None, which is for all, if there are none."""
    if judges is None:
        return None
    found = np.flatnonzero(np.isin(rows, judges))
    return found if len(found) else None


def varied(rows, others, Y):
    """Indices of rows, and of a few others if a column of Y is constant on the rows alone.

    Errors of constant targets are rounding, which must not choose.
    """
    if not len(rows):
        return rows
    most = len(rows) + max(UNLIKE, len(rows) // 4)
    constant = np.flatnonzero(np.all(Y[rows] == Y[rows[0]], axis=0))
    for column in Y.T[constant]:
        if len(rows) < most and np.all(column[rows] == column[rows[0]]):
            unlike = others[column[others] != column[rows[0]]][:UNLIKE]
            rows, others = np.append(rows, unlike), others[~np.isin(others, unlike)]
    return rows


def read_values(values, name, may_be_infinite=False):
    """Array of increasing numbers >= 0; raises ValueError if there is none."""
    numbers = [read_number(value, name, may_be_infinite=may_be_infinite) for value in values]
    if not numbers:
        raise ValueError(f"{name} must have a value to try; got {values!r}.")
    return np.sort(numbers)


def relative_error(solution, Y, weights):
    """Weighted mean squared leave-one-out error, divided by the variance of each output.

    The mean over outputs.
    """
    return relative_squares(solution.residuals, Y, weights, solution.known(Y, weights)[1])


def relative_squares(residuals, Y, weights, known):
    """Weighted means (...) of the squares of residuals (..., n, k), as `relative_error`.

    ``known`` are the weights of the rows that have residuals.
    """
    size = sizes(Y)
    variance = variances(Y / size, weights)
    shares = known / known.sum()
    errors = np.einsum("i,...ik->...k", shares, (residuals / size) ** 2)
    return np.mean(errors / or_one(variance), axis=-1)


def descend(errors, try_all, n, best):
    """Move to the better neighbour until there is none; index of the local minimum.

    ``try_all(places)`` adds the errors of some of n values, in increasing order, to the dictionary
    ``errors``.
    """
    while True:
        near = (best - 1, best, best + 1)
        new = [place for place in near if 0 <= place < n and place not in errors]
        if new:
            try_all(new)
        lowest = best_tried(errors)
        if lowest == best:
            return best
        best = lowest


def best_tried(errors):
    """Index of the best value of a dictionary of errors."""
    places = sorted(errors)
    return places[best_place([errors[place] for place in places])]


def best_place(errors):
    """Index of the least error; the last of those that are equal but for rounding."""
    errors = np.asarray(errors)
    least = np.fmin.reduce(errors)
    slack = 1e-9 * abs(least) if np.isfinite(least) else 0.0
    return int(np.flatnonzero(errors <= least + slack)[-1])
