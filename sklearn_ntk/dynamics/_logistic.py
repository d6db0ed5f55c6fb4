"""Logistic regression, the limit of training on the log loss, by Newton's method.

Scores, targets and probabilities have shape (n, k): those of k classes, or with k = 1 the
difference of the scores of two classes, the share and the probability of the second one.
"""

import warnings
from typing import NamedTuple

import numpy as np
from scipy.special import expit, softmax

MOST_STEPS = 200
"""Most steps of Newton's method."""

MOST_CONSTANT_STEPS = 60
"""Most steps of Newton's method for constants alone."""

MOST_HALVINGS = 60
"""Most times that a step is halved, until nothing is left of it."""


def probabilities(scores):
    """Probabilities (n, k) of scores (n, k)."""
    return softmax(scores, axis=1) if scores.shape[1] > 1 else expit(scores)


def common(V):
    """Means (n, 1) over the classes of values (n, k), which move no probability; zero for k = 1."""
    return V.mean(axis=1, keepdims=True) if V.shape[1] > 1 else np.zeros((len(V), 1))


def curved(P, V):
    """Derivative of `probabilities` ``P`` as the scores move along ``V``."""
    return P * (V - np.sum(P * V, axis=1, keepdims=True))


def log_losses(scores, Y):
    """Log loss (n,) of each row, to all its digits where it is small."""
    if scores.shape[1] == 1:
        scores, Y = np.hstack([0.0 * scores, scores]), np.hstack([1.0 - Y, Y])
    rows, best = np.arange(len(scores)), scores.argmax(axis=1)
    gaps = scores[rows, best][:, None] - scores
    others = np.exp(-gaps)
    others[rows, best] = 0.0
    return np.sum(Y * gaps, axis=1) + np.log1p(others.sum(axis=1))


def best_constant(Y, scores, weights, constant):
    """Constants (k,) that, added to the scores, have the least loss; those of classes sum to zero.

    By Newton's method from a first guess. If that is too far, as it may be for scores in the
    thousands, from the constants of scores divided by the powers of two, the largest first.
    """
    found = _settle(Y, scores, weights, constant)
    if found is not None:
        return found
    for power in range(int(np.log2(1.0 + np.abs(scores).max())), -1, -1):
        unit = 2.0**power
        found = _settle(Y, scores / unit, weights, constant / unit)
        constant = constant if found is None else unit * found
    if found is None:
        warnings.warn(
            f"The constants of the log loss have not settled after {MOST_CONSTANT_STEPS} steps of "
            f"Newton for scores up to {np.abs(scores).max():.3g}: begin with smaller ones.",
            RuntimeWarning,
            stacklevel=2,
        )
    return constant


def _settle(Y, scores, weights, constant):
    """Result of `best_constant` by Newton's method from a near guess; None if it was too far.

    The size of the gradient is added to the second derivatives, which bounds steps by one: over
    such a step these change by a factor of about e.
    """
    shares, size = weights / weights.sum(), np.inf
    rounding = 1e-14 * np.abs(scores).max(initial=100.0)
    for _ in range(MOST_CONSTANT_STEPS):
        constant = constant - common(constant[None])[0]
        P = probabilities(scores + constant)
        gradient = shares @ (P - Y)
        before, size = size, np.abs(gradient).max()
        if size <= 1e-15 or before <= size <= rounding:
            return constant
        hessian = np.diag(shares @ P) - (shares[:, None] * P).T @ P
        constant = constant - np.linalg.solve(hessian + size * np.eye(len(hessian)), gradient)
    return None


class LogisticProblem(NamedTuple):
    """The least of ``sum_i w_i loss(y_i, start_i + (root @ B)_i) + sum_j ridges_j |B_j|^2 / 2``."""

    root: np.ndarray
    ridges: np.ndarray
    Y: np.ndarray
    weights: np.ndarray
    start: np.ndarray

    def value(self, B):
        """The sum above for coefficients (r, k)."""
        losses = log_losses(self.start + self.root @ B, self.Y)
        return self.weights @ losses + 0.5 * np.sum(self.ridges[:, None] * B * B)

    def slope(self, B, squares):
        """Probabilities (n, k), gradient (r, k), its size, mean curvature, and its scale (r, 1).

        ``squares`` (r,) are the weighted sums of squares of the columns of ``root``.
        """
        P = probabilities(self.start + self.root @ B)
        misfit = self.weights[:, None] * (P - self.Y)
        gradient = self.root.T @ misfit + self.ridges[:, None] * B
        curvature = np.average(P * (1.0 - P), axis=0, weights=self.weights).mean()
        scale = (self.ridges + curvature * squares + np.finfo(float).tiny)[:, None]
        return P, gradient, np.sqrt(np.sum(gradient * gradient / scale)), curvature, scale


def minimum(problem, first=None, tolerance=1e-13, category=RuntimeWarning):
    """Coefficients (r, k) of the least value, by Newton's method with conjugate gradients.

    ``first`` are coefficients to begin with, zero by default. The method ends where the gradient,
    divided by the root of the curvature, has the size ``tolerance`` relative to that at zero, or
    warns with the ``category``.
    """
    root, ridges, Y, weights, _ = problem
    B, squares = np.zeros((root.shape[1], Y.shape[1])), weights @ root**2
    reference = None
    if first is not None:
        reference, B = problem.slope(B, squares)[2], first
    value, sizes, is_settled = problem.value(B), [], False
    for _ in range(MOST_STEPS):
        P, gradient, size, curvature, scale = problem.slope(B, squares)
        sizes.append(size)
        reference = size if reference is None else reference
        if size <= tolerance * reference or (is_settled and size > 0.5 * sizes[-2]):
            return B

        def product(V, P=P, curvature=curvature):
            scores = root @ V
            moved = curved(P, scores) + curvature * common(scores)  # else singular
            return root.T @ (weights[:, None] * moved) + ridges[:, None] * V

        tol = np.clip(size / reference, 1e-6, 0.1)
        step = conjugate_gradients(product, gradient, scale, tol)
        step = step - common(step)  # what is common is zero but for rounding, which adds up
        before = value
        for _ in range(MOST_HALVINGS):
            value = problem.value(B - step)
            if value <= (1.0 + 1e-13) * before:
                break
            step = 0.5 * step
        B, is_settled = B - step, value >= (1.0 - 1e-13) * before
    warnings.warn(
        f"The log loss has not settled after {MOST_STEPS} steps of Newton: increase alpha.",
        category,
        stacklevel=2,
    )
    return B


def kernel_problem(root, ridge, Y, weights, start, has_constant=True):
    """`LogisticProblem` of a kernel ``root @ root.T``, with constants, not penalised, as last row.

    Without ``has_constant`` there is no such row of coefficients.
    """
    ridges = np.full(root.shape[1], ridge)
    if has_constant:
        root, ridges = np.hstack([root, np.ones((len(root), 1))]), np.append(ridges, 0.0)
    return LogisticProblem(root, ridges, Y, weights, start)


def dual_of(problem, B, vectors, values, ridge):
    """Dual coefficients (n, k) of the solution ``B`` of `kernel_problem`.

    Its root is ``vectors * sqrt(values)``. The result is the weighted misfit of the probabilities
    over the ridge, from which it comes where no eigenvector is left, as its eigenvalue is rounding.
    """
    P = probabilities(problem.start + problem.root @ B)
    rest = problem.weights[:, None] * (problem.Y - P) / ridge
    body = B[: len(values)] / np.sqrt(values)[:, None] - vectors.T @ rest
    return vectors @ body + rest


def conjugate_gradients(product, B, scale, tol):
    """Solution ``X`` of ``product(X) = B`` for a positive semi-definite product.

    ``scale`` is about its diagonal. Ends when the residual, in the norm of this preconditioner, has
    fallen by ``tol``.
    """
    X, R = np.zeros_like(B), B
    Z = P = R / scale
    square = end = np.sum(R * Z)
    for _ in range(10 * len(B)):
        image = product(P)
        curvature = np.sum(P * image)
        if square <= tol * tol * end or curvature <= 0.0:  # only rounding is left
            break
        rate = square / curvature
        X, R = X + rate * P, R - rate * image
        Z, before = R / scale, square
        square = np.sum(R * Z)
        P = Z + square / before * P
    return X
