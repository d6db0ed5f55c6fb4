"""Columns of rows with heavy tails, squashed smoothly before a kernel sees them."""

from typing import NamedTuple

import numpy as np

from .._runtime.device import is_on_device, on_host
from ..solvers._moments import variances
from ..solvers._units import Units, scaled, standardise


class Columns(NamedTuple):
    """A smooth limit of each column, in standard deviations of the training rows.

    In units ``z = (x - mean) / std`` a column becomes ``z / sqrt(1 + (z / limit)^2)``, which stays
    in ``(-limit, limit)``, and keeps its mean and standard deviation. Columns that are constant on
    the training rows, of which ``stds`` (d,) is zero, stay as they are. Means and standard
    deviations are in `Units`, of arrays of NumPy also for rows on a GPU.
    """

    units: Units
    stds: np.ndarray
    limit: float

    @classmethod
    def fit(cls, X, weights, limit):
        """`Columns` of training rows (n, d) with these weights."""
        X, units = standardise(X, weights)
        units = Units(*map(on_host, units))
        return cls(units, on_host(np.sqrt(variances(X, weights))), limit)

    def apply(self, X):
        """Rows (m, d) with squashed columns."""
        own = self._where(X)
        z = own._deviations(X)
        new = own.units.values(own.stds * z / own._stretches(z))
        return np.where(own.stds > 0.0, new, X)

    def lengthening(self, X):
        """By how much rows (m, d) were farther from the mean before they were squashed, (m,)."""
        z = self._where(X)._deviations(X)
        before, after = (on_host(_lengths(each)) for each in (z, z / self._stretches(z)))
        return np.divide(before, after, out=np.ones(len(X)), where=after > 0.0)

    def slopes(self, X):
        """Derivatives (m, d) of the squashed columns by the columns."""
        return self._stretches(self._where(X)._deviations(X)) ** -3.0

    def _where(self, X):
        """The same with arrays where rows are."""
        units = Units(*(np.asarray(each, like=X) for each in self.units))
        return Columns(units, np.asarray(self.stds, like=X), self.limit)

    def _deviations(self, X):
        """Columns in units of standard deviations from the means; zero where there are none."""
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            z = (scaled(X, -self.units.exponents) - self.units.shift) / self.stds
        largest = np.finfo(float).max
        return np.where(self.stds > 0.0, np.clip(z, -largest, largest), 0.0)

    def _stretches(self, z):
        return np.hypot(1.0, z / self.limit)


def deviations(X, weights):
    """Standard deviations (d,) of the columns of rows (n, d), of any size."""
    scaled_rows, units = standardise(X, weights)
    return on_host(scaled(np.sqrt(variances(scaled_rows, weights)), units.exponents))


def _lengths(z):
    """Lengths (m,) of rows of any size."""
    if not is_on_device(z):
        return np.hypot.reduce(z, axis=1)
    largest = np.maximum(np.abs(z).max(axis=1), np.finfo(float).tiny)[:, None]
    return largest[:, 0] * np.sqrt(((z / largest) ** 2).sum(axis=1))
