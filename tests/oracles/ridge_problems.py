"""Matrices, targets and weights for solvers, and solutions by direct linear algebra."""

import numpy as np


def problem(n=9, n_outputs=1, seed=0):
    """Positive definite matrix (n, n), targets (n, n_outputs), and unequal weights (n,)."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(n, n + 2))
    Y = rng.normal(size=(n, n_outputs)) + np.arange(1.0, n_outputs + 1)
    return A @ A.T / n, Y, rng.uniform(0.5, 3.0, n)


def bordered(K, Y, weights, ridge):
    """Coefficients and intercept from the stationarity conditions, as one linear system."""
    n = len(K)
    A = np.block([[K + ridge * np.diag(1.0 / weights), np.ones((n, 1))], [np.ones(n), 0.0]])
    solution = np.linalg.solve(A, np.vstack([Y, np.zeros(Y.shape[1])]))
    return solution[:n], solution[n]


def left_out(K, Y, weights, ridge):
    """Residual and predictive variance of each row, from a fit to all other rows."""
    n = len(K)
    residuals, variances = np.empty(Y.shape), np.empty(n)
    for i in range(n):
        rest = np.arange(n) != i
        dual, intercept = bordered(K[np.ix_(rest, rest)], Y[rest], weights[rest], ridge)
        residuals[i] = Y[i] - K[i, rest] @ dual - intercept
        G = np.linalg.inv(K[np.ix_(rest, rest)] + ridge * np.diag(1.0 / weights[rest]))
        k, ones = K[rest, i], np.ones(n - 1)
        doubt = (1.0 - ones @ G @ k) ** 2 / (ones @ G @ ones)  # of the intercept
        variances[i] = K[i, i] - k @ G @ k + doubt + ridge / weights[i]
    return residuals, variances


# --- Many ridges ---------------------------------------------------------------------------------


def mean_error(K, Y, weights, ridge):
    """Weighted mean over rows and outputs of squared leave-one-out residuals over the variance."""
    residuals = left_out(K, Y, weights, ridge)[0]
    mean = weights @ Y / weights.sum()
    spread = weights @ (Y - mean) ** 2 / weights.sum()
    return (weights @ (residuals**2 / spread) / weights.sum()).mean()


def smooth_problem(n=25, noise=0.3, seed=0):
    """Smooth targets with noise, of two scales, whose best ridge is inside the range of ridges."""
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(-2, 2, n))
    K = np.exp(-((x[:, None] - x) ** 2)) + 0.1 * np.outer(x, x)
    Y = np.stack([np.sin(2 * x), 100.0 * np.cos(x)], axis=1)
    noise = noise * rng.normal(size=(n, 2)) * [1.0, 100.0]
    return K, Y + noise, rng.uniform(0.5, 2.0, n)
