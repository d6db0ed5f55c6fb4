"""Values of a fitted estimator at several times of its training."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..gram._kernel_operator import placed
from ._solvers import solver_of


def stages(model, X, times, name, problem):
    """Values (n_times, m, k) at m new rows and several times of the training.

    ``problem(K)`` returns what trains on the Gram matrix of the training rows, and the targets (n,
    k). ``name`` is that of the method, for errors.
    """
    check_is_fitted(model)
    check_rows_kept(model, name)
    check_exact(model, name)
    if np.ndim(times) != 1 or not len(times):
        raise ValueError(f"times must be a list or an array of numbers; got {times!r}.")
    training, Y = problem(model.kernel_(*placed(model.kernel_, model.X_fit_)))
    dual, intercept = training.coefficients(Y, times)
    n, k = Y.shape
    values = model._values(X, dual.swapaxes(0, 1).reshape(n, -1), intercept.ravel())
    return values.reshape(-1, len(times), k).swapaxes(0, 1)


def check_rows_kept(model, what):
    """Raise ValueError for a precomputed kernel, whose training rows are not there."""
    if model.kernel_ is None:
        raise ValueError(
            f"{what} needs the kernel between training rows, which are not kept of a precomputed "
            f"Gram matrix: pass the kernel itself."
        )


def check_exact(model, what):
    """Raise ValueError unless the whole Gram matrix was factorised."""
    if not solver_of(model).is_exact:
        raise ValueError(
            f"{what} needs the whole Gram matrix; got a fit by solver={model.solver_!r}: take "
            f"solver='cholesky'."
        )
