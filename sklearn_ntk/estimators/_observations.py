"""Training rows as observations of an interval, with their leave-one-out residuals, by solver."""

from typing import NamedTuple

import numpy as np

from ..solvers import Solution
from ._equal_rows import Pairs, pairs_of


class Observations(NamedTuple):
    """Training rows that have the ranks of an interval, those of a pair of `Pairs` together.

    In the fit to all rows, equal ones apart, ``dual`` (N, k) are the dual coefficients ``c`` of one
    copy, and ``precision`` (N,) is its entry on the diagonal of the matrix ``M`` with ``c = M y``:
    without this copy its residual is ``c_i / M_ii``. ``group`` (N,) is the number of the distinct
    row of each pair, ``shares`` (N,) is the part of one copy of the weight of that row, ``targets``
    has shape (N, k), and ``counts`` (N,) are numbers of observations.
    """

    group: np.ndarray
    shares: np.ndarray
    targets: np.ndarray
    dual: np.ndarray
    precision: np.ndarray
    counts: np.ndarray

    def among(self, rows):
        """The pairs of some rows, of all for None."""
        if rows is None:
            return self
        kept = np.isin(self.group, rows)
        return Observations(*(each[kept] for each in self))

    def ends(self, method, coverage, weights, deviation):
        """Lower and upper ends of intervals, less the prediction, (2, m, k) at m new rows.

        ``weights`` (m, n) are those of the targets of distinct rows in the predictions, and
        ``deviation`` (m,) is the standard deviation of a new observation for an amplitude of one.
        """
        rank = rank_of(coverage, self.counts)
        weights = weights[:, self.group] * self.shares
        arguments = self.precision, weights, deviation, rank, self.counts
        return np.stack([METHODS[method](c, *arguments) for c in self.dual.T], axis=2)


def observe(pairs, Y, weights, ridge, solution):
    """`Observations` of the `Pairs` of merged targets (n, k) with these weights, fitted together.

    A copy ``p`` of the row ``g`` has ``c_p = w_p (y_p - mean_g) / ridge + w_p / w_g c_g`` and
    ``M_pp = w_p / ridge (1 - w_p / w_g) + (w_p / w_g)^2 M_gg``.
    """
    group, own, targets, counts = pairs
    shares, dual, precision = own / weights[group], solution.dual, solution.precision
    if len(group) == len(Y) and np.all(counts == 1.0):
        return Observations(group, shares, targets, dual, precision, counts)
    least = np.finfo(float).eps / np.max(precision / weights)  # for zero, the limit
    with np.errstate(over="ignore", invalid="ignore"):
        apart = own / max(ridge, least)
        dual = apart[:, None] * (targets - Y[group]) + shares[:, None] * dual[group]
        precision = apart * (1.0 - shares) + shares**2 * precision[group]
    return Observations(group, shares, targets, dual, precision, counts)


def observed(model):
    """`Observations` of a fitted model, of rows that have taught no features if others have.

    Those of conjugate gradients are by the factor that the posterior keeps. Those of centres are
    the rows that were no candidates for them: these are like new ones.
    """
    if model._observations is not None:
        return model._observations.among(model._judges)
    posterior, Y, weights = model._posterior, model._targets, model._posterior.weights
    if model._centers is None:
        precision = posterior.precision(*model._arguments(model.X_fit_)[:2])
        solution = Solution(model._dual, model._constant, precision=precision)
        seen = observe(_pairs(model), Y, weights, posterior.ridge, solution)
        return seen.among(model._judges)
    held, fit = model._centers.held, model._centers.fit
    if not model._is_stream:
        _, pairs = _among(_pairs(model), held.rows)
    elif np.any(model._scatter.squares):
        raise ValueError(
            "Intervals after partial_fit need equal targets of equal rows in its first part: "
            "take method='gaussian', or fit to all rows."
        )
    else:
        pairs = pairs_of(held.Y, held.weights, np.arange(len(held.Y)))
    ridge = max(fit.ridge, np.finfo(float).tiny ** 0.5)
    left = held.weights * np.maximum(1.0 - held.weights * fit.doubt(held.Z), np.finfo(float).eps)
    dual = held.weights[:, None] * (held.Y - held.Z @ fit.coef - fit.intercept) / ridge
    solution = Solution(dual, fit.intercept, precision=left / ridge)
    return observe(pairs, held.Y, held.weights, ridge, solution)


def left_out_of_leaves(model):
    """Leave-one-out residuals (N, k) of local models, blended, and a list of those in each leaf.

    The latter have indices of the pairs in the leaf, the place of the row of each, the part of one
    copy of the weight of that row, and its residuals. Between both come the indices of the pairs
    that intervals are by, as in `observed`, and their numbers of observations.
    """
    pairs, posterior = _pairs(model), model._posterior
    blended, found = np.zeros(pairs.targets.shape), []
    for leaf in model._leaves.leaves:
        index, own = _among(pairs, leaf.rows)
        problem = model._targets[leaf.rows], posterior.weights[leaf.rows], posterior.ridge
        seen = observe(own, *problem, leaf)
        residuals = seen.dual / seen.precision[:, None]
        blended[index] += leaf.shares[seen.group, None] * residuals
        found.append((index, seen.group, seen.shares, residuals))
    judges, group = model._judges, pairs.group
    kept = np.arange(len(group)) if judges is None else np.flatnonzero(np.isin(group, judges))
    return blended, kept, pairs.counts[kept], found


def _pairs(model):
    """`Pairs` of the training rows of a model."""
    samples = model._samples
    return pairs_of(samples.targets, samples.weights, samples.group)


def _among(pairs, rows):
    """Indices of the pairs whose row is one of these, and `Pairs` with places among the rows.

    ``rows`` increase.
    """
    place = np.minimum(np.searchsorted(rows, pairs.group), len(rows) - 1)
    index = np.flatnonzero(rows[place] == pairs.group)
    return index, Pairs(*(each[index] for each in pairs._replace(group=place)))


def rank_of(coverage, counts):
    """Rank, among so many observations, of an interval's end; ValueError if they are too few."""
    n = int(counts.sum())
    rank = int(np.ceil(coverage * (n + 1.0) - 1e-9))
    if rank > n:
        raise ValueError(
            f"coverage={coverage:.6g} needs more than {n} training rows that tell how far targets "
            f"are off: take at most {n / (n + 1.0):.4g}, or method='gaussian'."
        )
    return rank


def _conformal(dual, precision, weights, deviation, rank, counts):
    """Ends (m,) of the full conformal set of studentised residuals, which is an interval.

    With the target ``f + u`` of a new row among the others, the residual of observation i in units
    of its standard deviation is ``(c_i - l_i u / s) / sqrt(M_ii + l_i^2 / s)``, for its weight
    ``l`` and the variance ``s``; that of the new row is ``u / sqrt(s)``. The former is the larger
    one in absolute value from ``-|c_i| sqrt(s) / (r - t)`` to ``|c_i| sqrt(s) / (r + t)``, where
    ``t = sign(c_i) l_i / sqrt(s)`` and ``r = sqrt(M_ii + t^2)``.
    """
    tilt = weights / deviation[:, None]
    far = np.hypot(np.sqrt(precision), tilt) + np.abs(tilt)
    near = precision / far  # the difference of the same
    size = np.abs(dual) * deviation[:, None]
    is_up = np.signbit(tilt) == np.signbit(dual)
    lower = np.divide(size, np.where(is_up, near, far), out=tilt)
    upper = size / np.where(is_up, far, near)
    return -ranked(lower, rank, counts), ranked(upper, rank, counts)


def _jackknife_plus(dual, precision, weights, deviation, rank, counts):
    """Ends (m,) of the jackknife+: ranks of predictions without a row and its residual."""
    residuals = dual / precision
    shift, size = weights * residuals, np.abs(residuals)
    return -ranked(shift + size, rank, counts), ranked(size - shift, rank, counts)


def ranked(values, rank, counts):
    """The value of this rank, counted from one, along the second axis, of so many each."""
    if np.all(counts == 1.0):
        return np.partition(values, rank - 1, axis=1)[:, rank - 1]
    order = np.argsort(values, axis=1)
    place = np.argmax(np.cumsum(counts[order], axis=1) >= rank, axis=1)[:, None]
    return np.take_along_axis(values, np.take_along_axis(order, place, axis=1), axis=1)[:, 0]


METHODS = {"conformal": _conformal, "jackknife+": _jackknife_plus}
"""Functions of an output: dual coefficients and precisions (n,), weights (m, n), standard
deviations (m,), the rank, and numbers of observations (n,)."""
