"""Devices of CUDA, and why there may be none, in one sentence."""

import os
import re

REMEDY = (
    "install the extra 'cuda12' or 'cuda13' of sklearn-ntk, or take device='cpu', of a fitted "
    "model by kernel_.set_params(device='cpu'), of a search by that of each of its estimators_"
)

_process = []
"""The number of the process that has used CUDA."""


def library():
    """The module ``cupy``; raises ImportError with what to install."""
    try:
        import cupy

        _ = cupy.ndarray  # which a folder of this name, without a module, lacks
    except (ImportError, AttributeError) as error:
        raise ImportError(f"device='cuda' needs CuPy, which gives '{error}': {REMEDY}.") from error
    return cupy


RESERVE, SHARE = 5e8, 0.1
"""Bytes of a device that are left to kernels and libraries of CUDA, whose memory is not CuPy's; at
most this share of what is free."""

LACK = re.compile("out of memory|ALLOC_FAILED")
"""What errors of CUDA, cuBLAS and cuSOLVER say that find no memory."""


def free_memory():
    """Bytes of the current device that are free, or in blocks that CuPy keeps for later.

    A limit that the user has set to CuPy's memory counts, and `RESERVE` does not.
    """
    cupy = library()
    pool = cupy.get_default_memory_pool()
    free, limit = cupy.cuda.Device().mem_info[0] + pool.free_bytes(), pool.get_limit()
    free = min(free, limit - pool.used_bytes()) if limit else free
    return free - min(RESERVE, SHARE * free)


def lacks_memory(error):
    """Whether an error says that the device has no memory left, for arrays or for anything else."""
    of_arrays = library().cuda.memory.OutOfMemoryError
    return isinstance(error, of_arrays) or (
        isinstance(error, RuntimeError) and LACK.search(str(error)) is not None
    )


def with_room(function, *arguments, **options):
    """Result of a function of CUDA, called again if it lacks memory that CuPy keeps for later."""
    try:
        return function(*arguments, **options)
    except RuntimeError as error:
        if not lacks_memory(error):
            raise
    library().get_default_memory_pool().free_all_blocks()
    return function(*arguments, **options)


def check_device(number):
    """Number of a device that exists; None is the current one.

    Raises RuntimeError if CUDA cannot be used, and ValueError if there is no such device.
    """
    cupy = library()
    if _process[:1] not in ([], [os.getpid()]):
        raise RuntimeError(
            f"Process {os.getpid()} was forked from one that has used CUDA, and cannot use it: "
            f"start processes by 'spawn', or by joblib's loky, or take device='cpu'."
        )
    try:
        count = cupy.cuda.runtime.getDeviceCount()
        if number is None:
            number = cupy.cuda.Device().id
        if not _process:  # each loads a library of CUDA
            _ = cupy.cuda.nvrtc.getVersion(), cupy.cuda.cublas, cupy.cuda.cusolver
    except (RuntimeError, ImportError) as error:
        text = str(error).split("\n")[0]
        raise RuntimeError(
            f"device='cuda' cannot use a GPU, since CUDA says '{text}': install NVIDIA's driver, "
            f"and {REMEDY}."
        ) from error
    if number >= count:
        names = ", ".join(f"'cuda:{k}'" for k in range(count))
        raise ValueError(f"There is no device 'cuda:{number}': take one of {names}.")
    _process[:] = [os.getpid()]
    return number


class refusing:
    """Context in which a lack of device memory becomes a sentence with ``what`` was to be there.

    A generator in its place would keep the arrays of the failed call until garbage is collected, on
    Python 3.13.
    """

    def __init__(self, what):
        self._what = what

    def __enter__(self):
        pass

    def __exit__(self, _, error, traceback):
        if error is not None and lacks_memory(error):
            raise MemoryError(
                f"The GPU has no memory left for {self._what}: take fewer rows, a network with "
                f"fewer positions, or arrays of NumPy and device='cpu'."
            ) from error
