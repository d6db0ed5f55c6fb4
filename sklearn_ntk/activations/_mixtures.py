"""Hermite series of the logistic function and its relatives, at any variance.

The logistic distribution is a normal one whose standard deviation is random, twice Kolmogorov's
statistic (Andrews and Mallows, "Scale mixtures of normal distributions", JRSS B 1974). So the
sigmoid is a mean of normal distribution functions ``Phi(x / r)`` over r. Their Hermite coefficients
of order ``2 k + 1`` at standard deviation s are ``B_k p^(2 k + 1)`` with ``p = s / sqrt(r^2 +
s^2)``, up to signs that cancel in products, and ``B_k^2 = C(2 k, k) / (4^k (2 k + 1) 2 pi)``. Those
of the softplus, its integral, and of the SiLU, ``x`` times it, follow from ``s E[f' h_n] =
sqrt(n + 1) E[f h_(n + 1)]`` and ``x h_n = sqrt(n + 1) h_(n + 1) + sqrt(n) h_(n - 1)``.

Beyond the first few orders the terms are smooth functions of ``log k``, so that the sum over all k
is a weighted sum over few: a quadrature with geometric nodes, whose number grows with the logarithm
of the variance. Weights are positive, so that the kernel stays positive semidefinite.
"""

from functools import lru_cache

import numpy as np

from ..formulas.special import safe_inverse
from ._expand import BLOCK, TAIL, Expansion, on_rows, warn_of_truncation

N_TERMS = 417
"""Most coefficients of a row: enough for standard deviations up to 1e9."""

N_ALL = N_TERMS + 240
"""Number of coefficients whose sum stands for the whole series where the truncation is chosen."""

MOST_NUMBERS = 2**11
"""Rows times coefficients computed at a time, each a mean over the scales r."""

PER_OCTAVE = 6
"""Nodes k in each octave, from ``6 2^j`` to ``12 2^j``, at a distance of ``2^j``."""

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
"""Weights of the nodes of all further octaves, in units of the distance of these nodes."""


@lru_cache(4)
def nodes(n):
    """Nodes ``k`` (n,), and ``B_k`` times the roots of their weights.

    The nodes are 0 to 11, then 12 to 22 by twos, 24 to 44 by fours and so on. With the weights,
    from a fit by non-negative least squares, sums of ``k^-a exp(-t k)`` over all k have relative
    errors of 2e-14, for any ``t > 0`` and the powers a that occur.
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
    index = np.minimum(k, len(products) - 1).astype(int)
    return np.where(k < len(products), products[index], series / np.sqrt(np.pi * w))


@lru_cache(1)
def scales():
    """Standard deviations ``r`` of the normal distributions of the mixture, and their weights.

    The trapezoid rule in ``log r``, where the density falls off doubly exponentially; the error of
    the sigmoid is 2e-15.
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
    """Means over ``r`` from which the coefficients of rows follow, arrays (n_terms, n_rows).

    ``share`` (n_rows,) is ``s / sqrt(1 + s^2)``. ``odd`` are the coefficients of the mean of
    ``Phi(x / r)`` of the orders ``order = 2 k + 1``, divided by the share, times the roots of the
    weights of the nodes; ``once`` and ``twice`` are the same with a factor ``q = 1 - p^2`` or its
    square inside the mean. Derivatives with respect to ``log s^2`` are ``p q / 2`` of p and ``-p^2
    q`` of q. The scales r are divided by ``narrow``.
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
    """`Expansion` of ``act`` for rows of these variances; ``level`` is its value at zero.

    ``make(std, n_terms)`` returns an amplitude (n,), the coefficients (n_terms, n), and their
    derivatives with respect to ``log s^2``, both in units of the amplitude.
    """

    def expand(std):
        n_terms = _count_terms(act, make, std.max())
        step = max(1, MOST_NUMBERS // n_terms)
        slabs = (std[i : i + step] for i in range(0, max(1, len(std)), step))
        rows = [_assemble(slab, *make(slab, n_terms)) for slab in slabs]
        return Expansion(*(np.concatenate(field, axis=-1) for field in zip(*rows, strict=True)))

    return on_rows(str(act), expand, level, variance)


def _assemble(std, amplitude, a, da):
    """`Expansion` of the coefficients ``a`` and their derivatives ``da``, as ``make`` returns."""
    size = np.sqrt((a * a).sum(axis=0))
    inverse = safe_inverse(size)
    unit = a * inverse
    unit[0] += size == 0.0
    rate = (unit * da).sum(axis=0)
    new = amplitude * size
    return Expansion(new, unit, new / std, amplitude * rate, (da - unit * rate) * inverse)


def _count_terms(act, make, std):
    """Number of coefficients that rows with standard deviations up to ``std`` need."""
    order, a = act.orders(N_ALL), make(np.array([std]), N_ALL)[1][:, 0]
    energies = np.stack([a * a, order * a * a])
    total = energies.sum(axis=1, keepdims=True)
    tails = energies[:, ::-1].cumsum(axis=1)[:, ::-1] / (total + (total == 0.0))
    enough = np.flatnonzero(tails[1, 1 : N_TERMS + 1 : BLOCK] <= TAIL)
    if len(enough):
        return 1 + BLOCK * max(int(enough[0]), 1)
    warn_of_truncation(str(act), std, N_TERMS - 1, *tails[:, N_TERMS])
    return N_TERMS
