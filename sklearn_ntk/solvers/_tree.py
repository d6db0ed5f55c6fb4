"""A tree of median splits of rows, whose leaves overlap, and the shares of leaves in new rows."""

from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import linalg
from scipy.sparse.linalg import ArpackNoConvergence, eigsh

from .._runtime.chunks import chunks
from .._runtime.memory import check_memory
from ._moments import moments, or_one, variances
from ._ridge import Ridge

TIED = 0.05
"""Share of rows on the median at which another direction is sought."""


ALL, CANDIDATES = 200, 8
"""Columns up to which all directions are found, and how many beyond."""

TOL = 1e-3
"""Relative tolerance of their eigenvalues, which need not be exact."""

LEAST_COMPONENT = 1e-7
"""Least principal component, in units of the first."""

MOST_ROWS = 20
"""Rows of all leaves, at most, in units of those that are split."""


class Split(NamedTuple):
    """Rows by their projection ``t = x.direction``: to the left up to ``high``, right from ``low``.

    In between, the share of the right side rises linearly. ``left`` and ``right`` are a `Split`
    each, or the number of a leaf.
    """

    direction: np.ndarray
    low: float
    high: float
    left: object
    right: object

    def share(self, X):
        """Shares (m,) of the right side at rows (m, d); one half where both sides tie."""
        t = X @ self.direction
        if self.high > self.low:
            return np.clip((t - self.low) / (self.high - self.low), 0.0, 1.0)
        return 0.5 + 0.5 * np.sign(t - self.low)


def check_overlap(n, leaf_size, overlap):
    """Raise ValueError if the leaves of a tree would have too many rows in all."""
    n_rows = _rows_in_all(n, leaf_size, overlap)
    if n_rows > MOST_ROWS * n:
        smaller = np.arange(round(100.0 * overlap)) / 100.0
        fitting = [each for each in smaller if _rows_in_all(n, leaf_size, each) <= MOST_ROWS * n]
        raise ValueError(
            f"Leaves of at most {leaf_size} of {n} rows that overlap by {overlap:.3g} have "
            f"{n_rows:.3g} rows in all: take overlap={fitting[-1]:.3g}, or a larger leaf_size."
        )


def _rows_in_all(n, leaf_size, overlap):
    """Rows of all leaves of a tree of n rows."""

    @cache
    def count(n):
        return n if n <= leaf_size else sum(map(count, _sizes(n, overlap)))

    return count(n)


def _sizes(n, overlap):
    """Rows of the left and of the right side of a split of n rows."""
    n_left = min(max((n + 1) // 2, round((0.5 + overlap) * n)), n - 1)
    return n_left, n_left if overlap else n - n_left


def grow(X, leaf_size, overlap, directions):
    """Tree of the rows (n, d) of ``X``, and a list with the row indices of each leaf.

    Parameters
    ----------
    X : array of shape (n, d)
    leaf_size : int
        Most rows of a leaf.
    overlap : float
        Each side has the rows up to the quantile ``0.5 + overlap`` of the projection, as counted
        from its end.
    directions : callable
        ``directions(rows)`` are candidates (d, p) for the direction of a split, the best one first.
        Where many rows tie at the median the next one is taken; where all do, ranks decide.
    """
    leaves = []

    def branch(rows):
        if len(rows) <= leaf_size:
            leaves.append(rows)
            return len(leaves) - 1
        direction, t = _direction(X[rows], directions(rows))
        order = np.argsort(t, kind="stable")
        n_left, n_right = _sizes(len(rows), overlap)
        first = len(rows) - n_right
        ends = t[order[first]], t[order[n_left - 1]]
        low, high = ends if overlap else [0.5 * (ends[0] + ends[1])] * 2
        left, right = (branch(np.sort(rows[side])) for side in (order[:n_left], order[first:]))
        return Split(direction, low, high, left, right)

    return branch(np.arange(len(X))), leaves


def _direction(X, candidates):
    """The first candidate on whose median few rows tie, else the first one; the projections."""
    for direction in candidates.T:
        t = X @ direction
        if np.mean(t == np.sort(t)[len(t) // 2]) <= TIED:
            return direction, t
    return candidates[:, 0], X @ candidates[:, 0]


def shares(tree, X):
    """Yield each leaf with a share in some of the rows (m, d): its number, the rows, the shares."""
    stack = [(tree, np.arange(len(X)), np.ones(len(X)))]
    while stack:
        node, rows, weights = stack.pop()
        if not len(rows):
            continue
        if not isinstance(node, Split):
            yield node, rows, weights
            continue
        right = node.share(X[rows])
        for child, share in ((node.right, right), (node.left, 1.0 - right)):
            kept = share > 0.0
            stack.append((child, rows[kept], (weights * share)[kept]))


def slopes(tree, X):
    """Yield, for each leaf, rows of ``X`` (m, d), and gradients (., d) of its share there."""
    start = np.arange(len(X)), np.ones(len(X)), np.zeros(X.shape)
    stack = [(tree, *start)]
    while stack:
        node, rows, weights, slope = stack.pop()
        if not len(rows):
            continue
        if not isinstance(node, Split):
            yield node, rows, slope
            continue
        right = node.share(X[rows])
        rising = (right > 0.0) & (right < 1.0) & (node.high > node.low)
        rise = np.zeros((len(rows), X.shape[1]))
        rise[rising] = node.direction / (node.high - node.low) if rising.any() else 0.0
        rise *= weights[:, None]
        for child, share, sign in ((node.right, right, 1.0), (node.left, 1.0 - right, -1.0)):
            kept = share > 0.0
            new = slope * share[:, None] + sign * rise
            stack.append((child, rows[kept], (weights * share)[kept], new[kept]))


def directions_of(operator, Y, weights, ridge):
    """Directions (d, p) along which targets change, the largest first, by a model of these rows.

    They are those of columns in units of their standard deviations. Without gradients they are the
    principal components of the rows.
    """
    X = operator.X
    stds = or_one(np.sqrt(variances(X, weights)))
    M = _outer_gradients(operator, Y, weights, ridge, stds)
    if M is not None and np.any(M):
        return _leading(M) / stds[:, None]
    centred = np.sqrt(weights / weights.sum())[:, None] * (X - weights @ X / weights.sum())
    if len(X) >= X.shape[1]:
        return _leading(centred.T @ centred)
    vectors = centred.T @ _leading(centred @ centred.T)
    sizes = linalg.norm(vectors, axis=0)
    kept = sizes > LEAST_COMPONENT * sizes[0]
    return vectors[:, kept] / sizes[kept] if np.any(kept) else np.eye(X.shape[1], 1)


def _leading(M):
    """Eigenvectors (d, p) of a positive semi-definite matrix, the largest first, all if d is small.

    Lanczos iterations, in time ``d^2``.
    """
    if len(M) <= ALL:
        return linalg.eigh(M, check_finite=False)[1][:, ::-1]
    size = M.diagonal().max()
    if size == 0.0:
        return np.eye(len(M), 1)
    start = np.random.default_rng(0).normal(size=len(M))
    try:
        values, vectors = eigsh(M / size, CANDIDATES, v0=start, tol=TOL)
    except ArpackNoConvergence:
        values, vectors = linalg.eigh(M, check_finite=False)
    return vectors[:, np.argsort(values)[::-1]]


def _outer_gradients(operator, Y, weights, ridge, stds):
    """Mean outer product (d, d) of the gradients; None for kernels without, or with positions."""
    kernel, X = operator.kernel, operator.X
    is_slow = any(getattr(kernel, name, False) for name in ("takes_positions", "is_by_column"))
    if is_slow or not hasattr(kernel, "gradient_x"):
        return None
    d = X.shape[1]
    check_memory(16.0 * d * d, f"Splitting rows of {d} columns", "take fewer columns")
    mean, spread = moments(Y, weights)
    Y = np.where(spread > 0.0, Y - mean, 0.0) / np.sqrt(or_one(spread))
    dual = _dual(operator, Y, weights, float(ridge))
    M = np.zeros((d, d))
    for rows in chunks(len(X), dual.size // len(X) * d):
        try:
            found = kernel.gradient_x(X[rows], X, dual) * stds
        except ValueError:  # of activations that jump
            return None
        part = (np.sqrt(weights[rows])[:, None, None] * found).reshape(-1, len(stds))
        M += part.T @ part
    return M if np.all(np.isfinite(M)) else None


def _dual(operator, Y, weights, ridge):
    """Dual coefficients (n, k) for a ridge; a jitter is added where that is not enough."""
    solution = next(Ridge([ridge]).solutions(operator, Y, weights, is_whole=False))
    return (solution or Ridge(ridge).fit(operator, Y, weights).solution).dual
