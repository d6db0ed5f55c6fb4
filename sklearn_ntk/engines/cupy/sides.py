"""Both sides of a Gram matrix in device memory."""

import numpy as np

from ..packing.sides import Sides
from ..rows import tiles as rows_of_tiles
from .devices import library

HELD = 2_000_000_000
"""Most bytes of coefficients of series in memory at a time."""


def scan(program, rows, gradient, names, dtype, held=HELD):
    """`rows.tiles.scan` of rows in device memory; it runs on the CPU, and so are its results."""
    rows = [(X, library().asnumpy(norms)) for X, norms in rows]
    return rows_of_tiles.scan(program, rows, gradient, names, dtype, held=held)


def uploaded(side):
    """A `TileSide` with all arrays in device memory."""
    asarray = library().asarray
    return type(side)(*(asarray(x) if isinstance(x, np.ndarray) else x for x in side))


class DeviceSides(Sides):
    """`Sides` in device memory, with all factors and, if they fit, all coefficients of series."""

    held_entries = float("inf")

    def _scan(self, program, rows, gradient, names, dtype, n_threads):
        scanned, carrier = scan(program, rows, gradient, names, dtype, HELD)
        if carrier.held is not None:
            carrier.held = library().asarray(carrier.held)
        return scanned, carrier

    def _pack(self, k, scanned):
        return uploaded(super()._pack(k, scanned))

    def side(self, k, start, stop):
        """As `Sides.side`."""
        return uploaded(super().side(k, start, stop))
