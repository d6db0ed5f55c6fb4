"""Uncertainty of regression: fitted amplitude and noise, and the posterior at new rows."""

import os
import threading
import warnings
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from .._runtime.device import is_on_device, on_host, place_together, product
from .._runtime.memory import check_memory
from ..dynamics import Training
from ..dynamics._methods import FLOW
from ..gram._operator import chunks
from ..solvers._exact import precision_of, scale
from ..solvers._factors import Cholesky, cholesky, shift, variances
from ..solvers._units import scaled
from ._memory import SPECTRAL_COPIES

ROUNDING = 1e-9
"""Gain in twice the log likelihood, for each residual, up to which noise explains nothing more: of
two rows, or of alike ones, any noise is as likely."""


class Spread(NamedTuple):
    """Fitted variances (k,) of the outputs.

    The Gaussian process has the covariance ``amplitude k(x, y)``. ``noise`` is the variance of the
    noise beyond the ridge, for rows of weight one; ``observed`` that of the noise of a new
    observation, ``ridge amplitude + noise`` for the mean weight; ``total`` that of the targets.
    ``reach`` is the largest posterior variance, in units of the kernel, at a row left out: up to
    there the residuals determine the amplitude.
    """

    amplitude: np.ndarray
    noise: np.ndarray
    observed: np.ndarray
    total: np.ndarray
    reach: float

    def scale(self, variance, kernel_variance):
        """Amplitudes (m, k) at new rows of posterior variances (m,) in units of the kernel.

        Up to the variance `reach` it is the fitted amplitude. Beyond, it tends to one, if larger,
        at which functions vary over the training rows as the targets do; ``kernel_variance`` is the
        variance of such functions for an amplitude of one.
        """
        far = self.amplitude
        if np.isfinite(self.reach) and kernel_variance > 0.0:
            far = np.maximum(far, (self.total - self.observed) / kernel_variance)
        reach = min(max(self.reach, 0.0), np.finfo(float).max)
        share = 1.0 - reach / np.maximum(variance, max(reach, np.finfo(float).tiny))[:, None]
        return (1.0 - share) * self.amplitude + share * far


def find_spread(solution, Y, weights, ridge, scatter, is_noisy):
    """`Spread` of a `Solution` and the `Scatter` of targets; ``is_noisy`` as in `fit_spread`."""
    total = variances(Y, weights)
    _, weights = solution.known(Y, weights)
    fitted = [
        fit_spread(residuals, solution.precision, ridge, weights, squares, scatter.n, is_noisy)
        for residuals, squares in zip(solution.residuals.T, scatter.squares, strict=True)
    ]
    amplitude, noise = np.array(fitted).T
    observed = (ridge * amplitude + noise) / scatter.unit
    reach = np.max(1.0 / solution.precision - ridge / weights) if is_noisy else np.inf
    return Spread(amplitude, noise, observed, total, reach)


def fit_spread(residuals, precision, ridge, weights, scatter, n_more, is_noisy):
    """Most likely amplitude of a Gaussian process, and noise beyond its ridge, of one output.

    With the amplitude ``a`` and the noise ``b``, a leave-one-out residual has the variance ``a /
    precision + b / weight``, and targets of equal rows vary about their mean by ``a ridge + b``, in
    units of one over their weight. For each ratio ``b / a`` the most likely ``a`` has a closed
    form; the ratio is found by a search.

    Parameters
    ----------
    residuals, precision : arrays of shape (n,)
        Leave-one-out residuals of distinct rows and their `Solution.precision`.
    ridge : float
    weights : array of shape (n,)
    scatter : float
        `Scatter.squares` of this output.
    n_more : int
        `Scatter.n`, the degrees of freedom of ``scatter``.
    is_noisy : bool
        Whether there may be noise beyond the ridge.

    Returns
    -------
    amplitude, noise : float
    """
    exponent = int(np.frexp(np.median(weights / precision))[1])  # a kernel may be of any size
    variance, share = scaled(1.0 / precision, -exponent), 1.0 / weights
    size = np.abs(residuals).max() or np.sqrt(scatter) or 1.0
    squares = np.append((residuals / size) ** 2, scatter / size / size / max(n_more, 1))
    counts = np.append(np.ones(len(weights)), float(n_more))

    def units(ratio):
        """Variances of the squares for a = 1, their counts, and the most likely a."""
        unit_variances = np.append(variance + ratio * share, scaled(ridge, -exponent) + ratio)
        is_known = (counts > 0.0) & (unit_variances > 0.0)
        unit_variances, n = unit_variances[is_known], counts[is_known]
        with np.errstate(over="ignore"):
            amplitude = n @ (squares[is_known] / unit_variances) / counts.sum()
        return unit_variances, n, min(amplitude, np.finfo(float).max)

    def loss(log_ratio):
        unit_variances, n, amplitude = units(np.exp(log_ratio))
        return n @ (np.log(unit_variances) + np.log(max(amplitude, np.finfo(float).tiny)))

    ratio = 0.0
    if is_noisy and np.any(squares):
        middle = np.log(np.median(variance * weights))
        grid = middle + np.arange(-15.0, 15.5)
        best = grid[np.argmin([loss(point) for point in grid])]
        best = minimize_scalar(loss, bounds=(best - 1.0, best + 1.0), method="bounded").x
        gain = loss(-np.inf) - loss(best)
        ratio = np.exp(best) if gain > ROUNDING * counts.sum() else 0.0
    amplitude = units(ratio)[-1] * size * size
    return min(scaled(amplitude, -exponent), np.finfo(float).max), ratio * amplitude


class Posterior:
    """Posterior covariances of new rows in units of the kernel, that is for an amplitude of one.

    Without a ``time`` they are those of the Gaussian process with this kernel and ridge, with one
    those of networks that are trained until then (see `Training.reduction`). The factor, a
    matrix (n, n) for n training rows, is computed at the first call and kept, but left out of
    pickles and copies. Rows may be on a GPU, where the factor and covariances of rows then are,
    too; results are arrays of NumPy.
    """

    is_on_device = True
    """Whether it takes rows on a GPU."""

    _names = ("weights", "ridge", "time", "learning_rate", "method")

    def __init__(self, weights, ridge, time=None, learning_rate=1.0, method=FLOW):
        self.weights, self.ridge = weights, ridge
        self.time, self.learning_rate, self.method = time, learning_rate, method
        self.__setstate__({})

    def training(self, K):
        """`Training` on the Gram matrix of the training rows."""
        return Training(K, self.weights, self.ridge, self.learning_rate, self.method)

    @property
    def has_likelihood(self):
        """Whether it is that of a Gaussian process, given the targets."""
        return self.time is None

    def disagreement(self, kernel, X_fit, X):
        """By how much models differ that predictions are a mean of, variances (m, k) or zero."""
        return 0.0

    def __getstate__(self):
        return {name: getattr(self, name) for name in self._names}

    def __setstate__(self, state):
        vars(self).update(state)
        self._kept = self._precision = None
        self._renew_lock()

    def _renew_lock(self):
        self._lock, self._process = threading.Lock(), os.getpid()

    def prepare(self, kernel, X_fit):
        """Function from ``cross = k(X, X_fit)`` (m, n) to ``V``, ``A`` and ``B``; kernel variance.

        The posterior covariance is ``k(X, X) - V'V + A'B``; the last term is the uncertainty of the
        intercept. The kernel variance is the mean over draws from the prior of their weighted
        variance over the training rows.
        """
        if self._process != os.getpid():  # in a fork: a thread of the parent may hold the lock
            self._renew_lock()
        with self._lock:
            place = place_together([X_fit], "X_fit")
            if self._kept is None or self._kept[0] != place:
                with warnings.catch_warnings():  # the fit has told of its learning rate
                    warnings.filterwarnings("ignore", "learning_rate=", RuntimeWarning)
                    self._kept = place, self._make(kernel, X_fit)
            return self._kept[1]

    def _make(self, kernel, X_fit):
        """Result of `prepare`."""
        if not is_on_device(X_fit):
            check_factor(len(X_fit), 2.0 if self.time is None else SPECTRAL_COPIES)
        K = kernel(X_fit)
        variance = self._kernel_variance(K)
        make = projection if self.time is None else _flow_projection
        return make(K, self), variance

    def _kernel_variance(self, K):
        """Mean over draws from a prior of their weighted variance over the training rows."""
        shares = self.weights / self.weights.sum()
        return shares @ on_host(K.diagonal()) - shares @ product(K, shares.astype(K.dtype))

    def variance(self, kernel, X_fit, X, see=None):
        """Posterior variances (m,) of new rows, infinite on overflow, and the kernel variance.

        ``see(rows, cross)``, if given, is called with the kernel (m_rows, n) of some of the rows.
        """
        project, kernel_variance = self.prepare(kernel, X_fit)
        variance = on_host(kernel.diag(X))
        for rows in chunks(len(X), len(X_fit)):
            cross = kernel(X[rows], X_fit)
            if see is not None:
                see(rows, cross)
            V, A, B = project(cross)
            variance[rows] += (A * B).sum(axis=0) - _squares(V)
        return np.where(np.isfinite(variance), np.maximum(variance, 0.0), np.inf), kernel_variance

    def precision(self, kernel, X_fit):
        """Inverse variances (n,) of leave-one-out residuals, in units of the kernel."""
        project, _ = self.prepare(kernel, X_fit)
        if self._precision is None:
            self._precision = project.precision()
        return self._precision

    def influences(self, kernel, X_fit, X, most):
        """Yield, for blocks of new rows, the weights (m, n) of the targets, and variances (m,).

        A block has at most ``most`` weights, or one row. Not with a ``time``.
        """
        project, _ = self.prepare(kernel, X_fit)
        for rows in chunks(len(X), len(X_fit), most):
            V, r, _ = project(kernel(X[rows], X_fit))
            variance = on_host(kernel.diag(X[rows])) + r[0] ** 2 - _squares(V)
            yield project.weights(V, r[0]), np.maximum(variance, 0.0)

    def covariance(self, kernel, X_fit, X):
        """Posterior covariances (m, m) of new rows ``X``, and the kernel variance."""
        project, kernel_variance = self.prepare(kernel, X_fit)
        V, A, B = project(kernel(X, X_fit))
        return on_host(kernel(X) - V.T @ V) + A.T @ B, kernel_variance


def check_factor(n, copies):
    """Raise MemoryError if matrices (n, n) do not fit, as many as ``copies``."""
    what = f"The uncertainty of a fit of {n} rows"
    check_memory(copies * 8.0 * n * n, what, "fit by solver='local' of a smaller leaf_size")


def _squares(V):
    """Sums of the squares (m,) of the columns of V (n, m), in double precision."""
    return on_host(np.einsum("ij,ij->j", V, V, dtype=np.float64))


class Projection(NamedTuple):
    """Function of `Posterior.prepare` for a Gaussian process.

    ``factor`` is that of ``W^1/2 K W^1/2 + ridge I``, ``root`` is ``sqrt(w)``, and ``ones`` is
    ``L^-1 sqrt(w)`` for the lower factor ``L``.
    """

    factor: Cholesky
    root: np.ndarray
    ones: np.ndarray

    def __call__(self, cross):
        V = self.factor.half_solve((cross * np.asarray(self.root, like=cross)).T)
        r = (1.0 - product(V.T, self.ones))[None] / np.sqrt(self.ones @ self.ones)
        return V, r, r

    def weights(self, V, r):
        """Weights (m, n) of the targets in predictions at m new rows, from the parts there."""
        V = V + np.asarray(np.outer(self.ones, r / np.sqrt(self.ones @ self.ones)), like=V)
        return on_host(self.factor.back_solve(V)).T * self.root

    def precision(self):
        """`Solution.precision` (n,)."""
        ones = self.factor.back_solve(self.ones)
        return precision_of(self.factor.inverse_diagonal(), ones, self.root)


def projection(K, posterior, factorise=cholesky):
    """`Projection`, None without a factor; K is overwritten."""
    root = np.sqrt(posterior.weights)
    factor = factorise(shift(scale(K, root), posterior.ridge))
    return None if factor is None else Projection(factor, root, factor.half_solve(root))


def _flow_projection(K, posterior):
    """Function of `Posterior.prepare` for networks that are trained until ``posterior.time``."""
    training = posterior.training(K)

    return lambda cross: training.reduction(cross, posterior.time)
