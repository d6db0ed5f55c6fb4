"""The reference engine: programs on NumPy arrays. Slow and readable; other engines must agree."""

from numpy import empty

__all__ = ["count_threads", "diagonals", "empty", "scan_blocks", "set_threads", "work"]


def work(program, rows, names, gradient, dtype):
    """`Work` for kernels of these names between rows from `rows.tiles.check_rows`."""
    from .works import LineWork, TileWork  # here, as these import modules of this package

    kind = TileWork if program.shape is None else LineWork
    return kind(program, rows, names, gradient, dtype)


def count_threads():
    """One thread."""
    return 1


def set_threads(n):
    """Nothing, as there is one thread."""


def scan_blocks(program, X, gradient):
    """Yield `LineRows` of blocks of rows (n, positions, channels)."""
    from ..rows import blocks

    return blocks.scan_blocks(program, X, gradient)


def diagonals(program, rows, names, gradient, dtype):
    """Diagonals as `Work` has them."""
    return work(program, rows, names, gradient, dtype).diagonals
