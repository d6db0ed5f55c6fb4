"""Lines in device memory, and the launches that run a schedule on them."""

from copy import copy
from functools import lru_cache

import numpy as np

from ..packing.launches import launches
from ..packing.lines import pack_constants, pack_numbers, pack_side, set_places
from ..rows.lines import formula_of
from ..schedule import fields
from ..sources import cuda_lines
from .devices import free_memory, library, refusing, with_room
from .launching import kernel_of

PORTION = 2**15
"""Number of lines of a portion, about."""

LAUNCH = 2**20
"""Lines times pairs of rows of a launch, about: enough for all processors of a GPU, and little
enough for the states of a few portions to stay in its cache."""

FIELD_LINES = 64
"""Pairs of positions of fields that count as a line: little of their work is in memory."""

LEAST_PAIRS = 32
"""Pairs of rows that are not divided further if memory runs out."""

CELLS_BYTES = 116_000
"""Most bytes of the fields of a segment, in double precision, in shared memory.

A multiprocessor of a device for data centres holds two such blocks.
"""

MANY_BYTES = 40_000
"""Bytes of fields above which a block has more threads, since a multiprocessor holds few blocks."""

SHARE = 0.25
"""Share of the free memory that lines may take."""


class _Kind:
    """A program as a key, equal for programs that differ only in numbers, which no launch has."""

    def __init__(self, program):
        cases = tuple((formula_of(step)[0], step.is_bare) for step in program.steps)
        self.program, self._key = program, (program.outline, cases)

    def __eq__(self, other):
        return self._key == other._key

    def __hash__(self):
        return hash(self._key)


@lru_cache(4)
def _plan(kind, portion, n_cells):
    """`Schedule` of a program, with fields of up to ``n_cells`` cells, and its `Launches`."""
    made = fields.schedule(kind.program, portion, n_cells)
    return made, launches(kind.program, made)


class Machine:
    """Runs the schedule of a program on the lines of some pairs of rows.

    `load` takes the records of rows to the device; then `run` launches operations. Numbers are in
    double precision, or as `in_type` says.
    """

    def __init__(self, program, gradient):
        self.program, self.gradient = program, gradient
        self._n_parts = 6 if gradient else 2
        n_cells = min(CELLS_BYTES, _shared_bytes()) // (self._n_parts * 8)
        self.schedule, self.launches = _plan(_Kind(program), PORTION, n_cells)
        asarray = library().asarray
        with refusing("the schedule of a network"):
            self._tables = {
                "ops": asarray(self.launches.fields),
                "tables": asarray(self.launches.tables),
                "channels": np.int32(program.shape[-1]),
            }
        widths = zip(self.launches.cases, self.launches.fields[:, 2], strict=True)
        n_pairs = np.prod(program.shape[:-1]) ** 2 // FIELD_LINES  # of positions, in a field
        widest = max(max(width, n_pairs * (case == "field")) for case, width in widths)
        self._widest = min(PORTION, int(widest))
        self._set_type(np.dtype(np.float64))

    def _set_type(self, dtype):
        """Choose the kernels for numbers of this type."""
        made, self.dtype = self.launches, dtype
        kinds = cuda_lines.kinds_of(
            made.cases, made.field_cases, self.gradient, dtype == np.float32
        )
        cases = [kinds.field_cases.index(case) for case in made.field_cases]
        self._cases = library().asarray(np.array([*cases, 0], np.int32))
        self._kernels = [
            with_room(kernel_of, cuda_lines, kinds, kinds.kernel(case)) for case in made.cases
        ]
        if "field" in made.cases:  # the same for all that launch it
            field = self._kernels[made.cases.index("field")]
            field.max_dynamic_shared_size_bytes = _shared_bytes()

    def in_type(self, dtype):
        """The same for numbers of this type."""
        other = copy(self)
        other._set_type(dtype)
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
            "cases": self._cases,
        }
        by_rows = "field" in self.launches.cases
        with refusing(f"the records of {sum(len(X) for X, _ in sides)} rows"):
            packed = [_side(X, rows, self.dtype, by_rows) for X, rows in sides]
        for name, side in (("left", packed[0]), ("right", packed[-1])):
            self._values |= {f"{name}_{field}": value for field, value in side.items()}

    def count_pairs(self, n):
        """Number of pairs of rows that are run at a time, of ``n`` in all."""
        line_bytes = self.launches.n_lines * self._n_parts * self.dtype.itemsize
        most = int(min(LAUNCH // self._widest, SHARE * free_memory() / line_bytes))
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
        if not len(left):  # CuPy would launch a block of threads all the same
            return
        values = self._values | {"own": np.int32(left is right), "left": left, "right": right}
        values |= {"n_pairs": np.int32(len(left)), "n_lanes": np.int64(lines.shape[2])}
        values |= {"lines": lines, "results": np.uint64(0) if results is None else results}
        _, *names = cuda_lines.PARAMETERS
        arguments = tuple(values[name] for name in names)
        sizes, n_cells = (self.launches.fields[:, field].tolist() for field in (2, 6))
        columns, warps = cuda_lines.COLUMNS, cuda_lines.WARPS
        n_blocks = -(-len(left) // columns)
        for o in range(first, last):
            kernel, given = self._kernels[o], (np.int32(o), *arguments)
            if self.launches.cases[o] == "field":
                self._run_field(kernel, (len(left), sizes[o]), n_cells[o], given)
            else:
                with_room(kernel, (-(-sizes[o] // warps), n_blocks), (columns, warps), given)

    def _run_field(self, kernel, grid, n_cells, arguments):
        """Launch a kernel with shared memory, with more threads where it leaves few blocks."""
        cell_bytes = self._n_parts * self.dtype.itemsize
        few, many = cuda_lines.THREADS // 2, cuda_lines.THREADS
        n_threads = many if n_cells * cell_bytes > MANY_BYTES else few
        n_bytes = max(n_cells, n_threads) * cell_bytes
        with_room(kernel, grid, (n_threads,), arguments, shared_mem=n_bytes)


def _shared_bytes():
    """Bytes of fast memory that a block of threads may have on the current device."""
    return library().cuda.Device().attributes["MaxSharedMemoryPerBlockOptin"]


def _side(X, rows, dtype, by_rows):
    """Arguments of kernels for one side: rows, records, and how far apart their numbers are.

    The numbers of a row are adjacent if ``by_rows``, for fields; else those of adjacent rows, for
    lines, whose lanes are adjacent rows.
    """
    packed = pack_side(rows, np.zeros((len(X), 1)), by_rows, dtype)
    side = {"records": library().asarray(packed.records)}
    if by_rows:
        side["X"] = library().ascontiguousarray(X.astype(dtype))
        return side | {"n": np.int64(1), "row": np.int64(packed.n), "X_row": np.int64(X.shape[1])}
    side["X"] = library().empty((X.shape[1], packed.n), dtype)
    side["X"][:, : len(X)] = X.T
    return side | {"n": np.int64(packed.n), "row": np.int64(1), "X_row": np.int64(1)}
