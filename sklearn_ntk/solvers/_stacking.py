"""Stacking: nonnegative combinations of candidates with the least leave-out loss; mixing of scores.

Predictions of m candidates for n rows that they were not fitted to have shape (m, n, k), targets
(n, k), as in `_scoring`. Multiplying all weights by a constant changes nothing.
"""

import numpy as np
from scipy.optimize import minimize, nnls

from ._moments import or_one, sizes, variances
from ._scoring import class_folds, log_losses, logits, ranks_of, shares_of, softmax_loss, spread

PENALTIES = (300.0, 100.0, 30.0, 10.0, 3.0)
"""Penalties that `mix_classes` tries, in decreasing order; they count like so many rows."""

MOST_STEPS, TOLERANCE = 50, 1e-12
"""Most steps of Newton's method, and the gain in mean log loss below which it ends."""


def by_squares(predictions, Y, weights):
    """Nonnegative weights (m,) of candidates with the least squared error of their weighted mean.

    Errors are divided by the variance of each output. The weights are up to a common factor.
    """
    size = sizes(Y)
    predictions, Y = predictions / size, Y / size
    variance = variances(Y, weights)
    scale = np.sqrt(weights)[:, None] / np.sqrt(or_one(variance))
    residuals = ((predictions - Y) * scale).reshape(len(predictions), -1)
    G = residuals @ residuals.T
    if not G.trace() > 0.0:
        return np.ones(len(G))
    # min |F'w|^2 + (sum w - 1)^2 with F F' = G: up to a factor, the minimum of w'Gw with sum one
    A = np.vstack([_factor(G / (G.trace() / len(G))).T, np.ones(len(G))])
    return nnls(A, np.append(np.zeros(len(G)), 1.0))[0]


def by_log_loss(predictions, Y, weights):
    """Nonnegative weights w (m,) with the least log loss of the scores ``sum_c w_c scores_c``.

    Newton's method with w >= 0, each step a problem of nonnegative least squares. One over the sum
    of the weights is the temperature of the mean.
    """
    scores = logits(predictions)
    shares, weights = spread(shares_of(Y)), weights / weights.sum()
    if not np.any(scores != scores[:, :, :1]):  # no candidate prefers a class
        return np.ones(len(scores))

    def evaluate(w):
        return softmax_loss(np.tensordot(w, scores, 1), shares, weights)

    w = np.zeros(len(scores))
    loss, score_gradient, P = evaluate(w)
    for _ in range(MOST_STEPS):
        gradient = np.tensordot(scores, score_gradient)
        step = _minimise_quadratic(_hessian(scores, P, weights), gradient, w) - w
        if gradient @ step > -TOLERANCE:
            break
        while (
            evaluate(w + step)[0] > loss + 1e-4 * gradient @ step and gradient @ step < -TOLERANCE
        ):
            step *= 0.5
        w = w + step
        loss, score_gradient, P = evaluate(w)
    return w if np.any(w) else np.ones(len(w))


def _hessian(scores, P, weights):
    """Second derivatives (m, m) of the log loss with respect to the weights of the candidates."""
    centred = scores - (scores * P).sum(axis=2, keepdims=True)
    A = (centred * np.sqrt(weights[:, None] * P)).reshape(len(scores), -1)
    return A @ A.T


def _minimise_quadratic(H, gradient, w):
    """Minimum over v >= 0 of ``gradient'(v - w) + (v - w)'H(v - w) / 2``."""
    unit = H.trace() / len(H)
    L = _factor(H / unit)
    return nnls(L.T, L.T @ w - np.linalg.solve(L, gradient / unit))[0]


def _factor(G):
    """Lower Cholesky factor of a positive semi-definite matrix with a mean diagonal of one."""
    return np.linalg.cholesky(G + 1e-12 * np.eye(len(G)))


def mix_classes(scores, Y, weights, temperature, X):
    """Matrix A (k, k) that improves scores (n, k) of k classes: ``scores @ A`` replaces them.

    Least squares on indicators masks a class that lies between others; multinomial logistic
    regression on its scores finds it. A penalty draws A to the identity, and is chosen by the log
    loss in folds; the identity is returned if no penalty has a smaller one. The folds depend on the
    rows ``X``, and of equal ones on their targets, but not on their order.
    """
    k = scores.shape[1]
    tests = class_folds(shares_of(Y), ranks_of(np.column_stack([Y, X])))
    if len(tests) < 2:
        return np.eye(k)
    data = scores / temperature, spread(Y), weights / weights.mean()
    training_sets = [[np.delete(array, test, axis=0) for array in data] for test in tests]

    def loss(maps):
        """Log loss of the rows of each fold with the matrix that was fitted without them."""
        pairs = zip(tests, maps, strict=True)
        return sum(weights[t] @ log_losses(scores[t] @ A, Y[t], temperature) for t, A in pairs)

    maps = [np.eye(k)] * len(tests)
    least, chosen = loss(maps), None
    for penalty in PENALTIES:
        maps = [_fit_map(*rows, penalty, A) for rows, A in zip(training_sets, maps, strict=True)]
        current = loss(maps)
        if current >= least:
            break
        least, chosen = current, penalty
    return np.eye(k) if chosen is None else _fit_map(*data, chosen, np.eye(k))


def _fit_map(scores, shares, weights, penalty, first):
    """Matrix A (k, k) of the least log loss plus ``penalty / 2 |A - I|^2``, from ``first`` on."""
    n, k = scores.shape
    weights, penalty = weights / n, penalty / n

    def value(flat):
        deviation = flat.reshape(k, k)  # A - I
        loss, score_gradient, _ = softmax_loss(scores + scores @ deviation, shares, weights)
        gradient = scores.T @ score_gradient + penalty * deviation
        return loss + 0.5 * penalty * np.sum(deviation**2), gradient.ravel()

    options = {"gtol": 1e-7, "ftol": 1e-15, "maxiter": 1000}
    start = (first - np.eye(k)).ravel()
    result = minimize(value, start, jac=True, method="L-BFGS-B", options=options)
    return np.eye(k) + result.x.reshape(k, k)
