"""Programs and records as arrays, as compiled engines take them."""

from contextlib import contextmanager

import numpy as np

from ...formulas.gaps import NUMBERS, WIDTH
from ...formulas.series import DOUBLING, N_HEAD, orders_of

TERMS = 6
"""The terms of a series after the first come in blocks of so many; zeros fill the last."""

HEAD = 3 + N_HEAD
"""Length of the record of a series before its coefficients."""


def pack_numbers(program, dtype):
    """What each step knows: `gaps.NUMBERS`, then the parameters of its activation.

    The last ones tell for each further NTK whether the step is trained.
    """
    n_ntks = program.n_ntks or 1
    width = len(NUMBERS) + max(len(step.parameters) for step in program.steps)
    numbers = np.zeros((len(program.steps), width + n_ntks - 1), dtype)
    for target, step in zip(numbers, program.steps, strict=True):
        values = [np.ravel(number)[0] for number in step.take(NUMBERS)]
        target[: len(values) + len(step.parameters)] = *values, *step.parameters
        target[width:] = np.broadcast_to(step.trained, n_ntks)[1:]
    return numbers


def place_of(field, cls):
    """Column of a parameter of an activation class in `pack_numbers`."""
    return len(NUMBERS) + cls._fields.index(field)


def lengths_of_series(program, records):
    """Number of coefficients of each step, with those that fill the last block."""
    return [
        1 + -(-(len(record) - HEAD - 1) // TERMS) * TERMS if step.rule == "series" else 0
        for step, record in zip(program.steps, records, strict=True)
    ]


def has_series(program):
    """Whether any step has coefficients."""
    return any(step.rule == "series" for step in program.steps)


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
    with clipped(heads):
        for target, record in zip(heads, parts, strict=True):
            for i, part in enumerate(record):
                target[i] = part[place]
    return heads


@contextmanager
def clipped(records):
    """Records that are filled here are cut off where they overflow their precision.

    The scan of rows has looked at what must be finite; the inverse of a tiny standard deviation
    need not.
    """
    with np.errstate(over="ignore"):
        yield
    largest = np.finfo(records.dtype).max
    np.clip(records, -largest, largest, out=records)


def pack_coefficients(parts, spans, out):
    """Copy the coefficients in records, or their rates, to an array (n_terms, n)."""
    for record, (first, length) in zip(parts, spans, strict=True):
        for target, part in zip(out[first : first + length], record[HEAD:], strict=False):
            target[:] = part
