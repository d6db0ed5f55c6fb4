"""`Work` of the compiled engine for Gram matrices of rows without positions."""

from collections import deque
from functools import partial
from itertools import product

from .._work import Part, n_pairs
from ..packing.sides import NEAR, Sides
from ..rows.tiles import SLAB
from . import tiles

WORK_PER_THREAD = 500_000
"""Pairs times steps of the program, about two milliseconds, that make another thread worthwhile."""

SERIES_COLUMNS = 2 * SLAB
"""Columns of a block for which coefficients of series are computed, if they are not held."""


class TileWork:
    """`Work` of rows without positions; with one set of rows the matrix is symmetric."""

    def __init__(self, program, rows, names, gradient, dtype):
        n_threads, self._n_columns = tiles.get_num_threads(), len(rows[-1][0])
        self._sides = Sides(program, rows, gradient, names, dtype, n_threads)
        self._plan = tiles.make_plan(program, self._sides.spans, gradient, dtype)
        self._near, self._is_symmetric = dtype.type(NEAR[dtype.name]), len(rows) == 1
        self.diagonals = self._sides.diagonals
        total = sum(n_pairs(block) for _, blocks in self.parts() for block in blocks)
        self.n_threads = min(n_threads, 1 + total * len(program.steps) // WORK_PER_THREAD)

    def parts(self):
        """Yield a `Part` for each range of rows whose coefficients of series are held together."""
        for place in self._sides.parts():
            yield Part(partial(self._prepare, *place), self._blocks(*place))

    def _prepare(self, start, stop):
        return partial(self._compute, self._sides.side(0, start, stop))

    def _compute(self, left, block, results):
        (i0, i1, j0, j1), sides, symmetric = block, self._sides, self._is_symmetric
        right, steps = sides.right(left, j0, j1), (tiles.BLOCK_ROWS, sides.block_columns)
        for i, j in product(range(i0, i1, steps[0]), range(j0, j1, steps[1])):
            inner = sides.inner_products(i, min(i + steps[0], i1), j, min(j + steps[1], j1))
            tiles.fill(self._plan, left, right, self._near, i, j, symmetric, inner, results)

    def _blocks(self, start, stop):
        """Deque of the blocks of rows start .. stop, the most expensive ones first.

        Of a symmetric matrix these are the columns up to the last row of each block.
        """
        blocks, m, symmetric = deque(), self._n_columns, self._is_symmetric
        n_rows, n_columns = tiles.BLOCK_ROWS, self._sides.block_columns
        if self._sides.is_held or symmetric:
            for i0 in range(start, stop, n_rows):
                i1 = min(i0 + n_rows, stop)
                end = i1 if symmetric else m
                for j0 in range(start, end, n_columns):
                    blocks.appendleft((i0, i1, j0, min(j0 + n_columns, end)))
        if not self._sides.is_held:  # one block of all these rows computes coefficients of columns
            end = start if symmetric else m
            for j0 in reversed(range(0, end, SERIES_COLUMNS)):
                blocks.appendleft((start, stop, j0, min(j0 + SERIES_COLUMNS, end)))
        return blocks
