"""Rows whose kernels have a slow spectrum, with targets, for solvers of many rows."""

import numpy as np

from sklearn_ntk import NTKKernel
from sklearn_ntk.gram import KernelOperator


def rows_of(n=600, d=4, k=2, noise=0.1, seed=0):
    """Operator of an NTK on n rows, targets (n, k), and unequal weights (n,)."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    Y = np.stack([np.sin(2.0 * X @ rng.normal(size=d)) for _ in range(k)], axis=1)
    operator = KernelOperator(NTKKernel(), X)
    return operator, Y + noise * rng.normal(size=Y.shape), rng.uniform(0.5, 2.0, n)


def values_of(path, operator, X):
    """Values (m, k) of a fitted `Path` at new rows."""
    solution = path.solution
    if solution.dual is None:
        return solution.details.values(operator.kernel, operator.X, X)
    centers = operator.X[getattr(solution.details, "rows", slice(None))]
    return operator.kernel(X, centers) @ solution.dual + solution.intercept


# --- For estimators -------------------------------------------------------------------------------


def data(n=400, noise=0.2, seed=0):
    """Rows (n, 3) and targets with noise, and as many without noise for tests."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(2 * n, 3))
    y = np.sin(2.0 * X[:, 0]) + X[:, 1] ** 2
    y[:n] += noise * rng.normal(size=n)
    return X[:n], y[:n], X[n:], y[n:]


def labels(y):
    """Three classes, 0 to 2."""
    return np.digitize(y, [0.0, 1.5])


def rare(n, places, d=2):
    """Rows, and targets that are one for a few close rows at these places and zero elsewhere."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d))
    X[places] = 3.0 + 0.1 * rng.normal(size=(len(places), d))
    y = np.zeros((n, 1))
    y[places] = 1.0
    return X, y
