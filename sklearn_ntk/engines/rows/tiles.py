"""The pass over single rows without positions: norms, variances, records for pairs.

Records of series contain all Hermite coefficients of a row. They are computed for a slab of rows at
a time. If the coefficients of all rows take too much memory, those of a slab are computed again
whenever pairs with it are.
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
"""Rows of a slab."""

HELD = 30_000_000
"""Most bytes of coefficients of series in memory at a time."""


TINY_NORM = 1e-153
"""Norm below which squares underflow, and rows count as zeros."""


def check_rows(X, name="X"):
    """Rows (n, d) in float64 and C order, and their norms (n,); zeros for those that are tiny."""
    X = read_rows(X, name)
    return without_tiny(X if X.flags.c_contiguous else X.copy())


def without_tiny(X):
    """Rows (..., d) and their norms (...), where those below `TINY_NORM` are zeros."""
    norms = np.sqrt(np.einsum("...i,...i->...", X, X))
    is_tiny = (norms > 0.0) & (norms < TINY_NORM)
    if is_tiny.any():
        X, norms = np.where(is_tiny[..., None], 0.0, X), np.where(is_tiny, 0.0, norms)
    return X, norms


def scan(program, rows, gradient, names=("nngp", "ntk"), dtype=np.float64, n_threads=1, held=HELD):
    """Run a program on single rows: `TileRows` of all sides, one after the other, and a `Carrier`.

    ``rows`` are pairs (rows, norms) from `check_rows`. Records of series are without coefficients,
    which the `Carrier` has, at most ``held`` bytes of them at a time. Raises ValueError if a kernel
    of these names overflows in the precision of the pairs, ``dtype``.
    """
    variances, rates = first_states(program, rows)
    carrier = Carrier(program, variances, rates, gradient, dtype, held)
    scanned = carrier.carry(n_threads)
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = list(_checked(program, scanned, carrier.variances, names))
    if dtype != np.float64:
        numbers.append(packing.pack_numbers(program, np.float64))
    check_overflow(numbers, rows, dtype)
    return scanned, carrier


def first_states(program, rows):
    """Variances (n,) of the inputs, and their rates along the first direction, for each side."""
    with np.errstate(over="ignore", under="ignore"):
        variances = [norms * (norms / X.shape[1]) for X, norms in rows]
        rates = [np.zeros_like(part) for part in variances]
        if program.by_rows == "std":
            rates[0] = 2.0 * np.sqrt(variances[0])
        for k in range({"left": 1, "both": len(rates)}.get(program.by_rows, 0)):
            rates[k] = 2.0 * variances[k]
    return variances, rates


def _checked(program, scanned, variances, names):
    """Yield what must not overflow: all variances, and the kernels of these names with rates."""
    yield variances
    for step, record in zip(program.steps, scanned.records, strict=True):
        for entry, factor in checked_entries(step) if record else ():
            yield (factor * record[entry]) ** 2
    yield checked_results(scanned, names)


def checked_entries(step):
    """Yield pairs (entry, factor) of a step's record: the squares of their products are checked."""
    yield 2, 1.0
    if step.rule == "normalize":
        yield 0, 1.0  # pairs multiply two inverse standard deviations
    if step.rule == "pointwise" and step.activation.jumps:
        yield 5, 2.0  # the inverse variance: angles behind it need its digits


def checked_results(scanned, names):
    """Diagonals, and rates, of `TileRows` that must not overflow for kernels of these names."""
    results = (("nngp", scanned.dvariance), ("ntk", scanned.ntk), ("ntk", scanned.dntk))
    return [array for name, array in results if name in names]


def check_overflow(numbers, rows, dtype):
    """Raise `OutOfRange` if a number in nested lists exceeds a quarter of the largest of ``dtype``.

    Gaps of pairs are up to four times as large as variances.
    """
    if not _largest(numbers) <= 0.25 * np.finfo(dtype).max:
        other = "" if dtype == np.float64 else f", or take dtype='float64' (now {dtype})"
        raise OutOfRange(
            f"The kernel of this network overflows on rows whose largest entry is "
            f"{_largest([X for X, _ in rows]):.3g}: scale the data, or lower weight_var or the "
            f"depth{other}."
        )


def _largest(item):
    """Largest absolute value in nested lists or tuples of arrays or None; NaN if there is one."""
    if isinstance(item, (list, tuple)):
        return np.max([_largest(entry) for entry in item], initial=0.0)
    if item is None or not np.size(item):
        return 0.0
    return float(np.maximum(np.max(item), 0.0 - np.min(item)))


class Carrier:
    """Runs a program on the rows of all sides, and computes coefficients of series again if needed.

    ``rates`` are those of the variances along the first direction, zero but for programs
    ``by_rows``. After `carry`, ``spans`` (n_steps, 2) is first index and number of the coefficients
    of each step, and ``held`` (1 or 2, n_terms, n) are those of all rows, and their rates with
    ``gradient``, or None if they take too much memory.
    """

    def __init__(self, program, variances, rates, gradient, dtype, held=HELD):
        self.variances, self.rates = np.concatenate(variances), np.concatenate(rates)
        self.spans = self.held = None
        self._program, self._gradient, self._dtype = program, gradient, dtype
        self._sizes, self._n_bytes = list(map(len, variances)), held

    def carry(self, n_threads):
        """`TileRows` of all rows, with records without coefficients of series."""
        if not packing.has_series(self._program):
            self.spans = packing.make_spans([0] * len(self._program.steps))
            self.held = self._empty(len(self.variances))
            return self._carry(self.variances, self.rates)
        slab_rows, lengths = {}, {}

        def carry(slab):
            rows, first = self._carry_slab(*slab), slab[0]
            lengths[first] = packing.lengths_of_series(self._program, rows.records)
            slab_rows[first] = _without_series(rows, lengths[first])
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
        if not np.array_equal(spans, self.spans):  # the first slab had fewer terms than others
            self.spans, self.held = spans, None
        return _join([slab_rows[first] for first, _ in slabs])

    def _carry(self, variances, rates):
        """`TileRows` of rows of these variances and rates; overflow is checked afterwards."""
        with np.errstate(all="ignore"):
            return reference.scan_rows(self._program, variances, self._gradient, rates)

    def _carry_slab(self, start, stop):
        """`TileRows` of rows ``start .. stop``.

        They are computed together with the smallest and the largest variance of all rows, which
        need the most terms, so that all slabs have the same number of terms.
        """
        v, part = self.variances, slice(start, stop)
        variances = np.concatenate([v[part], [v.min(), v.max()]])
        rates = np.concatenate([self.rates[part], [0.0, 0.0]])
        return cut(self._carry(variances, rates), slice(stop - start))

    def _empty(self, n):
        """Zeros (1 or 2, n_terms, n) for the coefficients of n rows, and their rates."""
        return np.zeros((1 + self._gradient, int(self.spans[:, 1].sum()), n), self._dtype)

    def _pack(self, rows, out):
        """Copy the coefficients of `TileRows`, and their rates, to ``out``, as from `_empty`."""
        rates = [rates[0] if rates else () for rates in rows.rates]  # derivatives by log s^2
        for records, target in zip([rows.records, rates], out, strict=False):
            packing.pack_coefficients(records, self.spans, target)

    def count_held(self):
        """Number of rows whose coefficients may be held, at least a slab."""
        return max(SLAB, self._n_bytes // max(1, self._empty(1).nbytes))

    def coefficients(self, start, stop, n_threads=1):
        """Coefficients of the rows start .. stop, computed again; whole slabs of one side."""
        packed = self._empty(stop - start)

        def carry(first):
            last = min(first + SLAB, stop)
            self._pack(self._carry_slab(first, last), packed[:, :, first - start : last - start])

        run(carry, deque(range(start, stop, SLAB)), n_threads)
        return packed


def _slabs(sizes):
    """Yield ranges (start, stop) of slabs of rows; none has rows of two sides."""
    for start, stop in pairwise(np.cumsum([0, *sizes]).tolist()):
        for first in range(start, stop, SLAB):
            yield first, min(first + SLAB, stop)


def cut(rows, part):
    """`TileRows` of a subset of the rows, a slice."""
    diagonals = (rows.variance, rows.ntk, rows.dvariance, rows.dntk)
    return TileRows(
        [tuple(x[part] for x in record) for record in rows.records],
        [tuple(tuple(x[part] for x in rate) for rate in rates) for rates in rows.rates],
        *(x if x is None else x[:, part] for x in diagonals),
    )


def _without_series(rows, lengths):
    """`TileRows` whose records and rates have no coefficients of series."""
    ends = [packing.HEAD if length else None for length in lengths]
    records = [record[:end] for record, end in zip(rows.records, ends, strict=True)]
    rates = [
        tuple(rate[:end] for rate in rates) for rates, end in zip(rows.rates, ends, strict=True)
    ]
    return rows._replace(records=records, rates=rates)


def _join(slabs):
    """`TileRows` of all slabs, one after the other."""
    records, rates, *diagonals = zip(*slabs, strict=True)
    return TileRows(
        [_joined(record) for record in zip(*records, strict=True)],
        [tuple(map(_joined, zip(*step, strict=True))) for step in zip(*rates, strict=True)],
        *(None if x[0] is None else np.concatenate(x, axis=1) for x in diagonals),
    )


def _joined(records):
    """Record of the rows of all slabs, from that of each slab."""
    return tuple(map(np.concatenate, zip(*records, strict=True)))
