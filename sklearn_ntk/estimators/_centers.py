"""Fits by centres that are there: given ones, and those of the rows before."""

from functools import partial

import numpy as np

from .._runtime.check import read_array
from ..solvers._nystroem import Centers, NewRows
from ..solvers._ridge import read_ridges
from ..solvers._sums import basis_of
from ._equal_rows import distinct
from ._quiet import quiet_kernel


def given_centers(model):
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


def fit_to_given(solver, given, operator, Y, weights):
    """`Path` of a fit by centres (m, d) that are given."""
    kernel, X = operator.kernel, operator.X
    basis, ridges = basis_of(kernel(given)), read_ridges(solver.ridges, operator, weights)[0]
    empty = Centers(None, basis, ridges)
    new = NewRows(_blocks(kernel, X, given), operator.diagonal(), Y, weights, _apart(X, given))
    return solver.absorb(empty, new, fold=operator.fold)


def absorb(solver, model, X, Y, weights):
    """The `Path` of the fit of a model after more rows; see `Nystroem.absorb`.

    ``weights`` are in the unit of those of the first part. Nothing of the model is changed.
    """
    kept = np.flatnonzero(weights)
    if not len(kept):
        raise ValueError(
            "sample_weight must not vanish beside that of the first part; all of this part does: "
            "leave the part out."
        )
    X, Y, weights = model._rows(X[kept]), Y[kept], weights[kept]
    kernel, centers = quiet_kernel(model.kernel_), model.X_fit_
    new = NewRows(_blocks(kernel, X, centers), kernel.diag(X), Y, weights, _apart(X, centers))
    return solver.absorb(model._centers, new)


def _blocks(kernel, X, centers):
    """Function of some of the rows: a function that returns their kernel (b, m) with centres."""
    return lambda rows: partial(kernel, X[rows], centers)


def _apart(X, centers):
    """Indices of the rows that are none of the centres, which differ from each other."""
    group = distinct(np.vstack([centers, X]))[1][len(centers) :]
    return np.flatnonzero(group >= len(centers))
