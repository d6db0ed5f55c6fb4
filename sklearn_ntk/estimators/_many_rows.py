"""Fits of many rows: by the solver that was chosen, with what predictions need of it."""

import warnings

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from .._runtime.errors import NotConverged
from ..gram import KernelOperator
from ..solvers import ConjugateGradient, Local, Nystroem, Ridge
from ..solvers._ridge import GUESS_ROWS
from ._base import fit_squares, fitted_ridges, given_alpha


def fit_whole(model, operator, Y, weights, unit):
    """As `fit_squares`, to all rows, by the solver in ``solver_``.

    Sets ``n_iter_`` and the like, and what predictions need of the solver; the rows of the model
    become the centres if there are any.
    """
    if model.solver_ == "cholesky":
        return fit_squares(model, operator, Y, weights, unit)
    alpha = given_alpha(model.alpha, unit)
    solver = make_solver(model, alpha)
    operator, more = _quiet(operator), {}
    if model.warm_start and model.solver_ == "cg":
        start = vars(model).get("_iterations")
        is_alike = start is not None and start.columns.shape == (len(Y), Y.shape[1] + 1)
        more["start"] = start if is_alike else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotConverged)  # the one below is that of scikit-learn
        path = solver.fit(operator, Y, weights, **more)
    details = path.solution.details
    if model.solver_ == "cg":
        model.n_iter_, model.residual_ = details.n_iter, details.residual
        model._iterations = details if model.warm_start else None
        _warn(model)
        if path.solution.residuals is None:
            path = path._replace(solution=_with_residuals(model, path, operator, Y, weights))
    elif model.solver_ == "local":
        model._leaves, model.leaves_ = details, [leaf.rows for leaf in details.leaves]
    else:
        keep_centers(model, details)
    return path, path.value, fitted_ridges(model, path, alpha, unit)


def make_solver(model, alpha):
    """The solver of a model, as a value."""
    seed = int(check_random_state(model.random_state).randint(2**31 - 1))
    common = {"seed": seed, "verbose": int(model.verbose)}
    if model.solver_ == "cg":
        return ConjugateGradient(alpha, model.tol, model.max_iter, **common)
    if model.solver_ == "local":
        return Local(alpha, model.leaf_size, model.overlap, **common)
    return Nystroem(alpha, model.n_components, model.centers, **common)


def keep_centers(model, details):
    """Make the centres the rows of a fitted model."""
    rows = details.rows
    model._centers = details
    model._weights = model._weights[rows]
    if model.kernel_ is None:
        model._kept = model._kept[rows]
        model.centers_ = model._kept
    else:
        model.X_fit_ = model.X_fit_[rows]
        model.centers_ = model.X_fit_


def _quiet(operator):
    """The operator, of a kernel that prints nothing for each of its blocks."""
    kernel = getattr(operator, "kernel", None)
    if not getattr(kernel, "verbose", 0):
        return operator
    return KernelOperator(clone(kernel).set_params(verbose=0), operator.X)


def _with_residuals(model, path, operator, Y, weights):
    """The `Solution` with exact leave-one-out residuals of a fit to some of the rows."""
    seed = check_random_state(model.random_state).randint(2**31 - 1)
    rows = np.sort(np.random.default_rng(seed).permutation(len(Y))[:GUESS_ROWS])
    part = Ridge(path.value).fit(operator.take(rows), Y[rows], weights[rows]).solution
    return path.solution._replace(residuals=part.residuals, precision=part.precision, rows=rows)


def _warn(model):
    if model.residual_ > model.tol:
        warnings.warn(
            f"Conjugate gradients ended after {model.n_iter_} iterations with a residual of "
            f"{model.residual_:.2g}, more than tol={model.tol:.2g}: increase max_iter, alpha or "
            f"tol.",
            ConvergenceWarning,
            stacklevel=2,
        )
