"""Bell curves and exponentials."""

from typing import NamedTuple

import numpy as np

from ..formulas.special import saturation
from ._registry import NEGATIVE, activation


@activation("gaussian", rate=NEGATIVE)
class Gaussian(NamedTuple):
    """Bell curve, ``scale * exp(rate * x^2)`` with a negative rate (Williams, NeurIPS 1996).

    Parameters
    ----------
    scale : float
        The value at zero.
    rate : float
        Minus one over twice the squared width.

    Examples
    --------
    >>> from sklearn_ntk import NNGPKernel
    >>> from sklearn_ntk.activations import Gaussian
    >>> NNGPKernel(depth=1, activation=Gaussian(rate=-0.5)).diag([[1.0, 2.0]]).round(3)
    array([0.698])
    """

    scale: float = 1.0
    rate: float = -1.0

    def fn(self, x):
        return self.scale * np.exp(self.rate * x * x)

    def variance(self, v):
        return self.scale**2 / np.sqrt(1.0 - 4.0 * self.rate * v)

    def features(self, v):
        return np.sqrt(v), np.sqrt(self.variance(v)), 1.0 / np.sqrt(1.0 - 4.0 * self.rate * v)

    def dual(self, q, left, right):
        a, a_new, u = left[0], left[1], left[2]
        b, b_new, v = right[0], right[1], right[2]
        k = -2.0 * self.rate
        scaled = 0.5 * k * (q * u * v)
        product = k * ((a * u) * (b * v))
        spread = k * (a - b) * (a + b)
        share = spread / (1.0 + k * (a * a + b * b) + 1.0 / (u * v))
        above = np.maximum(2.0 * product - scaled, 0.0)
        rise = share * spread * u * v + scaled * above / (u * v)
        ratio = 1.0 + rise
        root = np.sqrt(ratio)
        mean = a_new * b_new
        slope = k * (above - product) * mean / ratio / root
        return 2.0 * mean * (rise / (ratio + root)), slope


@activation("exp")
class Exp(NamedTuple):
    """Exponential, ``scale * exp(rate * x)``.

    Its kernel is ``scale^2 exp(rate^2 (K(x, x) + K(y, y) + 2 K(x, y)) / 2)`` (Mairal et al.,
    "Convolutional kernel networks", 2014), which grows doubly exponentially with depth.

    Parameters
    ----------
    scale, rate : float
        Factors of the value and of the argument.

    Examples
    --------
    >>> from sklearn_ntk import NNGPKernel
    >>> from sklearn_ntk.activations import Exp
    >>> NNGPKernel(depth=1, activation=Exp(rate=0.5)).diag([[1.0, 2.0]]).round(3)
    array([25.714])
    """

    scale: float = 1.0
    rate: float = 1.0

    def fn(self, x):
        return self.scale * np.exp(self.rate * x)

    def variance(self, v):
        return self.scale**2 * np.exp(2.0 * self.rate**2 * v)

    def features(self, v):
        return np.sqrt(v), np.abs(self.scale) * np.exp(self.rate**2 * v)

    def dual(self, q, left, right):
        spread = left[0] - right[0]
        near = saturation(0.5 * self.rate**2 * (q + spread * spread))
        product = left[1] * right[1]
        return 2.0 * product * near, self.rate**2 * product * (1.0 - near)
