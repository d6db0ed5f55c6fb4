"""What the instructions do at positions, as formulas, and their derivatives.

A pair of positions, one in each row, has a squared distance ``D = A + B - 2 K`` of its variances
and its covariance, and an NTK. Sums over windows and branches are linear in both; an activation
needs the gap ``D - (sqrt(A) - sqrt(B))^2``. For the pairs an instruction keeps a record of each
position of each row. Names of inputs in traces are those of `gaps`: ``s0`` is the distance.
"""

from functools import cache
from inspect import signature

import numpy as np

from . import gaps
from .special import safe_inverse
from .tracing import NOISE, Graph
from .writing import source


def gap_of(distance, std, other):
    """The gap at a squared distance, of these standard deviations."""
    apart = std - other
    return np.maximum(distance - apart * apart, 0.0)


def _sharp_gap(distance, std, other, noise):
    """Gap that is 0, or ``4 std other``, for positions parallel or opposite but for noise."""
    apart, total = std - other, std + other
    is_opposite = total * total - distance <= noise
    gap = np.maximum(distance - apart * apart, is_opposite * (4.0 * std * other))
    return gap * (gap > noise)


def _distance(gap, std, other):
    apart = std - other
    return gap + apart * apart


def _trained(trained, ntk, distance, variance, other):
    """The NTK with what trained weights add to it: their own covariance."""
    half = 0.5 * trained
    return ntk + half * variance + half * other - half * distance


# --- Rows: the new variance and the record --------------------------------------------------------


def pointwise_row(act, weight, bias, variance):
    """Activation and affine map; the record is the new variance and the features."""
    features = gaps.features_of(act, variance)
    new = weight * (features[1] * features[1]) + bias
    return new, (new, *features)


def affine_row(weight, bias, variance):
    """Affine map; the record is the new variance."""
    new = weight * variance + bias
    return new, (new,)


def normalize_row(variance):
    """Division by the standard deviation, which is the record with its inverse."""
    std = np.sqrt(variance)
    new = 1.0 * (variance > 0.0)
    return new, (std, safe_inverse(std), new)


def drop_row(kept, variance):
    """Dropout; the record is the variance of the noise."""
    new = variance / kept
    return new, (new - variance,)


def recur_row(recurrent, weight, bias, variance, inputs):
    """One time of a recurrence, before the activation; the record is the new variance."""
    new = recurrent * variance + weight * inputs + bias
    return new, (new,)


def attend_sqrt_row(square, variance, total):
    """Attention with scores that stay random; for the record see `attend_linear_pair`."""
    new, size = square * variance * total, np.sqrt(square * total)
    return new, (variance, new, variance * size, size)


# --- Pairs: the new distance and NTK --------------------------------------------------------------


def pointwise_pair(act, weight, trained, distance, ntk, left, right):
    """Activation and affine map."""
    duals = act.dual(gap_of(distance, left[1], right[1]), left[1:], right[1:])
    return weigh_pair(weight, trained, *duals, ntk, left, right)


def joined_pair(act, weight, trained, distance, ntk, left, right):
    """An affine map, then an activation with no other map behind it: both in one pass."""
    gap = gap_of(weight * distance, left[1], right[1])
    ntk = weight * ntk + trained * left[1] * right[1] - 0.5 * trained * gap
    passed, slope = act.dual(gap, left[1:], right[1:])
    return _distance(passed, left[2], right[2]), slope * ntk


def weigh_pair(weight, trained, passed, slope, ntk, left, right):
    """Affine map behind an activation; records have the standard deviation there in third place."""
    new = weight * _distance(passed, left[2], right[2])
    return new, _trained(trained, slope * (weight * ntk), new, left[0], right[0])


def affine_pair(weight, trained, distance, ntk, left, right):
    """Affine map."""
    new = weight * distance
    return new, _trained(trained, weight * ntk, new, left[0], right[0])


def normalize_pair(distance, ntk, left, right):
    """Division by both standard deviations."""
    scale = left[1] * right[1]
    std, other = left[0], right[0]
    noise = NOISE * np.abs((std - other) * (std + other))
    gap = _sharp_gap(distance, std, other, noise) * scale
    return _distance(gap, left[2], right[2]), ntk * scale


def drop_pair(distance, ntk, left, right):
    """Dropout: independent noise of both rows adds to their distance."""
    return distance + left[0] + right[0], ntk


def recur_pair(recurrent, weight, trained, distance, ntk, inputs, input_ntk, left, right):
    """One time of a recurrence, before the activation."""
    new = recurrent * distance + weight * inputs
    return new, _trained(trained, recurrent * ntk + weight * input_ntk, new, left[0], right[0])


def embed_pair(trained, distance, ntk, both, own_left, own_right):
    """Sum with a signal of which this is the covariance, and the variance at both positions."""
    return distance + (own_left + own_right - 2.0 * both), ntk + trained * both


def covariance_pair(distance, ntk, left, right):
    """The covariance in place of the distance; a record begins with the variance."""
    return 0.5 * (left[0] + right[0] - distance), ntk


def attend_linear_pair(covariance, ntk, left, right):
    """Distance of this covariance behind an attention, aligned but for rounding as for aligned.

    A record is the variance before, that behind, and the sums over positions, by the absolute
    values of weights, of variances and of ones: the products of those of two positions are what
    rounding of their covariance is relative to.
    """
    distance = left[1] + right[1] - 2.0 * covariance
    std, other = np.sqrt(left[1]), np.sqrt(right[1])
    noise = NOISE * (left[2] * right[3] + left[3] * right[2])
    return _distance(_sharp_gap(distance, std, other, noise), std, other), ntk


def attend_sqrt_pair(square, twice, covariance, ntk, total, cross, left, right):
    """Attention with scores that stay random, from the sums of `attention.squares`."""
    behind = square * covariance * total
    passed_on = square * (ntk * total + 2.0 * covariance * cross) + twice * behind
    return attend_linear_pair(behind, passed_on, left, right)


def mean_pair(scale, distance, ntk):
    """Mean from a sum over equal positions."""
    return scale * distance, scale * ntk


def settle_pair(scale, distance, ntk, left, right):
    """Means from sums over pairs of positions, of which the distances inside a row are taken off.

    A record is half of the scaled sum of distances inside the row, the number of positions, and the
    scaled sum of variances. Positions that are equal, parallel or opposite but for rounding count
    as such.
    """
    whole, uneven = scale * distance, (left[1] - right[1]) * (left[2] - right[2])
    rest = whole - left[0] - right[0] + uneven
    std, other = (np.sqrt(np.maximum(side[1] * side[2] - side[0], 0.0)) for side in (left, right))
    return _distance(_sharp_gap(rest, std, other, NOISE * whole), std, other), scale * ntk


# --- Traces ---------------------------------------------------------------------------------------

ROWS = {
    "pointwise": pointwise_row,
    "affine": affine_row,
    "normalize": normalize_row,
    "drop": drop_row,
    "recur": recur_row,
    "attend_sqrt": attend_sqrt_row,
}
"""Formulas of rules for rows."""

PAIRS = {
    "pointwise": pointwise_pair,
    "joined": joined_pair,
    "series": weigh_pair,
    "affine": affine_pair,
    "normalize": normalize_pair,
    "drop": drop_pair,
    "recur": recur_pair,
    "embed": embed_pair,
    "mean": mean_pair,
    "settle": settle_pair,
    "covariance": covariance_pair,
    "attend_linear": attend_linear_pair,
    "attend_sqrt": attend_sqrt_pair,
}
"""Formulas of rules for pairs.

The gap and the slope of a series come from its sums. The numbers of a joined map are those of its
affine map, which is the step before.
"""

NOISY = ("drop",)
"""Rules with noise of each row's own: the NTK of a row at one position with itself is divided by
the first number."""

_RECURRENT, _RATES = ("recurrent", "weight"), ("recurrent_rate", "weight_rate")
_ROW_NUMBERS = {
    "drop": ("kept",),
    "recur": (*_RECURRENT, "bias", *_RATES, "bias_rate"),
    "attend_sqrt": ("square",),
}
_PAIR_NUMBERS = {
    "drop": ("kept",),
    "recur": (*_RECURRENT, "trained", *_RATES),
    "embed": ("trained",),
    "mean": ("scale",),
    "settle": ("scale",),
    "covariance": (),
    "attend_linear": (),
    "attend_sqrt": ("square", "twice"),
}
_LENGTHS = {
    "affine": 1,
    "series": 3,
    "normalize": 3,
    "drop": 1,
    "recur": 1,
    "settle": 3,
    "covariance": 1,
    "attend_linear": 4,
    "attend_sqrt": 4,
}

_STATES = {
    "variance": "s0", "distance": "s0", "covariance": "s0", "ntk": "s1",
    "passed": "d0", "slope": "d1", "total": "d0", "cross": "d1",
    "inputs": "z0", "input_ntk": "z1",
}  # fmt: skip
"""Names in traces of what changes from step to step."""

_OTHERS = {"series": "d", "attend_sqrt": "d", "recur": "z"}
"""Letters of what rules take from elsewhere: sums, or the inputs of a recurrence."""

SERIES_HEAD = 6
"""Length of the record of a series before its coefficients."""


def row_numbers(rule):
    """Names of the numbers that a rule reads for rows."""
    return _ROW_NUMBERS.get(rule, gaps.ROW_NUMBERS)


def pair_numbers(rule):
    """Names of the numbers that a rule reads for pairs."""
    return _PAIR_NUMBERS.get(rule, gaps.NUMBERS)


def record_length(rule, cls=None):
    """Entries of the records that a rule reads."""
    has_features = rule in ("pointwise", "joined")
    return 1 + gaps.count_features(cls) if has_features else _LENGTHS.get(rule, 0)


def _trace(formula, names, cls, n=0, noise=0.0):
    """Outputs of a formula for inputs by the names of its parameters, and the rates of numbers.

    ``names`` are those of numbers; records have ``n`` entries. For ``noise`` see `Graph`.
    """
    graph = Graph(noise)
    known = dict(zip(names, graph.inputs(*names), strict=True))
    known |= {
        side: graph.inputs(*gaps.record_names(letter, n))
        for side, letter in (("left", "x"), ("right", "y"))
    }
    arguments = {
        name: known[name] if name in known else graph.inputs(_STATES.get(name, name))[0]
        for name in signature(formula).parameters
        if name != "act"
    }
    if cls is not None:
        arguments["act"] = cls(*graph.inputs(*gaps.parameter_names(cls)))
    tied = [name for name in names if f"{name}_rate" in names]
    rates = [
        {known[name]: known[f"{name}_rate"] for name in tied if (name == "bias") == p}
        for p in range(2)
    ]
    return formula(**arguments), rates


def trace_pair(rule, cls, gradient):
    """Outputs of a rule: the new state, with rates if wanted."""
    n = record_length(rule, cls)
    outputs, rates = _trace(PAIRS[rule], pair_numbers(rule), cls, n, NOISE)
    if not gradient:
        return outputs
    return *outputs, *sum(gaps.rates_of(outputs, "sdz", rates, (("x", n), ("y", n))), ())


@cache
def pair_source(rule, cls, gradient):
    """Source of a rule for pairs, for arrays.

    Its ``others`` are what comes from elsewhere, or the covariances of an embedding.
    """
    parts, n = None if gradient else 2, record_length(rule, cls)
    others = {name: gaps.state_names(letter)[:parts] for name, letter in _OTHERS.items()}
    others["embed"] = ["both", "own_left", "own_right"]
    parameters = {
        "act": gaps.parameter_names(cls) if cls else [],
        "numbers": pair_numbers(rule),
        "state": gaps.state_names("s")[:parts],
        "others": others.get(rule, []),
        "left": gaps.record_names("x", n),
        "right": gaps.record_names("y", n),
    }
    for name, letter in (("dleft", "x"), ("dright", "y")) if gradient else ():
        parameters |= {f"{name}{p}": gaps.record_names(letter, n, p) for p in range(2)}
    return source("map_pair", parameters, trace_pair(rule, cls, gradient), parameters["state"])


@cache
def row_source(rule, cls, gradient):
    """Source of a rule for rows: the new variance with its rates, the record, and its rates."""
    names = row_numbers(rule)
    (new, record), rates = _trace(ROWS[rule], names, cls)
    moves = gaps.rates_of((new, *record), "sdz", rates) if gradient else ((),)
    parts = [0, 2, 3] if gradient else [0]
    parameters = {
        "act": gaps.parameter_names(cls) if cls else [],
        "numbers": names,
        "state": [gaps.state_names("s")[part] for part in parts],
    }
    if rule in _OTHERS:
        parameters["others"] = [gaps.state_names(_OTHERS[rule])[part] for part in parts]
    outputs = (new, *moves[0]), record, tuple(zip(*moves[1:], strict=True))
    return source("map_row", parameters, outputs, ["s0"])
