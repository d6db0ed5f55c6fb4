"""Multinomial logistic regression with a kernel."""

import warnings
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from ..solvers._factors import eigenvectors
from ..solvers._scoring import class_folds, log_losses, logits, softmax_loss

TOLERANCE, ROUGH = 1e-7, 1e-5
"""Largest entry of the scaled gradient of the mean loss at the end, of a fit and of a fold's."""

MOST_STEPS = 2000


class LogisticProblem(NamedTuple):
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
        return LogisticProblem(*parts)


def make_problem(K, shares, weights):
    """`LogisticProblem` of a Gram matrix, without the directions that rounding made."""
    values, vectors = eigenvectors(K)
    kept = values > len(K) * np.finfo(float).eps * values[-1]
    if not np.any(kept):  # all rows are zero
        return LogisticProblem(np.zeros((len(K), 1)), np.ones(1), shares, weights)
    root = vectors[:, kept] * np.sqrt(values[kept])
    return LogisticProblem(root, values[kept], shares, weights)


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
    weights, ridge = weights / total, ridge / total  # L-BFGS takes a loss of about one
    scale = np.sqrt(np.append(ridge + curvature * squares / len(weights), curvature))
    size = (len(squares) + 1, n_outputs)

    def value(flat):
        coefficients = flat.reshape(size) / scale[:, None]
        body, constant = coefficients[:-1], coefficients[-1]
        scores = root @ body + constant
        loss, away, _ = softmax_loss(logits(scores), shares, weights)
        away = away[:, 1:] if n_outputs == 1 else away
        slopes = np.vstack([root.T @ away + ridge * body, away.sum(axis=0)])
        return loss + 0.5 * ridge * (body**2).sum(), (slopes / scale[:, None]).ravel()

    first = np.zeros(size) if start is None else start * scale[:, None]
    options = {"maxiter": MOST_STEPS, "maxcor": 20, "gtol": tolerance, "ftol": 1e-15}
    found = minimize(value, first.ravel(), jac=True, method="L-BFGS-B", options=options)
    if found.nit >= MOST_STEPS:
        warnings.warn(
            f"The log loss has not converged after {MOST_STEPS} steps: increase alpha.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return found.x.reshape(size) / scale[:, None]


def dual_of(problem, coefficients):
    """Dual coefficients (n, k) and constants."""
    size = np.sqrt(problem.squares)  # on both sides, or one of tiny or huge rows overflows
    return (problem.root / size) @ (coefficients[:-1] / size[:, None]), coefficients[-1]


def losses_of_folds(problem, ridges, ranks):
    """Increasing ridges and their log losses, from the largest on down to behind the best one.

    The folds are `solvers._scoring.class_folds`.
    """
    n = len(problem.shares)
    if n == 1:  # the constant is all there is
        return ridges[-1:], np.zeros(1)
    tests = class_folds(problem.shares, ranks)
    starts, losses = [None] * len(tests), []
    for ridge in ridges[::-1]:
        total = 0.0
        for k, test in enumerate(tests):
            train = problem.some(np.delete(np.arange(n), test))
            starts[k] = solve(train, ridge, starts[k], ROUGH)
            total += _loss(problem.some(test), starts[k])
        losses.append(total)
        if len(losses) > 2 and losses[-1] > losses[-2] > min(losses):
            break
    return ridges[-len(losses) :], np.array(losses[::-1]) / problem.weights.sum()


def _loss(problem, coefficients):
    """Sum of the log losses of rows."""
    scores = problem.root @ coefficients[:-1] + coefficients[-1]
    return problem.weights @ log_losses(scores, problem.shares, 1.0)
