"""Positions of images and sequences: which ones a window sees.

Positions of a grid are numbered in C order; -1 stands for one outside.
"""

from functools import cache
from itertools import product

import numpy as np

PADDINGS = ("same", "valid", "circular")


def n_windows(size, window, stride, padding):
    """Number of places of a window along an axis; zero if it does not fit."""
    if padding == "valid":
        return max(0, (size - window) // stride + 1)
    return -(-size // stride)


def _along(size, window, stride, padding):
    """Positions that each place of a window sees along an axis, of shape (places, window)."""
    n = n_windows(size, window, stride, padding)
    before = 0 if padding == "valid" else max(0, (n - 1) * stride + window - size) // 2
    seen = np.arange(n)[:, None] * stride - before + np.arange(window)
    if padding == "circular":
        return seen % size
    return np.where((seen >= 0) & (seen < size), seen, -1)


def after(grid, window, strides, padding):
    """Grid of the places of a window."""
    axes = zip(grid, window, strides, strict=True)
    return tuple(n_windows(*axis, padding) for axis in axes)


@cache
def sources(grid, window, strides, padding):
    """Positions that a window sees at each of its places, of shape (places, window positions)."""
    seen = [_along(*axis, padding) for axis in zip(grid, window, strides, strict=True)]
    n = [len(part) for part in seen]
    result = np.zeros((*n, *window), dtype=np.int64)
    for axis, (part, size) in enumerate(zip(seen, grid, strict=True)):
        shape = [1] * (2 * len(grid))
        shape[axis], shape[len(grid) + axis] = part.shape
        part = part.reshape(shape)
        result = np.where((result < 0) | (part < 0), -1, result * size + part)
    result = result.reshape(int(np.prod(n)), -1)
    result.setflags(write=False)
    return result


@cache
def places(grid):
    """Coordinates of all positions, of shape (positions, axes)."""
    found = np.array(list(product(*map(range, grid))), dtype=np.int64)
    found = found.reshape(int(np.prod(grid)), len(grid))
    found.setflags(write=False)
    return found
