"""Programs and rows with positions, with their records, as flat arrays for compiled loops.

Entry by entry, records are those of `rows.lines.LineRows`: for each instruction its arrays
(n_positions, n), the values first, then their rates, then the variances for pairs that have a
position outside the grid.
"""

import math
from typing import NamedTuple

import numpy as np

from ...formulas.line_traces import SERIES_HEAD, pair_numbers
from ...formulas.series import orders_of
from ..sources.lines import N_LANES
from .tiles import clipped


class LineSide(NamedTuple):
    """The rows of one side (left or right of the pairs), and their records, as flat arrays.

    On the left, ``X`` is (n_rows, positions * channels) and ``records`` (n_rows, n), both in C
    order, with ``n`` numbers of records for each row. On the right, both are transposed, ``X`` is
    (positions * channels, n) and ``records`` (n_records, n) with ``n`` rows, so that the same
    number of consecutive rows is contiguous. Records are ordered by instruction, then by entry of
    the record, then by position.
    """

    X: object
    records: object
    n: object


def pack_numbers(program, dtype):
    """Array (n_steps, width): `pair_numbers` of each step, then parameters of its activation."""
    rows = [[*step.take(pair_numbers(step.rule)), *step.parameters] for step in program.steps]
    numbers = np.zeros((len(rows), max(map(len, rows))), dtype)
    for target, row in zip(numbers, rows, strict=True):
        target[: len(row)] = row
    return numbers


def pack_constants(places, program, scan, dtype):
    """Flat array of the tables of all steps; ``places[k, 3]`` becomes where those of step k begin.

    A table has the covariances of an embedding, or pairs (order, whether the distance doubles) for
    each coefficient of a series.
    """
    tables = [np.zeros(1)]
    for k, step in enumerate(program.steps):
        places[k, 3] = sum(map(len, tables))
        tables.append(step.covariances.ravel())
        if step.rule == "series" and k < len(scan.records):
            n_terms = len(scan.records[k]) - SERIES_HEAD
            tables.append(np.transpose(orders_of(step.activation, n_terms)).ravel())
    return np.concatenate(tables).astype(dtype)


def _parts_of(scan, k):
    """Arrays (positions, n) of step ``k``, record, rates and `outside`; length of the record."""

    def split(record):
        return [row for part in record for row in (part if part.ndim == 3 else [part])]

    values = split(scan.records[k])
    rates = [part for rate in scan.rates[k] for part in split(rate)]
    return [*values, *rates, *scan.outside[k]], len(values)


def set_places(places, program, scan):
    """Fill ``places[k, :3]``: first number of the records of step k, positions, record's length.

    Only the steps that ``scan`` has passed have records yet.
    """
    begin = 0
    for k, row in enumerate(places[: len(scan.records)]):
        parts, width = _parts_of(scan, k)
        count = len(parts[0]) if parts else int(np.prod(program.steps[k].grid))
        row[:3] = begin, count, width
        begin += sum(map(len, parts))


def pack_side(scan, X, is_left, dtype):
    """`LineSide` of rows (n, positions, channels) and their records.

    On the right the first rows are repeated behind the last ones, since a line may begin at any row
    and takes ``N_LANES`` rows from there.
    """
    parts = [part for k in range(len(scan.records)) for part in _parts_of(scan, k)[0]]
    parts = parts or [np.zeros((1, len(X)))]
    total, n = sum(map(len, parts)), len(X)
    X = X.reshape(n, math.prod(X.shape[1:]))
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
