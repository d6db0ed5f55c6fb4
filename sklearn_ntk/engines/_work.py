"""The interface of engines to `gram`, and the only place that knows which engines exist.

An engine is a package here with five functions: ``work(program, rows, names, gradient, dtype)``
returns a `Work`, ``diagonals(program, rows, names, gradient, dtype)`` the diagonals alone,
``scan_blocks(program, X, gradient)`` the `LineRows` of blocks of rows with positions,
``count_threads()`` the number of threads that is worth starting, and ``empty(shape, dtype)`` an
uninitialised array for results. ``rows`` is a list of pairs (rows (n,
d), norms (n,)), one for a symmetric matrix, else two; ``names`` are the kernels wanted, "nngp" or
"ntk"; ``gradient`` asks for derivatives.
"""

from importlib import import_module
from typing import NamedTuple, Protocol

ENGINES = {"cpu": "numba"}
"""Names of the engines' packages, by device."""


def engine_for(X, device=None):
    """Engine for rows ``X`` on a device; None is the device in whose memory they are."""
    return import_module(f"{__package__}.{ENGINES[device or 'cpu']}")


class Part(NamedTuple):
    """Blocks of a Gram matrix that share memory, such as coefficients of series, while they run.

    ``prepare()`` takes the memory and returns a function ``compute(block, results)``, which several
    threads may call at once. ``blocks`` is a deque, the cheapest block last. A block ``(i0, i1, j0,
    j1)`` is the rows ``i0 <= i < i1`` and the columns ``j0 <= j < j1``.
    """

    prepare: object
    blocks: object


class Work(Protocol):
    """The computation of a Gram matrix, block by block.

    ``diagonals`` are four arrays or None: NNGP and NTK (n_outputs, n) of the rows with themselves,
    and their derivatives (n_outputs, n, 2). They come from single rows and replace the diagonals of
    symmetric results. ``n_threads`` is the number of threads that is worth starting.
    """

    diagonals: tuple
    n_threads: int

    def parts(self):
        """Yield the `Part` objects in the order in which they are computed."""


def n_pairs(block):
    """Number of pairs (i, j) in a block."""
    i0, i1, j0, j1 = block
    return (i1 - i0) * (j1 - j0)


def diagonals_of(scanned):
    """`Work.diagonals` from `TileRows` or `LineRows`; the latter have no axis of outputs."""
    diagonals = (scanned.variance, scanned.ntk, scanned.dvariance, scanned.dntk)
    n_axes = (2, 2, 3, 3)
    return tuple(
        values if values is None or values.ndim == n else values[None]
        for values, n in zip(diagonals, n_axes, strict=True)
    )
