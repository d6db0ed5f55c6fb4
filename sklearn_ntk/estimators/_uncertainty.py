"""Uncertainty of regression: the spread that suits the residuals, and the posterior of new rows."""

import os
import threading
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from ..gram._operator import chunks
from ..solvers._factors import cholesky, variances
from ..solvers._flow import GradientFlow
from ..solvers._units import scaled


class Spread(NamedTuple):
    """Variances (k,) of the outputs.

    ``amplitude`` is that of the Gaussian process in units of the kernel, ``noise`` that beyond its
    ridge for rows of weight one, ``observed`` that of a new observation, the ridge included, and
    ``total`` that of the targets. Up to the variance ``reach`` in units of the kernel the residuals
    tell of the process.
    """

    amplitude: np.ndarray
    noise: np.ndarray
    observed: np.ndarray
    total: np.ndarray
    reach: float

    def scale(self, variance, kernel_variance):
        """Amplitudes (m, k) of new rows with these variances (m,) in units of the kernel.

        Up to the largest variance that was met in leaving out one row it is that which suits the
        residuals. They tell nothing of what is beyond; there functions vary as the targets do, if
        ``kernel_variance`` is that of the kernel over the rows.
        """
        beyond = self.amplitude
        if np.isfinite(self.reach) and kernel_variance > 0.0:
            beyond = np.maximum(beyond, (self.total - self.observed) / kernel_variance)
        reach = min(max(self.reach, 0.0), np.finfo(float).max)
        share = 1.0 - reach / np.maximum(variance, max(reach, np.finfo(float).tiny))[:, None]
        return (1.0 - share) * self.amplitude + share * beyond


def find_spread(solution, Y, weights, ridge, scatter, is_noisy):
    """`Spread` of a solution, with `Scatter`; without noise beyond the ridge if not noisy."""
    found = [
        fit_spread(residuals, solution.precision, ridge, weights, squares, scatter.n, is_noisy)
        for residuals, squares in zip(solution.residuals.T, scatter.squares, strict=True)
    ]
    amplitude, noise = np.array(found).T
    observed = (ridge * amplitude + noise) / scatter.unit
    reach = np.max(1.0 / solution.precision - ridge / weights) if is_noisy else np.inf
    return Spread(amplitude, noise, observed, variances(Y, weights), reach)


def fit_spread(residuals, precision, ridge, weights, scatter, n_more, is_noisy):
    """Amplitude of a Gaussian process, and noise beyond its ridge, that suit its residuals best.

    With the amplitude ``a`` and the noise ``b`` a residual of leaving out one row has the variance
    ``a / precision + b / weight``. Where equal rows have different targets, of which there are
    ``n_more`` in addition, these have ``a ridge + b``, and ``scatter`` is the weighted sum of their
    squares about the means. The likelihood of all of them is largest: for each ratio of both
    variances the amplitude is known.

    Parameters
    ----------
    residuals, precision : arrays of shape (n,)
    ridge : float
    weights : array of shape (n,)
    scatter : float
    n_more : int
    is_noisy : bool
        Whether there is noise beyond the ridge.

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
        """Variances for an amplitude of one, and that amplitude."""
        parts = np.append(variance + ratio * share, scaled(ridge, -exponent) + ratio)
        is_known = (counts > 0.0) & (parts > 0.0)
        parts, n = parts[is_known], counts[is_known]
        with np.errstate(over="ignore"):
            amplitude = n @ (squares[is_known] / parts) / counts.sum()
        return parts, n, min(amplitude, np.finfo(float).max)

    def loss(log_ratio):
        parts, n, amplitude = units(np.exp(log_ratio))
        return n @ (np.log(parts) + np.log(max(amplitude, np.finfo(float).tiny)))

    ratio = 0.0
    if is_noisy and np.any(squares):
        middle = np.log(np.median(variance * weights))
        grid = middle + np.arange(-15.0, 15.5)
        best = grid[np.argmin([loss(point) for point in grid])]
        best = minimize_scalar(loss, bounds=(best - 1.0, best + 1.0), method="bounded").x
        ratio = np.exp(best) if loss(best) < loss(-np.inf) else 0.0
    amplitude = units(ratio)[-1] * size * size
    return min(scaled(amplitude, -exponent), np.finfo(float).max), ratio * amplitude


class Posterior:
    """Covariances of new rows, given the data, in units of the kernel.

    Those of the Gaussian process with this kernel and ridge, or of networks at the end of their
    time if there is one. What all new rows share, one matrix (n, n) of n training rows, is computed
    when it is first needed and kept; pickles and copies leave it out.
    """

    def __init__(self, weights, ridge, time=None, learning_rate=1.0):
        self.__setstate__(
            {"weights": weights, "ridge": ridge, "time": time, "learning_rate": learning_rate}
        )

    def __getstate__(self):
        names = ("weights", "ridge", "time", "learning_rate")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state):
        vars(self).update(state)
        self._kept = None
        self._renew_lock()

    def _renew_lock(self):
        self._lock, self._process = threading.Lock(), os.getpid()

    def prepare(self, kernel, X_fit):
        """Function from kernels (m, n) to ``V``, ``A`` and ``B``, and the kernel's variance.

        The covariance is the prior less ``V'V - A'B``, and the second term the uncertainty of the
        intercept. The variance is that over the training rows, by weight.
        """
        if self._process != os.getpid():  # a thread of the parent may hold the lock for ever
            self._renew_lock()
        with self._lock:
            if self._kept is None:
                K, shares = kernel(X_fit), self.weights / self.weights.sum()
                variance = shares @ K.diagonal() - shares @ K @ shares
                make = _projection if self.time is None else _flow_projection
                self._kept = make(K, self), variance
            return self._kept

    def variance(self, kernel, X_fit, X):
        """Variances (m,) of rows, infinite where they overflow, and the kernel's variance."""
        project, kernel_variance = self.prepare(kernel, X_fit)
        variance = kernel.diag(X)
        for rows in chunks(len(X), len(X_fit)):
            V, A, B = project(kernel(X[rows], X_fit))
            variance[rows] += (A * B).sum(axis=0) - np.einsum("ij,ij->j", V, V)
        return np.where(np.isfinite(variance), np.maximum(variance, 0.0), np.inf), kernel_variance

    def covariance(self, kernel, X_fit, X):
        """Covariances (m, m) of rows, and the kernel's variance."""
        project, kernel_variance = self.prepare(kernel, X_fit)
        V, A, B = project(kernel(X, X_fit))
        return kernel(X) - V.T @ V + A.T @ B, kernel_variance


def _projection(K, posterior):
    """What `Posterior.prepare` returns first, for a Gaussian process; K is overwritten."""
    root = np.sqrt(posterior.weights)
    K *= root[:, None]
    K *= root
    K[np.diag_indices_from(K)] += posterior.ridge
    factor = cholesky(K)
    ones = factor.half_solve(root)

    def project(cross):
        V = factor.half_solve((cross * root).T)
        r = (1.0 - ones @ V)[None] / np.sqrt(ones @ ones)
        return V, r, r

    return project


def _flow_projection(K, posterior):
    """The same for networks at the end of their time."""
    flow = GradientFlow(K, posterior.weights, posterior.ridge, posterior.learning_rate)

    def project(cross):
        V, u = flow.reduction(cross, posterior.time)
        return V, np.stack([u, np.ones(len(u))]), np.stack([np.ones(len(u)), u])

    return project
