"""The reference engine for rows without positions: programs on arrays, by arithmetic and ufuncs.

`scan_rows` runs a program on single rows, for all engines; `run` runs it on pairs of rows. Both
work for any array type that implements the NumPy protocols.
"""

from typing import NamedTuple

import numpy as np

from ...formulas import gaps, series, tile_traces
from ...formulas.writing import built


class TileRows(NamedTuple):
    """Results of the pass over n single rows.

    ``records[k]`` is the record of step ``k``, a tuple of arrays (n,) that pairs read, and
    ``rates[k][p]`` its rates along direction ``p``. ``variance`` (n_outputs, n) and ``ntk``
    (n_ntks * n_outputs, n) are the diagonals of the Gram matrices, ``dvariance`` and ``dntk``
    (n_outputs, n, 2) their rates or None.
    """

    records: list
    rates: list
    variance: object
    ntk: object
    dvariance: object
    dntk: object


def scan_rows(program, variance, gradient=False, rate=0.0):
    """`TileRows` of single rows with these variances (n,) of the inputs.

    ``rate`` is that of the variances along the first direction.
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
            record, rate = row_of_output(state)
        elif step.rule == "add":
            state, record, rate = built(tile_traces.add_row_source, gradient)(state, stack.pop())
        else:
            state, record, rate = _row(step, state)
        records.append(record)
        rates.append(rate)
    variance, ntk, *derivatives = (np.stack(parts) for parts in zip(*outputs, strict=True))
    ntk = _one_axis(program, ntk, 1)
    dvariance = dntk = None
    if gradient:
        dvariance, dntk = (np.stack(derivatives[i : i + 2], axis=-1) for i in (0, 2))
    return TileRows(records, rates, variance, ntk, dvariance, dntk)


def _one_axis(program, ntk, n_axes):
    """NTKs with one axis in front of the last ``n_axes``, from axes (outputs, NTKs).

    All outputs for the first ``n_frozen`` come before those for the second.
    """
    if program.n_ntks is None:
        return ntk
    ntk = np.moveaxis(ntk, 0, -1 - n_axes)
    return ntk.reshape(-1, *ntk.shape[-n_axes:])


def _trained(step, n_axes):
    """``step.trained``, for several NTKs as an array with an axis in front of ``n_axes`` others."""
    flags = step.trained
    return np.reshape(flags, (-1, *[1] * n_axes)) if isinstance(flags, tuple) else flags


def row_of_output(state):
    """Record of an `Output` and its rates: only entry 2, the standard deviation, is read."""
    zero, std = 0.0 * state[0], np.sqrt(state[0])
    rates = tuple((zero, zero, 0.5 * rate / (std + (std == 0.0))) for rate in state[2:4])
    return (zero, zero, std), rates


def _row(step, state):
    """New state of rows, record, and rates of the record, for a step without the stack."""
    gradient = len(state) > 2
    if step.rule in gaps.RULES:
        function = built(tile_traces.rule_row_source, step.rule, gradient)
        return function(*step.take(["kept"]), state)
    numbers = step.take(gaps.ROW_NUMBERS)
    numbers[2] = _trained(step, 1)
    if step.rule == "series":
        return series.map_row(step, numbers, state)
    function = built(tile_traces.map_row_source, type(step.activation), gradient)
    return function(step.activation, numbers, state)


def initial_gap(X, Y):
    """Gap (n, m) of rows ``X`` (n, d) and ``Y`` (m, d): ``|x| |y| / d`` times ``|u - v|^2``.

    ``u`` and ``v`` are the directions. For norms 1 and ``r`` their difference is ``u - v = x - y -
    (1 - r) y / r`` with ``1 - r = (x - y).(x + y) / (1 + r)``: rows that are close lose no digits.
    ``y`` is scaled by a power of two so that ``r`` is close to one.
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
    """``u - v`` of `initial_gap`, for ``inverse = 1 / |x|`` and ``ratio = |y| / |x|``."""
    difference = (X - Y) * inverse
    longer = (difference * ((X + Y) * inverse)).sum(axis=2)
    share = longer / ((1.0 + ratio) * ratio)
    return difference - share[:, :, None] * (Y * inverse)


def run(program, gap, rows_x, rows_y, gradient=False):
    """Run a program on pairs of rows, from their gaps (n, m) and the `TileRows` of both sides.

    Returns NNGP (n_outputs, n, m) and NTK (n_ntks * n_outputs, n, m) and, with ``gradient``, their
    derivatives with respect to log weight_var and log bias_var along a last axis.
    """
    zero = 0.0 * gap
    n_factors = {"left": 1.0, "both": 2.0}.get(program.by_rows, 0.0)
    moved = n_factors * gap, zero + bool(program.by_rows)
    state = (gap, zero, *moved, zero, zero)[: 6 if gradient else 2]
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
                state = built(tile_traces.add_pair_source, gradient)(state, stack.pop(), *sides)
            else:
                state = _pair(step, state, *sides)
    nngp, ntk, *rates = (np.stack(parts) for parts in zip(*outputs, strict=True))
    return nngp, _one_axis(program, ntk, 2), *rates


def _column(record):
    """Entries (n,) of a record of left rows as (n, 1), to be paired with right ones (m,)."""
    return tuple(x[:, None] for x in record)


def _kernels(state, left, right, dleft, dright):
    """NNGP ``a b - gap / 2`` and NTK of a state, and their derivatives if the state has rates."""
    a, b = left[2], right[2]
    nngp = a * b - 0.5 * state[0]
    if len(state) == 2:
        return nngp, state[1]
    by_direction = zip(dleft, dright, state[2:4], strict=True)
    rates = [x[2] * b + a * y[2] - 0.5 * gap_rate for x, y, gap_rate in by_direction]
    return nngp, state[1], np.stack(rates, axis=-1), np.stack(state[4:6], axis=-1)


def _pair(step, state, *sides):
    """New state of pairs for a step without the stack, from the records and rates of both sides."""
    gradient = len(state) > 2
    if step.rule in gaps.RULES:
        return built(tile_traces.rule_pair_source, step.rule, gradient)(state, *sides)
    numbers = step.take(gaps.NUMBERS)
    numbers[1] = _trained(step, 2)
    if step.rule == "series":
        heads = (record[:3] for record in sides)
        duals = _duals(step.activation, state, *(record[3:] for record in sides))
        return built(tile_traces.affine_pair_source, gradient)(numbers, state, duals, *heads)
    function = built(tile_traces.map_pair_source, type(step.activation), gradient)
    return function(step.activation, numbers, state, *sides)


def _duals(act, state, left, right, *rates):
    """Gap and slope behind a series; also their rates, if those of the features are given."""
    if not rates:
        return series.dual(act, state[0], left, right)
    return series.dual_rates(act, state[0], state[2:4], left, right, rates[:2], rates[2:])
