"""Integrals of a normal density over wedges of the plane, of which kernels of ELU are made.

The apex of a wedge has the distance R from the mean of the density. In polar coordinates around the
apex, with ``H(x) = 1 - sqrt(pi / 2) x erfcx(x / sqrt(2))``, all are values of

    J(R, beta) = integral of H(R sin t) for t from 0 to beta,

which is Owen's function T times ``2 pi exp(R^2 / 2)``. The code integrates two parts of it by
Gauss-Legendre quadrature, since in the gap the others cancel exactly: with ``Q(x) = (1 - erfcx(x /
sqrt(2))) / x``

    I = integral of sqrt(pi / 2) (R sin t)^2 Q(R sin t),
    j = integral of (1 - cos t) H(R sin t).

For T see D. Owen, "Tables for computing bivariate normal probabilities", 1956.
"""

import numpy as np

from ..formulas.special import polynomial
from ..formulas.tracing import TINY, formula

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
def fall(x):
    """``Q(x) = (1 - erfcx(x / sqrt(2))) / x``."""
    z = _compress(x)
    return z * polynomial(_FALL, z)  # as in `tail`: a formula calls no other


def bend(x):
    """``Q(0) - Q(x)``, to all digits of small x."""
    z = _compress(x)
    return STEEP * x * z * polynomial(_BEND, z)


def _tail_rate(arguments, rates, result):
    (x,) = arguments
    return -0.5 / ROOT * _height(x, _compress(x), 1.0 - 2.0 * result) * rates[0]


@formula(_tail_rate)
def tail(x):
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
    decline = x * fall(x)
    by_radius = radius * j + rest * ROOT * decline
    sinking = ROOT * (rest * (1.0 - decline) - sine * sine * _slope(z, decline)) - radius * j
    sinking = _within(sinking, 2.0 * j / (radius + TINY))  # since H falls no faster than 1 / x^2
    by_w = 2.0 * share * ROOT * x * decline
    j_by_w = 2.0 * share * rest * _height(x, z, decline)
    return by_radius * dradius + by_w * dw, j_by_w * dw - sinking * dradius


@formula(_integrals_rate, n_results=2)
def integrals(radius, w):
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


def fold(value, far, radius):
    """``I`` up to beta, or up to ``pi - beta`` where ``far`` is 1, from ``value`` up to beta."""
    return value + far * (np.pi * radius * bend(radius) - 2.0 * value)


def bend_difference(bent, x, apart, radius):
    """``(R Q(R) - x Q(x)) / 2`` without its linear part, for ``apart = x - R``."""
    z, other = _compress(x), _compress(radius)
    slant = STEEP * radius * (z * other) * _divided(_FALL, z, other)
    return 0.5 * apart * (bent + slant)


def _divided(coefficients, x, y):
    """``(P(x) - P(y)) / (x - y)`` for ``P(x) = x p(x)``, from the coefficients of p."""
    value = quotient = 0.0
    for c in (*coefficients[::-1], 0.0):
        quotient = quotient * y + value
        value = value * x + c
    return quotient
