"""The argument of a compiled step: a tile of pairs of rows, its state, stack and scratch memory."""

from typing import NamedTuple

TILE_ROWS = 64
TILE_COLUMNS = 128


class TileSide(NamedTuple):
    """The n rows of one side of a Gram matrix: its rows (left) or its columns (right).

    ``X`` (n, d) are the rows in float64, ``inverse`` (n,) one over their norms, in float64, and
    ``norms`` (n,) their norms divided by ``sqrt(d)``. ``scales`` (n,) and ``squares`` (n,) are
    those of `sides._Side.scales`. ``heads`` (n_steps, WIDTH, n) are the records without
    coefficients of series, ``coefficients`` (n_terms, n_held) the latter, for the rows ``start ..
    start + n_held``. ``head_rates`` (2, n_steps, WIDTH, n) and ``coefficient_rates`` (n_terms,
    n_held) are their rates, of size zero without derivatives.
    """

    X: object
    inverse: object
    norms: object
    scales: object
    squares: object
    heads: object
    head_rates: object
    coefficients: object
    coefficient_rates: object
    start: object


class Results(NamedTuple):
    """Kernels (n_outputs, n, m) and derivatives (n_outputs, n, m, 2); size zero if not wanted."""

    nngp: object
    ntk: object
    dnngp: object
    dntk: object


class Tile(NamedTuple):
    """A tile: pairs of the rows from ``i0`` on with the columns from ``j0`` on, and their state.

    ``state`` (n_parts, TILE_ROWS, TILE_COLUMNS) holds in ``state[0]`` the gaps, in ``state[1]`` the
    NTKs and, with derivatives, in ``state[2:4]`` the rates of the gaps and in ``state[4:6]`` those
    of the NTKs; without, ``state[2:]`` holds further NTKs. ``len(stop)`` is the number of rows, and
    ``stop[i]`` the number of columns of row ``i`` that are computed, in a symmetric matrix those of
    the lower triangle. ``inner`` are the inner products of a block, in which the tile begins at row
    ``r0`` and column ``c0``. ``numbers`` is from `packing.tiles.pack_numbers`, ``spans`` from
    `make_spans` and ``orders`` from `pack_orders`; ``near`` is `sides.NEAR`. ``counters`` are the
    number of states on the ``stack`` and that of outputs so far. ``duals``, ``columns`` and
    ``work`` are scratch memory.
    """

    numbers: object
    spans: object
    orders: object
    left: TileSide
    right: TileSide
    near: object
    symmetric: object
    inner: object
    results: Results
    i0: object
    j0: object
    r0: object
    c0: object
    stop: object
    counters: object
    state: object
    stack: object
    duals: object
    columns: object
    work: object
