"""The seam between Gram matrices and engines, and the only place that knows which engines exist.

An engine is a package here with three functions: ``work(program, rows, names, gradient, dtype)``
returns `Work`, ``diagonals(program, rows, names, gradient, dtype)`` the diagonals alone, and
``empty(shape, dtype)`` an array where results of this engine live.
"""

from importlib import import_module
from typing import NamedTuple, Protocol

ENGINES = {"cpu": "numba"}
"""Packages of the engines by the devices that they compute on."""


def engine_for(X, device=None):
    """The engine for rows ``X``; without a device, that of the memory where they are."""
    return import_module(f"{__package__}.{ENGINES[device or 'cpu']}")


class Part(NamedTuple):
    """Blocks for which the same memory is needed: ``prepare()`` takes it.

    It returns the function ``compute(block, results)`` that several threads may call at once. A
    block ``(i0, i1, j0, j1)`` is rows ``i0 .. i1`` and columns ``j0 .. j1``; the blocks are in
    the order of their cost, the cheapest one last.
    """

    prepare: object
    blocks: object


class Work(Protocol):
    """A Gram matrix that an engine is about to compute, in blocks.

    ``diagonals`` are those of NNGP and NTK and of their derivatives, or None, as arrays
    (n_outputs, n) and (n_outputs, n, 2): they are known beforehand, and those of ``results`` of a
    symmetric matrix are to be replaced by them. ``n_threads`` threads pay.
    """

    diagonals: tuple
    n_threads: int

    def parts(self):
        """`Part` by part, one after the other."""


def n_pairs(block):
    """Number of pairs of a block."""
    i0, i1, j0, j1 = block
    return (i1 - i0) * (j1 - j0)


def diagonals_of(scanned):
    """Diagonals as `Work` has them, from what is known of single rows."""
    found = (scanned.variance, scanned.ntk, scanned.dvariance, scanned.dntk)
    n_axes = (2, 2, 3, 3)
    return tuple(
        part if part is None or part.ndim == n else part[None]
        for part, n in zip(found, n_axes, strict=True)
    )
