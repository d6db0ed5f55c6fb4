"""Ridge regression on a Gram matrix, with leave-one-out residuals in closed form."""

from typing import NamedTuple

import numpy as np

from .linalg import Cholesky, Spectrum

RELATIVE_RIDGES = 10.0 ** np.arange(-6.0, 1.01, 0.5)
"""Candidate ridges relative to the mean diagonal of the Gram matrix."""

SPECTRAL_LIMIT = 1000
"""Up to so many rows all candidates come from one eigendecomposition; beyond, Cholesky searches."""


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
    factor = Cholesky(_shift(_scale(K, root), ridge))
    solution = _solve(factor, Y, root)
    return Ridge(*solution[:2], ridge, *solution[2:], np.array([ridge]), solution[2][:0, 0])


def select_ridge(K, Y, weights, ridges):
    """Kernel ridge regression with the ridge of the smallest leave-one-out error.

    The error is the mean squared error over rows, by weight, and over outputs, each in units of
    its variance. Up to `SPECTRAL_LIMIT` rows all candidates are tried; beyond, the search walks
    downhill from the middle.

    Parameters and returns are those of `fit_ridge`, with the increasing candidates ``ridges``.
    """
    root = np.sqrt(weights)
    K = _scale(K, root)
    spread = _spread(Y, weights)
    found = {}
    spectrum = Spectrum(K) if len(K) <= SPECTRAL_LIMIT else None

    def error(position):
        if position not in found:
            ridge = ridges[position]
            factor = spectrum.shifted(ridge) if spectrum else _try_cholesky(K, ridge)
            found[position] = (np.inf, None)
            if factor is not None:
                solution = _solve(factor, Y, root)
                mean = np.average(solution[2] ** 2 / spread, axis=0, weights=weights)
                found[position] = (mean.mean(), solution)
        return found[position][0]

    if spectrum:
        best = min(range(len(ridges)), key=error)
    else:
        best = _descend(error, len(ridges))
    if found[best][1] is None:
        Cholesky(_shift(K, ridges[-1]))  # says what is wrong with the matrix
    tried = sorted(found)
    errors = np.array([found[position][0] for position in tried])
    solution = found[best][1]
    return Ridge(*solution[:2], ridges[best], *solution[2:], np.asarray(ridges)[tried], errors)


def _scale(K, root):
    """``W^(1/2) K W^(1/2)`` in place."""
    if np.any(root != 1.0):
        K *= root[:, None]
        K *= root
    return K


def _shift(K, ridge):
    K[np.diag_indices_from(K)] += ridge
    return K


def _try_cholesky(K, ridge):
    try:
        return Cholesky(_shift(K.copy(), ridge))
    except ValueError:
        return None


def _spread(Y, weights):
    """Weighted variance of each output, one for constant outputs."""
    mean = np.average(Y, axis=0, weights=weights)
    variance = np.average((Y - mean) ** 2, axis=0, weights=weights)
    return variance + (variance == 0.0)


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


def _descend(error, n):
    """Position of a minimum of ``error(position)``, by steps of two and then of one."""
    best = n // 2
    for step in (2, 1):
        moved = True
        while moved:
            near = [p for p in (best - step, best + step) if 0 <= p < n]
            lowest = min([best, *near], key=error)
            moved = lowest != best and step > 1
            best = lowest
    return best
