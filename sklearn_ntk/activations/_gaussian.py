"""Bell curves and exponentials."""

from typing import NamedTuple

import numpy as np

from ..formulas.special import safe_inverse, saturation, within_rounding
from ..formulas.tracing import NOISE
from ._registry import NEGATIVE, POSITIVE, activation


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
    array([1.555])
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
    array([41.171])
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


@activation("exp_normalized", gamma=POSITIVE)
class ExpNormalized(NamedTuple):
    """Exponential of normalised rows, with dual ``a b exp(gamma (cos + shift))``.

    ``a`` and ``b`` are the standard deviations of two rows and ``cos`` their correlation: the
    normalised Gaussian kernel of Shankar et al., "Neural kernels without tangents", ICML 2020. In a
    network it divides the signals by their root mean square ``s`` over the units, and returns
    ``s exp(sqrt(gamma) x / s + gamma (shift - 1) / 2)``.

    Parameters
    ----------
    gamma : float
        Factor of the correlation, positive.
    shift : float
        Number added to the correlation; -1 preserves the variance of rows.

    Examples
    --------
    >>> from sklearn_ntk import NNGPKernel
    >>> kernel = NNGPKernel(1, "exp_normalized", weight_var=1.0, bias_var=0.0)
    >>> kernel([[1.0, 1.0], [2.0, -2.0]]).round(4)  # 2 exp(-1) at a right angle
    array([[1.    , 0.7358],
           [0.7358, 4.    ]])
    """

    gamma: float = 1.0
    shift: float = -1.0

    def fn(self, x):
        std = np.sqrt(np.mean(x * x, axis=-1, keepdims=True))
        exponent = np.sqrt(self.gamma) * x * safe_inverse(std)
        return std * np.exp(exponent + 0.5 * self.gamma * (self.shift - 1.0))

    def variance(self, v):
        return np.exp(self.gamma * (1.0 + self.shift)) * v

    def features(self, v):
        std = np.sqrt(v)
        return std, np.exp(0.5 * self.gamma * (1.0 + self.shift)) * std, safe_inverse(std)

    def dual(self, q, left, right):
        near = saturation(0.5 * self.gamma * (q * left[2] * right[2]))
        gain = self.gamma * np.exp(self.gamma * (1.0 + self.shift))
        return 2.0 * left[1] * right[1] * near, gain * (1.0 - near)


@activation("gabor", rate=NEGATIVE)
class Gabor(NamedTuple):
    """Wave under a bell curve, ``scale * exp(rate * x^2) * sin(frequency * x)``.

    Its kernel is that of a sine, under the normal density that results from multiplying the density
    of the rows by the bell curve (formulas of Han et al., "Fast neural kernel embeddings for
    general activations", NeurIPS 2022).

    Parameters
    ----------
    scale : float
        The height.
    rate : float
        Minus one over twice the squared width of the bell curve.
    frequency : float
        The angular frequency of the wave.

    Examples
    --------
    >>> from sklearn_ntk import NNGPKernel
    >>> from sklearn_ntk.activations import Gabor
    >>> NNGPKernel(depth=1, activation=Gabor(rate=-0.1)).diag([[1.0, 2.0]]).round(3)
    array([1.526])
    """

    scale: float = 1.0
    rate: float = -1.0
    frequency: float = 1.0

    def fn(self, x):
        return self.scale * np.exp(self.rate * x * x) * np.sin(self.frequency * x)

    def variance(self, v):
        share = 1.0 / (1.0 - 4.0 * self.rate * v)
        return 0.5 * self.scale**2 * np.sqrt(share) * self._rise(v * share)

    def _rise(self, v):
        """``2 Var[sin(frequency u)] = 1 - exp(-2 frequency^2 v)`` for ``u ~ N(0, v)``."""
        return 0.0 - np.expm1(-2.0 * self.frequency**2 * v)

    def features(self, v):
        u = 1.0 / np.sqrt(1.0 - 4.0 * self.rate * v)
        rest = np.exp(-(self.frequency**2) * (v * u * u))
        return np.sqrt(v), np.sqrt(self.variance(v)), u, rest, np.sqrt(0.5 * self._rise(v * u * u))

    def dual(self, q, left, right):
        a, a_new, u, rest_a, sine_a = left
        b, b_new, v, rest_b, sine_b = right
        k, square, uv = -2.0 * self.rate, self.frequency**2, u * v
        # scaled is k times the covariance of parallel rows minus that of these; above is k times
        # the covariance of these rows minus that of opposite ones
        scaled = 0.5 * k * (q * uv)
        product = k * ((a * u) * (b * v))
        above = 2.0 * product - scaled
        above = above * (above > NOISE * product)  # opposite but for rounding
        apart = k * (a - b)
        spread = apart * (a + b)
        share = spread / (1.0 + k * (a * a + b * b) + 1.0 / uv)
        lift = scaled * above / uv
        rise = share * spread * uv + lift
        ratio = 1.0 + rise
        root = np.sqrt(ratio)
        size = self.scale**2 * np.sqrt(uv) / root
        # a product of sines is half the difference of two waves, which have these exponents
        turn = square / (k * ratio)
        aside = 0.5 * apart * (a - b) * uv
        exponent, other = turn * (scaled + lift + aside), turn * (above + lift + aside)
        near, far = saturation(exponent), saturation(other)
        waves = _moved(1.0 - near, 1.0 - far, turn * (above - scaled))
        # how much larger the second wave is than for parallel rows
        excess = (scaled - uv * rise + aside) / ratio - 0.5 * (u - v) ** 2
        grown = _moved(1.0 - far, rest_a * rest_b, square / k * excess)
        moved = near + far * (rise / (1.0 + root))
        moved = moved + root * (grown - 0.5 * (rest_a - rest_b) ** 2 - (sine_a - sine_b) ** 2)
        gap = within_rounding(size * moved, 2.0 * a_new * b_new, size * waves)
        # `tilt` is k times the covariance under the bell curve
        tilt = (above - product) / ratio
        slope = tilt * (0.5 * k + square) * waves
        slope = slope + 0.5 * square * (uv / ratio) * (2.0 - near - far)
        slope = slope - k * tilt * (exponent * (1.0 - near) - other * (1.0 - far))
        return gap, size * slope


def _moved(more, less, exponent):
    """``more - less`` for positive numbers with ``more / less = exp(exponent)``."""
    share = saturation(np.abs(exponent))
    return (exponent > 0.0) * (more * share) - (exponent <= 0.0) * (less * share)
