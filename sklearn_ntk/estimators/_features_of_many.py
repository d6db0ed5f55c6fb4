"""Features of many rows, learned from more of them than choose the network."""

import warnings

import numpy as np

from .._runtime.device import is_on_device, on_host
from .._runtime.errors import NotConverged
from ..gram import KernelOperator
from ..solvers import ConjugateGradient, Ridge
from ..solvers._solution import relative_squares, varied
from ._checks import is_auto, mixes_columns
from ._choice_of_solver import memory_beside, rows_that_fit
from ._features import learn, project
from ._places import take
from ._quiet import quiet_kernel
from ._solvers import solver_of

LEAST_ROWS, MOST_ROWS = 3000, 12_000
"""Rows that teach features of many rows."""

TEST_ROWS = 2000
"""Further rows that choose among them, at most, and at most a fourth of all."""

BLIND_ROWS = 5000
"""Rows that teach, at most, and at most half of all, where the ridge is chosen by all: features of
noisy targets know the rows that taught them, and leaving one out chooses too small a ridge."""

GAIN = 0.97
"""Share of the error without features that is left with those of one step, at most."""

TOL = 1e-3
"""Tolerance of conjugate gradients for features."""


def can_learn_more(model, kernel, n, k):
    """Whether an estimator of k outputs learns features of n rows by `learn_from_more`.

    Searches do not, which compare errors of all rows, nor clusters, whose client has few, nor fits
    with a time of training, which cost more, or to centres, which cost less. Networks that take
    columns one by one have gradients that take long.
    """
    if not model._learns_more or model.training_time is not None or not solver_of(model).teaches:
        return False
    return mixes_columns(kernel) and _split(model, n, k)[0] >= LEAST_ROWS


def learn_from_more(model, kernel, mode, X, Y, weights):
    """Features (d, d) on a kernel, or None, and the rows that have taught nothing.

    Those that few rows teach have noise. They are learned while the error of other rows falls.

    Parameters
    ----------
    model : estimator
        One that `can_learn_more`.
    kernel : Kernel
    mode : {"diagonal", "full"}
        Of features that are left to the fit, "full" is taken if the matrix has at most as many
        entries as rows teach it.
    X : array of shape (n, d)
        Distinct rows.
    Y, weights : arrays of shape (n, k) and (n,)

    Returns
    -------
    features : array of shape (d, d) or None
    rows : array of shape (m,) or None
        Increasing indices of those by which the fit is to be judged; None for all.
    """
    rows, test, others = _draw(*_split(model, *Y.shape), Y)
    if is_auto(model.features) and X.shape[1] ** 2 <= len(rows):
        mode = "full"
    problem = take(X, rows), Y[rows], weights[rows]
    quiet, tests, features = quiet_kernel(kernel), take(X, test), None

    def error_of(solution, features):
        """Of the rows that choose, squared, in units of the variances of all."""
        between = quiet(project(tests, features), project(problem[0], features))
        residuals = Y[test] - solution.intercept - on_host(between) @ on_host(solution.dual)
        return relative_squares(residuals, Y, weights, weights[test])

    solution = _fit(model, quiet, None, problem)
    error = error_of(solution, None)
    for _ in range(model.n_feature_steps):
        new = learn(kernel, problem[0], features, *problem[1:], solution.dual, mode)
        if new is None:
            break
        solution = _fit(model, quiet, new, problem)
        new_error = error_of(solution, new)
        if not new_error < (GAIN * error if features is None else error):
            break
        features, error = new, new_error
    is_blind = features is None or model._needs_matrix()
    return features, None if is_blind else others


def _split(model, n, k):
    """How many of n rows, with k outputs, teach features, and how many others choose among them."""
    n_test = min(TEST_ROWS, n // 4)
    most = min(BLIND_ROWS, n // 2) if model._needs_matrix() else min(MOST_ROWS, n - n_test)
    return rows_that_fit(model, most, k), n_test


def _draw(n_rows, n_test, Y):
    """Rows by chance that teach features, some of the others, and all of these, in their order.

    Where a target is constant on one of both, it gets a few rows, of the other one if need be.
    """
    order = np.random.default_rng(0).permutation(len(Y))
    rows, test, rest = np.split(order, [n_rows, n_rows + n_test])
    test = varied(test, np.append(rest, rows[::2]), Y)
    rows, rest = (part[~np.isin(part, test)] for part in (rows, rest))
    rows = varied(rows, np.append(rest, test[::2]), Y)
    return np.sort(rows), np.sort(test[~np.isin(test, rows)]), np.setdiff1d(order, rows)


def _fit(model, kernel, features, problem):
    """`Solution` with features, for the rows, targets and weights of a problem."""
    X, Y, weights = problem
    X = project(X, features)
    solver = Ridge()
    if not is_on_device(X):
        limits = {"max_memory": memory_beside(model), "verbose": int(model.verbose)}
        solver = ConjugateGradient(tol=TOL, **limits)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotConverged)
        return solver.fit(KernelOperator(kernel, X), Y, weights).solution
