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
    """Whether `Scan.advance` needs the distances inside rows before an operation runs."""
    return op.reads_rows and program.steps[op.step].mixes


def pairs_of(op, step, take, gradient):
    """The states of pairs inside rows that `Scan.advance` to the step of ``op`` needs.

    ``take(lines)`` returns lines as an array (parts, lines, n). For attention the result is the
    states (parts, positions, positions, n), for a pooling the squared distances and their rates
    (parts, positions, n), summed over each window.
    """
    pairs = take(lines_inside(op, step))
    if step.takes_all:
        return pairs.reshape(len(pairs), op.n, op.n, -1)
    return pairs[[0, 2, 3] if gradient else [0]]


def lines_inside(op, step):
    """Lines of the pairs inside rows that a step reads: all, or those of equal outputs (p, p)."""
    if step.takes_all:
        return np.arange(op.source, op.source + op.n_lines)
    return op.out + np.flatnonzero(op.left == op.right)


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
        """Run all steps up to step ``k``, which is included; ``pairs`` are from `pairs_of`."""
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
        dvariance = dntk = None
        if variance_rates:
            dvariance = np.stack(variance_rates, axis=-1)[:n]
            dntk = np.stack(result[4:6], axis=-1)[:n]
        lists = (cut(item, slice(None, n)) for item in (self.records, self.rates, self.outside))
        return LineRows(*lists, variance[:n], result[1][:n], dvariance, dntk, self.largest)


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
    """Sums over windows (n_outputs, n) of arrays (positions, n); positions -1 count as zero."""
    padded = (np.concatenate([part, np.zeros((1, *part.shape[1:]))]) for part in parts)
    return tuple(part[table].sum(axis=1) for part in padded)


def _embed(scan, step, pairs):
    variance = np.diag(step.covariances)[:, None]
    return (scan.state[0] + variance, *scan.state[1:]), (), _NO_RATES, ()


def _settle(scan, step, pairs):
    """Pooling, ``scale sum_st K(p_s, p_t)``; for the record see `distances.settle_pair`."""
    table, scale = step.windows.table, step.scale
    count = (table >= 0).sum(axis=1)[:, None] + 0.0 * pairs[0]
    sums = tuple(scale * part for part in _windows(table, scan.state))
    inside = tuple(0.5 * scale * part for part in pairs)
    new = tuple(total * count - within for within, total in zip(inside, sums, strict=True))
    new = (np.maximum(new[0], 0.0), *new[1:])
    rates = zip(inside[1:], sums[1:], strict=True)
    rates = tuple((within, 0.0 * count, total) for within, total in rates)
    return new, (inside[0], count, sums[0]), rates, ()


def _mean(scan, step, pairs):
    return tuple(part.mean(axis=0, keepdims=True) for part in scan.state), (), _NO_RATES, ()


def _covariances(scan, pairs):
    """Covariances, NTKs and rates (parts, positions, positions, n) inside the rows.

    The second result is the list of the indices of the covariance and its rates among the parts.
    """
    left, right = ([(part[at],) for part in scan.state] for at in (np.s_[:, None], np.s_[None]))
    K = attention.covariances(pairs, left[0], right[0], *left[1:], *right[1:])
    return K, [*attention.VALUE[: len(scan.state)]]


def _attend_linear(scan, step, pairs):
    """Attention with linear scaling: new variances are the diagonal of ``S K S'``.

    The record is that of `distances.attend_linear_pair`, then the attention weights ``S``.
    """
    K, parts = _covariances(scan, pairs)
    S, A = attention.weights(step, K[parts]), scan.state
    sums = attention.evaluate(attention.weigh, attention.mix_left(S, K), S).sum(axis=2)
    new, absolute = tuple(sums[parts]), np.abs(S[0])
    bounds = (absolute * A[0]).sum(axis=1), absolute.sum(axis=1)
    zeros = (0.0 * new[0],) * 2
    rates = ((A[p], new[p], *zeros, S[p]) for p in range(1, len(new)))
    return new, (A[0], new[0], *bounds, S[0]), tuple(rates), ()


def _attend_sqrt(scan, step, pairs):
    """Attention with the scaling "sqrt": `distances.attend_sqrt_row`, from sums of squares."""
    K, parts = _covariances(scan, pairs)
    total = attention.evaluate(attention.squares, K).sum(axis=(1, 2))
    return *map_rows(step, scan.state, total[parts]), ()


def _recur(scan, step, pairs):
    """Recurrence: the new state is the variances before the activation, at all times.

    Those behind the activation are the result ``outside``, for pairs of a time with time -1.
    """
    before, behind, hidden = [], [], tuple(0.0 * part[0] for part in scan.state)
    for inputs in zip(*scan.state, strict=True):
        preactivation = map_rows(step, hidden, inputs)[0]
        before.append(preactivation)
        column = tuple(part[None] for part in preactivation)
        hidden = tuple(part[0] for part in map_rows(scan.steps[scan.n + 1], column)[0])
        behind.append(hidden)
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

    A recurrence takes ``inputs``, too, the variances of the input at this time with their rates;
    attention with the scaling "sqrt" takes sums of squared covariances with their rates.
    """
    names = line_traces.row_numbers(step.rule)
    if step.rule == "series":
        return _series(step, step.take(names), state)
    formula, act = formula_of(step)
    function = built(line_traces.row_source, *formula, len(state) > 1)
    return function(act, step.take(names), state, *inputs)


def formula_of(step):
    """Key (rule, class of the activation or None) of the formula of a step; its parameters."""
    if step.rule == "pointwise":
        return (step.rule, type(step.activation)), step.parameters
    return (step.rule, None), ()


def _series(step, numbers, state):
    """`map_rows` for a series: behind the record of `distances.series_row` are the features."""
    duals, features, feature_rates = series.expand(step.activation, state[0], state[1:])
    function = built(line_traces.row_source, step.rule, None, len(state) > 1)
    new, record, rates = function((), numbers, state, (duals[0], *duals[2:4]))
    rates = tuple((*first, *rest) for first, rest in zip(rates, feature_rates, strict=True))
    return new, (*record, *features), rates
