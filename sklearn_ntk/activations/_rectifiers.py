"""Rectifiers ``low * min(x, 0) + high * max(x, 0)``, homogeneous of degree one."""

from typing import NamedTuple

import numpy as np

from ..formulas.special import TINY, bent_arc, half_chord, safe_inverse
from ._registry import activation


def _rectifier_features(low, high, v):
    std = np.sqrt(v)
    return std, np.sqrt(0.5 * (low * low + high * high)) * std, 0.5 * safe_inverse(std)


def _rectifier_dual(low, high, q, left, right):
    gain = 0.5 * (low * low + high * high)
    bend = 0.5 * (high - low) ** 2 / (gain + TINY)
    h, noise = half_chord(q, left, right)
    moved, theta, _ = bent_arc(h, bend, noise)
    gap = 2.0 * gain * left[0] * right[0] * np.maximum(moved, 0.0)
    return gap, gain - gain * bend / np.pi * theta


@activation("relu")
class ReLU(NamedTuple):
    """Rectified linear unit, ``gain * max(x, 0)`` (Cho and Saul, NeurIPS 2009).

    Parameters
    ----------
    gain : float
        The slope on the right.

    Examples
    --------
    >>> from sklearn_ntk.activations import ReLU
    >>> float(ReLU().fn(-2.0)), float(ReLU().variance(2.0))
    (0.0, 1.0)
    """

    gain: float = 1.0

    def fn(self, x):
        return self.gain * np.maximum(x, 0.0)

    def variance(self, v):
        return 0.5 * self.gain**2 * v

    def features(self, v):
        return _rectifier_features(0.0, self.gain, v)

    def dual(self, q, left, right):
        return _rectifier_dual(0.0, self.gain, q, left, right)


@activation("leaky_relu")
class LeakyReLU(NamedTuple):
    """Leaky rectified linear unit, ``max(x, 0) + leak * min(x, 0)`` (Tsuchida et al., ICML 2018).

    Parameters
    ----------
    leak : float
        The slope on the left.

    Examples
    --------
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.activations import LeakyReLU
    >>> NTKKernel(depth=1, activation=LeakyReLU(0.2)).diag([[1.0, 2.0]]).round(3)
    array([13.48])
    """

    leak: float = 0.01

    def fn(self, x):
        return np.maximum(x, 0.0) + self.leak * np.minimum(x, 0.0)

    def variance(self, v):
        return 0.5 * (1.0 + self.leak**2) * v

    def features(self, v):
        return _rectifier_features(self.leak, 1.0, v)

    def dual(self, q, left, right):
        return _rectifier_dual(self.leak, 1.0, q, left, right)


@activation("ab_relu")
class ABReLU(NamedTuple):
    """Rectifier with two slopes, ``low * min(x, 0) + high * max(x, 0)`` (Tsuchida et al., 2018).

    Parameters
    ----------
    low, high : float
        The slopes on the left and on the right.

    Examples
    --------
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.activations import ABReLU
    >>> NTKKernel(depth=1, activation=ABReLU(-0.5, 1.5)).diag([[1.0, 2.0]]).round(3)
    array([31.])
    """

    low: float
    high: float

    def fn(self, x):
        return self.low * np.minimum(x, 0.0) + self.high * np.maximum(x, 0.0)

    def variance(self, v):
        return 0.5 * (self.low**2 + self.high**2) * v

    def features(self, v):
        return _rectifier_features(self.low, self.high, v)

    def dual(self, q, left, right):
        return _rectifier_dual(self.low, self.high, q, left, right)


@activation("abs")
class Abs(NamedTuple):
    """Absolute value, ``gain * |x|``, a rectifier with slopes -1 and 1.

    Parameters
    ----------
    gain : float
        The slope on the right.

    Examples
    --------
    >>> from sklearn_ntk import NTKKernel
    >>> NTKKernel(depth=1, activation="abs").diag([[1.0, 2.0]]).round(3)
    array([25.])
    """

    gain: float = 1.0

    def fn(self, x):
        return self.gain * np.abs(x)

    def variance(self, v):
        return self.gain**2 * v

    def features(self, v):
        return _rectifier_features(-self.gain, self.gain, v)

    def dual(self, q, left, right):
        return _rectifier_dual(-self.gain, self.gain, q, left, right)


@activation("identity")
class Identity(NamedTuple):
    """No activation, ``gain * x``: a deep linear network.

    Parameters
    ----------
    gain : float
        The slope.

    Examples
    --------
    >>> from sklearn_ntk import NNGPKernel
    >>> kernel = NNGPKernel(depth=2, activation="identity", weight_var=1.0, bias_var=0.0)
    >>> kernel([[1.0, 2.0], [3.0, 4.0]]).round(6)  # inner products over two columns
    array([[ 2.5,  5.5],
           [ 5.5, 12.5]])
    """

    gain: float = 1.0

    is_linear = True  # so that it is allowed where the signal is not Gaussian

    def fn(self, x):
        return self.gain * x

    def variance(self, v):
        return self.gain**2 * v

    def features(self, v):
        std = np.sqrt(v)
        return std, np.abs(self.gain) * std

    def dual(self, q, left, right):
        return self.gain**2 * q, self.gain**2 + 0.0 * q
