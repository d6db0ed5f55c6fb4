"""Multinomial logistic regression with a kernel."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from ._scoring import log_losses, logits
from .linalg import Spectrum

N_FOLDS = 5

TOLERANCE, ROUGH = 1e-6, 1e-4
"""Largest entry of the scaled gradient at the end, of a fit and of one of a fold."""


class Problem(NamedTuple):
    """A Gram matrix by its root, and what the rows are.

    ``root`` (n, r) times its transpose is the Gram matrix, with the eigenvalues ``squares``;
    ``shares`` (n, n_classes) are those of the classes in each row.
    """

    root: np.ndarray
    squares: np.ndarray
    shares: np.ndarray
    weights: np.ndarray

    def some(self, rows):
        """The problem of some rows."""
        parts = (self.root[rows], self.squares, self.shares[rows], self.weights[rows])
        return Problem(*parts)


def make_problem(K, shares, weights):
    """`Problem` of a Gram matrix, without the directions that rounding made."""
    spectrum = Spectrum(K)
    values = spectrum.values
    kept = values > max(len(K) * np.finfo(float).eps * values[-1], 0.0)
    return Problem(spectrum.vectors[:, kept] * np.sqrt(values[kept]), values[kept], shares, weights)


def solve(problem, ridge, start=None, tolerance=TOLERANCE):
    """Coefficients (r + 1, k) of the root and of a constant, which is not penalised.

    Minimises the sum of the log losses, by weight, and ``ridge / 2 |f|^2`` of each function. There
    is one function for two classes, the difference of their scores, and else one for each class.
    Variables are scaled by the curvature of the loss where all classes are equally likely, which
    makes up for the wide spectrum; the method is L-BFGS.
    """
    root, squares, shares, weights = problem
    n_classes = shares.shape[1]
    n_outputs = 1 if n_classes == 2 else n_classes
    curvature = (1.0 - 1.0 / n_classes) / n_classes
    total = weights.sum()
    scale = np.sqrt(np.append(ridge + curvature * weights.mean() * squares, curvature * total))
    size = (len(squares) + 1, n_outputs)

    def value(flat):
        coefficients = flat.reshape(size) / scale[:, None]
        body, constant = coefficients[:-1], coefficients[-1]
        scores = root @ body + constant
        log_shares = log_softmax(logits(scores), axis=1)
        loss = -weights @ (shares * log_shares).sum(axis=1)
        away = weights[:, None] * (np.exp(log_shares) - shares)
        away = away[:, 1:] if n_outputs == 1 else away
        slopes = np.vstack([root.T @ away + ridge * body, away.sum(axis=0)])
        return loss + 0.5 * ridge * (body**2).sum(), (slopes / scale[:, None]).ravel()

    first = np.zeros(size) if start is None else start * scale[:, None]
    options = {"maxiter": 2_000, "maxcor": 20, "gtol": tolerance * np.sqrt(total), "ftol": 1e-15}
    found = minimize(value, first.ravel(), jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(size) / scale[:, None]


def dual_of(problem, coefficients):
    """Dual coefficients (n, k) and constants."""
    return problem.root @ (coefficients[:-1] / problem.squares[:, None]), coefficients[-1]


def losses_of_folds(problem, ridges, ranks):
    """Increasing ridges and their log losses, from the largest on down to behind the best one.

    Each class is spread over all folds. Which row is in which fold depends on their ranks.
    """
    n = len(problem.shares)
    order = np.argsort(ranks)[np.random.RandomState(0).permutation(n)]
    order = order[np.argsort(problem.shares[order].argmax(axis=1), kind="stable")]
    fold = np.empty(n, dtype=int)
    fold[order] = np.arange(n) % min(N_FOLDS, n)
    tests = [np.flatnonzero(fold == k) for k in range(fold.max() + 1)]
    parts = [(problem.some(np.delete(np.arange(n), test)), problem.some(test)) for test in tests]
    starts, losses = [None] * len(parts), []
    for ridge in ridges[::-1]:
        starts = [
            solve(train, ridge, start, ROUGH)
            for (train, _), start in zip(parts, starts, strict=True)
        ]
        losses.append(
            sum(_loss(test, found) for (_, test), found in zip(parts, starts, strict=True))
        )
        if len(losses) > 2 and losses[-1] > losses[-2] > min(losses):
            break
    return ridges[-len(losses) :], np.array(losses[::-1]) / problem.weights.sum()


def _loss(problem, coefficients):
    """Sum of the log losses of rows."""
    scores = problem.root @ coefficients[:-1] + coefficients[-1]
    return problem.weights @ log_losses(scores, problem.shares, 1.0)
