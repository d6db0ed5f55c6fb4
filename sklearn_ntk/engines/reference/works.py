"""Gram matrices as `Work` of the reference engine, a few rows at a time."""

from collections import deque

import numpy as np

from .._work import Part, diagonals_of
from ..rows import blocks
from ..rows import tiles as rows_of_tiles
from . import lines, tiles

BLOCK = 64
"""Rows and columns of a block."""


class _Work:
    """Blocks of a matrix of ``shape``, of which a symmetric one has the lower ones, mirrored."""

    n_threads = 1

    def parts(self):
        """One part with all blocks."""
        n, m = self.shape
        corners = ((i, j) for i in range(0, n, BLOCK) for j in range(0, m, BLOCK))
        kept = (c for c in corners if not self.is_symmetric or c[1] <= c[0])
        ends = deque((i, min(i + BLOCK, n), j, min(j + BLOCK, m)) for i, j in kept)
        return [Part(lambda: self._compute, ends)]

    def _compute(self, block, results):
        i0, i1, j0, j1 = block
        for result, part in zip(results, self._kernels(slice(i0, i1), slice(j0, j1)), strict=False):
            if not result.size:
                continue
            result[:, i0:i1, j0:j1] = part
            if self.is_symmetric:
                lower = np.arange(i0, i1)[:, None] >= np.arange(j0, j1)
                turned = result[:, j0:j1, i0:i1].swapaxes(1, 2)
                turned[:, lower] = result[:, i0:i1, j0:j1][:, lower]


class TileWork(_Work):
    """Pairs of rows without positions."""

    def __init__(self, program, rows, names, gradient, dtype):
        scanned, carrier = rows_of_tiles.scan(program, rows, gradient, names, dtype)
        self.program, self.gradient, self.is_symmetric = program, gradient, len(rows) == 1
        self.diagonals = diagonals_of(scanned)
        self.X, self.Y = rows[0][0], rows[-1][0]
        self.shape = len(self.X), len(self.Y)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            self.rows = tiles.scan_rows(program, carrier.variances, gradient, carrier.rates)

    def _kernels(self, left, right):
        first = 0 if self.is_symmetric else self.shape[0]
        right_rows = slice(first + right.start, first + right.stop)
        sides = (rows_of_tiles.cut(self.rows, part) for part in (left, right_rows))
        gap = tiles.initial_gap(self.X[left], self.Y[right])
        return tiles.run(self.program, gap, *sides, self.gradient)


class LineWork(_Work):
    """Pairs of rows with positions."""

    def __init__(self, program, rows, names, gradient, dtype):
        self.scanned = blocks.scan(program, rows, gradient, dtype)
        self.program, self.gradient, self.is_symmetric = program, gradient, len(rows) == 1
        self.X, self.Y = (blocks.check_shape(rows[i][0], program.shape) for i in (0, -1))
        self.shape = len(self.X), len(self.Y)
        self.diagonals = diagonals_of(blocks.some(self.scanned, slice(self.shape[0])))

    def _kernels(self, left, right):
        first = 0 if self.is_symmetric else self.shape[0]
        right_rows = slice(first + right.start, first + right.stop)
        sides = (blocks.some(self.scanned, part) for part in (left, right_rows))
        found = lines.run(self.program, self.X[left], self.Y[right], *sides, self.gradient)
        return [part[None] for part in found]
