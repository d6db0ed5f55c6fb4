"""The reference engine for networks on positions: schedules on whole arrays.

It states what the operations do, on pairs of rows or on each row paired with itself.
"""

import numpy as np

from .. import distances, series
from .._trace import built
from . import _attention
from ._operations import Begin, Blend, Clear, Extend, Gather, Map, Mix, Scatter
from ._position_rows import (
    Scan,
    correlations,
    kind_of,
    needs_pairs,
    numbers_of,
    pairs_of,
    variances,
)
from ._schedule import schedule


class _Sides:
    """Rows on the left and on the right, of which pairs are all combinations or one and the same.

    Arrays over positions and rows become arrays for pairs: (positions, n, m), or (positions, n).
    """

    def __init__(self, X, Y, rows_x, rows_y, are_same):
        self.X, self.Y = X.transpose(1, 2, 0), Y.transpose(1, 2, 0)
        self.rows, self.are_same = (rows_x, rows_y), are_same

    def view(self, side, part):
        """An array over positions and rows of the left side, 0, or the right side, 1."""
        return part if self.are_same else part[..., None] if side == 0 else part[..., None, :]

    def records(self, k, places):
        """Records of a step on both sides, at these positions."""
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
        """Squared distances of positions, from differences."""
        total = 0.0
        for x, y in zip(self.X.swapaxes(0, 1), self.Y.swapaxes(0, 1), strict=True):
            apart = self.view(0, x[left]) - self.view(1, y[right])
            total = total + apart * apart
        return total / self.X.shape[1]


class _Machine:
    """Lines of the state, (parts, lines, ...) as `_Sides` has pairs, and the operations on them."""

    def __init__(self, program, plan, shape, sides, gradient):
        self.steps, self.sides, self.gradient = program.steps, sides, gradient
        self.lines = np.zeros((6 if gradient else 2, plan.n_lines, *shape))
        self.distance, self.ntk = ([0, 2, 3], [1, 4, 5]) if gradient else ([0], [1])

    def run(self, op):
        """Run an operation."""
        _OPERATIONS[type(op)](self, op)

    def _set(self, op, parts, state):
        for part, values in zip(parts, state, strict=True):
            self.lines[part, op.out : op.out + len(values)] = values

    def _begin(self, op):
        self._clear(op, len(op.left))
        self._set(op, [0], [self.sides.distances(op.left, op.right)])

    def _clear(self, op, n=None):
        self.lines[:, op.out : op.out + (op.n if n is None else n)] = 0.0

    def _extend(self, op):
        self._clear(op, len(op.places))
        for side, rows in enumerate(self.sides.rows):
            at = np.flatnonzero(op.is_right == side)
            for part, values in zip(self.distance, rows.outside[op.step], strict=True):
                self.lines[part, op.out + at] = self.sides.view(side, values[op.places[at]])

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
        step, places = self.steps[op.step], (op.left, op.right)
        kind, (weight, _, trained, drift, _) = kind_of(step), numbers_of(step)
        state = self.lines[:, op.out : op.out + len(op.left)]
        if kind == "embed":
            new = self._embed(step, op, state)
        else:
            act, cls = (
                (step.activation, type(step.activation)) if kind == "pointwise" else ((), None)
            )
            left, right = self.sides.records(op.step, places)
            moves = self.sides.rates(op.step, places) if self.gradient else []
            duals = ()
            if kind == "series":
                duals = _duals(step.activation, state, left, right, moves)
            n = distances.record_length(kind, cls)
            left, right, *moves = (part[:n] for part in (left, right, *moves))
            function = built(distances.pair_source, kind, cls, self.gradient)
            new = function(act, (weight, trained, drift), state, duals, left, right, *moves)
        self._set(op, range(len(new)), new)
        if self.sides.are_same:
            self._mend(op, step)

    def _embed(self, step, op, state):
        table = correlations(step)
        column = (slice(None),) + (None,) * (state[0].ndim - 1)
        both = table[op.left, op.right][column]
        own = table[op.left, op.left][column] + table[op.right, op.right][column]
        return state[0] + own - 2.0 * both, state[1] + step.trained * both, *state[2:]

    def _mend(self, op, step):
        """One row at one position: the distance is zero, and the noise of a dropout the same."""
        lines = op.out + np.flatnonzero(op.left == op.right)
        for part in self.distance:
            self.lines[part, lines] = 0.0
        if kind_of(step) == "drop":
            for part in self.ntk:
                self.lines[part, lines] /= step.kept

    def _blend(self, op):
        step, places = self.steps[op.step], (op.left, op.right)
        before, inputs = self.lines[:, op.previous], self.lines[:, op.inputs]
        new = step.recurrent_var * before + step.weight_var * inputs
        if self.gradient:
            drift = step.recurrent_var * step.recurrent_tied * before[:2]
            new[[2, 4]] += drift + step.weight_var * step.weight_tied * inputs[:2]
        left, right = self.sides.records(op.step, places)
        sums = [left[0] + right[0]]
        if self.gradient:
            moves = self.sides.rates(op.step, places)
            sums += [moves[p][0] + moves[2 + p][0] for p in range(2)]
        for ntk, distance, total in zip(self.ntk, self.distance, sums, strict=True):
            new[ntk] += step.trained * 0.5 * (total - new[distance])
        self._set(op, range(len(new)), new)
        if self.sides.are_same:
            self._mend(op, step)

    def _mix(self, op):
        step, n = self.steps[op.step], op.n
        lines = self.lines[:, op.source : op.source + n * n]
        lines = lines.reshape(len(lines), n, n, *lines.shape[2:])
        sides = [
            [rows.records[op.step], *rows.rates[op.step]][: len(self.distance)]
            for rows in self.sides.rows
        ]
        before, behind = (
            [
                self.sides.view(0, x[slot])[:, None] + self.sides.view(1, y[slot])[None]
                for x, y in zip(*sides, strict=True)
            ]
            for slot in range(2)
        )
        parts = zip(before, lines[self.distance], strict=True)
        K, T = [0.5 * (total - part) for total, part in parts], lines[self.ntk]
        S, R = ([record[4] for record in side if len(record) > 4] for side in sides)
        new = _attention.covariances(step, K, S, R)
        ntk = _attention.ntks(step, K, T, S, R, new)
        found = [total - 2.0 * part for total, part in zip(behind, new, strict=True)]
        for parts, values in ((self.distance, found), (self.ntk, ntk)):
            self._set(op, parts, [value.reshape(n * n, *value.shape[2:]) for value in values])


_OPERATIONS = {
    Begin: _Machine._begin,
    Clear: _Machine._clear,
    Extend: _Machine._extend,
    Gather: _Machine._gather,
    Scatter: _Machine._scatter,
    Map: _Machine._map,
    Blend: _Machine._blend,
    Mix: _Machine._mix,
}


def _duals(act, state, left, right, moves):
    """Gap and slope behind a series, with their rates if those of the records are given."""
    apart, gap = left[1] - right[1], distances.gap_of(state[0], left[1], right[1])
    if not moves:
        return series.dual(act, gap, left[2:], right[2:])
    rates = [
        (gap > 0.0) * (state[2 + p] - 2.0 * apart * (moves[p][1] - moves[2 + p][1]))
        for p in range(2)
    ]
    features = ([move[2:] for move in moves[i : i + 2]] for i in (0, 2))
    return series.dual_rates(act, gap, rates, left[2:], right[2:], *features)


def scan_rows(program, X, gradient=False):
    """Carry single rows (n, positions, channels) through a program, paired with themselves."""
    plan = schedule(program, None, True)
    scan = Scan(program, variances(X), gradient)
    sides = _Sides(X, X, scan, scan, True)
    machine = _Machine(program, plan, (len(X),), sides, gradient)
    for op in plan.operations:
        pairs = None
        if needs_pairs(op, program):
            pairs = pairs_of(op, lambda lines: machine.lines[:, lines], gradient)
        if not isinstance(op, (Scatter, Clear, Begin)):
            scan.advance(op.step, pairs)
        machine.run(op)
    return scan.finish(machine.lines[:, plan.result], len(X))


def run(program, X, Y, rows_x, rows_y, gradient=False):
    """Kernels between rows, as `_numpy.run` returns them, without the axis of outputs."""
    plan = schedule(program, None)
    sides = _Sides(X, Y, rows_x, rows_y, False)
    machine = _Machine(program, plan, (len(X), len(Y)), sides, gradient)
    for op in plan.operations:
        machine.run(op)
    ends = ((rows.variance, rows.dvariance) for rows in (rows_x, rows_y))
    return kernels(machine.lines[:, plan.result], *ends)


def kernels(state, left, right):
    """NNGP and NTK, with their rates if there are any, from the state of the output.

    Both sides have the variances of their rows, and the rates of these or None.
    """
    found = (0.5 * (left[0][:, None] + right[0] - state[0]), state[1])
    if len(state) == 2:
        return found
    moves = left[1][:, None] + right[1]
    return *found, 0.5 * (moves - np.stack(state[2:4], axis=-1)), np.stack(state[4:6], axis=-1)
