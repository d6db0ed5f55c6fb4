"""The reference engine for rows with positions: the operations of a schedule on NumPy arrays.

`scan_rows` runs a schedule on each row paired with itself, `run` on all pairs of two sets of rows.
"""

import numpy as np

from ...formulas import attention, distances, line_traces, series
from ...formulas.special import settled
from ...formulas.writing import built
from ..rows.lines import Scan, formula_of, needs_pairs, pairs_of, variances
from ..schedule.operations import Begin, Blend, Clear, Extend, Gather, Map, Mix, Scatter
from ..schedule.writer import schedule


class Sides:
    """Rows ``X`` (n, positions, channels) and ``Y`` (m, positions, channels), `LineRows` of both.

    Pairs are all combinations (n, m) or, if ``are_same``, each row with itself (n,). Arrays of rows
    (positions, n) are made to broadcast with arrays of pairs, (positions, n, m) or (positions, n).
    """

    def __init__(self, X, Y, rows_x, rows_y, are_same):
        self.X, self.Y = X.transpose(1, 2, 0), Y.transpose(1, 2, 0)
        self.rows, self.are_same = (rows_x, rows_y), are_same

    def view(self, side, part):
        """Array (positions, rows) of the left side, 0, or right side, 1, for arrays of pairs."""
        return part if self.are_same else part[..., None] if side == 0 else part[..., None, :]

    def records(self, k, places):
        """Records of step ``k`` at the positions ``places``: left ones, then right ones."""
        return [
            tuple(self.view(side, part[at]) for part in rows.records[k])
            for side, (rows, at) in enumerate(zip(self.rows, places, strict=True))
        ]

    def rates(self, k, places):
        """Rates of the records: left, then right, each along both directions."""
        return [
            tuple(self.view(side, part[at]) for part in rate)
            for side, (rows, at) in enumerate(zip(self.rows, places, strict=True))
            for rate in rows.rates[k]
        ]

    def distances(self, left, right):
        """Squared distances of the inputs, ``sum_c (x_pc - y_qc)^2 / channels``, for positions."""
        total = 0.0
        for x, y in zip(self.X.swapaxes(0, 1), self.Y.swapaxes(0, 1), strict=True):
            difference = self.view(0, x[left]) - self.view(1, y[right])
            total = total + difference * difference
        return total / self.X.shape[1]


class Machine:
    """The lines of all pairs, and the operations of a schedule on them.

    ``lines`` is (parts, n_lines, n, m) or, for rows with themselves, (parts, n_lines, n). Parts are
    squared distance and NTK and, with ``gradient``, two rates of each.
    """

    def __init__(self, program, plan, shape, sides, gradient):
        self.steps, self.sides, self.gradient = program.steps, sides, gradient
        self.lines = np.zeros((6 if gradient else 2, plan.n_lines, *shape))
        self.distance, self.ntk = ([0, 2, 3], [1, 4, 5]) if gradient else ([0], [1])

    def run(self, op):
        """Run an operation."""
        _OPERATIONS[type(op)](self, op)

    def _set(self, op, parts, state):
        """Write arrays (lines, ...) to these parts of the lines from ``op.out`` on."""
        for part, values in zip(parts, state, strict=True):
            self.lines[part, op.out : op.out + len(values)] = values

    def _begin(self, op):
        self._clear(op)
        self._set(op, [0], [self.sides.distances(op.left, op.right)])

    def _clear(self, op):
        self.lines[:, op.out : op.out + op.n_lines] = 0.0

    def _extend(self, op):
        self._clear(op)
        for side, rows in enumerate(self.sides.rows):
            at = np.flatnonzero(op.is_right == side)
            for part, values in zip(self.distance, rows.outside[op.step], strict=True):
                self.lines[part, op.out + at] = self.sides.view(side, values[op.positions[at]])

    def _gather(self, op):
        total = self.lines[:, op.sources[:, 0]]
        for sources in op.sources.T[1:]:
            total += self.lines[:, sources]
        self.lines[:, op.out : op.out + len(op.sources)] = total

    def _scatter(self, op):
        order = np.argsort(op.targets, kind="stable")
        targets, first = np.unique(op.targets[order], return_index=True)
        if len(targets):
            self.lines[:, targets] += np.add.reduceat(
                self.lines[:, op.sources[order]], first, axis=1
            )

    def _map(self, op):
        self._replace(op, self.lines[:, op.out : op.out + op.n_lines])

    def _blend(self, op):
        self._replace(op, self.lines[:, op.previous])

    def _sides(self, op):
        """Records of both sides at the positions of an operation, then their rates if wanted."""
        places = op.left, op.right
        records = self.sides.records(op.step, places)
        return records + self.sides.rates(op.step, places) if self.gradient else records

    def _replace(self, op, state):
        """Write the lines of ``op``: the formula of its step, applied to a state."""
        step, sides, others = self.steps[op.step], self._sides(op), ()
        if step.rule in _ARGUMENTS:
            state, others, sides = _ARGUMENTS[step.rule](self, op, state, sides)
        formula, act = formula_of(step)
        function = built(line_traces.pair_source, *formula, self.gradient)
        numbers = step.take(line_traces.pair_numbers(step.rule))
        self._set(op, range(len(state)), function(act, numbers, state, others, *sides))
        if self.sides.are_same:
            self._set_equal(op, step)

    def _series(self, op, state, sides):
        """Gap and slope behind a series; records without coefficients."""
        others = duals(self.steps[op.step].activation, state, *sides)
        return state, others, [record[:3] for record in sides]

    def _weighed(self, op, state, sides):
        """Sums ``S K R'`` and ``S T R'`` in place of the state; records without ``S`` and ``R``.

        The attention weights, entry 4 of a record, are repeated for all positions of the other row.
        """
        left, right, *rates = sides
        S = np.stack([record[4][:: op.n] for record in (left, *rates[:2])])
        R = np.stack([record[4][: op.n] for record in (right, *rates[2:])])
        pairs = state.reshape(len(state), op.n, op.n, *state.shape[2:])
        sums = attention.mix(S, R, pairs).reshape(state.shape)
        return sums, (), [record[:4] for record in sides]

    def _squared(self, op, state, sides):
        """Sums of ``K^2`` and ``K T`` over all pairs of positions."""
        return state, attention.evaluate(attention.squares, state).sum(axis=1), sides

    def _covariances(self, op, state, sides):
        """Covariances of an embedding: ``C[p, q]``, ``C[p, p]`` and ``C[q, q]``."""
        table, column = self.steps[op.step].covariances, (slice(None), *[None] * (state.ndim - 2))
        places = (op.left, op.right), (op.left, op.left), (op.right, op.right)
        return state, [table[place][column] for place in places], sides

    def _inputs(self, op, state, sides):
        """States of the inputs of a recurrence."""
        return state, self.lines[:, op.inputs], sides

    def _set_equal(self, op, step):
        """Set a position paired with itself: distance zero, NTK of a signal with shared noise."""
        lines = op.out + np.flatnonzero(op.left == op.right)
        for part in self.distance:
            self.lines[part, lines] = 0.0
        if step.rule in distances.NOISY:
            for part in self.ntk:
                self.lines[part, lines] /= step.kept

    def _mix(self, op):
        state = self.lines[:, op.source : op.source + op.n_lines]
        self._replace(op, attention.covariances(state, *self._sides(op)))


_OPERATIONS = {
    Begin: Machine._begin,
    Clear: Machine._clear,
    Extend: Machine._extend,
    Gather: Machine._gather,
    Scatter: Machine._scatter,
    Map: Machine._map,
    Blend: Machine._blend,
    Mix: Machine._mix,
}


_ARGUMENTS = {
    "series": Machine._series,
    "embed": Machine._covariances,
    "recur": Machine._inputs,
    "attend_linear": Machine._weighed,
    "attend_sqrt": Machine._squared,
}
"""Methods by rule that return the arguments of its formula: ``state``, ``others``, and records.

Without one these are the state of the lines, nothing, and the records of the step.
"""


def duals(act, state, left, right, *rates):
    """Gap and slope behind a series; also their rates, if those of the records are given."""
    difference, gap = left[1] - right[1], distances.gap_of(state[0], left[1], right[1])
    gap = settled(gap, left[1], right[1])
    if not rates:
        return series.dual(act, gap, left[2:], right[2:])
    gap_rates = [
        (gap > 0.0) * (state[2 + p] - 2.0 * difference * (rates[p][1] - rates[2 + p][1]))
        for p in range(2)
    ]
    dleft, dright = ([rate[2:] for rate in rates[i : i + 2]] for i in (0, 2))
    return series.dual_rates(act, gap, gap_rates, left[2:], right[2:], dleft, dright)


def scan_rows(program, X, gradient=False):
    """`LineRows` of single rows ``X`` (n, positions, channels), each paired with itself."""
    plan = schedule(program, None, True)
    scan = Scan(program, variances(X), gradient)
    sides = Sides(X, X, scan, scan, True)
    machine = Machine(program, plan, (len(X),), sides, gradient)
    for op in plan.operations:
        pairs = None
        if needs_pairs(op, program):
            step = program.steps[op.step]
            pairs = pairs_of(op, step, lambda lines: machine.lines[:, lines], gradient)
        if op.reads_rows:
            scan.advance(op.step, pairs)
        machine.run(op)
    return scan.finish(machine.lines[:, plan.result], len(X))


def run(program, X, Y, rows_x, rows_y, gradient=False):
    """Kernels between rows ``X`` (n, positions, channels) and ``Y``, from the `LineRows` of both.

    NNGP and NTK (n, m) and, with ``gradient``, their derivatives (n, m, 2).
    """
    plan = schedule(program, None)
    sides = Sides(X, Y, rows_x, rows_y, False)
    machine = Machine(program, plan, (len(X), len(Y)), sides, gradient)
    for op in plan.operations:
        machine.run(op)
    left, right = ((rows.variance, rows.dvariance) for rows in (rows_x, rows_y))
    return kernels(machine.lines[:, plan.result], left, right)


def kernels(state, left, right):
    """NNGP ``(A + B - D) / 2`` and NTK, and their derivatives, from the state of the output.

    ``left`` and ``right`` are pairs (variances (n,), their derivatives (n, 2) or None).
    """
    nngp, ntk = 0.5 * (left[0][:, None] + right[0] - state[0]), state[1]
    if len(state) == 2:
        return nngp, ntk
    dvariances = left[1][:, None] + right[1]
    dnngp = 0.5 * (dvariances - np.stack(state[2:4], axis=-1))
    return nngp, ntk, dnngp, np.stack(state[4:6], axis=-1)
