"""Operations on lines, of which a schedule is made.

A line holds the state of one pair of positions for all pairs of rows that an engine carries at a
time. Line `ZERO` is always zero.
"""

from math import isqrt
from typing import NamedTuple

import numpy as np

from ..._values import complete

ZERO = 0
"""Line for pairs of which both positions are outside."""


class _Answers:
    """What engines ask of an operation, with the answers of those that give no other."""

    reads_rows = False
    """Whether it reads what single rows know at its step."""

    out = more = 0
    """The first line that it writes, and a number of its own that compiled loops read."""

    cost = scratch = 0
    """Lines that it maps, of which most of the time is made, and lines of memory that it needs."""

    @property
    def tables(self):
        """What it knows of one line after the other."""
        return tuple(part.ravel() for part in self if isinstance(part, np.ndarray))

    @property
    def n_lines(self):
        """Number of lines that it runs over."""
        return next(len(part) for part in self if isinstance(part, np.ndarray))


def _operation(cls):
    return complete(cls, _Answers)


@_operation
class Begin(NamedTuple):
    """Distances of the rows themselves, for lines ``out`` on with positions ``left``, ``right``."""

    step: int
    out: int
    left: np.ndarray
    right: np.ndarray


@_operation
class Extend(NamedTuple):
    """Distances from outside, the variance of the other: of the left position, or the right one."""

    step: int
    out: int
    is_right: np.ndarray
    places: np.ndarray

    reads_rows = True


@_operation
class Gather(NamedTuple):
    """Lines ``out`` on are sums of other lines, one row of ``sources`` each."""

    step: int
    out: int
    sources: np.ndarray

    @property
    def more(self):
        """Number of terms."""
        return self.sources.shape[1]


@_operation
class Scatter(NamedTuple):
    """Add lines ``sources`` to the lines ``targets``, one after the other."""

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
    """Replace lines ``out`` on by what the step of the program makes of each."""

    step: int
    out: int
    left: np.ndarray
    right: np.ndarray

    reads_rows = True

    @property
    def cost(self):
        """One for each line."""
        return self.n_lines


@_operation
class Blend(NamedTuple):
    """One time of a recurrence: lines ``out`` on from those one time before and those of inputs."""

    step: int
    out: int
    left: np.ndarray
    right: np.ndarray
    previous: np.ndarray
    inputs: np.ndarray

    reads_rows = True


@_operation
class Mix(NamedTuple):
    """Attention, from all pairs of positions in lines ``source`` on to lines ``out`` on."""

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
        """Sums over positions take as long as so many lines."""
        return self.n_lines + self.n**3 // 4

    @property
    def scratch(self):
        """Sums over positions of the left row."""
        return self.n

    @property
    def more(self):
        """The first line that it takes."""
        return self.source


class Schedule(NamedTuple):
    """Operations, the line of the result, and how many lines there are."""

    operations: list
    result: int
    n_lines: int

    @property
    def cost(self):
        """Lines that operations map."""
        return sum(op.cost for op in self.operations)
