"""Rows and columns of a Gram matrix of rows without positions, as compiled engines take them."""

from functools import partial

import numpy as np

from ...formulas.special import safe_inverse
from .._work import diagonals_of
from ..rows.tiles import SLAB, scan
from . import tiles as packing
from .tile import TileSide

BLOCK_COLUMNS = 4096
"""Columns of a block: what one thread computes at a time, for which it holds inner products."""

BLOCK_ENTRIES = 1_000_000
"""Largest number of entries of the directions that are held at a time."""

NEAR = {"float64": 1e-5, "float32": 1e-2}
"""Squared distance of directions, or of opposite ones, up to which differences are summed."""

OFFSET = 0.25
"""Squared norm of the mean direction above which it is subtracted."""


class _Side:
    """Rows of one side and what their inner products are made of.

    In double precision that is the rows themselves, unless their directions have a common offset:
    then, and in single precision, it is the directions without their mean. Distances do not change
    by that and keep more digits.
    """

    def __init__(self, X, norms, mean, dtype, is_held):
        self.X, self.dtype = _writeable(X), dtype
        self.inverse = safe_inverse(norms)
        self.norms = (norms / np.sqrt(X.shape[1])).astype(dtype)
        self._is_raw = mean is None and dtype == np.float64
        self._mean = 0.0 if mean is None else mean
        self._held = self._directions(0, len(X)) if is_held and not self._is_raw else None

    def _directions(self, start, stop):
        directions = self.X[start:stop] * self.inverse[start:stop, None] - self._mean
        return directions.astype(self.dtype, copy=False)

    def factors(self, start, stop):
        """Rows of the matrix product."""
        if self._is_raw:
            return self.X[start:stop]
        if self._held is not None:
            return self._held[start:stop]
        return self._directions(start, stop)

    def scales(self):
        """What turns products of factors into those of directions, and the squares of these."""
        ones = np.ones(len(self.X), self.dtype)
        if self._is_raw:
            return self.inverse, ones
        step = max(1, BLOCK_ENTRIES // self.X.shape[1])
        parts = [self.factors(i, i + step) for i in range(0, len(self.X), step)]
        squares = [np.einsum("ij,ij->i", part, part, dtype=np.float64) for part in parts]
        return ones, np.concatenate(squares).astype(self.dtype)


class Sides:
    """Rows and columns of a Gram matrix; they are the same if only one set of rows is given.

    Where the coefficients of series are not all held, those of a part of the rows are, and those of
    some columns while they are at hand.
    """

    def __init__(self, program, rows, gradient, names, dtype, n_threads=1):
        # of all rows: series get as many terms on both sides
        scanned, self._carrier = scan(program, rows, gradient, names, dtype, n_threads)
        self.diagonals, self.spans = diagonals_of(scanned), self._carrier.spans
        self.is_held = self._carrier.held is not None
        mean = _offset(rows)
        is_small = sum(X.size for X, _ in rows) <= BLOCK_ENTRIES
        self.block_columns = BLOCK_COLUMNS
        if not is_small and (mean is not None or dtype != np.float64):
            self.block_columns = min(BLOCK_COLUMNS, 1 + BLOCK_ENTRIES // rows[0][0].shape[1])
        self._sides = [_Side(*r, mean, dtype, is_small) for r in rows]
        self._ends = np.cumsum([0] + [len(X) for X, _ in rows]).tolist()
        self._packed = [self._pack(k, scanned) for k in range(len(rows))]

    def _pack(self, k, scanned):
        """A side, without coefficients unless they are held."""
        side, place = self._sides[k], slice(*self._ends[k : k + 2])
        pack = partial(packing.pack_heads, place=place, dtype=side.dtype)
        moves = np.empty((0, 0, 0, 0), side.dtype)
        if scanned.dntk is not None:
            moves = np.stack([pack([r[p] if r else () for r in scanned.rates]) for p in range(2)])
        rows = (side.X, side.inverse, side.norms, *side.scales())
        packed = TileSide(*rows, pack(scanned.records), moves, None, None, 0)
        return _with_series(packed, self._carrier.held, -place.start) if self.is_held else packed

    def parts(self):
        """Where parts of the rows begin and end whose coefficients are held at a time."""
        n = self._ends[1]
        n_parts = 1 if self.is_held else -(-n // self._carrier.count_held())
        size = max(1, SLAB * -(-n // (SLAB * n_parts)))
        return [(start, min(start + size, n)) for start in range(0, n, size)]

    def side(self, k, start, stop):
        """Rows of the left side, 0, or the right one, -1, with coefficients of some of them."""
        if self.is_held:
            return self._packed[k]
        begin = self._ends[k if k == 0 else len(self._packed) - 1]
        return _with_series(
            self._packed[k], self._carrier.coefficients(begin + start, begin + stop), start
        )

    def right(self, left, start, stop):
        """Columns, with the coefficients of those that are at hand."""
        if len(self._packed) == 1 and start >= left.start:
            return left
        return self.side(-1, start, stop)

    def inner_products(self, i0, i1, j0, j1):
        """Products of the factors of some rows with those of some columns."""
        return np.matmul(self._sides[0].factors(i0, i1), self._sides[-1].factors(j0, j1).T)


def _with_series(side, both, start):
    """A side with coefficients, and their rates if there are any."""
    rates = both[1] if len(both) == 2 else np.empty((0, 0), both.dtype)
    return side._replace(coefficients=both[0], coefficient_rates=rates, start=start)


class _Unlocked:
    """Lends the memory of an array as if it could be written."""

    def __init__(self, X):
        self._X = X
        self.__array_interface__ = X.__array_interface__ | {"data": (X.ctypes.data, False)}


def _writeable(X):
    """A view that compiled code, which does not write there, takes without a type of its own."""
    return X if X.flags.writeable else np.asarray(_Unlocked(X))


def _offset(rows):
    """Mean direction of all rows, or None if it is small."""
    total = sum(safe_inverse(norms) @ X for X, norms in rows)
    mean = total / sum(len(X) for X, _ in rows)
    return mean if mean @ mean > OFFSET else None
