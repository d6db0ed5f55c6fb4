"""Programs and records as arrays, as compiled engines take them."""

import numpy as np

from ..activations import Identity
from ..formulas import WIDTH
from ..program import Add, Output, Pointwise, Save, Swap
from ..series import N_HEAD

MAP, SERIES, SAVE, SWAP, ADD, OUTPUT = range(6)
"""Codes of the instructions; `SERIES` is a `Pointwise` step whose activation is a series."""

TERMS = 8
"""The terms of a series after the first come in blocks of so many; zeros fill the last."""

_CODES = {Pointwise: MAP, Save: SAVE, Swap: SWAP, Add: ADD, Output: OUTPUT}
_HEAD = 3 + N_HEAD


def pack_program(program, dtype):
    """Codes of the steps, positions of their activations, their numbers, and the activations.

    The activations are those with closed duals, or the identity if there are none. The numbers of
    a step have the order of `formulas.NUMBERS`.
    """
    acts = tuple(act for act in program.activations if not act.is_series) or (Identity(),)
    codes, which, numbers = [], [], []
    for step in program.steps:
        code, position, values = _CODES[type(step)], 0, (0.0, 0.0, 0.0)
        if isinstance(step, Pointwise):
            values = (step.weight_var, step.trained, step.weight_var * step.weight_tied)
            if step.activation.is_series:
                code = SERIES
            else:
                position = acts.index(step.activation)
        codes.append(code)
        which.append(position)
        numbers.append(values)
    return np.array(codes), np.array(which), np.array(numbers, dtype), acts


def spans_of_series(program, scan):
    """First coefficient and number of coefficients of each step, of all that `pack_rows` packs."""
    spans, total = [], 0
    for step, record in zip(program.steps, scan.records, strict=True):
        is_series = isinstance(step, Pointwise) and step.activation.is_series
        length = 1 + -(-(len(record) - _HEAD - 1) // TERMS) * TERMS if is_series else 0
        spans.append((total, length))
        total += length
    return np.array(spans)


def pack_rows(parts, spans, place, dtype):
    """Records of some rows, or rates of them: heads (n_steps, WIDTH, n), and coefficients."""
    n = place.stop - place.start
    heads = np.zeros((len(parts), WIDTH, n), dtype)
    coefficients = np.zeros((spans[:, 1].sum(), n), dtype)
    with np.errstate(over="ignore"):
        for k, (record, (first, length)) in enumerate(zip(parts, spans, strict=True)):
            end = _HEAD if length else len(record)
            for i, part in enumerate(record):
                target = heads[k, i] if i < end else coefficients[first + i - end]
                target[:] = part[place]
    if not np.isfinite(heads).all():
        raise ValueError(
            f"The kernel of this network overflows in {np.dtype(dtype)}: scale the data, or take "
            f"dtype='float64'."
        )
    return heads, coefficients
