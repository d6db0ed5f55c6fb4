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


def map_row(step, numbers, state):
    """`Pointwise` on rows, without rates: the new state, the record, and an empty tuple.

    The state is the variance (n,) and the NTK (n,); the record is the three entries of
    `gaps.affine_row`, those of `head`, and the coefficients, each (n,).
    """
    rows = step.activation.expand(state[0])
    order = step.activation.orders(len(rows.unit))[:, None]
    duals = (rows.std, rows.gain**2 * (order * rows.unit**2).sum(axis=0))
    new, sums, _ = built(tile_traces.affine_row_source, False)(numbers, state, duals)
    return new, (*sums, *head(rows, state[0]), *rows.unit), ()


def head(rows, variance):
    """Features (n,) of rows before the coefficients, from their `Expansion` and variance ``s^2``.

    They are the standard deviation behind the activation, ``1 / (2 s)``, the ratio ``gain`` of both
    standard deviations, and ``log s^2``.
    """
    root = np.sqrt(variance)
    root = root + (root == 0.0)  # any number serves where the variance, and thus the gap, is zero
    return rows.std, 0.5 / root, rows.gain, 2.0 * np.log(root)


def map_row_rates(step, numbers, state):
    """`map_row` with rates: the new state and its rates, the record, its rates by direction.

    Names: ``..._rate`` are derivatives with respect to ``log s^2``, and ``log_rates`` the rates of
    ``log s^2`` along both directions.
    """
    variance = state[0]
    rows = step.activation.expand(variance)
    std, inverse, gain, log_variance = head(rows, variance)
    order = step.activation.orders(len(rows.unit))[:, None]
    order_mean = (order * rows.unit**2).sum(axis=0)
    order_rate = 2.0 * (order * rows.unit * rows.dunit).sum(axis=0)
    gain_rate = 2.0 * inverse * rows.dstd - 0.5 * gain
    slope_rate = gain * (2.0 * gain_rate * order_mean + gain * order_rate)
    log_rates = tuple(rate / (variance + (variance == 0.0)) for rate in state[2:4])
    duals = (std, gain**2 * order_mean)
    duals += tuple(rows.dstd * log_rate for log_rate in log_rates)
    duals += tuple(slope_rate * log_rate for log_rate in log_rates)
    new, sums, sum_rates = built(tile_traces.affine_row_source, True)(numbers, state, duals)
    head_rates = rows.dstd, -0.5 * inverse, gain_rate, 1.0
    heads = [[rate * log_rate for rate in head_rates] for log_rate in log_rates]
    rates = tuple(
        (*sum_rate, *head, *rows.dunit) for sum_rate, head in zip(sum_rates, heads, strict=True)
    )
    return new, (*sums, std, inverse, gain, log_variance, *rows.unit), rates


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
