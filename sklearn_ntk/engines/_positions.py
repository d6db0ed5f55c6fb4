"""The reference engine for networks on positions: schedules on whole arrays.

It states what the operations do, and carries single rows, paired with themselves, for every other
engine: variances behind a pooling or an attention depend on all pairs of positions of a row.
"""

from typing import NamedTuple

import numpy as np

from .. import distances, grids, series
from .._trace import built
from ..activations import Identity
from ..program import (
    Add,
    Attend,
    Convolve,
    Drop,
    Embed,
    Flatten,
    Last,
    Normalize,
    Output,
    Pointwise,
    Pool,
    Recur,
    Save,
    Swap,
)
from ._schedule import Begin, Blend, Clear, Extend, Gather, Map, Mix, Scatter, schedule


class Rows(NamedTuple):
    """What a pass over single rows yields.

    ``records[k]`` is what step ``k`` keeps for the pairs, arrays (positions, ..., n), ``rates[k][p]``
    its rates along direction ``p``, and ``outside[k]`` the variances, with their rates, that pairs
    have with positions outside. The rest are diagonals of the Gram matrices and their rates.
    """

    records: list
    rates: list
    outside: list
    variance: object
    ntk: object
    dvariance: object
    dntk: object
    largest: float


def kind_of(step):
    """Kind of `distances` formula of a step that maps lines."""
    if isinstance(step, Pointwise):
        if step.activation == Identity():
            return "affine"
        return "series" if step.activation.is_series else "pointwise"
    return {Normalize: "normalize", Drop: "drop", Embed: "embed"}.get(type(step), "settle")


def numbers_of(step):
    """Weight, bias, whether trained, and the rates of both along their own directions."""
    if isinstance(step, Pointwise):
        drift = (step.weight_var * step.weight_tied, step.bias_var * step.bias_tied)
        return (step.weight_var, step.bias_var, float(step.trained), *drift)
    if isinstance(step, Pool):
        return (step.scale, 0.0, 0.0, 0.0, 0.0)
    if isinstance(step, Flatten):
        return (1.0 / np.prod(step.grid), 0.0, 0.0, 0.0, 0.0)
    return (getattr(step, "kept", 1.0), 0.0, 0.0, 0.0, 0.0)


def correlations(step):
    """Covariance of an embedding between all positions."""
    if step.length_scale == 0.0:
        return step.variance * np.eye(len(grids.places(step.grid)))
    at = grids.places(step.grid) / step.length_scale
    return step.variance * np.exp(-0.5 * ((at[:, None] - at[None]) ** 2).sum(axis=2))


# --- Single rows ------------------------------------------------------------------------------------
#
# The state of a row is its variances (positions, n), followed by their rates if wanted.


def _windows(table, parts):
    """Sums over windows of arrays over positions, zero outside."""
    padded = [np.concatenate([part, np.zeros((1, *part.shape[1:]))]) for part in parts]
    return tuple(part[table].sum(axis=1) for part in padded)


def _mapped_row(step, state):
    kind, numbers = kind_of(step), numbers_of(step)
    if kind == "series":
        return _series_row(step, numbers, state)
    if len(state) > 1:
        act = () if kind != "pointwise" else step.activation
        cls = type(step.activation) if kind == "pointwise" else None
        return _filled(
            *built(distances.row_rates_source, kind, cls)(act, numbers, (state[0], 0.0, *state[1:]))
        )
    if kind == "pointwise":
        new, record = distances.pointwise_row(step.activation, *numbers[:2], state[0])
    elif kind == "affine":
        new, record = distances.affine_row(*numbers[:2], state[0])
    elif kind == "normalize":
        new, record = distances.normalize_row(state[0])
    else:
        new, record = distances.drop_row(numbers[0], state[0])
    return _filled((new,), record, ())


def _filled(state, record, rates):
    """Numbers that are the same for all rows, as arrays."""
    zero = 0.0 * state[0]
    return (
        tuple(zero + part for part in state),
        tuple(zero + part for part in record),
        tuple(tuple(zero + part for part in rate) for rate in rates),
    )


def _series_row(step, numbers, state):
    weight, bias, _, *drift = numbers
    variance, shape = state[0], state[0].shape
    rows = step.activation.expand(variance.ravel())
    head = series.head(rows, variance.ravel())
    std, inverse, gain, clock, *unit = (part.reshape(shape) for part in (*head, *rows.unit))
    root = np.sqrt(variance)
    new = weight * std * std + bias
    record = (new, root, std, inverse, gain, clock, *unit)
    moves, rates = [], []
    for p, rate in enumerate(state[1:]):
        speed = rate / (variance + (variance == 0.0))
        dstd = rows.dstd.reshape(shape)
        dgain = 2.0 * inverse * dstd - 0.5 * gain
        move = 2.0 * weight * std * dstd * speed + (drift[0] * std * std, drift[1])[p]
        moves.append(move)
        parts = (
            move,
            0.5 * root * speed,
            dstd * speed,
            -0.5 * inverse * speed,
            dgain * speed,
            speed,
        )
        rates.append((*parts, *(part.reshape(shape) for part in rows.dunit)))
    return (new, *moves), record, tuple(rates)


def _settled_row(step, state, means):
    """Variances of means over windows, from the sums of distances inside a row."""
    if isinstance(step, Flatten):
        state = tuple(part.mean(axis=0, keepdims=True) for part in state)
        zero = 0.0 * state[0]
        return state, (zero,) * 3, ((zero,) * 3,) * (len(state) - 1)
    table, scale = grids.sources(*step[:4]), step.scale
    count = (table >= 0).sum(axis=1)[:, None] + 0.0 * means[0]
    sums = tuple(scale * part for part in _windows(table, state))
    new = tuple(part * count - 0.5 * scale * mean for part, mean in zip(sums, means, strict=True))
    new = (np.maximum(new[0], 0.0), *new[1:])
    records = [
        (part, count if k == 0 else 0.0 * count, move)
        for k, (part, move) in enumerate(zip(sums, new, strict=True))
    ]
    return new, records[0], tuple(records[1:])


def _weights(step, K):
    """Attention weights of rows from covariances (positions, positions, n), and their rates."""
    scores = step.score_scale * K[0]
    rates = [step.score_scale * part for part in K[1:]]
    if step.mechanism == "softmax":
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        S = scores / scores.sum(axis=1, keepdims=True)
        return (S, *(S * (rate - (S * rate).sum(axis=1, keepdims=True)) for rate in rates))
    if step.mechanism == "identity":
        return (scores, *rates)
    sign = np.sign(scores) if step.mechanism == "abs" else 1.0 * (scores > 0.0)
    return (scores * sign, *(rate * sign for rate in rates))


def _recurred(step, activation, state):
    """Variances before and behind the activation at all times."""
    before, behind, last = [], [], tuple(0.0 * part[0] for part in state)
    for t in range(len(state[0])):
        now = tuple(
            step.recurrent_var * a + step.weight_var * b[t]
            for a, b in zip(last, state, strict=True)
        )
        if len(state) > 1:
            drift = step.recurrent_var * step.recurrent_tied * last[0]
            drift = drift + step.weight_var * step.weight_tied * state[0][t]
            now = (now[0], now[1] + drift, now[2] + step.bias_var * step.bias_tied)
        now = (now[0] + step.bias_var, *now[1:])
        last = tuple(
            part[0] for part in _mapped_row(activation, tuple(part[None] for part in now))[0]
        )
        before.append(now)
        behind.append(last)
    return tuple(map(np.stack, zip(*before, strict=True))), tuple(
        map(np.stack, zip(*behind, strict=True))
    )


class Scan:
    """Variances and records of single rows, step by step."""

    def __init__(self, program, variance, gradient):
        self.steps, self.n = program.steps, 0
        self.state = (variance, 0.0 * variance, 0.0 * variance)[: 3 if gradient else 1]
        self.stack, self.records, self.rates, self.outside = [], [], [], []
        self.largest = float(variance.max(initial=0.0))

    def advance(self, k, pairs=None):
        """Go on up to and with step ``k``, the last one with ``pairs`` of the row itself."""
        while self.n <= k:
            self._step(self.steps[self.n], pairs)
            self.n += 1

    def _step(self, step, pairs):
        record, rates, outside = (), ((), ()), ()
        state = self.state
        if isinstance(step, Save):
            self.stack.append(state)
        elif isinstance(step, Swap):
            state, self.stack[-1] = self.stack[-1], state
        elif isinstance(step, Add):
            state = tuple(map(np.add, state, self.stack.pop()))
        elif isinstance(step, Last):
            state = tuple(part[-1:] for part in state)
        elif isinstance(step, Output):
            record, rates = (state[0],), tuple((part,) for part in state[1:])
        elif isinstance(step, Convolve):
            outside, state = state, _windows(grids.sources(*step[:4]), state)
        elif isinstance(step, Recur):
            state, outside = _recurred(step, self.steps[self.n + 1], state)
            record, rates = (state[0],), tuple((part,) for part in state[1:])
        elif isinstance(step, Embed):
            state = (state[0] + np.diag(correlations(step))[:, None], *state[1:])
        elif isinstance(step, (Pool, Flatten)):
            state, record, rates = _settled_row(step, state, pairs)
        elif isinstance(step, Attend):
            state, record, rates = _attended_row(step, state, pairs)
        else:
            state, record, rates = _mapped_row(step, state)
        self.state = state
        self.largest = max(self.largest, *(float(np.abs(part).max(initial=0.0)) for part in state))
        for collected, part in (
            (self.records, record),
            (self.rates, rates),
            (self.outside, outside),
        ):
            collected.append(part)


def _attended_row(step, state, pairs):
    K = _covariances(state, state, pairs, lambda part: part[:, None], lambda part: part[None])
    weights = () if step.scaling == "sqrt" else _weights(step, K)
    new = _attended(step, K, weights, weights, "abn,acn->bcn", "acn,dcn->adn")
    new = tuple(np.einsum("ppn->pn", part) for part in new)
    record = (state[0], new[0], *weights[:1])
    rates = tuple((state[p], new[p], *weights[p : p + 1]) for p in range(1, len(state)))
    return new, record, rates


def _covariances(left, right, pairs, as_left, as_right):
    """Covariances, and their rates, from variances of both sides and distances."""
    parts = zip(left, right, pairs, strict=True)
    return tuple(0.5 * (as_left(a) + as_right(b) - d) for a, b, d in parts)


# --- Operations on lines ----------------------------------------------------------------------------


class _Machine:
    """Lines of the state: arrays (parts, lines, ...) with a last axis, or two, for pairs of rows.

    Both axes follow the positions in the records of the left and of the right rows; for single rows
    they are one and the same.
    """

    def __init__(self, program, plan, shape, gradient, are_same):
        self.steps = program.steps
        self.lines = np.zeros((6 if gradient else 2, plan.n_lines, *shape))
        self.gradient, self.are_same = gradient, are_same

    def as_left(self, part):
        return part if self.are_same else part[..., None]

    def as_right(self, part):
        return part if self.are_same else part[..., None, :]

    def set(self, op, state):
        """Put the parts of a state in the lines of an operation."""
        n = len(state[0])
        for part, target in zip(state, self.lines[:, op.out : op.out + n], strict=False):
            target[:] = part

    def get(self, first, n):
        return tuple(self.lines[:, first : first + n])

    def extend(self, op, left, right):
        n = len(op.places)
        self.lines[:, op.out : op.out + n] = 0.0
        is_right = op.is_right.astype(bool)
        for p, part in zip((0, 2, 3), range(len(left)), strict=False):
            for side, view, mask in (
                (left, self.as_left, ~is_right),
                (right, self.as_right, is_right),
            ):
                target = self.lines[p, op.out : op.out + n]
                target[mask] = view(side[part][op.places[mask]])

    def gather(self, op):
        self.lines[:, op.out : op.out + len(op.sources)] = self.lines[:, op.sources].sum(axis=2)

    def scatter(self, op):
        for part in self.lines:
            np.add.at(part, op.targets, part[op.sources])

    def map(self, op, rows_x, rows_y):
        step, k = self.steps[op.step], op.step
        state = self.get(op.out, len(op.left))
        kind, numbers = kind_of(step), numbers_of(step)[:4]
        if kind == "embed":
            table = correlations(step)
            own, other = np.diag(table)[op.left], np.diag(table)[op.right]
            both = table[op.left, op.right]
            column = (slice(None),) + (None,) * (state[0].ndim - 1)
            self.set(
                op,
                (
                    state[0] + (own + other - 2.0 * both)[column],
                    state[1] + step.trained * both[column],
                ),
            )
            return
        left, right = self._sides(k, op, rows_x.records, rows_y.records)
        drift = (numbers[0], numbers[2], numbers[3])
        arguments = [step.activation if kind == "pointwise" else (), drift, state]
        moves = self._moves(k, op, rows_x, rows_y) if self.gradient else []
        if kind == "series":
            arguments.append(self._duals(state, left, right, moves))
            left, right, *moves = (part[:3] for part in (left, right, *moves))
        else:
            arguments.append(())
        cls = type(step.activation) if kind == "pointwise" else None
        function = built(distances.pair_source, kind, cls, self.gradient)
        state = function(*arguments, left, right, *moves)
        if self.are_same and kind in ("drop", "settle"):
            is_same = op.left == op.right
            for part in (0, 2, 3) if self.gradient else (0,):
                state[part][is_same] = 0.0  # one row at one position
            if kind == "drop":
                for part in (1, 4, 5) if self.gradient else (1,):
                    state[part][is_same] /= step.kept
        self.set(op, state)

    def _sides(self, k, op, left, right):
        sides = ((left[k], op.left, self.as_left), (right[k], op.right, self.as_right))
        return [tuple(view(part[places]) for part in record) for record, places, view in sides]

    def _moves(self, k, op, rows_x, rows_y):
        sides = (
            (rows_x.rates[k], op.left, self.as_left),
            (rows_y.rates[k], op.right, self.as_right),
        )
        return [
            tuple(view(part[places]) for part in rate)
            for rates, places, view in sides
            for rate in rates
        ]

    def _duals(self, state, left, right, moves):
        apart = left[1] - right[1]
        gap = np.maximum(state[0] - apart * apart, 0.0)
        if not moves:
            return series.dual(gap, left[2:], right[2:])
        rates = [
            (gap > 0.0) * (state[2 + p] - 2.0 * apart * (moves[p][1] - moves[2 + p][1]))
            for p in range(2)
        ]
        features = [[move[2:] for move in moves[i : i + 2]] for i in (0, 2)]
        return series.dual_rates(gap, rates, left[2:], right[2:], *features)

    def blend(self, op, rows_x, rows_y):
        step, k = self.steps[op.step], op.step
        before, inputs = self.lines[:, op.previous], self.lines[:, op.inputs]
        new = step.recurrent_var * before + step.weight_var * inputs
        if self.gradient:
            drift = step.recurrent_var * step.recurrent_tied * before
            drift = drift + step.weight_var * step.weight_tied * inputs
            new[2] += drift[0]
            new[4] += drift[1]
        left, right = self._sides(k, op, rows_x.records, rows_y.records)
        new[1] += step.trained * 0.5 * (left[0] + right[0] - new[0])
        if self.gradient:
            moves = self._moves(k, op, rows_x, rows_y)
            for p in range(2):
                own = moves[p][0] + moves[2 + p][0]
                new[4 + p] += step.trained * 0.5 * (own - new[2 + p])
        self.set(op, new)

    def mix(self, op, rows_x, rows_y):
        k, n = op.step, op.n
        lines = self.lines[:, op.source : op.source + n * n]
        lines = lines.reshape(len(lines), n, n, *lines.shape[2:])
        places = slice(None) if not self.gradient else [0, 2, 3]
        pick = (lambda parts: parts[0:1]) if not self.gradient else (lambda parts: parts[[0, 2, 3]])
        del places
        x = [(rows_x.records[k]), *rows_x.rates[k]] if self.gradient else [rows_x.records[k]]
        y = [(rows_y.records[k]), *rows_y.rates[k]] if self.gradient else [rows_y.records[k]]
        step = self.steps[k]
        as_left = lambda part: self.as_left(part)[:, None]
        as_right = lambda part: self.as_right(part)[None]
        K = _covariances([r[0] for r in x], [r[0] for r in y], pick(lines), as_left, as_right)
        T = lines[1:2] if not self.gradient else lines[[1, 4, 5]]
        S, R = ([r[2] for r in side] if step.scaling == "linear" else () for side in (x, y))
        first, second = (
            ("abn,acn->bcn", "acn,dcn->adn")
            if self.are_same
            else ("abn,acnm->bcnm", "acnm,dcm->adnm")
        )
        new = _attended(step, K, S, R, first, second)
        ntk = _attended_ntk(step, K, T, S, R, first, second, new)
        out = [as_left(a[1]) + as_right(b[1]) - 2.0 * c for a, b, c in zip(x, y, new, strict=True)]
        out[0] = np.maximum(out[0], 0.0)
        if self.are_same:
            for part in out:
                part[np.arange(n), np.arange(n)] = 0.0
        state = (out[0], ntk[0], *out[1:], *ntk[1:])
        self.set(op, [part.reshape(n * n, *part.shape[2:]) for part in state])


def _sandwich(S, K, R, first, second):
    """``S K R'`` for each pair of rows."""
    return np.einsum(second, np.einsum(first.replace("abn", "ban"), S, K), R)


def _attended(step, K, S, R, first, second):
    """Covariances behind an attention, with their rates."""
    if step.scaling == "sqrt":
        c = step.score_scale**2
        total = (K[0] * K[0]).sum(axis=(0, 1))
        moves = (c * (dK * total + 2.0 * K[0] * (K[0] * dK).sum(axis=(0, 1))) for dK in K[1:])
        return (c * K[0] * total, *moves)
    parts = [_sandwich(S[0], K[0], R[0], first, second)]
    for dK, dS, dR in zip(K[1:], S[1:], R[1:], strict=True):
        parts.append(
            _sandwich(dS, K[0], R[0], first, second)
            + _sandwich(S[0], dK, R[0], first, second)
            + _sandwich(S[0], K[0], dR, first, second)
        )
    return tuple(parts)


def _attended_ntk(step, K, T, S, R, first, second, new):
    """NTKs behind an attention, with their rates."""
    if step.scaling == "linear":
        return _attended(step, T, S, R, first, second)
    c, axes = step.score_scale**2, (0, 1)
    total, cross = (K[0] * K[0]).sum(axis=axes), (K[0] * T[0]).sum(axis=axes)
    parts = [c * (T[0] * total + 2.0 * K[0] * cross) + 2.0 * step.trained * new[0]]
    for dK, dT, dnew in zip(K[1:], T[1:], new[1:], strict=True):
        dtotal = 2.0 * (K[0] * dK).sum(axis=axes)
        dcross = (dK * T[0] + K[0] * dT).sum(axis=axes)
        move = dT * total + T[0] * dtotal + 2.0 * (dK * cross + K[0] * dcross)
        parts.append(c * move + 2.0 * step.trained * dnew)
    return tuple(parts)


# --- Programs ---------------------------------------------------------------------------------------


def variances(X):
    """Variances (positions, n) of rows (n, positions, channels)."""
    return np.einsum("npc,npc->pn", X, X) / X.shape[2]


def _distances(X, Y, left, right, are_same):
    """Squared distances of positions of rows, from differences."""
    X, Y = X.transpose(1, 2, 0), Y.transpose(1, 2, 0)
    total = 0.0
    for x, y in zip(X.swapaxes(0, 1), Y.swapaxes(0, 1), strict=True):
        apart = x[left] - y[right] if are_same else x[left][:, :, None] - y[right][:, None]
        total = total + apart * apart
    return total / X.shape[1]


def needs_pairs(op, program):
    """Whether single rows must be known pair by pair before an operation runs."""
    return isinstance(op, Mix) or (
        isinstance(op, Map) and isinstance(program.steps[op.step], (Pool, Flatten))
    )


def pairs_of(op, take, gradient):
    """What `Scan.advance` needs of the lines, of which ``take`` gets some as (parts, lines, n)."""
    parts = [0, 2, 3] if gradient else [0]
    if isinstance(op, Mix):
        pairs = take(np.arange(op.source, op.source + op.n**2))[parts]
        return pairs.reshape(len(parts), op.n, op.n, -1)
    return take(op.out + np.flatnonzero(op.left == op.right))[parts]


def finish(scan, state, gradient, n):
    """Rows from a scan up to the end, and the line of the result (parts, n)."""
    scan.advance(len(scan.steps) - 1)
    variance, moves = scan.state[0][0], (None, None)
    if gradient:
        rates = ([part[0] for part in scan.state[1:]], state[4:])
        moves = tuple(np.stack(list(parts), axis=-1)[:n] for parts in rates)

    def cut(item):
        return type(item)(map(cut, item)) if isinstance(item, (list, tuple)) else item[..., :n]

    records = map(cut, (scan.records, scan.rates, scan.outside))
    return Rows(*records, variance[:n], state[1][:n], *moves, scan.largest)


def scan_rows(program, X, gradient=False):
    """Carry single rows (n, positions, channels) through a program, paired with themselves."""
    plan = schedule(program, None, True)
    scan = Scan(program, variances(X), gradient)
    machine = _Machine(program, plan, (len(X),), gradient, True)
    for op in plan.operations:
        pairs = None
        if needs_pairs(op, program):
            pairs = pairs_of(op, lambda lines: machine.lines[:, lines], gradient)
        if not isinstance(op, (Scatter, Clear, Begin)):
            scan.advance(op.step, pairs)
        _apply(machine, op, X, X, scan, scan)
    return finish(scan, machine.lines[:, plan.result], gradient, len(X))


def run(program, X, Y, rows_x, rows_y, gradient=False):
    """Kernels between rows, as `_numpy.run` returns them, without the axis of outputs."""
    plan = schedule(program, None)
    machine = _Machine(program, plan, (len(X), len(Y)), gradient, False)
    for op in plan.operations:
        _apply(machine, op, X, Y, rows_x, rows_y)
    state = machine.lines[:, plan.result]
    left, right = (rows.records[-1][0][0] for rows in (rows_x, rows_y))
    nngp = 0.5 * (left[:, None] + right - state[0])
    if not gradient:
        return nngp, state[1]
    sides = zip(rows_x.rates[-1], rows_y.rates[-1], state[2:4], strict=True)
    rates = [0.5 * (x[0][0][:, None] + y[0][0] - move) for x, y, move in sides]
    return nngp, state[1], np.stack(rates, axis=-1), np.stack(list(state[4:6]), axis=-1)


def _apply(machine, op, X, Y, rows_x, rows_y):
    if isinstance(op, Begin):
        machine.set(
            op,
            (
                _distances(X, Y, op.left, op.right, machine.are_same),
                *[0.0 * machine.lines[0, :1]] * 0,
            ),
        )
        machine.lines[1:, op.out : op.out + len(op.left)] = 0.0
    elif isinstance(op, Clear):
        machine.lines[:, op.out : op.out + op.n] = 0.0
    elif isinstance(op, Extend):
        machine.extend(op, rows_x.outside[op.step], rows_y.outside[op.step])
    elif isinstance(op, Gather):
        machine.gather(op)
    elif isinstance(op, Scatter):
        machine.scatter(op)
    elif isinstance(op, Map):
        machine.map(op, rows_x, rows_y)
    elif isinstance(op, Blend):
        machine.blend(op, rows_x, rows_y)
    else:
        machine.mix(op, rows_x, rows_y)
