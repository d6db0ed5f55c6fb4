"""What a compiled step sees: one tile of pairs, and the memory of the machine that carries it."""

from typing import NamedTuple

TILE_ROWS = 64
TILE_COLUMNS = 128


class TileSide(NamedTuple):
    """Rows, or columns, of a Gram matrix.

    ``X`` are the rows in double precision and ``inverse`` their inverse norms, ``norms`` their
    norms over the root of their length. ``scales`` turn products of factors into those of
    directions, and ``squares`` are the squares of these. ``heads`` (n_steps, WIDTH, n) are the
    records, ``coefficients`` (n_terms, n_held) those of series, for rows from ``start`` on, and
    ``head_rates`` and ``coefficient_rates`` their rates, without entries if no derivatives are
    wanted.
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
    """Kernels (n_outputs, n, m) and derivatives (n_outputs, n, m, 2); empty if not wanted."""

    nngp: object
    ntk: object
    dnngp: object
    dntk: object


class Tile(NamedTuple):
    """Rows ``i0 .. i0 + r`` paired with columns ``j0 .. j0 + c``, on their way through a program.

    ``state[0]`` holds the gaps, ``state[1]`` the NTKs and, with derivatives, ``state[2:4]`` the
    rates of the gaps and ``state[4:6]`` those of the NTKs; without, ``state[2:]`` further NTKs.
    ``stop[i]`` is the number of columns of row ``i`` that are wanted: of a symmetric matrix, the
    lower triangle. ``inner`` holds the inner products of a block, of which the tile begins at row
    ``r0`` and column ``c0``. ``numbers[k]`` is what step ``k`` knows, ``spans[k]`` where its
    coefficients are, and ``orders`` what `series.orders_of` tells of each. ``counters`` count the
    states on the ``stack`` and the outputs so far. ``duals``, ``columns`` and ``work`` are scratch.
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
