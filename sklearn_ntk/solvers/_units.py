"""Targets and weights divided by powers of two, so that nothing overflows, and the inverse.

Powers of two change no digit.
"""

from typing import NamedTuple

import numpy as np

from .._runtime import device
from ._moments import moments

LEAST_WEIGHT = 2.0**-1000
"""The least weight in units of the largest."""

LEAST_EXPONENT = -900
"""Binary exponent of the least column of targets in units of the largest, see `in_common_units`."""


class Units(NamedTuple):
    """The map from targets Y (n, k) to standardised ones ``Y * 2**-exponents - shift``, inverted.

    ``shift`` and ``exponents`` have shape (k,). Methods convert from standardised units.
    """

    shift: np.ndarray
    exponents: np.ndarray

    def values(self, values):
        """Targets or predictions in the original units."""
        return self.differences(values + self.shift)

    def differences(self, values):
        """Differences or standard deviations in the original units."""
        return scaled(values, self.exponents)

    def variances(self, values):
        """Variances in the original units; infinite where they overflow."""
        return scaled(values, 2 * self.exponents)


def scaled(values, exponents):
    """``values * 2**exponents``, also where the power alone would overflow."""
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(values, exponents)


def standardise(Y, weights):
    """Targets (n, k) minus their weighted means, with largest entries about one; their `Units`.

    Columns that are constant but for rounding become zero. Rows of weight zero do not count. Y may
    be in a GPU's memory.
    """
    weights, _ = normalise(weights)
    rows, weights = np.asarray(weights > 0.0, like=Y), np.asarray(weights, like=Y)
    first = _exponents(Y[rows])
    Y = scaled(Y, -first)
    mean, variance = moments(Y[rows], weights[rows])
    Y = np.where(variance > 0.0, Y - mean, 0.0)
    second = _exponents(Y[rows])
    return scaled(Y, -second), Units(scaled(mean, -second), first + second)


def in_common_units(Y, units):
    """Standardised targets (n, k) that keep their ratios, and exponents (k,) that were divided by.

    All columns are divided by the power of two of the largest, but those that would nearly
    underflow, whose squares count nothing, by a smaller one, so that they keep their digits.
    """
    varies = np.any(Y, axis=0)
    largest = np.where(varies, units.exponents, units.exponents.min()).max()
    ratios = np.maximum(units.exponents - largest, LEAST_EXPONENT)
    return scaled(Y, ratios), units.exponents - ratios


def normalise(weights):
    """``weights * 2**-exponent``, the largest about one, and the exponent.

    It is even, so that square roots of weights are divided by a power of two, too. Weights below
    `LEAST_WEIGHT`, whose inverse would overflow, become zero.
    """
    exponent = 2 * (int(np.frexp(weights.max())[1]) // 2)
    weights = scaled(weights, -exponent)
    return np.where(weights < LEAST_WEIGHT, 0.0, weights), exponent


def _exponents(Y):
    """Binary exponents (k,) of the largest entry of each column."""
    return np.frexp(np.abs(Y).max(axis=0))[1]


def safe_product(K, B):
    """``K @ B`` without overflow of partial sums; entries too large become the largest numbers."""
    with np.errstate(over="ignore", invalid="ignore"):
        result = device.product(K, B)
        is_lost = ~np.isfinite(result).all(axis=1)
        if np.any(is_lost):
            lost = device.on_host(K[np.asarray(is_lost, like=K)])
            rows, columns = _exponents(lost.T)[:, None], _exponents(B)
            small = scaled(lost, -rows) @ scaled(B, -columns)
            result[is_lost] = np.nan_to_num(scaled(small, rows + columns))
    return result
