"""Programs and records as arrays, as compiled engines take them."""

import numpy as np

from ..formulas import NUMBERS, WIDTH
from ..program import Pointwise
from ..series import N_HEAD

TERMS = 8
"""The terms of a series after the first come in blocks of so many; zeros fill the last."""

_HEAD = 3 + N_HEAD


def pack_numbers(program, dtype):
    """What each step knows: `formulas.NUMBERS`, then the parameters of its activation."""
    rows = [_numbers(step) if isinstance(step, Pointwise) else () for step in program.steps]
    numbers = np.zeros((len(rows), max(map(len, rows))), dtype)
    for target, row in zip(numbers, rows, strict=True):
        target[: len(row)] = row
    return numbers


def _numbers(step):
    values = (step.weight_var, step.trained, step.weight_var * step.weight_tied)
    return values if step.activation.is_series else (*values, *step.activation)


def place_of(field, cls):
    """Column of a parameter of an activation class in `pack_numbers`."""
    return len(NUMBERS) + cls._fields.index(field)


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
    with np.errstate(over="ignore"):  # `pairs.scan` has looked at what must be finite
        for k, (record, (first, length)) in enumerate(zip(parts, spans, strict=True)):
            end = _HEAD if length else len(record)
            for i, part in enumerate(record):
                target = heads[k, i] if i < end else coefficients[first + i - end]
                target[:] = part[place]
    largest = np.finfo(dtype).max
    np.clip(heads, -largest, largest, out=heads)  # one over a tiny standard deviation, in float32
    return heads, coefficients
