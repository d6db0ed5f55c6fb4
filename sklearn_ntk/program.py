"""A network as plain data: a flat sequence of instructions for a small stack machine.

The machine carries one pair of rows, or a whole tile of pairs, through the network. Its state is
the gap and the NTK of the pair and the variance of each row; a stack holds the states that residual
branches set aside. Engines interpret the sequence; nothing is compiled for a new network.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from ._special import mixing
from ._trace import Graph, differentiate, source
from ._values import value
from .activations import ACTIVATIONS, Identity

N_FEATURES = 6
WIDTH = N_FEATURES + 2
"""Length of a record, what an instruction keeps of each row for the pairs."""


@value
class Pointwise(NamedTuple):
    """Activation, then an affine map of its output: one layer of a dense network.

    ``K <- weight_var E[f f] + bias_var`` and ``T <- weight_var E[f' f'] T + (K if trained)``. The
    flags tell which variance is the kernel's own, so that its derivatives pass through here.
    """

    activation: tuple
    weight_var: float = 1.0
    bias_var: float = 0.0
    trained: bool = False
    weight_tied: bool = False
    bias_tied: bool = False


@value
class Save(NamedTuple):
    """Push a copy of the state on the stack."""


@value
class Swap(NamedTuple):
    """Exchange the state with the top of the stack."""


@value
class Add(NamedTuple):
    """Pop a state and add it: the sum of two independent branches."""


@value
class Program(NamedTuple):
    """Instructions, and the deepest stack that they need.

    Examples
    --------
    >>> from sklearn_ntk.layers import Dense, lower
    >>> from sklearn_ntk.activations import ReLU
    >>> program = lower((Dense(2.0, 0.1), ReLU(), Dense(2.0, 0.1)))
    >>> [type(step.activation).__name__ for step in program.steps]
    ['Identity', 'ReLU']
    """

    steps: tuple
    stack_size: int = 0

    @property
    def activations(self):
        """The distinct activations, in an order that does not depend on the network's."""
        found = {step.activation for step in self.steps if isinstance(step, Pointwise)}
        return tuple(sorted(found, key=repr))

    @property
    def ties(self):
        """Whether any weight variance, and any bias variance, is the kernel's own."""
        maps = [step for step in self.steps if isinstance(step, Pointwise)]
        return any(s.weight_tied for s in maps), any(s.bias_tied for s in maps)


def assemble(instructions):
    """Make a `Program`: fuse each affine map with the activation before it, and size the stack."""
    steps, height, deepest = [], 0, 0
    for step in instructions:
        height += {Save: 1, Add: -1}.get(type(step), 0)
        deepest = max(deepest, height)
        previous = steps[-1] if steps else None
        if isinstance(step, Pointwise) and step.activation == Identity() and _is_bare(previous):
            step = step._replace(activation=steps.pop().activation)
        steps.append(step)
    return Program(tuple(steps), deepest)


def _is_bare(step):
    """Whether ``step`` is an activation with nothing behind it yet."""
    return isinstance(step, Pointwise) and step == Pointwise(step.activation)


def is_activation(value):
    """Whether ``value`` is an activation rather than a layer."""
    return getattr(type(value), "name", None) in ACTIVATIONS


# --- What the instructions do: formulas for single rows and for pairs -----------------------------
#
# A row has a variance and an NTK, its own. A `Pointwise` step keeps of it the features of the
# activation, padded, and the standard deviations of the weighted part and of the result; an `Add`
# those of both summands, and of the sum at the end. ``left`` and ``right`` are two such records.


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


# --- Their derivatives along log weight_var and log bias_var, as source code ----------------------
#
# ``state`` is (gap, NTK, two rates of the gap, two of the NTK), for rows with the variance in place
# of the gap; ``drift`` the rates of the weight variance along the first direction and of the bias
# along the second.


def _symbols(graph, cls):
    """An activation whose parameters are inputs of the graph."""
    return cls(*(graph.node("input", f"self.{field}") for field in cls._fields))


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


@cache
def map_pair_source(cls):
    """Source of `map_pair` for an activation class."""
    graph = Graph()
    act, (gap, ntk) = _symbols(graph, cls), (graph.node("input", n) for n in ("gap", "ntk"))
    numbers = [graph.node("input", n) for n in ("weight", "bias", "trained")]
    left, right = graph.inputs("left[{}]", WIDTH), graph.inputs("right[{}]", WIDTH)
    outputs = map_pair(act, *numbers, gap, ntk, left, right)
    return source("step", "self, weight, bias, trained, gap, ntk, left, right", outputs)


@cache
def map_pair_rates_source(cls):
    """Source of `map_pair` for an activation class, with its derivatives."""
    graph = Graph()
    act, state, drift = _symbols(graph, cls), graph.inputs("state[{}]", 6), graph.inputs("drift[{}]", 2)
    numbers = [graph.node("input", n) for n in ("weight", "bias", "trained")]
    sides = [_side(graph, name) for name in ("left", "right")]
    outputs = map_pair(act, *numbers, state[0], state[1], sides[0][0], sides[1][0])
    rates = [differentiate(outputs, _seeds(p, state, numbers, drift, sides)) for p in range(2)]
    signature = "self, weight, bias, trained, drift, state, left, right, dleft, dright"
    return source("step_rates", signature, (*outputs, *_transposed(rates)))


@cache
def map_row_rates_source(cls):
    """Source of `map_row` for an activation class, with its derivatives."""
    graph = Graph()
    act, state, drift = _symbols(graph, cls), graph.inputs("state[{}]", 6), graph.inputs("drift[{}]", 2)
    numbers = [graph.node("input", n) for n in ("weight", "bias", "trained")]
    new, ntk, record = map_row(act, *numbers, state[0], state[1])
    flat = (new, ntk, *record)
    rates = [differentiate(flat, _seeds(p, state, numbers, drift)) for p in range(2)]
    result = (new, ntk, *_transposed([r[:2] for r in rates])), record, tuple(tuple(r[2:]) for r in rates)
    return source("row_rates", "self, weight, bias, trained, drift, state", result)


def _transposed(rates):
    return tuple(rate for pair in zip(*rates, strict=True) for rate in pair)


def _add_source(name, of_rows):
    graph = Graph()
    state, saved = graph.inputs("state[{}]", 6), graph.inputs("saved[{}]", 6)
    sides = [] if of_rows else [_side(graph, side) for side in ("left", "right")]
    if of_rows:
        *outputs, record = add_row(state[0], state[1], saved[0], saved[1])
    else:
        outputs, record = add_pair(*state[:2], *saved[:2], sides[0][0], sides[1][0]), ()
    rates = []
    for p in range(2):
        seeds = {s[i]: s[j + p] for s in (state, saved) for i, j in ((0, 2), (1, 4))}
        for side, side_rates in sides:
            seeds.update(zip(side, side_rates[p], strict=True))
        rates.append(differentiate((*outputs, *record), seeds))
    result = (*outputs, *_transposed([r[:2] for r in rates]))
    if of_rows:
        return source(name, "state, saved", (result, record, tuple(tuple(r[2:]) for r in rates)))
    return source(name, "state, saved, left, right, dleft, dright", result)


@cache
def add_pair_source():
    """Source of `add_pair`."""
    graph = Graph()
    names = ("gap", "ntk", "saved_gap", "saved_ntk")
    state = [graph.node("input", name) for name in names]
    left, right = graph.inputs("left[{}]", WIDTH), graph.inputs("right[{}]", WIDTH)
    return source("add", ", ".join((*names, "left", "right")), add_pair(*state, left, right))


@cache
def add_pair_rates_source():
    """Source of `add_pair` with its derivatives."""
    return _add_source("add_rates", of_rows=False)


@cache
def add_row_rates_source():
    """Source of `add_row` with its derivatives."""
    return _add_source("add_row_rates", of_rows=True)
