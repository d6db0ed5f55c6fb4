"""Where variances and correlations of rows go in a deep network, and how fast."""

from typing import Any, NamedTuple

import numpy as np

from .._runtime.check import read_array
from .._runtime.notices import one_notice
from ..activations import as_activation
from ._moments import dual_of, features_of, mean_square, moments, rate

SMALLEST, LARGEST = 1e-12, 1e8
"""Changes of a variance by more than these factors count as to zero and to infinity."""

CRITICAL = 1e-9
"""Largest ``|log|`` of a factor that is one but for rounding."""

SETTLED = 1e-13
"""Relative change of a variance, or of a distance, that is rounding."""

MOST_STEPS = 200
"""Most steps of `_root`, which takes about ten."""


class Phase(NamedTuple):
    """Limits of the variances and correlations of rows in a deep network, and how fast they come.

    Attributes
    ----------
    variance : float or array
        Variance of the signals in deep layers, for rows of variance one; infinite if it grows
        forever.
    correlation : float or array
        Correlation of two different rows in deep layers, from 0 to 1; NaN if the variance is
        infinite.
    growth : float or array
        Factor per layer, in deep layers, by which the squared distance of two close rows grows, and
        that of gradients: ``chi_1``. It is less than one in the ordered phase, and greater in the
        chaotic phase.
    variance_depth, correlation_depth : float or array
        Numbers of layers in which the distances of variance and correlation from these limits fall
        by a factor e: zero if the limit is reached at once, infinite at the critical values. If the
        variance is infinite, the number of layers in which gradients grow by that factor.
    """

    variance: Any
    correlation: Any
    growth: Any
    variance_depth: Any
    correlation_depth: Any

    @property
    def is_chaotic(self):
        """Whether close rows move apart."""
        return self.growth > 1.0


@one_notice()
def phase(activation, weight_var, bias_var):
    """Phase of deep dense networks: ordered, where all rows become alike, or chaotic.

    Parameters
    ----------
    activation : str or activation
    weight_var : float or array
        Positive variances of the weights.
    bias_var : float or array
        Variances of the biases, at least zero. The shapes broadcast.

    Returns
    -------
    Phase
        Its fields are floats, or arrays of the broadcast shape.

    Raises
    ------
    ValueError
        If a variance is not a number in its range, or if signals become so large that the function
        of a `Numerical` activation grows too fast.

    Notes
    -----
    A layer maps the variance ``q`` of the signals to ``weight_var E f(u)^2 + bias_var``, for u
    normal with variance q; ``growth`` is ``weight_var E f'(u)^2`` at the limit. In the chaotic
    phase, correlations tend to the fixed point of their map, where its slope ``weight_var E f'(u)
    f'(v)`` is less than one.

    References
    ----------
    B. Poole et al., "Exponential expressivity in deep neural networks through transient chaos",
    NeurIPS 2016; S. Schoenholz et al., "Deep information propagation", ICLR 2017.

    Examples
    --------
    >>> from sklearn_ntk.spectrum import phase
    >>> found = phase("erf", [0.7, 1.4, 2.8], 0.05)
    >>> found.growth.round(2)
    array([0.7 , 1.01, 1.31])
    >>> found.correlation.round(2)
    array([1.  , 0.96, 0.22])
    >>> found.correlation_depth.round(1)
    array([  2.8, 146.6,   6.9])
    """
    act = as_activation(activation).traced()
    weight = read_variances(weight_var, "weight_var", is_positive=True)
    bias = read_variances(bias_var, "bias_var")
    shape = np.broadcast_shapes(weight.shape, bias.shape)
    weight, bias = (np.broadcast_to(x, shape).ravel() for x in (weight, bias))
    variance = _fixed_variance(act, weight, bias)
    seen = np.clip(variance, SMALLEST * (weight + bias), LARGEST * (weight + bias))
    growth = weight * moments(act, seen)[1]
    share, slope = np.zeros_like(growth), growth.copy()
    moves = np.isfinite(variance) & (growth > 1.0 + CRITICAL)
    if moves.any():
        share[moves], slope[moves] = _fixed_share(act, weight[moves], seen[moves])
    fields = (
        variance,
        np.where(np.isinf(variance), np.nan, 1.0 - share),
        growth,
        _depth(weight * rate(act, seen)),
        _depth(slope),
    )
    return Phase(*(float(x[0]) if shape == () else x.reshape(shape) for x in fields))


def _fixed_variance(act, weight, bias):
    """Variances (n,) where the map of variances leads from ``weight + bias``, that of unit rows.

    The map increases for most activations, so that this is the first fixed point in the direction
    of the first step.
    """

    def change(log_variance, at=slice(None)):
        with np.errstate(divide="ignore"):
            new = weight[at] * mean_square(act, np.exp(log_variance)) + bias[at]
            return np.log(new) - log_variance

    start = np.log(weight + bias)
    first = change(start)
    toward = np.where(np.abs(first) > SETTLED, np.sign(first), 0.0)
    low, high, result = start.copy(), start.copy(), np.exp(start)
    active = np.flatnonzero(toward)
    while len(active):
        high[active] = low[active] + np.log(4.0) * toward[active]
        crossed = change(high[active], active) * toward[active] <= SETTLED
        moved = high[active] - start[active]
        left = ~crossed & ((moved > np.log(LARGEST)) | (moved < np.log(SMALLEST)))
        result[active[left]] = np.where(toward[active[left]] > 0.0, np.inf, 0.0)
        result[active[crossed]] = np.nan  # to be found between these
        active = active[~crossed & ~left]
        low[active] = high[active]
    between = np.flatnonzero(np.isnan(result))
    if len(between):
        root = _root(lambda x: change(x, between), low[between], high[between])
        result[between] = np.exp(root)
    return result


def _fixed_share(act, weight, variance):
    """``1 - c`` (n,) for the correlation c < 1 that is kept, and the slope of its map there."""
    features = features_of(act, variance)

    def dual(log_share):
        return dual_of(act, 2.0 * variance * np.exp(log_share), features, features)

    def change(log_share):
        with np.errstate(divide="ignore"):
            return np.log(weight * dual(log_share)[0] / (2.0 * variance)) - log_share

    low, high = np.full(len(weight), np.log(SMALLEST)), np.zeros(len(weight))
    low[change(high) >= -SETTLED] = 0.0  # no bias, and odd: uncorrelated
    root = _root(change, low, high)
    return np.exp(root), weight * dual(root)[1]


def _root(function, low, high):
    """Roots (n,) of a function between ``low`` and ``high``, by the method of Illinois."""
    left, right = function(low), function(high)
    for _ in range(MOST_STEPS):
        width = high - low
        if np.all((np.abs(width) <= SETTLED) | (right == 0.0)):
            break
        with np.errstate(invalid="ignore", divide="ignore"):
            share = right / (right - left)
        share = np.where((share > 0.0) & (share < 1.0), share, 0.5 * (right != 0.0))
        new = high - share * width
        value = function(new)
        turns = value * right < 0.0
        low, left = np.where(turns, high, low), np.where(turns, right, 0.5 * left)
        done = np.abs(new - high) <= SETTLED
        high, right = new, np.where(done, 0.0, value)
    return high


def _depth(factor):
    """Number of layers in which a distance changes by e, if each multiplies it by a factor.

    It is zero for a factor beyond float64.
    """
    with np.errstate(divide="ignore"):
        logarithm = np.where(np.isfinite(factor), np.abs(np.log(np.abs(factor))), np.inf)
        return 1.0 / np.where(logarithm > CRITICAL, logarithm, 0.0)


def read_variances(values, name, is_positive=False):
    """Array of variances of any shape."""
    what = f"a number {'>' if is_positive else '>='} 0, or an array of them"
    values = read_array(values, name, what, "flatten it", range(33))
    wrong = values <= 0.0 if is_positive else values < 0.0
    if wrong.any():
        raise ValueError(f"{name} must be {what}; got {values[wrong][0]:.3g}: increase it.")
    return values
