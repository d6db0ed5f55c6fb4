"""Uncertainty of regression: fitted amplitude and noise."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from ..solvers._moments import variances
from ..solvers._units import scaled

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
