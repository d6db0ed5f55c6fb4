"""Choice of a kernel, and of features learned on it, by the error of leaving out one row."""

from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh
from sklearn.base import clone

from .._runtime.check import read_array
from .._runtime.memory import check_memory
from ..activations import as_activation
from ..gram import KernelOperator
from ..gram._operator import chunks
from ..solvers import Ridge
from ..solvers._factors import variances
from ..solvers._solution import relative_error
from ._columns import deviations

CHOICE = ("kernel", "activation")
KERNELS, ACTIVATIONS = ("ntk", "nngp"), ("relu", "gelu")
"""Parameters that a fit may choose, and among what: networks with kinks, and smooth ones."""

MOST_ROWS = 1500
"""Rows by which a choice is made, at most: of more it takes random ones."""

MOST_COLUMNS = 500
"""Columns up to which features are learned by default: their matrices are factorised each time."""

LEARNING_COPIES = 6
"""Peak memory of one step of learning, in matrices of columns by columns."""

OPTIMISM = 1.25
"""By how much errors of leaving out one row are multiplied where features were learned on it, too.

On sets of a few hundred rows they turned out too small by up to a fifth.
"""

LEAST_SCALE = 1e-4
"""Of a direction of the columns, where their mean square is one."""


class Candidate(NamedTuple):
    """A kernel on rows times a matrix of features (d, d), or on the rows if that is None.

    ``fit`` is what a method has returned for it, `Path` first, and ``error`` the mean squared error
    of leaving out one row in units of the variance of the targets, times `OPTIMISM` of features.
    """

    kernel: object
    features: np.ndarray | None
    fit: tuple
    error: float


def kernels_of(model):
    """Kernels of all networks that are left to the choice, or the one that is named."""
    names, activations = [model.kernel], [model.activation]
    is_open = model.architecture is None and model.depth > 0  # all linear models are the same
    if isinstance(model.activation, str) and model.activation == "auto":
        activations = ACTIVATIONS if is_open else ACTIVATIONS[:1]
    if isinstance(model.kernel, str) and model.kernel == "auto":
        names = KERNELS if is_open and not model.n_frozen else KERNELS[:1]
    if not isinstance(model.kernel, str) or model.kernel == "precomputed":
        activations = ACTIVATIONS[:1]  # of no use
    pairs = (dict(zip(CHOICE, pair, strict=True)) for pair in product(names, activations))
    return [clone(model).set_params(**pair)._make_kernel() for pair in pairs]


def choose(model, kernels, fit, operator, Y, weights):
    """Choose a kernel, and features on it, for the rows ``X_fit_`` of an estimator, and fit.

    Sets ``kernel_``, ``features_`` and ``X_fit_``, which become the rows that the kernel sees.

    Parameters
    ----------
    model : estimator
    kernels : list of Kernel
        The first one is that of ``operator``.
    fit : callable
        ``fit(operator, Y, weights)`` returns a tuple, `Path` first.
    operator : GramOperator
    Y, weights : arrays of shape (n, k) and (n,)

    Returns
    -------
    tuple
        What ``fit`` returns for the choice.
    errors : array of shape (n_kernels,)
        Least `Candidate.error` of each kernel.
    """
    mode, features = read_features(model, kernels)
    if len(kernels) == 1 and mode is None and features is None:
        found = fit(operator, Y, weights)
        return found, np.array([relative_error(found[0].solution, Y, weights)])
    rows = model.X_fit_, Y, weights
    best, errors = best_of(fit, kernels, *rows, mode, model.n_feature_steps, features)
    model.kernel_, model.features_ = best.kernel, best.features
    model.X_fit_ = project(model.X_fit_, best.features)
    if len(model.X_fit_) <= MOST_ROWS:
        return best.fit, errors
    return fit(KernelOperator(model.kernel_, model.X_fit_), Y, weights), errors


def read_features(model, kernels):
    """How features are learned, "diagonal", "full" or None, and the matrix that is given, if any.

    Raises ValueError or MemoryError if an estimator cannot have these on the first kernel.
    """
    features, d = model.features, model.n_features_in_
    if features is None:
        return None, None
    if not isinstance(features, str):
        if kernels[0] is None:
            raise ValueError("features need rows; got kernel='precomputed': leave them at None.")
        what = f"a matrix ({d}, m) of finite numbers, a row for each column of X"
        return None, read_array(features, "features", what, "transpose or extend it", [2], d)
    if features == "auto":
        is_default = len(kernels) > 1 and d <= MOST_COLUMNS
        jumps = is_default and as_activation(kernels[0].activation).jumps
        return ("full" if is_default and not jumps else None), None
    if not hasattr(kernels[0], "gradient_x"):
        raise ValueError(
            f"features={features!r} needs the kernel of a network on rows; got kernel="
            f"{model.kernel!r}: leave features at None."
        )
    check_memory(
        8.0 * (model.n_feature_steps * len(kernels) + LEARNING_COPIES) * d * d,
        f"Learning features of {d} columns",
        "select columns, or leave features at None",
    )
    return features, None


def learn_features(model, kernels, X, Y, weights):
    """Features (d, m) of an estimator, given or learned by ridge regression, or None.

    ``X`` (n, d) are distinct rows, ``Y`` (n, k) and ``weights`` (n,) their targets and weights.
    """
    mode, features = read_features(model, kernels)
    if mode is None:
        return features

    def fit(*problem):
        return (Ridge().fit(*problem),)

    return best_of(fit, kernels, X, Y, weights, mode, model.n_feature_steps)[0].features


def best_of(fit, kernels, X, Y, weights, mode, n_steps, features=None):
    """The best `Candidate` for some rows, and the least error (n_kernels,) of each kernel.

    The arguments are those of `candidates`, which gets `MOST_ROWS` of the rows. Of candidates whose
    errors differ by rounding, the first one is the best.
    """
    rows = np.sort(np.random.default_rng(0).permutation(len(X))[:MOST_ROWS])
    parts = X[rows], Y[rows], weights[rows]
    tried = list(candidates(fit, kernels, *parts, mode, n_steps, features))
    most = (1.0 + 1e-9) * min(candidate.error for candidate in tried)
    best = next(candidate for candidate in tried if candidate.error <= most)
    errors = [min(one.error for one in tried if one.kernel is kernel) for kernel in kernels]
    return best, np.array(errors)


def candidates(fit, kernels, X, Y, weights, mode, n_steps, features=None):
    """Yield for each kernel the `Candidate` of each step of learning, from none on.

    Parameters
    ----------
    fit : callable
        ``fit(operator, Y, weights)`` returns a tuple, `Path` first.
    kernels : list of Kernel
    X : array of shape (n, d)
        Distinct rows.
    Y, weights : arrays of shape (n, k) and (n,)
    mode : {"diagonal", "full", None}
    n_steps : int
    features : array of shape (d, d), optional
        Those of step 0, if rows are multiplied by a matrix in any case.
    """
    first = features
    for kernel in kernels:
        features = first
        for step in range(1 + n_steps * (mode is not None)):
            found = fit(KernelOperator(kernel, project(X, features)), Y, weights)
            solution = found[0].solution
            error = relative_error(solution, Y, weights) * (1.0 if step == 0 else OPTIMISM)
            yield Candidate(kernel, features, found, error)
            if step < n_steps and mode is not None:
                features = learn(kernel, X, features, Y, weights, solution.dual, mode)
                if features is None:
                    break


def project(X, features):
    """Rows as a kernel on features sees them."""
    return X if features is None else X @ features


def learn(kernel, X, features, Y, weights, dual, mode):
    """Features (d, d) from the gradients of functions with coefficients (n, k) at the rows.

    Radhakrishnan, Beaglehole, Pandit and Belkin (Science, 2024): the root of the average outer
    product ``M`` of the gradients, in units of the standard deviations of columns and targets. The
    mean square of its eigenvalues is one, and the sum of the variances of the columns is about that
    of the rows. None if no function has a gradient, or if coefficients overflow.
    """
    if not np.all(np.isfinite(dual)):
        return None
    stds, targets = deviations(X, weights), variances(Y, weights)
    rows = project(X, features)
    parts = gradients(kernel, rows, features, stds, targets, weights, dual)
    M = sum(part.T @ part for part in parts)
    moving = np.flatnonzero(stds)
    M = M[np.ix_(moving, moving)]
    if mode == "diagonal":
        scales, axes = np.sqrt(M.diagonal()), np.eye(len(M))
    else:
        squares, axes = eigh(M)
        scales = np.sqrt(np.maximum(squares, 0.0))
    size = np.sqrt(np.mean(scales**2)) if len(scales) else 0.0
    if not (np.isfinite(size) and size > 0.0):
        return None
    root = (axes * np.maximum(scales / size, LEAST_SCALE)) @ axes.T
    found, unit = np.eye(len(stds)), np.sqrt(np.mean(stds[moving] ** 2))
    found[np.ix_(moving, moving)] = root * (unit / stds[moving])[:, None]
    return found


def gradients(kernel, X, features, stds, targets, weights, dual):
    """Yield gradients (m, d) of k functions at n rows, times the roots of the weights of the rows.

    The rows ``X`` (n, d) are those that the kernel sees, with ``features``. Gradients are in units
    of the standard deviations ``stds`` (d,) of the columns before, and of those of the targets, of
    variances ``targets`` (k,). The sum of their outer products is the average over the rows, summed
    over the functions.
    """
    shares = weights[:, None] / weights.sum() / np.where(targets > 0.0, targets, 1.0)
    for rows in chunks(len(X), dual.shape[1] * len(stds)):
        found = kernel.gradient_x(X[rows], X, dual)  # (m, k, d)
        found = project(found, None if features is None else features.T) * stds
        yield (np.sqrt(shares[rows])[..., None] * found).reshape(-1, len(stds))
