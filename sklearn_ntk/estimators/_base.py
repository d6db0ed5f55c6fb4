"""What the regressor and the classifier have in common: parameters, kernels and rows."""

import numbers
from typing import ClassVar, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.gaussian_process.kernels import Kernel
from sklearn.utils.validation import check_is_fitted, validate_data

from .._compat import DocumentationLink, Interval, StrOptions, _check_sample_weight
from .._runtime.check import skewness
from .._runtime.memory import check_memory
from ..gram import ArrayOperator, KernelOperator
from ..gram._operator import chunks
from ..kernels import NNGPKernel, NTKKernel
from ..solvers import EarlyStopping, Ridge
from ..solvers._units import product, scaled

LARGEST_RIDGE = 1e300
"""What is infinite for weights of about one."""

COPIES, SPECTRAL_COPIES = 3.2, 4.1
"""Memory of a fit of many rows, in units of its Gram matrix, and of one that takes eigenvectors."""


class NetworkEstimator(DocumentationLink, BaseEstimator):
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
        "training_time": [
            StrOptions({"auto"}),
            Interval(numbers.Real, 0, None, closed="left"),
            None,
        ],
        "learning_rate": [Interval(numbers.Real, 0, None, closed="neither")],
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
        training_time=None,
        learning_rate=1.0,
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
        self.training_time = training_time
        self.learning_rate = learning_rate
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

    def _is_spectral(self):
        """Whether a fit of any number of rows takes eigenvectors."""
        return self.training_time is not None

    def _gram(self, X, weights):
        """Operator of the distinct rows of positive weight.

        Also returns these rows, and for each of them its place among the distinct ones; those of a
        Gram matrix all count as distinct.
        """
        self.kernel_, kept = self._make_kernel(), np.flatnonzero(weights)
        if self.kernel_ is None:
            check_solve(len(kept), "rows of a precomputed kernel", self._is_spectral())
            _check_symmetric(X)
            self._kept = kept
            return ArrayOperator(X[np.ix_(kept, kept)], overwrite=True), kept, np.arange(len(kept))
        first, group = distinct(X[kept])
        self.X_fit_ = X[kept[first]] + 0.0
        check_solve(len(first), "distinct rows", self._is_spectral())
        return KernelOperator(self.kernel_, self.X_fit_), kept, group

    def _gram_blocks(self, X):
        """Gram matrix between new and training rows, in blocks of rows."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        if self.kernel_ is None:
            yield X[:, self._kept]
            return
        for rows in chunks(len(X), len(self.X_fit_)):
            yield self.kernel_(X[rows], self.X_fit_)

    def _values(self, X, dual, intercept):
        """Values of functions at new rows, of shape (n, k), by their coefficients."""
        blocks = [product(K, dual) for K in self._gram_blocks(X)]
        return np.concatenate(blocks) + intercept

    def _gradients(self, X, dual):
        """Gradients (n, k, d) of functions at new rows, by their coefficients."""
        X = validate_data(self, X, reset=False, dtype=np.float64)
        if not hasattr(self.kernel_, "gradient_x"):
            kind = "a precomputed one" if self.kernel_ is None else repr(self.kernel_)
            raise ValueError(
                f"predict_gradient needs a kernel with a method gradient_x, such as NTKKernel(); "
                f"got {kind}."
            )
        return self.kernel_.gradient_x(X, self.X_fit_, dual)


def given_alpha(alpha, unit):
    """The ridge that was given, for weights over a power of two; None if it is to be found."""
    return None if alpha == "auto" else min(scaled(float(alpha), -unit), LARGEST_RIDGE)


def fit_squares(model, operator, Y, weights, unit):
    """`Path` of the least squared error, its ridge, and the attributes that tell of both."""
    alpha, time, times = given_alpha(model.alpha, unit), None, np.empty(0)
    if model.training_time is None:
        path = Ridge(alpha).fit(operator, Y, weights)
        ridge, ridges = path.value, path.values
    else:
        ridge = 0.0 if alpha is None else alpha
        given = None if model.training_time == "auto" else model.training_time
        path = EarlyStopping(given, ridge, model.learning_rate).fit(operator, Y, weights)
        ridges, time, times = np.array([ridge]), path.value, path.values
    return (
        path,
        ridge,
        {
            "alpha_": scaled(ridge, unit) if alpha is None else model.alpha,
            "alphas_": scaled(ridges, unit),
            "loo_errors_": path.errors,
            "training_time_": time,
            "training_times_": times,
        },
    )


def _check_symmetric(K):
    """Raise ValueError for what is no Gram matrix of training rows."""
    if K.shape[0] != K.shape[1]:
        raise ValueError(f"A precomputed kernel needs a square matrix in fit; got shape {K.shape}.")
    skew, is_symmetric = skewness(K)
    if not is_symmetric:
        raise ValueError(
            f"A precomputed kernel must be symmetric in fit; opposite entries differ by up to "
            f"{skew:.3g}: pass the Gram matrix of the training rows."
        )


def check_weights(sample_weight, X):
    """Weights of the rows, ones if there are none; none is negative, and not all are zero."""
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
    if np.any(weights < 0):
        raise ValueError(f"sample_weight must be >= 0; got {weights.min():.3g}.")
    if not np.any(weights):  # before 1.9 scikit-learn lets this pass
        raise ValueError("sample_weight must not be all zero: give some row a positive weight.")
    return weights


def check_solve(n, rows, is_spectral):
    """Raise MemoryError if the solution for so many rows would not fit."""
    check_memory(
        (SPECTRAL_COPIES if is_spectral else COPIES) * 8.0 * n * n,
        f"A fit of {n} {rows}",
        "take fewer rows, or sklearn.kernel_approximation.Nystroem with the kernel and a linear "
        "model",
    )


def distinct(X):
    """Places of the first of equal rows, and for each row the number of its first one."""
    X = X + 0.0  # -0.0 and 0.0 are equal
    places = {}
    group = np.array([places.setdefault(row.tobytes(), len(places)) for row in X])
    return np.unique(group, return_index=True)[1], group


class Scatter(NamedTuple):
    """How much the targets of equal rows differ.

    ``squares`` are the weighted sums of squares about their means, and there are ``n`` more
    different targets than distinct rows; ``unit`` is the mean weight of different targets.
    """

    squares: np.ndarray
    n: int
    unit: float


def merge(Y, weights, group):
    """Targets and weights of distinct rows: the means of the targets, the sums of the weights.

    The solution stays the same, leaving out one row leaves out its copies as well, and thus an
    integer weight is the same as a repetition for everything that is fitted. Also returns their
    `Scatter`.
    """
    if group[-1] == len(group) - 1:
        return Y, weights, Scatter(np.zeros(Y.shape[1]), 0, weights.mean())
    total = np.bincount(group, weights)
    mean = np.stack([np.bincount(group, weights * y) for y in Y.T], axis=1) / total[:, None]
    n_pairs = len(np.unique(np.column_stack([group, Y]), axis=0))  # copies tell nothing
    squares = weights @ (Y - mean[group]) ** 2
    return mean, total, Scatter(squares, n_pairs - len(total), weights.sum() / n_pairs)
