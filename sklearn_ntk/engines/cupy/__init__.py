"""The engine for GPUs: CUDA kernels for each set of kinds of steps, on arrays of CuPy.

The only package that imports CuPy. `devices` finds the devices, `sides` has both sides of a Gram
matrix in device memory, and `tile_work` fills matrices of rows without positions, by kernels whose
text `sources.cuda` writes. `lines` has the states of pairs of positions and runs schedules on them,
by kernels of `sources.cuda_lines`, for `line_scan` and `line_work`. `factors` has factorisations of
matrices there.
"""

import numpy as np

from ..._runtime.device import is_on_device
from ..._runtime.memory import check_memory
from .._work import diagonals_of
from ..rows import tiles as rows_of_tiles
from .devices import check_device, free_memory, library, refusing

__all__ = ["Engine"]


class Engine:
    """The engine on one device, current in the context `active`.

    Results are in its memory if the rows are, else arrays of NumPy, which get them block by block.

    Parameters
    ----------
    number : int or None
        Number of the device; None is the current one.
    is_host : bool
        Whether rows and results are arrays of NumPy.
    """

    def __init__(self, number, is_host):
        self.number, self._is_host = check_device(number), is_host

    def active(self):
        """Context in which the device is the current one."""
        return library().cuda.Device(self.number)

    def check_rows(self, X, name="X"):
        """Rows (n, d) in float64 and C order, and their norms (n,), in device memory."""
        X, norms = rows_of_tiles.check_rows(X, name)
        with refusing(f"{len(X)} rows"):
            return self._uploaded(X, norms)

    def upload(self, rows):
        """Arrays of rows in the memory of the device, in float64 if they were arrays of NumPy."""
        asarray = library().asarray
        with self.active(), refusing(f"{sum(map(len, rows))} rows"):
            return tuple(X if is_on_device(X) else asarray(X, np.float64) for X in rows)

    def free_memory(self):
        """Free bytes of the device."""
        with self.active():
            return free_memory()

    def _uploaded(self, *arrays):
        """The arrays in device memory."""
        return tuple(map(library().asarray, arrays))

    def as_result(self, values):
        """An array where results are."""
        cupy = library()
        return cupy.asnumpy(values) if self._is_host else cupy.asarray(values)

    def empty(self, shape, dtype):
        """Uninitialised array for results."""
        return np.empty(shape, dtype) if self._is_host else library().empty(shape, dtype)

    def check_memory(self, n_bytes, what, remedy):
        """Raise MemoryError if ``n_bytes`` are not free where results are."""
        if self._is_host:
            check_memory(n_bytes, what, remedy)
        else:
            remedy += "; results for arrays of NumPy are in the memory of the machine"
            self.check_free(n_bytes, what, remedy)

    def check_free(self, n_bytes, what, remedy):
        """Raise MemoryError if ``n_bytes`` of the device are not free."""
        if n_bytes > (free := self.free_memory()):
            raise MemoryError(
                f"{what} needs {n_bytes / 1e9:.3g} GB of the GPU's memory and {free / 1e9:.3g} GB "
                f"are free: {remedy}."
            )

    def count_threads(self):
        """One thread, which launches kernels."""
        return 1

    def work(self, program, rows, names, gradient, dtype):
        """`Work` for kernels of these names between rows, also ones of NumPy."""
        from .line_work import LineWork
        from .tile_work import TileWork

        work = TileWork if program.shape is None else LineWork
        with refusing(f"the pass over {_count(rows)} rows"):
            return work(program, [self._uploaded(*r) for r in rows], names, gradient, dtype)

    def diagonals(self, program, rows, names, gradient, dtype):
        """Diagonals as `Work` has them."""
        from . import line_work, sides

        with refusing(f"the pass over {_count(rows)} rows"):
            rows = [self._uploaded(*side) for side in rows]
            if program.shape is not None:
                return diagonals_of(line_work.scan(program, rows, gradient, dtype))
            return diagonals_of(sides.scan(program, rows, gradient, names, dtype)[0])


def _count(rows):
    """Number of the rows of all sides."""
    return sum(len(X) for X, _ in rows)
