"""What the pairs of rows need to know of their rows, prepared for the compiled engine."""

from functools import partial
from itertools import pairwise

import numpy as np

from ._special import safe_inverse
from .engines import _numpy, _packing
from .engines._tile import Side

BLOCK_COLUMNS = 4096
"""Columns of a block: what one thread computes at a time, for which it holds inner products."""

BLOCK_ENTRIES = 1_000_000
"""Largest number of entries of the directions that are held at a time."""

OFFSET = 0.25
"""Squared norm of the mean direction above which it is subtracted."""


def check_rows(X):
    """Rows in double precision and their norms, to the bit the same in every memory order."""
    X = np.ascontiguousarray(X, dtype=np.float64)
    if X.ndim != 2 or X.shape[1] == 0 or not np.isfinite(X).all():
        kind = f"shape {X.shape}" if X.ndim != 2 or X.shape[1] == 0 else "numbers not finite"
        raise ValueError(f"Rows must be an array (n, d) of finite numbers, d > 0; got {kind}.")
    return X, np.sqrt(np.einsum("ij,ij->i", X, X))


def scan(program, rows, gradient, names=("nngp", "ntk"), dtype=np.float64):
    """Carry single rows, from `check_rows`, through a program by the reference engine.

    Raises ValueError if a kernel of these names overflows in the precision of the pairs.
    """
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        variances = np.concatenate([norms * (norms / X.shape[1]) for X, norms in rows])
        try:
            scanned = _numpy.scan_rows(program, variances, gradient)
        except OverflowError:
            scanned = None
    if scanned is None or not _is_within(scanned, variances, names, np.finfo(dtype).max):
        other = "" if dtype == np.float64 else f", or take dtype='float64' (now {dtype})"
        raise ValueError(
            f"The kernel of this network overflows on rows whose mean square reaches "
            f"{variances.max():.3g}: scale the data, or lower weight_var or the depth{other}."
        )
    return scanned


def _is_within(scanned, variances, names, largest):
    """Whether all variances, with room for gaps of four times as much, and results are finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        within = [4.0 * variances]
        within += [4.0 * record[2] * record[2] for record in scanned.records if record]
        results = [("nngp", scanned.dvariance), ("ntk", scanned.ntk), ("ntk", scanned.dntk)]
        within += [part for name, part in results if name in names and part is not None]
        return all(bool((np.abs(part) <= largest).all()) for part in within)


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


class Pairs:
    """Rows and columns of a Gram matrix; they are the same if only one set of rows is given.

    ``left`` and ``right`` are what the compiled engine takes of both sides.
    """

    def __init__(self, program, rows, gradient, names, dtype):
        # of all rows: series get as many terms on both sides
        self.scan = scan(program, rows, gradient, names, dtype)
        self.spans = _packing.spans_of_series(program, self.scan)
        mean = _offset(rows)
        is_held = sum(X.size for X, _ in rows) <= BLOCK_ENTRIES
        self.block_columns = BLOCK_COLUMNS
        if not is_held and (mean is not None or dtype != np.float64):
            self.block_columns = min(BLOCK_COLUMNS, 1 + BLOCK_ENTRIES // rows[0][0].shape[1])
        self._sides = [_Side(*r, mean, dtype, is_held) for r in rows]
        ends = np.cumsum([0] + [len(X) for X, _ in rows])
        places = [slice(*pair) for pair in pairwise(ends)]
        packed = [self._pack(*pair, gradient) for pair in zip(self._sides, places, strict=True)]
        self.left, self.right = packed[0], packed[-1]

    def _pack(self, side, place, gradient):
        pack = partial(_packing.pack_rows, spans=self.spans, place=place, dtype=side.dtype)
        moves, coefficient_moves = np.empty((0, 0, 0, 0), side.dtype), np.empty((0, 0), side.dtype)
        if gradient:
            both = [
                pack([rates[p] if rates else () for rates in self.scan.rates]) for p in range(2)
            ]
            moves, coefficient_moves = np.stack([heads for heads, _ in both]), both[0][1]
        heads, coefficients = pack(self.scan.records)
        rows = (side.X, side.inverse, side.norms, *side.scales())
        return Side(*rows, heads, moves, coefficients, coefficient_moves)

    def inner_products(self, i0, i1, j0, j1):
        """Products of the factors of some rows with those of some columns."""
        return np.matmul(self._sides[0].factors(i0, i1), self._sides[-1].factors(j0, j1).T)


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
