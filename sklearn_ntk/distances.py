"""What the instructions do at positions, as formulas, and their derivatives.

A pair of positions, one in each row, has a squared distance ``D = A + B - 2 K`` of its variances
and its covariance, and an NTK. Sums over windows and branches are linear in both; an activation
needs the gap ``D - (sqrt(A) - sqrt(B))^2``. For the pairs an instruction keeps a record of each
position of each row. Names of inputs in traces are those of `formulas`: ``s0`` is the distance.
"""

from functools import cache

import numpy as np

from . import formulas
from ._special import safe_inverse
from ._trace import NOISE, Graph, source


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
    features = formulas.features_of(act, variance)
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


# --- Pairs: the new distance and NTK --------------------------------------------------------------


def pointwise_pair(act, weight, trained, distance, ntk, left, right):
    """Activation and affine map."""
    duals = act.dual(gap_of(distance, left[1], right[1]), left[1:], right[1:])
    return weigh_pair(weight, trained, *duals, ntk, left, right, 2)


def joined_pair(act, weight, trained, distance, ntk, left, right):
    """An affine map, then an activation with no other map behind it: both in one pass."""
    gap = gap_of(weight * distance, left[1], right[1])
    ntk = weight * ntk + trained * left[1] * right[1] - 0.5 * trained * gap
    passed, slope = act.dual(gap, left[1:], right[1:])
    return _distance(passed, left[2], right[2]), slope * ntk


def weigh_pair(weight, trained, passed, slope, ntk, left, right, place):
    """Affine map behind an activation, whose standard deviation has this place in the records."""
    new = weight * _distance(passed, left[place], right[place])
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


def attend_pair(distance, ntk, left, right):
    """Distances behind an attention; positions that are aligned but for rounding count as such.

    A record is the variance before, that behind, and the sizes of sums in `engines._attention`.
    """
    std, other = np.sqrt(left[1]), np.sqrt(right[1])
    noise = NOISE * (left[2] * right[3] + left[3] * right[2])
    return _distance(_sharp_gap(distance, std, other, noise), std, other), ntk


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

SERIES_HEAD = 6
"""Length of the record of a series before its coefficients."""

_LENGTHS = {"affine": 1, "series": 3, "normalize": 3, "drop": 1, "attend": 4, "settle": 3}


def record_length(kind, cls=None):
    """Entries of the records that a kind of map reads."""
    has_features = kind in ("pointwise", "joined")
    return 1 + formulas.count_features(cls) if has_features else _LENGTHS[kind]


def trace_pair(kind, cls, gradient):
    """Outputs of a kind of map: the new state, with rates if wanted.

    The map behind a series has ``d0`` and ``d1``, the gap and the slope that the series found. The
    numbers of a joined map are those of its affine map, which is the step before.
    """
    graph, n = Graph(NOISE), record_length(kind, cls)
    weight, trained, weight_rate = graph.inputs(*formulas.NUMBERS)
    left, right = (graph.inputs(*formulas.record_names(letter, n)) for letter in "xy")
    state, states = graph.inputs("s0", "s1"), "s"
    if kind in ("pointwise", "joined"):
        act = cls(*graph.inputs(*formulas.parameter_names(cls)))
        pair = pointwise_pair if kind == "pointwise" else joined_pair
        outputs = pair(act, weight, trained, *state, left, right)
    elif kind == "affine":
        outputs = affine_pair(weight, trained, *state, left, right)
    elif kind == "series":
        duals, states = graph.inputs("d0", "d1"), "sd"
        outputs = weigh_pair(weight, trained, *duals, state[1], left, right, 2)
    elif kind == "normalize":
        outputs = normalize_pair(*state, left, right)
    elif kind == "drop":
        outputs = drop_pair(*state, left, right)
    elif kind == "attend":
        outputs = attend_pair(*state, left, right)
    else:
        outputs = settle_pair(weight, *state, left, right)
    if not gradient:
        return outputs
    numbers = ((weight, weight_rate),)
    rates = formulas.rates_of(outputs, states, numbers, (("x", n), ("y", n)))
    return *outputs, *sum(rates, ())


@cache
def pair_source(kind, cls, gradient):
    """Source of a map of pairs, for arrays."""
    signature = {
        "act": formulas.parameter_names(cls) if kind == "pointwise" else [],
        "numbers": formulas.NUMBERS,
        "state": formulas.state_names("s")[: None if gradient else 2],
        "duals": formulas.state_names("d")[: None if gradient else 2] if kind == "series" else [],
        "left": formulas.record_names("x", record_length(kind, cls)),
        "right": formulas.record_names("y", record_length(kind, cls)),
    }
    for name, letter in (("dleft", "x"), ("dright", "y")) if gradient else ():
        for p in range(2):
            names = formulas.record_names(letter, record_length(kind, cls), p)
            signature[f"{name}{p}"] = names
    return source("map_pair", signature, trace_pair(kind, cls, gradient), signature["state"])


def _trace_row(kind, cls, numbers, variance):
    """New variance and record of a kind of map."""
    weight, bias = numbers[:2]
    if kind == "pointwise":
        act = cls(*variance.graph.inputs(*formulas.parameter_names(cls)))
        return pointwise_row(act, weight, bias, variance)
    if kind == "affine":
        return affine_row(weight, bias, variance)
    return normalize_row(variance) if kind == "normalize" else drop_row(weight, variance)


@cache
def row_source(kind, cls):
    """Source of a map of rows: the new variance and the record."""
    graph = Graph()
    numbers, (variance,) = graph.inputs(*formulas.ROW_NUMBERS), graph.inputs("variance")
    signature = {
        "act": formulas.parameter_names(cls) if kind == "pointwise" else [],
        "numbers": formulas.ROW_NUMBERS,
        "variance": [],
    }
    outputs = _trace_row(kind, cls, numbers, variance)
    return source("map_row", signature, outputs, ["variance"])


@cache
def row_rates_source(kind, cls):
    """Source of a map of rows: the new variance, its rates, the record, and the record's rates."""
    graph = Graph()
    numbers, variance = graph.inputs(*formulas.ROW_NUMBERS), graph.inputs("s0")[0]
    new, record = _trace_row(kind, cls, numbers, variance)
    tied = tuple(zip(numbers[:2], numbers[3:], strict=True))
    moves = formulas.rates_of((new, *record), "s", tied)
    by_direction = tuple(zip(*moves[1:], strict=True))
    signature = {
        "act": formulas.parameter_names(cls) if kind == "pointwise" else [],
        "numbers": formulas.ROW_NUMBERS,
        "state": formulas.state_names("s")[:4],
    }
    return source("map_row", signature, ((new, *moves[0]), record, by_direction), ["s0"])
