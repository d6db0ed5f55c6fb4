"""What the instructions do to single rows and to pairs, as formulas, and their derivatives.

A row has a variance and an NTK, a pair a gap and an NTK (see `_special`). For the pairs an
instruction keeps a record of each row: a `Pointwise` step the features of its activation, padded,
and the standard deviations of the weighted part and of the result; an `Add` those of both summands
and, at the end, of the sum. ``left`` and ``right`` are two such records.

Derivatives are taken along two directions, log weight_var and log bias_var. In the sources below
``state`` is (gap, NTK, two rates of the gap, two rates of the NTK), for rows with the variance in
place of the gap, and ``drift`` holds the rate of the weight variance along the first direction and
of the bias along the second.
"""

from functools import cache

import numpy as np

from ._special import mixing
from ._trace import Graph, differentiate, source

N_FEATURES = 6
WIDTH = N_FEATURES + 2
"""Length of a record."""

_NUMBERS = ("weight", "bias", "trained")


def map_row(act, weight, bias, trained, variance, ntk):
    """`Pointwise` on a row: its new variance and NTK, and its record."""
    zero = 0.0 * variance
    features = act.features(variance)
    new = weight * act.variance(variance) + bias
    slope = act.dual(zero, features, features)[1]
    padding = (zero,) * (N_FEATURES - len(features))
    record = (*features, *padding, np.sqrt(weight) * features[1], np.sqrt(new))
    return new, weight * slope * ntk + trained * new, record


def map_pair(act, weight, bias_std, trained, gap, ntk, left, right):
    """`Pointwise` on a pair: its new gap and NTK."""
    passed, slope = act.dual(gap, left[:N_FEATURES], right[:N_FEATURES])
    new = weight * passed + mixing(left[6], right[6], bias_std, bias_std, left[7], right[7])
    return new, weight * slope * ntk + trained * (left[7] * right[7] - 0.5 * new)


def add_row(variance, ntk, saved_variance, saved_ntk):
    """`Add` on a row: its new variance and NTK, and its record."""
    zero = 0.0 * variance
    new = variance + saved_variance
    record = (np.sqrt(variance), np.sqrt(saved_variance), *(zero,) * (WIDTH - 3), np.sqrt(new))
    return new, ntk + saved_ntk, record


def add_pair(gap, ntk, saved_gap, saved_ntk, left, right):
    """`Add` on a pair: its new gap and NTK."""
    mixed = mixing(left[0], right[0], left[1], right[1], left[7], right[7])
    return gap + saved_gap + mixed, ntk + saved_ntk


def _symbols(graph, cls):
    """An activation whose parameters are inputs of the graph."""
    return cls(*_named(graph, *(f"self.{field}" for field in cls._fields)))


def _named(graph, *names):
    return tuple(graph.node("input", name) for name in names)


def _seeds(p, state, parameters, drift, records=()):
    """Rates of all inputs along direction ``p``."""
    seeds = {parameters[p]: drift[p], state[0]: state[2 + p], state[1]: state[4 + p]}
    for record, rates in records:
        seeds.update(zip(record, rates[p], strict=True))
    return seeds


def _side(graph, name):
    """A record and its rates along both directions."""
    rates = tuple(graph.inputs(f"d{name}[{p}][{{}}]", WIDTH) for p in range(2))
    return graph.inputs(name + "[{}]", WIDTH), rates


def _map_inputs(cls):
    """A graph with the inputs of a `Pointwise` step and of its derivatives."""
    graph = Graph()
    act, numbers = _symbols(graph, cls), _named(graph, *_NUMBERS)
    return graph, act, numbers, graph.inputs("state[{}]", 6), graph.inputs("drift[{}]", 2)


@cache
def map_pair_source(cls):
    """Source of `map_pair` for an activation class."""
    graph = Graph()
    act = _symbols(graph, cls)
    numbers, (gap, ntk) = _named(graph, *_NUMBERS), _named(graph, "gap", "ntk")
    left, right = graph.inputs("left[{}]", WIDTH), graph.inputs("right[{}]", WIDTH)
    outputs = map_pair(act, *numbers, gap, ntk, left, right)
    return source("step", "self, weight, bias, trained, gap, ntk, left, right", outputs)


@cache
def map_pair_rates_source(cls):
    """Source of `map_pair` for an activation class, with its derivatives."""
    graph, act, numbers, state, drift = _map_inputs(cls)
    sides = [_side(graph, name) for name in ("left", "right")]
    outputs = map_pair(act, *numbers, state[0], state[1], sides[0][0], sides[1][0])
    rates = [differentiate(outputs, _seeds(p, state, numbers, drift, sides)) for p in range(2)]
    signature = "self, weight, bias, trained, drift, state, left, right, dleft, dright"
    return source("step_rates", signature, (*outputs, *_transposed(rates)))


@cache
def map_row_rates_source(cls):
    """Source of `map_row` for an activation class, with its derivatives."""
    _, act, numbers, state, drift = _map_inputs(cls)
    new, ntk, record = map_row(act, *numbers, *state[:2])
    flat = (new, ntk, *record)
    rates = [differentiate(flat, _seeds(p, state, numbers, drift)) for p in range(2)]
    states = (new, ntk, *_transposed([rate[:2] for rate in rates]))
    result = (states, record, tuple(tuple(rate[2:]) for rate in rates))
    return source("row_rates", "self, weight, bias, trained, drift, state", result)


def _transposed(rates):
    return tuple(rate for pair in zip(*rates, strict=True) for rate in pair)


def _add_rates(outputs, state, saved, sides=()):
    """Rates of an `Add` along both directions."""
    rates = []
    for p in range(2):
        seeds = {s[i]: s[j + p] for s in (state, saved) for i, j in ((0, 2), (1, 4))}
        for record, record_rates in sides:
            seeds.update(zip(record, record_rates[p], strict=True))
        rates.append(differentiate(outputs, seeds))
    return rates


@cache
def add_pair_source():
    """Source of `add_pair`."""
    graph = Graph()
    names = ("gap", "ntk", "saved_gap", "saved_ntk")
    left, right = graph.inputs("left[{}]", WIDTH), graph.inputs("right[{}]", WIDTH)
    outputs = add_pair(*_named(graph, *names), left, right)
    return source("add", ", ".join((*names, "left", "right")), outputs)


@cache
def add_pair_rates_source():
    """Source of `add_pair` with its derivatives."""
    graph = Graph()
    state, saved = graph.inputs("state[{}]", 6), graph.inputs("saved[{}]", 6)
    sides = [_side(graph, name) for name in ("left", "right")]
    outputs = add_pair(*state[:2], *saved[:2], sides[0][0], sides[1][0])
    rates = _add_rates(outputs, state, saved, sides)
    signature = "state, saved, left, right, dleft, dright"
    return source("add_rates", signature, (*outputs, *_transposed(rates)))


@cache
def add_row_rates_source():
    """Source of `add_row` with its derivatives."""
    graph = Graph()
    state, saved = graph.inputs("state[{}]", 6), graph.inputs("saved[{}]", 6)
    new, ntk, record = add_row(*state[:2], *saved[:2])
    rates = _add_rates((new, ntk, *record), state, saved)
    states = (new, ntk, *_transposed([rate[:2] for rate in rates]))
    result = (states, record, tuple(tuple(rate[2:]) for rate in rates))
    return source("add_row_rates", "state, saved", result)
