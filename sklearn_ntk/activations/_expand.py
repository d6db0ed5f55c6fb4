"""Hermite coefficients of activations that have no closed dual.

The coefficients of ``f`` at standard deviation ``s`` are ``a_n = E[f(s z) h_n(z)]`` with normalised
Hermite polynomials, and ``E[f(u) f(v)] = sum a_n(s) a_n(t) rho^n`` (Daniely, Frostig and Singer,
"Toward deeper understanding of neural networks", NeurIPS 2016). By Stein's lemma ``d a_n / d log s
= n a_n + sqrt((n + 1) (n + 2)) a_{n+2}``: the derivative of ``f`` is not needed.

The trapezoid rule converges exponentially for functions that are analytic in a strip around the
real axis (Trefethen and Weideman, "The exponentially convergent trapezoidal rule", SIAM Review
2014): with a step h it integrates angular frequencies up to ``2 pi / h``. The normal density needs
about 6, the highest Hermite function 16, and a function whose nearest pole has the distance d from
the real axis 36 / d.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from .._runtime.notices import notice
from .._values import value
from ..formulas.special import safe_inverse

N_TERMS = 257
"""Most coefficients of a row, those of the orders 0 to 256."""

BLOCK = 8
"""The number of coefficients is one plus a multiple of this."""

TAIL = 1e-14
"""Share of ``sum_n n a_n^2``, the slope of equal rows, that truncation may leave out."""

REACH = 16.0
"""Largest node of the quadrature, where the root of the normal density is 1e-28."""

MOST_NODES = 4096
"""Most nodes on either side of zero."""

SOME_NODES = 32
"""The number of nodes is a multiple of this, so that many rows share tables."""

LEAST_STD = 1e-15
"""Standard deviation below which a function that is not zero at zero is a constant."""

TINY_STD = 1e-150
"""Standard deviation below which all other functions are linear."""

_CHUNK = 512
"""Rows whose coefficients are computed at a time."""

_SOFT = 1e-12
"""Added under the root of `close`, whose derivative would be unbounded at zero."""

_NOTICED = 1e-6
"""Relative error of the NTK above which `warn_of_truncation` warns."""


@value
class Expansion(NamedTuple):
    """Hermite coefficients of an activation for n rows with standard deviations ``s`` before it.

    ``std`` (n,) is the standard deviation behind the activation, ``unit`` (n_terms, n) the
    coefficients divided by it, whose squares sum to one, and ``gain = std / s``; ``dstd`` and
    ``dunit`` are derivatives with respect to ``log s^2``.
    """

    std: Any
    unit: Any
    gain: Any
    dstd: Any
    dunit: Any


class Sums(NamedTuple):
    """Hermite coefficients (n_terms + 2, n) in units of ``amplitude`` (n,), and second moments.

    In units of ``amplitude^2``, ``energy`` (n,) is ``E f^2`` and ``moment`` its derivative with
    respect to ``log s^2``; ``odd`` and ``odd_moment`` are the same of the odd part of f.
    """

    amplitude: Any
    coefficients: Any
    energy: Any
    moment: Any
    odd: Any = 0.0
    odd_moment: Any = 0.0


def assemble(std, sums, n_terms):
    """`Expansion` of the first ``n_terms`` coefficients, for standard deviations ``std`` > 0."""
    a, order = sums.coefficients, np.arange(n_terms, dtype=float)[:, None]
    da = order * a[:n_terms]
    further = a[2 : n_terms + 2]
    n = len(further)
    da[:n] += np.sqrt((order[:n] + 1.0) * (order[:n] + 2.0)) * further
    size = np.sqrt(sums.energy)
    inverse = safe_inverse(size)
    dlog = 0.5 * sums.moment * inverse * inverse
    unit = a[:n_terms] * inverse
    unit[0] += size == 0.0
    dunit = 0.5 * da * inverse - unit * dlog
    new = sums.amplitude * size
    return Expansion(new, unit, new / std, new * dlog, dunit)


def close(rows, sums):
    """Add the energy lost to truncation to the last even and the last odd coefficient.

    That makes equal and opposite rows exact, and keeps the kernel positive semidefinite.
    """
    unit, dunit = rows.unit.copy(), rows.dunit.copy()
    energy = sums.energy + (sums.energy == 0.0)
    share, rate = sums.odd / energy, sums.odd_moment / energy
    rate = rate - share * sums.moment / energy
    last = len(unit) - 1  # even
    for n, target, speed in ((last, 1.0 - share, -rate), (last - 1, share, rate)):
        u, du = unit[n % 2 : n : 2], dunit[n % 2 : n : 2]
        lack = np.maximum(target - (u * u).sum(axis=0), 0.0)
        speed = speed - 2.0 * (u * du).sum(axis=0)
        root = np.sqrt(lack + _SOFT)  # the root of the lack, without the noise of small ones
        unit[n], dunit[n] = lack / root, speed / root * (1.0 - 0.5 * lack / root**2)
    return rows._replace(unit=unit, dunit=dunit)


def normalize(rows):
    """`Expansion` whose coefficients have the norm one to rounding, not just to truncation.

    Then opposite rows of an odd function stay opposite.
    """
    inverse = 1.0 / np.sqrt((rows.unit * rows.unit).sum(axis=0))
    unit, dunit = rows.unit * inverse, rows.dunit * inverse
    return rows._replace(unit=unit, dunit=dunit - (unit * dunit).sum(axis=0) * unit)


# --- Quadrature -----------------------------------------------------------------------------------


@lru_cache(8)
def hermite_functions(half):
    """Table (N_TERMS + 2, half + 1) of ``h_n(z) sqrt(density(z))``, normalised Hermite functions.

    The ``half + 1`` nodes ``z`` are equidistant from 0 to `REACH`.
    """
    z, count = REACH / half * np.arange(half + 1), N_TERMS + 2
    table = np.empty((count, len(z)))
    table[0] = (2.0 * np.pi) ** -0.25 * np.exp(-0.25 * z * z)
    table[1:2] = z * table[0]
    for n in range(2, count):
        table[n] = (z * table[n - 1] - np.sqrt(n - 1.0) * table[n - 2]) / np.sqrt(n)
    table.setflags(write=False)
    return table


def expand_smooth(act, moved, level, pole, variance):
    """`Expansion` of ``level + moved(x)``, a function analytic within ``pole`` of the real axis."""

    def sums_of(std):
        frequency = 23.0 + 36.0 * std.max() / pole  # the highest one in the integrands
        n_steps = REACH * frequency / (2.0 * np.pi)
        half = min(SOME_NODES * int(np.ceil(n_steps / SOME_NODES)), MOST_NODES)
        return sums_on_grid(moved, level, std, half)[0]

    return expand_rows(str(act), sums_of, level, variance)


def sums_on_grid(moved, level, std, half):
    """`Sums` of ``level + moved(x)`` by the trapezoid rule, and its largest term at the last node.

    ``half`` is the number of nodes on either side of zero. Even and odd parts of the function are
    integrated over the positive side.
    """
    step = REACH / half
    z = step * np.arange(half + 1)
    table = hermite_functions(half)
    x = std[:, None] * z
    right, left = moved(x) * table[0], moved(-x) * table[0]
    size = np.maximum(np.abs(right).max(axis=1), np.abs(left).max(axis=1))
    amplitude = np.maximum(size, abs(level))
    amplitude += amplitude == 0.0
    right /= amplitude[:, None]
    left /= amplitude[:, None]
    weight = np.where(z == 0.0, 0.5, 1.0) * step
    weights = 0.5 * np.stack([weight, 0.5 * weight * (z * z - 1.0)], axis=1)
    a, sums = np.empty((N_TERMS + 2, len(std))), []
    for parity, values in enumerate((right + left, right - left)):  # even, then odd part
        sums.append((values * values) @ weights)
        a[parity::2] = table[parity::2] @ (weight * values).T
    base = level / amplitude
    energy, moment = (sums[0] + sums[1]).T
    energy = energy + base * (2.0 * a[0] + base)
    moment = moment + np.sqrt(2.0) * base * a[2]
    a[0] += base
    edge = max(np.abs(right[:, -1]).max(), np.abs(left[:, -1]).max())
    return Sums(amplitude, a, energy, moment, *sums[1].T), edge


def expand_rows(name, sums_of, level, variance):
    """`Expansion` of rows of any shape, by a function ``sums_of(std)`` that returns `Sums`."""

    def expand(std):
        groups = _groups_of_similar(std)
        sums = [sums_of(std[group]) for group in groups]
        matter = [(std[group] > LEAST_STD) | (level == 0.0) for group in groups]
        n_terms, errors = _count_terms(sums, matter)
        rows = [assemble(std[group], s, n_terms) for group, s in zip(groups, sums, strict=True)]
        if errors is not None:
            warn_of_truncation(name, std.max(), N_TERMS - 1, *errors)
            rows = [close(*pair) for pair in zip(rows, sums, strict=True)]
        if len(groups) == 1:
            return normalize(rows[0])
        back = np.argsort(np.concatenate(groups))
        fields = zip(*rows, strict=True)
        return normalize(
            Expansion(*(np.concatenate(field, axis=-1)[..., back] for field in fields))
        )

    return on_rows(name, expand, level, variance)


def on_rows(name, expand, level, variance):
    """`Expansion` of variances of any shape, by ``expand(std)`` for (n,) positive finite ones.

    ``level`` is the value of the activation at zero. Zero variances are replaced by tiny ones.
    """
    shape, std = np.shape(variance), np.sqrt(np.ravel(variance))
    is_finite = np.isfinite(std)
    rows = expand(np.maximum(np.where(is_finite, std, 1.0), LEAST_STD if level else TINY_STD))
    new = np.where(is_finite, rows.std, np.inf)  # the caller checks for overflow
    rows = rows._replace(std=new if level else new * (std != 0.0))
    return Expansion(*(x.reshape((*x.shape[:-1], *shape)) for x in rows))


def _groups_of_similar(std):
    """Index arrays of groups of rows whose standard deviations differ by at most a factor of 2."""
    order = np.argsort(std, kind="stable")
    ordered, groups, start = std[order], [], 0
    while start < len(std):
        end = np.searchsorted(ordered, 2.0 * max(ordered[start], 0.5), side="right")
        groups.append(order[start : min(start + _CHUNK, end)])
        start += len(groups[-1])
    return groups if len(groups) > 1 else [np.arange(len(std))]


def _count_terms(sums, matter):
    """Number of coefficients to keep and, if too few are known, relative errors of K and T.

    ``matter`` is false for rows of constants, whose terms beyond the first are all rounding.
    """
    order = np.arange(N_TERMS + 2)
    energies, slopes, tails = [], [], []
    for s, matters in zip(sums, matter, strict=True):
        energies.append(s.coefficients**2 * (matters / (s.energy + (s.energy == 0.0))))
        total = order @ energies[-1]
        slopes.append(order[:, None] * energies[-1] / (total + (total == 0.0)))
        blocks = np.add.reduceat(slopes[-1], order[1::BLOCK], axis=0)
        tails.append(blocks[::-1].cumsum(axis=0)[::-1].max(axis=1))
    enough = np.flatnonzero(np.max(tails, axis=0) <= TAIL)
    if len(enough):
        return 1 + BLOCK * max(int(enough[0]), 1), None
    lost = max(np.max(1.0 - e[:N_TERMS].sum(axis=0)) for e in energies)
    return N_TERMS, (lost, max(_extrapolated_tail(e) for e in slopes))


def _extrapolated_tail(energies):
    """Sum of the terms beyond these, if sums over octaves of orders are a geometric series."""
    half = N_TERMS // 2
    last, before = energies[half:N_TERMS].sum(axis=0), energies[half // 2 : half].sum(axis=0)
    ratio = np.minimum(last / (before + (before == 0.0)), 0.99)
    return np.max(last * ratio / (1.0 - ratio))


def warn_of_truncation(name, std, n_terms, lost, lost_slope):
    """Warn of a series of too few terms, if the error of the NTK exceeds `_NOTICED`.

    ``lost`` and ``lost_slope`` are relative errors of the NNGP kernel and of the NTK.
    """
    if lost_slope > _NOTICED:
        notice(
            lost_slope,
            f"The Hermite series of {name} has {n_terms} terms, too few for pre-activations "
            f"with standard deviations up to {std:.3g}: relative errors may reach {lost:.0e} in "
            f"the NNGP and {min(lost_slope, 1.0):.0e} in the NTK; scale the data down or take a "
            f"smaller weight_var.",
        )
