"""Contours for networks that are trained without one row, by how much weight remains."""

from functools import cached_property

import numpy as np

from .._runtime.check import read_number
from . import _contours

LARGEST_GROWTH = 16.0
"""Training without a row diverges if it grows by the exponential of this, by whose size residuals
of all rows lose digits."""

N_HALVINGS = 40
"""Halvings of the interval of an eigenvalue."""


class RowContours:
    """Mixin of `LeaveOneOut`: groups of rows, and nodes and weights of integrals without one."""

    @cached_property
    def _squares(self):
        """Squares of the entries of the eigenvectors (n, n - 1), for leave-one-out only."""
        return self._vectors**2

    def _damping(self, nodes):
        """Ridges ``r`` at the nodes of a contour, and ``r / (L + r)`` of shape (n - 1, n_nodes).

        The latter is the part of each component of the targets that remains in the residuals.
        """
        ridges = self.alpha + nodes
        return ridges, ridges / (self._values[:, None] + ridges)

    def _contours(self, time, power=1):
        """Yield groups of rows, with the nodes and weights of their contour integrals.

        What remains of a residual is raised to the ``power``.
        """
        time = self._time(time)
        for rows in self._levels():
            yield rows, *self._contour(time, self._rest[rows], power, rows)

    def _levels(self):
        """Yield groups of rows, the rest of the weights without each alike within a group.

        Equal, or for flows within a factor of two.
        """
        if self._n > 1:  # without the only row there are no data
            levels = np.floor(np.log2(self._rest)) if self.method.is_flow else self._rest
            for level in np.unique(levels):
                rows = levels == level
                yield slice(None) if rows.all() else rows  # a slice copies nothing

    def _contour(self, time, rest, power=1, rows=slice(None), more=0.0):
        """Nodes (n_nodes,) and weights (n, n_nodes), or (1, n_nodes) for methods of steps.

        ``rest`` (n,) are shares of the total weight, without the ``rows``; ``more`` is by how much
        eigenvalues may exceed those of all rows.
        """
        if self.method.is_flow:
            return _contours.of_flow(self._rates(power * time, rest, more))
        rates, scale = self._rates(1.0, rest, more), self._scale(more)
        if not more and rates[0] * scale >= self.method.limit:  # an upper bound
            scale = min(self._largest_without(rows) + self.alpha, scale)
        growth = -self.method.rate(rates[0] * scale)
        if power * time * max(growth, 0.0) > LARGEST_GROWTH:
            bound = self.learning_rate * self.method.limit / (rates[0] * scale)
            raise ValueError(
                f"training must not diverge without one of the rows; got learning_rate="
                f"{self.learning_rate:.4g} for {self.method!r}: make it less than {bound:.4g}."
            )
        return _contours.of_steps(self.method, rates[0], time, power, scale)

    def _scale(self, more=0.0):
        """Largest eigenvalue with the ridge."""
        return np.max(self._values, initial=0.0) + more + self.alpha or 1.0

    def _rates(self, time, rest, more=0.0):
        """``learning_rate t / n``, clipped so that exponentials neither overflow nor lose 0.

        Beyond the bounds nothing changes any more.
        """
        scale = self._scale(more)
        with np.errstate(over="ignore"):
            rates = self.learning_rate * time / (self._total * rest) * scale
        return np.clip(rates, 1e-30, 1e30) / scale

    def _largest_without(self, rows):
        """Largest eigenvalue of the Gram matrices without one of these rows.

        Each is the largest root ``m`` of ``sum_j U_ij^2 / (L_j - m)``, below the largest ``L``.
        """
        squares = rows_of(self._squares, rows)
        values = np.asarray(self._values, like=squares)
        low, high = np.zeros((2, len(squares)), like=squares)

        def is_below(middle):
            return np.sum(squares / (values - middle[:, None]), axis=1) < 0.0

        return largest_root(is_below, low + values[-2:][0], high + values[-1])

    def _time(self, time):
        """A single time, or number of steps."""
        if self.method.is_flow and hasattr(self.method, "momentum"):
            raise ValueError(
                f"Leaving out rows has no closed form for {self.method!r}: take HeavyBall, which "
                f"is the same in steps."
            )
        time = read_number(time, "time", may_be_infinite=True)
        self._gains(time)  # raises an error where training diverges
        return time


def largest_root(is_below, low, high):
    """The largest of some roots between ``low`` and ``high`` (m,), by halving, from above.

    ``is_below(middle)`` (m,) tells which numbers are below their root; it may divide by zero.
    """
    for _ in range(N_HALVINGS):
        middle = 0.5 * (low + high)
        with np.errstate(divide="ignore", invalid="ignore"):
            below = is_below(middle)
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return float(high.max())


def rows_of(matrix, rows):
    """Some rows of a matrix, by a slice or a mask, where the matrix is."""
    return matrix[rows if isinstance(rows, slice) else np.asarray(rows, like=matrix)]
