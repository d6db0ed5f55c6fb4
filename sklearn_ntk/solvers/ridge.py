"""Ridge regression on a Gram matrix, with leave-one-out residuals in closed form."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from .linalg import Spectrum, cholesky, sizes, try_cholesky, variances

RELATIVE_RIDGES = 10.0 ** np.arange(-6.0, 1.01, 0.5)
"""Candidate ridges relative to the mean diagonal of the Gram matrix."""

SPECTRAL_LIMIT = 500
"""Up to so many rows one eigendecomposition serves all candidates; beyond, a search by Cholesky."""

SUBSET_ROWS, SUBSET_SHARE = 250, 0.5
"""Rows, at least, and share of them, from which that search learns where to begin."""

SLACK = 0.01
"""By how much more than that of a similar problem an error may exceed the one for some rows."""


def default_ridges(K, weights, n):
    """`RELATIVE_RIDGES` times the mean of weight times diagonal, over ``n`` distinct rows."""
    return RELATIVE_RIDGES * (np.sum(weights * np.abs(K.diagonal())) / n or 1.0)


class Solution(NamedTuple):
    """Solution of a ridge regression for one ridge.

    ``residuals`` are those of leaving out one row, ``precision`` the inverse of their variances in
    the Gaussian process with this kernel, and ``log_determinant`` is that of its covariance, with
    the constant eliminated.
    """

    dual: np.ndarray
    intercept: np.ndarray
    residuals: np.ndarray
    precision: np.ndarray
    log_determinant: float

    def gcv(self, weights):
        """Error of generalised cross-validation (Golub, Heath and Wahba, 1979)."""
        trace = np.mean(self.precision / weights)
        squares = self.dual**2 / weights[:, None]
        return np.mean(squares) / trace**2


class Hint(NamedTuple):
    """What the search for one ridge tells of similar ones.

    The number of the best candidate for some of the rows; by how many that for all rows is beyond
    it; and the ratio of their errors.
    """

    guess: int
    shift: int
    ratio: float


class Ridge(NamedTuple):
    """`Solution` for the ridge in use, the candidates that were tried, and the error of each.

    ``hint`` is one for similar problems, None if all candidates were tried.
    """

    dual: np.ndarray
    intercept: np.ndarray
    residuals: np.ndarray
    precision: np.ndarray
    log_determinant: float
    ridge: float
    ridges: np.ndarray
    errors: np.ndarray
    hint: Hint | None = None


def fit_ridge(K, Y, weights, ridge):
    """Kernel ridge regression with an intercept that is not penalised.

    Minimises ``sum_i w_i |y_i - f(x_i) - c|^2 + ridge |f|^2`` over functions of the kernel and
    constants.

    Parameters
    ----------
    K : array of shape (n, n)
        Gram matrix; overwritten.
    Y : array of shape (n, k)
        Targets.
    weights : array of shape (n,)
        Positive weights of the rows.
    ridge : float

    Returns
    -------
    Ridge
        No errors are in it.

    References
    ----------
    G. Wahba, "Spline models for observational data", 1990, chapters 1 and 4.
    """
    root = np.sqrt(weights)
    factor = cholesky(_shift(_scale(K, root), ridge))
    return Ridge(*_solve(factor, Y, root), ridge, np.array([ridge]), np.empty(0))


def relative_error(solution, Y, weights):
    """Mean squared error of leaving out one row, by weight, in units of each output's variance."""
    size = sizes(Y)
    Y, residuals = Y / size, solution.residuals / size
    variance = variances(Y, weights)
    errors = np.average(residuals**2, axis=0, weights=weights)
    return np.mean(errors / np.where(variance > 0.0, variance, 1.0))


def is_searched(n, n_ridges, is_smooth):
    """Whether only some of the ridges are tried for ``n`` rows: not if the error may have jumps."""
    return is_smooth and n > SPECTRAL_LIMIT and n_ridges > 1


def select_ridge(K, Y, weights, ridges, error=relative_error, hint=None, is_smooth=True):
    """Kernel ridge regression with the ridge of the smallest error.

    Up to `SPECTRAL_LIMIT` rows all candidates are tried. Beyond, the search walks downhill from the
    best one for some of the rows, evenly spaced. With the `Hint` of a similar problem it begins as
    many candidates beyond, and also ends there if the error is as much smaller than that for some
    rows. If the error is not a smooth function of the ridge, all are tried.

    Parameters and returns are those of `fit_ridge`, with the increasing candidates ``ridges``, and
    a function ``error(solution, Y, weights)``.
    """
    root = np.sqrt(weights)
    K = _scale(K, root)
    problem = (K, Y, root, ridges, error)
    if is_searched(len(K), len(ridges), is_smooth):
        best, found, hint = _search(*problem, hint)
    else:
        found = _try_all(*problem)
        best, hint = best_position(found), None
    solution = found[best][1]
    if solution is None:  # no candidate makes the matrix positive definite
        best = len(ridges) - 1
        solution = _solve(cholesky(_shift(K, ridges[best])), Y, root)
    tried = sorted(found)
    errors = np.array([found[position][0] for position in tried])
    return Ridge(*solution, ridges[best], np.asarray(ridges)[tried], errors, hint)


def fit_spread(found, output, weights, scatter, n_more, is_noisy):
    """Amplitude of a Gaussian process, and noise beyond its ridge, that suit its residuals best.

    With the amplitude ``a`` and the noise ``b`` a residual of leaving out one row has the variance
    ``a / precision + b / weight``. Where equal rows have different targets, of which there are
    ``n_more`` in addition, these have ``a ridge + b``, and ``scatter`` is the weighted sum of their
    squares about the means. The likelihood of all of them is largest: for each ratio of both
    variances the amplitude is known.

    Parameters
    ----------
    found : Ridge
    output : int
        Number of the output.
    weights : array of shape (n,)
    scatter : float
    n_more : int
    is_noisy : bool
        Whether there is noise beyond the ridge.

    Returns
    -------
    amplitude, noise : float
    """
    variance, share = 1.0 / found.precision, 1.0 / weights
    residuals = found.residuals[:, output]
    size = np.abs(residuals).max() or np.sqrt(scatter) or 1.0
    squares = np.append((residuals / size) ** 2, scatter / size / size / max(n_more, 1))
    counts = np.append(np.ones(len(weights)), float(n_more))

    def units(ratio):
        """Variances for an amplitude of one, and that amplitude."""
        parts = np.append(variance + ratio * share, found.ridge + ratio)
        is_known = (counts > 0.0) & (parts > 0.0)
        parts, n = parts[is_known], counts[is_known]
        return parts, n, n @ (squares[is_known] / parts) / counts.sum()

    def loss(log_ratio):
        parts, n, amplitude = units(np.exp(log_ratio))
        return n @ np.log(parts * max(amplitude, np.finfo(float).tiny))

    ratio = 0.0
    if is_noisy and np.any(squares):
        middle = np.log(np.median(variance * weights))
        grid = middle + np.arange(-15.0, 15.5)
        best = grid[np.argmin([loss(point) for point in grid])]
        best = minimize_scalar(loss, bounds=(best - 1.0, best + 1.0), method="bounded").x
        ratio = np.exp(best) if loss(best) < loss(-np.inf) else 0.0
    amplitude = units(ratio)[-1] * size * size
    return amplitude, ratio * amplitude


def solve_path(K, Y, weights, ridges, is_whole):
    """`Solution` for each ridge, or None where the matrix is not positive definite.

    Without the residuals and what else comes of the inverse, if it need not be whole.
    """
    root = np.sqrt(weights)
    for factor in _factors(_scale(K, root), ridges):
        if factor is None:
            yield None
        elif is_whole:
            yield _solve(factor, Y, root)
        else:
            yield Solution(*_coefficients(factor, Y, root)[:2], None, None, None)


def _factors(K, ridges):
    """Factorisations of all shifts of a matrix, or None for those that have none."""
    if len(K) <= SPECTRAL_LIMIT:
        yield from map(Spectrum(K).shifted, ridges)
    else:
        for ridge in ridges:
            yield try_cholesky(_shift(K.copy(), ridge))


def _try_all(K, Y, root, ridges, error):
    """Error and solution of every candidate."""
    return {k: _try(factor, Y, root, error) for k, factor in enumerate(_factors(K, ridges))}


def _search(K, Y, root, ridges, error, hint):
    """Best candidate, errors and solutions of those that were tried, and the next `Hint`."""
    problem, found = (K, Y, root, ridges, error), {}
    guess, error_of_some = _guess(*problem, None if hint is None else hint.guess)
    best, least = guess, np.inf
    if hint is not None:
        best = min(max(guess + hint.shift, 0), len(ridges) - 1)
        found[best] = _try_one(*problem, best)
        least = found[best][0]
    if hint is None or not 0.0 < least <= (1.0 + SLACK) * hint.ratio * error_of_some:
        best = _descend(*problem, best, found)
        ratio = found[best][0] / error_of_some if error_of_some > 0.0 else 0.0
        ratios = [ratio] if hint is None else [ratio, hint.ratio]
        hint = Hint(guess, best - guess, min(ratios))
    return best, found, hint._replace(guess=guess)


def _guess(K, Y, root, ridges, error, start=None):
    """Best candidate for some of the rows, downhill of ``start``, and its error."""
    n_rows = min(len(K), max(SUBSET_ROWS, round(SUBSET_SHARE * len(K))))
    rows = np.linspace(0, len(K) - 1, n_rows).astype(int)
    part = (K[np.ix_(rows, rows)], Y[rows], root[rows], ridges, error)
    if start is None and n_rows <= SUBSET_ROWS:
        found = _try_all(*part)
        best = best_position(found)
    else:
        start, found = _guess(*part)[0] if start is None else start, {}
        best = _descend(*part, start, found)
    return best, found[best][0]


def _descend(K, Y, root, ridges, error, best, found):
    """Best candidate downhill of one; adds errors and solutions of those that it meets."""
    while True:
        for position in (best, best - 1, best + 1):
            if 0 <= position < len(ridges) and position not in found:
                found[position] = _try_one(K, Y, root, ridges, error, position)
        lowest = best_position(found)
        if lowest == best:
            return best
        best = lowest


def _try_one(K, Y, root, ridges, error, position):
    """Error of one candidate and its solution, by a factorisation of its own."""
    factor = try_cholesky(_shift(K.copy(), ridges[position]))
    return _try(factor, Y, root, error)


def best_position(found):
    """Position of the least error; the last one of those that are equal but for rounding."""
    least = min(error for error, _ in found.values())
    slack = 1e-9 * abs(least) if np.isfinite(least) else 0.0
    return max(position for position, (error, _) in found.items() if error <= least + slack)


def _try(factor, Y, root, error):
    """Error of a candidate and its solution; infinite without a factorisation."""
    if factor is None:
        return np.inf, None
    solution = _solve(factor, Y, root)
    return error(solution, Y, root**2), solution


def _scale(K, root):
    """``W^(1/2) K W^(1/2)`` in place."""
    if np.any(root != 1.0):
        K *= root[:, None]
        K *= root
    return K


def _shift(K, ridge):
    K[np.diag_indices_from(K)] += ridge
    return K


def _coefficients(factor, Y, root):
    """Dual coefficients, intercept, and ``G 1`` with ``G = (K + ridge W^-1)^-1``."""
    columns = factor.solve(np.column_stack([root[:, None] * Y, root]))
    ones = columns[:, -1]
    intercept = root @ columns[:, :-1] / (root @ ones)
    return root[:, None] * (columns[:, :-1] - np.outer(ones, intercept)), intercept, ones


def _solve(factor, Y, root):
    """`Solution` by a factorisation.

    With ``G = (K + ridge W^-1)^-1`` and the constant eliminated, ``M = G - G 1 1'G / 1'G 1``; then
    the coefficients are ``c = M y`` and the residuals ``c_i / M_ii``.
    """
    dual, intercept, ones = _coefficients(factor, Y, root)
    total = root @ ones
    whole = factor.inverse_diagonal()
    precision = whole - ones * (ones / total)  # no squares: K may be tiny
    floor = np.maximum(np.finfo(float).eps * whole, np.finfo(float).tiny)  # less is rounding
    precision = root**2 * np.maximum(precision, floor if len(root) > 1 else 1.0)
    log_determinant = factor.log_determinant() + np.log(total) - 2.0 * np.log(root).sum()
    return Solution(dual, intercept, dual / precision[:, None], precision, log_determinant)
