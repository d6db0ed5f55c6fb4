"""`Work` of the compiled engine for Gram matrices of rows with positions."""

from collections import deque
from itertools import product

import numpy as np

from .._work import Part, diagonals_of
from ..reference import lines as reference
from ..rows import blocks
from ..schedule.writer import schedule
from . import lines
from .line_scan import scan_blocks, seconds_of
from .tiles import get_num_threads

BLOCK_ROWS = 64
"""Most rows of a block."""

BLOCK_SECONDS = 0.05
"""Estimated seconds of a block, at most."""

N_BLOCKS = 32
"""Least number of blocks of a matrix, if it is large enough, so that threads end together."""


class LineWork:
    """`Work` of rows with positions; with one set of rows the matrix is symmetric.

    In a symmetric matrix of n rows, row ``i`` is paired with the rows ``(i + j) % n`` for ``1 <= j
    <= n / 2``: that is half of the others for every row, so that lines are full and blocks alike.
    """

    def __init__(self, program, rows, names, gradient, dtype):
        # one scan of both sides, so that series have as many terms on both
        scanned = blocks.scan(program, rows, gradient, dtype, scan_blocks)
        n, self.n_threads = len(rows[0][0]), get_num_threads()
        self._gradient, self._dtype, self.is_symmetric = gradient, dtype, len(rows) == 1
        left = right = scanned
        if not self.is_symmetric:
            left, right = (blocks.take_rows(scanned, part) for part in (slice(n), slice(n, None)))
        self.diagonals, self._scans = diagonals_of(left), (left, right)
        X, Y = (blocks.check_shape(rows[i][0], program.shape) for i in (0, -1))
        self.shape = len(X), len(X) // 2 if self.is_symmetric else len(Y)
        plan = schedule(program, diagonal=True)
        self._seconds = seconds_of(plan)
        self._plan = lines.make_plan(program, plan, left, gradient, dtype)
        self._left = lines.pack_side(left, X, True, dtype)
        self._right = lines.pack_side(right, Y, False, dtype)

    def parts(self):
        """One part with all blocks."""
        return [Part(lambda: self._compute, self._blocks())]

    def _blocks(self):
        n_pairs = int(min(BLOCK_SECONDS / self._seconds, np.prod(self.shape) / N_BLOCKS)) + 1
        n_lanes, (n, m) = self._plan.n_lanes, self.shape
        n_rows = min(BLOCK_ROWS, 1 + n_pairs // n_lanes)
        n_columns = n_lanes * max(1, n_pairs // (n_lanes * n_rows))
        corners = product(range(0, n, n_rows), range(0, m, n_columns))
        return deque((i, min(i + n_rows, n), j, min(j + n_columns, m)) for i, j in corners)

    def _compute(self, block, results):
        i0, i1, j0, j1 = block
        # `fill` leaves out pairs of a symmetric matrix, which must not be NaN in `kernels`
        out = np.zeros((6 if self._gradient else 2, i1 - i0, j1 - j0), self._dtype)
        ring, first = (self.shape[0], 1) if self.is_symmetric else (0, 0)  # j from 1 or from 0
        columns = j0 + first, j1 + first
        lines.fill(self._plan, self._left, self._right, i0, i1, *columns, ring, out)
        places = slice(i0, i1), slice(*columns)
        if self.is_symmetric:
            rows, offsets = np.arange(i0, i1)[:, None], np.arange(*columns)
            once = (2 * offsets < ring) | (2 * rows < ring)
            places = places[0], (rows + offsets) % ring
            left, right = np.broadcast_to(rows, once.shape)[once], places[1][once]
        variances = (
            (side.variance[place], side.dvariance[place] if self._gradient else None)
            for side, place in zip(self._scans, places, strict=True)
        )
        kernels = reference.kernels(out, *variances)
        for result, values in zip(results, kernels, strict=False):
            if result.size and self.is_symmetric:
                result[0, left, right] = result[0, right, left] = values[once]
            elif result.size:
                result[(0, *places)] = values
