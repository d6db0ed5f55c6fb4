"""Hermite coefficients of activations that have no closed dual.

The coefficients of ``f`` at standard deviation ``s`` are ``a_n = E[f(s z) h_n(z)]`` with normalised
Hermite polynomials, and ``E[f(u) f(v)] = sum a_n(s) a_n(t) rho^n`` (Daniely, Frostig and Singer,
"Toward deeper understanding of neural networks", NeurIPS 2016). By Stein's lemma ``d a_n / d log s
= n a_n + sqrt((n + 1) (n + 2)) a_{n+2}``: nobody needs the derivative of ``f``.

The trapezoid rule converges exponentially for functions that are analytic in a strip around the
real axis (Trefethen and Weideman, "The exponentially convergent trapezoidal rule", SIAM Review
2014): a step h integrates waves up to ``2 pi / h``. The weight needs 6 of it, the highest Hermite
function 16, and a function whose nearest pole has the distance d from the axis 36 / d.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from .._runtime.notices import notice
from .._values import value
from ..formulas.special import safe_inverse

N_TERMS = 257
"""Most coefficients of a row; compiled loops take those after the first by the block."""

BLOCK = 8

TAIL = 1e-14
"""Share of the coefficients, in the slope of equal rows, that may be left out."""
REACH = 16.0
"""Nodes end here, where the root of the weight is 1e-28."""

MOST_NODES = 4096
"""On either side of zero."""

SOME_NODES = 32
"""Their number is a multiple of this, so that many rows share tables."""

LEAST_STD = 1e-15
"""Standard deviation below which a function that is not zero at zero is a constant."""

TINY_STD = 1e-150
"""Standard deviation below which all other functions are linear."""

_CHUNK = 512
_SOFT = 1e-12
_NOTICED = 1e-6


@value
class Expansion(NamedTuple):
    """Expansion of an activation at the standard deviations ``s`` of rows.

    ``std`` is that after the activation, ``unit`` holds the coefficients over it, and ``gain`` is
    ``std / s``; ``dstd`` and ``dunit`` are rates along ``log s^2``.
    """

    std: Any
    unit: Any
    gain: Any
    dstd: Any
    dunit: Any


class Sums(NamedTuple):
    """Coefficients of rows in units of ``amplitude``, and what the truncation of them needs.

    ``energy`` is ``E f^2`` and ``moment`` its rate along ``log s^2``, in units of the square, and
    ``odd`` and ``odd_moment`` are the same of the odd part of f.
    """

    amplitude: Any
    coefficients: Any
    energy: Any
    moment: Any
    odd: Any = 0.0
    odd_moment: Any = 0.0


def assemble(std, sums, n_terms):
    """`Expansion` with ``n_terms`` coefficients; ``std`` must not be zero."""
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
    """Put what the coefficients lack of the norm into the last even and the last odd of them.

    That makes equal and opposite rows exact, and leaves the kernel positive semidefinite.
    """
    unit, dunit = rows.unit.copy(), rows.dunit.copy()
    energy = sums.energy + (sums.energy == 0.0)
    share, rate = sums.odd / energy, sums.odd_moment / energy
    rate = rate - share * sums.moment / energy
    last = len(unit) - 1  # even
    for n, whole, speed in ((last, 1.0 - share, -rate), (last - 1, share, rate)):
        u, du = unit[n % 2 : n : 2], dunit[n % 2 : n : 2]
        lack = np.maximum(whole - (u * u).sum(axis=0), 0.0)
        speed = speed - 2.0 * (u * du).sum(axis=0)
        root = np.sqrt(lack + _SOFT)  # the root of the lack, without the noise of small ones
        unit[n], dunit[n] = lack / root, speed / root * (1.0 - 0.5 * lack / root**2)
    return rows._replace(unit=unit, dunit=dunit)


def normalize(rows):
    """Make the norm of the coefficients one to all digits, which truncation left it short of.

    Then opposite rows of an odd function stay opposite.
    """
    inverse = 1.0 / np.sqrt((rows.unit * rows.unit).sum(axis=0))
    unit, dunit = rows.unit * inverse, rows.dunit * inverse
    return rows._replace(unit=unit, dunit=dunit - (unit * dunit).sum(axis=0) * unit)


# --- Quadrature -----------------------------------------------------------------------------------


@lru_cache(8)
def hermite_functions(half):
    """Normalised Hermite polynomials times the root of the normal density, one in a row.

    The nodes go from zero to ``REACH`` in so many steps.
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
        waves = 23.0 + 36.0 * std.max() / pole
        half = min(
            SOME_NODES * int(np.ceil(REACH * waves / (2.0 * np.pi) / SOME_NODES)), MOST_NODES
        )
        return sums_on_grid(moved, level, std, half)[0]

    return expand_rows(str(act), sums_of, level, variance)


def sums_on_grid(moved, level, std, half):
    """`Sums` of ``level + moved(x)`` by the trapezoid rule, and how large the outermost terms are.

    ``half`` is the number of nodes on either side of zero. Even and odd part of the function are
    integrated over one side.
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
    for parity, part in enumerate((right + left, right - left)):
        sums.append((part * part) @ weights)
        a[parity::2] = table[parity::2] @ (weight * part).T
    base = level / amplitude
    energy, moment = (sums[0] + sums[1]).T
    energy = energy + base * (2.0 * a[0] + base)
    moment = moment + np.sqrt(2.0) * base * a[2]
    a[0] += base
    edge = max(np.abs(right[:, -1]).max(), np.abs(left[:, -1]).max())
    return Sums(amplitude, a, energy, moment, *sums[1].T), edge


def expand_rows(name, sums_of, level, variance):
    """`Expansion` from a function that returns the `Sums` of some standard deviations."""

    def expand(std):
        parts = _alike(std)
        sums = [sums_of(std[part]) for part in parts]
        matter = [(std[part] > LEAST_STD) | (level == 0.0) for part in parts]
        n_terms, worst = _count_terms(sums, matter)
        rows = [assemble(std[part], s, n_terms) for part, s in zip(parts, sums, strict=True)]
        if worst is not None:
            tell(name, std.max(), N_TERMS - 1, *worst)
            rows = [close(*both) for both in zip(rows, sums, strict=True)]
        if len(parts) == 1:
            return normalize(rows[0])
        back = np.argsort(np.concatenate(parts))
        fields = zip(*rows, strict=True)
        return normalize(
            Expansion(*(np.concatenate(field, axis=-1)[..., back] for field in fields))
        )

    return on_rows(name, expand, level, variance)


def on_rows(name, expand, level, variance):
    """`Expansion` of any shape from a function of standard deviations neither 0 nor infinite.

    ``level`` is the value of the activation at zero.
    """
    shape, std = np.shape(variance), np.sqrt(np.ravel(variance))
    is_finite = np.isfinite(std)
    rows = expand(np.maximum(np.where(is_finite, std, 1.0), LEAST_STD if level else TINY_STD))
    new = np.where(is_finite, rows.std, np.inf)  # whoever asked finds out what overflows
    rows = rows._replace(std=new if level else new * (std != 0.0))
    return Expansion(*(x.reshape((*x.shape[:-1], *shape)) for x in rows))


def _alike(std):
    """Parts of rows that need about as many nodes, as their indices."""
    order = np.argsort(std, kind="stable")
    ordered, parts, start = std[order], [], 0
    while start < len(std):
        end = np.searchsorted(ordered, 2.0 * max(ordered[start], 0.5), side="right")
        parts.append(order[start : min(start + _CHUNK, end)])
        start += len(parts[-1])
    return parts if len(parts) > 1 else [np.arange(len(std))]


def _count_terms(sums, matter):
    """Number of coefficients to keep and, if the rest matters, relative errors of K and T.

    Rows that do not matter are constants, all whose terms beyond the first ones are rounding.
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
    return N_TERMS, (lost, max(_rest(e) for e in slopes))


def _rest(energies):
    """What a series with these terms lacks if its octaves are a geometric series."""
    half = N_TERMS // 2
    last, before = energies[half:N_TERMS].sum(axis=0), energies[half // 2 : half].sum(axis=0)
    ratio = np.minimum(last / (before + (before == 0.0)), 0.99)
    return np.max(last * ratio / (1.0 - ratio))


def tell(name, std, n_terms, lost, lost_slope):
    """Warn of a series that is too short, if that matters."""
    if lost_slope > _NOTICED:
        notice(
            lost_slope,
            f"The Hermite series of {name} has {n_terms} terms, too few for pre-activations "
            f"with standard deviations up to {std:.3g}: relative errors may reach {lost:.0e} in "
            f"the NNGP and {min(lost_slope, 1.0):.0e} in the NTK; scale the data down or take a "
            f"smaller weight_var.",
        )
