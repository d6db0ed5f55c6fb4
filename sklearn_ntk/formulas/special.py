"""Branch-free special functions, and the arithmetic of gaps (defined above `halves`).

Everything here is written once, with NumPy ufuncs and arithmetic masks instead of branches, so that
the same source runs on scalars inside compiled loops, on NumPy arrays and on any array type that
implements the NumPy protocols. Selections are products with booleans: ``np.where`` on scalars keeps
a compiled loop from being vectorised.
"""

import numpy as np

from .._runtime.check import is_number
from .tracing import NOISE, ROUNDING, TINY, Node, formula


def polynomial(coefficients, x):
    """``sum_k coefficients[k] x^k`` by Estrin's scheme, whose short chains run in parallel."""
    first, *terms = coefficients
    power = x
    while len(terms) > 1:
        terms += [0.0] * (len(terms) % 2)
        terms = [low + high * power for low, high in zip(terms[::2], terms[1::2], strict=True)]
        power = power * power
    return first + terms[0] * x


# Chebyshev fits with a maximal error of 3e-17.

_ARC_RATIO = (
    1.0,
    0.3333333333333334,
    0.13333333333325953,
    0.057142857152906956,
    0.02539682486450752,
    0.011544025959186025,
    0.00532777851407229,
    0.002488614907840171,
    0.0011563299153952086,
    0.0006082893079749518,
    0.00013564579639379793,
    0.0002862432851607345,
)
"""``acos(1 - y) / sqrt(y (2 - y))`` on [0, 1 - sqrt(1/2)], in powers of ``y``."""

_ARCTANGENT_RATIO = (
    1.0,
    -0.3333333333333286,
    0.19999999999929946,
    -0.14285714281592693,
    0.11111110982087126,
    -0.09090906605656898,
    0.0769227555520563,
    -0.06666371187721098,
    0.05880342002401543,
    -0.052527255573225747,
    0.04719723992321112,
    -0.042125723963855326,
    0.03651081352721035,
    -0.02970071773623423,
    0.021740213830758134,
    -0.013674139288399478,
    0.007038646202989813,
    -0.0028047655531701315,
    0.0008033604181626027,
    -0.00014617088163625013,
    1.2631178430477426e-05,
)
"""``atan(sqrt(g)) / sqrt(g)`` on [0, 1], in powers of ``g``."""


_SATURATION_RATIO = (
    1.0,
    -0.49999999999999833,
    0.16666666666655955,
    -0.04166666666398397,
    0.008333333298848701,
    -0.001388888629991145,
    0.00019841148451736398,
    -2.479792152194681e-05,
    2.7485841659719177e-06,
    -2.668297795582208e-07,
    1.8852790972201864e-08,
)
"""``(1 - exp(-x)) / x`` on [0, 5/8]."""


def _angle_rate(arguments, rates, result):
    (y, x), (dy, dx) = arguments, rates
    size = np.abs(x) + np.abs(y) + TINY
    x, y = x / size, y / size
    return (x * dy - y * dx) / (size * (x * x + y * y) + TINY)


@formula(_angle_rate)
def angle(y, x):
    """Angle of the point ``(x, y)`` with ``y >= 0``, in ``[0, pi]``; zero at the origin."""
    width = np.abs(x)
    steep = y > width
    flat = y <= width
    ratio = (flat * y + steep * width) / (flat * width + steep * y + TINY)
    value = ratio * polynomial(_ARCTANGENT_RATIO, ratio * ratio)
    value = flat * value + steep * (0.5 * np.pi - value)
    behind = x < 0.0
    return (1.0 - 2.0 * behind) * value + behind * np.pi


def half_chord(q, left, right):
    """``h = sin(t / 2)^2 = q / (4 a b)`` of the angle ``t`` of two rows, and its rounding error.

    Feature 0 is the standard deviation, ``a`` or ``b``, feature 2 is ``1 / (2 a)`` or ``1 / (2
    b)``. There is a rounding error where the gap ``q`` is itself the difference of a squared
    distance and ``(a - b)^2``.
    """
    noise = rounding_of(q)
    h = q * left[2] * right[2]
    if noise == 0.0:
        return h, 0.0
    unlike = noise * (0.5 * left[0]) * right[2] - right[0] * (noise * (0.5 * left[2]))
    return np.minimum(h, 1.0), np.abs(unlike)  # h of a gap that is all rounding may exceed 1


def rounding_of(q):
    """`tracing.Graph.noise` of a node: the relative rounding of the distance that ``q`` is of."""
    return q.graph.noise if isinstance(q, Node) else 0.0


def settled(q, std, other, rounding=NOISE):
    """A gap, exactly 0 for rows parallel but for rounding, ``4 std other`` for opposite ones."""
    if rounding == 0.0:
        return q
    noise = rounding * np.abs((std - other) * (std + other))
    rest = 4.0 * std * other - q
    return (q > noise) * (q + (rest <= noise) * rest)


def _arc_rate(arguments, rates, result):
    far, g, t, sine, _ = (result.graph.node("item", result, i) for i in range(5))
    dg = (1.0 - 2.0 * far) * rates[0] * (g > 0.0)  # rounding would blow up at the ends
    dt = 2.0 * dg / (sine + TINY)
    return 0.0, dg, dt, (1.0 - 2.0 * g) * dt, 2.0 * t * dg


@formula(_arc_rate, n_results=5)
def arc(h, noise=0.0):
    """Folded angle from ``h = sin(t / 2)^2``, which is known up to ``noise``.

    Returns whether ``t > pi / 2``, and for the folded angle ``t' = min(t, pi - t)``: ``sin(t' /
    2)^2``, ``t'``, ``sin t'``, and the wedge ``sin t' - t' cos t'``. Rows that are opposite but for
    rounding count as opposite. The error of the wedge is that of the sine times rounding, so that
    the gap of the next layer keeps its digits however close the rows are.
    """
    far, g, chord, cosine, ratio = _fold(h, noise)
    wedge = chord * (cosine - ratio * (1.0 - 2.0 * g))
    return far, g, chord * ratio, chord * cosine, wedge


def _bent_arc_rate(arguments, rates, result):
    h, bend = arguments[:2]
    _, theta, sine = (result.graph.node("item", result, i) for i in range(3))
    dh = 2.0 * rates[0] * (sine > 0.0)  # rounding would blow up at the ends
    turned = dh / (sine + TINY)
    return dh - dh * bend / np.pi * theta, turned, (1.0 - 2.0 * h) * turned


@formula(_bent_arc_rate, n_results=3)
def bent_arc(h, bend, noise=0.0):
    """``1 - cos t - (bend / pi) (sin t - t cos t)``, the angle ``t``, and its sine.

    ``h`` is the squared half chord, ``bend`` a constant; noise and errors are those of `arc`.
    The polynomial takes the longest; it enters last, so that the processor does not wait for it.
    """
    far, g, chord, cosine, ratio = _fold(h, noise)
    twice = g + g
    turn, bent = 1.0 - twice, bend / np.pi * chord
    moved = (twice + far * ((2.0 - bend) * turn)) - bent * (cosine - turn * ratio)
    t = chord * ratio
    return moved, t + far * (np.pi - 2.0 * t), chord * cosine


def _fold(h, noise):
    """Whether ``t > pi / 2`` for ``h = sin(t / 2)^2``, and numbers of ``t' = min(t, pi - t)``.

    These are ``sin(t' / 2)^2``, the chord ``2 sin(t' / 2)``, ``cos(t' / 2)``, and ``t' / chord``.
    ``h`` is in [0, 1] but for rounding.
    """
    rest = 1.0 - h
    g = np.minimum(h, rest)
    g = g * (g > noise) * (rest > NOISE)
    chord, cosine = np.sqrt(g), np.sqrt(np.maximum(h, rest))
    return h > 0.5, g, chord + chord, cosine, polynomial(_ARC_RATIO, 1.0 - cosine)


def _saturation_rate(arguments, rates, result):
    return (1.0 - result) * rates[0]


@formula(_saturation_rate)
def saturation(x):
    """``1 - exp(-x)`` for ``x >= 0``, to all digits of small arguments."""
    x = np.minimum(x, 40.0) / 64.0  # for six doublings of the argument
    y = x * polynomial(_SATURATION_RATIO, x)
    y = y * (2.0 - y)
    y = y * (2.0 - y)
    y = y * (2.0 - y)
    y = y * (2.0 - y)
    y = y * (2.0 - y)
    return y * (2.0 - y)


# The gap of two rows is q = 2 (sqrt(K(x, x) K(y, y)) - K(x, y)), which is K(x, x) |u - v|^2 for
# rows of equal norm and directions u, v. Let K = K1 + K2 be a sum of two kernels, for which row x
# has the standard deviations a, a1, a2 with a^2 = a1^2 + a2^2, and row y has b, b1, b2. The gap of
# K is q1 + q2 + m, where m = 2 (a b - a1 b1 - a2 b2) = 4 a b sin((s - t) / 2)^2 for the angles s of
# (a1, a2) and t of (b1, b2). By half angles m is the square of a difference of products of numbers
# of single rows, so that nothing cancels: rows that are 1e-8 apart, or exactly parallel, keep all
# their digits.


def halves(part, rest, whole):
    """``sqrt(2 whole)`` times cosine and sine of half the angle of ``(part, rest)``.

    For a row: ``(a1, a2, a)`` above.
    """
    cosine = np.sqrt(whole + part)
    return cosine, rest / (cosine + (cosine == 0.0))


def mixing(left, right):
    """The term ``m`` above, from the `halves` of both rows, the first two entries of records."""
    return _squared_cross(left[0], right[1], left[1], right[0])


def _squared_cross_rate(arguments, rates, result):
    (a, b, c, d), (da, db, dc, dd) = arguments, rates
    cross = a * b - c * d
    cross = (np.abs(cross) > ROUNDING * (a * b)) * cross  # rows that coincide but for rounding
    return 2.0 * cross * (da * b + a * db - dc * d - c * dd)


@formula(_squared_cross_rate)
def _squared_cross(a, b, c, d):
    cross = a * b - c * d
    return cross * cross


def safe_inverse(x):
    """Elementwise ``1 / x``, and zero where ``x`` is zero."""
    return (x != 0.0) / (x + (x == 0.0))


def within_rounding(gap, whole, part):
    """``gap`` clipped to ``whole - part``, give or take its rounding, and to ``[0, 2 whole]``."""
    rough, noise = whole - part, NOISE * whole
    gap = np.minimum(np.maximum(gap, rough - noise), rough + noise)
    return np.minimum(np.maximum(gap, 0.0), 2.0 * whole)


def is_variance(value):
    """Whether ``value`` is a finite real number that is not negative."""
    return is_number(value) and bool(value >= 0.0)
