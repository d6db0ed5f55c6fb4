"""The compiled engine: an interpreter that runs programs on tiles and lines, which stay in cache.

The only package that imports numba, which it does at once, while loops are compiled when they are
needed. `tiles` and `steps` run programs on pairs of rows, `lines` on pairs of positions;
`tile_work` and `line_work` are their `Work`. `compiling` makes loops of sources, `streams` stores
results, and `_private` has all that depends on numba's internals.
"""

import numba

from ..._runtime.memory import aligned_empty as empty
from .._work import diagonals_of
from ..rows import blocks
from ..rows.tiles import scan
from .line_scan import scan_blocks

__all__ = ["count_threads", "diagonals", "empty", "scan_blocks", "set_threads", "work"]


def work(program, rows, names, gradient, dtype):
    """`Work` for kernels of these names between rows from `rows.tiles.check_rows`."""
    if program.shape is None:
        from .tile_work import TileWork as Work
    else:
        from .line_work import LineWork as Work
    return Work(program, rows, names, gradient, dtype)


def set_threads(n):
    """Let Gram matrices of this thread start ``n`` threads, of which there must be so many."""
    numba.set_num_threads(n)


def count_threads():
    """The number of threads that numba has been told to start, by default one for each core."""
    from .tiles import get_num_threads

    return get_num_threads()


def diagonals(program, rows, names, gradient, dtype):
    """Diagonals as `Work` has them."""
    if program.shape is None:
        return diagonals_of(scan(program, rows, gradient, names, dtype)[0])
    return diagonals_of(blocks.scan(program, rows, gradient, dtype, scan_blocks))
