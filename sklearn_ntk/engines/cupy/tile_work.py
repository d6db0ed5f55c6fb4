"""`Work` on a GPU for Gram matrices of rows without positions: a launch for each block of rows."""

import math
from collections import deque
from functools import partial

import numpy as np

from .._work import Part
from ..packing.sides import NEAR
from ..packing.tile import Results
from ..packing.tiles import pack_numbers, pack_orders
from ..sources import cuda
from .devices import library, refusing
from .launching import launch
from .sides import DeviceSides

BLOCK_PAIRS = 2**23
"""Most pairs of a block, whose inner products are held: less than 0.1 s, between interrupts."""

MOST_ROWS = 2**16
"""Most rows of a block, of which some share one of the 2^16 - 1 places along an axis of a grid."""

LEAST_ROWS = 32
"""Rows of a block that is not divided further if memory runs out."""

SERIES_COLUMNS = 4096
"""Columns of a block for which coefficients of series are computed, if they are not held."""

_NAMES = Results._fields


class TileWork:
    """`Work` of rows without positions; with one set of rows the matrix is symmetric."""

    n_threads = 1

    def __init__(self, program, rows, names, gradient, dtype):
        self._sides = DeviceSides(program, rows, gradient, names, dtype)
        self.diagonals, self._dtype, self._memory = self._sides.diagonals, dtype, None
        self._is_symmetric, self._n_columns = len(rows) == 1, len(rows[-1][0])
        self._kinds = cuda.kinds_of(program, gradient, dtype == np.float32)
        numbers, spans = pack_numbers(program, dtype), self._sides.spans
        orders = pack_orders(program, spans, dtype)
        asarray = library().asarray
        self._plan = {
            "n_steps": len(program.steps),
            "kinds": asarray(self._kinds.places(program)),
            "numbers": asarray(numbers),
            "n_numbers": numbers.shape[1],
            "spans": asarray(spans.astype("int32")),
            "orders": asarray(orders),
            "n_terms": orders.shape[1],
            "d": rows[0][0].shape[1],
            "near": NEAR[dtype.name],
            "symmetric": self._is_symmetric,
            "scaled": {"left": 1.0, "both": 2.0}.get(program.by_rows, 0.0),
            "moved": float(bool(program.by_rows)),
            "n_outputs": program.n_outputs,
        }

    def parts(self):
        """Yield a `Part` for each range of rows whose coefficients of series are held together."""
        for place in self._sides.parts():
            yield Part(partial(self._prepare, *place), deque(self._blocks(*place)))

    def _prepare(self, start, stop):
        return partial(self._compute, self._sides.side(0, start, stop))

    def _blocks(self, start, stop):
        """Yield the blocks of rows start .. stop, which may also have all columns before them.

        Of a symmetric matrix these are the columns up to the last row of each block.
        """
        m, symmetric, is_held = self._n_columns, self._is_symmetric, self._sides.is_held
        first = start if symmetric and not is_held else 0
        if symmetric or is_held:
            for i0, i1 in _cut(start, stop, m):
                yield i0, i1, first, i1 if symmetric else m
        if not is_held:  # blocks of the same columns, whose coefficients are computed once
            end = start if symmetric else m
            for j0 in range(0, end, SERIES_COLUMNS):
                j1 = min(j0 + SERIES_COLUMNS, end)
                for i0, i1 in _cut(start, stop, j1 - j0):
                    yield i0, i1, j0, j1

    def _compute(self, left, block, results):
        """Fill a block of the results, in parts if there is not enough memory."""
        i0, i1, j0, j1 = block
        try:
            with refusing(f"{i1 - i0} rows of a Gram matrix with {self._n_columns} columns"):
                self._fill(left, block, results)
            return
        except MemoryError:
            if i1 - i0 <= LEAST_ROWS:
                raise
        middle = i0 + max(LEAST_ROWS, (i1 - i0) // 2)
        ends = self._is_symmetric and j1 == i1  # with the diagonal
        self._compute(left, (i0, middle, j0, middle if ends else j1), results)
        self._compute(left, (middle, i1, j0, j1), results)

    def _fill(self, left, block, results):
        i0, i1, j0, j1 = block
        right = self._sides.right(left, j0, j1)
        targets = [_Target(self._dtype, result, block, self._is_symmetric) for result in results]
        values = dict(zip(_NAMES, (target.out for target in targets), strict=True))
        values |= {f"{name}_mirror": t.mirror for name, t in zip(_NAMES, targets, strict=True)}
        for target in targets:
            values |= target.steps
        values |= self._plan | {"i0": i0, "i1": i1, "j0": j0, "j1": j1}
        values["products"] = self._sides.inner_products(i0, i1, j0, j1)
        values |= _side("left", left) | _side("right", right)
        rows, warps = cuda.SHAPES[self._kinds.gradient]
        grid = -(-(j1 - j0) // cuda.COLUMNS), -(-(i1 - i0) // (rows * warps))
        launch(cuda, self._kinds, grid, (cuda.COLUMNS, warps), values)
        for target in targets:
            target.fetch(self._room)
        library().cuda.get_current_stream().synchronize()

    def _room(self, shape):
        """Array of NumPy in memory that a GPU writes to fast, used again at each call."""
        import cupyx

        size = math.prod(shape)
        if self._memory is None or self._memory.size < size:
            try:
                self._memory = cupyx.empty_pinned(size, self._dtype)
            except (MemoryError, RuntimeError):  # the system pins no more, and copies by itself
                self._memory = np.empty(size, self._dtype)
        return self._memory[:size].reshape(shape)


def _cut(start, stop, n_columns):
    """Yield ranges of the rows start .. stop for blocks with so many columns."""
    size = min(max(LEAST_ROWS, BLOCK_PAIRS // max(1, n_columns)), MOST_ROWS)
    for i0 in range(start, stop, size):
        yield i0, min(i0 + size, stop)


def _side(name, side):
    """Arguments of the kernel for a `TileSide`, whose heads may be a part of an array."""
    fields = side._asdict()
    n = side.heads.strides[1] // side.heads.itemsize
    fields |= {"rates": side.head_rates, "n": n, "n_held": side.coefficients.shape[1]}
    return {f"{name}_{field}": fields[field] for field in cuda.SIDE}


class _Target:
    """Where the kernel stores a block of a result (n_matrices, n, m, ...), or None if not wanted.

    A result in device memory is itself the target. For one of NumPy there are two arrays of the
    device, one of which has the block mirrored, and `fetch` copies them.
    """

    def __init__(self, dtype, result, block, is_symmetric):
        self.out = self.mirror = None
        self.steps, self._fetched = {}, []
        if not result.size:
            return
        i0, i1, j0, j1 = block
        places = [(slice(i0, i1), slice(j0, j1))]
        width = max(0, min(j1, i0) - j0) if is_symmetric else 0  # what is mirrored out of the block
        if width:
            places.append((slice(j0, j0 + width), slice(i0, i1)))
        parts = [result[(slice(None), *place)] for place in places]
        arrays = parts
        if isinstance(result, np.ndarray):
            arrays = [library().empty(part.shape, dtype) for part in parts]
            self._fetched = list(zip(parts, arrays, strict=True))
        shapes = [a.shape if self._fetched else result.shape for a in arrays]
        self.out, self.mirror = [*arrays, None][:2]
        for name, (_, n, m, *_) in zip(("out", "mirror"), [*shapes, shapes[0]], strict=False):
            self.steps |= {f"{name}_step": m, f"{name}_plane": n * m}

    def fetch(self, room):
        """Copy what has been stored to a result of NumPy, by way of ``room(shape)``."""
        for part, array in self._fetched:
            part[...] = array.get(out=room(array.shape))
