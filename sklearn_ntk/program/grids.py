"""Geometry of positions: which ones each place of a window sees.

Positions of a grid are numbered in C order; -1 stands for one outside.
"""

from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np

from .._values import value

PADDINGS = ("same", "valid", "circular")


@value
class Windows(NamedTuple):
    """Windows over a grid: along an axis place ``p`` sees ``p stride - before + s``.

    The padding "valid" keeps them inside. Else there is a place for each stride that begins, and
    the windows overhang on both sides, on the left by the smaller half.
    """

    grid: tuple
    window: tuple
    strides: tuple
    padding: str

    @property
    def is_ring(self):
        """Whether what is outside is at the opposite end."""
        return self.padding == "circular"

    @property
    def after(self):
        """Grid of the places."""
        return tuple(self._places(*axis)[0] for axis in zip(*self[:3], strict=True))

    @property
    def table(self):
        """Positions that each place sees, of shape (places, window positions)."""
        return _table(self)

    def _places(self, size, window, stride):
        """Number of places along an axis, and how far the first window begins before the grid."""
        if self.padding == "valid":
            return max(0, (size - window) // stride + 1), 0
        n = -(-size // stride)
        return n, max(0, (n - 1) * stride + window - size) // 2

    def _along(self, size, window, stride):
        """Positions that each place sees along an axis, of shape (places, window)."""
        n, before = self._places(size, window, stride)
        seen = np.arange(n)[:, None] * stride - before + np.arange(window)
        if self.is_ring:
            return seen % size
        return np.where((seen >= 0) & (seen < size), seen, -1)


@value
class Transposed(Windows):
    """Windows that see where they would be seen: place ``p`` sees position ``q`` with entry ``s``.

    Along an axis ``p = q stride - before + s``, as if `Windows` over the places had the positions
    for their places. There are ``stride`` places for each position, and with the padding "valid"
    as many more as windows overhang.
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
    """The last position of a grid, seen by the only place."""

    grid: tuple

    is_ring, after = False, ()

    @property
    def table(self):
        """Positions that each place sees, of shape (places, window positions)."""
        return np.array([[int(np.prod(self.grid)) - 1]])


@cache
def _table(windows):
    seen = [windows._along(*axis) for axis in zip(*windows[:3], strict=True)]
    n_axes, n_places = len(seen), [len(part) for part in seen]
    result = np.zeros((*n_places, *windows.window), dtype=np.int64)
    for axis, (part, size) in enumerate(zip(seen, windows.grid, strict=True)):
        shape = [1] * (2 * n_axes)
        shape[axis], shape[n_axes + axis] = part.shape
        part = part.reshape(shape)
        result = np.where((result < 0) | (part < 0), -1, result * size + part)
    result = result.reshape(int(np.prod(n_places)), -1)
    result.setflags(write=False)
    return result


@cache
def places(grid):
    """Coordinates of all positions, of shape (positions, axes)."""
    found = np.array(list(product(*map(range, grid))), dtype=np.int64)
    found = found.reshape(int(np.prod(grid)), len(grid))
    found.setflags(write=False)
    return found


def unique(numbers):
    """Different ones of the numbers, sorted; NumPy's own takes four times as long."""
    numbers = np.sort(numbers, axis=None)
    return numbers[np.append(True, numbers[1:] != numbers[:-1])[: len(numbers)]]
