"""Traces of the formulas of `distances`, and sources of functions of arrays.

Inputs are those of `inputs`. A trace for pairs has the outputs squared distance (or covariance) and
NTK and, with ``gradient``, the rates of the former along both directions, then those of the NTK.
"""

from functools import cache

from .distances import PAIRS, ROWS
from .gaps import NUMBERS, ROW_NUMBERS
from .inputs import (
    count_features,
    parameter_names,
    rates_of,
    record_names,
    sides,
    state_names,
    trace,
    trace_state,
)
from .tracing import NOISE, differentiate
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
"""Numbers that formulas read, by rule, where they are not those of `gaps`."""

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
"""Entries of the records that formulas for pairs read, by rule, if not zero."""

_OTHERS = {"series": "d", "attend_sqrt": "d", "recur": "z"}
"""Letters of the parameter ``others`` by rule: duals (d), sums (d), inputs of a recurrence (z)."""

ADJOINT_OTHERS = ("recur", "attend_sqrt")
"""Rules of which `trace_adjoint` has derivatives by the first two of the others."""

SERIES_HEAD = 6
"""Entries of the record of a series before its coefficients: two variances, `series.head`."""


def row_numbers(rule):
    """Names of the instruction's numbers that the rule reads for rows."""
    return _ROW_NUMBERS.get(rule, ROW_NUMBERS)


def pair_numbers(rule):
    """Names of the instruction's numbers that the rule reads for pairs."""
    return _PAIR_NUMBERS.get(rule, NUMBERS)


def record_length(rule, cls=None):
    """Entries of a record that the rule reads; ``cls`` is the class of the activation, if any."""
    has_features = rule in ("pointwise", "joined")
    return 1 + count_features(cls) if has_features else _LENGTHS.get(rule, 0)


def trace_pair(rule, cls, gradient):
    """Outputs of a rule for pairs."""
    n = record_length(rule, cls)
    return trace_state(PAIRS[rule], pair_numbers(rule), cls, n, gradient, NOISE)


@cache
def pair_source(rule, cls, gradient):
    """Source of a rule for pairs, a function of arrays.

    Its parameter ``others`` is the gap and slope behind a series, both sums of `attention.squares`,
    the state of the input of a recurrence, or the three covariances of an embedding.
    """
    n_parts, n = None if gradient else 2, record_length(rule, cls)
    others = {key: state_names(letter)[:n_parts] for key, letter in _OTHERS.items()}
    others["embed"] = ["both", "own_left", "own_right"]
    parameters = {
        "act": parameter_names(cls) if cls else [],
        "numbers": pair_numbers(rule),
        "state": state_names("s")[:n_parts],
        "others": others.get(rule, []),
        **sides(n, gradient),
    }
    return source("map_pair", parameters, trace_pair(rule, cls, gradient), parameters["state"])


def trace_adjoint(rule, cls, n_variables):
    """Derivatives of ``b0 D' + b1 T'`` for the outputs ``D'`` and ``T'`` of a rule for pairs.

    They are by the distance (or covariance) and the NTK, by two further inputs of a recurrence or
    of "attend_sqrt", and by variables of the left row, on which its record depends with the rates
    ``x0_0``, ``x1_0``, ... for variable 0. The rates ``d2``, ``d3`` of the gap and ``d4``, ``d5``
    of the slope behind a series are those along the distance and along variable 0.
    """
    n = record_length(rule, cls)
    outputs, _ = trace(PAIRS[rule], pair_numbers(rule), cls, n, NOISE)
    graph = outputs[0].graph
    bars, record = graph.inputs("b0", "b1"), graph.inputs(*record_names("x", n))
    others = graph.inputs(*state_names(_OTHERS.get(rule, "z")))
    inputs = [*graph.inputs("s0", "s1"), *(others[:2] if rule in ADJOINT_OTHERS else ())]
    seeds = [{node: 1.0} for node in inputs]
    for v in range(n_variables):
        seeds.append(dict(zip(record, graph.inputs(*record_names("x", n, v)), strict=True)))
    if rule == "series":
        for seed, passed, slope in ((seeds[0], 2, 4), (seeds[-1], 3, 5)):
            seed |= {others[0]: others[passed], others[1]: others[slope]}
    return tuple(
        sum(bar * rate for bar, rate in zip(bars, differentiate(outputs, seed), strict=True))
        for seed in seeds
    )


@cache
def adjoint_source(rule, cls, n_variables):
    """Source of `trace_adjoint`, a function of arrays; ``rates`` are a tuple for each variable."""
    n, letter = record_length(rule, cls), _OTHERS.get(rule)
    n_others = 6 if rule == "series" else 2
    parameters = {
        "act": parameter_names(cls) if cls else [],
        "numbers": pair_numbers(rule),
        "state": ["s0", "s1"],
        "others": state_names(letter)[:n_others] if letter else [],
        **sides(n, False),
        "rates": [name for v in range(n_variables) for name in record_names("x", n, v)],
        "bars": ["b0", "b1"],
    }
    return source("pull_pair", parameters, trace_adjoint(rule, cls, n_variables), ["s0", "s1"])


@cache
def row_source(rule, cls, gradient):
    """Source of a rule for rows, a function of arrays.

    It returns the new variance with its rates, the record, and the rates of the record along each
    direction.
    """
    names = row_numbers(rule)
    (new, record), number_rates = trace(ROWS[rule], names, cls)
    rates = rates_of((new, *record), "sdz", number_rates) if gradient else ((),)
    parts = [0, 2, 3] if gradient else [0]
    parameters = {
        "act": parameter_names(cls) if cls else [],
        "numbers": names,
        "state": [state_names("s")[part] for part in parts],
    }
    if rule in _OTHERS:
        parameters["others"] = [state_names(_OTHERS[rule])[part] for part in parts]
    outputs = (new, *rates[0]), record, tuple(zip(*rates[1:], strict=True))
    return source("map_row", parameters, outputs, ["s0"])
