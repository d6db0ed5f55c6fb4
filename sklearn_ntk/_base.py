"""What the regressor and the classifier have in common: parameters, kernels and rows."""

import numbers
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.gaussian_process.kernels import Kernel
from sklearn.utils.validation import check_is_fitted, validate_data

from ._compat import Interval, StrOptions
from ._memory import check_memory
from .kernels import NNGPKernel, NTKKernel
from .solvers import RELATIVE_RIDGES, fit_ridge, select_ridge

CHUNK = 2**23
"""Entries of the Gram matrix between new and training rows that are held at a time."""

COPIES = 3.2
"""Memory that a fit of many rows takes, in units of its Gram matrix."""


class NetworkEstimator(BaseEstimator):
    """Kernel ridge regression on the kernel of a network."""

    _parameter_constraints: ClassVar[dict] = {
        "kernel": [StrOptions({"ntk", "nngp", "precomputed"}), Kernel],
        "depth": [Interval(numbers.Integral, 0, None, closed="left")],
        "activation": "no_validation",  # the kernel's error lists the valid ones
        "weight_var": [Interval(numbers.Real, 0, None, closed="neither")],
        "bias_var": [Interval(numbers.Real, 0, None, closed="left")],
        "n_frozen": [Interval(numbers.Integral, 0, None, closed="left")],
        "architecture": [tuple, list, None],
        "alpha": [StrOptions({"auto"}), Interval(numbers.Real, 0, None, closed="left")],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        kernel="ntk",
        *,
        depth=2,
        activation="relu",
        weight_var=2.0,
        bias_var=1.0,
        n_frozen=0,
        architecture=None,
        alpha="auto",
        verbose=0,
    ):
        self.kernel = kernel
        self.depth = depth
        self.activation = activation
        self.weight_var = weight_var
        self.bias_var = bias_var
        self.n_frozen = n_frozen
        self.architecture = architecture
        self.alpha = alpha
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = isinstance(self.kernel, str) and self.kernel == "precomputed"
        return tags

    def _make_kernel(self):
        """The kernel that the parameters stand for; None if it is precomputed."""
        if not isinstance(self.kernel, str):
            return clone(self.kernel)
        parameters = {
            "depth": self.depth,
            "activation": self.activation,
            "weight_var": self.weight_var,
            "bias_var": self.bias_var,
            "architecture": self.architecture,
            "verbose": self.verbose,
        }
        if self.kernel == "ntk":
            return NTKKernel(**parameters, n_frozen=self.n_frozen)
        return NNGPKernel(**parameters) if self.kernel == "nngp" else None

    def _fit_rows(self, X, Y, weights):
        """Solve for the targets ``Y`` of shape (n, k); sets the attributes that `_scores` needs."""
        self.kernel_ = self._make_kernel()
        if np.any(weights < 0):
            raise ValueError(f"sample_weight must be >= 0; got {weights.min():.3g}.")
        if not np.any(weights):  # before 1.9 scikit-learn lets this pass
            raise ValueError("sample_weight must not be all zero: give some row a positive weight.")
        if self.kernel_ is None:
            K, Y, weights = self._precomputed(X, Y, weights)
            scatter = 0.0
        else:
            self.X_fit_, Y, weights, scatter = _merge(X, Y, weights)
            _check_solve(len(self.X_fit_), "distinct rows")
            K = self.kernel_(self.X_fit_)
        if self.alpha == "auto":
            scale = np.mean(weights * np.abs(K.diagonal())) or 1.0
            solution = select_ridge(K, Y, weights, RELATIVE_RIDGES * scale)
        else:
            solution = fit_ridge(K, Y, weights, self.alpha)
        self.dual_coef_, self.intercept_, self.alpha_ = solution[:3]
        self.alphas_, self.loo_errors_ = solution.ridges, solution.errors
        return solution, Y, weights, scatter

    def _precomputed(self, X, Y, weights):
        """Rows of positive weight of a Gram matrix."""
        if X.shape[0] != X.shape[1]:
            raise ValueError(
                f"A precomputed kernel needs a square matrix in fit; got shape {X.shape}."
            )
        self._kept = np.flatnonzero(weights)
        _check_solve(len(self._kept), "rows of a precomputed kernel")
        step = max(1, CHUNK // len(X))
        blocks = [slice(start, start + step) for start in range(0, len(X), step)]
        skew = max(np.abs(X[rows] - X[:, rows].T).max() for rows in blocks)
        if skew > 1e-8 * np.abs(X).max():
            raise ValueError(
                f"A precomputed kernel must be symmetric in fit; opposite entries differ by up to "
                f"{skew:.3g}: pass the Gram matrix of the training rows."
            )
        return X[np.ix_(self._kept, self._kept)], Y[self._kept], weights[self._kept]

    def _scores(self, X):
        """Values of the fitted functions at new rows, of shape (n, k)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        if self.kernel_ is None:
            return X[:, self._kept] @ self.dual_coef_ + self.intercept_
        scores = np.empty((X.shape[0], self.dual_coef_.shape[1]))
        step = max(1, CHUNK // len(self.X_fit_))
        for start in range(0, X.shape[0], step):
            rows = slice(start, start + step)
            scores[rows] = self.kernel_(X[rows], self.X_fit_) @ self.dual_coef_
        return scores + self.intercept_


def _check_solve(n, rows):
    """Raise MemoryError if the solution for so many rows would not fit."""
    check_memory(
        COPIES * 8.0 * n * n,
        f"A fit of {n} {rows}",
        "take fewer rows, or sklearn.kernel_approximation.Nystroem with the kernel and a linear "
        "model",
    )


def _merge(X, Y, weights):
    """Merge equal rows into one with the sum of the weights and the mean of the targets.

    The solution stays the same, leaving out one row leaves out its copies as well, and thus an
    integer weight is the same as a repetition for everything that is fitted. Also returns the
    weighted sums of squares of the targets about these means.
    """
    kept = np.flatnonzero(weights)
    X, Y, weights = X[kept] + 0.0, Y[kept], weights[kept]  # + 0.0: -0.0 and 0.0 are equal
    places = {}
    group = np.array([places.setdefault(row.tobytes(), len(places)) for row in X])
    if len(places) == len(X):
        return X, Y, weights, 0.0
    _, first = np.unique(group, return_index=True)
    total = np.bincount(group, weights)
    mean = np.stack([np.bincount(group, weights * y) for y in Y.T], axis=1) / total[:, None]
    return X[first], mean, total, weights @ (Y - mean[group]) ** 2
