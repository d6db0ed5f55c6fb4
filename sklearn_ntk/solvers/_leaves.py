"""Fitted local models: values, moments and gradients at new rows, blended between leaves."""

from typing import NamedTuple

import numpy as np

from .._runtime.chunks import chunks
from ._tree import shares, slopes
from ._units import safe_product


class Leaf(NamedTuple):
    """Rows of a leaf, by their indices (n_leaf,), and the `Solution` there.

    ``dual`` (n_leaf, k), ``intercept`` (k,) and ``precision`` (n_leaf,) are those of the solution,
    and ``shares`` (n_leaf,) those of the leaf in the predictions at its own rows.
    """

    rows: np.ndarray
    dual: np.ndarray
    intercept: np.ndarray
    precision: np.ndarray
    shares: np.ndarray


class Leaves(NamedTuple):
    """Local models: the tree, see `_tree.Split`, and its leaves in the order of their numbers."""

    tree: object
    leaves: tuple

    def blocks(self, X, most=None):
        """Yield parts of new rows: the `Leaf`, its number, row indices, shares of the leaf there.

        A part has at most ``most`` entries of the kernel with the leaf, or one row.
        """
        for number, rows, share in shares(self.tree, X):
            leaf = self.leaves[number]
            for some in chunks(len(rows), len(leaf.rows), most):
                yield leaf, number, rows[some], share[some]

    def moments(self, kernel, X_fit, X):
        """Values (m, k) at new rows, blended, and the blended squares of those of the leaves."""
        found = np.zeros((2, len(X), len(self.leaves[0].intercept)))
        for leaf, _, rows, share in self.blocks(X):
            local = safe_product(kernel(X[rows], X_fit[leaf.rows]), leaf.dual) + leaf.intercept
            found[0, rows] += share[:, None] * local
            found[1, rows] += share[:, None] * local**2
        return found

    def values(self, kernel, X_fit, X):
        """Values (m, k) at new rows, blended."""
        return self.moments(kernel, X_fit, X)[0]

    def gradients(self, kernel, X_fit, X):
        """Gradients (m, k, d) at new rows, of the leaves and of their shares."""
        found = np.zeros((len(X), len(self.leaves[0].intercept), X.shape[1]))
        for leaf, _, rows, share in self.blocks(X):
            local = kernel.gradient_x(X[rows], X_fit[leaf.rows], leaf.dual)
            found[rows] += share[:, None, None] * local
        for number, rows, slope in slopes(self.tree, X):
            leaf, moving = self.leaves[number], slope.any(axis=1)
            rows, slope = rows[moving], slope[moving]
            for some in chunks(len(rows), len(leaf.rows)):
                local = safe_product(kernel(X[rows[some]], X_fit[leaf.rows]), leaf.dual)
                found[rows[some]] += (local + leaf.intercept)[..., None] * slope[some, None]
        return found
