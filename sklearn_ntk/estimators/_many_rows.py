"""Fits of many rows: by the solver that was chosen, with what predictions need of it."""

import warnings
from copy import copy
from functools import partial

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from .._runtime.check import read_array
from .._runtime.errors import NotConverged
from ..solvers import ConjugateGradient, Local, Nystroem
from ..solvers._nystroem import Centers
from ..solvers._ridge import read_ridges
from ..solvers._solution import relative_error
from ..solvers._sums import Basis
from ._equal_rows import distinct
from ._squares import fit_squares, fitted_ridges, given_alpha


def fit_whole(model, operator, Y, weights, unit, error=relative_error, blind=()):
    """As `fit_squares`, to all rows, by the solver in ``solver_``; "cholesky" alone is ``blind``.

    Sets ``n_iter_`` and the like, and what predictions need of the solver; the rows of the model
    become the centres if there are any.
    """
    if model.solver_ == "cholesky":
        return fit_squares(model, operator, Y, weights, unit, error, blind)
    alpha = given_alpha(model.alpha, unit)
    solver = make_solver(model, alpha, error)
    operator, more = _quiet(operator), {}
    if model.solver_ != "nystroem":
        more["judges"] = model._judges
    if model.warm_start and model.solver_ == "cg":
        start = model._iterations
        is_alike = start is not None and start.columns.shape == (len(Y), Y.shape[1] + 1)
        more["start"] = start if is_alike else None
    given = None
    if model.solver_ == "nystroem" and not isinstance(model.centers, str):
        given = _given_centers(model)
        path = _fit_to_given(solver, given, operator, Y, weights)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotConverged)  # the one below is that of scikit-learn
            path = solver.fit(operator, Y, weights, **more)
    details = path.solution.details
    if model.solver_ == "cg":
        model.n_iter_, model.residual_ = details.n_iter, details.residual
        goes_on = model.warm_start or details.trouble
        # solutions for signs take more memory than all else that is kept of the fit
        model._iterations = details if goes_on else details._replace(probes=None)
        if details.trouble:
            warnings.warn(details.trouble, ConvergenceWarning, stacklevel=2)
    elif model.solver_ == "local":
        model._leaves, model.leaves_ = details, [leaf.rows for leaf in details.leaves]
    else:
        _keep_centers(model, details, given)
    return path, path.value, fitted_ridges(model, path, alpha, unit)


def make_solver(model, alpha, error=relative_error):
    """The solver of a model, as a value; ``error`` is what chooses."""
    seed = int(check_random_state(model.random_state).randint(2**31 - 1))
    common = {"error": error, "seed": seed, "verbose": int(model.verbose)}
    if model.solver_ == "cg":
        own = alpha, model.tol, model.max_iter
        return ConjugateGradient(*own, **common, max_memory=model.max_memory)
    if model.solver_ == "local":
        own = alpha, model.leaf_size, model.overlap
        return Local(*own, **common, max_memory=model.max_memory)
    centers = model.centers if isinstance(model.centers, str) else "uniform"
    return Nystroem(alpha, model.n_components, centers, **common)


def absorb(model, X, Y, weights):
    """The `Path` of a fit by centres after more rows; see `Nystroem`.

    ``weights`` are in the unit of those of the first part. Nothing of the model is changed.
    """
    kept = np.flatnonzero(weights)
    if not len(kept):
        raise ValueError(
            "sample_weight must not vanish beside that of the first part; all of this part does: "
            "leave the part out."
        )
    X, Y, weights = model._rows(X[kept]), Y[kept], weights[kept]
    solver = make_solver(model, None)
    kernel, centers = quiet_kernel(model.kernel_), model.X_fit_

    def blocks(rows):
        return partial(kernel, X[rows], centers)

    problem = blocks, kernel.diag(X), Y, weights
    return solver.absorb(model._centers, *problem, apart=_apart(X, centers))


def _apart(X, centers):
    """Indices of the rows that are none of the centres, which differ from each other."""
    group = distinct(np.vstack([centers, X]))[1][len(centers) :]
    return np.flatnonzero(group >= len(centers))


def _given_centers(model):
    """Centres (m, d) that are given, as the kernel sees them."""
    if model.kernel_ is None:
        raise ValueError(
            "centers must be 'uniform' or 'rpcholesky' for kernel='precomputed'; got rows, which "
            "it lacks: pass the kernel itself."
        )
    d = model.n_features_in_
    what = f"'uniform', 'rpcholesky' or an array (m, {d}) of finite numbers"
    centers = read_array(model.centers, "centers", what, "give each column a number", [2])
    if centers.shape[1] != d or not len(centers):
        raise ValueError(f"centers must be {what}; got shape {centers.shape}.")
    centers = model._rows(centers)
    n_distinct = len(distinct(centers)[0])
    if n_distinct < len(centers):
        raise ValueError(
            f"centers must differ from each other; {n_distinct} of {len(centers)} do: drop the "
            f"others."
        )
    return centers


def _fit_to_given(solver, given, operator, Y, weights):
    """`Path` of a fit by centres (m, d) that are given."""
    kernel, X = operator.kernel, operator.X
    basis, ridges = Basis(kernel(given)), read_ridges(solver.ridges, operator, weights)[0]
    empty = Centers(None, basis, ridges)

    def blocks(rows):
        return partial(kernel, X[rows], given)

    problem = blocks, operator.diagonal(), Y, weights
    return solver.absorb(empty, *problem, apart=_apart(X, given), fold=operator.fold)


def _keep_centers(model, details, given):
    """Make the centres the rows of a fitted model."""
    model._centers, rows = details, details.rows
    model._weights = np.ones(len(given)) if rows is None else model._weights[rows]
    if model.kernel_ is None:
        model._kept = model.centers_ = model._kept[rows]
    else:
        model.X_fit_ = model.centers_ = model.X_fit_[rows] if given is None else given


def _quiet(operator):
    """The operator, of a kernel that prints nothing for its blocks, but does for the whole."""
    if not hasattr(operator, "kernel"):
        return operator
    quiet = copy(operator)
    quiet.kernel = quiet_kernel(operator.kernel)
    return quiet


def quiet_kernel(kernel):
    """A kernel that prints nothing."""
    return clone(kernel).set_params(verbose=0) if verbose_of(kernel) else kernel


def verbose_of(kernel):
    """The parameter ``verbose`` of a kernel, zero if it has none."""
    return kernel.get_params(deep=False).get("verbose", 0) if hasattr(kernel, "get_params") else 0
