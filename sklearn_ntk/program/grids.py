"""Geometry of filters and pooling windows: which input positions each output position covers.

Positions of a grid are numbered in C order; -1 stands for a position outside the grid. The geometry
of an instruction is a value with ``after``, the shape of the grid of outputs, ``table`` (n_outputs,
window size), the input positions of each output, and ``is_ring``, whether windows go on at the
opposite end.
"""

from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np

from .._values import value

PADDINGS = ("same", "valid", "circular")


@value
class Windows(NamedTuple):
    """Windows of a convolution: output ``p`` covers the inputs ``p stride - before + s``.

    That is along each axis, for entries ``s`` of the window. With the padding "valid" all windows
    are inside the grid. With the others there are ``ceil(size / stride)`` outputs, and the windows
    overhang the grid on both sides, at the beginning by the smaller half.
    """

    grid: tuple
    window: tuple
    strides: tuple
    padding: str

    @property
    def is_ring(self):
        """Whether windows go on at the opposite end of the grid."""
        return self.padding == "circular"

    @property
    def axes(self):
        """Triples (size of the grid, size of the window, stride), one for each axis."""
        return zip(self.grid, self.window, self.strides, strict=True)

    @property
    def after(self):
        """Shape of the grid of outputs."""
        return tuple(self._places(*axis)[0] for axis in self.axes)

    @property
    def before(self):
        """How far the first window begins before the grid, along each axis."""
        return tuple(self._places(*axis)[1] for axis in self.axes)

    @property
    def table(self):
        """Input positions of each output, -1 outside: shape (n_outputs, window size)."""
        return _table(self)

    def _places(self, size, window, stride):
        """Number of outputs along an axis, and how far the first window begins before the grid."""
        if self.padding == "valid":
            return max(0, (size - window) // stride + 1), 0
        n = -(-size // stride)
        return n, max(0, (n - 1) * stride + window - size) // 2

    def _along(self, size, window, stride):
        """Input positions of each output along an axis, -1 outside: shape (n_outputs, window)."""
        n, before = self._places(size, window, stride)
        seen = np.arange(n)[:, None] * stride - before + np.arange(window)
        if self.is_ring:
            return seen % size
        return np.where((seen >= 0) & (seen < size), seen, -1)


@value
class Transposed(Windows):
    """Windows of a transposed convolution: inputs and outputs of `Windows` change places.

    Along each axis output ``p`` covers input ``q`` with entry ``s`` if ``p = q stride - before +
    s``. There are ``stride`` outputs for each input, and with the padding "valid" ``max(0, window -
    stride)`` more at the end.
    """

    __slots__ = ()

    def _places(self, size, window, stride):
        over = max(0, window - stride)
        return (size * stride + over, 0) if self.padding == "valid" else (size * stride, over // 2)

    def _along(self, size, window, stride):
        n, before = self._places(size, window, stride)
        seen = np.arange(n)[:, None] + before - np.arange(window)
        if self.is_ring:
            seen %= n
        is_position = (seen >= 0) & (seen < size * stride) & (seen % stride == 0)
        return np.where(is_position, seen // stride, -1)


@value
class Last(NamedTuple):
    """A single output that covers the last position of the grid: the end of a sequence."""

    grid: tuple

    is_ring, after = False, ()

    @property
    def table(self):
        """The last position: shape (1, 1)."""
        return np.array([[int(np.prod(self.grid)) - 1]])


@cache
def _table(windows):
    """`Windows.table` from the tables of the axes; read-only, as it is cached."""
    axis_tables = [windows._along(*axis) for axis in windows.axes]
    n_axes, n_outputs = len(axis_tables), [len(table) for table in axis_tables]
    result = np.zeros((*n_outputs, *windows.window), dtype=np.int64)
    for axis, (table, size) in enumerate(zip(axis_tables, windows.grid, strict=True)):
        shape = [1] * (2 * n_axes)
        shape[axis], shape[n_axes + axis] = table.shape
        table = table.reshape(shape)
        result = np.where((result < 0) | (table < 0), -1, result * size + table)
    result = result.reshape(int(np.prod(n_outputs)), -1)
    result.setflags(write=False)
    return result


@cache
def places(grid):
    """Coordinates (n_positions, n_axes) of all positions of a grid, in C order."""
    coordinates = np.array(list(product(*map(range, grid))), dtype=np.int64)
    coordinates = coordinates.reshape(int(np.prod(grid)), len(grid))
    coordinates.setflags(write=False)
    return coordinates


def differences(codes, grid, is_ring):
    """Array of integers, equal for pairs ``(p, q)`` of the same difference ``q - p`` on the grid.

    On a ring, a grid with circular padding, differences are taken modulo its size.
    """
    left, right = np.divmod(codes, int(np.prod(grid)))
    key = np.zeros(len(codes), np.int64)
    at = places(grid)
    for axis, size in enumerate(grid):
        shift = at[right, axis] - at[left, axis]
        key = key * (2 * size) + (shift % size if is_ring else shift + size)
    return key


def unique(numbers):
    """Sorted distinct numbers; four times as fast as ``np.unique``."""
    numbers = np.sort(numbers, axis=None)
    return numbers[np.append(True, numbers[1:] != numbers[:-1])[: len(numbers)]]
