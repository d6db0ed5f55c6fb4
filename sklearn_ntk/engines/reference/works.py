"""`Work` of the reference engine: Gram matrices in square blocks, on one thread."""

from collections import deque

import numpy as np

from .._work import Part, diagonals_of
from ..rows import blocks
from ..rows import tiles as rows_of_tiles
from . import lines, tiles

BLOCK = 64
"""Rows and columns of a block."""


class _Work:
    """Blocks of a matrix of ``shape``; of a symmetric one the lower triangle, which is mirrored."""

    n_threads = 1

    def parts(self):
        """One part with all blocks."""
        n, m = self.shape
        corners = ((i, j) for i in range(0, n, BLOCK) for j in range(0, m, BLOCK))
        kept = (c for c in corners if not self.is_symmetric or c[1] <= c[0])
        bounds = ((i, min(i + BLOCK, n), j, min(j + BLOCK, m)) for i, j in kept)
        return [Part(lambda: self._compute, deque(bounds))]

    def _compute(self, block, results):
        i0, i1, j0, j1 = block
        kernels = self._kernels(slice(i0, i1), slice(j0, j1))
        for result, values in zip(results, kernels, strict=False):
            if not result.size:
                continue
            result[:, i0:i1, j0:j1] = values
            if self.is_symmetric:
                lower = np.arange(i0, i1)[:, None] >= np.arange(j0, j1)
                mirrored = result[:, j0:j1, i0:i1].swapaxes(1, 2)
                mirrored[:, lower] = result[:, i0:i1, j0:j1][:, lower]


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
        self.diagonals = diagonals_of(blocks.take_rows(self.scanned, slice(self.shape[0])))

    def _kernels(self, left, right):
        first = 0 if self.is_symmetric else self.shape[0]
        right_rows = slice(first + right.start, first + right.stop)
        sides = (blocks.take_rows(self.scanned, part) for part in (left, right_rows))
        kernels = lines.run(self.program, self.X[left], self.Y[right], *sides, self.gradient)
        return [kernel[None] for kernel in kernels]  # the axis of outputs
