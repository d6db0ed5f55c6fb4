"""Schedules, programs and single rows on positions as arrays, as compiled engines take them."""

from typing import NamedTuple

import numpy as np

from ...formulas.line_traces import SERIES_HEAD, pair_numbers
from ...formulas.series import orders_of
from ..sources.lines import N_LANES
from .tiles import clipped


class LineSide(NamedTuple):
    """Rows of one side: the entries of their positions, and the records of all steps.

    On the left a row follows the other, and has ``n`` records. On the right each entry, and each
    record, of all ``n`` rows stands side by side. The order of records is that of steps, then
    parts, then positions.
    """

    X: object
    records: object
    n: object


def pack_numbers(program, dtype):
    """What each step knows besides records: its numbers, then parameters of its activation."""
    rows = [[*step.take(pair_numbers(step.rule)), *step.parameters] for step in program.steps]
    numbers = np.zeros((len(rows), max(map(len, rows))), dtype)
    for target, row in zip(numbers, rows, strict=True):
        target[: len(row)] = row
    return numbers


def pack_constants(places, program, scan, dtype):
    """Covariances of embeddings and orders of series, and write where those of each step begin."""
    tables = [np.zeros(1)]
    for k, step in enumerate(program.steps):
        places[k, 3] = sum(map(len, tables))
        tables.append(step.covariances.ravel())
        if step.rule == "series" and k < len(scan.records):
            n_terms = len(scan.records[k]) - SERIES_HEAD
            tables.append(np.transpose(orders_of(step.activation, n_terms)).ravel())
    return np.concatenate(tables).astype(dtype)


def _parts_of(scan, k):
    """Parts (positions, n) of the records of a step, and how many of them are not rates."""

    def split(record):
        return [row for part in record for row in (part if part.ndim == 3 else [part])]

    values = split(scan.records[k])
    moves = [part for rate in scan.rates[k] for part in split(rate)]
    return [*values, *moves, *scan.outside[k]], len(values)


def set_places(places, program, scan):
    """Write where the records of each step are, as far as known: begin, positions, length."""
    begin = 0
    for k, row in enumerate(places[: len(scan.records)]):
        parts, width = _parts_of(scan, k)
        count = len(parts[0]) if parts else int(np.prod(program.steps[k].grid))
        row[:3] = begin, count, width
        begin += sum(map(len, parts))


def pack_side(scan, X, is_left, dtype):
    """Rows (n, positions, channels) and their records.

    On the right the first rows follow the last ones, as a line may begin at any row.
    """
    parts = [part for k in range(len(scan.records)) for part in _parts_of(scan, k)[0]]
    parts = parts or [np.zeros((1, len(X)))]
    total, n = sum(map(len, parts)), len(X)
    X = X.reshape(n, -1)
    if is_left:
        records = np.empty((n, total), dtype)
        with clipped(records):
            np.concatenate([part.T for part in parts], axis=1, out=records, casting="same_kind")
        return LineSide(np.ascontiguousarray(X, dtype).ravel(), records.ravel(), total)
    n_filled = (-(-n // N_LANES[dtype.name]) + 1) * N_LANES[dtype.name]
    records, entries = np.empty((total, n_filled), dtype), np.empty((X.shape[1], n_filled), dtype)
    with clipped(records[:, :n]):
        np.concatenate(parts, axis=0, out=records[:, :n], casting="same_kind")
    entries[:, :n] = X.T
    for filled in (records, entries):
        filled[:, n:] = filled[:, np.arange(n, n_filled) % n]
    return LineSide(entries.ravel(), records.ravel(), n_filled)
