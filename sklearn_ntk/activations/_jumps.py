"""Rectified monomials ``max(x, 0)^degree``, and jumps: the sign and the step."""

from typing import NamedTuple

import numpy as np

from ..formulas.special import arc, half_chord, safe_inverse
from ..formulas.tracing import ROUNDING
from ._registry import activation, degrees


def _turn(q, left, right):
    """Angle ``t`` of two rows, ``1 - cos t``, ``cos t``, ``sin t`` and ``sin t - t cos t``.

    The gap behind a jump grows with the angle itself, which amplifies rounding of the gap before:
    angles below `ROUNDING` count as zero.
    """
    far, g, t, sine, wedge = arc(*half_chord(q, left, right))
    theta = (t > ROUNDING) * t + far * (np.pi - 2.0 * t)
    rest = 2.0 * g + far * (2.0 - 4.0 * g)
    cosine = (1.0 - 2.0 * far) * (1.0 - 2.0 * g)
    return theta, rest, cosine, sine, wedge - far * (np.pi * cosine)


def _falls(theta, rest, cosine, sine, wedge):
    """``1 - J_n(theta) / J_n(0)`` for the angular functions of Cho and Saul, n = 0 to 3."""
    square = sine * sine
    return (
        theta / np.pi,
        rest - wedge / np.pi,
        ((2.0 * np.pi + theta) * square - 3.0 * cosine * wedge) / (3.0 * np.pi),
        rest * (1.0 + 0.4 * cosine * (1.0 + cosine))
        + (5.0 * sine * square - wedge * (15.0 - 6.0 * square)) / (15.0 * np.pi),
    )


def _pick(degree, choices):
    """``choices[degree]``, without a branch."""
    return sum((degree == number) * choice for number, choice in enumerate(choices))


def _power(x, degree):
    """``x^degree`` for degrees 0 to 3; higher powers, which might overflow, are not computed."""
    return ((degree < 1) + (degree >= 1) * x) * (
        ((degree < 2) + (degree >= 2) * x) * ((degree < 3) + (degree >= 3) * x)
    )


@activation("rectified_monomial", degree=degrees(3))
class RectifiedMonomial(NamedTuple):
    """Rectified monomial ``max(x, 0)^degree``, the arc-cosine kernels of Cho and Saul (2009).

    Parameters
    ----------
    degree : int
        From 0, the `Step`, to 3.

    Examples
    --------
    >>> from sklearn_ntk import NNGPKernel
    >>> from sklearn_ntk.activations import RectifiedMonomial
    >>> kernel = NNGPKernel(1, RectifiedMonomial(2), weight_var=1.0, bias_var=0.0)
    >>> kernel.diag([[1.0, -1.0]]).round(6)  # half of the fourth moment
    array([1.5])
    """

    degree: int = 2

    @property
    def jumps(self):
        return self.degree == 0

    def fn(self, x):
        return (x > 0.0) * np.maximum(x, 0.0) ** self.degree

    def variance(self, v):
        return self._std(np.sqrt(v)) ** 2

    def _std(self, std):
        factor = _pick(self.degree, np.sqrt([0.5, 0.5, 1.5, 7.5]))
        return (std > 0.0) * factor * _power(std, self.degree)

    def features(self, v):
        std = np.sqrt(v)
        factor = _pick(self.degree, [0.0, np.sqrt(0.5), np.sqrt(2.0), np.sqrt(13.5)])
        return std, self._std(std), 0.5 * safe_inverse(std), factor * _power(std, self.degree - 1.0)

    def dual(self, q, left, right):
        falls = _falls(*_turn(q, left, right))
        gap = 2.0 * left[1] * right[1] * np.maximum(_pick(self.degree, falls), 0.0)
        slope = left[3] * right[3] * (1.0 - _pick(self.degree - 1.0, falls[:3]))
        return gap, slope


def _jump_features(std_new, v):
    std = np.sqrt(v)
    return std, std_new * (std > 0.0), 0.5 * safe_inverse(std)


def _jump_dual(height, q, left, right):
    """Gap and slope of a jump; ``height`` is 1 for the step and 2 for the sign.

    That is ``1 - rho`` behind the activation for opposite rows.
    """
    theta = _turn(q, left, right)[0]
    return 2.0 * left[1] * right[1] * (height / np.pi * theta), 0.0 * q


@activation("sign")
class Sign(NamedTuple):
    """Sign, ``gain * sign(x)``, with dual ``gain^2 (1 - 2 theta / pi)`` at the angle theta.

    Its derivative vanishes almost everywhere, and that is what gradient descent sees: the NTK is
    that of the layers after it. (As a distribution, the derivative would make the NTK infinite on
    the diagonal.)

    Parameters
    ----------
    gain : float
        The value of positive numbers.

    Examples
    --------
    >>> from sklearn_ntk import NNGPKernel
    >>> kernel = NNGPKernel(depth=1, activation="sign", weight_var=1.0, bias_var=0.0)
    >>> kernel([[1.0, 0.0], [1.0, 1.0]]).round(6)  # at 45 degrees
    array([[1. , 0.5],
           [0.5, 1. ]])
    """

    gain: float = 1.0

    jumps = True

    def fn(self, x):
        return self.gain * np.sign(x)

    def variance(self, v):
        return self.gain**2 * (v > 0.0)

    def features(self, v):
        return _jump_features(np.abs(self.gain), v)

    def dual(self, q, left, right):
        return _jump_dual(2.0, q, left, right)


@activation("step")
class Step(NamedTuple):
    """Step, ``gain`` where ``x > 0`` and else 0, with dual ``gain^2 (1 - theta / pi) / 2``.

    As with `Sign`, no gradient passes through it.

    Parameters
    ----------
    gain : float
        The value of positive numbers.

    Examples
    --------
    >>> from sklearn_ntk import NNGPKernel
    >>> kernel = NNGPKernel(depth=1, activation="step", weight_var=2.0, bias_var=0.0)
    >>> kernel([[1.0, 0.0], [1.0, 1.0]]).round(6)  # at 45 degrees
    array([[1.  , 0.75],
           [0.75, 1.  ]])
    """

    gain: float = 1.0

    jumps = True

    def fn(self, x):
        return self.gain * (x > 0.0)

    def variance(self, v):
        return 0.5 * self.gain**2 * (v > 0.0)

    def features(self, v):
        return _jump_features(np.sqrt(0.5) * np.abs(self.gain), v)

    def dual(self, q, left, right):
        return _jump_dual(1.0, q, left, right)
