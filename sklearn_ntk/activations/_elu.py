"""Exponential linear units, whose kernel is an integral over an angle.

Let ``x = r + alpha n`` with a rectifier r and ``n(x) = min(exp(x) - 1, 0)``. For pre-activations
with standard deviations a and b and the angle theta, expectations of products of ``exp(u) [u < 0]``
and the like are integrals of a normal density over wedges of the plane, whose apex has the distance
R from its mean: R is a, b, or the standard deviation of ``u + v``. `_wedges` has these integrals.

The kernel is that of R. Tsuchida et al., "Avoiding kernel fixed points: computing with ELU and GELU
infinite networks", AAAI 2021.
"""

from typing import NamedTuple

import numpy as np

from ..formulas.special import arc, half_chord
from ..formulas.tracing import TINY
from . import _wedges
from ._registry import activation


def _elu_features(scale, alpha, v):
    std = np.sqrt(v)
    twice = _wedges.bend(2.0 * std)
    new = 0.5 * v + alpha**2 * std * (twice - _wedges.bend(std))
    inverse = 0.5 * (std > 0.0) / (std + (std == 0.0))
    return std, np.abs(scale) * np.sqrt(new), inverse, twice, _wedges.tail(std)


def _elu_dual(scale, alpha, q, left, right):
    a, a_new, _, twice_a, tail_a = left
    b, b_new, _, twice_b, tail_b = right
    product, spread = a * b, a - b
    far, g, t, sine, wedge = arc(*half_chord(q, left, right))
    fold = 1.0 - 2.0 * far
    theta = t + far * (np.pi - 2.0 * t)
    cosine = 1.0 - 2.0 * g  # of the folded angle
    rest = far * g + (1.0 - far) * (1.0 - g)  # cos(theta / 2)^2
    w = np.sqrt(g / (1.0 - g))
    radius = np.sqrt(spread * spread + 4.0 * product * rest)
    along_u, along_v = spread + 2.0 * b * rest, 2.0 * a * rest - spread
    inverse = 1.0 / (radius + TINY)
    far_u, far_v = ((x < 0.0) + 0.5 * (x == 0.0) for x in (along_u, along_v))
    fall_a, fall_b = _wedges.fall(a * sine), _wedges.fall(b * sine)
    falls = sine * (fall_a + fall_b)
    i_a, j_a = _wedges.integrals(a, w)
    i_b, j_b = _wedges.integrals(b, w)
    i_u, j_u = _wedges.integrals(radius, b * sine / (radius + np.abs(along_u) + TINY))
    i_v, j_v = _wedges.integrals(radius, a * sine / (radius + np.abs(along_v) + TINY))
    # mean squared differences of r(u) and r(v), of r and n crosswise, and of n(u) and n(v)
    chord = far * (1.0 - g) + (1.0 - far) * g  # sin(theta / 2)^2
    rectified = 0.5 * spread * spread
    rectified = rectified + product * (2.0 * chord - wedge / np.pi - far * cosine)
    tails = far * (tail_a + tail_b)
    mixed = falls * g / np.sqrt(2.0 * np.pi) + cosine * (tails - (j_a + j_b) / (2.0 * np.pi))
    total = radius + a + b
    shorter = 4.0 * product * chord / (total + TINY)  # a + b - R
    turned = _wedges.fold(i_u, far_u, radius) + _wedges.fold(i_v, far_v, radius)
    turned = turned - _wedges.fold(i_a, far, a) - _wedges.fold(i_b, far, b)
    bent = _wedges.bend_difference(twice_a, 2.0 * a, shorter + spread, radius)
    bent = bent + _wedges.bend_difference(twice_b, 2.0 * b, shorter - spread, radius)
    moved = rectified + 2.0 * alpha * product * mixed + alpha**2 * (bent + turned / np.pi)
    gap = scale**2 * moved - (a_new - b_new) ** 2
    # E r'(u) r'(v), E r'(u) n'(v) + E n'(u) r'(v), and E n'(u) n'(v)
    crossed = tails + fold * (_wedges.ROOT * falls + j_a + j_b) / (2.0 * np.pi)
    tail = _wedges.tail(radius)
    wedge_u = _wedges.ROOT * (b * sine * inverse) * fall_b + j_u
    wedge_v = _wedges.ROOT * (a * sine * inverse) * fall_a + j_v
    inside = (1.0 - 2.0 * far_u) * wedge_u + (1.0 - 2.0 * far_v) * wedge_v
    within = tail * (1.0 - far_u - far_v) - inside / (2.0 * np.pi)
    slope = 0.5 - theta / (2.0 * np.pi) + alpha * crossed + alpha**2 * within
    limit = 4.0 * a_new * b_new
    return np.minimum(np.maximum(gap, 0.0), limit), scale**2 * slope


@activation("elu")
class ELU(NamedTuple):
    """Exponential linear unit, ``x`` if positive, else ``alpha * (exp(x) - 1)``.

    Parameters
    ----------
    alpha : float
        The value far to the left is ``-alpha``.

    Examples
    --------
    >>> from sklearn_ntk import NNGPKernel
    >>> from sklearn_ntk.activations import ELU
    >>> NNGPKernel(depth=1, activation=ELU(alpha=0.5)).diag([[1.0, 2.0]]).round(3)
    array([7.146])
    """

    alpha: float = 1.0

    def fn(self, x):
        return np.maximum(x, 0.0) + self.alpha * np.expm1(np.minimum(x, 0.0))

    def variance(self, v):
        return _elu_features(1.0, self.alpha, v)[1] ** 2

    def features(self, v):
        return _elu_features(1.0, self.alpha, v)

    def dual(self, q, left, right):
        return _elu_dual(1.0, self.alpha, q, left, right)

    def traced(self):
        """The same as a `SELU`, so that both share loops, whose compilation takes half a minute."""
        return SELU(1.0, self.alpha)


@activation("selu")
class SELU(NamedTuple):
    """Scaled exponential linear unit, ``scale`` times an `ELU` (Klambauer et al., NeurIPS 2017).

    With the default parameters, unit variance of rows is preserved.

    Parameters
    ----------
    scale, alpha : float

    Examples
    --------
    >>> from sklearn_ntk import NNGPKernel
    >>> kernel = NNGPKernel(depth=4, activation="selu", weight_var=1.0, bias_var=0.0)
    >>> kernel.diag([[1.0, -1.0]]).round(6)
    array([1.])
    """

    scale: float = 1.0507009873554805
    alpha: float = 1.6732632423543772

    def fn(self, x):
        return self.scale * (np.maximum(x, 0.0) + self.alpha * np.expm1(np.minimum(x, 0.0)))

    def variance(self, v):
        return _elu_features(self.scale, self.alpha, v)[1] ** 2

    def features(self, v):
        return _elu_features(self.scale, self.alpha, v)

    def dual(self, q, left, right):
        return _elu_dual(self.scale, self.alpha, q, left, right)
