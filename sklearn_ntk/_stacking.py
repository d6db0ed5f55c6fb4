"""Stacking: mixtures of candidates, and of classes, that suit the rows left out best.

Predictions of m candidates have shape (m, n, k), targets (n, k), as in `_scoring`. The mixtures do
not depend on the unit of the weights.
"""

import numpy as np
from scipy.optimize import minimize, nnls
from scipy.special import log_softmax

from ._scoring import class_folds, log_losses, logits, shares_of, spread
from .linalg import variances

PENALTIES = (300.0, 100.0, 30.0, 10.0, 3.0)
"""Penalties of mixing classes to try, in rows."""

MOST_STEPS = 50


def by_squares(predictions, Y, weights):
    """Weights of the mixture with the least squared error, in units of each output's variance."""
    variance = variances(Y, weights)
    scale = np.sqrt(weights)[:, None] / np.sqrt(np.where(variance > 0.0, variance, 1.0))
    residuals = ((predictions - Y) * scale).reshape(len(predictions), -1)
    G = residuals @ residuals.T
    if not G.trace() > 0.0:
        return np.ones(len(G))
    # w'Gw is homogeneous: this has, but for its sum, the minimum among weights of sum one
    A = np.vstack([_root(G).T, np.ones(len(G))])
    return nnls(A, np.append(np.zeros(len(G)), 1.0))[0]


def by_log_loss(predictions, Y, weights):
    """Weights of the mixture with the least log loss, whose sum is one over its temperature.

    Newton's method: each step is a problem of nonnegative least squares.
    """
    scores = logits(predictions)
    m = len(scores)
    shares, weights = spread(shares_of(Y), len(Y)), weights[:, None] / weights.sum()

    def loss(found):
        log_shares = log_softmax(np.tensordot(found, scores, 1), axis=1)
        return -np.sum(weights * shares * log_shares), np.exp(log_shares)

    found = np.zeros(m)
    least, P = loss(found)
    for _ in range(MOST_STEPS):
        slopes = scores.reshape(m, -1) @ (weights * (P - shares)).ravel()
        A = (scores * np.sqrt(weights * P)).reshape(m, -1)
        B = (scores * P).sum(axis=2) * np.sqrt(weights[:, 0])
        H = A @ A.T - B @ B.T
        if not H.trace() > 0.0:
            break
        root = _root(H) * np.sqrt(H.trace() / m)
        way = nnls(root.T, np.linalg.solve(root, root @ (root.T @ found) - slopes))[0] - found
        if slopes @ way > -1e-12:
            break
        step = 1.0
        while step > 1e-6 and loss(found + step * way)[0] > least + 1e-4 * step * slopes @ way:
            step *= 0.5
        found = found + step * way
        least, P = loss(found)
    return found if np.any(found) else np.ones(m)


def _root(G):
    """Lower factor of a positive semi-definite matrix over the mean of its diagonal."""
    return np.linalg.cholesky(G / (G.trace() / len(G)) + 1e-12 * np.eye(len(G)))


def mix_classes(scores, Y, weights, temperature, ranks):
    """Matrix (k, k) by which scores are multiplied, so that classes may help each other.

    Regression on indicators hides a class that lies between others. Multinomial logistic regression
    on the scores finds it. The identity is where it is drawn to, and what is left if no penalty has
    a smaller log loss in folds, which depend on the ranks of the rows.
    """
    n, k = scores.shape
    tests, weights = class_folds(shares_of(Y), ranks), weights / weights.mean()
    if len(tests) < 2:
        return np.eye(k)
    problem = scores / temperature, spread(Y, n), weights
    parts = [tuple(np.delete(array, test, axis=0) for array in problem) for test in tests]
    maps = [np.eye(k)] * len(tests)
    losses = []
    for penalty in (np.inf, *PENALTIES):
        if losses:
            maps = [_fit_map(*part, penalty, A) for part, A in zip(parts, maps, strict=True)]
        pairs = zip(tests, maps, strict=True)
        losses.append(sum(_loss(scores[t] @ A, Y[t], weights[t], temperature) for t, A in pairs))
        if losses[-1] > losses[max(len(losses) - 2, 0)]:
            break
    best = int(np.argmin(losses))
    return _fit_map(*problem, PENALTIES[best - 1], np.eye(k)) if best else np.eye(k)


def _loss(scores, shares, weights, temperature):
    return weights @ log_losses(scores, shares, temperature)


def _fit_map(scores, shares, weights, penalty, first):
    """Matrix of the least log loss plus penalty / 2 times its squared way from the identity."""
    n, k = scores.shape
    weights, penalty = weights[:, None] / n, penalty / n

    def value(flat):
        away = flat.reshape(k, k)
        log_shares = log_softmax(scores + scores @ away, axis=1)
        loss = 0.5 * penalty * np.sum(away**2) - np.sum(weights * shares * log_shares)
        slopes = scores.T @ (weights * (np.exp(log_shares) - shares)) + penalty * away
        return loss, slopes.ravel()

    options = {"gtol": 1e-7, "ftol": 1e-15, "maxiter": 1000}
    start = (first - np.eye(k)).ravel()
    found = minimize(value, start, jac=True, method="L-BFGS-B", options=options)
    return np.eye(k) + found.x.reshape(k, k)
