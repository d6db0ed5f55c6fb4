"""The pass over single rows with positions: variances at every step, and records for pairs.

Variances behind a pooling or an attention depend on all pairs of positions of a row with itself.
Engines carry these pairs as lines, for which the left and the right row are the same, and hand
their squared distances to `Scan` where a step needs them.
"""

from typing import NamedTuple

import numpy as np

from ...formulas import attention, line_traces, series
from ...formulas.writing import built


class LineRows(NamedTuple):
    """Results of the pass over n single rows.

    ``records[k]`` is the record of step ``k``, a tuple of arrays (positions, ..., n) that pairs
    read, and ``rates[k][p]`` its rates along direction ``p``. ``outside[k]`` are the variances
    before step ``k``, with their rates: the squared distances of pairs with one position outside
    the grid. ``variance`` and ``ntk`` (n,) are the diagonals of the Gram matrices, ``dvariance``
    and ``dntk`` (n, 2) their rates or None, and ``largest`` is the largest variance at any step.
    """

    records: list
    rates: list
    outside: list
    variance: object
    ntk: object
    dvariance: object
    dntk: object
    largest: float

    LISTS = "records", "rates", "outside"
    DIAGONALS = "variance", "ntk", "dvariance", "dntk"


def variances(X):
    """Variances (positions, n) of rows (n, positions, channels)."""
    return np.einsum("npc,npc->pn", X, X) / X.shape[2]


def needs_pairs(op, program):
    """Whether single rows must be known pair by pair before an operation runs."""
    return op.reads_rows and program.steps[op.step].mixes


def pairs_of(op, step, take, gradient):
    """What `Scan.advance` needs of the lines, of which ``take`` gets some as (parts, lines, n)."""
    if step.takes_all:
        pairs = take(np.arange(op.source, op.source + op.n_lines))
        return pairs.reshape(len(pairs), op.n, op.n, -1)
    parts = [0, 2, 3] if gradient else [0]
    return take(op.out + np.flatnonzero(op.left == op.right))[parts]


class Scan:
    """Runs a program on single rows, step by step: variances, and records for pairs.

    ``state`` is a tuple of arrays (positions, n): the variances and, with ``gradient``, their rates
    along both directions. ``n`` is the number of steps done.
    """

    def __init__(self, program, variance, gradient):
        self.steps, self.n = program.steps, 0
        self.state = (variance, 0.0 * variance, 0.0 * variance)[: 3 if gradient else 1]
        self.stack, self.records, self.rates, self.outside = [], [], [], []
        self.largest = variance.max(initial=0.0)

    def advance(self, k, pairs=None):
        """Go on up to and with step ``k``; for ``pairs`` inside the rows see `pairs_of`."""
        while self.n <= k:
            step = self.steps[self.n]
            rule = _RULES.get(step.rule, _map)
            self.state, record, rates, outside = rule(self, step, pairs)
            self.records.append(record)
            self.rates.append(rates)
            self.outside.append(outside)
            sizes = (np.abs(part).max(initial=0.0) for part in self.state)
            self.largest = np.max([self.largest, *sizes])  # NaN if there is one
            self.n += 1

    def finish(self, result, n):
        """`LineRows` of the first ``n`` rows, from the line (parts, rows) of the result."""
        self.advance(len(self.steps) - 1)
        variance, *variance_rates = (part[0] for part in self.state)
        _, ntk, *pair_rates = result
        dvariance = dntk = None
        if variance_rates:
            dvariance = np.stack(variance_rates, axis=-1)[:n]
            dntk = np.stack(pair_rates[2:], axis=-1)[:n]  # behind those of the distance
        lists = (cut(item, slice(None, n)) for item in (self.records, self.rates, self.outside))
        return LineRows(*lists, variance[:n], ntk[:n], dvariance, dntk, self.largest)


def cut(item, rows):
    """Nested lists or tuples of arrays (..., n), with ``rows`` of the last axis."""
    if isinstance(item, (list, tuple)):
        return type(item)(cut(entry, rows) for entry in item)
    return item[..., rows]


# --- Rules: each returns the new state, the record, its rates, and variances for `outside` --------

_NO_RATES = ((), ())


def _save(scan, step, pairs):
    scan.stack.append(scan.state)
    return scan.state, (), _NO_RATES, ()


def _swap(scan, step, pairs):
    state, scan.stack[-1] = scan.stack[-1], scan.state
    return state, (), _NO_RATES, ()


def _add(scan, step, pairs):
    return tuple(map(np.add, scan.state, scan.stack.pop())), (), _NO_RATES, ()


def _output(scan, step, pairs):
    rates = tuple((part,) for part in scan.state[1:])
    return scan.state, scan.state[:1], rates, ()


def _convolve(scan, step, pairs):
    table = step.windows.table
    return _windows(table, scan.state), (), _NO_RATES, scan.state if (table < 0).any() else ()


def _windows(table, parts):
    """Sums over windows (n_outputs, n) of arrays (positions, n), which are zero outside."""
    padded = (np.concatenate([part, np.zeros((1, *part.shape[1:]))]) for part in parts)
    return tuple(part[table].sum(axis=1) for part in padded)


def _embed(scan, step, pairs):
    own = np.diag(step.covariances)[:, None]
    return (scan.state[0] + own, *scan.state[1:]), (), _NO_RATES, ()


def _settle(scan, step, pairs):
    """Pooling; for the record see `distances.settle_pair`."""
    table, scale = step.windows.table, step.scale
    count = (table >= 0).sum(axis=1)[:, None] + 0.0 * pairs[0]
    sums = tuple(scale * part for part in _windows(table, scan.state))
    inside = tuple(0.5 * scale * part for part in pairs)
    new = tuple(total * count - less for less, total in zip(inside, sums, strict=True))
    new = (np.maximum(new[0], 0.0), *new[1:])
    rates = zip(inside[1:], sums[1:], strict=True)
    rates = tuple((less, 0.0 * count, total) for less, total in rates)
    return new, (inside[0], count, sums[0]), rates, ()


def _mean(scan, step, pairs):
    return tuple(part.mean(axis=0, keepdims=True) for part in scan.state), (), _NO_RATES, ()


def _covariances(scan, pairs):
    """Covariances and NTKs inside rows, as `attention` has states, and places of the former."""
    left, right = ([(part[at],) for part in scan.state] for at in (np.s_[:, None], np.s_[None]))
    K = attention.covariances(pairs, left[0], right[0], *left[1:], *right[1:])
    return K, [*attention.VALUE[: len(scan.state)]]


def _attend_linear(scan, step, pairs):
    K, parts = _covariances(scan, pairs)
    S, A = attention.weights(step, K[parts]), scan.state
    sums = attention.evaluate(attention.weigh, attention.mix_left(S, K), S).sum(axis=2)
    new, size = tuple(sums[parts]), np.abs(S[0])
    sizes = (size * A[0]).sum(axis=1), size.sum(axis=1)
    zeros = (0.0 * new[0],) * 2
    rates = ((A[p], new[p], *zeros, S[p]) for p in range(1, len(new)))
    return new, (A[0], new[0], *sizes, S[0]), tuple(rates), ()


def _attend_sqrt(scan, step, pairs):
    K, parts = _covariances(scan, pairs)
    total = attention.evaluate(attention.squares, K).sum(axis=(1, 2))
    return *map_rows(step, scan.state, total[parts]), ()


def _recur(scan, step, pairs):
    """Recurrence: the state is the variances before the activation, at all times.

    Variances behind the activation are those for pairs with a position outside.
    """
    before, behind, last = [], [], tuple(0.0 * part[0] for part in scan.state)
    for inputs in zip(*scan.state, strict=True):
        now = map_rows(step, last, inputs)[0]
        before.append(now)
        activated = map_rows(scan.steps[scan.n + 1], tuple(part[None] for part in now))[0]
        last = tuple(part[0] for part in activated)
        behind.append(last)
    state, outside = (tuple(map(np.stack, zip(*t, strict=True))) for t in (before, behind))
    return state, state[:1], tuple((part,) for part in state[1:]), outside


def _map(scan, step, pairs):
    return *map_rows(step, scan.state), ()


_RULES = {
    "save": _save,
    "swap": _swap,
    "add": _add,
    "output": _output,
    "convolve": _convolve,
    "settle": _settle,
    "mean": _mean,
    "embed": _embed,
    "recur": _recur,
    "attend_linear": _attend_linear,
    "attend_sqrt": _attend_sqrt,
}
"""Functions by the rule of a step; all other rules map positions one by one, by `map_rows`."""


def map_rows(step, state, *inputs):
    """New state, record and rates of the record, for a step that maps positions one by one.

    A recurrence has ``inputs``, the variances that come in, with their rates, an attention sums.
    """
    names = line_traces.row_numbers(step.rule)
    if step.rule == "series":
        return _series(step, step.take(names), state)
    formula, act = formula_of(step)
    function = built(line_traces.row_source, *formula, len(state) > 1)
    return function(act, step.take(names), state, *inputs)


def formula_of(step):
    """The key (rule, activation class or None) of the formula of a step, and its parameters."""
    if step.rule == "pointwise":
        return (step.rule, type(step.activation)), step.parameters
    return (step.rule, None), ()


def _series(step, numbers, state):
    """`Pointwise` with a series: state, record and rates of the record.

    The record is the new variance, the standard deviation before, `series.head`, coefficients.
    """
    weight, bias, _, weight_rate, bias_rate = numbers
    variance, shape = state[0], state[0].shape
    rows = step.activation.expand(variance.ravel())
    head = series.head(rows, variance.ravel())
    std, inverse, gain, clock, *unit = (part.reshape(shape) for part in (*head, *rows.unit))
    dstd = rows.dstd.reshape(shape)
    dgain = 2.0 * inverse * dstd - 0.5 * gain
    root = np.sqrt(variance)
    new = weight * std * std + bias
    new_rates, record_rates = [], []
    for p, rate in enumerate(state[1:]):
        speed = rate / (variance + (variance == 0.0))  # rate of log s^2
        of_numbers = (weight_rate * std * std, bias_rate)[p]
        new_rates.append(2.0 * weight * std * dstd * speed + of_numbers)
        by_log = (0.5 * root, dstd, -0.5 * inverse, dgain, 1.0)
        coefficients = (part.reshape(shape) for part in rows.dunit)
        record_rates.append((new_rates[-1], *(part * speed for part in by_log), *coefficients))
    record = (new, root, std, inverse, gain, clock, *unit)
    return (new, *new_rates), record, tuple(record_rates)
