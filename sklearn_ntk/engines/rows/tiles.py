"""Single rows: their norms, and what a program makes of them.

The records of series are long. They are made for a slab of rows at a time; where those of all rows
take too much memory, the coefficients of a slab are made anew whenever its pairs are at hand.
"""

from collections import deque
from itertools import pairwise

import numpy as np

from ..._runtime.check import read_rows
from ..._runtime.errors import OutOfRange
from ..._runtime.threads import run
from ..packing import tiles as packing
from ..reference import tiles as reference
from ..reference.tiles import TileRows

SLAB = 256
"""Rows that are carried through a series at a time."""

HELD = 30_000_000
"""Bytes of coefficients of series that are held at a time."""


def check_rows(X, name="X"):
    """Rows in double precision and their norms, to the bit the same in every memory order."""
    X = np.ascontiguousarray(read_rows(X, name))
    return X, np.sqrt(np.einsum("ij,ij->i", X, X))


def scan(program, rows, gradient, names=("nngp", "ntk"), dtype=np.float64, n_threads=1):
    """Carry single rows, from `check_rows`, through a program; returns `TileRows` and a `Carrier`.

    Records of series end before their coefficients, which the `Carrier` has. Raises ValueError if a
    kernel of these names overflows in the precision of the pairs.
    """
    with np.errstate(over="ignore", under="ignore"):
        variances = [norms * (norms / X.shape[1]) for X, norms in rows]
        rates = [np.zeros_like(part) for part in variances]
        if program.by_rows:
            rates[0] = 2.0 * np.sqrt(variances[0])
    carrier = Carrier(program, variances, rates, gradient, dtype)
    scanned = carrier.carry(n_threads)
    with np.errstate(over="ignore", invalid="ignore"):
        parts = list(_parts(program, scanned, carrier.variances, names))
    if dtype != np.float64:
        parts.append(packing.pack_numbers(program, np.float64))
    check_overflow(parts, rows, dtype)
    return scanned, carrier


def _parts(program, scanned, variances, names):
    """What must not overflow: all variances, and the kernels of these names with their rates."""
    yield variances
    for step, record in zip(program.steps, scanned.records, strict=True):
        if record:
            yield record[2] * record[2]
        if step.rule == "normalize":
            yield record[0] ** 2  # pairs multiply two inverses
    results = (("nngp", scanned.dvariance), ("ntk", scanned.ntk), ("ntk", scanned.dntk))
    yield [part for name, part in results if name in names]


def check_overflow(parts, rows, dtype):
    """Raise `OutOfRange` unless gaps, four times as large as nested parts, fit into a precision."""
    if not _largest(parts) <= 0.25 * np.finfo(dtype).max:
        other = "" if dtype == np.float64 else f", or take dtype='float64' (now {dtype})"
        raise OutOfRange(
            f"The kernel of this network overflows on rows whose largest entry is "
            f"{_largest([X for X, _ in rows]):.3g}: scale the data, or lower weight_var or the "
            f"depth{other}."
        )


def _largest(item):
    """Largest absolute value in nested lists or tuples of arrays; nan if there is one."""
    if isinstance(item, (list, tuple)):
        return np.max([_largest(part) for part in item], initial=0.0)
    if item is None:
        return 0.0
    return np.maximum(np.max(item, initial=0.0), 0.0 - np.min(item, initial=0.0))


class Carrier:
    """Carries rows of all sides, one after the other, through a program by the reference engine.

    Beside their variances stand the rates of these along the first direction. After `carry`,
    ``spans`` tells where each step has its own among the coefficients of series, and
    ``held`` are those of all rows, and their rates, if they take little memory.
    """

    def __init__(self, program, variances, rates, gradient, dtype):
        self.variances, self.rates = np.concatenate(variances), np.concatenate(rates)
        self.spans = self.held = None
        self._program, self._gradient, self._dtype = program, gradient, dtype
        self._sizes = list(map(len, variances))

    def carry(self, n_threads):
        """`TileRows` of all rows, whose records end before the coefficients of series."""
        if not packing.has_series(self._program):
            self.spans = packing.make_spans([0] * len(self._program.steps))
            self.held = self._empty(len(self.variances))
            return self._carry(self.variances, self.rates)
        found, lengths = {}, {}

        def carry(slab):
            rows, first = self._carry_slab(*slab), slab[0]
            lengths[first] = packing.lengths_of_series(self._program, rows.records)
            found[first] = _without_series(rows, lengths[first])
            if first == 0:
                self.spans = packing.make_spans(lengths[0])
                if len(self.variances) <= self.count_held():
                    self.held = self._empty(len(self.variances))
            if self.held is not None:
                self._pack(rows, self.held[:, :, slice(*slab)])

        slabs = list(_slabs(self._sizes))
        carry(slabs[0])
        run(carry, deque(slabs[1:]), n_threads)
        spans = packing.make_spans(np.max(list(lengths.values()), axis=0))
        if not np.array_equal(spans, self.spans):
            self.spans, self.held = spans, None
        return _join([found[first] for first, _ in slabs])

    def _carry(self, variances, rates):
        with np.errstate(all="ignore"):
            return reference.scan_rows(self._program, variances, self._gradient, rates)

    def _carry_slab(self, start, stop):
        """`TileRows` of a slab, carried with the extreme ones, which need the most terms."""
        v, part = self.variances, slice(start, stop)
        variances = np.concatenate([v[part], [v.min(), v.max()]])
        rates = np.concatenate([self.rates[part], [0.0, 0.0]])
        return cut(self._carry(variances, rates), slice(stop - start))

    def _empty(self, n):
        """Zeros for the coefficients of so many rows."""
        return np.zeros((1 + self._gradient, int(self.spans[:, 1].sum()), n), self._dtype)

    def _pack(self, rows, out):
        parts = [rows.records, [rates[0] if rates else () for rates in rows.rates]]
        for part, target in zip(parts, out, strict=False):
            packing.pack_coefficients(part, self.spans, target)

    def count_held(self):
        """Number of rows whose coefficients are few enough to be held."""
        return max(SLAB, HELD // max(1, self._empty(1).nbytes))

    def coefficients(self, start, stop):
        """Coefficients of rows and their rates, anew; the rows are whole slabs of one side."""
        packed = self._empty(stop - start)
        for first in range(start, stop, SLAB):
            last = min(first + SLAB, stop)
            self._pack(self._carry_slab(first, last), packed[:, :, first - start : last - start])
        return packed


def _slabs(sizes):
    """Where slabs of rows begin and end; none has rows of two sides."""
    for start, stop in pairwise(np.cumsum([0, *sizes]).tolist()):
        for first in range(start, stop, SLAB):
            yield first, min(first + SLAB, stop)


def cut(rows, part):
    """What is known of some rows."""
    records = [tuple(x[part] for x in record) for record in rows.records]
    rates = [tuple(tuple(x[part] for x in side) for side in sides) for sides in rows.rates]
    return TileRows(records, rates, *(x if x is None else x[:, part] for x in rows[2:]))


def _without_series(rows, lengths):
    """Rows whose records end before the coefficients of series."""
    ends = [packing.HEAD if length else None for length in lengths]
    records = [record[:end] for record, end in zip(rows.records, ends, strict=True)]
    rates = [
        tuple(side[:end] for side in sides) for sides, end in zip(rows.rates, ends, strict=True)
    ]
    return rows._replace(records=records, rates=rates)


def _join(parts):
    """Rows of all parts, one after the other."""
    records, rates, *results = zip(*parts, strict=True)
    return TileRows(
        [_joined(record) for record in zip(*records, strict=True)],
        [tuple(map(_joined, zip(*sides, strict=True))) for sides in zip(*rates, strict=True)],
        *(None if x[0] is None else np.concatenate(x, axis=1) for x in results),
    )


def _joined(records):
    return tuple(map(np.concatenate, zip(*records, strict=True)))
