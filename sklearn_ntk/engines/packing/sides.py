"""Both sides of a Gram matrix of rows without positions: inner products, records, coefficients."""

from functools import partial

import numpy as np

from ..._runtime.device import is_on_device
from ...formulas.special import safe_inverse
from .._work import diagonals_of
from ..rows.tiles import SLAB, scan
from . import tiles as packing
from .tile import TileSide

BLOCK_COLUMNS = 4096
"""Most columns of a block, for which a thread holds inner products."""

BLOCK_ENTRIES = 1_000_000
"""Largest number of entries of directions in memory at a time; more are computed by block."""

NEAR = {"float64": 1e-5, "float32": 1e-2}
"""Squared distance of directions ``u``, ``v`` (unit vectors of rows), or of ``u``, ``-v``, up to
which it is summed over differences of entries, since inner products would lose its digits."""

OFFSET = 0.25
"""Squared norm of the mean direction above which it is subtracted from all directions."""


class _Side:
    """Rows of one side and the factors of their inner products.

    In double precision, factors are the rows themselves, unless their directions have a large mean:
    then, and in single precision, factors are the directions minus their mean. That leaves the
    distances of directions unchanged, with more digits.
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
        """Factors (stop - start, d) of the rows ``start <= i < stop``."""
        if self._is_raw:
            return self.X[start:stop]
        if self._held is not None:
            return self._held[start:stop]
        return self._directions(start, stop)

    def scales(self):
        """Scales (n,) by which factors are multiplied, and squared norms (n,) of scaled factors."""
        ones = np.ones_like(self.norms)
        if self._is_raw:
            return self.inverse, ones
        step = max(1, BLOCK_ENTRIES // self.X.shape[1])
        slabs = [self.factors(i, i + step) for i in range(0, len(self.X), step)]
        squares = [np.einsum("ij,ij->i", slab, slab, dtype=np.float64) for slab in slabs]
        return ones, np.concatenate(squares).astype(self.dtype)


class Sides:
    """The left side (rows of the Gram matrix) and the right side (columns); one if symmetric.

    If the coefficients of series take too much memory, only those of a part of the rows are held,
    and those of the columns of a block are computed for it.
    """

    held_entries = BLOCK_ENTRIES
    """Largest number of entries of directions that are held."""

    def __init__(self, program, rows, gradient, names, dtype, n_threads=1):
        # one scan of both sides, so that series have as many terms on both
        scanned, self._carrier = self._scan(program, rows, gradient, names, dtype, n_threads)
        self.diagonals, self.spans = diagonals_of(scanned), self._carrier.spans
        self.is_held = self._carrier.held is not None
        mean = _offset(rows)
        is_small = sum(X.size for X, _ in rows) <= self.held_entries
        self.block_columns = BLOCK_COLUMNS
        if not is_small and (mean is not None or dtype != np.float64):
            self.block_columns = min(BLOCK_COLUMNS, 1 + BLOCK_ENTRIES // rows[0][0].shape[1])
        self._sides = [_Side(*r, mean, dtype, is_small) for r in rows]
        self._starts = np.cumsum([0] + [len(X) for X, _ in rows]).tolist()  # of sides in the scan
        self._packed = [self._pack(k, scanned) for k in range(len(rows))]

    def _scan(self, *arguments):
        """`TileRows` of both sides, and their `Carrier`."""
        return scan(*arguments)

    def _pack(self, k, scanned):
        """`TileSide` of side ``k``, without coefficients unless those of all rows are held."""
        side, place = self._sides[k], slice(*self._starts[k : k + 2])
        rows = (side.X, side.inverse, side.norms, *side.scales())
        packed = TileSide(*rows, *self._heads(scanned, place, side.dtype), None, None, 0)
        return _with_series(packed, self._carrier.held, -place.start) if self.is_held else packed

    def _heads(self, scanned, place, dtype):
        """Records (n_steps, WIDTH, n) of the rows in a slice, without coefficients; their rates."""
        pack = partial(packing.pack_heads, place=place, dtype=dtype)
        rates = np.empty((0, 0, 0, 0), dtype)
        if scanned.dntk is not None:
            rates = np.stack([pack([r[p] if r else () for r in scanned.rates]) for p in range(2)])
        return pack(scanned.records), rates

    def parts(self):
        """Ranges (start, stop) of rows of the left side whose coefficients are held at a time."""
        n = self._starts[1]
        n_parts = 1 if self.is_held else -(-n // self._carrier.count_held())
        size = max(1, SLAB * -(-n // (SLAB * n_parts)))
        return [(start, min(start + size, n)) for start in range(0, n, size)]

    def side(self, k, start, stop):
        """`TileSide` of the left side, 0, or right side, -1; coefficients of rows start .. stop."""
        if self.is_held:
            return self._packed[k]
        begin = self._starts[k if k == 0 else len(self._packed) - 1]
        return _with_series(self._packed[k], self._coefficients(begin + start, begin + stop), start)

    def _coefficients(self, start, stop):
        """Coefficients of rows start .. stop, which one of several threads asks for."""
        return self._carrier.coefficients(start, stop)

    def right(self, left, start, stop):
        """`TileSide` of the right side with coefficients of columns start .. stop."""
        if len(self._packed) == 1 and start >= left.start:
            return left
        return self.side(-1, start, stop)

    def inner_products(self, i0, i1, j0, j1):
        """Inner products (i1 - i0, j1 - j0) of the factors of rows i and columns j."""
        return np.matmul(self._sides[0].factors(i0, i1), self._sides[-1].factors(j0, j1).T)


def _with_series(side, packed, start):
    """A `TileSide` with coefficients ``packed[0]`` and, if there are any, rates ``packed[1]``."""
    rates = packed[1] if len(packed) == 2 else np.empty((0, 0), packed.dtype)
    return side._replace(coefficients=packed[0], coefficient_rates=rates, start=start)


class _Unlocked:
    """Exposes the memory of a read-only array as writeable."""

    def __init__(self, X):
        self._X = X
        self.__array_interface__ = X.__array_interface__ | {"data": (X.ctypes.data, False)}


def _writeable(X):
    """View of an array that is writeable, though nothing writes to it.

    For read-only arrays, which have a type of their own in numba, loops would be compiled again.
    """
    return X if is_on_device(X) or X.flags.writeable else np.asarray(_Unlocked(X))


def _offset(rows):
    """Mean direction (d,) of the rows of both sides, or None if its norm is small (`OFFSET`)."""
    total = sum(safe_inverse(norms) @ X for X, norms in rows)
    mean = total / sum(len(X) for X, _ in rows)
    return mean if mean @ mean > OFFSET else None
