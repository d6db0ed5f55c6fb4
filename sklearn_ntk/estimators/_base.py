"""Base class of regressor and classifier: parameters, and Gram matrices of rows."""

import numbers
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.gaussian_process.kernels import Kernel
from sklearn.utils.validation import check_is_fitted

from .._compat import DocumentationLink, Interval, StrOptions
from .._runtime.chunks import chunks
from .._runtime.device import device_name, is_on_device, on_host
from .._runtime.progress import Progress
from ..gram import ArrayOperator, KernelOperator
from ..gram._kernel_operator import placed
from ..gram._operator import ON_DEVICE
from ..kernels import NNGPKernel, NTKKernel
from ..solvers._units import safe_product
from ._checks import check_symmetric, check_takes, is_auto, mixes_columns
from ._choice_of_solver import pick_solver
from ._columns import Columns, deviations
from ._features import distinct_behind, given_features, project
from ._gradients import Gradients
from ._places import check_device, read_new, take
from ._quiet import quiet_kernel, verbose_of
from ._solvers import SOLVERS, Size
from ._squares import OPTIMIZERS


class NetworkEstimator(Gradients, DocumentationLink, BaseEstimator):
    """Parameters of an estimator on the kernel of a network, and Gram matrices of its rows."""

    _parameter_constraints: ClassVar[dict] = {
        "kernel": [StrOptions({"auto", "ntk", "nngp", "precomputed"}), Kernel],
        "depth": [Interval(numbers.Integral, 0, None, closed="left")],
        "activation": "no_validation",  # the kernel's error lists the valid ones
        "weight_var": [Interval(numbers.Real, 0, None, closed="neither")],
        "bias_var": [Interval(numbers.Real, 0, None, closed="left")],
        "n_frozen": [Interval(numbers.Integral, 0, None, closed="left")],
        "column_layers": [StrOptions({"auto"}), Interval(numbers.Integral, 0, None, closed="left")],
        "architecture": [tuple, list, None],
        "alpha": [StrOptions({"auto"}), Interval(numbers.Real, 0, None, closed="left")],
        "training_time": [
            StrOptions({"auto"}),
            Interval(numbers.Real, 0, None, closed="left"),
            None,
        ],
        "learning_rate": [Interval(numbers.Real, 0, None, closed="neither")],
        "optimizer": [StrOptions(set(OPTIMIZERS))],
        "momentum": [Interval(numbers.Real, 0, 1, closed="left")],
        "squash": [Interval(numbers.Real, 0, None, closed="neither"), None],
        "features": [StrOptions({"auto", "diagonal", "full"}), "array-like", None],
        "n_feature_steps": [Interval(numbers.Integral, 1, None, closed="left")],
        "solver": [StrOptions({"auto", *SOLVERS})],
        "tol": [Interval(numbers.Real, 0, None, closed="neither")],
        "max_iter": [Interval(numbers.Integral, 1, None, closed="left")],
        "max_memory": [Interval(numbers.Real, 0, None, closed="neither"), None],
        "leaf_size": [Interval(numbers.Integral, 2, None, closed="left")],
        "overlap": [Interval(numbers.Real, 0, 0.4, closed="both")],
        "n_components": [Interval(numbers.Integral, 1, None, closed="left"), None],
        "centers": [StrOptions({"uniform", "rpcholesky"}), "array-like"],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "device": [str, None],
        "verbose": ["verbose"],
    }

    _choices: ClassVar[dict] = {"kernel": ("ntk", "nngp"), "activation": ("relu", "gelu")}
    """What "auto" chooses among: networks with kinks, and smooth ones."""

    _modes = "full", "diagonal"
    """How features are learned by default."""

    _learns_more = True
    """Whether many rows teach features anew; see `_features_of_many`."""

    _centers = _iterations = None
    """What a fit goes on from: the `Centers` of the rows before, or solutions to begin with."""

    _judges = None
    """Indices of the distinct rows that have taught no features, if others have; else None."""

    def __init__(
        self,
        kernel="auto",
        *,
        depth=2,
        activation="auto",
        weight_var=2.0,
        bias_var=1.0,
        n_frozen=0,
        column_layers="auto",
        architecture=None,
        alpha="auto",
        training_time=None,
        learning_rate=1.0,
        optimizer="flow",
        momentum=0.9,
        squash=10.0,
        features="auto",
        n_feature_steps=2,
        solver="auto",
        tol=1e-4,
        max_iter=500,
        max_memory=None,
        leaf_size=5000,
        overlap=0.1,
        n_components=None,
        centers="uniform",
        warm_start=False,
        random_state=0,
        device=None,
        verbose=0,
    ):
        self.kernel = kernel
        self.depth = depth
        self.activation = activation
        self.weight_var = weight_var
        self.bias_var = bias_var
        self.n_frozen = n_frozen
        self.column_layers = column_layers
        self.architecture = architecture
        self.alpha = alpha
        self.training_time = training_time
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.momentum = momentum
        self.squash = squash
        self.features = features
        self.n_feature_steps = n_feature_steps
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.max_memory = max_memory
        self.leaf_size = leaf_size
        self.overlap = overlap
        self.n_components = n_components
        self.centers = centers
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = isinstance(self.kernel, str) and self.kernel == "precomputed"
        return tags

    def __getstate__(self):
        """Attributes, without arrays of CuPy, which load only where there is a GPU."""
        return {name: on_host(each) for name, each in super().__getstate__().items()}

    def _make_kernel(self):
        """Kernel object of the parameters; None if it is precomputed."""
        if not isinstance(self.kernel, str):
            return clone(self.kernel)
        parameters = {
            "depth": self.depth,
            "activation": self.activation,
            "weight_var": self.weight_var,
            "bias_var": self.bias_var,
            "column_layers": 0 if is_auto(self.column_layers) else self.column_layers,
            "architecture": self.architecture,
            "device": self.device,
            "verbose": self.verbose,
        }
        if self.kernel == "ntk":
            return NTKKernel(**parameters, n_frozen=self.n_frozen)
        return NNGPKernel(**parameters) if self.kernel == "nngp" else None

    def _is_spectral(self):
        """Whether fits compute eigenvectors for any number of rows, which takes more memory."""
        return self.training_time is not None

    def _needs_matrix(self):
        """The parameter, as text, that needs the whole Gram matrix; None if there is none."""
        if self.training_time is not None:
            return f"training_time={self.training_time!r}"
        return None

    def _keep_rows(self, kernel, X, weights):
        """Set ``kernel_`` and the distinct training rows, as it sees them; ``kept`` and ``group``.

        ``kept`` (n_kept,) are the indices of the rows of positive weight, and ``group`` (n_kept,)
        is the index of each among the distinct rows. All rows of a precomputed Gram matrix, which
        ``kernel`` is None for, count as distinct.

        Sets ``X_fit_``, the distinct rows, and ``_weights``, those of each; ``features_`` if they
        are given, ``_columns`` and ``_stds``, what rows go through before the kernel and the
        deviations of columns there. Of a precomputed matrix it sets ``_kept`` in place of rows.
        """
        self.kernel_, kept = kernel, np.flatnonzero(weights)
        self._columns, self.features_ = None, given_features(self.features, X.shape[1])
        self._judges = None
        vars(self).pop("X_fit_", None)  # of the last fit
        check_device(self, kernel, X)
        if kernel is None:
            if self.features_ is not None:
                raise ValueError("features need rows; got kernel='precomputed': leave it at None.")
            self._kept, self._weights = kept, weights[kept]
            return kept, np.arange(len(kept))
        check_takes(kernel, X)
        X, weights = take(X, kept), weights[kept]
        self._columns = fit_columns(self, kernel, X, weights)
        X = X if self._columns is None else self._columns.apply(X)
        self._stds = deviations(X, weights)
        first, group = distinct_behind(self.features_, X)
        self.X_fit_ = project(take(X, first), self.features_) + 0.0
        self._weights = np.bincount(group, weights)
        return kept, group

    def _begin(self, X, k, is_stream):
        """Set ``solver_`` for a fit to k outputs, and forget what the last one has kept.

        ``X`` are the rows, of which `_keep_rows` has kept the distinct ones, or the precomputed
        matrix. Returns the `GramOperator` of the distinct rows.
        """
        is_precomputed = self.kernel_ is None
        size = Size(len(self._weights), k, device_name(X), is_precomputed)
        solver = self._solver_for("nystroem" if is_stream else self.solver, size)
        self.solver_, self.n_iter_, self.residual_ = solver.name, 1, None
        self.leaves_ = self.centers_ = self._leaves = self._centers = None
        if not solver.goes_on:
            self._iterations = None
        if not is_precomputed:
            return self._operator(self.kernel_, self.X_fit_)
        check_symmetric(X)
        K = ArrayOperator(X).block(self._kept, self._kept)
        return ArrayOperator(K, overwrite=True)

    def _operator(self, kernel, X):
        """`GramOperator` of rows."""
        return KernelOperator(kernel, X)

    def _solver_for(self, name, size):
        """`Solver` for a `Size`; ``name`` is that of the one that is asked for, or "auto"."""
        return pick_solver(self, name, size)

    def _rows(self, X):
        """Rows as the kernel sees them."""
        X = X if self._columns is None else self._columns.apply(X)
        return project(X, self.features_)

    def _gram_blocks(self, X):
        """Yield the Gram matrix between new and training rows, a block of new rows at a time.

        Blocks are where the kernel computes, maybe in the memory of a GPU.
        """
        check_is_fitted(self)
        X = read_new(self, X)
        if self.kernel_ is None:
            yield X[:, np.asarray(self._kept, like=X)]
            return
        check_takes(self.kernel_, X)
        X, X_fit = placed(self.kernel_, self._rows(X), self.X_fit_)
        kernel, what = quiet_kernel(self.kernel_), f"Gram matrix of {len(X)} x {len(X_fit)} rows"
        progress = Progress(len(X), what, "take fewer rows", verbose_of(self.kernel_))
        most = ON_DEVICE if is_on_device(X_fit) else None
        for rows in chunks(len(X), len(X_fit), most):
            yield kernel(X[rows], X_fit)
            progress.add(len(X[rows]))

    def _values(self, X, dual, intercept):
        """Values (m, k) of ``k(x, X_fit) @ dual + intercept`` at m new rows, of NumPy.

        Those of local models have coefficients of their own.
        """
        if self._leaves is not None:
            X = on_host(self._rows(read_new(self, X)))
            return self._leaves.values(quiet_kernel(self.kernel_), self.X_fit_, X)
        blocks = [safe_product(K, dual) for K in self._gram_blocks(X)]
        return np.concatenate(blocks) + intercept


def is_on_columns(model, kernel):
    """Whether an estimator changes the columns of rows: not for kernel objects, nor positions."""
    return isinstance(model.kernel, str) and not kernel.takes_positions


def takes_learned(model, kernel):
    """Whether learned features are for a kernel: one on columns, which its first layer mixes."""
    return is_on_columns(model, kernel) and mixes_columns(kernel)


def fit_columns(model, kernel, X, weights):
    """`Columns` of training rows, or None where rows stay as they are."""
    if model.squash is None or not is_on_columns(model, kernel):
        return None
    return Columns.fit(X, weights, model.squash)


def squashed(model, kernel, X, weights):
    """Training rows (n, d) with squashed columns, where the kernel of an estimator takes these."""
    columns = fit_columns(model, kernel, X, weights)
    return X if columns is None else columns.apply(X)
