"""Lines of the compiled engine: runs a schedule for one left row and `N_LANES` right rows."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit, types

from ..packing.lines import LineSide, pack_constants, pack_numbers, pack_side, set_places
from ..rows import lines as rows
from ..rows.lines import formula_of
from ..schedule.operations import Begin, Blend, Clear, Extend, Gather, Map, Scatter
from ..sources import attention, line_series
from ..sources import lines as sources
from ..sources.lines import N_LANES
from ._private import address_of, call
from .compiling import INNER, compiled, from_source

N_SOURCES = 3
"""Number of terms of a `Gather` that is joined with the maps behind it: filters of 3 positions."""


class Lines(NamedTuple):
    """The argument of a compiled operation: plan, rows, and lines of the pairs ``(i, j0 + lane)``.

    ``ops[o]`` is an operation, as the six integers of `OperationRow`. ``tables`` are those of all
    operations, flat.
    ``steps[k]`` (4 integers) is where records of step ``k`` begin, the number of positions, the
    length of a record, and where its table in ``constants`` begins. ``numbers`` is from
    `pack_numbers`. A row has ``entries`` numbers and a position ``channels``. ``lines`` (n_lines *
    parts * N_LANES,) is the state and ``work`` scratch memory.
    """

    ops: object
    tables: object
    steps: object
    numbers: object
    constants: object
    channels: object
    entries: object
    left: LineSide
    right: LineSide
    i: object
    j0: object
    lines: object
    work: object


class OperationRow(NamedTuple):
    """An operation as integers: see `operations`; its tables begin at ``tables[place]``."""

    address: int
    step: int
    out: int
    n_lines: int
    place: int
    argument: int


class LinePlan(NamedTuple):
    """A schedule and its program as arrays; the first fields are those of `Lines`.

    ``result`` is the line of the result, ``n_lanes`` the number of pairs of rows of a line, and
    ``n_work * n_lanes`` the size of scratch memory.
    """

    ops: np.ndarray
    tables: np.ndarray
    steps: np.ndarray
    numbers: np.ndarray
    constants: np.ndarray
    channels: int
    entries: int
    result: int
    n_lines: int
    n_lanes: int
    n_work: int


@cache
def _signature(dtype):
    """Numba types of the arguments of an operation: its number, and `Lines` of this dtype."""
    single = {np.float32: types.float32, np.float64: types.float64}[dtype.type]
    real, reals = (types.Array(single, n_axes, "C") for n_axes in (1, 2))
    table = types.Array(types.int64, 2, "C")
    side = types.NamedTuple([real, real, types.int64], LineSide)
    plan = [table, types.Array(types.int32, 1, "C"), table, reals, real, *[types.int64] * 2]
    return types.int64, types.NamedTuple(
        [*plan, side, side, types.int64, types.int64, real, real], Lines
    )


@cache
def _operation(make, *arguments):
    """Compiled function of an operation, kept alive by the cache, and its address.

    ``make(*arguments)`` writes its source; the last argument is whether it is in single precision.
    """
    dtype = np.dtype(np.float32 if arguments[-1] else np.float64)
    function = from_source(make(*arguments), arguments[-1])
    return function, address_of(function, _signature(dtype))


_OPERATIONS = {
    Begin: sources.begin,
    Extend: sources.extend,
    Gather: sources.gather,
    Scatter: sources.scatter,
    Clear: sources.clear,
    Blend: sources.blend,
}
"""Functions that write the source of an operation, by its class."""

_RULES = {
    "embed": sources.embed,
    "series": line_series.source,
    "attend_linear": attention.linear,
    "attend_sqrt": attention.square_root,
}
"""Functions that write the source of a `Map` or `Mix`, by the rule of the step; see `mapped`."""


def _source_of(op, program):
    """Tuple of the function that writes the source of an operation, and its first arguments."""
    if type(op) in _OPERATIONS:
        return (_OPERATIONS[type(op)],)
    step = program.steps[op.step]
    if step.rule in _RULES:
        return (_RULES[step.rule],)
    return sources.mapped, *formula_of(step)[0]


def _is_joined(affine, op, program):
    """Whether two operations map the same lines by an affine step and by a bare activation."""
    if not isinstance(affine, Map) or not isinstance(op, Map) or affine.out != op.out:
        return False
    step, next_step = program.steps[affine.step], program.steps[op.step]
    is_next = op.step == affine.step + 1 and len(affine.left) == len(op.left)
    return (step.rule, next_step.rule) == ("affine", "pointwise") and is_next and next_step.is_bare


def _is_gathered(gather, op):
    """Whether ``gather`` writes the lines of ``op`` as sums of `N_SOURCES` terms."""
    is_same = isinstance(gather, Gather) and gather.out == op.out
    return is_same and gather.sources.shape == (len(op.left), N_SOURCES)


def _count_joined(operations, program):
    """List of the number of operations before each one that its loop includes: 0, 1 or 2."""
    counts = [0, 0]
    for gather, affine, op in zip(operations, operations[1:], operations[2:], strict=False):
        is_joined = _is_joined(affine, op, program)
        counts.append(is_joined + (is_joined and _is_gathered(gather, op)))
    return counts


def _operation_rows(program, operations, flags):
    """List of `OperationRow`; ``flags`` are the last arguments of functions that write sources."""
    ops, place = [], 1
    counts = _count_joined(operations, program)
    for op, n_joined in zip(operations, counts, strict=True):
        source, argument = _source_of(op, program), op.argument
        if n_joined:
            source = sources.joined, source[-1], N_SOURCES * (n_joined == 2)
        _, address = _operation(*source, *flags)
        if n_joined == 2:
            argument = ops[-2].place  # the table of the `Gather`
        for o in range(len(ops) - n_joined, len(ops)):  # the included operations run over no lines
            ops[o] = ops[o]._replace(n_lines=0)
        ops.append(OperationRow(address, max(op.step, 0), op.out, op.n_lines, place, argument))
        place += sum(map(len, op.tables))
    return ops


def make_plan(program, schedule, scan, gradient, dtype, own=False):
    """`LinePlan` of a schedule; ``scan`` has the records of single rows up to some step.

    With ``own`` it is for pairs of each row with itself, one row in each lane.
    """
    ops = _operation_rows(program, schedule.operations, (own, gradient, dtype == np.float32))
    tables = [table for op in schedule.operations for table in op.tables]
    steps = np.zeros((len(program.steps), 4), np.int64)
    set_places(steps, program, scan)
    constants = pack_constants(steps, program, scan, dtype)
    n_parts, n_series = 6 if gradient else 2, line_series.N_WORK
    scratch = max(op.scratch for op in schedule.operations)
    return LinePlan(
        np.array(ops, np.int64),
        np.concatenate([np.zeros(1, np.int32), *tables]),
        steps,
        pack_numbers(program, dtype),
        constants,
        program.shape[-1],
        int(np.prod(program.shape)),
        schedule.result,
        schedule.n_lines,
        N_LANES[dtype.name],
        max(n_series, n_parts * scratch),
    )


@njit(**INNER)
def _operate(plan, left, right, i, j, lines, work, first, last):
    """Run the operations ``first <= o < last`` of a plan for row ``i`` and columns from ``j``."""
    tile = Lines(
        plan.ops, plan.tables, plan.steps, plan.numbers, plan.constants, plan.channels,
        plan.entries, left, right, i, j, lines, work,
    )  # fmt: skip
    for o in range(first, last):
        call(plan.ops[o, 0], o, tile)


@njit(**INNER)
def _aligned(n, like):
    """Uninitialised array (n,) of the dtype of ``like`` that begins at a cache line."""
    memory = np.empty(n + 64 // like.itemsize, like.dtype)
    return memory[-memory.ctypes.data % 64 // like.itemsize :]


@compiled
def fill(plan, left, right, i0, i1, j0, j1, ring, out):
    """Run a plan for rows ``i0 <= i < i1`` and columns ``j0 <= j < j1``.

    ``out[part, i - i0, j - j0]`` receives the state in the line of the result. If ``ring`` is not
    zero, the matrix is symmetric with ``ring`` rows, and ``j`` counts from the row: the column is
    ``(i + j) % ring``. Pairs with ``2 j = ring`` are computed for the first half of the rows only.
    """
    n_parts, n_lanes = out.shape[0], plan.n_lanes
    size = n_parts * n_lanes
    lines = _aligned(plan.n_lines * size, plan.numbers)
    work = _aligned(plan.n_work * n_lanes, plan.numbers)
    for j in range(j0, j1, n_lanes):
        for i in range(i0, i1 if ring == 0 or 2 * j < ring else min(i1, ring // 2)):
            column = (i + j) % ring if ring > 0 else j
            _operate(plan, left, right, i, column, lines, work, 0, plan.ops.shape[0])
            for part in range(n_parts):
                place = plan.result * size + part * n_lanes
                for lane in range(min(n_lanes, j1 - j)):
                    out[part, i - i0, j - j0 + lane] = lines[place + lane]


@compiled
def run(plan, first, last, rows, lines):
    """Run the operations ``first <= o < last`` for pairs of each row with itself.

    ``lines[g]`` holds the lines of the rows ``g n_lanes <= i < (g + 1) n_lanes``.
    """
    work = np.empty(plan.n_work * plan.n_lanes, plan.numbers.dtype)
    for j in range(lines.shape[0]):
        _operate(plan, rows, rows, 0, j * plan.n_lanes, lines[j], work, first, last)


def plan_of_rows(program, schedule, gradient):
    """`LinePlan` for `scan_rows`, which adds the places of records and constants."""
    no_records = rows.LineRows([], [], [], *[None] * 5)
    return make_plan(program, schedule, no_records, gradient, np.dtype(np.float64), own=True)


def scan_rows(program, schedule, plan, X, gradient):
    """`reference.lines.scan_rows` with compiled loops; ``plan`` is from `plan_of_rows`."""
    n, n_lanes, n_parts = len(X), plan.n_lanes, 6 if gradient else 2
    n_tiles = -(-n // n_lanes)
    X = X[np.minimum(np.arange(n_tiles * n_lanes), n - 1)]
    scan = rows.Scan(program, rows.variances(X), gradient)
    plan = plan._replace(steps=plan.steps.copy())
    lines = np.zeros((n_tiles, schedule.n_lines * n_parts * n_lanes))

    def take(index):
        """The lines with the numbers ``index``, as an array (parts, len(index), rows)."""
        taken = lines.reshape(n_tiles, -1, n_parts, n_lanes)[:, index]
        return taken.transpose(2, 1, 0, 3).reshape(n_parts, len(index), -1)

    ops, first, pairs = schedule.operations, 0, None
    stops = [o for o, op in enumerate(ops) if rows.needs_pairs(op, program)]
    for stop in [*stops, len(ops)]:
        last_step = max((op.step for op in ops[first:stop] if op.reads_rows), default=-1)
        scan.advance(last_step, pairs)
        set_places(plan.steps, program, scan)
        plan = plan._replace(constants=pack_constants(plan.steps, program, scan, lines.dtype))
        run(plan, first, stop, pack_side(scan, X, False, np.dtype(np.float64)), lines)
        if stop < len(ops):
            pairs = rows.pairs_of(ops[stop], program.steps[ops[stop].step], take, gradient)
        first = stop
    return scan.finish(take([schedule.result])[:, 0], n)
