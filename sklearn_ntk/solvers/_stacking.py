"""Stacking: mixtures of candidates, and of classes, that suit the rows left out best.

Predictions of m candidates have shape (m, n, k), targets (n, k), as in `_scoring`. The mixtures do
not depend on the unit of the weights.
"""

import numpy as np
from scipy.optimize import minimize, nnls

from ._factors import sizes, variances
from ._scoring import class_folds, log_losses, logits, ranks_of, shares_of, softmax_loss, spread

PENALTIES = (300.0, 100.0, 30.0, 10.0, 3.0)
"""Penalties of mixing classes to try, in rows."""

MOST_STEPS, TOLERANCE = 50, 1e-12
"""Of Newton's method: how often, and the gain in log loss that is none."""


def by_squares(predictions, Y, weights):
    """Weights of the mixture with the least squared error, in units of each output's variance."""
    size = sizes(Y)
    predictions, Y = predictions / size, Y / size
    variance = variances(Y, weights)
    scale = np.sqrt(weights)[:, None] / np.sqrt(np.where(variance > 0.0, variance, 1.0))
    residuals = ((predictions - Y) * scale).reshape(len(predictions), -1)
    G = residuals @ residuals.T
    if not G.trace() > 0.0:
        return np.ones(len(G))
    # w'Gw is homogeneous: this has, but for its sum, the minimum among weights of sum one
    A = np.vstack([_factor(G / (G.trace() / len(G))).T, np.ones(len(G))])
    return nnls(A, np.append(np.zeros(len(G)), 1.0))[0]


def by_log_loss(predictions, Y, weights):
    """Weights of the mixture with the least log loss, whose sum is one over its temperature.

    Newton's method: each step is a problem of nonnegative least squares.
    """
    scores = logits(predictions)
    shares, weights = spread(shares_of(Y)), weights / weights.sum()
    if not np.any(scores != scores[:, :, :1]):  # no candidate prefers a class
        return np.ones(len(scores))

    def loss(found):
        return softmax_loss(np.tensordot(found, scores, 1), shares, weights)

    found = np.zeros(len(scores))
    least, away, P = loss(found)
    for _ in range(MOST_STEPS):
        slopes = np.tensordot(scores, away)
        way = _least(_curvature(scores, P, weights), slopes, found) - found
        if slopes @ way > -TOLERANCE:
            break
        while loss(found + way)[0] > least + 1e-4 * slopes @ way and slopes @ way < -TOLERANCE:
            way *= 0.5
        found = found + way
        least, away, P = loss(found)
    return found if np.any(found) else np.ones(len(found))


def _curvature(scores, P, weights):
    """Second derivatives of the log loss by the weights of the mixture."""
    away = scores - (scores * P).sum(axis=2, keepdims=True)
    A = (away * np.sqrt(weights[:, None] * P)).reshape(len(scores), -1)
    return A @ A.T


def _least(H, slopes, found):
    """Minimum among nonnegative numbers of the parabola of these derivatives at ``found``."""
    unit = H.trace() / len(H)
    L = _factor(H / unit)
    return nnls(L.T, L.T @ found - np.linalg.solve(L, slopes / unit))[0]


def _factor(G):
    """Lower factor of a positive semi-definite matrix with a mean diagonal of one."""
    return np.linalg.cholesky(G + 1e-12 * np.eye(len(G)))


def mix_classes(scores, Y, weights, temperature, X):
    """Matrix (k, k) by which scores are multiplied, so that classes help each other.

    Regression on indicators hides a class that lies between others; multinomial logistic regression
    on its scores finds it. A penalty draws the matrix to the identity, which remains if no penalty
    has a smaller log loss in folds, which do not depend on the order of the rows ``X``.
    """
    k = scores.shape[1]
    tests = class_folds(shares_of(Y), ranks_of(X))
    if len(tests) < 2:
        return np.eye(k)
    whole = scores / temperature, spread(Y), weights / weights.mean()
    parts = [[np.delete(array, test, axis=0) for array in whole] for test in tests]

    def loss(maps):
        """Of all rows, by the maps of the folds without them."""
        pairs = zip(tests, maps, strict=True)
        return sum(weights[t] @ log_losses(scores[t] @ A, Y[t], temperature) for t, A in pairs)

    maps = [np.eye(k)] * len(tests)
    least, chosen = loss(maps), None
    for penalty in PENALTIES:
        maps = [_fit_map(*part, penalty, A) for part, A in zip(parts, maps, strict=True)]
        found = loss(maps)
        if found >= least:
            break
        least, chosen = found, penalty
    return np.eye(k) if chosen is None else _fit_map(*whole, chosen, np.eye(k))


def _fit_map(scores, shares, weights, penalty, first):
    """Matrix of the least log loss plus penalty / 2 times its squared way from the identity."""
    n, k = scores.shape
    weights, penalty = weights / n, penalty / n

    def value(flat):
        away = flat.reshape(k, k)
        loss, slopes, _ = softmax_loss(scores + scores @ away, shares, weights)
        slopes = scores.T @ slopes + penalty * away
        return loss + 0.5 * penalty * np.sum(away**2), slopes.ravel()

    options = {"gtol": 1e-7, "ftol": 1e-15, "maxiter": 1000}
    start = (first - np.eye(k)).ravel()
    found = minimize(value, start, jac=True, method="L-BFGS-B", options=options)
    return np.eye(k) + found.x.reshape(k, k)
