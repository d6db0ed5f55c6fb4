"""Operations on lines, of which a schedule is made.

A line holds the state of one pair of positions for all pairs of rows that an engine carries at a
time. Line `ZERO` is always zero.
"""

from typing import NamedTuple

import numpy as np

ZERO = 0
"""Line for pairs of which both positions are outside."""


class Begin(NamedTuple):
    """Distances of the rows themselves, for lines ``out`` on with positions ``left``, ``right``."""

    step: int
    out: int
    left: np.ndarray
    right: np.ndarray


class Extend(NamedTuple):
    """Distances from outside, the variance of the other: of the left position, or the right one."""

    step: int
    out: int
    is_right: np.ndarray
    places: np.ndarray


class Gather(NamedTuple):
    """Lines ``out`` on are sums of other lines, one row of ``sources`` each."""

    step: int
    out: int
    sources: np.ndarray


class Scatter(NamedTuple):
    """Add lines ``sources`` to the lines ``targets``, one after the other."""

    step: int
    sources: np.ndarray
    targets: np.ndarray


class Clear(NamedTuple):
    """Set ``n`` lines to zero."""

    step: int
    out: int
    n: int


class Map(NamedTuple):
    """Replace lines ``out`` on by what the step of the program makes of each."""

    step: int
    out: int
    left: np.ndarray
    right: np.ndarray


class Blend(NamedTuple):
    """One time of a recurrence: lines ``out`` on from those one time before and those of inputs."""

    step: int
    out: int
    previous: np.ndarray
    inputs: np.ndarray
    left: np.ndarray
    right: np.ndarray


class Mix(NamedTuple):
    """Attention, from all pairs of ``n`` positions in lines ``source`` on to lines ``out`` on."""

    step: int
    out: int
    source: int
    n: int


class Schedule(NamedTuple):
    """Operations, the line of the result, and how many lines there are."""

    operations: list
    result: int
    n_lines: int

    @property
    def cost(self):
        """Lines that steps map, of which most of the time is made; attention counts as so many."""
        mapped = sum(len(op.left) for op in self.operations if isinstance(op, Map))
        return mapped + sum(op.n**3 // 4 for op in self.operations if isinstance(op, Mix))
