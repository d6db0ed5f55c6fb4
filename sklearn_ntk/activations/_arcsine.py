"""Arcsine kernels: the error function and the Gaussian error linear unit."""

from typing import NamedTuple

import numpy as np
from scipy import special

from ..formulas.special import angle, rounding_of, settled
from ..formulas.tracing import NOISE, TINY
from ._registry import activation

UNLIKE = 4.0
"""Ratio of standard deviations from which a gap is better found from the dual itself."""

# Both contain psi = asin(cov / sqrt((1 + a^2)(1 + b^2))). Covariances are scaled by u v, where
# u = 1 / sqrt(1 + a^2) and v = 1 / sqrt(1 + b^2), so that no norm overflows. `_shortfall` is
# (psi(x, x) + psi(y, y)) / 2 - psi(x, y), as the angle of one complex number whose real and
# imaginary parts are sums of positive terms, without cancellation.


def _arcsine_features(v):
    """``u = (1 + v)^(-1/2)``, ``s = v u^2`` and ``p = sqrt(2 - u^2)`` of a row of variance v."""
    share = v / (1.0 + v)
    u = 1.0 / np.sqrt(1.0 + v)
    return u, share, np.sqrt(1.0 + share)


def _shortfall(q, u, v, s, t, p, r, product):
    """Parts of the arcsine kernel of two rows, whose features are ``(u, s, p)`` and ``(v, t, r)``.

    ``product`` is ``a b u v`` and ``q`` the gap times ``u v``. Returns the shortfall, ``sin psi``,
    ``cos psi``, the cosine at gap zero, and the difference of both cosines.
    """
    above = 2.0 * product - 0.5 * q
    above = above * (above > NOISE * product)  # opposite but for rounding
    sine = above - product
    excess = 0.5 * q * above
    cosine0 = np.sqrt(u * u * t + v * v)
    cosine = np.sqrt(cosine0 * cosine0 + excess)
    growth = excess / (cosine + cosine0 + TINY)
    x1 = 2.0 * (s + t) / (p * r + u * v)
    y1 = p * v + r * u
    slant = 2.0 * (s * v * v - t * u * u) / y1
    tilt_y = slant * slant / (cosine0 * x1 + product * y1 + TINY)
    tilt_x = product * x1 + cosine0 * y1
    turn_y = product * growth + 0.5 * q * cosine0
    turn_x = cosine0 * cosine + product * sine
    shortfall = angle(tilt_x * turn_y + turn_x * tilt_y, tilt_x * turn_x - tilt_y * turn_y)
    return shortfall, sine, cosine, cosine0, growth


def _erf_variance(scale, rate, constant, v):
    v = 2.0 * rate**2 * v
    return (2.0 / np.pi) * scale**2 * np.arctan2(v, np.sqrt(1.0 + 2.0 * v)) + constant**2


def _erf_features(scale, rate, constant, v):
    std_new = np.sqrt(_erf_variance(scale, rate, constant, v))
    return np.sqrt(v), std_new, *_arcsine_features(2.0 * rate**2 * v)


def _erf_dual(scale, rate, q, left, right):
    a, a_new, u, s, p = left
    b, b_new, v, t, r = right
    q = settled(q, a, b, rounding_of(q))
    k = 2.0 * rate**2
    product = k * ((a * u) * (b * v))
    shortfall, _, cosine, _, _ = _shortfall(k * (q * u * v), u, v, s, t, p, r, product)
    gain = (4.0 / np.pi) * scale**2
    gap = gain * shortfall - (a_new - b_new) ** 2
    return np.maximum(gap, 0.0), gain * rate**2 * u * v / (cosine + TINY)


@activation("erf")
class Erf(NamedTuple):
    """Error function, ``scale * erf(rate * x) + constant`` (Williams, NeurIPS 1996).

    Parameters
    ----------
    scale, rate : float
        Factors of the value and of the argument.
    constant : float
        Adds to the kernel but not to distances.

    Examples
    --------
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.activations import Erf
    >>> NTKKernel(depth=1, activation=Erf(rate=0.5)).diag([[1.0, 2.0]]).round(3)
    array([3.524])
    """

    scale: float = 1.0
    rate: float = 1.0
    constant: float = 0.0

    def fn(self, x):
        return self.scale * special.erf(self.rate * x) + self.constant

    def variance(self, v):
        return _erf_variance(self.scale, self.rate, self.constant, v)

    def features(self, v):
        return _erf_features(self.scale, self.rate, self.constant, v)

    def dual(self, q, left, right):
        return _erf_dual(self.scale, self.rate, q, left, right)


SCALE, RATE = 0.5, 1.0 / 2.4020563531719796
"""Parameters of the `Erf` that `SigmoidLike` is."""


@activation("sigmoid_like")
class SigmoidLike(NamedTuple):
    """Error function that is close to the sigmoid, ``gain (1 + erf(x / 2.4020563531719796)) / 2``.

    The constant is that of neural-tangents. A constant adds to the kernel and not to distances.

    Parameters
    ----------
    gain : float
        The upper limit.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ntk.activations import SigmoidLike
    >>> SigmoidLike().fn(np.array([-1.0, 0.0, 1.0])).round(3)
    array([0.278, 0.5  , 0.722])
    """

    gain: float = 1.0

    def fn(self, x):
        return self.gain * (SCALE * special.erf(RATE * x) + 0.5)

    def variance(self, v):
        return _erf_variance(SCALE * self.gain, RATE, 0.5 * self.gain, v)

    def features(self, v):
        return _erf_features(SCALE * self.gain, RATE, 0.5 * self.gain, v)

    def dual(self, q, left, right):
        return _erf_dual(SCALE * self.gain, RATE, q, left, right)


@activation("gelu")
class GELU(NamedTuple):
    """Gaussian error linear unit, ``gain * x * Phi(x)`` with the normal distribution function.

    Its kernel is that of Tsuchida et al., arXiv:2002.08517.

    Parameters
    ----------
    gain : float
        The slope far to the right.

    Examples
    --------
    >>> from sklearn_ntk import NTKKernel
    >>> NTKKernel(depth=1, activation="gelu").diag([[1.0, 2.0]]).round(3)
    array([12.994])
    """

    gain: float = 1.0

    def fn(self, x):
        return self.gain * x * special.ndtr(x)

    def variance(self, v):
        root = np.sqrt(1.0 + 2.0 * v)
        share = v / (1.0 + v)
        value = 0.25 + (np.arctan2(v, root) + 2.0 * share / root) / (2.0 * np.pi)
        return self.gain**2 * v * value

    def features(self, v):
        u, share, p = _arcsine_features(v)
        psi = np.arctan2(v, np.sqrt(1.0 + 2.0 * v))
        return np.sqrt(v), np.sqrt(self.variance(v)), u, share, psi, share * np.sqrt(2.0 / (u * p))

    def dual(self, q, left, right):
        a, a_new, u, s, psi_a, rest_a = left
        b, b_new, v, t, psi_b, rest_b = right
        q = settled(q, a, b, rounding_of(q))
        p = np.sqrt(1.0 + s)
        r = np.sqrt(1.0 + t)
        uv = u * v
        product = (a * u) * (b * v)
        scaled = q * u * v  # in this order no derivative underflows
        shortfall, sine, cosine, cosine0, growth = _shortfall(scaled, u, v, s, t, p, r, product)
        cov = a * b - 0.5 * q
        mean = 0.5 * (psi_a + psi_b)
        spread = a - b
        distance = q + spread * spread
        # (variance(a) + variance(b)) / 2 - dual of parallel rows, for the rational part
        u2v2 = u * u + v * v
        cosine02 = cosine0 * cosine0
        slant = s * v * v - t * u * u
        bracket = uv * (u2v2 + cosine02) - p * r * cosine02
        below = (cosine02 + p * r * uv) * p * r * cosine0
        below = below * (2.0 * np.sqrt(uv / (p * r)) * cosine0 + u2v2)
        parallel = a * b * product * (slant * (slant * bracket / (below + TINY)))
        # the rational part of parallel rows less that of these rows
        excess = 0.5 * scaled * (sine + product)
        turn = uv * (product * product * growth + excess * cosine0) / (cosine0 * cosine + TINY)
        turn = turn - a * b * product * growth
        arcs = distance * mean + 2.0 * cov * shortfall + 0.5 * (a + b) * spread * (psi_a - psi_b)
        rest = (rest_a - rest_b) ** 2 + 2.0 * (parallel + turn)
        moved = 0.25 * distance + (arcs + rest) / (2.0 * np.pi)
        gap = self.gain**2 * moved - (a_new - b_new) ** 2
        # of rows of unlike norms that is a difference of large numbers, and their kernel is not
        rational = uv * (sine * sine) / (cosine + TINY) + a * b * (product * cosine)
        dual = cov * (0.25 + (mean - shortfall) / (2.0 * np.pi)) + rational / (2.0 * np.pi)
        unlike = 1.0 * (a_new > UNLIKE * b_new) + 1.0 * (b_new > UNLIKE * a_new)
        plain = 2.0 * (a_new * b_new - self.gain**2 * dual)
        gap = (1.0 - unlike) * gap + unlike * plain
        lift = uv * uv * (1.0 + 1.0 / (cosine * cosine + TINY)) + cosine02
        slope = 0.25 + (mean - shortfall + lift * sine / (cosine + TINY)) / (2.0 * np.pi)
        return np.minimum(np.maximum(gap, 0.0), 4.0 * a_new * b_new), self.gain**2 * slope
