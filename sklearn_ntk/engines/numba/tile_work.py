"""Gram matrices of rows without positions, tile by tile: the `Work` of the compiled engine."""

from collections import deque
from functools import partial
from itertools import product

from .._work import Part, n_pairs
from ..packing.sides import NEAR, Sides
from ..rows.tiles import SLAB
from . import tiles

WORK_PER_THREAD = 500_000
"""Pairs times steps, about two milliseconds, below which another thread does not pay."""

SERIES_COLUMNS = 2 * SLAB
"""Columns of a block that makes the coefficients of series for itself."""


class TileWork:
    """Pairs of rows; they are the same if only one set of rows is given."""

    def __init__(self, program, rows, names, gradient, dtype):
        n_threads, self._n_columns = tiles.get_num_threads(), len(rows[-1][0])
        self._sides = Sides(program, rows, gradient, names, dtype, n_threads)
        self._plan = tiles.make_plan(program, self._sides.spans, gradient, dtype)
        self._near, self._is_symmetric = dtype.type(NEAR[dtype.name]), len(rows) == 1
        self.diagonals = self._sides.diagonals
        total = sum(n_pairs(block) for _, blocks in self.parts() for block in blocks)
        self.n_threads = min(n_threads, 1 + total * len(program.steps) // WORK_PER_THREAD)

    def parts(self):
        """Parts of the rows: all of them, unless the coefficients of series fill the memory."""
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
        """Blocks of some rows and their columns, the most expensive ones first."""
        blocks, m, symmetric = deque(), self._n_columns, self._is_symmetric
        n_rows, n_columns = tiles.BLOCK_ROWS, self._sides.block_columns
        if self._sides.is_held or symmetric:
            for i0 in range(start, stop, n_rows):
                i1 = min(i0 + n_rows, stop)
                end = i1 if symmetric else m
                for j0 in range(start, end, n_columns):
                    blocks.appendleft((i0, i1, j0, min(j0 + n_columns, end)))
        if not self._sides.is_held:  # coefficients of columns are made once for all of these rows
            end = start if symmetric else m
            for j0 in reversed(range(0, end, SERIES_COLUMNS)):
                blocks.appendleft((start, stop, j0, min(j0 + SERIES_COLUMNS, end)))
        return blocks
