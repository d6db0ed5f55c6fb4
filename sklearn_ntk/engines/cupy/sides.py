"""Single rows on a GPU, and both sides of a Gram matrix in its memory."""

from typing import NamedTuple

import numpy as np

from ...formulas.gaps import WIDTH
from .._tasks import host_threads
from ..packing.sides import Sides
from ..packing.tiles import has_series, make_spans, pack_numbers
from ..rows import tiles as rows_of_tiles
from ..sources import cuda, cuda_rows
from .devices import library, with_room
from .launching import launch

HELD = 2_000_000_000
"""Most bytes of coefficients of series in memory at a time."""


class DeviceRows(NamedTuple):
    """`TileRows` in device memory, with the records as one array (n_steps, WIDTH, n).

    Rates of records are (2, n_steps, WIDTH, n), or of size zero; there are no series.
    """

    heads: object
    rates: object
    variance: object
    ntk: object
    dvariance: object
    dntk: object


class NoSeries(NamedTuple):
    """What `rows.tiles.Carrier` has for a program without series."""

    spans: np.ndarray
    held: object


def scan(program, rows, gradient, names, dtype, held=HELD):
    """`rows.tiles.scan` of rows in device memory.

    Rows of series, whose coefficients are made by SciPy, run on the CPU, and are arrays of NumPy.
    """
    if has_series(program):
        rows = [(X, library().asnumpy(norms)) for X, norms in rows]
        return rows_of_tiles.scan(program, rows, gradient, names, dtype, host_threads(), held)
    variances, rates = map(np.concatenate, rows_of_tiles.first_states(program, rows))
    scanned, largest = _run(program, variances, rates, gradient, dtype)
    numbers = [largest, rows_of_tiles.checked_results(scanned, names)]
    if dtype != np.float64:
        numbers.append(pack_numbers(program, np.float64))
    rows_of_tiles.check_overflow(numbers, rows, dtype)
    nothing = library().empty((1 + gradient, 0, len(variances)), dtype)
    return scanned, NoSeries(make_spans([0] * len(program.steps)), nothing)


def _run(program, variances, rates, gradient, dtype):
    """`DeviceRows` from variances (n,) and their rates, and what is checked (n,)."""
    asarray, empty = library().asarray, library().empty
    kinds = cuda.kinds_of(program, gradient, dtype == np.float32)
    n_steps, n, n_outputs = len(program.steps), len(variances), program.n_outputs
    numbers = pack_numbers(program, np.float64, cuda_rows.NUMBERS)
    factors = np.zeros((n_steps, WIDTH))
    for target, step in zip(factors, program.steps, strict=True):
        for entry, factor in rows_of_tiles.checked_entries(step):
            target[entry] = factor
    scanned = DeviceRows(
        empty((n_steps, WIDTH, n), dtype),
        empty((2, n_steps, WIDTH, n) if gradient else (0, 0, 0, 0), dtype),
        empty((n_outputs, n)),
        empty((n_outputs * kinds.n_ntks, n)),
        *(empty((n_outputs, n, 2)) if gradient else None for _ in range(2)),
    )
    largest = empty(n)
    values = scanned._asdict() | {
        "n_steps": n_steps,
        "kinds": asarray(kinds.places(program)),
        "numbers": asarray(numbers),
        "n_numbers": numbers.shape[1],
        "factors": asarray(factors),
        "n": n,
        "variances": variances,
        "variance_rates": rates,
        "most": np.finfo(dtype).max,
        "largest": largest,
        "n_outputs": n_outputs,
    }
    grid, block = (-(-n // cuda_rows.THREADS),), (cuda_rows.THREADS,)
    launch(cuda_rows, kinds, grid, block, values)
    return scanned, largest


def uploaded(side):
    """A `TileSide` with all arrays in device memory."""
    asarray = library().asarray
    return type(side)(*(asarray(x) if isinstance(x, np.ndarray) else x for x in side))


class DeviceSides(Sides):
    """`Sides` in device memory, with all factors and, if they fit, all coefficients of series."""

    held_entries = float("inf")
    _last = None, None
    """Range of the columns of the last block, and the side that has their coefficients."""

    def _scan(self, program, rows, gradient, names, dtype, n_threads):
        scanned, carrier = scan(program, rows, gradient, names, dtype, HELD)
        if isinstance(carrier.held, np.ndarray):
            carrier.held = library().asarray(carrier.held)
        return scanned, carrier

    def _coefficients(self, *place):
        return self._carrier.coefficients(*place, host_threads())

    def inner_products(self, *place):
        """As of `Sides`."""
        return with_room(super().inner_products, *place)

    def _pack(self, k, scanned):
        return uploaded(super()._pack(k, scanned))

    def _heads(self, scanned, place, dtype):
        if isinstance(scanned, DeviceRows):
            return scanned.heads[..., place], scanned.rates[..., place]
        return super()._heads(scanned, place, dtype)

    def side(self, k, start, stop):
        """As `Sides.side`."""
        return uploaded(super().side(k, start, stop))

    def right(self, left, start, stop):
        """As `Sides.right`, which is kept for the next block if that has the same columns."""
        place, side = self._last
        if place != (start, stop):
            side = super().right(left, start, stop)
            self._last = (None, None) if side is left else ((start, stop), side)
        return side
