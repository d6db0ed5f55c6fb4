"""Hermite series of the logistic function and its relatives, at any variance.

The logistic distribution is a normal one whose standard deviation is random, twice Kolmogorov's
statistic (Andrews and Mallows, "Scale mixtures of normal distributions", JRSS B 1974). So the
sigmoid is a mean of normal distribution functions ``Phi(x / r)``, whose coefficients of order ``2 k
+ 1`` at standard deviation s are ``B_k p^(2 k + 1)`` with ``p = s / sqrt(r^2 + s^2)``, up to signs
that pairs do not see, and ``B_k^2 = C(2 k, k) / (4^k (2 k + 1) 2 pi)``. Those of the softplus, its
integral, and of the SiLU, ``x`` times it, follow from ``s E[f' h_n] = sqrt(n + 1) E[f h_(n + 1)]``
and ``x h_n = sqrt(n + 1) h_(n + 1) + sqrt(n) h_(n - 1)``.

Behind the first few orders the terms are smooth functions of the logarithm of k, so that few of
them, times weights, stand for all: a geometric quadrature, whose number of nodes grows with the
logarithm of the variance. Weights are positive, so that the kernel stays positive semidefinite.
"""

from functools import lru_cache

import numpy as np

from ..formulas.special import safe_inverse
from ._expand import BLOCK, TAIL, Expansion, on_rows, tell

N_TERMS = 417
"""Most coefficients of a row: enough for standard deviations up to 1e9."""

N_ALL = N_TERMS + 240
"""Coefficients from which follows how many are enough."""

MOST_NUMBERS = 2**11
"""Rows times coefficients that are made at a time, each a mean over some thirty numbers."""

PER_OCTAVE = 6

_FIRST = (1.0, 1.0, 1.0, 0.9999999939671088, 1.000000319054651, 0.9999924709780269)

_SECOND = (
    1.0001054296643088,
    0.9990162180651303,
    1.0065061932678294,
    0.9683965732017121,
    1.1149814091049968,
    0.6843461964095183,
)

_THIRD = (
    1.6516960442218684,
    2.131600570694375,
    1.895247787213344,
    2.0548152846625265,
    2.124327675213268,
    1.4403822659538965,
)

_FURTHER = (
    0.8186829837005511,
    1.0671122213022886,
    0.9471841091635478,
    1.027547655444586,
    1.0621318194836882,
    0.7201948188247597,
)
"""Weights of further octaves, in units of the distance of their terms."""


@lru_cache(4)
def nodes(n):
    """Numbers k of the first ``n`` terms, and ``B_k`` times the roots of their weights.

    They are 0 to 11, then in octaves: 12 to 22 by twos, 24 to 44 by fours and so on. The weights,
    by a fit of non-negative least squares, sum ``k^-a exp(-t k)``, for any ``t > 0`` and the powers
    a that occur, with relative errors of 2e-14.
    """
    octave, place = np.divmod(np.arange(n) - PER_OCTAVE, PER_OCTAVE)
    step = np.exp2(np.maximum(octave, 0))
    k = np.where(octave < 0, np.arange(n), (PER_OCTAVE + place) * step)
    first = np.array(_FIRST + _SECOND + _THIRD)
    weights = np.array(_FURTHER)[place] * step
    weights[: len(first)] = first[:n]
    return k, np.sqrt(weights * central(k) / (2.0 * np.pi * (2.0 * k + 1.0)))


def central(k):
    """``C(2 k, k) / 4^k`` for whole numbers, by products or by Stirling's series."""
    small = np.arange(1.0, 40.0)
    products = np.cumprod(np.append(1.0, (small - 0.5) / small))
    w = k + 0.25
    v = 1.0 / (w * w)
    series = 1.0 + v * (-1 / 64 + v * (21 / 8192 + v * (-671 / 524288 + v * 180323 / 134217728)))
    whole = np.minimum(k, len(products) - 1).astype(int)
    return np.where(k < len(products), products[whole], series / np.sqrt(np.pi * w))


@lru_cache(1)
def scales():
    """Standard deviations of the normal distributions, and their weights.

    The trapezoid rule in the logarithm, where the density falls off doubly exponentially; the error
    of the sigmoid is 2e-15.
    """
    step = 0.12
    k = np.exp(step * np.arange(-15, 13))
    j = np.arange(1, 12)[:, None]
    signs = 1.0 - 2.0 * (j % 2 == 0)
    right = 8.0 * k * (signs * j**2 * np.exp(-2.0 * (j * k) ** 2)).sum(axis=0)
    m = (np.pi * (2 * j - 1)) ** 2 / 8.0
    left = np.sqrt(2.0 * np.pi) / k**2 * (np.exp(-m / k**2) * (2.0 * m / k**2 - 1.0)).sum(axis=0)
    return 2.0 * k, step * k * np.where(k > 1.0, right, left)


class Terms:
    """What the coefficients of rows are made of; arrays are (terms, rows).

    ``share`` is ``s / sqrt(1 + s^2)``. ``odd`` are the coefficients of ``E Phi(x / r)`` of the
    orders ``order = 2 k + 1`` over the share, times the roots of the weights of the terms; ``once``
    and ``twice`` are the same with a factor ``q = 1 - p^2`` or its square inside the mean. The rate
    of p along ``log s^2`` is ``p q / 2``, that of q is ``-p^2 q``.
    """

    def __init__(self, std, narrow, n):
        (k, size), (r, self.density) = nodes(n), scales()
        r, s = r / narrow, std[:, None]
        longer, unit = np.hypot(r, s), np.hypot(1.0, s)
        self.share, self.ratio = std / unit[:, 0], unit / longer
        powers = np.exp(-k[:, None] * np.log1p((r / s) ** 2)[:, None, :])  # of p^2
        self.order = (2.0 * k + 1.0)[:, None]
        q, factors = (r / longer) ** 2, self.density * self.ratio
        means = powers @ np.stack([factors, q * factors, q * q * factors], axis=2)
        self.odd, self.once, self.twice = size[:, None] * means.transpose(2, 1, 0)


def odd_orders(n):
    """Orders of ``n`` coefficients of the sigmoid."""
    return np.append(0.0, 2.0 * nodes(n)[0] + 1.0)[:n]


def even_orders(n):
    """Orders of ``n`` coefficients of the softplus and of the SiLU."""
    return np.append([0.0, 1.0], 2.0 * nodes(n)[0] + 2.0)[:n]


def expand_mixture(act, make, level, variance):
    """`Expansion` of ``act``; ``level`` is its value at zero.

    A function makes of standard deviations, and the number of coefficients, the amplitude, the
    coefficients in units of it and their rates along ``log s^2``, in units of it, too.
    """

    def expand(std):
        n_terms = _count_terms(act, make, std.max())
        step = max(1, MOST_NUMBERS // n_terms)
        parts = (std[i : i + step] for i in range(0, max(1, len(std)), step))
        rows = [_assemble(part, *make(part, n_terms)) for part in parts]
        return Expansion(*(np.concatenate(field, axis=-1) for field in zip(*rows, strict=True)))

    return on_rows(str(act), expand, level, variance)


def _assemble(std, amplitude, a, da):
    """`Expansion` of coefficients."""
    size = np.sqrt((a * a).sum(axis=0))
    inverse = safe_inverse(size)
    unit = a * inverse
    unit[0] += size == 0.0
    rate = (unit * da).sum(axis=0)
    new = amplitude * size
    return Expansion(new, unit, new / std, amplitude * rate, (da - unit * rate) * inverse)


def _count_terms(act, make, std):
    """Number of coefficients that rows with this standard deviation, or less, need."""
    order, a = act.orders(N_ALL), make(np.array([std]), N_ALL)[1][:, 0]
    energies = np.stack([a * a, order * a * a])
    total = energies.sum(axis=1, keepdims=True)
    tails = energies[:, ::-1].cumsum(axis=1)[:, ::-1] / (total + (total == 0.0))
    enough = np.flatnonzero(tails[1, 1 : N_TERMS + 1 : BLOCK] <= TAIL)
    if len(enough):
        return 1 + BLOCK * max(int(enough[0]), 1)
    tell(str(act), std, N_TERMS - 1, *tails[:, N_TERMS])
    return N_TERMS
