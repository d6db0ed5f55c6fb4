"""Leave-one-out errors of all ridges at all times of training."""

import numpy as np

from ..dynamics import Training
from ._ridge import default_ridges
from ._solution import read_problem, read_values, relative_squares
from ._stopping import default_times


def loo_errors(operator, Y, ridges=None, times=None, weights=None, learning_rate=1.0):
    """Leave-one-out errors of gradient flow, for each ridge and each time.

    Parameters
    ----------
    operator : array of shape (n, n) or GramOperator
        Gram matrix, positive semi-definite.
    Y : array of shape (n,) or (n, k)
        Targets.
    ridges : array of shape (n_ridges,), optional
        Weight decay of the flow, by default the ridges of `Ridge`; sorted.
    times : array of shape (n_times,), optional
        Times of the flow, by default those of `EarlyStopping`; sorted. Infinite time is `Ridge`.
    weights : array of shape (n,), optional
        Positive weights of the rows, ones by default.
    learning_rate : float, default=1.0
        Factor of the times.

    Returns
    -------
    ridges : array of shape (n_ridges,)
        Increasing.
    times : array of shape (n_times,)
        Increasing.
    errors : array of shape (n_ridges, n_times)
        Weighted mean squared error at each row of the network trained without it, in units of the
        variance of each output, averaged over outputs.

    Raises
    ------
    ValueError
        If the matrix has negative eigenvalues or is not symmetric, or if a ridge, a time or another
        parameter is not a number in its range.

    Notes
    -----
    All pairs share one eigendecomposition, and all ridges share the contour integrals of the times,
    see `dynamics.Training`: 50 ridges and 50 times take half as long as the eigenvectors, in
    addition.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.solvers import loo_errors
    >>> rng = np.random.default_rng(0)
    >>> x = np.linspace(-1.0, 1.0, 40)[:, None]
    >>> y = np.sin(4.0 * x) + 0.3 * rng.normal(size=x.shape)
    >>> loo_errors(NTKKernel()(x), y, [0.0, 1.0], [1.0, 100.0, np.inf])[2].round(2)
    array([[0.86, 0.09, 0.11],
           [0.86, 0.15, 0.15]])
    """
    operator, Y, weights = read_problem(operator, Y, weights)
    K = operator.dense()
    flow = Training(K, weights, 0.0, learning_rate)
    ridges = default_ridges(K, weights, len(K)) if ridges is None else _read(ridges, "ridges")
    if times is None:
        times = default_times(K, weights, len(K), learning_rate)[::-1]
    else:
        times = _read(times, "times", may_be_infinite=True)
    found = flow.residuals_of_ridges(Y, ridges, times)
    errors = np.concatenate([relative_squares(each, Y, weights, weights) for each in found])
    return ridges, times, errors.T


def _read(values, name, **options):
    """Increasing values, of one number or several."""
    return read_values(np.atleast_1d(values), name, **options)
