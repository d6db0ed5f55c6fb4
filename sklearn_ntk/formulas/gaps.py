"""What the instructions do to single rows and to pairs, as formulas, and their derivatives.

A row has a variance and an NTK, a pair a gap and an NTK (see `special`). For the pairs an
instruction keeps a record of each row: the two `halves` of the sum that the step makes, the
standard deviation of that sum, and, for a `Pointwise` step, the features of the activation.

Derivatives are taken along two directions, log weight_var and log bias_var. The traces below have
inputs of fixed names. ``s0`` and ``s1`` are the state: the gap, for rows the variance, and the NTK;
``s2`` and ``s3`` are the rates of the gap along both directions, ``s4`` and ``s5`` those of the
NTK. ``z0`` to ``z5`` is the state taken from the stack. ``x0``, ``x1`` ... is the record of the
first row of a pair and ``x0_0``, ``x0_1`` its rates along the directions, ``y0`` ... that of the
second. ``weight_rate`` and ``bias_rate`` are the rates of the variances of a layer, each along its
own direction. For programs ``by_rows`` the directions are the standard deviation of the first row
as it enters the network, at the same gap, and the gap: nothing else moves there.
"""

from functools import cache

import numpy as np

from .special import halves, mixing, safe_inverse
from .tracing import Graph, differentiate, source

N_FEATURES = 6
WIDTH = 3 + N_FEATURES
"""Length of a record with the largest number of features."""

NUMBERS = ("weight", "trained", "weight_rate")
"""What a `Pointwise` step knows of a pair besides the records."""

ROW_NUMBERS = ("weight", "bias", "trained", "weight_rate", "bias_rate")


def map_row(act, weight, bias, trained, variance, ntk):
    """`Pointwise` on a row: its new variance and NTK, and its record."""
    features = features_of(act, variance)
    slope = act.dual(0.0 * variance, features, features)[1]
    new, ntk, sums = affine_row(weight, bias, trained, features[1], slope, ntk)
    return new, ntk, (*sums, *features)


def features_of(act, variance):
    """Features of a row, truth values among them as the numbers that pairs read."""
    return tuple(1.0 * feature for feature in act.features(variance))


def affine_row(weight, bias, trained, std, slope, ntk):
    """New variance and NTK of a row, and the head of its record."""
    new = weight * (std * std) + bias
    root = np.sqrt(new)
    sums = (*halves(np.sqrt(weight) * std, np.sqrt(bias), root), root)
    return new, weight * slope * ntk + trained * new, sums


def map_pair(act, weight, trained, gap, ntk, left, right):
    """`Pointwise` on a pair: its new gap and NTK."""
    passed, slope = act.dual(gap, left[3:], right[3:])
    return affine_pair(weight, trained, passed, slope, ntk, left, right)


def affine_pair(weight, trained, passed, slope, ntk, left, right):
    """New gap and NTK of a pair, from those that the activation passed on."""
    new = weight * passed + mixing(left, right)
    passed_on = slope * (weight * ntk) + trained * left[2] * right[2]
    return new, passed_on - 0.5 * trained * new


def add_row(variance, ntk, saved_variance, saved_ntk):
    """`Add` on a row: its new variance and NTK, and its record."""
    new = variance + saved_variance
    root = np.sqrt(new)
    record = (*halves(np.sqrt(variance), np.sqrt(saved_variance), root), root)
    return new, ntk + saved_ntk, record


def add_pair(gap, ntk, saved_gap, saved_ntk, left, right):
    """`Add` on a pair: its new gap and NTK."""
    return gap + saved_gap + mixing(left, right), ntk + saved_ntk


def normalize_row(kept, variance, ntk):
    """`Normalize` on a row: its new variance and NTK, and its record."""
    std = np.sqrt(variance)
    inverse, new = safe_inverse(std), 1.0 * (variance > 0.0)
    return new, ntk * (inverse * inverse), (inverse, 0.0 * variance, new)


def normalize_pair(gap, ntk, left, right):
    """`Normalize` on a pair: its new gap and NTK."""
    scale = left[0] * right[0]
    return gap * scale, ntk * scale


def drop_row(kept, variance, ntk):
    """`Drop` on a row: its new variance and NTK, and its record."""
    noise = np.sqrt((2.0 / kept - 2.0) * variance)
    return variance / kept, ntk / kept, (noise, 0.0 * variance, np.sqrt(variance / kept))


def drop_pair(gap, ntk, left, right):
    """`Drop` on a pair: its new gap and NTK; both rows have noise of their own."""
    return gap + left[0] * right[0], ntk


RULES = {"normalize": (normalize_row, normalize_pair), "drop": (drop_row, drop_pair)}
"""What instructions without weights do to rows and to pairs."""


# --- Traces ---------------------------------------------------------------------------------------


def state_names(letter):
    """Names of a state and its rates."""
    return [f"{letter}{i}" for i in range(6)]


def record_names(letter, n, p=None):
    """Names of a record of ``n`` entries, or of its rates along direction ``p``."""
    rate = "" if p is None else f"_{p}"
    return [f"{letter}{i}{rate}" for i in range(n)]


def parameter_names(cls):
    """Names of the parameters of an activation class."""
    return [f"self_{field}" for field in cls._fields]


@cache
def count_features(cls):
    """Number of features of a row that an activation class asks for."""
    graph = Graph()
    return len(cls(*graph.inputs(*parameter_names(cls))).features(*graph.inputs("s0")))


def rates_of(outputs, states, numbers=(), records=(), by_rows=False):
    """Rates of the outputs along both directions, one pair for each of them.

    ``numbers`` holds the rates of inputs along each direction, ``records`` letters and lengths.
    With ``by_rows`` of these only the first record moves, along the first direction.
    """
    graph = next(output.graph for output in outputs if hasattr(output, "graph"))
    rates = []
    for p in range(2):
        seeds = {} if by_rows else dict(*numbers[p : p + 1])
        for letter in states:
            s = graph.inputs(*state_names(letter))
            seeds.update({s[0]: s[2 + p], s[1]: s[4 + p]})
        for letter, n in records[: 1 - p] if by_rows else records:
            values, moves = (graph.inputs(*record_names(letter, n, q)) for q in (None, p))
            seeds.update(zip(values, moves, strict=True))
        rates.append(differentiate(outputs, seeds))
    return tuple(zip(*rates, strict=True))


def with_slope(outputs):
    """Outputs of a pair without rates, then the factor that its NTK had."""
    ntk = outputs[1].graph.inputs("s1")
    return *outputs, *differentiate(outputs[1:2], {ntk[0]: 1.0})


def trace_map_pair(cls, gradient, by_rows=False):
    """Outputs of `map_pair` for an activation class: the new state, with rates if wanted."""
    graph, n = Graph(), 3 + count_features(cls)
    act = cls(*graph.inputs(*parameter_names(cls)))
    weight, trained, weight_rate = graph.inputs(*NUMBERS)
    left, right = graph.inputs(*record_names("x", n)), graph.inputs(*record_names("y", n))
    outputs = map_pair(act, weight, trained, *graph.inputs("s0", "s1"), left, right)
    if not gradient:
        return outputs
    numbers = ({weight: weight_rate},)
    return *outputs, *sum(rates_of(outputs, "s", numbers, (("x", n), ("y", n)), by_rows), ())


def trace_affine_pair(gradient, by_rows=False):
    """Outputs of `affine_pair`; ``d0`` and ``d1`` are gap and slope after the activation."""
    graph = Graph()
    weight, trained, weight_rate = graph.inputs(*NUMBERS)
    passed, slope, ntk = graph.inputs("d0", "d1", "s1")
    left, right = graph.inputs(*record_names("x", 3)), graph.inputs(*record_names("y", 3))
    outputs = affine_pair(weight, trained, passed, slope, ntk, left, right)
    if not gradient:
        return outputs
    numbers = ({weight: weight_rate},)
    return *outputs, *sum(rates_of(outputs, "sd", numbers, (("x", 3), ("y", 3)), by_rows), ())


def trace_add_pair(gradient, by_rows=False):
    """Outputs of `add_pair`."""
    graph = Graph()
    left, right = graph.inputs(*record_names("x", 3)), graph.inputs(*record_names("y", 3))
    outputs = add_pair(*graph.inputs("s0", "s1", "z0", "z1"), left, right)
    if not gradient:
        return outputs
    return *outputs, *sum(rates_of(outputs, "sz", (), (("x", 3), ("y", 3)), by_rows), ())


def trace_rule_pair(name, gradient, by_rows=False):
    """Outputs of the rule of an instruction without weights, for pairs."""
    graph = Graph()
    left, right = graph.inputs(*record_names("x", 3)), graph.inputs(*record_names("y", 3))
    outputs = RULES[name][1](*graph.inputs("s0", "s1"), left, right)
    if not gradient:
        return outputs
    return *outputs, *sum(rates_of(outputs, "s", (), (("x", 3), ("y", 3)), by_rows), ())


# --- Functions for arrays -------------------------------------------------------------------------


#
# With ``gradient`` states have rates, and records have theirs, along one direction after the other.


def _state(letter, gradient):
    """What a state unpacks to."""
    return state_names(letter)[: 6 if gradient else 2]


def _sides(n, gradient):
    """Parameters of a function of two records, and what they unpack to."""
    sides = {"left": record_names("x", n), "right": record_names("y", n)}
    for name, letter in (("dleft", "x"), ("dright", "y")) if gradient else ():
        sides |= {f"{name}{p}": record_names(letter, n, p) for p in range(2)}
    return sides


def _source(name, signature, outputs, gradient):
    """Source of a function of a state; all that it returns has the shape of the state."""
    return source(name, signature, outputs, _state("s", gradient))


@cache
def map_pair_source(cls, gradient):
    """Source of `map_pair`, for an activation class."""
    signature = {"act": parameter_names(cls), "numbers": NUMBERS, "state": _state("s", gradient)}
    signature |= _sides(3 + count_features(cls), gradient)
    return _source("map_pair", signature, trace_map_pair(cls, gradient), gradient)


@cache
def affine_pair_source(gradient):
    """Source of `affine_pair`."""
    signature = {"numbers": NUMBERS}
    signature |= {"state": _state("s", gradient), "duals": _state("d", gradient)}
    signature |= _sides(3, gradient)
    return _source("affine_pair", signature, trace_affine_pair(gradient), gradient)


@cache
def add_pair_source(gradient):
    """Source of `add_pair`."""
    signature = {"state": _state("s", gradient), "saved": _state("z", gradient)}
    signature |= _sides(3, gradient)
    return _source("add_pair", signature, trace_add_pair(gradient), gradient)


@cache
def rule_pair_source(name, gradient):
    """Source of the rule of an instruction without weights, for pairs."""
    signature = {"state": _state("s", gradient)} | _sides(3, gradient)
    return _source("rule_pair", signature, trace_rule_pair(name, gradient), gradient)


def _row_outputs(values, states, gradient, numbers=()):
    """New state of a row, its record, and the rates of the record."""
    new, ntk, record = values
    if not gradient:
        return (new, ntk), record, ()
    rates = rates_of((new, ntk, *record), states, numbers)
    by_direction = tuple(zip(*rates[2:], strict=True))
    return (new, ntk, *rates[0], *rates[1]), record, by_direction


@cache
def map_row_source(cls, gradient):
    """Source of `map_row`, for an activation class."""
    graph = Graph()
    act = cls(*graph.inputs(*parameter_names(cls)))
    weight, bias, trained, *rates = graph.inputs(*ROW_NUMBERS)
    values = map_row(act, weight, bias, trained, *graph.inputs("s0", "s1"))
    numbers = {weight: rates[0]}, {bias: rates[1]}
    signature = {"act": parameter_names(cls), "numbers": ROW_NUMBERS}
    signature |= {"state": _state("s", gradient)}
    return _source("map_row", signature, _row_outputs(values, "s", gradient, numbers), gradient)


@cache
def affine_row_source(gradient):
    """Source of `affine_row`; ``d0`` and ``d1`` are standard deviation and slope."""
    graph = Graph()
    weight, bias, trained, *rates = graph.inputs(*ROW_NUMBERS)
    values = affine_row(weight, bias, trained, *graph.inputs("d0", "d1", "s1"))
    numbers = {weight: rates[0]}, {bias: rates[1]}
    signature = {"numbers": ROW_NUMBERS}
    signature |= {"state": _state("s", gradient), "duals": _state("d", gradient)}
    outputs = _row_outputs(values, "sd", gradient, numbers)
    return _source("affine_row", signature, outputs, gradient)


@cache
def add_row_source(gradient):
    """Source of `add_row`."""
    graph = Graph()
    values = add_row(*graph.inputs("s0", "s1", "z0", "z1"))
    signature = {"state": _state("s", gradient), "saved": _state("z", gradient)}
    return _source("add_row", signature, _row_outputs(values, "sz", gradient), gradient)


@cache
def rule_row_source(name, gradient):
    """Source of the rule of an instruction without weights, for rows."""
    graph = Graph()
    values = RULES[name][0](*graph.inputs("kept", "s0", "s1"))
    signature = {"kept": [], "state": _state("s", gradient)}
    return _source("rule_row", signature, _row_outputs(values, "s", gradient), gradient)
