"""Schedules as launches of kernels of `sources.cuda_lines`: their names, fields and tables."""

from typing import NamedTuple

import numpy as np

from ..rows.lines import formula_of, needs_pairs
from ..schedule.fields import count_fields, on_two_axes, padding_of, strides_of, window_of
from ..schedule.needs import shapes
from ..schedule.operations import (
    Begin,
    Blend,
    Clear,
    Extend,
    Field,
    Gather,
    Map,
    Mix,
    Scatter,
)

RUN = 32
"""Most lines that a thread sums; longer sums are sums of partial sums."""


_STACK = {"save": -2, "swap": -3, "add": -4}
"""Numbers of the rules of the stack in codes of fields."""


class Launches(NamedTuple):
    """The launches of a schedule, in order, and after them that of ``finish``.

    ``cases`` are names of kernels, or pairs as in `cuda_lines.Kinds`; ``fields`` (n, 8) are those
    of `cuda_lines.FIELDS`, ``tables`` the tables of all, flat. There are ``n_lines`` lines, with
    those that hold partial sums. ``spans`` are for a scan of rows: (operation before which it needs
    pairs, or None, the first launch from there, the last, the last step whose records they read).
    ``field_cases`` are the cases inside of launches of ``field``, whose tables have their numbers.
    """

    cases: list
    fields: np.ndarray
    tables: np.ndarray
    n_lines: int
    spans: list
    field_cases: list


class _Writer:
    """Writes the launches of a schedule.

    ``first`` is the next line that can hold a partial sum, ``before`` the operation before.
    """

    def __init__(self, program, schedule):
        self.program, self.schedule = program, schedule
        self.cases, self.fields, self.spans, self.field_cases = [], [], [], []
        self.tables, self.places, self.n_entries = [], {}, 0
        self.first = self.end = schedule.n_lines
        self.before = None

    def write(self):
        """The `Launches`."""
        stop, first, last_step = None, 0, -1
        for op in self.schedule.operations:
            if needs_pairs(op, self.program):
                self.spans.append((stop, first, len(self.cases), last_step))
                stop, first = op, len(self.cases)
            last_step = max(last_step, op.step) if op.reads_rows else last_step
            self.first = self.schedule.n_lines
            _OPERATIONS[type(op)](self, op)
            self.before = op
        self.spans.append((stop, first, len(self.cases), last_step))
        zero, end = np.zeros(1, np.int32), len(self.program.steps)
        self.add("finish", end, self.schedule.result, 1, zero, zero)
        fields, tables = np.array(self.fields, np.int64), np.concatenate(self.tables)
        return Launches(self.cases, fields, tables, self.end, self.spans, self.field_cases)

    def add(self, case, step, out, size, left=0, right=0, sources=0, terms=0, others=0):
        """Append a launch over ``size`` lines, if there are any; tables are arrays or places."""
        if size == 0:
            return
        left, right, sources, others = map(self._place, (left, right, sources, others))
        self.cases.append(case)
        self.fields.append((max(step, 0), out, size, left, right, sources, terms, others))

    def _place(self, table):
        """Place of a table, which equal tables share: layers of a network have many of these."""
        if not isinstance(table, np.ndarray):
            return table
        table = np.ascontiguousarray(table, np.int32).ravel()
        key = table.tobytes()
        if key not in self.places:
            self.places[key] = self.n_entries
            self.tables.append(table)
            self.n_entries += len(table)
        return self.places[key]

    def _clear(self, op):
        self.add("clear", op.step, op.out, op.n_lines)

    def _begin(self, op):
        self.add("begin", op.step, op.out, op.n_lines, op.left, op.right)

    def _extend(self, op):
        self.add("extend", op.step, op.out, op.n_lines, op.is_right, op.positions)

    def _gather(self, op):
        self.add("gather", op.step, op.out, op.n_lines, 0, 0, op.sources, op.argument)

    def _blend(self, op):
        tables = op.left, op.right, op.previous
        self.add(("recur", None), op.step, op.out, op.n_lines, *tables, 1, op.inputs)

    def _map(self, op):
        """A launch that takes the place of an affine map, or of sums, of the same lines before."""
        before, case, sources, terms = self.before, self._case(op.step), 0, 0
        is_same = isinstance(before, (Map, Gather)) and before.out == op.out
        if op.n_lines and is_same and before.n_lines == op.n_lines:
            is_sum = isinstance(before, Gather)
            joined = None if is_sum else self._joined(op.step, self._case(before.step), before.step)
            if is_sum or joined:
                self.cases.pop()
                sources, terms = self.fields.pop()[5:7]
                case = joined or case
        self.add(case, op.step, op.out, op.n_lines, op.left, op.right, sources, terms)

    def _case(self, k):
        """Case of a step."""
        return formula_of(self.program.steps[k])[0]

    def _joined(self, k, case, before):
        """Case that does the step ``before``, of this case, and step ``k`` in one, or None."""
        step, is_affine = self.program.steps[k], case == ("affine", None)
        if is_affine and before == k - 1 and step.rule == "pointwise" and step.is_bare:
            return "joined", type(step.activation)
        return None

    def _field(self, op):
        """A launch over differences; its table is a head and then, for each code, 15 numbers.

        The head is the number of codes, whether the grid is a ring, whether there are sources and
        targets, the cells before and behind a field along both axes, and the grids before the steps
        and behind them; a grid is its shape and the strides from there to the last one. A code is a
        convolution, a case, or both: the number of the case, else -1 or that in `_STACK`, its step,
        the axis of the window or -1, its size, entries before the position and stride, the step of
        the convolution, and the grids before and behind it.
        """
        steps, codes = self.program.steps[: op.step + 1], []
        strides = strides_of(steps[op.start :])
        shapes_before = shapes(self.program)[op.start : op.step + 2]
        grids = [
            (*on_two_axes(shape), *np.floor_divide(strides[-1], stride))
            for (shape, *_), stride in zip(shapes_before, strides, strict=True)
        ]
        for k, step in enumerate(steps[op.start :], op.start):
            last = codes[-1] if codes else (None, None)
            case = step.rule if step.rule in _STACK else self._case(k)
            joined, grid = self._joined(k, *last[:2]), grids[k - op.start]
            if step.rule == "convolve":
                axis, size, start, _, stride = window_of(step)
                both = *grid, *grids[k + 1 - op.start]
                codes.append([None, k, axis, size, start, stride, k, *both])
            elif joined or (codes and last[0] is None and case not in _STACK):
                last[:2] = joined or case, k
            elif step.rule != "output":
                codes.append([case, k, -1, 1, 0, 1, k, *grid, *grid])
        convolutions = [step for step in steps[op.start :] if step.rule == "convolve"]
        padding = padding_of(map(window_of, convolutions))
        kinds = convolutions[0].is_ring, len(op.sources) > 0, len(op.targets) > 0
        head = [len(codes), *kinds, *padding.ravel(), *grids[0], *grids[-1]]
        numbers = [[self._field_case(case), *others] for case, *others in codes]
        table = np.concatenate([head, np.ravel(numbers)])
        n_cells = int(np.prod(np.array(grids[0][:2]) + padding.sum(axis=1)))
        n_cells *= count_fields(steps[op.start :])
        tables = table, op.shifts, op.sources, n_cells, op.targets
        self.add("field", op.step, op.out, len(op.shifts), *tables)

    def _field_case(self, case):
        """Number of a case inside of fields, or that in `_STACK`; -1 for None."""
        if case is None or case in _STACK:
            return _STACK.get(case, -1)
        if case not in self.field_cases:
            self.field_cases.append(case)
        return self.field_cases.index(case)

    def _step(self, op):
        return self.program.steps[op.step]

    def _mix(self, op):
        step, n, covariance = op.step, op.n_lines, ("covariance", None)
        first, tables = op.source + np.arange(n), (op.left, op.right)
        if self._step(op).rule == "attend_linear":
            self.add(covariance, step, op.source, n, *tables)
            half = self._scratch(n)
            self.add("weigh", step, half, n, *tables, first)
            self.add(("attend_linear", None), step, op.out, n, *tables, half + np.arange(n))
            return
        self.add(covariance, step, op.out, n, *tables, first, 1)
        total = self._scratch(1)
        self._sum("squares", step, op.out + np.arange(n), np.full(n, total), 0)
        self.add(("attend_sqrt", None), step, op.out, n, *tables, others=total)

    def _scatter(self, op):
        self._sum("scatter", op.step, op.sources, op.targets, 1)

    def _sum(self, kernel, step, sources, targets, adds):
        """Launches that sum the lines ``sources`` with the same targets, or terms of them.

        The sums are added to the targets if ``adds`` is 1, and replace them if it is 0.
        """
        order = np.argsort(targets, kind="stable")
        sources, targets = sources[order], targets[order]
        while True:
            heads = np.flatnonzero(np.diff(targets, prepend=-1))
            counts = np.diff(heads, append=len(targets))
            if counts.max(initial=0) <= RUN:
                break
            n_parts = -(-counts // RUN)
            parts = np.arange(n_parts.sum()) - np.repeat(np.cumsum(n_parts) - n_parts, n_parts)
            starts = np.repeat(heads, n_parts) + RUN * parts
            new = self._scratch(len(starts)) + np.arange(len(starts))
            self._sums(kernel, step, sources, new, starts, 0)
            kernel, sources, targets = "scatter", new, np.repeat(targets[heads], n_parts)
        self._sums(kernel, step, sources, targets[heads], heads, adds)

    def _sums(self, kernel, step, sources, targets, starts, adds):
        starts = np.append(starts, len(sources))
        self.add(kernel, step, 0, len(targets), targets, starts, sources, adds)

    def _scratch(self, n):
        """First of ``n`` lines that hold partial sums of one operation."""
        first, self.first = self.first, self.first + n
        self.end = max(self.end, self.first)
        return first


_OPERATIONS = {
    Begin: _Writer._begin,
    Extend: _Writer._extend,
    Gather: _Writer._gather,
    Scatter: _Writer._scatter,
    Clear: _Writer._clear,
    Map: _Writer._map,
    Blend: _Writer._blend,
    Mix: _Writer._mix,
    Field: _Writer._field,
}
"""Methods that write the launches of an operation."""


def launches(program, schedule):
    """`Launches` of a schedule of a program."""
    return _Writer(program, schedule).write()
