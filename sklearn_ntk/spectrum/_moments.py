"""What an activation makes of normal signals: variances, and covariances of two of them."""

import numpy as np

from ..formulas import series

STEP = 1e-4
"""Relative step of variances in the difference quotient of `rate`."""


def features_of(act, variance):
    """Features of rows of these variances, of any shape, as `dual_of` reads them."""
    with np.errstate(all="ignore"):
        if not act.is_series:
            return act.features(variance)
        return series.expand(act, variance)[1]


def dual_of(act, gap, left, right):
    """Gap and slope behind the activation, from the gap before it and the features of two rows."""
    with np.errstate(all="ignore"):
        return series.dual(act, gap, left, right) if act.is_series else act.dual(gap, left, right)


def mean_square(act, variance):
    """``E f^2`` for variances of any shape."""
    std = features_of(act, variance)[0 if act.is_series else 1]
    with np.errstate(over="ignore"):
        return np.broadcast_to(std**2, np.shape(variance))


def moments(act, variance):
    """``E f^2`` and ``E f'^2`` for variances of any shape; the latter is infinite for jumps."""
    zero = np.zeros(np.shape(variance))
    if act.jumps:
        return mean_square(act, variance), zero + np.inf
    with np.errstate(all="ignore"):
        if act.is_series:
            std, slope = series.expand(act, variance)[0]
            return std**2, slope
        features = act.features(variance)
        return features[1] ** 2 + zero, act.dual(zero, features, features)[1] + zero


def rate(act, variance):
    """Derivative of ``E f^2`` with respect to the variance, by a difference quotient."""
    step = STEP * variance
    after, before = mean_square(act, variance + step), mean_square(act, variance - step)
    with np.errstate(invalid="ignore"):  # beyond float64
        return (after - before) / (2.0 * step)
