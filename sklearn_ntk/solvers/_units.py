"""Targets and weights divided by powers of two, so that nothing overflows, and the inverse.

Powers of two change no digit.
"""

from typing import NamedTuple

import numpy as np

from .._runtime import device
from ._factors import moments

LEAST = 2.0**-1000
"""The least weight in units of the largest."""


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


def standardise(Y, weights, is_common=False):
    """Targets (n, k) minus their weighted means, with largest entries about one; their `Units`.

    Columns that are constant but for rounding become zero. Rows of weight zero do not count. With
    ``is_common`` all columns are divided by the same power of two. Y may be in a GPU's memory.
    """
    weights, _ = normalise(weights)
    rows, weights = np.asarray(weights > 0.0, like=Y), np.asarray(weights, like=Y)
    first = _exponents(Y[rows], is_common)
    Y = scaled(Y, -first)
    mean, variance = moments(Y[rows], weights[rows])
    Y = np.where(variance > 0.0, Y - mean, 0.0)
    second = _exponents(Y[rows], is_common)
    return scaled(Y, -second), Units(scaled(mean, -second), first + second)


def normalise(weights):
    """``weights * 2**-exponent``, the largest about one, and the exponent.

    It is even, so that square roots of weights are divided by a power of two, too. Weights below
    `LEAST`, whose inverse would overflow, become zero.
    """
    exponent = 2 * (int(np.frexp(weights.max())[1]) // 2)
    weights = scaled(weights, -exponent)
    return np.where(weights < LEAST, 0.0, weights), exponent


def _exponents(Y, is_common=False):
    """Binary exponents (k,) of the largest entry of each column, or of all columns."""
    exponents = np.frexp(np.abs(Y).max(axis=0))[1]
    return np.full_like(exponents, exponents.max()) if is_common else exponents


def product(K, B):
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
