"""Multinomial logistic regression with a kernel, by L-BFGS on a square root of the Gram matrix."""

import warnings
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from ..gram._spectrum import eigenvectors
from ..solvers._scoring import class_folds, log_losses, logits, softmax_loss

TOLERANCE, ROUGH = 1e-7, 1e-5
"""Largest entry of the scaled gradient of the mean loss at which L-BFGS ends: of the final fit, and
of fits in folds."""

MOST_STEPS = 2000
"""Most iterations of L-BFGS."""


class LogisticProblem(NamedTuple):
    """A Gram matrix ``K = root @ root.T`` of rank r, and the classes and weights of its n rows.

    ``root`` (n, r) is ``U sqrt(L)`` for eigenvectors ``U`` and eigenvalues ``L``, the latter are
    ``squares`` (r,). ``shares`` (n, n_classes) are those of the classes in each row.
    """

    root: np.ndarray
    squares: np.ndarray
    shares: np.ndarray
    weights: np.ndarray

    def some(self, rows):
        """The problem of a subset of the rows, with the same columns of ``root``."""
        return LogisticProblem(self.root[rows], self.squares, self.shares[rows], self.weights[rows])


def make_problem(K, shares, weights):
    """`LogisticProblem` of a Gram matrix, without eigenvalues that are rounding."""
    values, vectors = eigenvectors(K)
    kept = values > len(K) * np.finfo(float).eps * values[-1]
    if not np.any(kept):  # all rows are zero
        return LogisticProblem(np.zeros((len(K), 1)), np.ones(1), shares, weights)
    root = vectors[:, kept] * np.sqrt(values[kept])
    return LogisticProblem(root, values[kept], shares, weights)


def solve(problem, ridge, start=None, tolerance=TOLERANCE):
    """Coefficients (r + 1, k) of the columns of ``root`` and of a constant, not penalised.

    Minimises the weighted sum of the log losses plus ``ridge / 2 |f|^2`` for each function. For two
    classes there is one function, the difference of their scores, else one for each class.
    Variables are scaled by the curvature of the loss at equal probabilities, which preconditions
    the wide spectrum for L-BFGS. ``start`` are coefficients to begin with.
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
        loss, score_gradient, _ = softmax_loss(logits(scores), shares, weights)
        score_gradient = score_gradient[:, 1:] if n_outputs == 1 else score_gradient
        gradient = np.vstack([root.T @ score_gradient + ridge * body, score_gradient.sum(axis=0)])
        return loss + 0.5 * ridge * (body**2).sum(), (gradient / scale[:, None]).ravel()

    first = np.zeros(size) if start is None else start * scale[:, None]
    options = {"maxiter": MOST_STEPS, "maxcor": 20, "gtol": tolerance, "ftol": 1e-15}
    result = minimize(value, first.ravel(), jac=True, method="L-BFGS-B", options=options)
    if result.nit >= MOST_STEPS:
        warnings.warn(
            f"The log loss has not converged after {MOST_STEPS} steps: increase alpha.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return result.x.reshape(size) / scale[:, None]


def dual_of(problem, coefficients):
    """Dual coefficients (n, k) and intercepts (k,) from the coefficients of `solve`."""
    size = np.sqrt(problem.squares)  # divides both factors, so that neither overflows
    return (problem.root / size) @ (coefficients[:-1] / size[:, None]), coefficients[-1]


def losses_of_folds(problem, ridges, ranks):
    """Increasing ridges that were tried, and the mean log loss of each over the folds.

    Ridges are tried from the largest one down, until the loss has risen behind a minimum. The folds
    are `solvers._scoring.class_folds`.
    """
    n = len(problem.shares)
    if n == 1:  # only the constant is fitted
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
    """Weighted sum of the log losses of the rows."""
    scores = problem.root @ coefficients[:-1] + coefficients[-1]
    return problem.weights @ log_losses(scores, problem.shares, 1.0)
