"""Traces of the formulas of `gaps`, and sources of functions of arrays.

Inputs are those of `inputs`. A trace for pairs has the outputs gap and NTK and, with ``gradient``,
the rates of the gap along both directions, then those of the NTK. Functions of arrays take states
in the same order.
"""

from functools import cache

from .gaps import (
    NUMBERS,
    ROW_NUMBERS,
    RULES,
    add_pair,
    add_row,
    affine_pair,
    affine_row,
    map_pair,
    map_row,
)
from .inputs import (
    count_features,
    parameter_names,
    rates_of,
    sides,
    state_names,
    trace,
    trace_state,
)
from .tracing import differentiate
from .writing import source


def with_slope(outputs):
    """The outputs for a pair without rates, then the derivative of the new NTK by the old one."""
    ntk = outputs[1].graph.inputs("s1")
    return *outputs, *differentiate(outputs[1:2], {ntk[0]: 1.0})


def trace_map_pair(cls, gradient, by_rows=False):
    """Outputs of `map_pair` for an activation class."""
    return trace_state(map_pair, NUMBERS, cls, 3 + count_features(cls), gradient, by_rows=by_rows)


def trace_affine_pair(gradient, by_rows=False):
    """Outputs of `affine_pair`; ``d0`` and ``d1`` are gap and slope after the activation."""
    return trace_state(affine_pair, NUMBERS, None, 3, gradient, by_rows=by_rows)


def trace_add_pair(gradient, by_rows=False):
    """Outputs of `add_pair`."""
    return trace_state(add_pair, (), None, 3, gradient, by_rows=by_rows)


def trace_rule_pair(name, gradient, by_rows=False):
    """Outputs of the rule of an instruction without weights, for pairs."""
    return trace_state(RULES[name][1], (), None, 3, gradient, by_rows=by_rows)


# --- Functions for arrays -------------------------------------------------------------------------
#
# With ``gradient`` they also take, or return, the rates of records along direction 0, then 1.


def _state(letter, gradient):
    """Names of the inputs that a state is unpacked to."""
    return state_names(letter)[: 6 if gradient else 2]


def _source(name, signature, outputs, gradient):
    """Source of a function of a state; all arrays that it returns have the shape of the state."""
    return source(name, signature, outputs, _state("s", gradient))


@cache
def map_pair_source(cls, gradient):
    """Source of `map_pair`, for an activation class."""
    signature = {"act": parameter_names(cls), "numbers": NUMBERS, "state": _state("s", gradient)}
    signature |= sides(3 + count_features(cls), gradient)
    return _source("map_pair", signature, trace_map_pair(cls, gradient), gradient)


@cache
def affine_pair_source(gradient):
    """Source of `affine_pair`."""
    signature = {"numbers": NUMBERS}
    signature |= {"state": _state("s", gradient), "duals": _state("d", gradient)}
    signature |= sides(3, gradient)
    return _source("affine_pair", signature, trace_affine_pair(gradient), gradient)


@cache
def add_pair_source(gradient):
    """Source of `add_pair`."""
    signature = {"state": _state("s", gradient), "saved": _state("z", gradient)}
    signature |= sides(3, gradient)
    return _source("add_pair", signature, trace_add_pair(gradient), gradient)


@cache
def rule_pair_source(name, gradient):
    """Source of the rule of an instruction without weights, for pairs."""
    signature = {"state": _state("s", gradient)} | sides(3, gradient)
    return _source("rule_pair", signature, trace_rule_pair(name, gradient), gradient)


def trace_row(rule, cls, gradient):
    """Outputs of the formula of a rule for rows: new state, record, its rates by direction.

    The rule is "add", one of `RULES`, or else that of a `Pointwise` whose activation is of ``cls``.
    """
    formula, names = map_row, ROW_NUMBERS
    if rule == "add":
        formula, names = add_row, ()
    elif rule in RULES:
        formula, names = RULES[rule][0], ("kept",)
    return _trace_row(formula, names, cls, gradient)


def _trace_row(formula, names, cls, gradient):
    """Outputs of a formula for rows: the new state, the record, and its rates by direction."""
    (new, ntk, record), numbers = trace(formula, names, cls)
    if not gradient:
        return (new, ntk), record, ()
    rates = rates_of((new, ntk, *record), "sdz", numbers)
    by_direction = tuple(zip(*rates[2:], strict=True))
    return (new, ntk, *rates[0], *rates[1]), record, by_direction


@cache
def map_row_source(cls, gradient):
    """Source of `map_row`, for an activation class."""
    signature = {"act": parameter_names(cls), "numbers": ROW_NUMBERS}
    signature |= {"state": _state("s", gradient)}
    outputs = trace_row("pointwise", cls, gradient)
    return _source("map_row", signature, outputs, gradient)


@cache
def affine_row_source(gradient):
    """Source of `affine_row`; ``d0`` and ``d1`` are standard deviation and slope."""
    signature = {"numbers": ROW_NUMBERS}
    signature |= {"state": _state("s", gradient), "duals": _state("d", gradient)}
    outputs = _trace_row(affine_row, ROW_NUMBERS, None, gradient)
    return _source("affine_row", signature, outputs, gradient)


@cache
def add_row_source(gradient):
    """Source of `add_row`."""
    signature = {"state": _state("s", gradient), "saved": _state("z", gradient)}
    return _source("add_row", signature, trace_row("add", None, gradient), gradient)


@cache
def rule_row_source(name, gradient):
    """Source of the rule of an instruction without weights, for rows."""
    signature = {"kept": [], "state": _state("s", gradient)}
    return _source("rule_row", signature, trace_row(name, None, gradient), gradient)
