"""Activation functions as immutable values: each knows its function and its dual kernel.

An activation ``f`` acts on pairs of Gaussian pre-activations ``(u, v)`` with variances ``a^2`` and
``b^2`` and gap ``q = 2 (a b - cov(u, v))`` (see `_special`). A class needs at least one field and

``fn(x)``
    the function itself;
``variance(v)``
    ``E[f(u)^2]`` for ``u ~ N(0, v)``;
``features(v)``
    a tuple of up to six arrays: what `dual` needs to know of one row. The first two are the
    standard deviations before and after the activation;
``dual(q, left, right)``
    the gap after the activation and the slope ``E[f'(u) f'(v)]``, from the gap before it and the
    features of the two rows.

The last three are formulas in the sense of `_trace`: arithmetic, comparisons and NumPy ufuncs, free
of branches. They run on arrays as they stand; compiled code and the derivatives for gradients are
made from them. Tests of an activation follow from the decorator `activation`.

References
----------
Y. Cho and L. Saul, "Kernel methods for deep learning", NeurIPS 2009 (rectifiers).
C. Williams, "Computing with infinite networks", NeurIPS 1996 (erf, Gaussian).
R. Tsuchida, F. Roosta and M. Gallagher, "Invariance of weight distributions in rectified MLPs",
ICML 2018 (leaky rectifiers); R. Tsuchida et al., arXiv:2002.08517 (GELU).
A. Rahimi and B. Recht, "Random features for large-scale kernel machines", NeurIPS 2007 (RBF).
"""

import difflib
import numbers
from typing import NamedTuple

import numpy as np
from scipy import special

from ._special import TINY, angle, arc
from ._values import value

ACTIVATIONS = {}
"""Registered classes by their snake_case name."""


def activation(name, **domains):
    """Register a class under ``name``; ``domains`` names a test and a wording for each field."""

    def register(cls):
        cls.name = name
        cls.domains = domains
        cls.__str__ = lambda self: str(self.name) if self == cls() else repr(self)
        ACTIVATIONS[name] = cls
        return value(cls)

    return register


def as_activation(spec):
    """Return the activation that ``spec``, a registered name or an activation, stands for.

    Examples
    --------
    >>> from sklearn_ntk.activations import as_activation
    >>> as_activation("leaky_relu")
    LeakyReLU(leak=0.01)
    """
    if isinstance(spec, str):
        if spec not in ACTIVATIONS:
            near = difflib.get_close_matches(spec, ACTIVATIONS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"Unknown activation {spec!r}: choose one of {', '.join(sorted(ACTIVATIONS))}, "
                f"or pass an object of sklearn_ntk.activations.{hint}"
            )
        return ACTIVATIONS[spec]()
    if isinstance(spec, type) or getattr(type(spec), "name", None) not in ACTIVATIONS:
        raise TypeError(
            f"activation must be a name or an object of sklearn_ntk.activations, such as "
            f"'relu' or ReLU(); got {spec!r}."
        )
    return type(spec)(*map(_checked, [spec] * len(spec), spec._fields, spec))


def _checked(owner, field, number):
    """A parameter of an activation as a float, or an error that says what it must be."""
    test, wording = owner.domains.get(field, (np.isfinite, "a finite number"))
    if isinstance(number, bool) or not isinstance(number, numbers.Real) or not test(number):
        raise ValueError(f"{field} of {type(owner).__name__} must be {wording}; got {number!r}.")
    return float(number)


_POSITIVE = (lambda x: np.isfinite(x) and x > 0, "a positive number")
_NEGATIVE = (lambda x: np.isfinite(x) and x < 0, "a negative number")


def _safe_inverse(x):
    """Elementwise ``1 / x``, and zero where ``x`` is zero."""
    return (x != 0.0) / (x + (x == 0.0))


# --- Rectifiers: low * min(x, 0) + high * max(x, 0), homogeneous of degree one ---------------------


def _rectifier_features(low, high, v):
    std = np.sqrt(v)
    return std, np.sqrt(0.5 * (low * low + high * high)) * std, 0.5 * _safe_inverse(std)


def _rectifier_dual(low, high, q, left, right):
    gain = 0.5 * (low * low + high * high)
    bend = 0.5 * (high - low) ** 2 / (np.pi * gain + TINY)
    h = q * left[2] * right[2]
    theta, wedge = arc(h)
    h = np.minimum(h, 1.0)
    gap = 2.0 * gain * left[0] * right[0] * (2.0 * h - bend * wedge)
    return gap, gain * (1.0 - bend * theta)


@activation("relu")
class ReLU(NamedTuple):
    """Rectified linear unit, ``gain * max(x, 0)``.

    Examples
    --------
    >>> from sklearn_ntk.activations import ReLU
    >>> float(ReLU().fn(-2.0)), float(ReLU().variance(2.0))
    (0.0, 1.0)
    """

    gain: float = 1.0

    def fn(self, x):
        return self.gain * np.maximum(x, 0.0)

    def variance(self, v):
        return 0.5 * self.gain**2 * v

    def features(self, v):
        return _rectifier_features(0.0, self.gain, v)

    def dual(self, q, left, right):
        return _rectifier_dual(0.0, self.gain, q, left, right)


@activation("leaky_relu")
class LeakyReLU(NamedTuple):
    """Leaky rectified linear unit, ``max(x, 0) + leak * min(x, 0)``."""

    leak: float = 0.01

    def fn(self, x):
        return np.maximum(x, 0.0) + self.leak * np.minimum(x, 0.0)

    def variance(self, v):
        return 0.5 * (1.0 + self.leak**2) * v

    def features(self, v):
        return _rectifier_features(self.leak, 1.0, v)

    def dual(self, q, left, right):
        return _rectifier_dual(self.leak, 1.0, q, left, right)


@activation("abs")
class Abs(NamedTuple):
    """Absolute value, ``gain * |x|``."""

    gain: float = 1.0

    def fn(self, x):
        return self.gain * np.abs(x)

    def variance(self, v):
        return self.gain**2 * v

    def features(self, v):
        return _rectifier_features(-self.gain, self.gain, v)

    def dual(self, q, left, right):
        return _rectifier_dual(-self.gain, self.gain, q, left, right)


@activation("identity")
class Identity(NamedTuple):
    """No activation, ``gain * x``: a deep linear network."""

    gain: float = 1.0

    def fn(self, x):
        return self.gain * x

    def variance(self, v):
        return self.gain**2 * v

    def features(self, v):
        std = np.sqrt(v)
        return std, np.abs(self.gain) * std

    def dual(self, q, left, right):
        return self.gain**2 * q, self.gain**2 + 0.0 * q


# --- Arcsine kernels: erf and GELU ----------------------------------------------------------------
#
# Both contain psi = asin(cov / sqrt((1 + a^2)(1 + b^2))). With u = 1 / sqrt(1 + a^2) everything is
# scaled by u_a u_b, so that no norm overflows. `_shortfall` is (psi(a, a) + psi(b, b)) / 2 - psi as
# the angle of one complex number all of whose parts are sums of positive terms.


def _arcsine_features(v):
    """Standard deviation, ``u = (1 + v)^(-1/2)``, ``s = v u^2`` and ``p = sqrt(2 - u^2)``."""
    share = v / (1.0 + v)
    u = 1.0 / np.sqrt(1.0 + v)
    return u, share, np.sqrt(1.0 + share)


def _shortfall(q, u, v, s, t, p, r, product):
    """Parts of the arcsine kernel of two rows, whose features are ``(u, s, p)`` and ``(v, t, r)``.

    ``product`` is ``a b u v`` and ``q`` the gap times ``u v``. Returns the shortfall, the sine and
    cosine of psi, the cosine at gap zero, and the growth of the cosine from gap zero.
    """
    sine = product - 0.5 * q
    excess = 0.5 * q * (product + sine)
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


@activation("erf")
class Erf(NamedTuple):
    """Error function, ``scale * erf(rate * x)``.

    Examples
    --------
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.activations import Erf
    >>> NTKKernel(depth=1, activation=Erf(rate=0.5)).diag([[1.0, 2.0]]).round(3)
    array([1.757])
    """

    scale: float = 1.0
    rate: float = 1.0

    def fn(self, x):
        return self.scale * special.erf(self.rate * x)

    def variance(self, v):
        v = 2.0 * self.rate**2 * v
        return (2.0 / np.pi) * self.scale**2 * np.arctan2(v, np.sqrt(1.0 + 2.0 * v))

    def features(self, v):
        return np.sqrt(v), np.sqrt(self.variance(v)), *_arcsine_features(2.0 * self.rate**2 * v)

    def dual(self, q, left, right):
        a, a_new, u, s, p = left[0], left[1], left[2], left[3], left[4]
        b, b_new, v, t, r = right[0], right[1], right[2], right[3], right[4]
        k = 2.0 * self.rate**2
        shortfall, _, cosine, _, _ = _shortfall(
            k * (q * u * v), u, v, s, t, p, r, k * ((a * u) * (b * v))
        )
        gain = (4.0 / np.pi) * self.scale**2
        gap = gain * shortfall - (a_new - b_new) ** 2
        return np.maximum(gap, 0.0), gain * self.rate**2 * u * v / (cosine + TINY)


@activation("gelu")
class GELU(NamedTuple):
    """Gaussian error linear unit, ``gain * x * Phi(x)`` with the normal distribution function."""

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
        p = np.sqrt(1.0 + s)
        r = np.sqrt(1.0 + t)
        uv = u * v
        product = (a * u) * (b * v)
        scaled = q * uv
        shortfall, sine, cosine, cosine0, growth = _shortfall(scaled, u, v, s, t, p, r, product)
        cov = a * b - 0.5 * q
        mean = 0.5 * (psi_a + psi_b)
        spread = a - b
        distance = q + spread * spread
        # (variance(a) + variance(b)) / 2 - dual of parallel rows, for the rational part
        u2v2 = u * u + v * v
        cosine02 = cosine0 * cosine0
        slant = product * (s * v * v - t * u * u) / uv
        bracket = u2v2 * u2v2 / (cosine02 + p * r * uv) - cosine02
        below = p * r * cosine0 * (2.0 * np.sqrt(uv / (p * r)) * cosine0 + u2v2)
        parallel = slant * slant * bracket / (below + TINY)
        # the rational part of parallel rows less that of these rows
        excess = 0.5 * scaled * (product + sine)
        turn = uv * (product * product * growth + excess * cosine0) / (cosine0 * cosine + TINY)
        turn = turn - a * b * product * growth
        arcs = distance * mean + 2.0 * cov * shortfall + 0.5 * (a + b) * spread * (psi_a - psi_b)
        rest = (rest_a - rest_b) ** 2 + 2.0 * (parallel + turn)
        moved = 0.25 * distance + (arcs + rest) / (2.0 * np.pi)
        gap = self.gain**2 * moved - (a_new - b_new) ** 2
        lift = uv * uv * (1.0 + 1.0 / (cosine * cosine + TINY)) + cosine02
        slope = 0.25 + (mean - shortfall + lift * sine / (cosine + TINY)) / (2.0 * np.pi)
        return np.maximum(gap, 0.0), self.gain**2 * slope


# --- Waves: sine, cosine and the RBF feature map --------------------------------------------------


def _wave_variance(scale, frequency, twist, v):
    """Variance of ``scale * sin(frequency u + shift)``; ``twist = cos(2 shift)``."""
    return 0.5 * scale**2 * ((1.0 - twist) - twist * np.expm1(-2.0 * frequency**2 * v))


def _wave_features(scale, frequency, twist, v):
    std_new = np.sqrt(np.maximum(_wave_variance(scale, frequency, twist, v), 0.0))
    return np.sqrt(v), std_new, np.exp(-(frequency**2) * v)


def _wave_dual(scale, frequency, twist, q, left, right):
    spread = left[0] - right[0]
    half = 0.5 * frequency**2 * (q + spread * spread)
    near = -np.expm1(-half)
    total = frequency**2 * (left[0] * left[0] + right[0] * right[0])
    far = np.exp(half - total)
    moved = 2.0 * near * (1.0 + twist * far) - twist * (left[2] - right[2]) ** 2
    gap = 0.5 * scale**2 * moved - (left[1] - right[1]) ** 2
    slope = 0.5 * (scale * frequency) ** 2 * ((1.0 - near) + twist * far)
    return np.maximum(gap, 0.0), slope


@activation("sin")
class Sin(NamedTuple):
    """Sine wave, ``scale * sin(frequency * x + shift)``."""

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
    """Cosine wave, ``scale * cos(frequency * x + shift)``."""

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


@activation("rbf", gamma=_POSITIVE)
class RBF(NamedTuple):
    """Random Fourier feature ``sqrt(2) sin(sqrt(2 gamma) x + pi / 4)``; its dual is ``exp(-gamma D)``.

    ``D`` is the mean squared distance of the pre-activations.
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
        near = -np.expm1(-self.gamma * (q + spread * spread))
        return 2.0 * near, 2.0 * self.gamma * (1.0 - near)


@activation("gaussian", rate=_NEGATIVE)
class Gaussian(NamedTuple):
    """Bell curve, ``scale * exp(rate * x^2)`` with a negative rate."""

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
        rise = share * spread * u * v + scaled * (2.0 * product - scaled) / (u * v)
        ratio = 1.0 + rise
        root = np.sqrt(ratio)
        mean = a_new * b_new
        slope = k * (product - scaled) * mean / (ratio * root)
        return 2.0 * mean * rise / (ratio + root), slope
