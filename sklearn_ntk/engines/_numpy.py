"""The reference engine: programs on whole arrays, by ufuncs and arithmetic only.

It states what the stack machine does, computes the quantities that belong to single rows for every
other engine, and runs on any array type that speaks the NumPy protocols.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from .. import formulas
from .._trace import build
from ..program import Add, Save, Swap


class Rows(NamedTuple):
    """What one pass over single rows yields.

    ``records[k]`` is what step ``k`` keeps for the pairs and ``rates[k][p]`` its rates along
    direction ``p``. The others are the final variance, NTK and rates, the diagonals of the Gram
    matrices.
    """

    records: list
    rates: list
    variance: object
    ntk: object
    dvariance: tuple
    dntk: tuple


@cache
def _built(make, *arguments):
    return build(make(*arguments))


def scan_rows(program, variance, gradient=False):
    """Carry the variance and NTK of single rows, with their rates, through a program."""
    zero = 0.0 * variance
    state = (variance,) + (zero,) * (5 if gradient else 1)
    stack, records, rates = [], [], []
    for step in program.steps:
        record, rate = (), ()
        if isinstance(step, Save):
            stack.append(state)
        elif isinstance(step, Swap):
            state, stack[-1] = stack[-1], state
        else:
            arguments = (step, state, stack.pop() if isinstance(step, Add) else None)
            state, record, rate = (_row_with_rates if gradient else _row)(*arguments)
        records.append(tuple(zero + x for x in record))
        rates.append(tuple(tuple(zero + x for x in r) for r in rate))
    state = tuple(zero + x for x in state)
    return Rows(records, rates, *state[:2], state[2:4], state[4:6])


def _row(step, state, saved):
    if saved is not None:
        *state, record = formulas.add_row(*state, *saved)
    else:
        numbers = (step.weight_var, step.bias_var, step.trained)
        *state, record = formulas.map_row(step.activation, *numbers, *state)
    return tuple(state), record, ()


def _row_with_rates(step, state, saved):
    if saved is not None:
        return _built(formulas.add_row_rates_source)(state, saved)
    drift = (step.weight_var * step.weight_tied, step.bias_var * step.bias_tied)
    numbers = (step.weight_var, step.bias_var, step.trained)
    function = _built(formulas.map_row_rates_source, type(step.activation))
    return function(step.activation, *numbers, drift, state)


def initial_gap(X, Y):
    """Gap of raw rows, from the squared distance of their directions."""
    norms_x, norms_y = (np.sqrt((Z * Z).sum(axis=1))[:, None] for Z in (X, Y))
    U, V = (Z / (norms + (norms == 0.0)) for Z, norms in ((X, norms_x), (Y, norms_y)))
    U, V = U[:, None, :], V[None, :, :]
    apart, beside = ((W * W).sum(axis=2) for W in (U - V, U + V))
    square = (apart <= 2.0) * apart + (apart > 2.0) * (4.0 - beside)  # opposite rows are exact, too
    return norms_x * norms_y[:, 0] / X.shape[1] * square


def run(program, gap, rows_x, rows_y, gradient=False):
    """Carry the gaps and NTKs of pairs through a program.

    Returns the NNGP and NTK matrices and, with ``gradient``, their rates along log weight_var and
    log bias_var, as two pairs.
    """
    state = (gap,) + (0.0 * gap,) * (5 if gradient else 1)
    stack = []
    for k, step in enumerate(program.steps):
        if isinstance(step, Save):
            stack.append(state)
        elif isinstance(step, Swap):
            state, stack[-1] = stack[-1], state
        else:
            saved = stack.pop() if isinstance(step, Add) else None
            left, right = _column(rows_x.records[k]), rows_y.records[k]
            if gradient:
                dleft, dright = tuple(map(_column, rows_x.rates[k])), rows_y.rates[k]
                state = _pair_with_rates(step, state, saved, left, right, dleft, dright)
            else:
                state = _pair(step, state, saved, left, right)
    a, b = np.sqrt(rows_x.variance)[:, None], np.sqrt(rows_y.variance)
    nngp = a * b - 0.5 * state[0]
    if not gradient:
        return nngp, state[1]
    last = zip(rows_x.rates[-1], rows_y.rates[-1], state[2:4], strict=True)
    dnngp = tuple(x[-1][:, None] * b + a * y[-1] - 0.5 * d for x, y, d in last)
    return nngp, state[1], dnngp, state[4:6]


def _column(record):
    return tuple(x[:, None] for x in record)


def _pair(step, state, saved, left, right):
    if saved is not None:
        return formulas.add_pair(*state, *saved, left, right)
    numbers = (step.weight_var, np.sqrt(step.bias_var), step.trained)
    return formulas.map_pair(step.activation, *numbers, *state, left, right)


def _pair_with_rates(step, state, saved, *sides):
    if saved is not None:
        return _built(formulas.add_pair_rates_source)(state, saved, *sides)
    bias = np.sqrt(step.bias_var)
    drift = (step.weight_var * step.weight_tied, 0.5 * bias * step.bias_tied)
    function = _built(formulas.map_pair_rates_source, type(step.activation))
    return function(step.activation, step.weight_var, bias, step.trained, drift, state, *sides)
