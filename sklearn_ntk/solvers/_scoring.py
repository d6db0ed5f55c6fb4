"""Scores of predictions, by which candidates are compared, and the temperature of probabilities.

Predictions and targets have shape (n, k). Classes are targets of +-1 if there are two, and
indicators if there are more; where equal rows were merged, their mean.
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from ._factors import sizes, variances
from ._units import scaled

N_FOLDS = 5
"""Folds of rows by whose log loss something is chosen."""


def logits(scores):
    """One column for each class, in the last axis: a single score is the difference of two."""
    if scores.shape[-1] > 1:
        return scores
    return np.concatenate([-0.5 * scores, 0.5 * scores], axis=-1)


def shares_of(targets):
    """Shares of the classes in each row."""
    if targets.shape[1] > 1:
        return targets
    return np.hstack([0.5 - 0.5 * targets, 0.5 + 0.5 * targets])


def spread(shares):
    """Shares of the classes, with one row more, whose class nobody knows, spread over all rows.

    Scores without a mistake would otherwise make probabilities certain.
    """
    n, n_classes = shares.shape
    return (n * shares + 1.0 / n_classes) / (n + 1.0)


def ranks_of(X):
    """Places of distinct rows in an order that does not depend on that in which they come."""
    return np.argsort(np.lexsort(X.T))


def class_folds(shares, ranks):
    """Rows of up to `N_FOLDS` folds, over which each class is spread.

    Which row is in which fold depends on their ranks.
    """
    n = len(shares)
    order = np.argsort(ranks)[np.random.RandomState(0).permutation(n)]
    order = order[np.argsort(shares[order].argmax(axis=1), kind="stable")]
    fold = np.empty(n, dtype=int)
    fold[order] = np.arange(n) % min(N_FOLDS, n)
    return [np.flatnonzero(fold == k) for k in range(fold.max() + 1)]


def fit_temperature(scores, targets, weights):
    """Temperature at which these scores of distinct rows have the smallest log loss."""
    shares = spread(shares_of(targets))

    def loss(log_temperature):
        losses = log_losses(scores, shares, np.exp(log_temperature))
        return np.average(losses, weights=weights)

    return float(np.exp(minimize_scalar(loss, bounds=(-5.0, 3.0), method="bounded").x))


def softmax_loss(scores, shares, weights):
    """Sum of the log losses by weight, its slope by the scores, and the probabilities.

    Scores, shares of the classes, slope and probabilities have shape (n, n_classes).
    """
    log_shares = log_softmax(scores, axis=1)
    P = np.exp(log_shares)
    return -weights @ (shares * log_shares).sum(axis=1), weights[:, None] * (P - shares), P


def log_losses(scores, shares, temperature):
    """Log loss of each row, for the shares of the classes in it."""
    return -(shares * log_softmax(logits(scores) / temperature, axis=1)).sum(axis=1)


# --- Scores: the larger the better ----------------------------------------------------------------


def neg_mean_squared_error(scores, targets, weights, fit=None):
    """Mean over rows, by weight, and over outputs."""
    return -np.average(((targets - scores) ** 2).mean(axis=1), weights=weights)


def r2(scores, targets, weights, fit):
    """Mean over outputs of the share of variance that is explained; constants have score zero."""
    size = sizes(targets)
    targets, scores = targets / size, scores / size
    total = variances(targets, weights)
    rest = np.average((targets - scores) ** 2, axis=0, weights=weights)
    return np.mean(np.where(total > 0.0, 1.0 - rest / np.where(total > 0.0, total, 1.0), 0.0))


def accuracy(scores, targets, weights, fit):
    """Share of rows, by weight, whose class is that of the largest score."""
    picked = logits(scores).argmax(axis=1)[:, None]
    hits = np.take_along_axis(shares_of(targets), picked, axis=1)[:, 0]
    return np.average(hits, weights=weights)


def neg_log_loss(scores, targets, weights, fit):
    """Log loss of the probabilities, at the temperature that suits the rows left out of the fit."""
    left_out, own, own_weights = fit
    temperature = fit_temperature(own - left_out.residuals, own, own_weights)
    return -np.average(log_losses(scores, shares_of(targets), temperature), weights=weights)


def neg_gcv(scores, targets, weights, fit):
    """Generalised cross-validation (Golub, Heath and Wahba, 1979), a squared error."""
    left_out, _, own_weights = fit
    return -left_out.gcv / own_weights.mean()


def log_marginal_likelihood(scores, targets, weights, fit):
    """Restricted log likelihood of the Gaussian process at its best amplitude, over outputs.

    Of equal rows it is that of their means.
    """
    left_out, own, _ = fit
    (n, n_outputs), size = own.shape, sizes(own)
    squares = np.maximum((own / size * (left_out.dual / size)).sum(axis=0), np.finfo(float).tiny)
    spread = np.log(2.0 * np.pi * squares / max(n - 1, 1)) + 2.0 * np.log(size) + 1.0
    return -0.5 * ((n - 1) * spread.sum() + n_outputs * left_out.log_determinant)


SCORES = {
    function.__name__: function
    for function in (
        neg_mean_squared_error,
        r2,
        accuracy,
        neg_log_loss,
        neg_gcv,
        log_marginal_likelihood,
    )
}
"""Functions ``score(scores, targets, weights, (solution, targets, weights))``.

The last ones are those of the fit: all of it, or of the other folds.
"""

OF_SQUARES = ("neg_mean_squared_error", "neg_gcv")
OF_CLASSES = ("accuracy", "neg_log_loss")
OF_NUMBERS = ("r2",)
IN_CLOSED_FORM = ("neg_gcv", "log_marginal_likelihood")
"""Scores that are squares of targets, that only classifiers have, only regressors, and only fits
without folds."""


def restore(scoring, scores, exponent, n, n_outputs):
    """Scores of targets that are a power of two as large, from ``n`` distinct rows."""
    if scoring in OF_SQUARES:
        return scaled(scores, 2 * exponent)
    if scoring == "log_marginal_likelihood":
        return scores - (n - 1) * n_outputs * exponent * np.log(2.0)
    return scores
