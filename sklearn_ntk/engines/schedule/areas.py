"""Which pairs of positions have which lines, and which lines are free."""

from typing import NamedTuple

import numpy as np

from .operations import ZERO


class Area(NamedTuple):
    """Pairs of positions, as sorted numbers ``p n + q``, and the line of each."""

    codes: np.ndarray
    lines: np.ndarray
    n: int

    def find(self, codes):
        """Lines of some of the pairs."""
        return self.lines[np.searchsorted(self.codes, codes)]

    @property
    def first(self):
        """The first line."""
        return int(self.lines.min()) if len(self.lines) else ZERO

    def positions(self):
        """Left and right positions of the lines in their order."""
        order = np.argsort(self.lines)
        return np.divmod(self.codes[order], self.n)


class Memory:
    """Gives lines away, first fit, and takes them back."""

    def __init__(self, first):
        self.free, self.end = [], first

    def take(self, n):
        """The first of so many lines, one after the other."""
        for k, (start, size) in enumerate(self.free):
            if size >= n:
                self.free[k : k + 1] = [(start + n, size - n)] if size > n else []
                return start
        start, self.end = self.end, self.end + n
        return start

    def give(self, lines):
        """Take back an area; lines are without gaps."""
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
