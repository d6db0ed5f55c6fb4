"""Recursions of the instructions for positions and pairs of positions, and their derivatives.

The state of a pair of positions, ``p`` in row ``x`` and ``q`` in row ``y``, is its squared distance
``D = A + B - 2 K``, for the variances ``A = K(x_p, x_p)`` and ``B = K(y_q, y_q)`` and the
covariance ``K = K(x_p, y_q)``, and its NTK. Sums over windows and branches are linear in both; an
activation needs the gap ``D - (sqrt(A) - sqrt(B))^2``.

Formulas for rows map the variance of a position and return a record of it; formulas for pairs read
the records ``left`` of ``x_p`` and ``right`` of ``y_q``. Inputs of traces have the names of `gaps`,
where ``s0`` is the squared distance.
"""

from functools import cache
from inspect import signature

import numpy as np

from . import gaps
from .special import safe_inverse
from .tracing import NOISE, Graph, source


def gap_of(distance, std, other):
    """Gap ``D - (std - other)^2`` of a squared distance, for both standard deviations."""
    apart = std - other
    return np.maximum(distance - apart * apart, 0.0)


def _sharp_gap(distance, std, other, noise):
    """`gap_of`, exactly 0 for positions that are parallel within ``noise``.

    For opposite ones it is exactly ``4 std other``, the largest gap there is.
    """
    apart, total = std - other, std + other
    is_opposite = total * total - distance <= noise
    gap = np.maximum(distance - apart * apart, is_opposite * (4.0 * std * other))
    return gap * (gap > noise)


def _distance(gap, std, other):
    """Squared distance of a gap, the inverse of `gap_of`."""
    apart = std - other
    return gap + apart * apart


def _trained(trained, ntk, distance, variance, other):
    """NTK plus ``trained`` times the covariance ``(variance + other - distance) / 2``."""
    half = 0.5 * trained
    return ntk + half * variance + half * other - half * distance


# --- Rows: the new variance and the record --------------------------------------------------------


def pointwise_row(act, weight, bias, variance):
    """Activation and affine map; the record is the new variance and the activation's features."""
    features = gaps.features_of(act, variance)
    new = weight * (features[1] * features[1]) + bias
    return new, (new, *features)


def affine_row(weight, bias, variance):
    """Affine map; the record is the new variance."""
    new = weight * variance + bias
    return new, (new,)


def normalize_row(variance):
    """Division by the standard deviation; the record is that, its inverse, and the new variance."""
    std = np.sqrt(variance)
    new = 1.0 * (variance > 0.0)
    return new, (std, safe_inverse(std), new)


def drop_row(kept, variance):
    """Dropout; the record is the variance of the noise."""
    new = variance / kept
    return new, (new - variance,)


def recur_row(recurrent, weight, bias, variance, inputs):
    """One time step of a recurrence, before the activation; the record is the new variance.

    ``variance`` is that of the previous state behind the activation, ``inputs`` that of the input.
    """
    new = recurrent * variance + weight * inputs + bias
    return new, (new,)


# --- Pairs: the new distance and NTK --------------------------------------------------------------


def pointwise_pair(act, weight, trained, distance, ntk, left, right):
    """Activation and affine map."""
    duals = act.dual(gap_of(distance, left[1], right[1]), left[1:], right[1:])
    return weigh_pair(weight, trained, *duals, ntk, left, right)


def joined_pair(act, weight, trained, distance, ntk, left, right):
    """Affine map, then an activation without an affine map behind it: two instructions in one.

    Records are those of the second instruction.
    """
    gap = gap_of(weight * distance, left[1], right[1])
    ntk = weight * ntk + trained * left[1] * right[1] - 0.5 * trained * gap
    passed, slope = act.dual(gap, left[1:], right[1:])
    return _distance(passed, left[2], right[2]), slope * ntk


def weigh_pair(weight, trained, passed, slope, ntk, left, right):
    """Affine map behind an activation, from the gap ``passed`` and the slope behind the latter.

    Entry 2 of a record is the standard deviation behind the activation.
    """
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
    """Dropout: the variances of the noise of both rows, which is independent, add to ``D``."""
    return distance + left[0] + right[0], ntk


def recur_pair(recurrent, weight, trained, distance, ntk, inputs, input_ntk, left, right):
    """One time step of a recurrence, before the activation, from the state behind it and the input.

    ``inputs`` and ``input_ntk`` are the squared distance and the NTK of the input.
    """
    new = recurrent * distance + weight * inputs
    return new, _trained(trained, recurrent * ntk + weight * input_ntk, new, left[0], right[0])


def embed_pair(trained, distance, ntk, both, own_left, own_right):
    """Sum with a signal of covariance ``both`` at ``(p, q)`` and variances ``own_...`` at both."""
    return distance + (own_left + own_right - 2.0 * both), ntk + trained * both


def attend_pair(distance, ntk, left, right):
    """Distances behind an attention, exact for positions parallel or opposite but for rounding.

    A record is the variance before and behind the attention and both results of `attention.sizes`.
    """
    std, other = np.sqrt(left[1]), np.sqrt(right[1])
    noise = NOISE * (left[2] * right[3] + left[3] * right[2])
    return _distance(_sharp_gap(distance, std, other, noise), std, other), ntk


def mean_pair(scale, distance, ntk):
    """Mean over positions ``p``, from the sums of ``D(p, p)`` and of ``T(p, p)``."""
    return scale * distance, scale * ntk


def settle_pair(scale, distance, ntk, left, right):
    """Distance and NTK behind a pooling, from the sums over pairs of positions of two windows.

    ``scale sum_st D(p_s, q_t)`` less the same halved sums inside each row is the squared distance
    of the pooled signals, if both windows have as many positions; ``uneven`` corrects for others.
    A record is ``scale / 2 sum_st D(p_s, p_t)`` inside the row, the number of positions in the
    window, and ``scale sum_s A(p_s)``. Positions that are equal, parallel or opposite but for
    rounding become exactly that.
    """
    total, uneven = scale * distance, (left[1] - right[1]) * (left[2] - right[2])
    rest = total - left[0] - right[0] + uneven
    std, other = (np.sqrt(np.maximum(side[1] * side[2] - side[0], 0.0)) for side in (left, right))
    return _distance(_sharp_gap(rest, std, other, NOISE * total), std, other), scale * ntk


# --- Traces ---------------------------------------------------------------------------------------

ROWS = {
    "pointwise": pointwise_row,
    "affine": affine_row,
    "normalize": normalize_row,
    "drop": drop_row,
    "recur": recur_row,
}
"""Formulas for rows, by the rule of an instruction."""

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
    "attend_linear": attend_pair,
    "attend_sqrt": attend_pair,
}
"""Formulas for pairs of positions, by the rule of an instruction.

For "series" the inputs ``passed`` and ``slope`` come from `series`. Numbers of "joined" are those
of its affine map, the instruction before; its record is that of the activation.
"""

NOISY = ("drop",)
"""Rules that add independent noise to each row. A position of a row paired with itself shares the
noise: there the NTK is divided by the rule's first number."""

_RECURRENT, _RATES = ("recurrent", "weight"), ("recurrent_rate", "weight_rate")
_ROW_NUMBERS = {"drop": ("kept",), "recur": (*_RECURRENT, "bias", *_RATES, "bias_rate")}
_PAIR_NUMBERS = {
    "drop": ("kept",),
    "recur": (*_RECURRENT, "trained", *_RATES),
    "embed": ("trained",),
    "mean": ("scale",),
    "settle": ("scale",),
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
    "attend_linear": 4,
    "attend_sqrt": 4,
}

_STATES = {
    "variance": "s0", "distance": "s0", "ntk": "s1", "passed": "d0", "slope": "d1", "inputs": "z0",
    "input_ntk": "z1",
}  # fmt: skip
"""Names of inputs in traces, by the parameters of the formulas above."""

SERIES_HEAD = 6
"""Entries of the record of a series before its coefficients: two variances, `series.head`."""


def row_numbers(rule):
    """Names of the instruction's numbers that the rule reads for rows."""
    return _ROW_NUMBERS.get(rule, gaps.ROW_NUMBERS)


def pair_numbers(rule):
    """Names of the instruction's numbers that the rule reads for pairs."""
    return _PAIR_NUMBERS.get(rule, gaps.NUMBERS)


def record_length(rule, cls=None):
    """Entries of a record that the rule reads; ``cls`` is the class of the activation, if any."""
    has_features = rule in ("pointwise", "joined")
    return 1 + gaps.count_features(cls) if has_features else _LENGTHS.get(rule, 0)


def _trace(formula, names, cls, n=0, noise=0.0):
    """Outputs of a formula, called with one input node for each parameter, and rates of numbers.

    ``names`` are the parameters that are numbers of the instruction; records have ``n`` entries;
    for ``noise`` see `Graph`. Entry ``p`` of the rates maps nodes to their rates along direction
    ``p``.
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
    """Nodes of the new state of a pair of positions, with ``gradient`` then those of its rates."""
    n = record_length(rule, cls)
    outputs, rates = _trace(PAIRS[rule], pair_numbers(rule), cls, n, NOISE)
    if not gradient:
        return outputs
    return *outputs, *sum(gaps.rates_of(outputs, "sdz", rates, (("x", n), ("y", n))), ())


@cache
def pair_source(rule, cls, gradient):
    """Source of a rule for pairs, a function of arrays.

    Its parameter ``others`` is the gap and slope behind a series, the state of the input of a
    recurrence, or the three covariances of an embedding.
    """
    n_parts, n = None if gradient else 2, record_length(rule, cls)
    others = {"series": gaps.state_names("d")[:n_parts], "recur": gaps.state_names("z")[:n_parts]}
    others["embed"] = ["both", "own_left", "own_right"]
    parameters = {
        "act": gaps.parameter_names(cls) if cls else [],
        "numbers": pair_numbers(rule),
        "state": gaps.state_names("s")[:n_parts],
        "others": others.get(rule, []),
        "left": gaps.record_names("x", n),
        "right": gaps.record_names("y", n),
    }
    for name, letter in (("dleft", "x"), ("dright", "y")) if gradient else ():
        parameters |= {f"{name}{p}": gaps.record_names(letter, n, p) for p in range(2)}
    return source("map_pair", parameters, trace_pair(rule, cls, gradient), parameters["state"])


@cache
def row_source(rule, cls, gradient):
    """Source of a rule for rows, a function of arrays.

    It returns the new variance with its rates, the record, and the rates of the record along each
    direction.
    """
    names = row_numbers(rule)
    (new, record), number_rates = _trace(ROWS[rule], names, cls)
    rates = gaps.rates_of((new, *record), "sz", number_rates) if gradient else ((),)
    parts = [0, 2, 3] if gradient else [0]
    parameters = {
        "act": gaps.parameter_names(cls) if cls else [],
        "numbers": names,
        "state": [gaps.state_names("s")[part] for part in parts],
    }
    if rule == "recur":
        parameters["inputs"] = [gaps.state_names("z")[part] for part in parts]
    outputs = (new, *rates[0]), record, tuple(zip(*rates[1:], strict=True))
    return source("map_row", parameters, outputs, ["s0"])
