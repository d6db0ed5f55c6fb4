"""Traces of the formulas of `distances`, and their sources for arrays; for names see `inputs`."""

from functools import cache

from .distances import PAIRS, ROWS
from .gaps import NUMBERS, ROW_NUMBERS
from .inputs import (
    count_features,
    parameter_names,
    rates_of,
    sides,
    state_names,
    trace,
    trace_state,
)
from .tracing import NOISE
from .writing import source

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

_OTHERS = {"series": "d", "attend_sqrt": "d", "recur": "z"}
"""Letters of what rules take from elsewhere: sums, or the inputs of a recurrence."""

SERIES_HEAD = 6
"""Length of the record of a series before its coefficients."""


def row_numbers(rule):
    """Names of the numbers that a rule reads for rows."""
    return _ROW_NUMBERS.get(rule, ROW_NUMBERS)


def pair_numbers(rule):
    """Names of the numbers that a rule reads for pairs."""
    return _PAIR_NUMBERS.get(rule, NUMBERS)


def record_length(rule, cls=None):
    """Entries of the records that a rule reads."""
    has_features = rule in ("pointwise", "joined")
    return 1 + count_features(cls) if has_features else _LENGTHS.get(rule, 0)


def trace_pair(rule, cls, gradient):
    """Outputs of a rule: the new state, with rates if wanted."""
    n = record_length(rule, cls)
    return trace_state(PAIRS[rule], pair_numbers(rule), cls, n, gradient, NOISE)


@cache
def pair_source(rule, cls, gradient):
    """Source of a rule for pairs, for arrays.

    Its ``others`` are what comes from elsewhere, or the covariances of an embedding.
    """
    parts, n = None if gradient else 2, record_length(rule, cls)
    others = {name: state_names(letter)[:parts] for name, letter in _OTHERS.items()}
    others["embed"] = ["both", "own_left", "own_right"]
    parameters = {
        "act": parameter_names(cls) if cls else [],
        "numbers": pair_numbers(rule),
        "state": state_names("s")[:parts],
        "others": others.get(rule, []),
        **sides(n, gradient),
    }
    return source("map_pair", parameters, trace_pair(rule, cls, gradient), parameters["state"])


@cache
def row_source(rule, cls, gradient):
    """Source of a rule for rows: the new variance with its rates, the record, and its rates."""
    names = row_numbers(rule)
    (new, record), rates = trace(ROWS[rule], names, cls)
    moves = rates_of((new, *record), "sdz", rates) if gradient else ((),)
    parts = [0, 2, 3] if gradient else [0]
    parameters = {
        "act": parameter_names(cls) if cls else [],
        "numbers": names,
        "state": [state_names("s")[part] for part in parts],
    }
    if rule in _OTHERS:
        parameters["others"] = [state_names(_OTHERS[rule])[part] for part in parts]
    outputs = (new, *moves[0]), record, tuple(zip(*moves[1:], strict=True))
    return source("map_row", parameters, outputs, ["s0"])
