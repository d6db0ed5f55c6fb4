"""`Pointwise` instructions whose activation has no closed dual: Hermite series of rows and pairs.

Let ``u`` and ``v`` be the Hermite coefficients of two rows, of norm one (see `activations`), and
``rho`` their correlation before the activation. The correlation behind it is ``P(rho) = sum_n u_n
v_n rho^n``, the covariance that times both standard deviations. The gap needs ``1 - P(rho) =
|u - v|^2 / 2 + sum_n u_n v_n (1 - rho^n)``. With ``share = 1 - rho``, the factor ``1 - rho^n`` is
computed from order to order, ``1 - rho^(n + d) = (1 - rho^n) + (1 - rho^d) rho^n``, without
cancellation; the distance ``d`` to the next order stays the same or doubles.

The features of a row are the standard deviation behind the activation, ``1 / (2 s)`` with the
standard deviation ``s`` before it, their ratio ``gain``, ``log s^2`` (``clock`` in the code), and
the coefficients. Rates of the coefficients are derivatives with respect to ``log s^2``; the rates
of ``log s^2`` along both directions are kept once for all of them (``speed`` in the code).
"""

from functools import cache

import numpy as np

from . import distances, inputs, tile_traces
from .special import settled
from .tracing import NOISE, Graph, differentiate
from .writing import built, source

N_HEAD = 4
"""Number of features before the coefficients: those of `head`."""

SUMS = ("fallen", "step", "turn", "rise", "apart")
"""What is carried from term to term, for the next order n at the distance d from the one before:
``fallen = 1 - rho^(n - 1)``, ``step = 1 - rho^d``, and the sums over the orders m so far
``turn = sum u_m v_m (1 - rho^m)``, ``rise = sum m u_m v_m rho^(m - 1)`` and
``apart = sum (u_m - v_m)^2``."""

DOUBLING = 2
"""The distance ``d`` may double behind the first two terms of a block of `packing.tiles.TERMS`."""

_MOVED = {"s": SUMS[:4], "l": SUMS[2:], "r": SUMS[2:]}
"""Which sums depend on the share (s), and on the coefficients of the left (l) and right (r) row."""

RATE_SUMS = tuple(f"{name}_{letter}" for letter, names in _MOVED.items() for name in names)
"""Derivatives of the sums by the share (s), and by ``log s^2`` of the left (l) and right row (r).
"""


def orders_of(act, n):
    """Orders (n,) of the coefficients, and 1.0 behind which the distance to the next doubles."""
    orders = act.orders(n + 1)
    steps = np.diff(orders)
    return orders[:n], np.append(0.0, steps[1:] > 1.5 * steps[:-1])  # large orders are rounded


def map_row(step, numbers, state):
    """`Pointwise` on rows, without rates: the new state, the record, and an empty tuple.

    The state is the variance and the NTK, arrays over rows; the record is the three entries of
    `gaps.affine_row`, `head`, and the coefficients.
    """
    rows = step.activation.expand(state[0])
    order = step.activation.orders(len(rows.unit))[:, None]
    duals = (rows.std, rows.gain**2 * (order * rows.unit**2).sum(axis=0))
    new, sums, _ = built(tile_traces.affine_row_source, False)(numbers, state, duals)
    return new, (*sums, *head(rows, state[0]), *rows.unit), ()


def head(rows, variance):
    """Features of rows before the coefficients, from their `Expansion` and variance."""
    root = np.sqrt(variance)
    root = root + (root == 0.0)  # any number serves where the variance, and thus the gap, is zero
    return rows.std, 0.5 / root, rows.gain, 2.0 * np.log(root)


def map_row_rates(step, numbers, state):
    """`map_row` with rates: the new state and its rates, the record, its rates by direction.

    Names: ``..._rate`` are derivatives with respect to ``log s^2``, and ``speeds`` those of ``log
    s^2`` along both directions.
    """
    variance = state[0]
    rows = step.activation.expand(variance)
    std, inverse, gain, clock = head(rows, variance)
    order = step.activation.orders(len(rows.unit))[:, None]
    order_mean = (order * rows.unit**2).sum(axis=0)
    order_rate = 2.0 * (order * rows.unit * rows.dunit).sum(axis=0)
    gain_rate = 2.0 * inverse * rows.dstd - 0.5 * gain
    slope_rate = gain * (2.0 * gain_rate * order_mean + gain * order_rate)
    speeds = tuple(rate / (variance + (variance == 0.0)) for rate in state[2:4])
    duals = (std, gain**2 * order_mean)
    duals += tuple(rows.dstd * speed for speed in speeds)
    duals += tuple(slope_rate * speed for speed in speeds)
    new, sums, sum_rates = built(tile_traces.affine_row_source, True)(numbers, state, duals)
    heads = [
        (rows.dstd * speed, -0.5 * inverse * speed, gain_rate * speed, speed) for speed in speeds
    ]
    rates = tuple(
        (*sum_rate, *head, *rows.dunit) for sum_rate, head in zip(sum_rates, heads, strict=True)
    )
    return new, (*sums, std, inverse, gain, clock, *rows.unit), rates


# --- Pairs ----------------------------------------------------------------------------------------


def share_of(gap, left, right):
    """``1 - rho`` in [0, 2]; exactly 2 for rows that are opposite but for rounding."""
    half = np.minimum(gap * left[1] * right[1], 1.0)
    rest = 1.0 - half
    return 2.0 * (half + (rest < NOISE) * rest)


def double(sums, doubles):
    """The `SUMS`, with ``d`` doubled if ``doubles`` is 1 and unchanged if it is 0."""
    fallen, step, *others = sums
    return fallen, step + doubles * (step - step * step), *others


def term(share, sums, order, u, v):
    """The `SUMS` with the term of one more order."""
    fallen, step, turn, rise, apart = sums
    rest, move = 1.0 - fallen, u - v
    turn = turn + u * v * (fallen + share * rest)
    rise = rise + order * u * v * rest
    return step + fallen * (1.0 - step), step, turn, rise, apart + move * move


def end(sums, u, v, left, right):
    """Gap and slope ``E[f'(u) f'(v)]``, from the `SUMS` and the coefficients of order 0."""
    _, _, turn, rise, apart = sums
    move = u - v
    moved = apart + move * move + 2.0 * turn
    return left[0] * right[0] * moved, left[2] * right[2] * rise


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


def _moving(graph, letter):
    """The sums that depend on the share (s) or on a row (l, r), mapped to their derivatives."""
    names = _MOVED[letter]
    rates = graph.inputs(*(f"{name}_{letter}" for name in names))
    return dict(zip(graph.inputs(*names), rates, strict=True))


def trace_share(is_position):
    """Node of `share_of` of a pair of positions, or of rows."""
    return share_of(*_pair(Graph(), is_position))


def trace_sums(name, gradient):
    """Nodes of the `SUMS` after `double` or `term`, and with ``gradient`` of the `RATE_SUMS`."""
    graph = Graph()
    share, order, doubles, u, v, du, dv = graph.inputs("share", *TERM)
    sums = graph.inputs(*SUMS)
    outputs = double(sums, doubles) if name == "double" else term(share, sums, order, u, v)
    rates = ()
    for letter, seed in {"s": {share: 1.0}, "l": {u: du}, "r": {v: dv}}.items() if gradient else ():
        moves = dict(zip(SUMS, differentiate(outputs, seed | _moving(graph, letter)), strict=True))
        rates += tuple(moves[name] for name in _MOVED[letter])
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
        share, clock, other = differentiate([share_of(gap, left, right), left[3], right[3]], seeds)
        seeds |= {u: du * clock, v: dv * other}
        for letter, speed in (("s", share), ("l", clock), ("r", other)):
            for node, rate in _moving(graph, letter).items():
                seeds[node] = seeds.get(node, 0.0) + rate * speed
        rates.append(differentiate(outputs, seeds))
    return (*outputs, *sum(zip(*rates, strict=True), ()))


def _records(graph, is_position, p=None):
    """Inputs of both records without coefficients, or of their rates; where the features begin."""
    first = 2 if is_position else 3
    names = (inputs.record_names(letter, first + N_HEAD, p) for letter in "xy")
    return *(graph.inputs(*some) for some in names), first


def _pair(graph, is_position):
    """Gap and features of a pair of rows, or of positions, whose state is the squared distance."""
    left, right, first = _records(graph, is_position)
    (gap,) = graph.inputs("s0")
    if is_position:
        gap = settled(distances.gap_of(gap, left[1], right[1]), left[1], right[1])
    return gap, left[first:], right[first:]


def _seeds(graph, is_position, p):
    """Nodes of the state and of the records, mapped to their rates along direction ``p``."""
    state, rate = graph.inputs("s0", f"s{2 + p}")
    pairs = zip(_records(graph, is_position)[:2], _records(graph, is_position, p)[:2], strict=True)
    moves = (both for nodes, rates in pairs for both in zip(nodes, rates, strict=True))
    return {state: rate, **dict(moves)}


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
