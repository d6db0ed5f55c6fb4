"""Programs and records of rows without positions as arrays for compiled loops."""

from contextlib import contextmanager

import numpy as np

from ...formulas.gaps import NUMBERS, WIDTH
from ...formulas.series import DOUBLING, N_HEAD, orders_of

TERMS = 6
"""Loops add so many terms of a series at a time, after the first one; zeros fill the last block."""

HEAD = 3 + N_HEAD
"""Entries of the record of a series before its coefficients."""


def pack_numbers(program, dtype, names=NUMBERS):
    """Array (n_steps, width): numbers of each step by name, then parameters of its activation.

    The last columns are 1.0 where the step is trained, for each NTK but the first.
    """
    n_ntks = program.n_ntks or 1
    width = len(names) + max(len(step.parameters) for step in program.steps)
    numbers = np.zeros((len(program.steps), width + n_ntks - 1), dtype)
    for target, step in zip(numbers, program.steps, strict=True):
        values = [np.ravel(number)[0] for number in step.take(names)]
        target[: len(values) + len(step.parameters)] = *values, *step.parameters
        target[width:] = np.broadcast_to(step.trained, n_ntks)[1:]
    return numbers


def place_of(field, cls, names=NUMBERS):
    """Column of a parameter of an activation class in `pack_numbers`."""
    return len(names) + cls._fields.index(field)


def lengths_of_series(program, records):
    """Number of coefficients of each step, padded to whole blocks; zero if it is no series."""
    return [
        1 + -(-(len(record) - HEAD - 1) // TERMS) * TERMS if step.rule == "series" else 0
        for step, record in zip(program.steps, records, strict=True)
    ]


def has_series(program):
    """Whether any step is a series."""
    return any(step.rule == "series" for step in program.steps)


def make_spans(lengths):
    """Array (n_steps, 2): first row and number of rows of each step among all coefficients."""
    return np.stack([np.cumsum(lengths) - lengths, lengths], axis=1).astype(int)


def pack_orders(program, spans, dtype):
    """Array (2, n_terms): both results of `series.orders_of`, for the coefficients of all steps."""
    orders = np.zeros((2, int(spans[:, 1].sum())), dtype)
    for step, (first, length) in zip(program.steps, spans, strict=True):
        if length:
            step_orders = orders_of(step.activation, length)
            if np.any(np.flatnonzero(step_orders[1]) % TERMS > DOUBLING):  # loops skip the others
                raise ValueError(
                    f"The distance of the orders of {step.activation!r} doubles behind coefficient "
                    f"{np.flatnonzero(step_orders[1])[0]}, among others: let it double only behind "
                    f"those with the numbers 1 or 2 modulo {TERMS}."
                )
            orders[:, first : first + length] = step_orders
    return orders


def pack_heads(records, place, dtype):
    """Array (n_steps, WIDTH, n) of records, or of their rates, of the rows in the slice ``place``.

    Records of series are without their coefficients.
    """
    heads = np.zeros((len(records), WIDTH, place.stop - place.start), dtype)
    with clipped(heads):
        for target, record in zip(heads, records, strict=True):
            for i, entry in enumerate(record):
                target[i] = entry[place]
    return heads


@contextmanager
def clipped(records):
    """Context in which ``records`` are filled; entries that overflow become the largest numbers.

    The scan of rows checks all that must not overflow; inverses of tiny standard deviations may.
    """
    with np.errstate(over="ignore"):
        yield
    largest = np.finfo(records.dtype).max
    np.clip(records, -largest, largest, out=records)


def pack_coefficients(records, spans, out):
    """Copy the coefficients in records, or their rates, to an array ``out`` (n_terms, n)."""
    for record, (first, length) in zip(records, spans, strict=True):
        for target, entry in zip(out[first : first + length], record[HEAD:], strict=False):
            target[:] = entry
