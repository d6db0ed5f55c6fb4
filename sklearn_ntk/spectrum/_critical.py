"""Variances of weights between order and chaos, and those to choose."""

import numpy as np
from scipy.optimize import brentq

from .._runtime.check import read_count
from .._runtime.notices import one_notice
from ..activations import as_activation
from ._moments import moments
from ._phase import SETTLED, phase, read_variances

DECADES = range(-12, 6)
"""Of the variances of signals that `critical_weight_var` looks at."""

PER_DECADE = 24
"""Variances of signals in each decade."""

STEP = np.log(2.0)
"""Factor, as a logarithm, between the variances of weights that are tried first."""

N_DOUBLINGS = 20
"""Most such steps up or down from ``1 / E f'^2`` for signals of variance one."""

N_HALVINGS = 32
"""Number of bisections after that: relative errors are ``log(2) 2^-33``, 1e-10."""

DEEPEST = 15.0
"""Number of depth scales after which all entries of a Gram matrix agree to float64."""


@one_notice()
def critical_weight_var(activation, bias_var):
    """Variance of the weights at the edge of chaos, where close rows stay as close as they are.

    Parameters
    ----------
    activation : str or activation
    bias_var : float or array
        Variances of the biases, at least zero.

    Returns
    -------
    float or array of the shape of ``bias_var``
        NaN where there is none: homogeneous activations, such as ReLU, have one only for
        ``bias_var=0``, and softplus has none. If there are several, the one with the smallest
        variance of signals is returned. That variance may be unstable (GELU and SiLU at small
        ``bias_var``); see `phase`.

    Raises
    ------
    ValueError
        If a variance is not a number in its range.

    Notes
    -----
    The edge is a curve in the variance q of the signals, computed without iteration: ``weight_var =
    1 / E f'(u)^2``, ``bias_var = q - weight_var E f(u)^2``. For erf it is ``weight_var = pi / 4
    sqrt(1 + 4 q)``.

    References
    ----------
    S. Schoenholz et al., "Deep information propagation", ICLR 2017; S. Hayou, A. Doucet and J.
    Rousseau, "On the impact of the activation function on deep neural networks training", ICML
    2019.

    Examples
    --------
    >>> from sklearn_ntk.spectrum import critical_weight_var
    >>> critical_weight_var("tanh", [0.0, 0.05, 1.0]).round(3)
    array([1.   , 1.761, 3.443])
    >>> critical_weight_var("relu", 0.0)
    2.0
    """
    act, bias = as_activation(activation).traced(), read_variances(bias_var, "bias_var")
    found = np.full(bias.size, np.nan)
    for decade in DECADES:
        q = np.logspace(decade, decade + 1, PER_DECADE + 1)
        line = _line(act, q)
        for k in np.flatnonzero(np.isnan(found)):
            found[k] = _critical_between(act, q, *line, bias.flat[k])
        if not np.isnan(found).any():
            break
    return _shaped(found, bias.shape)


@one_notice()
def weight_var_range(activation, bias_var, depth):
    """Least and greatest variance of the weights at which a finite network of this depth can train.

    Between them, correlations of rows take at least ``depth`` layers to settle. Below, rows cannot
    be told apart after the last layer; above, close rows are as far apart as any others.

    Parameters
    ----------
    activation : str or activation
    bias_var : float or array
        Variances of the biases, at least zero.
    depth : int
        Number of hidden layers.

    Returns
    -------
    least, greatest : float or array of the shape of ``bias_var``
        NaN for activations that jump, which tear close rows apart at any variance.

    Raises
    ------
    ValueError
        If a variance or the depth is not a number in its range.

    References
    ----------
    S. Schoenholz et al., "Deep information propagation", ICLR 2017, who found networks of up to
    six times that depth to train.

    Examples
    --------
    >>> from sklearn_ntk.spectrum import weight_var_range
    >>> least, greatest = weight_var_range("erf", 0.05, depth=10)
    >>> round(least, 2), round(greatest, 2)
    (1.09, 2.02)
    """
    rate = 1.0 / read_count(depth, "depth", 1)
    return _weight_at(activation, bias_var, -rate), _weight_at(activation, bias_var, rate)


@one_notice()
def recommended_weight_var(activation, bias_var, depth):
    """Variance of the weights for kernels: half the critical one, or more for great depths.

    Kernels predict best in the ordered phase, unlike finite networks (`weight_var_range`). At great
    depths, this is the variance at which the entries of a Gram matrix still differ by more than
    rounding.

    Parameters
    ----------
    activation : str or activation
    bias_var : float or array
        Variances of the biases, at least zero.
    depth : int
        Number of hidden layers.

    Returns
    -------
    float or array of the shape of ``bias_var``
        NaN for activations that jump.

    Raises
    ------
    ValueError
        If a variance or the depth is not a number in its range.

    Examples
    --------
    >>> from sklearn_ntk.spectrum import recommended_weight_var
    >>> round(recommended_weight_var("erf", 0.05, depth=10), 2)
    0.69
    """
    rate = DEEPEST / read_count(depth, "depth", 1)
    half = 0.5 * np.asarray(_weight_at(activation, bias_var, 0.0))
    return _shaped(np.maximum(half, _weight_at(activation, bias_var, -rate)), half.shape)


def _weight_at(activation, bias_var, rate):
    """Variances of weights of the shape of ``bias_var`` at which `_log_rate` exceeds a rate."""
    act, bias = as_activation(activation), read_variances(bias_var, "bias_var")
    if act.jumps:  # close rows move apart at any variance
        return _shaped(np.full(bias.shape, np.nan), bias.shape)

    def is_above(log_weight):
        return _log_rate(phase(act, np.exp(log_weight), bias.ravel())) > rate

    start = np.full(bias.size, -np.log(moments(act.traced(), np.ones(1))[1]))
    toward = np.where(is_above(start), -1.0, 1.0)
    low = high = start
    for _ in range(N_DOUBLINGS):  # no further than needed, as series warn of large variances
        beyond = is_above(high) == (toward > 0.0)
        if beyond.all():
            break
        low, high = np.where(beyond, low, high), np.where(beyond, high, high + STEP * toward)
    low, high = np.minimum(low, high), np.maximum(low, high)
    for _ in range(N_HALVINGS):
        middle = 0.5 * (low + high)
        above = is_above(middle)
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return _shaped(np.exp(0.5 * (low + high)), bias.shape)


def _log_rate(found):
    """Inverse depth of correlations, negative in the ordered phase; it increases with weights."""
    with np.errstate(divide="ignore"):
        return np.sign(found.growth - 1.0) / found.correlation_depth


def _line(act, q):
    """Variances of weights and biases for which signals of variance ``q`` are critical."""
    square, slope = moments(act, q)
    slope = np.where((slope > 0.0) & np.isfinite(slope), slope, np.nan)
    bias = q - square / slope
    return 1.0 / slope, np.where(np.abs(bias) > SETTLED * q, bias, 0.0)


def _critical_between(act, q, weights, biases, b):
    """Variance of the weights where the line from `_line` has the bias ``b``, or NaN."""
    if q[0] < 10.0 ** DECADES[1] and b <= biases[0] and weights[0] < 2.0 * weights[-1]:
        return weights[0]  # of signals that vanish, if the slope at zero does not
    places = np.flatnonzero((biases[:-1] < b) != (biases[1:] < b))
    if len(places) == 0 or np.isnan(biases).any():
        return np.nan
    margin = 1e-9  # for rounding, where the line has this bias at the end
    low, high = np.log(q[places[0] : places[0] + 2])

    def excess(log_variance):
        return float(_line(act, np.exp(log_variance))[1] - b)

    root = brentq(excess, low - margin, high + margin, xtol=1e-14)
    return float(_line(act, np.exp(root))[0])


def _shaped(values, shape):
    """A float for shape (), else an array."""
    return float(np.ravel(values)[0]) if shape == () else np.reshape(values, shape)
