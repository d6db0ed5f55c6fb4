"""Features learned on a kernel: a matrix that rows are multiplied by, from gradients of a fit."""

import numpy as np
from scipy.linalg import eigh

from .._runtime.check import read_array
from .._runtime.chunks import chunks
from .._runtime.device import on_host
from ..gram._kernel_operator import placed
from ..solvers._moments import or_one, variances
from ._columns import deviations
from ._equal_rows import distinct
from ._places import take

LEARNING_COPIES = 6
"""Peak memory of one step of learning, in matrices of columns by columns."""

LEAST_SCALE = 1e-4
"""Of a direction of the columns, where their mean square is one."""


def project(X, features):
    """Rows as a kernel on features sees them."""
    return X if features is None else X @ np.asarray(features, like=X)


def distinct_behind(features, X):
    """`distinct` rows of those times a matrix, or None: equal ones stay so, however it rounds."""
    first, group = distinct(X)
    if features is None:
        return first, group
    second, other = distinct(project(take(X, first), features))
    return first[second], other[group]


def given_features(features, d):
    """A copy of the matrix (d, m) that is given as the parameter ``features``, None for others."""
    if features is None or isinstance(features, str):
        return None
    what = f"a matrix ({d}, m) of finite numbers, a row for each column of X"
    return read_array(features, "features", what, "transpose or extend it", [2], d).copy()


def learn(kernel, X, features, Y, weights, dual, mode):
    """Features (d, d) from the gradients of functions with coefficients (n, k) at the rows.

    Radhakrishnan, Beaglehole, Pandit and Belkin (Science, 2024): the root of the average outer
    product ``M`` of the gradients, in units of the standard deviations of columns and targets. The
    mean square of its eigenvalues is one, and the sum of the variances of the columns is about that
    of the rows. None if no function has a gradient, if targets are constant, or if coefficients
    or scales of columns overflow.
    """
    if not np.all(np.isfinite(dual)):
        return None
    stds, targets = deviations(X, weights), variances(Y, weights)
    if not np.any(targets > 0.0):  # coefficients are rounding
        return None
    rows = project(*placed(kernel, X), features)
    parts = gradients(kernel, rows, features, stds, targets, weights, dual)
    M = on_host(sum(part.T @ part for part in parts))
    moving = np.flatnonzero(stds)
    M = M[np.ix_(moving, moving)]
    if not np.all(np.isfinite(M)):
        return None
    if mode == "diagonal":
        scales, axes = np.sqrt(M.diagonal()), np.eye(len(M))
    else:
        squares, axes = eigh(M)
        scales = np.sqrt(np.maximum(squares, 0.0))
    size = np.sqrt(np.mean(scales**2)) if len(scales) else 0.0
    if not (np.isfinite(size) and size > 0.0):
        return None
    root = (axes * np.maximum(scales / size, LEAST_SCALE)) @ axes.T
    found, unit = np.eye(len(stds)), np.hypot.reduce(stds[moving]) / np.sqrt(len(moving))
    with np.errstate(over="ignore", invalid="ignore"):
        found[np.ix_(moving, moving)] = root * (unit / stds[moving])[:, None]
    return found if np.all(np.isfinite(found)) else None


def gradients(kernel, X, features, stds, targets, weights, dual, places=None):
    """Yield gradients (m, d) of k functions at rows, times the roots of the weights of the rows.

    The rows ``X`` (n, d) are those that the kernel sees, with ``features``, and ``places`` (m,) are
    those of the rows where gradients are wanted, of all for None. Gradients are in units
    of the standard deviations ``stds`` (d,) of the columns before, and of those of the targets, of
    variances ``targets`` (k,). The sum of their outer products is the average over the rows, summed
    over the functions. They are where the rows are.
    """
    weights, at = (weights, X) if places is None else (weights[places], take(X, places))
    shares = weights[:, None] / weights.sum() / or_one(targets)
    shares, stds = (np.asarray(each, like=X) for each in (np.sqrt(shares), stds))
    for rows in chunks(len(at), dual.shape[1] * len(stds)):
        found = kernel.gradient_x(at[rows], X, dual)  # (m, k, d)
        found = project(found, None if features is None else features.T) * stds
        yield (shares[rows][..., None] * found).reshape(-1, len(stds))
