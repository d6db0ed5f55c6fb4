"""Smooth activations without a closed dual, by Hermite series with quadrature.

Each gives its value at zero, ``level``, and how far other values are from it, ``moved``, to all
digits of small arguments, and the distance of its nearest complex singularity from the real axis.
"""

from typing import NamedTuple

import numpy as np

from ._expand import expand_smooth
from ._registry import activation


@activation("tanh")
class Tanh(NamedTuple):
    """Hyperbolic tangent, ``gain * tanh(x)``.

    Its kernel is a Hermite series (Daniely, Frostig and Singer, NeurIPS 2016).

    Parameters
    ----------
    gain : float
        The upper limit.

    Examples
    --------
    >>> from sklearn_ntk import NNGPKernel
    >>> NNGPKernel(depth=1, activation="tanh").diag([[1.0, 2.0]]).round(6)
    array([1.442569])
    """

    gain: float = 1.0

    def fn(self, x):
        return self.gain * np.tanh(x)

    def expand(self, variance):
        return expand_smooth(self, self.fn, 0.0, 0.5 * np.pi, variance)


@activation("sigmoid")
class Sigmoid(NamedTuple):
    """Logistic sigmoid, ``gain / (1 + exp(-x))``, by a Hermite series as `Tanh`.

    Parameters
    ----------
    gain : float
        The upper limit.

    Examples
    --------
    >>> from sklearn_ntk import NTKKernel
    >>> NTKKernel(depth=1, activation="sigmoid").diag([[1.0, 2.0]]).round(3)
    array([1.088])
    """

    gain: float = 1.0

    def fn(self, x):
        return 0.5 * self.gain * (1.0 + np.tanh(0.5 * x))

    def expand(self, variance):
        def moved(x):
            return 0.5 * self.gain * np.tanh(0.5 * x)

        return expand_smooth(self, moved, 0.5 * self.gain, np.pi, variance)


def _lift(x):
    """``log(cosh(x / 2))``."""
    x = np.abs(x)
    small = np.minimum(x, 1.0)
    near = np.log1p(2.0 * np.sinh(0.25 * small) ** 2)
    return (x <= 1.0) * near + (x > 1.0) * (0.5 * x + np.log1p(np.exp(-x)) - np.log(2.0))


@activation("softplus")
class Softplus(NamedTuple):
    """Smooth rectifier, ``gain * log(1 + exp(x))``, by a Hermite series as `Tanh`.

    Parameters
    ----------
    gain : float
        The slope far to the right.

    Examples
    --------
    >>> from sklearn_ntk import NTKKernel
    >>> NTKKernel(depth=1, activation="softplus").diag([[1.0, 2.0]]).round(3)
    array([9.487])
    """

    gain: float = 1.0

    def fn(self, x):
        return self.gain * np.logaddexp(0.0, x)

    def expand(self, variance):
        def moved(x):
            return self.gain * (0.5 * x + _lift(x))

        return expand_smooth(self, moved, self.gain * np.log(2.0), np.pi, variance)


@activation("silu")
class SiLU(NamedTuple):
    """Sigmoid linear unit or swish, ``gain * x / (1 + exp(-x))``, by a Hermite series as `Tanh`.

    Parameters
    ----------
    gain : float
        The slope far to the right.

    Examples
    --------
    >>> from sklearn_ntk import NTKKernel
    >>> NTKKernel(depth=1, activation="silu").diag([[1.0, 2.0]]).round(3)
    array([9.567])
    """

    gain: float = 1.0

    def fn(self, x):
        return 0.5 * self.gain * x * (1.0 + np.tanh(0.5 * x))

    def expand(self, variance):
        return expand_smooth(self, self.fn, 0.0, np.pi, variance)


@activation("mish")
class Mish(NamedTuple):
    """Mish, ``gain * x * tanh(log(1 + exp(x)))`` (Misra, BMVC 2020), by a Hermite series as `Tanh`.

    Parameters
    ----------
    gain : float
        The slope far to the right.

    Examples
    --------
    >>> from sklearn_ntk import NTKKernel
    >>> NTKKernel(depth=1, activation="mish").diag([[1.0, 2.0]]).round(3)
    array([10.352])
    """

    gain: float = 1.0

    def fn(self, x):
        return self.gain * x * np.tanh(np.logaddexp(0.0, x))

    def expand(self, variance):
        return expand_smooth(self, self.fn, 0.0, 0.75 * np.pi, variance)
