"""The pass over single rows with positions, backwards: from records to variances of the inputs.

`LocalScan` goes forward and keeps at each step how the record depends on the *variables* of the
row there: for steps that map positions one by one the logarithm of the variance before the step,
whose rates neither overflow nor vanish, for others the entries of the record in `VARIABLES`. Its
method `retreat` goes back step by step. Derivatives of results by anything are arrays (..., n, k)
for n rows and k results.
"""

from collections import defaultdict
from copy import copy

import numpy as np
from scipy.sparse import csr_array

from ...formulas import attention, line_traces
from ...formulas.special import safe_inverse
from ...formulas.tracing import ROUNDING
from .lines import Scan, map_rows

VARIABLES = {
    "settle": {"inside": 0, "sums": 2},
    "recur": {"new": 0},
    "attend_linear": {"new": 1},
    "attend_sqrt": {"new": 1},
    "covariance": {"variance": 0},
}
"""Names of variables, and the entries of the record that they are, by rule."""

LOCAL = ("pointwise", "affine", "series", "normalize", "drop")
"""Rules that map positions one by one, of which the variable is the log of the variance before."""

LIFT = 1e-12
"""Variance, relative to that of other rows, of signals that are zero, where derivatives are taken.
"""

_SIZES = {
    "pointwise": lambda record: record[1] ** 2,
    "series": lambda record: record[1] ** 2,
    "settle": lambda record: record[1] * record[2] - record[0],
    "attend_linear": lambda record: record[1] * (record[3] > ROUNDING * record[3].max(axis=0)),
    "attend_sqrt": lambda record: record[1],
}
"""The variance, by rule, that must not be zero where derivatives are taken, from the record.

That of an attention is zero if all attention weights are, but for rounding.
"""

_LIFTED = {
    "settle": lambda record, lift: (record[0] - lift, *record[1:]),
    "attend_linear": lambda record, lift: (record[0], record[1] + lift, *record[2:]),
    "attend_sqrt": lambda record, lift: (record[0], record[1] + lift, *record[2:]),
}
"""Records with that much more variance, by rule."""


def scale_of(step, record):
    """Mean variance at a step of rows with these records, see `LocalScan`."""
    return np.mean(_SIZES[step.rule](record)) if step.rule in _SIZES else 0.0


def variables_of(rule):
    """Names of the variables of the row on which the record of a step depends."""
    return ("log",) if rule in LOCAL else tuple(VARIABLES.get(rule, ()))


def sums_at(index, values, n):
    """Array (n, ...) of the sums of ``values`` (m, ...) that have the same number in ``index``."""
    m = len(index)
    matrix = csr_array((np.ones(m), index, np.arange(m + 1)), shape=(m, n))
    return (matrix.T @ values.reshape(m, -1)).reshape(n, *values.shape[1:])


class LocalScan(Scan):
    """`Scan` that keeps derivatives of each step, and goes back through the steps.

    ``variances[k]`` are those before step ``k``. Positions where an activation, a pooling or an
    attention has no signal have no direction: derivatives are taken as if they had a tiny one, of
    variance ``lift[k]`` (positions, n), at right angles to all others. ``tangents[k]`` is the
    record with that, and ``scales[k]`` from `scale_of` other rows. ``bars`` has the derivatives of
    results by variables, by (step, name); the one of the variance that pairs with one position
    outside the grid read is "outside" in a recurrence.
    """

    def __init__(self, program, variance, scales):
        super().__init__(program, variance, False)
        self.scales, self.variances, self.lift, self.pairs = scales, [], [], []
        self.slopes, self.tangents, self._local_rates = [], [], []
        self.bars = defaultdict(float)

    def advance(self, k, pairs=None):
        """Run all steps up to step ``k``, which is included."""
        while self.n <= k:
            step, (variance,) = self.steps[self.n].untied, self.state
            super().advance(self.n, pairs)
            slope, record, rates, lift = None, self.records[-1], None, 0.0
            if step.rule in _SIZES:
                is_zero = _SIZES[step.rule](record) <= 0.0
                lift = is_zero * (LIFT * (self.scales[len(self.lift)] or 1.0))
            if step.rule in LOCAL:
                lifted = variance + lift
                (_, _, slope), record, rates = map_rows(step, (lifted, 0.0 * lifted, lifted))
            elif step.rule in _LIFTED:
                record = _LIFTED[step.rule](record, lift)
            self.variances.append(variance)
            self.lift.append(lift)
            self.pairs.append(pairs)
            self.slopes.append(slope)
            self.tangents.append(record)
            self._local_rates.append(rates)

    def branch(self):
        """The same pass, with derivatives by variables of its own."""
        other = copy(self)
        other.bars = defaultdict(float)
        return other

    def rates_by_variables(self, k, rule):
        """Rates of the record by each variable of a rule of step ``k``."""
        if rule in LOCAL:
            return self._local_rates[k][1:]
        unit = np.eye(line_traces.record_length(rule))
        return [tuple(unit[entry]) for entry in VARIABLES.get(rule, {}).values()]

    def count(self, k):
        """Number of positions in the record of step ``k``; before the step if it has none."""
        record = self.tangents[k]
        return len(record[0] if record else self.variances[k])

    def add(self, k, name, bar):
        """Add derivatives by a variable of step ``k``."""
        self.bars[k, name] = self.bars[k, name] + bar

    def taken(self, k, name):
        """Derivatives by a variable, which are forgotten."""
        return self.bars.pop((k, name), 0.0)

    def retreat(self, k, bar):
        """Go back through step ``k``: from derivatives by the variances behind to those before.

        They are (positions, n, k). The second result are derivatives by the distances of the pairs
        inside the rows that the step has read, or None.
        """
        bar, pairs = _RULES.get(self.steps[k].rule, _through)(self, k, self.steps[k].untied, bar)
        return bar + self.taken(k, "variance"), pairs


# --- Rules: derivatives by the variance before, from those by the variance behind -----------------


def _through(scan, k, step, bar):
    """Steps that leave the variance as it is, or map it one by one."""
    if step.rule not in LOCAL:
        return bar, None
    inverse = safe_inverse(scan.variances[k] + scan.lift[k])[..., None]
    return inverse * (scan.slopes[k][..., None] * bar + scan.taken(k, "log")), None


def _save(scan, k, step, bar):
    return bar + scan.stack.pop(), None


def _swap(scan, k, step, bar):
    bar, scan.stack[-1] = scan.stack[-1], bar
    return bar, None


def _add(scan, k, step, bar):
    scan.stack.append(bar)
    return bar, None


def _spread(table, bar, n):
    """Transposed of sums over windows: (n, ...) from (n_outputs, ...)."""
    inside = table >= 0
    values = np.broadcast_to(bar[:, None], (*table.shape, *bar.shape[1:]))
    return sums_at(table[inside], values[inside], n)


def _convolve(scan, k, step, bar):
    return _spread(step.windows.table, bar, len(scan.variances[k])), None


def _mean(scan, k, step, bar):
    n = len(scan.variances[k])
    return np.broadcast_to(bar / n, (n, *bar.shape[1:])), None


def _settle(scan, k, step, bar):
    """Pooling: ``A' = sums count - inside``, see `lines._settle`; also by the pairs' distances."""
    count = scan.records[k][1][..., None]
    sums = bar * count + scan.taken(k, "sums")
    inside = scan.taken(k, "inside") - bar
    bar = _spread(step.windows.table, step.scale * sums, len(scan.variances[k]))
    return bar, 0.5 * step.scale * inside


def _recur(scan, k, step, bar):
    """All times backwards; ``outside`` is the variance behind the activation."""
    outside, act = scan.taken(k, "outside"), scan.steps[k + 1].untied
    total, inputs = bar + scan.taken(k, "new"), scan.variances[k]
    (before,) = scan.records[k]
    behind = map_rows(act, (before, 0.0 * before, before))[0][2] * safe_inverse(before)
    zeros, ones = np.zeros_like(inputs[0]), np.ones_like(inputs[0])
    by_hidden, by_inputs = map_rows(step, (zeros, ones, zeros), (zeros, zeros, ones))[0][1:]
    found, hidden = np.zeros_like(total), 0.0
    for t in reversed(range(len(total))):
        hidden = hidden + outside[t] if np.ndim(outside) else hidden
        preactivation = total[t] + behind[t][..., None] * hidden
        found[t] = by_inputs[..., None] * preactivation
        hidden = by_hidden[..., None] * preactivation
    return found, None


def _attend_linear(scan, k, step, bar):
    """Attention with linear scaling: new variances are the diagonal of ``S K S'``."""
    K, S = _covariances(scan, k), scan.records[k][4][..., None]
    new, weights = bar + scan.taken(k, "new"), scan.taken(k, "weights")
    mixed = np.einsum("stna,ptna->psna", K, S)
    weights = weights + 2.0 * new[:, None] * mixed
    by_K = np.einsum("pnk,psna,ptna->stnk", new, S, S, optimize=True)
    return _of_covariances(by_K + attention.pull_weights(step, K, S, weights))


def _attend_sqrt(scan, k, step, bar):
    """Attention with Gaussian scores, whose variances are those of all pairs together."""
    K, variance = _covariances(scan, k), scan.variances[k]
    total, zeros = (K * K).sum(axis=(0, 1))[:, 0], np.zeros_like(variance)
    (_, by_variance, by_total), *_ = map_rows(
        step, (variance, zeros + 1.0, zeros), (total, 0.0 * total, 0.0 * total + 1.0)
    )
    new = bar + scan.taken(k, "new")
    summed = (by_total[..., None] * new).sum(axis=0) + scan.taken(k, "total")
    bar, pairs = _of_covariances(2.0 * K * summed)
    return bar + by_variance[..., None] * new, pairs


def _covariances(scan, k):
    """Covariances (positions, positions, n, 1) inside the rows before step ``k``."""
    variance = scan.variances[k]
    K = attention.covariances(scan.pairs[k], (variance[:, None],), (variance[None],))[0]
    return K[..., None]


def _of_covariances(bar):
    """Derivatives by variances (positions, n, k), and by distances of all pairs of positions.

    They follow from those by covariances, ``K(p, q) = (A(p) + A(q) - D(p, q)) / 2``.
    """
    by_variance = 0.5 * (bar.sum(axis=0) + bar.sum(axis=1))
    return by_variance, -0.5 * bar.reshape(-1, *bar.shape[2:])


_RULES = {
    "save": _save,
    "swap": _swap,
    "add": _add,
    "convolve": _convolve,
    "settle": _settle,
    "mean": _mean,
    "recur": _recur,
    "attend_linear": _attend_linear,
    "attend_sqrt": _attend_sqrt,
}
"""Functions by the rule of a step: derivatives by the variance before it, and by pairs or None."""
