"""Waves: sine, cosine and the feature map of the RBF kernel."""

from typing import NamedTuple

import numpy as np

from ..formulas.special import saturation
from ..formulas.tracing import NOISE
from ._registry import POSITIVE, activation


def _wave_variance(scale, frequency, twist, v):
    """Variance of ``scale * sin(frequency u + shift)``; ``twist = cos(2 shift)``."""
    return 0.5 * scale**2 * ((1.0 - twist) - twist * np.expm1(-2.0 * frequency**2 * v))


def _wave_features(scale, frequency, twist, v):
    """Both standard deviations, and ``exp(-frequency^2 v)``."""
    std_new = np.sqrt(np.maximum(_wave_variance(scale, frequency, twist, v), 0.0))
    return np.sqrt(v), std_new, np.exp(-(frequency**2) * v)


def _wave_dual(scale, frequency, twist, q, left, right):
    """Gap and slope of `Sin` and `Cos`, for the squared distances to a row and to its opposite."""
    spread, widest = left[0] - right[0], 4.0 * left[0] * right[0]
    near = saturation(0.5 * frequency**2 * (q + spread * spread))  # 1 - exp(-frequency^2 D / 2)
    rest = widest - q  # the gap to the opposite row
    rest = rest * (rest > NOISE * widest)  # opposite but for rounding
    far = saturation(0.5 * frequency**2 * (rest + spread * spread))  # of opposite rows
    moved = 2.0 * near * ((1.0 + twist) - twist * far) - twist * (left[2] - right[2]) ** 2
    gap = 0.5 * scale**2 * moved - (left[1] - right[1]) ** 2
    slope = 0.5 * (scale * frequency) ** 2 * ((1.0 + twist) - (near + twist * far))
    return np.maximum(gap, 0.0), slope


@activation("sin")
class Sin(NamedTuple):
    """Sine wave, ``scale * sin(frequency * x + shift)`` (Rahimi and Recht, NeurIPS 2007).

    Parameters
    ----------
    scale, frequency, shift : float
        Amplitude, angular frequency and phase.

    Examples
    --------
    >>> from sklearn_ntk import NNGPKernel
    >>> from sklearn_ntk.activations import Sin
    >>> NNGPKernel(depth=1, activation=Sin(frequency=0.5)).diag([[1.0, 2.0]]).round(3)
    array([1.95])
    """

    scale: float = 1.0
    frequency: float = 1.0
    shift: float = 0.0

    def fn(self, x):
        return self.scale * np.sin(self.frequency * x + self.shift)

    def variance(self, v):
        return _wave_variance(self.scale, self.frequency, np.cos(2.0 * self.shift), v)

    def features(self, v):
        return _wave_features(self.scale, self.frequency, np.cos(2.0 * self.shift), v)

    def dual(self, q, left, right):
        twist = np.cos(2.0 * self.shift)
        return _wave_dual(self.scale, self.frequency, twist, q, left, right)


@activation("cos")
class Cos(NamedTuple):
    """Cosine wave, ``scale * cos(frequency * x + shift)`` (Rahimi and Recht, NeurIPS 2007).

    Parameters
    ----------
    scale, frequency, shift : float
        Amplitude, angular frequency and phase.

    Examples
    --------
    >>> from sklearn_ntk import NNGPKernel
    >>> from sklearn_ntk.activations import Cos
    >>> NNGPKernel(depth=1, activation=Cos(frequency=0.5)).diag([[1.0, 2.0]]).round(3)
    array([2.05])
    """

    scale: float = 1.0
    frequency: float = 1.0
    shift: float = 0.0

    def fn(self, x):
        return self.scale * np.cos(self.frequency * x + self.shift)

    def variance(self, v):
        return _wave_variance(self.scale, self.frequency, -np.cos(2.0 * self.shift), v)

    def features(self, v):
        return _wave_features(self.scale, self.frequency, -np.cos(2.0 * self.shift), v)

    def dual(self, q, left, right):
        twist = -np.cos(2.0 * self.shift)
        return _wave_dual(self.scale, self.frequency, twist, q, left, right)


@activation("rbf", gamma=POSITIVE)
class RBF(NamedTuple):
    """Random Fourier feature ``sqrt(2) sin(sqrt(2 gamma) x + pi / 4)``, dual ``exp(-gamma D)``.

    ``D`` is the mean squared distance of the pre-activations (Rahimi and Recht, NeurIPS 2007).

    Parameters
    ----------
    gamma : float
        As in the RBF kernel, positive.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.metrics.pairwise import rbf_kernel
    >>> from sklearn_ntk import NNGPKernel
    >>> from sklearn_ntk.activations import RBF
    >>> kernel = NNGPKernel(depth=1, activation=RBF(0.5), weight_var=1.0, bias_var=0.0)
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> bool(np.allclose(kernel(X), rbf_kernel(X, gamma=0.25)))  # gamma / n_features
    True
    """

    gamma: float = 1.0

    def fn(self, x):
        return np.sqrt(2.0) * np.sin(np.sqrt(2.0 * self.gamma) * x + 0.25 * np.pi)

    def variance(self, v):
        return 1.0 + 0.0 * v

    def features(self, v):
        return np.sqrt(v), 1.0 + 0.0 * v

    def dual(self, q, left, right):
        spread = left[0] - right[0]
        near = saturation(self.gamma * (q + spread * spread))
        return 2.0 * near, 2.0 * self.gamma * (1.0 - near)
