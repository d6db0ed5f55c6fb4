"""`Pointwise` instructions whose activation has no closed dual: its Hermite series.

Let ``u`` and ``v`` be the Hermite coefficients of two rows, of norm one (see `activations`), and
``rho`` their correlation before the activation. The correlation behind it is ``P(rho) = sum_n u_n
v_n rho^n``, and the covariance is this times both standard deviations. The gap needs ``1 - P(rho) =
|u - v|^2 / 2 + sum_n u_n v_n (1 - rho^n)``. With ``share = 1 - rho``, the factor ``1 - rho^n`` is
computed from order to order, ``1 - rho^(n + d) = (1 - rho^n) + (1 - rho^d) rho^n``, without
cancellation; the distance ``d`` to the next order stays the same or doubles.

The features of a row are the four of `head` and the coefficients. Rates of the coefficients are
stored as derivatives with respect to ``log s^2``, for the standard deviation ``s`` before the
activation; the rates of ``log s^2`` along both directions are those of feature 3.
"""

from functools import cache

import numpy as np

from . import distances, inputs, tile_traces
from .special import settled
from .tracing import NOISE, Graph, differentiate
from .writing import built, source

N_HEAD = 4
"""Number of features before the coefficients: those of `head`."""

SUMS = ("decay", "step", "gap_sum", "slope_sum", "square_sum")
"""State of the sum over orders before that of order n, with the distance d from the order before:
``decay = 1 - rho^(n - 1)``, ``step = 1 - rho^d``, and over the orders m so far ``gap_sum = sum_m
u_m v_m (1 - rho^m)``, ``slope_sum = sum_m m u_m v_m rho^(m - 1)`` and ``square_sum = sum_m (u_m -
v_m)^2``."""

DOUBLING = 2
"""The distance ``d`` may double behind the first two terms of a block of `packing.tiles.TERMS`."""

_DEPENDENT = {"s": SUMS[:4], "l": SUMS[2:], "r": SUMS[2:]}
"""The sums that depend on the share (s), and on the coefficients of the left (l) and right (r) row.
"""

RATE_SUMS = tuple(f"{name}_{letter}" for letter, names in _DEPENDENT.items() for name in names)
"""Derivatives of the sums by the share (s), and by ``log s^2`` of the left (l) and right row (r).
"""


def orders_of(act, n):
    """Orders (n,) of the coefficients, and an array (n,): 1.0 where the distance of orders doubles.

    That is where the distance to the next order is twice that from the order before, else 0.0.
    """
    orders = act.orders(n + 1)
    steps = np.diff(orders)
    return orders[:n], np.append(0.0, steps[1:] > 1.5 * steps[:-1])  # large orders are rounded


def head(variance, std, gain):
    """Features of rows before the coefficients, from the variance ``s^2`` before the activation.

    They are the standard deviation ``std`` behind the activation, ``1 / (2 s)``, the ratio ``gain``
    of both standard deviations, and ``log s^2``.
    """
    root = np.sqrt(variance)
    root = root + (root == 0.0)  # any number serves where the variance, and thus the gap, is zero
    return std, 0.5 / root, gain, 2.0 * np.log(root)


def expand(act, variance, rates=()):
    """Duals of rows of these variances, of any shape, their features, and rates of the features.

    ``rates`` are the rates of the variances along both directions, or empty. The duals are standard
    deviation and slope ``E[f'(u)^2]`` behind the activation, with rates then those of the former
    and those of the latter. Rates of features are one tuple for each direction.
    """
    rows = act.expand(variance)
    order = np.reshape(act.orders(len(rows.unit)), (-1, *[1] * np.ndim(variance)))
    mean_order = (order * rows.unit**2).sum(axis=0)
    moved = (rows.dstd, 2.0 * (order * rows.unit * rows.dunit).sum(axis=0)) if rates else ()
    inputs = (variance, *rates), (rows.std, rows.gain, mean_order), moved
    duals, features, feature_rates = built(row_source, bool(rates))(*inputs)
    feature_rates = tuple((*rates, *rows.dunit) for rates in feature_rates)
    return duals, (*features, *rows.unit), feature_rates


def map_row(step, numbers, state):
    """`Pointwise` on rows: the new state with its rates, the record, its rates by direction.

    The state is the variance (n,), the NTK (n,) and their rates, if any; the record is the three
    entries of `gaps.affine_row` and the features, each (n,).
    """
    duals, features, feature_rates = expand(step.activation, state[0], state[2:4])
    affine = built(tile_traces.affine_row_source, len(state) > 2)
    new, sums, sum_rates = affine(numbers, state, duals)
    rates = tuple((*first, *rest) for first, rest in zip(sum_rates, feature_rates, strict=True))
    return new, (*sums, *features), rates


# --- Pairs ----------------------------------------------------------------------------------------


def share_of(gap, left, right):
    """``1 - rho`` in [0, 2]; exactly 2 for rows that are opposite but for rounding."""
    half = np.minimum(gap * left[1] * right[1], 1.0)
    rest = 1.0 - half
    return 2.0 * (half + (rest < NOISE) * rest)


def double(sums, doubles):
    """The `SUMS`, with ``d`` doubled if ``doubles`` is 1 and unchanged if it is 0."""
    decay, step, *others = sums
    return decay, step + doubles * (step - step * step), *others


def term(share, sums, order, u, v):
    """The `SUMS` with the term of one more order, of coefficients ``u`` and ``v``."""
    decay, step, gap_sum, slope_sum, square_sum = sums
    power, difference = 1.0 - decay, u - v
    gap_sum = gap_sum + u * v * (decay + share * power)
    slope_sum = slope_sum + order * u * v * power
    square_sum = square_sum + difference * difference
    return step + decay * (1.0 - step), step, gap_sum, slope_sum, square_sum


def end(sums, u, v, left, right):
    """Gap and slope ``E[f'(u) f'(v)]``, from the `SUMS` and the coefficients of order 0."""
    _, _, gap_sum, slope_sum, square_sum = sums
    difference = u - v
    unit_gap = square_sum + difference * difference + 2.0 * gap_sum
    return left[0] * right[0] * unit_gap, left[2] * right[2] * slope_sum


def dual(act, gap, left, right):
    """Gap and slope behind the activation, from the gap before it and the features of both rows."""
    u, v = left[N_HEAD:], right[N_HEAD:]
    share = share_of(gap, left, right)
    zero = 0.0 * share
    sums = (zero, share, zero, zero, zero)
    for order, doubles, x, y in zip(*orders_of(act, len(u)), u, v, strict=True):
        if order > 0.0:
            sums = term(share, double(sums, doubles), order, x, y)
    return end(sums, u[0], v[0], left, right)


def dual_rates(act, gap, gap_rates, left, right, dleft, dright):
    """Gap and slope as in `dual`, both rates of the gap, both rates of the slope.

    ``gap_rates`` and ``dleft``, ``dright`` are the rates of the gap and features by direction.
    """
    sides = [side[N_HEAD:] for side in (left, right, dleft[0], dright[0])]
    share = share_of(gap, left, right)
    zero, one = 0.0 * share, 1.0 + 0.0 * share
    sums = (zero, share, *(zero,) * 3, zero, one, *(zero,) * 8)
    functions = [built(sums_rates_source, name) for name in ("double", "term")]
    for order, doubles, *terms in zip(*orders_of(act, len(sides[0])), *sides, strict=True):
        if order > 0.0:
            for function in functions:
                sums = function(share, sums, (order, doubles, *terms))
    heads = [side[:N_HEAD] for side in (left, right, *dleft, *dright)]
    firsts = [side[0] for side in sides]
    return built(end_rates_source)((gap, *gap_rates), sums, firsts, *heads)


# --- Traces ---------------------------------------------------------------------------------------

TERM = ("order", "doubles", "u", "v", "du", "dv")
"""Inputs of a term: its order, whether the distance doubles behind it, the coefficients of both
rows and their derivatives with respect to ``log s^2``."""

EXPANDED = ("std", "gain", "mean_order")
"""Inputs of `trace_row` from the expansion of a row, the last one ``sum_n n u_n^2``."""

MOVED = ("std_rate", "mean_order_rate")
"""Derivatives of those but the gain with respect to ``log s^2``."""


def _derivatives(graph, letter):
    """The sums that depend on the share (s) or on a row (l, r), mapped to their derivatives."""
    names = _DEPENDENT[letter]
    rates = graph.inputs(*(f"{name}_{letter}" for name in names))
    return dict(zip(graph.inputs(*names), rates, strict=True))


def trace_share(is_position):
    """Node of `share_of`, for a pair of positions or of rows."""
    return share_of(*_pair(Graph(), is_position))


def trace_sums(name, gradient):
    """Nodes of the `SUMS` after `double` or `term`, and with ``gradient`` of the `RATE_SUMS`."""
    graph = Graph()
    share, order, doubles, u, v, du, dv = graph.inputs("share", *TERM)
    sums = graph.inputs(*SUMS)
    outputs = double(sums, doubles) if name == "double" else term(share, sums, order, u, v)
    rates = ()
    for letter, seed in {"s": {share: 1.0}, "l": {u: du}, "r": {v: dv}}.items() if gradient else ():
        seeds = seed | _derivatives(graph, letter)
        sum_rates = dict(zip(SUMS, differentiate(outputs, seeds), strict=True))
        rates += tuple(sum_rates[name] for name in _DEPENDENT[letter])
    return (*outputs, *rates)


def trace_end(gradient, is_position):
    """Nodes of gap and slope, with ``gradient`` then of both rates of the gap and of the slope."""
    graph = Graph()
    gap, left, right = _pair(graph, is_position)
    u, v, du, dv = graph.inputs(*TERM[2:])
    outputs = end(graph.inputs(*SUMS), u, v, left, right)
    if not gradient:
        return outputs
    rates = []
    for p in range(2):
        seeds = _seeds(graph, is_position, p)
        share = share_of(gap, left, right)
        share_rate, *log_rates = differentiate([share, left[3], right[3]], seeds)
        seeds |= {u: du * log_rates[0], v: dv * log_rates[1]}
        for letter, rate in zip("slr", (share_rate, *log_rates), strict=True):
            for node, derivative in _derivatives(graph, letter).items():
                seeds[node] = seeds.get(node, 0.0) + derivative * rate
        rates.append(differentiate(outputs, seeds))
    return (*outputs, *sum(zip(*rates, strict=True), ()))


def _records(graph, is_position, p=None):
    """Inputs of both records before the coefficients, or of their rates; index of feature 0."""
    first = 2 if is_position else 3
    left, right = (inputs.record_names(letter, first + N_HEAD, p) for letter in "xy")
    return graph.inputs(*left), graph.inputs(*right), first


def _pair(graph, is_position):
    """Gap and features of both rows; for a pair of positions, the gap follows from the distance."""
    left, right, first = _records(graph, is_position)
    (gap,) = graph.inputs("s0")
    if is_position:
        gap = settled(distances.gap_of(gap, left[1], right[1]), left[1], right[1])
    return gap, left[first:], right[first:]


def _seeds(graph, is_position, p):
    """Nodes of the state and of the records, mapped to their rates along direction ``p``."""
    state, state_rate = graph.inputs("s0", f"s{2 + p}")
    pairs = zip(_records(graph, is_position)[:2], _records(graph, is_position, p)[:2], strict=True)
    seeds = {state: state_rate}
    for nodes, rates in pairs:
        seeds |= zip(nodes, rates, strict=True)
    return seeds


def trace_row(gradient):
    """Nodes of duals, `head` and its rates as `expand` returns them, for rows."""
    graph = Graph()
    variance, std, gain, mean_order = graph.inputs("s0", *EXPANDED)
    features = head(variance, std, gain)
    outputs = (std, gain * gain * mean_order, *features)
    if not gradient:
        return outputs[:2], features, ()
    seeds = {variance: variance} | dict(zip((std, mean_order), graph.inputs(*MOVED), strict=True))
    seeds[gain] = differentiate([std * (2.0 * features[1])], seeds)[0]
    derivatives = differentiate(outputs, seeds)  # with respect to log s^2
    logs = [rate / (variance + (variance == 0.0)) for rate in graph.inputs("s2", "s3")]
    rates = [tuple(derivative * log for derivative in derivatives) for log in logs]
    duals = sum(zip(*rates, strict=True), ())[:4]
    return (*outputs[:2], *duals), features, tuple(rate[2:] for rate in rates)


@cache
def row_source(gradient):
    """Source of `trace_row`, a function of arrays."""
    state = ("s0", "s2", "s3") if gradient else ("s0",)
    signature = {"state": state, "rows": EXPANDED, "moved": MOVED if gradient else ()}
    return source("expand", signature, trace_row(gradient), ["s0"])


@cache
def sums_rates_source(name):
    """Source of `double` or `term` with the `RATE_SUMS`, a function of arrays."""
    signature = {"share": [], "sums": SUMS + RATE_SUMS, "terms": TERM}
    return source(name, signature, trace_sums(name, True))


@cache
def end_rates_source():
    """Source of `end` with its rates for pairs of rows, a function of arrays."""
    names = [
        inputs.record_names(letter, 3 + N_HEAD, p)[3:]
        for p, letter in ((None, "x"), (None, "y"), (0, "x"), (1, "x"), (0, "y"), (1, "y"))
    ]
    signature = {"state": ("s0", "s2", "s3"), "sums": SUMS + RATE_SUMS, "firsts": TERM[2:]}
    sides = ("left", "right", "dleft0", "dleft1", "dright0", "dright1")
    signature |= dict(zip(sides, names, strict=True))
    return source("end_rates", signature, trace_end(True, False))
