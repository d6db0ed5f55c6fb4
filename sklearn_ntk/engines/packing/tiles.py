"""Programs and records as arrays, as compiled engines take them."""

import numpy as np

from ...formulas.gaps import NUMBERS, WIDTH
from ...formulas.series import DOUBLING, N_HEAD, orders_of
from ...program import Pointwise

TERMS = 6
"""The terms of a series after the first come in blocks of so many; zeros fill the last."""

HEAD = 3 + N_HEAD
"""Length of the record of a series before its coefficients."""


def pack_numbers(program, dtype):
    """What each step knows: `gaps.NUMBERS`, then the parameters of its activation.

    The last ones tell for each further NTK whether the step is trained.
    """
    rows = [_numbers(step) if isinstance(step, Pointwise) else () for step in program.steps]
    n_ntks = program.n_ntks or 1
    width = max(map(len, rows))
    numbers = np.zeros((len(rows), width + n_ntks - 1), dtype)
    for target, row, step in zip(numbers, rows, program.steps, strict=True):
        target[: len(row)] = row
        if row:
            target[width:] = np.broadcast_to(step.trained, n_ntks)[1:]
    return numbers


def _numbers(step):
    trained = np.ravel(step.trained)[0]
    values = (step.weight_var, trained, step.weight_var * step.weight_tied)
    return values if step.activation.is_series else (*values, *step.activation)


def place_of(field, cls):
    """Column of a parameter of an activation class in `pack_numbers`."""
    return len(NUMBERS) + cls._fields.index(field)


def lengths_of_series(program, records):
    """Number of coefficients of each step, with those that fill the last block."""
    return [
        1 + -(-(len(record) - HEAD - 1) // TERMS) * TERMS if _is_series(step) else 0
        for step, record in zip(program.steps, records, strict=True)
    ]


def _is_series(step):
    return isinstance(step, Pointwise) and step.activation.is_series


def has_series(program):
    """Whether any step has coefficients."""
    return any(map(_is_series, program.steps))


def make_spans(lengths):
    """First coefficient and number of coefficients of each step, of all that are packed."""
    return np.stack([np.cumsum(lengths) - lengths, lengths], axis=1).astype(int)


def pack_orders(program, spans, dtype):
    """Orders of all coefficients, and whether their distances double, as `series.orders_of`."""
    orders = np.zeros((2, int(spans[:, 1].sum())), dtype)
    for step, (first, length) in zip(program.steps, spans, strict=True):
        if length:
            found = orders_of(step.activation, length)
            if np.any(np.flatnonzero(found[1]) % TERMS > DOUBLING):  # loops know no other places
                raise ValueError(
                    f"Distances of the orders of {step.activation!r} double elsewhere."
                )
            orders[:, first : first + length] = found
    return orders


def pack_heads(parts, place, dtype):
    """Records of some rows, or rates of them, without coefficients: (n_steps, WIDTH, n)."""
    heads = np.zeros((len(parts), WIDTH, place.stop - place.start), dtype)
    with np.errstate(over="ignore"):  # `rows.tiles.scan` has looked at what must be finite
        for target, record in zip(heads, parts, strict=True):
            for i, part in enumerate(record):
                target[i] = part[place]
    largest = np.finfo(dtype).max
    return np.clip(heads, -largest, largest, out=heads)  # 1 / a tiny standard deviation, float32


def pack_coefficients(parts, spans, out):
    """Copy the coefficients in records, or their rates, to an array (n_terms, n)."""
    for record, (first, length) in zip(parts, spans, strict=True):
        for target, part in zip(out[first : first + length], record[HEAD:], strict=False):
            target[:] = part
