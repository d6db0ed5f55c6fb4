"""Branch-free special functions and the arithmetic of gaps.

Everything here is written once, with NumPy ufuncs and arithmetic masks instead of branches, so that
the same source runs on scalars inside compiled loops, on NumPy arrays and on any array type that
speaks the NumPy protocols. Selections are products with booleans: ``np.where`` on scalars keeps a
compiled loop from being vectorised.
"""

import numbers

import numpy as np

TINY = 1e-300
"""Added to denominators that vanish only together with their numerators."""

# Chebyshev fits to 2e-17, from the highest power down to the constant.
_ARCSINE = (  # asin(sqrt(g)) / sqrt(g) on [0, 1/2]
    0.8892904367638688, -3.278933156739812, 5.7579408313146985, -6.229299875397985,
    4.6420689099888435, -2.4908808126226116, 1.0082016650534187, -0.2968705430689824,
    0.07871611357002127, -0.002601537848299688, 0.013191002571753903, 0.01380344589589198,
    0.017364281439103527, 0.022371584779320355, 0.030381963396751827, 0.044642856762615,
    0.07500000000401816, 0.16666666666664987, 1.0,
)  # fmt: skip
_WEDGE = (  # (sin t - t cos t) / (2 g sqrt(g)) with g = sin(t / 2)^2 on [0, 1/2]
    0.05683066296223018, -0.19244609536278637, 0.3134989900684328, -0.31229446643630443,
    0.21454873761093943, -0.10397122300928494, 0.03920019737776707, -0.008852367759358297,
    0.003957653306862928, 0.0021131214880823336, 0.0033215467566209025, 0.004624524012430204,
    0.006883902841014827, 0.011047973819713819, 0.01984126997538724, 0.04285714285556105,
    0.13333333333334071, 1.3333333333333333,
)  # fmt: skip
_ARCTANGENT = (  # atan(sqrt(g)) / sqrt(g) on [0, 1]
    1.2631178430477426e-05, -0.00014617088163625013, 0.0008033604181626027,
    -0.0028047655531701315, 0.007038646202989813, -0.013674139288399478, 0.021740213830758134,
    -0.02970071773623423, 0.03651081352721035, -0.042125723963855326, 0.04719723992321112,
    -0.052527255573225747, 0.05880342002401543, -0.06666371187721098, 0.0769227555520563,
    -0.09090906605656898, 0.11111110982087126, -0.14285714281592693, 0.19999999999929946,
    -0.3333333333333286, 1.0,
)  # fmt: skip


def horner(coefficients, x):
    """Value of the polynomial with these coefficients, highest power first."""
    value = coefficients[0]
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value


def angle(y, x):
    """Angle of the point ``(x, y)`` with ``y >= 0``, in ``[0, pi]``; zero at the origin."""
    width = np.abs(x)
    steep = y > width
    flat = y <= width
    ratio = (flat * y + steep * width) / (flat * width + steep * y + TINY)
    value = ratio * horner(_ARCTANGENT, ratio * ratio)
    value = flat * value + steep * (0.5 * np.pi - value)
    behind = x < 0.0
    return (1.0 - 2.0 * behind) * value + behind * np.pi


def arc(h):
    """Angle ``t`` and wedge ``sin t - t cos t`` from the squared half chord ``h = sin(t / 2)^2``."""
    far = h > 0.5
    near = h <= 0.5
    g = near * h + far * np.maximum(1.0 - h, 0.0)
    root = np.sqrt(g)
    t = 2.0 * root * horner(_ARCSINE, g)
    wedge = 2.0 * root * g * horner(_WEDGE, g)
    return (1.0 - 2.0 * far) * t + far * np.pi, wedge + far * (np.pi * (1.0 - 2.0 * g))


# The gap of two rows is q = 2 (sqrt(K(x, x) K(y, y)) - K(x, y)), which is K(x, x) |u - v|^2 for
# rows of equal norm and directions u, v. In the functions below a and b are the standard
# deviations sqrt(K(x, x)) and sqrt(K(y, y)). A sum of two kernels has the gap q1 + q2 + mixing:
# by Lagrange's identity every term is positive, hence nothing cancels and rows that are 1e-8
# apart, or exactly parallel, keep all their digits.


def mixing(a1, b1, a2, b2, a, b):
    """Gap that a sum of two kernels has beyond the sum of their gaps."""
    cross = a1 * b2 - a2 * b1
    return 2.0 * cross * cross / (a * b + a1 * b1 + a2 * b2 + TINY)


def mixing_tangent(a1, b1, a2, b2, a, b, da1, db1, da2, db2, da, db):
    """Derivative of `mixing` along the derivatives of its arguments."""
    cross = a1 * b2 - a2 * b1
    total = a * b + a1 * b1 + a2 * b2 + TINY
    dcross = da1 * b2 + a1 * db2 - da2 * b1 - a2 * db1
    dtotal = da * b + a * db + da1 * b1 + a1 * db1 + da2 * b2 + a2 * db2
    slant = cross / total
    return 2.0 * slant * (2.0 * dcross - slant * dtotal)


def is_variance(value):
    """Whether ``value`` is a finite real number that is not negative."""
    is_real = isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))
    return is_real and bool(0.0 <= value < np.inf)
