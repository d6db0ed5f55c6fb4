"""Lines in device memory, and the launches that run a schedule on them."""

from contextlib import contextmanager
from copy import copy
from functools import cache

import numpy as np

from ..packing.launches import launches
from ..packing.lines import pack_constants, pack_numbers, pack_side, set_places
from ..schedule.writer import schedule
from ..sources import cuda_lines
from .devices import free_memory, library

PORTION = 2**15
"""Number of lines of a portion, about."""

LAUNCH = 2**21
"""Lines times pairs of rows of a launch, about: enough for all processors of a GPU, and little
enough for the states of a few portions to stay in its cache."""

LEAST_PAIRS = 32
"""Pairs of rows that are not divided further if memory runs out."""

SHARE = 0.25
"""Share of the free memory that lines may take."""


@cache
def _kernel(kinds, case):
    """The kernel of a case, which CuPy compiles with all others of its kinds."""
    return _module(kinds).get_function(kinds.kernel(case))


@cache
def _module(kinds):
    return library().RawModule(code=cuda_lines.source(kinds), options=("-std=c++17",))


@contextmanager
def refusing(what):
    """Context in which a lack of device memory becomes a sentence with ``what`` was to be there."""
    try:
        yield
    except MemoryError as error:
        raise MemoryError(
            f"The GPU has no memory left for {what}: take fewer rows, a network with fewer "
            f"positions, or device='cpu'."
        ) from error


class Machine:
    """Runs the schedule of a program on the lines of some pairs of rows.

    `load` takes the records of rows to the device; then `run` launches operations. Numbers are in
    double precision, or as `in_type` says.
    """

    dtype = np.dtype(np.float64)

    def __init__(self, program, gradient):
        self.program, self.schedule = program, schedule(program, PORTION, True)
        self.launches = launches(program, self.schedule)
        self.gradient, self._n_parts = gradient, 6 if gradient else 2
        asarray = library().asarray
        with refusing("the schedule of a network"):
            self._tables = {
                "ops": asarray(self.launches.fields),
                "tables": asarray(self.launches.tables),
                "channels": np.int32(program.shape[-1]),
            }

    def in_type(self, dtype):
        """The same for numbers of this type."""
        other = copy(self)
        other.dtype = dtype
        return other

    def load(self, scan, *sides):
        """Take rows and their records to the device.

        ``sides`` are pairs of rows (n, d) in its memory and the `LineRows` of these, one if both
        sides are the same; ``scan`` has the records of some of the rows.
        """
        steps = np.zeros((len(self.program.steps) + 1, 4), np.int64)
        set_places(steps, self.program, scan)
        constants = pack_constants(steps, self.program, scan, self.dtype)
        numbers, asarray = pack_numbers(self.program, self.dtype), library().asarray
        self._values = self._tables | {
            "steps": asarray(steps),
            "numbers": asarray(numbers),
            "n_numbers": np.int32(numbers.shape[1]),
            "constants": asarray(constants),
        }
        with refusing(f"the records of {sum(len(X) for X, _ in sides)} rows"):
            packed = [_side(X, rows, self.dtype) for X, rows in sides]
        for name, side in (("left", packed[0]), ("right", packed[-1])):
            self._values |= {f"{name}_{field}": value for field, value in side.items()}

    def count_pairs(self, n):
        """Number of pairs of rows that are run at a time, of ``n`` in all."""
        widest = min(PORTION, int(self.launches.fields[:, 2].max()))
        line_bytes = self.launches.n_lines * self._n_parts * self.dtype.itemsize
        most = int(min(LAUNCH // widest, SHARE * free_memory() / line_bytes))
        return max(1, min(n, max(most, LEAST_PAIRS)))

    def lines(self, n_pairs):
        """Uninitialised lines (n_lines, parts, n_lanes) for so many pairs of rows."""
        n_lanes = -(-n_pairs // cuda_lines.COLUMNS) * cuda_lines.COLUMNS
        return library().empty((self.launches.n_lines, self._n_parts, n_lanes), self.dtype)

    def run(self, first, last, lines, left, right, results=None):
        """Run the launches ``first <= o < last`` for the pairs of rows ``left`` and ``right``.

        These are arrays (n_pairs,) of the device; if they are the same, each row is paired with
        itself. ``results`` (parts, n_pairs) receives NNGP, NTK and their rates by ``finish``.
        """
        values = self._values | {"own": np.int32(left is right), "left": left, "right": right}
        values |= {"n_pairs": np.int32(len(left)), "n_lanes": np.int64(lines.shape[2])}
        values |= {"lines": lines, "results": np.uint64(0) if results is None else results}
        kinds = cuda_lines.kinds_of(self.launches.cases, self.gradient, self.dtype == np.float32)
        _, *names = cuda_lines.PARAMETERS
        arguments = tuple(values[name] for name in names)
        columns, warps = cuda_lines.COLUMNS, cuda_lines.WARPS
        for o in range(first, last):
            grid = -(-int(self.launches.fields[o, 2]) // warps), -(-len(left) // columns)
            kernel = _kernel(kinds, self.launches.cases[o])
            kernel(grid, (columns, warps), (np.int32(o), *arguments))


def _side(X, rows, dtype):
    """Arguments of kernels for one side: rows (entries, n), records, and ``n``, all rounded up."""
    packed = pack_side(rows, np.zeros((len(X), 1)), False, dtype)
    entries = library().empty((X.shape[1], packed.n), dtype)
    entries[:, : len(X)] = X.T
    return {"X": entries, "records": library().asarray(packed.records), "n": np.int64(packed.n)}
