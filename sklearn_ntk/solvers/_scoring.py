"""Scores of predictions, by which candidates are compared, and the temperature of probabilities.

Predictions and targets have shape (n, k). For classifiers, targets are +-1 with k = 1 for two
classes, and indicators with k = n_classes for more; of merged equal rows they are the means.
"""

import numpy as np
from scipy.optimize import minimize_scalar

from ..dynamics._logistic import log_losses as log_losses_of
from ..dynamics._logistic import probabilities
from ._moments import or_one, sizes, variances
from ._repeats import left_out
from ._units import scaled

N_FOLDS = 5
"""Folds of `class_folds`, for choices by log loss."""

DIGITS = 10
"""Digits by which rows are ranked and dealt into folds, so that rounding does not."""


def logits(scores):
    """Scores (..., n_classes) from (..., k); a single score of two classes is their difference."""
    if scores.shape[-1] > 1:
        return scores
    return np.concatenate([-0.5 * scores, 0.5 * scores], axis=-1)


def shares_of(targets):
    """Shares (n, n_classes) of the classes in each row, from targets (n, k)."""
    if targets.shape[1] > 1:
        return targets
    return np.hstack([0.5 - 0.5 * targets, 0.5 + 0.5 * targets])


def scored(shares):
    """Shares (n, k) of the classes that have a score of their own: only the second one of two."""
    return shares[:, 1:] if shares.shape[1] == 2 else shares


def spread(shares, n=None):
    """Smoothed shares ``(n shares + 1 / n_classes) / (n + 1)``: one row in n + 1 has any class.

    ``n`` is the number of rows, or of observations. Scores that make no mistake would otherwise
    give probabilities of 0 and 1.
    """
    n_classes, n = shares.shape[1], len(shares) if n is None else n
    return (n * shares + 1.0 / n_classes) / (n + 1.0)


def rounded(columns):
    """Columns (n, k) in units of their largest entries, without the digits that rounding moves."""
    return np.round(columns / sizes(columns), DIGITS)


def ranks_of(X):
    """Rank (n,) of each row in lexicographic order, whatever the order of the rows."""
    return np.argsort(np.lexsort(X.T))


def class_folds(shares, ranks):
    """Index arrays of up to `N_FOLDS` stratified folds, by `dealt` with ranks that are shuffled."""
    order = np.argsort(ranks)[np.random.RandomState(0).permutation(len(ranks))]
    return dealt(shares, np.argsort(order), N_FOLDS)


def dealt(targets, ranks, n_folds):
    """Index arrays of up to so many folds, into which rows with alike targets are dealt in turn.

    Targets (n, k) are alike if they are equal, or about as far from their mean. Which rows are in a
    fold together depends on their ranks (n,), but neither on their order nor on that of targets,
    nor on signs of these: so not on the names of classes either.
    """
    n = len(ranks)
    _, group = np.unique(targets, axis=0, return_inverse=True)
    first = np.full(n, n)
    np.minimum.at(first, group.ravel(), ranks)
    centred = targets - targets.mean(axis=0)
    distances = np.sum(centred**2 / or_one(np.mean(centred**2, axis=0)), axis=1)
    order = np.lexsort([ranks, first[group.ravel()], rounded(distances)])
    return [np.sort(order[start::n_folds]) for start in range(min(n_folds, n))]


def fit_temperature(scores, targets, weights, n=None):
    """Temperature by which scores (n, k) of rows left out are divided for the least log loss.

    ``n`` is the number of observations, by default of the scores.
    """
    shares = spread(shares_of(targets), n)

    def loss(log_temperature):
        losses = log_losses(scores, shares, np.exp(log_temperature))
        return np.average(losses, weights=weights)

    return float(np.exp(minimize_scalar(loss, bounds=(-5.0, 3.0), method="bounded").x))


def softmax_loss(scores, shares, weights):
    """Weighted sum of the log losses, its gradient with respect to the scores, and probabilities.

    Scores, shares of the classes, gradient and probabilities have shape (n, n_classes).
    """
    P = probabilities(scores)
    return weights @ log_losses_of(scores, shares), weights[:, None] * (P - shares), P


def log_losses(scores, shares, temperature):
    """Log loss (n,) of each row, for shares (n, n_classes) and scores (n, k)."""
    return log_losses_of(logits(scores) / temperature, shares)


# --- Scores: the larger the better ----------------------------------------------------------------


def neg_mean_squared_error(scores, targets, weights, fit=None):
    """Minus the mean squared error over rows, by weight, and over outputs."""
    return -np.average(((targets - scores) ** 2).mean(axis=1), weights=weights)


def r2(scores, targets, weights, fit):
    """Coefficient of determination, the mean over outputs; zero for constant targets."""
    size = sizes(targets)
    targets, scores = targets / size, scores / size
    total = variances(targets, weights)
    rest = np.average((targets - scores) ** 2, axis=0, weights=weights)
    return np.mean(np.where(total > 0.0, 1.0 - rest / or_one(total), 0.0))


def accuracy(scores, targets, weights, fit):
    """Share of rows, by weight, whose class has the largest score."""
    picked = logits(scores).argmax(axis=1)[:, None]
    hits = np.take_along_axis(shares_of(targets), picked, axis=1)[:, 0]
    return np.average(hits, weights=weights)


def neg_log_loss(scores, targets, weights, fit):
    """Minus the log loss, at the temperature fitted to the leave-one-out scores of the fit."""
    found = left_out(*fit)
    temperature = fit_temperature(found.scores, found.targets, found.weights, found.n)
    return -np.average(log_losses(scores, shares_of(targets), temperature), weights=weights)


def neg_gcv(scores, targets, weights, fit):
    """Minus the error of generalised cross-validation (Golub, Heath and Wahba, 1979)."""
    solution, _, own_weights, repeats = fit
    if repeats is None:
        return -solution.gcv / own_weights.mean()
    residuals = repeats.deviations + solution.training_residuals[repeats.group]
    mean_square = np.average((residuals**2).mean(axis=1), weights=repeats.weights)
    return -mean_square / (1.0 - solution.leverages.sum() / repeats.n) ** 2


def log_marginal_likelihood(scores, targets, weights, fit):
    """Restricted log marginal likelihood at the most likely amplitude, summed over outputs.

    "Restricted": the constant is eliminated. Merged equal rows enter with their means. Constant
    outputs, of which any amplitude is as likely as a smaller one, do not count.
    """
    solution, own, own_weights, _ = fit
    varies = outputs_that_vary(own, own_weights)
    own, dual = own[:, varies], solution.dual[:, varies]
    (n, n_outputs), size = own.shape, sizes(own)
    squares = np.maximum((own / size * (dual / size)).sum(axis=0), np.finfo(float).tiny)
    spread = np.log(2.0 * np.pi * squares / max(n - 1, 1)) + 2.0 * np.log(size) + 1.0
    return -0.5 * ((n - 1) * spread.sum() + n_outputs * solution.log_determinant)


def outputs_that_vary(targets, weights):
    """Indices of the columns of targets that are not constant."""
    return np.flatnonzero(variances(targets / sizes(targets), weights))


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
"""Functions ``score(scores, targets, weights, fit)``, the larger the better.

``fit`` is the tuple (solution, targets, weights, repeats) of the training rows, arguments of
`left_out`: all rows, or the other folds.
"""

OF_SQUARES = ("neg_mean_squared_error", "neg_gcv")
OF_CLASSES = ("accuracy", "neg_log_loss")
OF_NUMBERS = ("r2",)
IN_CLOSED_FORM = ("neg_gcv", "log_marginal_likelihood")
"""Names of scores in squared units of the targets, for classifiers only, for regressors only, and
for leaving out one row in closed form only (``cv=None``)."""


def restore(scoring, scores, exponents, n, varies):
    """Scores for targets times ``2**exponents`` (k,), from those of n distinct rows of targets.

    ``varies`` are the indices of the outputs that vary. Exponents are as of `in_common_units`.
    """
    if scoring in OF_SQUARES:
        return scaled(scores, 2 * exponents.max())
    if scoring == "log_marginal_likelihood":
        return scores - (n - 1) * exponents[varies].sum() * np.log(2.0)
    return scores
