"""The reference engine: programs on whole arrays, by ufuncs and arithmetic only.

It defines what an instruction means, computes the quantities that belong to single rows for every
other engine, and runs on any array type that speaks the NumPy protocols.
"""

from typing import NamedTuple

import numpy as np

from .._special import mixing, mixing_tangent
from ..program import Add, Pointwise, Save, Swap

DIRECTIONS = ((1.0, 0.0), (0.0, 1.0))
"""Rates of log weight_var and log bias_var along the two hyperparameters."""


class Rows(NamedTuple):
    """What one pass over single rows yields for the pairs.

    ``steps[k]`` holds, for a `Pointwise` step, the features of its activation, the standard
    deviation of the weighted part and the standard deviation after the step; for an `Add`, the
    standard deviations of both summands and of the sum. ``rates[k][p]`` holds the derivatives of
    standard deviations along hyperparameter ``p``: before the step, after the activation, of the
    weighted part, after the step; for an `Add` of the summands and the sum.
    """

    steps: list
    rates: list
    variance: object
    ntk: object
    dvariance: tuple
    dntk: tuple


def _half_over(x, std):
    """``x / (2 std)``, the derivative of a standard deviation, and zero where it is zero."""
    zero = std == 0.0
    return 0.5 * x * (std > 0.0) / (std + zero)


def scan_rows(program, variance, gradient=False):
    """Carry the variance and NTK of single rows, and their derivatives, through a program."""
    zero = 0.0 * variance
    state = (variance, zero, (zero, zero), (zero, zero))
    stack, steps, rates = [], [], []
    for step in program.steps:
        record, rate = (), ()
        if isinstance(step, Save):
            stack.append(state)
        elif isinstance(step, Swap):
            state, stack[-1] = stack[-1], state
        elif isinstance(step, Add):
            state, record, rate = _add_rows(state, stack.pop(), gradient)
        else:
            state, record, rate = _map_rows(step, state, gradient)
        steps.append(record)
        rates.append(rate)
    return Rows(steps, rates, *state)


def _add_rows(first, second, gradient):
    v1, t1, dv1, dt1 = first
    v2, t2, dv2, dt2 = second
    total = v1 + v2
    stds = tuple(map(np.sqrt, (v1, v2, total)))
    rates, dv, dt = [], dv1, dt1
    if gradient:
        dv = tuple(x + y for x, y in zip(dv1, dv2, strict=True))
        dt = tuple(x + y for x, y in zip(dt1, dt2, strict=True))
        rates = [tuple(map(_half_over, row, stds)) for row in zip(dv1, dv2, dv, strict=True)]
    return (total, t1 + t2, dv, dt), stds, rates


def _map_rows(step, state, gradient):
    v, t, dv, dt = state
    act, weight, bias = step.activation, step.weight_var, step.bias_var
    features = act.features(v)
    passed = act.variance(v)
    new = weight * passed + bias
    zero = 0.0 * v
    slope = act.dual(zero, features, features)[1]
    weighted, std = np.sqrt(weight) * features[1], np.sqrt(new)
    rates, dv_new, dt_new = [], dv, dt
    if gradient:
        dv_new, dt_new = [], []
        passed_rate = act.variance_rate(v)
        for (w, b), dv_in, dt_in in zip(DIRECTIONS, dv, dt, strict=True):
            w, b = w * step.weight_tied, b * step.bias_tied
            dpassed = passed_rate * dv_in
            d = (_half_over(dv_in, features[0]), _half_over(dpassed, features[1]))
            dslope = act.dual_tangent(zero, zero, features, features, d, d)[1]
            dnew = weight * (dpassed + w * passed) + b * bias
            dv_new.append(dnew)
            dt_new.append(
                weight * (dslope * t + slope * dt_in + w * slope * t) + step.trained * dnew
            )
            rates.append((*d, np.sqrt(weight) * d[1] + 0.5 * w * weighted, _half_over(dnew, std)))
    ntk = weight * slope * t + step.trained * new
    return (new, ntk, tuple(dv_new), tuple(dt_new)), (*features, weighted, std), rates


def initial_gap(X, Y):
    """Gap of raw rows, from the squared distance of their directions."""
    norms_x, norms_y = (np.sqrt((Z * Z).sum(axis=1))[:, None] for Z in (X, Y))
    U, V = (Z / (norms + (norms == 0.0)) for Z, norms in ((X, norms_x), (Y, norms_y)))
    apart = U[:, None, :] - V[None, :, :]
    return norms_x * norms_y[:, 0] / X.shape[1] * (apart * apart).sum(axis=2)


def _columns(record):
    return tuple(x[:, None] for x in record)


def run(program, gap, rows_x, rows_y, gradient=False):
    """Carry gaps and NTKs of pairs through a program.

    Returns the NNGP and NTK matrices and, with ``gradient``, their derivatives with respect to the
    logarithms of the kernel's weight and bias variances, as two pairs.
    """
    zero = 0.0 * gap
    state = (gap, zero, (zero, zero), (zero, zero))
    stack = []
    for k, step in enumerate(program.steps):
        left, right = _columns(rows_x.steps[k]), rows_y.steps[k]
        dleft, dright = [_columns(r) for r in rows_x.rates[k]], rows_y.rates[k]
        if isinstance(step, Save):
            stack.append(state)
        elif isinstance(step, Swap):
            state, stack[-1] = stack[-1], state
        elif isinstance(step, Add):
            state = _add(state, stack.pop(), left, right, dleft, dright)
        else:
            state = _map(step, state, left, right, dleft, dright)
    gap, ntk, dgap, dntk = state
    a, b = np.sqrt(rows_x.variance)[:, None], np.sqrt(rows_y.variance)
    nngp = a * b - 0.5 * gap
    if not gradient:
        return nngp, ntk
    pairs = zip(rows_x.rates[-1], rows_y.rates[-1], dgap, strict=True)
    dnngp = tuple(x[-1][:, None] * b + a * y[-1] - 0.5 * d for x, y, d in pairs)
    return nngp, ntk, dnngp, dntk


def _add(first, second, left, right, dleft, dright):
    gap1, ntk1, dgap1, dntk1 = first
    gap2, ntk2, dgap2, dntk2 = second
    gap = gap1 + gap2 + mixing(*_interleave(left, right))
    dgap = tuple(
        x + y + mixing_tangent(*_interleave(left, right), *_interleave(dl, dr))
        for x, y, dl, dr in zip(dgap1, dgap2, dleft, dright, strict=False)
    )
    dntk = tuple(x + y for x, y in zip(dntk1, dntk2, strict=True))
    return gap, ntk1 + ntk2, dgap, dntk


def _interleave(left, right):
    return [x for pair in zip(left, right, strict=True) for x in pair]


def _map(step, state, left, right, dleft, dright):
    gap, ntk, dgap, dntk = state
    act, weight, bias = step.activation, step.weight_var, np.sqrt(step.bias_var)
    passed, slope = act.dual(gap, left[:-2], right[:-2])
    stds = (left[-2], right[-2], bias, bias, left[-1], right[-1])
    new = weight * passed + mixing(*stds)
    dgap_new, dntk_new = [], []
    for (w, b), dq, dt, dl, dr in zip(DIRECTIONS, dgap, dntk, dleft, dright, strict=False):
        w, b = w * step.weight_tied, 0.5 * b * step.bias_tied * bias
        dpassed, dslope = act.dual_tangent(gap, dq, left[:-2], right[:-2], dl[:2], dr[:2])
        dnew = weight * (dpassed + w * passed)
        dnew = dnew + mixing_tangent(*stds, dl[2], dr[2], b, b, dl[3], dr[3])
        dcov = dl[3] * right[-1] + left[-1] * dr[3] - 0.5 * dnew
        dgap_new.append(dnew)
        dntk_new.append(
            weight * (dslope * ntk + slope * dt + w * slope * ntk) + step.trained * dcov
        )
    cov = left[-1] * right[-1] - 0.5 * new
    return new, weight * slope * ntk + step.trained * cov, tuple(dgap_new), tuple(dntk_new)
