"""The reference engine: programs on whole arrays, by ufuncs and arithmetic only.

It states what the stack machine does, computes the quantities that belong to single rows for every
other engine, and runs on any array type that speaks the NumPy protocols.
"""

from typing import NamedTuple

import numpy as np

from ...formulas import gaps, series
from ...formulas.tracing import built


class TileRows(NamedTuple):
    """What one pass over single rows yields.

    ``records[k]`` is what step ``k`` keeps for the pairs and ``rates[k][p]`` its rates along
    direction ``p``. ``variance`` and ``ntk`` hold one row for each output of the program, the
    diagonals of its Gram matrices, those of several NTKs one after the other, and ``dvariance`` and
    ``dntk`` their rates, along the last axis.
    """

    records: list
    rates: list
    variance: object
    ntk: object
    dvariance: object
    dntk: object


def scan_rows(program, variance, gradient=False, rate=0.0):
    """Carry the variance and NTK of single rows, with their rates, through a program.

    ``rate`` is that of the variance along the first direction.
    """
    zero = 0.0 * variance
    state = (variance, zero, rate + zero, zero, zero, zero)[: 6 if gradient else 2]
    stack, records, rates, outputs = [], [], [], []
    for step in program.steps:
        record, rate = (), ()
        if step.rule == "save":
            stack.append(state)
        elif step.rule == "swap":
            state, stack[-1] = stack[-1], state
        elif step.rule == "output":
            outputs.append(state)
            record, rate = _row_of_output(state)
        elif step.rule == "add":
            state, record, rate = built(gaps.add_row_source, gradient)(state, stack.pop())
        else:
            state, record, rate = _row(step, state)
        records.append(record)
        rates.append(rate)
    variance, ntk, *moves = (np.stack(parts) for parts in zip(*outputs, strict=True))
    ntk = _one_axis(program, ntk, 1)
    pairs = [np.stack(moves[i : i + 2], axis=-1) for i in (0, 2)] if gradient else (None, None)
    return TileRows(records, rates, variance, ntk, *pairs)


def _one_axis(program, ntk, n_axes):
    """NTKs of all outputs, or of those for one choice of trained layers after the other."""
    if program.n_ntks is None:
        return ntk
    ntk = np.moveaxis(ntk, 0, -1 - n_axes)
    return ntk.reshape(-1, *ntk.shape[-n_axes:])


def _trained(step, n_axes):
    """Whether the weights of a step are trained; several NTKs lie along an axis in front."""
    flags = step.trained
    return np.reshape(flags, (-1, *[1] * n_axes)) if isinstance(flags, tuple) else flags


def _row_of_output(state):
    """Only the standard deviation is of use."""
    zero, std = 0.0 * state[0], np.sqrt(state[0])
    rates = tuple((zero, zero, 0.5 * rate / (std + (std == 0.0))) for rate in state[2:4])
    return (zero, zero, std), rates


def _row(step, state):
    gradient = len(state) > 2
    if step.rule in gaps.RULES:
        function = built(gaps.rule_row_source, step.rule, gradient)
        return function(*step.take(["kept"]), state)
    numbers = step.take(gaps.ROW_NUMBERS)
    numbers[2] = _trained(step, 1)
    if step.rule == "series":
        return (series.map_row_rates if gradient else series.map_row)(step, numbers, state)
    function = built(gaps.map_row_source, type(step.activation), gradient)
    return function(step.activation, numbers, state)


def initial_gap(X, Y):
    """Gap of raw rows, from the squared distance of their directions.

    That of ``x`` and ``y``, with norms 1 and ``r``, is the norm of ``x - y - (1 - r) y / r`` with
    ``1 - r = (x - y).(x + y) / (1 + r)``: rows that are close lose no digits. Powers of two bring
    ``r`` close to one.
    """
    norms_x, norms_y = (np.sqrt((Z * Z).sum(axis=1)) for Z in (X, Y))
    size_x, size_y = (norms + (norms == 0.0) for norms in (norms_x, norms_y))
    ratio = size_y / size_x[:, None]
    scale = np.exp2(-np.rint(np.log2(ratio)))
    X, Y, ratio = X[:, None, :], Y[None, :, :] * scale[:, :, None], ratio * scale
    apart, beside = (_squared_distance(X, Z, 1.0 / size_x[:, None, None], ratio) for Z in (Y, -Y))
    square = (apart <= 2.0) * apart + (apart > 2.0) * (4.0 - beside)  # opposite rows are exact, too
    return norms_x[:, None] * norms_y / X.shape[2] * square


def _squared_distance(X, Y, inverse, ratio):
    apart = between_directions(X, Y, inverse, ratio)
    return (apart * apart).sum(axis=2)


def between_directions(X, Y, inverse, ratio):
    """``x / |x| - y / |y|`` of pairs (n, m, d), from ``1 / |x|`` and ``ratio = |y| / |x|``."""
    difference = (X - Y) * inverse
    longer = (difference * ((X + Y) * inverse)).sum(axis=2)
    share = longer / ((1.0 + ratio) * ratio)
    return difference - share[:, :, None] * (Y * inverse)


def run(program, gap, rows_x, rows_y, gradient=False):
    """Carry the gaps and NTKs of pairs through a program.

    Returns the NNGP and NTK matrices of all outputs, one after the other along the first axis, and
    with ``gradient`` their rates along log weight_var and log bias_var, along the last axis. Of
    several NTKs, the matrices of one follow those of the other.
    """
    zero = 0.0 * gap
    state = (gap, zero, zero, zero + program.by_rows, zero, zero)[: 6 if gradient else 2]
    stack, outputs = [], []
    for k, step in enumerate(program.steps):
        if step.rule == "save":
            stack.append(state)
        elif step.rule == "swap":
            state, stack[-1] = stack[-1], state
        else:
            left, right = _column(rows_x.records[k]), rows_y.records[k]
            dleft, dright = tuple(map(_column, rows_x.rates[k])), rows_y.rates[k]
            sides = left, right, *dleft, *dright
            if step.rule == "output":
                outputs.append(_kernels(state, left, right, dleft, dright))
            elif step.rule == "add":
                state = built(gaps.add_pair_source, gradient)(state, stack.pop(), *sides)
            else:
                state = _pair(step, state, *sides)
    nngp, ntk, *rates = (np.stack(parts) for parts in zip(*outputs, strict=True))
    return nngp, _one_axis(program, ntk, 2), *rates


def _column(record):
    return tuple(x[:, None] for x in record)


def _kernels(state, left, right, dleft, dright):
    """Covariance and NTK of a state, and their rates if the state has rates."""
    a, b = left[2], right[2]
    nngp = a * b - 0.5 * state[0]
    if len(state) == 2:
        return nngp, state[1]
    moves = zip(dleft, dright, state[2:4], strict=True)
    rates = [x[2] * b + a * y[2] - 0.5 * rate for x, y, rate in moves]
    return nngp, state[1], np.stack(rates, axis=-1), np.stack(state[4:6], axis=-1)


def _pair(step, state, *sides):
    gradient = len(state) > 2
    if step.rule in gaps.RULES:
        return built(gaps.rule_pair_source, step.rule, gradient)(state, *sides)
    numbers = step.take(gaps.NUMBERS)
    numbers[1] = _trained(step, 2)
    if step.rule == "series":
        heads = (record[:3] for record in sides)
        duals = _duals(step.activation, state, *(record[3:] for record in sides))
        return built(gaps.affine_pair_source, gradient)(numbers, state, duals, *heads)
    function = built(gaps.map_pair_source, type(step.activation), gradient)
    return function(step.activation, numbers, state, *sides)


def _duals(act, state, left, right, *moves):
    """Gap and slope behind a series, with their rates if those of the records are given."""
    if not moves:
        return series.dual(act, state[0], left, right)
    return series.dual_rates(act, state[0], state[2:4], left, right, moves[:2], moves[2:])
