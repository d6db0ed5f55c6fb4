"""Targets and weights in units in which nothing overflows, and the way back.

The units are powers of two, so that no digit changes.
"""

from typing import NamedTuple

import numpy as np

from ._factors import variances

LEAST = 2.0**-1000
"""The least weight in units of the largest."""


class Units(NamedTuple):
    """How targets (n, k) were made: those in use are ``Y * 2**-exponents - shift``."""

    shift: np.ndarray
    exponents: np.ndarray

    def values(self, values):
        """Values of the targets, from those in use."""
        return self.differences(values + self.shift)

    def differences(self, values):
        """Differences of the targets, or standard deviations, from those in use."""
        return scaled(values, self.exponents)

    def variances(self, values):
        """Variances of the targets from those in use; infinite if they are beyond all numbers."""
        return scaled(values, 2 * self.exponents)


def scaled(values, exponents):
    """``values * 2**exponents``, also if the powers are beyond all numbers."""
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(values, exponents)


def standardise(Y, weights, is_common=False):
    """Targets without their means, the largest of each column about one, and their `Units`.

    Columns that are constant but for rounding become zero. Rows without weight do not count.
    Columns keep their ratios if the units are ``is_common``.
    """
    weights, _ = normalise(weights)
    rows = weights > 0.0
    first = _exponents(Y[rows], is_common)
    Y = scaled(Y, -first)
    mean = np.average(Y[rows], axis=0, weights=weights[rows])
    Y = np.where(variances(Y[rows], weights[rows]) > 0.0, Y - mean, 0.0)
    second = _exponents(Y[rows], is_common)
    return scaled(Y, -second), Units(scaled(mean, -second), first + second)


def normalise(weights):
    """Weights, the largest about one, and the exponent by which they were divided.

    It is even, so that the same holds for their roots. Weights whose inverse would overflow are
    zero.
    """
    exponent = 2 * (int(np.frexp(weights.max())[1]) // 2)
    found = scaled(weights, -exponent)
    return np.where(found < LEAST, 0.0, found), exponent


def _exponents(Y, is_common=False):
    """Exponents of the largest entry of each column, or of all columns."""
    exponents = np.frexp(np.abs(Y).max(axis=0))[1]
    return np.full_like(exponents, exponents.max()) if is_common else exponents


def product(K, B):
    """``K @ B``, also if it passes through numbers that overflow; no entry is infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        found = K @ B
        lost = ~np.isfinite(found).all(axis=1)
        if np.any(lost):
            rows, columns = _exponents(K[lost].T)[:, None], _exponents(B)
            parts = scaled(K[lost], -rows) @ scaled(B, -columns)
            found[lost] = np.nan_to_num(scaled(parts, rows + columns))
    return found
