"""Areas, which map pairs of positions to lines, and the allocation of lines."""

from typing import NamedTuple

import numpy as np

from .operations import ZERO


class Area(NamedTuple):
    """Pairs of positions of a grid of ``n``, as sorted codes ``p n + q``, and the line of each."""

    codes: np.ndarray
    lines: np.ndarray
    n: int

    def find(self, codes):
        """Lines of the pairs with these codes, all of which are in the area."""
        return self.lines[np.searchsorted(self.codes, codes)]

    @property
    def first(self):
        """The line with the smallest number; `ZERO` if there is none."""
        return int(self.lines.min()) if len(self.lines) else ZERO

    def positions(self):
        """Arrays of the left and right positions of the pairs, in the order of their lines."""
        order = np.argsort(self.lines)
        return np.divmod(self.codes[order], self.n)


class Memory:
    """Allocates ranges of lines, first fit.

    ``free`` is the sorted list of free ranges (first line, number of lines) before line ``end``.
    """

    def __init__(self, first):
        self.free, self.end = [], first

    def take(self, n):
        """Allocate ``n`` consecutive lines and return the first."""
        for k, (start, size) in enumerate(self.free):
            if size >= n:
                self.free[k : k + 1] = [(start + n, size - n)] if size > n else []
                return start
        start, self.end = self.end, self.end + n
        return start

    def give(self, lines):
        """Free a range of lines, an array of consecutive numbers in any order."""
        if not len(lines):
            return
        self.free = sorted([*self.free, (int(lines.min()), len(lines))])
        merged = []
        for start, size in self.free:
            if merged and sum(merged[-1]) == start:
                merged[-1] = (merged[-1][0], merged[-1][1] + size)
            else:
                merged.append((start, size))
        self.free = merged
