"""The compiled engine for networks on positions: it runs schedules on a few pairs of rows at a time."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numba import types

from ...program import Attend, Embed, Pointwise, Recur
from .. import _attention_loops, _position_loops, _positions
from .._position_loops import N_LANES
from .._position_series import N_WORK, series
from .._schedule import Begin, Blend, Clear, Extend, Gather, Map, Mix, Scatter
from ._compile import call, compiled, from_source, place_of


class Side(NamedTuple):
    """Rows of one side: the entries of their positions, and the records of all steps.

    On the left a row follows the other, and has ``n`` records. On the right each entry, and each
    record, of all ``n`` rows stands side by side. The order of records is that of steps, then parts,
    then positions.
    """

    X: object
    records: object
    n: object


class Lines(NamedTuple):
    """What an operation sees: the plan, the rows, and the lines of row ``i`` with columns ``j0`` on.

    ``ops[o]`` is an operation: address, step, first line, number of lines, place in ``tables``, and
    two numbers of its own. ``steps[k]`` is where records of step ``k`` begin, the number of its
    positions, the length of a record, and where its numbers in ``constants`` begin.
    """

    ops: object
    tables: object
    steps: object
    numbers: object
    constants: object
    channels: object
    entries: object
    left: Side
    right: Side
    i: object
    j0: object
    lines: object
    work: object


class Plan(NamedTuple):
    """A schedule as the engine takes it; fields are those of `Lines`, and sizes."""

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
    single = {np.float32: types.float32, np.float64: types.float64}[dtype.type]

    def real(n_axes):
        return types.Array(single, n_axes, "C")

    def whole(n_axes, kind=types.int64):
        return types.Array(kind, n_axes, "C")

    side = types.NamedTuple([real(1), real(1), types.int64], Side)
    fields = (
        whole(2),
        whole(1, types.int32),
        whole(2),
        real(2),
        real(1),
        types.int64,
        types.int64,
        side,
        side,
    )
    return types.int64, types.NamedTuple(
        [*fields, types.int64, types.int64, real(1), real(1)], Lines
    )


@cache
def _address(make, *arguments):
    """Address of a compiled operation; the last argument tells whether it is in single precision."""
    dtype = np.dtype(np.float32 if arguments[-1] else np.float64)
    return place_of(from_source(make(*arguments), arguments[-1]), _signature(dtype))


def _make(op, program, *flags):
    """Address of what an operation runs, and its table and numbers."""
    step = program.steps[op.step] if 0 <= op.step < len(program.steps) else None
    if isinstance(op, Map):
        return _address(*_map_source(step), *flags), op.left, op.right
    if isinstance(op, Begin):
        return _address(_position_loops.begin, *flags), op.left, op.right
    if isinstance(op, Extend):
        return _address(_position_loops.extend, *flags), op.is_right, op.places
    if isinstance(op, Gather):
        return _address(_position_loops.gather, *flags), op.sources.ravel()
    if isinstance(op, Scatter):
        return _address(_position_loops.scatter, *flags), op.sources, op.targets
    if isinstance(op, Clear):
        return (_address(_position_loops.clear, *flags),)
    if isinstance(op, Blend):
        return _address(_position_loops.blend, *flags), op.left, op.right, op.previous, op.inputs
    is_linear = step.scaling == "linear"
    source = _attention_loops.linear if is_linear else _attention_loops.square_root
    return (_address(source, *flags),)


def _map_source(step):
    kind = _positions.kind_of(step)
    if kind == "embed":
        return (_position_loops.embed,)
    if kind == "series":
        return (series,)
    cls = type(step.activation) if kind == "pointwise" else None
    return _position_loops.mapped, kind, cls


def _row_of(op, address, place):
    extra, out = 0, getattr(op, "out", 0)
    if isinstance(op, Clear):
        n = op.n
    elif isinstance(op, Gather):
        n, extra = op.sources.shape
    elif isinstance(op, Scatter):
        n = len(op.sources)
    elif isinstance(op, Mix):
        n, extra = op.n, op.source
    else:
        n = len(op.places if isinstance(op, Extend) else op.left)
    return address, max(op.step, 0) if op.step >= 0 else 0, out, n, place, extra


def _numbers(step):
    """What an operation of a step knows besides records."""
    if isinstance(step, Recur):
        moved = step.recurrent_var * step.recurrent_tied
        drift = step.weight_var * step.weight_tied
        return step.recurrent_var, step.weight_var, step.trained, moved, drift
    if isinstance(step, Attend):
        return step.score_scale**2, 2.0 * step.trained
    if isinstance(step, Embed):
        return (step.trained,)
    weight, _, trained, drift, _ = _positions.numbers_of(step)
    own = () if not isinstance(step, Pointwise) or step.activation.is_series else step.activation
    return weight, trained, drift, *own


def make_plan(program, schedule, scan, gradient, dtype, own=False):
    """Plan of a schedule; ``scan`` tells the lengths of records, as far as they are known.

    ``own`` makes it one for pairs of each row with itself: those of the lanes.
    """
    single = dtype == np.float32
    rows, tables, place = [], [np.zeros(1, np.int32)], 1
    for op in schedule.operations:
        address, *parts = _make(op, program, own, gradient, single)
        rows.append(_row_of(op, address, place))
        tables += [part.astype(np.int32, copy=False) for part in parts]
        place += sum(map(len, parts))
    numbers = [_numbers(step) for step in program.steps]
    packed = np.zeros((len(numbers), max(map(len, numbers))), dtype)
    for target, row in zip(packed, numbers, strict=True):
        target[: len(row)] = row
    embeds = [
        _positions.correlations(step).ravel() if isinstance(step, Embed) else np.zeros(0)
        for step in program.steps
    ]
    begins = np.cumsum([0, *map(len, embeds)])[:-1]
    steps = np.zeros((len(begins), 4), np.int64)
    steps[:, 3] = begins
    set_places(steps, program, scan)
    widest = max([op.n for op in schedule.operations if isinstance(op, Mix)], default=0)
    return Plan(
        np.array(rows, np.int64),
        np.concatenate(tables),
        steps,
        packed,
        np.concatenate([*embeds, [0.0]]).astype(dtype),
        program.shape[-1],
        int(np.prod(program.shape)),
        schedule.result,
        schedule.n_lines,
        N_LANES[dtype.name],
        max(N_WORK, (6 if gradient else 2) * widest),
    )


def _parts_of(scan, k):
    """Slots of the records of a step: arrays (positions, n), and how many a record has."""

    def slots(record):
        found = []
        for part in record:
            found += list(part) if part.ndim == 3 else [part]
        return found

    values = slots(scan.records[k])
    moves = [part for rate in scan.rates[k] for part in slots(rate)]
    return [*values, *moves, *scan.outside[k]], len(values)


def set_places(steps, program, scan):
    """Write where the records of each step are, as far as known: begin, positions, length."""
    begin = 0
    for k, row in enumerate(steps[: len(scan.records)]):
        parts, width = _parts_of(scan, k)
        count = len(parts[0]) if parts else 0
        if isinstance(program.steps[k], Embed):
            count = int(np.prod(program.steps[k].grid))  # of its table
        row[:3] = begin, count, width
        begin += sum(map(len, parts))


def pack_side(scan, X, is_left, dtype):
    """Rows (n, positions, channels) and their records; on the right up to whole lines."""
    parts = [part for k in range(len(scan.records)) for part in _parts_of(scan, k)[0]]
    total, n = sum(map(len, parts)), len(X)
    X = X.reshape(n, -1)
    if is_left:
        records = np.empty((n, total), dtype)
        np.concatenate([part.T for part in parts], axis=1, out=records, casting="same_kind")
        return Side(np.ascontiguousarray(X, dtype).ravel(), records.ravel(), total)
    n_lanes = N_LANES[dtype.name]
    n_filled = -(-n // n_lanes) * n_lanes
    records, entries = np.empty((total, n_filled), dtype), np.empty((X.shape[1], n_filled), dtype)
    np.concatenate(parts, axis=0, out=records[:, :n], casting="same_kind")
    entries[:, :n] = X.T
    for filled in (records, entries):  # any numbers that are legal
        filled[:, n:] = filled[:, n - 1 : n]
    return Side(entries.ravel(), records.ravel(), n_filled)


@compiled
def fill(plan, left, right, i0, i1, j0, j1, is_symmetric, out):
    """Run a plan for rows ``i0 .. i1`` and columns ``j0 .. j1``.

    ``out[part, i - i0, j - j0]`` receives the state in the line of the result; of a symmetric
    matrix, all columns up to ``i``.
    """
    n_parts = out.shape[0]
    n_lanes = plan.n_lanes
    size = n_parts * n_lanes
    lines = np.empty(plan.n_lines * size, plan.numbers.dtype)
    work = np.empty(plan.n_work * n_lanes, plan.numbers.dtype)
    for j in range(j0, j1, n_lanes):
        for i in range(max(i0, j) if is_symmetric else i0, i1):
            tile = Lines(
                plan.ops, plan.tables, plan.steps, plan.numbers, plan.constants, plan.channels, plan.entries,
                left, right, i, j, lines, work,
            )  # fmt: skip
            for o in range(plan.ops.shape[0]):
                call(plan.ops[o, 0], o, tile)
            for part in range(n_parts):
                for lane in range(min(n_lanes, j1 - j)):
                    out[part, i - i0, j - j0 + lane] = lines[
                        plan.result * size + part * n_lanes + lane
                    ]


@compiled
def run(plan, first, last, rows, lines):
    """Run some operations of a plan for pairs of each row with itself, a line after the other."""
    work = np.empty(plan.n_work * plan.n_lanes, plan.numbers.dtype)
    for j in range(lines.shape[0]):
        tile = Lines(
            plan.ops, plan.tables, plan.steps, plan.numbers, plan.constants, plan.channels,
            plan.entries, rows, rows, 0, j * plan.n_lanes, lines[j], work,
        )  # fmt: skip
        for o in range(first, last):
            call(plan.ops[o, 0], o, tile)


def plan_of_rows(program, schedule, gradient):
    """Plan for `scan_rows`, which knows nothing of records yet."""
    nothing = _positions.Rows([], [], [], *[None] * 5)
    return make_plan(program, schedule, nothing, gradient, np.dtype(np.float64), own=True)


def scan_rows(program, schedule, plan, X, gradient):
    """`_positions.scan_rows` with compiled loops, for the schedule with equal positions."""
    dtype, n_parts = np.dtype(np.float64), 6 if gradient else 2
    n, n_lanes = len(X), N_LANES["float64"]
    n_tiles = -(-n // n_lanes)
    X = X[np.minimum(np.arange(n_tiles * n_lanes), n - 1)]
    scan = _positions.Scan(program, _positions.variances(X), gradient)
    plan = plan._replace(steps=plan.steps.copy())
    lines = np.zeros((n_tiles, schedule.n_lines * n_parts * n_lanes))

    def take(some):
        """Lines as (parts, lines, rows)."""
        found = lines.reshape(n_tiles, -1, n_parts, n_lanes)[:, some]
        return found.transpose(2, 1, 0, 3).reshape(n_parts, len(some), -1)

    first, pairs = 0, None
    stops = [o for o, op in enumerate(schedule.operations) if _positions.needs_pairs(op, program)]
    for stop in [*stops, len(plan.ops)]:
        ahead = [op.step for op in schedule.operations[first:stop] if not isinstance(op, Scatter)]
        scan.advance(max(ahead, default=-1), pairs)
        set_places(plan.steps, program, scan)
        run(plan, first, stop, pack_side(scan, X, False, dtype), lines)
        if stop < len(plan.ops):
            op = schedule.operations[stop]
            pairs = _positions.pairs_of(op, take, gradient)
        first = stop
    return _positions.finish(scan, take([schedule.result])[:, 0], gradient, n)
