"""`Work` on a GPU for Gram matrices of rows with positions: batches of pairs of rows as lanes."""

from collections import deque
from functools import partial

import numpy as np

from .._work import Part, diagonals_of
from ..rows import blocks
from .devices import library, refusing
from .line_scan import scan_blocks
from .lines import LEAST_PAIRS, Machine


def scan(program, rows, gradient, dtype, machine=None):
    """`blocks.scan` of rows in device memory; its results are on the CPU."""
    run = partial(scan_blocks, machine or Machine(program, gradient))
    return blocks.scan(program, rows, gradient, dtype, run)


class LineWork:
    """`Work` of rows with positions; with one set of rows the matrix is symmetric.

    In a symmetric matrix of n rows, row ``i`` is paired with the rows ``(i + j) % n`` for ``1 <= j
    <= n / 2``, as in `numba.line_work`.
    """

    n_threads = 1

    def __init__(self, program, rows, names, gradient, dtype):
        machine = Machine(program, gradient)
        scanned = scan(program, rows, gradient, dtype, machine)
        n, self._is_symmetric = len(rows[0][0]), len(rows) == 1
        self.shape = n, n // 2 if self._is_symmetric else len(rows[1][0])
        self._machine, with_end = machine.in_type(dtype), _with_end(scanned)
        left, right = (blocks.take_rows(with_end, s) for s in (slice(n), slice(n, None)))
        sides = [(rows[0][0], left), *((Y, right) for Y, _ in rows[1:])]
        self._machine.load(with_end, *sides)
        self.diagonals = diagonals_of(blocks.take_rows(scanned, slice(n)))

    def parts(self):
        """One part with all blocks."""
        return [Part(lambda: self._compute, deque(self._blocks()))]

    def _blocks(self):
        """Yield blocks of rows, and of columns or, if symmetric, differences less 1 of rows."""
        n, m = self.shape
        n_pairs = self._machine.count_pairs(n * m)
        n_columns = max(1, min(m, n_pairs))
        n_rows = max(1, n_pairs // n_columns)
        for i in range(0, n, n_rows):
            for j in range(0, m, n_columns):
                yield i, min(i + n_rows, n), j, min(j + n_columns, m)

    def _pairs(self, block):
        """Rows of the left and of the right side, arrays (n_pairs,), of all pairs of a block."""
        i0, i1, j0, j1 = block
        left, right = (part.ravel() for part in np.mgrid[i0:i1, j0:j1].astype(np.int32))
        if not self._is_symmetric:
            return left, right
        n, offsets = self.shape[0], right + 1
        once = (2 * offsets < n) | (2 * left < n)
        return left[once], ((left + offsets) % n)[once]

    def _compute(self, block, results):
        """Fill a block of the results, in parts if there is not enough memory."""
        left, right = self._pairs(block)
        first, size = 0, len(left)
        while first < len(left):
            part = slice(first, first + size)
            try:
                with refusing(f"{size} pairs of rows"):
                    self._fill(left[part], right[part], results)
            except MemoryError:
                if size <= LEAST_PAIRS:
                    raise
                size = max(LEAST_PAIRS, size // 2)
            else:
                first += size

    def _fill(self, left, right, results):
        cupy, machine = library(), self._machine
        places = cupy.asarray(left), cupy.asarray(right)
        values = cupy.empty((6 if machine.gradient else 2, len(left)), machine.dtype)
        machine.run(0, len(machine.launches.cases), machine.lines(len(left)), *places, values)
        if any(isinstance(result, np.ndarray) for result in results):
            values, places = cupy.asnumpy(values), (left, right)
        kernels = values[0], values[1], values[2:4].T, values[4:6].T
        for result, kernel in zip(results, kernels, strict=True):
            if result.size:
                result[0][places] = kernel
            if result.size and self._is_symmetric:
                result[0][places[::-1]] = kernel
        cupy.cuda.get_current_stream().synchronize()


def _with_end(scanned):
    """`LineRows` with a further record, of the variances at the end, which ``finish`` reads."""
    rates = ((), ())
    if scanned.dvariance is not None:
        rates = tuple((rate[None],) for rate in scanned.dvariance.T)
    return scanned._replace(
        records=[*scanned.records, (scanned.variance[None],)],
        rates=[*scanned.rates, rates],
        outside=[*scanned.outside, ()],
    )
