"""Operations on lines, of which a schedule is made.

A line is the state (squared distance, NTK, maybe rates) of one pair of positions, for all pairs of
rows that an engine computes at a time. Lines are numbered; line `ZERO` is always zero. An operation
belongs to a step of the program and writes lines, most of them the lines ``out``, ``out + 1``, ...,
with an entry of its tables for each; ``left`` and ``right`` are the positions of a line.
"""

from math import isqrt
from typing import NamedTuple

import numpy as np

from ..._values import complete

ZERO = 0
"""Line of all pairs of which both positions are outside the grid, where signals are zero."""


class _Defaults:
    """Attributes of operations that engines read, with their defaults."""

    reads_rows = False
    """Whether it reads the records of single rows at its step."""

    out = argument = 0
    """The first line that it writes; an integer that its compiled loop reads."""

    cost = scratch = 0
    """Time in units of one line of a `Map`, if not negligible; lines of scratch memory."""

    @property
    def tables(self):
        """Its tables, flat, in the order of its fields."""
        return tuple(field.ravel() for field in self if isinstance(field, np.ndarray))

    @property
    def n_lines(self):
        """Number of lines of its loop, the length of its tables."""
        return next(len(field) for field in self if isinstance(field, np.ndarray))


def _operation(cls):
    """Decorator of a NamedTuple class: makes it an operation."""
    return complete(cls, _Defaults)


@_operation
class Begin(NamedTuple):
    """Write the squared distances of the inputs, and zero NTKs."""

    step: int
    out: int
    left: np.ndarray
    right: np.ndarray


@_operation
class Extend(NamedTuple):
    """Write the squared distances of pairs with one position outside the grid, where signals are 0.

    That is the variance at the other position, in ``positions``: of the left row, or of the right
    one where ``is_right`` is 1.
    """

    step: int
    out: int
    is_right: np.ndarray
    positions: np.ndarray

    reads_rows = True


@_operation
class Gather(NamedTuple):
    """Write sums of lines: ``out + e`` is the sum of the lines ``sources[e]``."""

    step: int
    out: int
    sources: np.ndarray

    @property
    def argument(self):
        """Number of terms of each sum."""
        return self.sources.shape[1]


@_operation
class Scatter(NamedTuple):
    """Add line ``sources[e]`` to line ``targets[e]``, for all ``e``."""

    step: int
    sources: np.ndarray
    targets: np.ndarray


@_operation
class Clear(NamedTuple):
    """Set ``n_lines`` lines to zero."""

    step: int
    out: int
    n_lines: int


@_operation
class Map(NamedTuple):
    """Replace each line by the formula of the step, applied to it."""

    step: int
    out: int
    left: np.ndarray
    right: np.ndarray

    reads_rows = True

    @property
    def cost(self):
        """Number of lines."""
        return self.n_lines


@_operation
class Blend(NamedTuple):
    """Write one time step of a recurrence, from the lines ``previous`` and those of the inputs."""

    step: int
    out: int
    left: np.ndarray
    right: np.ndarray
    previous: np.ndarray
    inputs: np.ndarray

    reads_rows = True


@_operation
class Mix(NamedTuple):
    """Write an attention, from the lines of all pairs of ``n`` positions.

    Pair ``(p, q)`` is read from line ``source + n p + q`` and written to ``out + n p + q``.
    """

    step: int
    out: int
    source: int
    left: np.ndarray
    right: np.ndarray

    reads_rows = True

    @property
    def n(self):
        """Number of positions."""
        return isqrt(self.n_lines)

    @property
    def cost(self):
        """The sums over positions, ``n^3`` terms, take as long as ``n^3 / 4`` lines."""
        return self.n_lines + self.n**3 // 4

    @property
    def scratch(self):
        """The sums over left positions for one output, a line for each right position."""
        return self.n

    @property
    def argument(self):
        """The first line that it reads."""
        return self.source


@_operation
class Field(NamedTuple):
    """Write lines behind the steps ``start <= k <= step`` of a segment, for pairs of some shifts.

    ``shifts`` are the differences of positions behind the steps, (n, 2) on a grid of two axes,
    modulo its size on a ring. ``sources`` and ``targets`` have the line of each pair ``p
    n_positions + q`` before the steps and behind them. ``sources`` is empty if the segment is the
    first, of the inputs. If ``targets`` is empty, line ``out + e`` is the sum of all pairs of
    difference ``e``.
    """

    step: int
    out: int
    shifts: np.ndarray
    sources: np.ndarray
    targets: np.ndarray
    start: int

    reads_rows = True


class Schedule(NamedTuple):
    """Operations in order, the number of the line of the result, and the number of all lines."""

    operations: list
    result: int
    n_lines: int

    @property
    def cost(self):
        """Time for a block of pairs of rows, in units of one line of a `Map`."""
        return sum(op.cost for op in self.operations)
