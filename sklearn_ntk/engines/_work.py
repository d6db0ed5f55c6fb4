"""The interface of engines to `gram`, and the only place that knows which engines exist.

An engine is a package here with six functions: ``work(program, rows, names, gradient, dtype)``
returns a `Work`, ``diagonals(program, rows, names, gradient, dtype)`` the diagonals alone,
``scan_blocks(program, X, gradient)`` the `LineRows` of blocks of rows with positions,
``count_threads()`` the number of threads that is worth starting, which ``set_threads(n)`` sets for
the thread that calls it, and ``empty(shape, dtype)`` an uninitialised array for results. ``rows``
is a list of pairs (rows (n, d), norms (n,)), one for a symmetric matrix, else two; ``names`` are
the kernels wanted, "nngp" or "ntk"; ``gradient`` asks for derivatives. `Host` adds where arrays
are. The engine for GPUs is a class ``Engine`` that has all of these as methods, without
``scan_blocks`` and ``set_threads``.
"""

import sys
from contextlib import nullcontext
from importlib import import_module
from typing import NamedTuple, Protocol

import numpy as np

from .._runtime.device import is_on_device, place_of, read_device
from .._runtime.memory import check_memory, free_memory
from .._runtime.threads import uninterrupted

ENGINES = {"cpu": "numba", "cuda": "cupy"}
"""Names of the engines' packages, by kind of device."""

SHARE = 0.5
"""Of the free memory, what "auto" takes at most, and tasks that run at the same time."""


def engine_for(rows, device=None):
    """Engine for a list of arrays of rows; None is the device in whose memory they are."""
    kind, number = place_of(rows, device)
    if kind == "cpu":
        return Host(cpu_engine())
    return _on_gpu(number, not is_on_device(rows[0]))


def cpu_engine():
    """The engine for the CPU. Ctrl-C waits for its import, as numba cannot be imported again."""
    name = f"{__package__}.{ENGINES['cpu']}"
    if name not in sys.modules:
        with uninterrupted():
            import_module(name)
    return import_module(name)


def active(rows, device):
    """Context in which the device that computes with rows is the current one."""
    kind, number = _place(rows, device)
    return nullcontext() if kind == "cpu" else _on_gpu(number).active()


def on_device(rows, device):
    """Arrays of rows in the memory of the device that computes with them."""
    kind, number = _place(rows, device)
    return rows if kind == "cpu" else _on_gpu(number).upload(rows)


def free_memory_of(device):
    """Free bytes of the memory in which matrices of a device are."""
    kind, number = read_device(device)
    return _on_gpu(number).free_memory() if kind == "cuda" else free_memory()


def check_memory_of(device, n_bytes, what, remedy):
    """Raise MemoryError if ``n_bytes`` are not free where matrices of a device are."""
    kind, number = read_device(device)
    check = _on_gpu(number).check_free if kind == "cuda" else check_memory
    check(n_bytes, what, remedy)


def _place(rows, device):
    """`place_of` for rows of which some may be of NumPy, and go where those of CuPy are."""
    return place_of([X for X in rows if is_on_device(X)] or rows[:1], device)


def _on_gpu(number, is_host=False):
    """The engine for GPUs on the device of this number."""
    return import_module(f"{__package__}.{ENGINES['cuda']}").Engine(number, is_host)


def linear_algebra(array):
    """Module with ``eigenvectors``, ``try_cholesky`` and ``least_eigenvalue`` for a GPU's array."""
    return import_module(f"{__package__}.{ENGINES['cuda']}.factors")


class Host:
    """An engine whose arrays are those of NumPy: the functions of its package, and these."""

    active = staticmethod(nullcontext)
    as_result = staticmethod(np.asarray)
    check_memory = staticmethod(check_memory)

    def __init__(self, package):
        self._package = package

    def __getattr__(self, name):
        return getattr(self._package, name)

    def check_rows(self, X, name="X"):
        """Rows (n, d) in float64 and C order, and their norms (n,)."""
        from .rows.tiles import check_rows  # here, as it imports modules that import this one

        return check_rows(X, name)


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
