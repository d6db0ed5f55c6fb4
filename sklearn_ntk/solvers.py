"""Ridge regression on a Gram matrix, with leave-one-out residuals in closed form."""

from typing import NamedTuple

import numpy as np

from .linalg import Spectrum, cholesky, try_cholesky

RELATIVE_RIDGES = 10.0 ** np.arange(-6.0, 1.01, 0.5)
"""Candidate ridges relative to the mean diagonal of the Gram matrix."""

SPECTRAL_LIMIT = 1000
"""Up to so many rows one eigendecomposition serves all candidates; beyond, a search by Cholesky."""

SUBSET_ROWS = 1000
"""Rows from which that search learns where to begin."""


class Ridge(NamedTuple):
    """Solution of a ridge regression.

    ``residuals`` are those of leaving out one row, ``precision`` the inverse of their variances in
    the Gaussian process with this kernel. ``ridges`` and ``errors`` are the candidates that were
    tried, and the weighted mean of the squared residuals of each.
    """

    dual: np.ndarray
    intercept: np.ndarray
    ridge: float
    residuals: np.ndarray
    precision: np.ndarray
    ridges: np.ndarray
    errors: np.ndarray


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

    References
    ----------
    G. Wahba, "Spline models for observational data", 1990, chapters 1 and 4.
    """
    root = np.sqrt(weights)
    factor = cholesky(_shift(_scale(K, root), ridge))
    solution = _solve(factor, Y, root)
    return Ridge(*solution[:2], ridge, *solution[2:], np.array([ridge]), solution[2][:0, 0])


def select_ridge(K, Y, weights, ridges):
    """Kernel ridge regression with the ridge of the smallest leave-one-out error.

    The error is the mean squared error over rows, by weight, and over outputs, each in units of
    its variance. Up to `SPECTRAL_LIMIT` rows all candidates are tried. Beyond, the search walks
    downhill from the best one for `SUBSET_ROWS` evenly spaced rows.

    Parameters and returns are those of `fit_ridge`, with the increasing candidates ``ridges``.
    """
    root = np.sqrt(weights)
    K = _scale(K, root)
    if len(K) <= SPECTRAL_LIMIT:
        found = _try_all(K, Y, root, ridges)
        best = _best(found)
    else:
        best, found = _descend(K, Y, root, ridges)
    solution = found[best][1]
    if solution is None:  # no candidate makes the matrix positive definite
        best = len(ridges) - 1
        solution = _solve(cholesky(_shift(K, ridges[best])), Y, root)
    tried = sorted(found)
    errors = np.array([found[position][0] for position in tried])
    return Ridge(*solution[:2], ridges[best], *solution[2:], np.asarray(ridges)[tried], errors)


def _try_all(K, Y, root, ridges):
    """Error and solution of every candidate, from one eigendecomposition."""
    spectrum = Spectrum(K)
    return {k: _try(spectrum.shifted(ridge), Y, root) for k, ridge in enumerate(ridges)}


def _descend(K, Y, root, ridges):
    """Best candidate, and errors and solutions of those that were met on the way to it."""
    rows = np.linspace(0, len(K) - 1, min(len(K), SUBSET_ROWS)).astype(int)
    best = _best(_try_all(K[np.ix_(rows, rows)], Y[rows], root[rows], ridges))
    found = {}
    while True:
        for position in (best, best - 1, best + 1):
            if 0 <= position < len(ridges) and position not in found:
                factor = try_cholesky(_shift(K.copy(), ridges[position]))
                found[position] = _try(factor, Y, root)
        lowest = _best(found)
        if lowest == best:
            return best, found
        best = lowest


def _best(found):
    """Position of the least error; the largest ridge of those that are equal but for rounding."""
    least = min(error for error, _ in found.values())
    return max(position for position, (error, _) in found.items() if error <= least * (1 + 1e-9))


def _try(factor, Y, root):
    """Leave-one-out error of a candidate and its solution; infinite without a factorisation."""
    if factor is None:
        return np.inf, None
    solution = _solve(factor, Y, root)
    weights = root**2
    size = np.abs(Y).max(axis=0)
    size[size == 0.0] = 1.0
    Y, residuals = Y / size, solution[2] / size
    mean = np.average(Y, axis=0, weights=weights)
    variance = np.average((Y - mean) ** 2, axis=0, weights=weights)
    is_constant = variance <= (1e-13 * mean) ** 2
    errors = np.average(residuals**2, axis=0, weights=weights)
    return np.mean(errors / np.where(is_constant, 1.0, variance)), solution


def _scale(K, root):
    """``W^(1/2) K W^(1/2)`` in place."""
    if np.any(root != 1.0):
        K *= root[:, None]
        K *= root
    return K


def _shift(K, ridge):
    K[np.diag_indices_from(K)] += ridge
    return K


def _solve(factor, Y, root):
    """Dual coefficients, intercept, leave-one-out residuals and precisions.

    With ``G = (K + ridge W^-1)^-1`` and the constant eliminated, ``M = G - G 1 1'G / 1'G 1``; then
    the coefficients are ``c = M y`` and the residuals ``c_i / M_ii``.
    """
    n = len(root)
    columns = factor.solve(np.column_stack([root[:, None] * Y, root]))
    ones = columns[:, -1]
    total = root @ ones
    intercept = root @ columns[:, :-1] / total
    scaled = columns[:, :-1] - np.outer(ones, intercept)
    precision = factor.inverse_diagonal() - ones**2 / total
    floor = np.finfo(float).tiny if n > 1 else 1.0
    precision = root**2 * np.maximum(precision, floor)
    dual = root[:, None] * scaled
    return dual, intercept, dual / precision[:, None], precision
