"""Exponential linear units, whose kernel is an integral over an angle.

Let ``x = r + alpha n`` with a rectifier r and ``n(x) = min(exp(x) - 1, 0)``. For pre-activations
with standard deviations a and b and the angle theta, expectations of products of ``exp(u) [u < 0]``
and the like are integrals of a normal density over wedges of the plane, whose apex has the distance
R from its mean: R is a, b, or the standard deviation of ``u + v``. In polar coordinates around the
apex, with ``H(x) = 1 - sqrt(pi / 2) x erfcx(x / sqrt(2))``, all are values of

    J(R, beta) = integral of H(R sin t) for t from 0 to beta,

which is Owen's function T times ``2 pi exp(R^2 / 2)``. The code integrates two parts of it by
Gauss-Legendre quadrature, since in the gap the others cancel exactly: with ``Q(x) = (1 - erfcx(x /
sqrt(2))) / x``

    I = integral of sqrt(pi / 2) (R sin t)^2 Q(R sin t),
    j = integral of (1 - cos t) H(R sin t).

The kernel is that of R. Tsuchida et al., "Avoiding kernel fixed points: computing with ELU and GELU
infinite networks", AAAI 2021; for T see D. Owen, "Tables for computing bivariate normal
probabilities", 1956.
"""

from typing import NamedTuple

import numpy as np

from ..formulas.special import arc, half_chord, polynomial
from ..formulas.tracing import TINY, formula
from ._registry import activation

ROOT = np.sqrt(0.5 * np.pi)
STEEP = 0.2
"""Factor of x in ``z = 1 / (1 + x / 5)``, which maps [0, inf) to [0, 1]."""

# Chebyshev fits with a maximal error of 6e-16.

_FALL = (
    0.19999999999999948,
    0.16808461756830578,
    0.13616923507888248,
    0.10553047105767445,
    0.07744484457879078,
    0.053037555682420794,
    0.03310341501786992,
    0.018229074581019432,
    0.006993756358163202,
    0.005516159878021578,
    -0.013553546993033698,
    0.031028059579905683,
    -0.06597842656750105,
    0.0987071802407326,
    -0.11342031558625698,
    0.0959904457577769,
    -0.055719462057726384,
    0.020790383096114768,
    -0.004500324888788339,
    0.0004314384204936531,
)
"""``(1 - erfcx(x / sqrt(2))) / (x z)`` in powers of ``z = 1 / (1 + x / 5)``."""

_BEND = (
    0.7978845608028654,
    0.5978845608028774,
    0.4297999432317604,
    0.2936307083625596,
    0.18810022988687922,
    0.1106555363437212,
    0.057616008890494765,
    0.024530254489262483,
    0.006187647029037033,
    -0.00026578059398261306,
    -0.007726595199651662,
    0.011193852032192997,
    -0.031282046353148574,
    0.05361339384038119,
    -0.06922755117545326,
    0.06772277967531987,
    -0.045466444474764056,
    0.019370791262830006,
    -0.004728673036625066,
    0.0005068241834439286,
)
"""``(sqrt(2 / pi) - (1 - erfcx(x / sqrt(2))) / x) / (1 - z)``."""

NODES, WEIGHTS = (x.tolist() for x in np.polynomial.legendre.leggauss(14))
"""Errors of I and j are below 1e-15 up to R = 10 and 1e-10 for any R."""


def _compress(x):
    """``z = 1 / (1 + x / 5)``."""
    return 1.0 / (1.0 + STEEP * x)


def _within(x, bound):
    """A difference that cancels for large x, clipped to its bounds ``[0, bound]``."""
    return np.minimum(np.maximum(x, 0.0), bound)


def _slope(z, decline):
    """``-Q'(x)``, from ``decline = x Q(x)``."""
    return _within(1.0 - decline - STEEP * z * polynomial(_BEND, z), z * z)


def _height(x, z, decline):
    """``H(x)``, from ``decline = x Q(x)``."""
    return _within(1.0 - ROOT * x * (1.0 - decline), z * z)


def _fall_rate(arguments, rates, result):
    (x,) = arguments
    return 0.0 - _slope(_compress(x), x * result) * rates[0]


@formula(_fall_rate)
def _fall(x):
    """``Q(x) = (1 - erfcx(x / sqrt(2))) / x``."""
    z = _compress(x)
    return z * polynomial(_FALL, z)  # as in `_tail`: a formula calls no other


def _bend(x):
    """``Q(0) - Q(x)``, to all digits of small x."""
    z = _compress(x)
    return STEEP * x * z * polynomial(_BEND, z)


def _tail_rate(arguments, rates, result):
    (x,) = arguments
    return -0.5 / ROOT * _height(x, _compress(x), 1.0 - 2.0 * result) * rates[0]


@formula(_tail_rate)
def _tail(x):
    """``erfcx(x / sqrt(2)) / 2``."""
    z = _compress(x)
    return 0.5 * (1.0 - x * (z * polynomial(_FALL, z)))


def _integrals_rate(arguments, rates, result):
    (radius, w), (dradius, dw) = arguments, rates
    j = result.graph.node("item", result, 1)
    share = 1.0 / (1.0 + w * w)
    sine, rest = 2.0 * w * share, 2.0 * w * w * share  # 1 - cos
    x = radius * sine
    z = _compress(x)
    decline = x * _fall(x)
    by_radius = radius * j + rest * ROOT * decline
    sinking = ROOT * (rest * (1.0 - decline) - sine * sine * _slope(z, decline)) - radius * j
    sinking = _within(sinking, 2.0 * j / (radius + TINY))  # since H falls no faster than 1 / x^2
    by_w = 2.0 * share * ROOT * x * decline
    j_by_w = 2.0 * share * rest * _height(x, z, decline)
    return by_radius * dradius + by_w * dw, j_by_w * dw - sinking * dradius


@formula(_integrals_rate, n_results=2)
def _integrals(radius, w):
    """``I`` and ``j`` for the distance R and ``w = tan(beta / 2)``, not above one.

    The nodes are a rational function of ``tan(t / 2)``, dense where ``R sin t`` is small.
    """
    size = radius * w
    near = (1.0 + 0.02 * size) / (1.0 + 0.32 * size)
    step, reach = w * near, size * near
    i = j = 0.0
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        y = 0.5 + 0.5 * node
        d = (1.0 - y) + y * near
        g = step * y
        e = d * d + g * g
        p = (2.0 * y) * reach * d  # e R sin t
        u = e + STEEP * p
        both = 1.0 / (e * u)
        inverse = u * both
        z, x = e * e * both, p * inverse
        decline = x * (z * polynomial(_FALL, z))
        scaled = weight * inverse
        i = i + scaled * (x * decline)
        j = j + scaled * (g * g * inverse) * _height(x, z, decline)
    return ROOT * step * i, 2.0 * step * j


def _divided(coefficients, x, y):
    """``(P(x) - P(y)) / (x - y)`` for ``P(x) = x p(x)``, from the coefficients of p."""
    value = quotient = 0.0
    for c in (*coefficients[::-1], 0.0):
        quotient = quotient * y + value
        value = value * x + c
    return quotient


def _elu_features(scale, alpha, v):
    std = np.sqrt(v)
    twice = _bend(2.0 * std)
    new = 0.5 * v + alpha**2 * std * (twice - _bend(std))
    inverse = 0.5 * (std > 0.0) / (std + (std == 0.0))
    return std, np.abs(scale) * np.sqrt(new), inverse, twice, _tail(std)


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
    fall_a, fall_b = _fall(a * sine), _fall(b * sine)
    falls = sine * (fall_a + fall_b)
    i_a, j_a = _integrals(a, w)
    i_b, j_b = _integrals(b, w)
    i_u, j_u = _integrals(radius, b * sine / (radius + np.abs(along_u) + TINY))
    i_v, j_v = _integrals(radius, a * sine / (radius + np.abs(along_v) + TINY))
    # mean squared differences of r(u) and r(v), of r and n crosswise, and of n(u) and n(v)
    chord = far * (1.0 - g) + (1.0 - far) * g  # sin(theta / 2)^2
    rectified = 0.5 * spread * spread
    rectified = rectified + product * (2.0 * chord - wedge / np.pi - far * cosine)
    tails = far * (tail_a + tail_b)
    mixed = falls * g / np.sqrt(2.0 * np.pi) + cosine * (tails - (j_a + j_b) / (2.0 * np.pi))
    total = radius + a + b
    shorter = 4.0 * product * chord / (total + TINY)  # a + b - R
    turned = _fold(i_u, far_u, radius) + _fold(i_v, far_v, radius)
    turned = turned - _fold(i_a, far, a) - _fold(i_b, far, b)
    bent = _bend_difference(twice_a, 2.0 * a, shorter + spread, radius)
    bent = bent + _bend_difference(twice_b, 2.0 * b, shorter - spread, radius)
    moved = rectified + 2.0 * alpha * product * mixed + alpha**2 * (bent + turned / np.pi)
    gap = scale**2 * moved - (a_new - b_new) ** 2
    # E r'(u) r'(v), E r'(u) n'(v) + E n'(u) r'(v), and E n'(u) n'(v)
    crossed = tails + fold * (ROOT * falls + j_a + j_b) / (2.0 * np.pi)
    tail = _tail(radius)
    wedge_u = ROOT * (b * sine * inverse) * fall_b + j_u
    wedge_v = ROOT * (a * sine * inverse) * fall_a + j_v
    inside = (1.0 - 2.0 * far_u) * wedge_u + (1.0 - 2.0 * far_v) * wedge_v
    within = tail * (1.0 - far_u - far_v) - inside / (2.0 * np.pi)
    slope = 0.5 - theta / (2.0 * np.pi) + alpha * crossed + alpha**2 * within
    limit = 4.0 * a_new * b_new
    return np.minimum(np.maximum(gap, 0.0), limit), scale**2 * slope


def _fold(value, far, radius):
    """``I`` up to beta, or up to ``pi - beta`` where ``far`` is 1, from ``value`` up to beta."""
    return value + far * (np.pi * radius * _bend(radius) - 2.0 * value)


def _bend_difference(bend, x, apart, radius):
    """``(R Q(R) - x Q(x)) / 2`` without its linear part, for ``apart = x - R``."""
    z, other = _compress(x), _compress(radius)
    slant = STEEP * radius * (z * other) * _divided(_FALL, z, other)
    return 0.5 * apart * (bend + slant)


@activation("elu")
class ELU(NamedTuple):
    """Exponential linear unit, x where it is positive and else ``alpha * (exp(x) - 1)``.

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

    With the default parameters, rows of unit variance keep it.

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
