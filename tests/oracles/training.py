"""Training step by step: of linear models in their weights, and of networks of finite width."""

import json
from pathlib import Path

import numpy as np

from sklearn_ntk.dynamics import Training

DATA = Path(__file__).parents[1] / "data" / "dynamics"


def stored(name):
    """Values of neural-tangents: lists as arrays."""
    return arrays(json.loads((DATA / f"{name}.json").read_text(encoding="utf-8")))


def arrays(value):
    if isinstance(value, dict):
        return {key: arrays(part) for key, part in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [arrays(part) for part in value]
    if isinstance(value, list) and not any(isinstance(part, str) for part in value):
        try:
            return np.array(value, dtype=float)
        except (TypeError, ValueError):
            return value
    return value


def moves(name, momentum):
    """Function of weights, velocity and step (rate times gradient) to the next weights, velocity.

    As papers and libraries write them down.
    """
    if name == "Descent":
        return lambda theta, v, step: (theta - step, v)

    def heavy_ball(theta, v, step):
        v = momentum * v - step
        return theta + v, v

    def nesterov(theta, v, step):
        v = momentum * v - step
        return theta + momentum * v - step, v

    return {"HeavyBall": heavy_ball, "Nesterov": nesterov}[name]


def train_linear(move, features, offset, Y, steps, rate, weights, alpha, has_constant):
    """Weights and constant of ``features @ theta + offset + constant`` after steps from zero.

    Of half the weighted mean squared error, with weight decay toward zero.
    """
    n = weights.sum()
    theta, v = np.zeros((features.shape[1], Y.shape[1])), 0.0
    for step in range(steps + 1):
        residuals = Y - offset - features @ theta
        constant = weights @ residuals / n if has_constant else np.zeros(Y.shape[1])
        if step < steps:
            residuals = weights[:, None] * (residuals - constant)
            gradient = (alpha * theta - features.T @ residuals) / n
            theta, v = move(theta, v, rate * gradient)
    return theta, constant


def problem(n=9, rank=40, seed=0):
    """Features of rows and of new rows, targets and outputs at the start, weights."""
    rng = np.random.default_rng(seed)
    old, new = rng.normal(size=(n, rank)), rng.normal(size=(4, rank))
    Y, start = rng.normal(size=(2, n, 2)) + 1.0
    return old, new, Y, start, rng.normal(size=(4, 2)), rng.uniform(0.2, 4.0, n)


def stable(K, weights, alpha, method, fit_intercept, share):
    """Training at a share of the largest stable learning rate."""
    largest = Training(K, weights, alpha, 1e-9, method, fit_intercept).max_learning_rate
    rate = share * largest if np.isfinite(largest) else share
    return Training(K, weights, alpha, rate, method, fit_intercept)


class ReLUNetwork:
    """One hidden layer, in the NTK parametrisation, with biases of variance ``bias_var``.

    The kernel is that of ``NTKKernel(depth=1, weight_var=2.0, bias_var=bias_var)``.
    """

    def __init__(self, d, width, rng, bias_var=0.3):
        draws = [rng.standard_normal(s) for s in ((d, width), width, width, 1)]
        self.theta = draws
        self.scales = [np.sqrt(2.0 / d), np.sqrt(bias_var), np.sqrt(2.0 / width), np.sqrt(bias_var)]

    def _hidden(self, X):
        return self.scales[0] * X @ self.theta[0] + self.scales[1] * self.theta[1]

    def outputs(self, X):
        _, _, v, c = self.theta
        return self.scales[2] * np.maximum(self._hidden(X), 0.0) @ v + self.scales[3] * c

    def train(self, move, X, y, steps, rate):
        """Full batches on half the mean squared error."""
        velocities = [0.0] * 4
        for _ in range(steps):
            u = self._hidden(X)
            r = (self.outputs(X) - y) / len(X)
            back = self.scales[2] * np.outer(r, self.theta[2]) * (u > 0.0)
            gradients = [
                self.scales[0] * X.T @ back,
                self.scales[1] * back.sum(axis=0),
                self.scales[2] * np.maximum(u, 0.0).T @ r,
                self.scales[3] * r.sum(keepdims=True),
            ]
            for k, gradient in enumerate(gradients):
                self.theta[k], velocities[k] = move(self.theta[k], velocities[k], rate * gradient)
        return self
