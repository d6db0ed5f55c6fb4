"""Gradients with respect to rows with positions: a schedule forwards, then backwards, on arrays.

The kernel of two rows depends on the squared distances ``D(p, q)`` of their inputs, on those of the
left row with itself, and on its variances. Forwards, a `Tape` keeps the lines that operations read.
Backwards it goes from *bars*, the derivatives of a result by the lines behind an operation, to
those by the lines before it and by the variables of the rows (see `rows.adjoint`). In the end,
``dD(p, q) / dx_pc = 2 (x_pc - y_qc) / channels``: where two positions are nearly equal, bars grow
like the inverse of their distance and meet their exact difference.

Bars are (2, n_lines, n, m) for pairs of n left and m right rows and, for n rows with themselves,
(2, n_lines, n, k) for k results; as in `lines`, part 0 belongs to distances, part 1 to NTKs.
"""

from collections import defaultdict

import numpy as np

from ...formulas import attention, line_traces
from ...formulas.writing import built
from ..rows.adjoint import LOCAL, sums_at, variables_of
from ..rows.lines import formula_of, lines_inside, needs_pairs, pairs_of
from ..schedule.operations import Begin, Blend, Clear, Extend, Gather, Map, Mix, Scatter
from .lines import Machine, Sides, duals

LINEAR = ("affine", "drop", "embed", "mean")
"""Rules of which no derivative depends on the state."""


class OwnSides(Sides):
    """Rows with themselves; arrays of pairs have a last axis of length one."""

    def __init__(self, X, rows):
        super().__init__(X, X, rows, rows, True)

    def view(self, side, part):
        """Array (positions, rows, 1) of either side."""
        return part[..., None]


class Tape(Machine):
    """A machine whose operations can be run backwards.

    ``scans`` are the `LocalScan` of the sides that move: of the left one or, if both are the same
    rows, of both. ``links`` are those of all operations. ``weigh`` maps values of pairs (..., n, m)
    to those of results (..., n, k). ``found`` (positions, channels, n, k) are the gradients, once
    all operations have been run backwards.
    """

    def __init__(self, program, plan, shape, sides, scans, links, weigh=lambda values: values):
        super().__init__(program, plan, shape, sides, False)
        self.operations, self.result = plan.operations, plan.result
        self.scans, self.links, self.weigh = scans, links, weigh
        self.kept, self.bars, self.found = [], None, 0.0

    def forward(self, op):
        """Run an operation, after keeping the lines that a formula reads."""
        self.kept.append([self.lines[:, lines].copy() for lines in _read(op, self.steps)])
        self.run(op)

    def start(self, bars, n_results):
        """Begin to go backwards, with the bars of the line of the result."""
        self.bars = np.zeros((*self.lines.shape[:-1], n_results))
        self.bars[:, self.result] = np.reshape(bars, (2, 1, 1))
        self.found = 0.0

    def undo(self, o):
        """Go back through operation ``o``."""
        op = self.operations[o]
        _BACK[type(op)](self, op, self.kept[o], self.links[o])

    def _take(self, op):
        """Bars of the lines that an operation has written, which become zero."""
        lines = slice(op.out, op.out + op.n_lines)
        bars = self.bars[:, lines].copy()
        self.bars[:, lines] = 0.0
        return bars

    def _clear_back(self, op, kept, links):
        self._take(op)

    def _begin_back(self, op, kept, links):
        """Add the gradients of the distances of the inputs."""
        X, Y = self.sides.X, self.sides.Y
        bars, found = (2.0 / X.shape[1]) * self._take(op)[0], []
        for x, y in zip(X.swapaxes(0, 1), Y.swapaxes(0, 1), strict=True):
            values = bars * (self.sides.view(0, x[op.left]) - self.sides.view(1, y[op.right]))
            sums = sums_at(op.left, values, len(X))
            if self.sides.are_same:
                sums -= sums_at(op.right, values, len(X))
            found.append(self.weigh(sums))
        self.found = self.found + np.stack(found, axis=1)

    def _extend_back(self, op, kept, links):
        bars = self._take(op)[0]
        name = "outside" if self.steps[op.step].rule == "recur" else "variance"
        for side in range(len(self.scans)):
            at = np.flatnonzero(op.is_right == side)
            self._add(op.step, side, name, op.positions[at], bars[at])

    def _gather_back(self, op, kept, links):
        links[0].add(self.bars, self._take(op))

    def _scatter_back(self, op, kept, links):
        links[0].add(self.bars, self.bars[:, links[0].targets])

    def _map_back(self, op, kept, links):
        bars = self._moving(op)
        state = kept[0] if kept else bars  # of which a linear formula reads the shape
        bars = self._pull(op, self.steps[op.step].rule, state, (), bars)
        for part, values in zip(self.bars, bars, strict=True):
            part[op.out : op.out + op.n_lines] = values

    def _blend_back(self, op, kept, links):
        bars = self._pull(op, "recur", *kept, self._moving(op))
        for link, part in zip(links, (bars[:2], bars[2:]), strict=True):
            link.add(self.bars, part)

    def _moving(self, op):
        """`_take`, but zero for a position paired with itself, whose state is set."""
        bars = self._take(op)
        if self.sides.are_same:
            bars[:, op.left == op.right] = 0.0
        return bars

    def _mix_back(self, op, kept, links):
        """Attention: from the sums to the covariances, and from these to the distances."""
        bars = _ATTENTION[self.steps[op.step].rule](self, op, self._covariances_of(op, kept[0]))
        bars = self._pull(op, "covariance", kept[0], (), bars)
        for part, values in zip(self.bars, bars, strict=True):
            part[op.source : op.source + op.n_lines] += values

    def _covariances_of(self, op, state):
        """Covariances and NTKs (2, pairs, n, m) before an attention."""
        records = self.sides.records(op.step, (op.left, op.right))
        return attention.covariances(state, *records)

    def _weighed_back(self, op, K):
        """Bars of covariances and NTKs from those behind sums ``S K R'`` and ``S T R'``."""
        n, rule = op.n, self.steps[op.step].rule
        shape = 2, n, n, *K.shape[2:]
        weights = (rows.records[op.step][4] for rows in self.sides.rows)
        S, R = (self.sides.view(side, part) for side, part in enumerate(weights))
        K = K.reshape(shape)
        sums = attention.mix(S[None], R[None], K).reshape(2, n * n, *K.shape[3:])
        bars = np.stack(self._pull(op, rule, sums, (), self._moving(op)))
        bars = bars.reshape(2, n, n, *bars.shape[2:])
        turned = bars.swapaxes(1, 2), K.swapaxes(1, 2), S
        for scan, (bar, state, other) in zip(self.scans, ((bars, K, R), turned), strict=False):
            mixed = np.einsum("cstnm,qtnm->csqnm", state, other)
            scan.add(op.step, "weights", self.weigh(np.einsum("cpqnm,csqnm->psnm", bar, mixed)))
        bars = attention.mix(S.swapaxes(0, 1)[None], R.swapaxes(0, 1)[None], bars)
        return bars.reshape(2, n * n, *bars.shape[3:])

    def _squared_back(self, op, K):
        """Bars of covariances and NTKs from those behind an attention with Gaussian scores."""
        sums = attention.evaluate(attention.squares, K).sum(axis=1)
        rule = self.steps[op.step].rule
        covariance, ntk, *others = self._pull(op, rule, K, sums, self._moving(op))
        total, cross = (part.sum(axis=0) for part in others)
        return covariance + 2.0 * K[0] * total + K[1] * cross, ntk + K[0] * cross

    # --- One formula ------------------------------------------------------------------------------

    def _pull(self, op, rule, state, others, bars):
        """Bars of a state, and of the ``others``, before the formula of a rule from those behind.

        Those of the variables of rows are added to their scans.
        """
        step, names = self.steps[op.step], variables_of(rule)
        formula, act = formula_of(step) if rule == step.rule else ((rule, None), ())
        n = line_traces.record_length(*formula)
        function = built(line_traces.adjoint_source, *formula, len(names))
        numbers = step.take(line_traces.pair_numbers(rule))
        state = self._lifted(op, state) if rule in LOCAL else state
        for side, scan in enumerate(self.scans):
            records = self._tangents(op, side)
            rates = [self._at(op, side, rate) for rate in scan.rates_by_variables(op.step, rule)]
            if rule == "series":
                others = _duals(step.activation, state, *records, rates[0])
            records, rates = ([record[:n] for record in part] for part in (records, rates))
            found = function(act, numbers, state, others, *records, sum(rates, ()), bars)
            first = len(found) - len(names)
            for name, values in zip(names, found[first:], strict=True):
                self._add(op.step, side, name, (op.left, op.right)[side], values)
        return found[:first]

    def _at(self, op, side, record):
        """Record of one side, or its rates, for the lines of an operation."""
        at = (op.left, op.right)[side]
        return tuple(x if np.ndim(x) == 0 else self.sides.view(side, x[at]) for x in record)

    def _tangents(self, op, side):
        """Records of a side that moves, then of the other side, where derivatives are taken."""
        records = [scan.tangents[op.step] for scan in self.scans]
        records += [rows.records[op.step] for rows in self.sides.rows[len(records) :]]
        return [self._at(op, i, records[i]) for i in (side, 1 - side)]

    def _lifted(self, op, state):
        """Distances with `LocalScan.lift`, and NTKs."""
        lifts = (self._at(op, i, [scan.lift[op.step]]) for i, scan in enumerate(self.scans))
        return state[0] + sum(lift for (lift,) in lifts), state[1]

    def _add(self, k, side, name, index, values):
        """Add derivatives by a variable at the positions ``index`` of a side that moves."""
        scan = self.scans[side]
        scan.add(k, name, self.weigh(sums_at(index, values, scan.count(k))))


class OwnTape:
    """The pass over single rows ``X`` (n, positions, channels), run forwards, and then backwards.

    ``scan`` is the `LocalScan` of the rows, ``links`` those of the schedule ``plan`` for rows.
    """

    def __init__(self, program, plan, links, X, scan):
        self.scan, scans = scan, (scan, scan)
        shape, sides = (len(X), 1), OwnSides(X, scan)
        self.tape = Tape(program, plan, shape, sides, scans, links)
        self._events = []
        for o, op in enumerate(plan.operations):
            pairs = None
            if needs_pairs(op, program):
                pairs = pairs_of(op, program.steps[op.step], self._take, False)
            if op.reads_rows:
                self._advance(op.step, pairs, op)
            self.tape.forward(op)
            self._events.append((o, None))
        self._advance(len(program.steps) - 1, None, None)

    def _take(self, lines):
        return self.tape.lines[:, lines][..., 0]

    def _advance(self, k, pairs, op):
        self._events += [(op, step) for step in range(self.scan.n, k + 1)]
        self.scan.advance(k, pairs)

    def backward(self, bar, bars):
        """Gradients (positions, channels, n, k) from derivatives by the variances of the result.

        ``bar`` is (n, k); ``bars`` are those by variables of rows, see `LocalScan`.
        """
        X, scan, tape = self.tape.sides.X, self.scan, self.tape
        scan.bars = defaultdict(float, bars)
        tape.start((0.0, 0.0), bar.shape[-1])
        bar = bar[None]
        for event, step in reversed(self._events):
            if step is None:
                tape.undo(event)
                continue
            bar, pairs = scan.retreat(step, bar)
            if pairs is not None:
                tape.bars[0, lines_inside(event, scan.steps[step])] += pairs
        return tape.found + (2.0 / X.shape[1]) * X[..., None] * bar[:, None]


def _duals(act, state, left, right, rates):
    """Gap and slope behind a series, and their rates along the distance and the left variance.

    ``rates`` are those of the left record along the latter. Shorter series are filled with zeros.
    """
    n = max(len(left), len(right))
    left, right, rates = (record + (0.0,) * (n - len(record)) for record in (left, right, rates))
    still = (0.0,) * line_traces.SERIES_HEAD
    others = (still + rates[len(still) :], rates, (0.0,) * n, (0.0,) * n)
    return duals(act, (*state, 1.0, 0.0), left, right, *others)


def _read(op, steps):
    """Lines that derivatives of an operation read: a list of slices or index arrays."""
    if isinstance(op, Blend):
        return [op.previous, op.inputs]
    if isinstance(op, Map) and steps[op.step].rule in LINEAR:
        return []
    first = {Map: op.out, Mix: op.argument}.get(type(op))
    return [] if first is None else [slice(first, first + op.n_lines)]


def count_numbers(program, plan):
    """Numbers that a `Tape` holds for each pair of rows."""
    kept = sum(op.n_lines for op in plan.operations for _ in _read(op, program.steps))
    return 2 * kept + 4 * plan.n_lines


_ATTENTION = {"attend_linear": Tape._weighed_back, "attend_sqrt": Tape._squared_back}
"""Methods that return the bars of covariances and NTKs before an attention."""

_BACK = {
    Begin: Tape._begin_back,
    Clear: Tape._clear_back,
    Extend: Tape._extend_back,
    Gather: Tape._gather_back,
    Scatter: Tape._scatter_back,
    Map: Tape._map_back,
    Blend: Tape._blend_back,
    Mix: Tape._mix_back,
}
