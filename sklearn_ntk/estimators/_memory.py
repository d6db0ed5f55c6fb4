"""Memory of fits that factorise the whole Gram matrix."""

from .._runtime.device import read_device
from ..engines._work import check_memory_of

COPIES, SPECTRAL_COPIES = 3.2, 4.1
"""Peak memory of a fit in units of its Gram matrix: by Cholesky factors, and by eigenvectors."""

WORKSPACE = 2.5
"""What a GPU takes for eigenvectors beside, in these units: a copy, and the memory of cuSOLVER."""

EXACT = "take fewer rows, or solver='auto' of an estimator without a training_time"
ON_GPU = "take fewer rows, or device='cpu'"
OF_CUPY = "take fewer rows, or copy the rows by cupy.asnumpy"
"""What to do if a factorisation does not fit into the memory, of a GPU, with rows of CuPy."""


def memory_of_solve(n, is_spectral):
    """Bytes of an exact fit of n rows at its peak."""
    return (SPECTRAL_COPIES if is_spectral else COPIES) * 8.0 * n * n


def check_solve(n, rows, is_spectral, device=None, remedy=None):
    """Raise MemoryError if an exact fit of n rows would not fit into the memory of the device."""
    n_bytes, instead = memory_of_solve(n, is_spectral), EXACT
    if is_gpu(device):
        n_bytes, instead = n_bytes + is_spectral * WORKSPACE * 8.0 * n * n, ON_GPU
    check_memory_of(device, n_bytes, f"A fit of {n} {rows}", remedy or instead)


def is_gpu(device):
    """Whether a parameter ``device`` is a GPU."""
    return read_device(device)[0] == "cuda"
