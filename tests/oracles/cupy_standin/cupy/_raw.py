"""Kernels in CUDA C++, compiled by the system's compiler and run on the CPU.

Threads run one after the other, as warps of one lane, unless the environment sets STANDIN_LANES to
more; STANDIN_FLAGS are further flags of the compiler.
"""

import ctypes
import getpass
import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np

HEADER = Path(__file__).parent / "host.h"
LANES = int(os.environ.get("STANDIN_LANES", 1))
FLAGS = ("-std=c++20", "-O1", "-shared", "-fPIC", "-w", "-pthread", f"-DLANES={LANES}")
FLAGS += tuple(os.environ.get("STANDIN_FLAGS", "").split())
KERNEL = re.compile(r'extern "C" __global__ void (?:__launch_bounds__\([^)]*\) )?(\w+)\(')


class RawModule:
    """Kernels of a source; compiled at the first `get_function`, and kept in a temporary folder."""

    def __init__(self, *, code, options=()):
        self.code, self._library = code, None

    def get_function(self, name):
        from . import cuda

        cuda.runtime.getDeviceCount()
        if self._library is None:
            self._library = ctypes.CDLL(str(_compiled(self.code)))
        return _Kernel(getattr(self._library, f"run_{name}"))


def _compiled(code):
    """Path of the library of a source; its name is a digest of source, header and flags."""
    names = KERNEL.findall(code)
    assert "#include" not in code and names, "NVRTC has no headers"
    entries = [
        f'extern "C" void run_{name}(const unsigned *grid, const unsigned *block, void **a) '
        f"{{ run_grid({name}, grid, block, a); }}"
        for name in names
    ]
    text = "\n".join([HEADER.read_text(), code, *entries])
    digest = hashlib.sha256(repr((text, FLAGS)).encode()).hexdigest()[:24]
    folder = Path(tempfile.gettempdir()) / f"cuda_on_cpu_{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    library = folder / f"{digest}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as place:
            source, target = Path(place) / "kernel.cpp", Path(place) / "kernel.so"
            source.write_text(text)
            command = [os.environ.get("CXX", "g++"), *FLAGS, "-o", target, source]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr[:4000]
            target.replace(library)
    return library


class _Kernel:
    max_dynamic_shared_size_bytes = 49152

    def __init__(self, run):
        self._run = run

    def __call__(self, grid, block, args, shared_mem=0):
        from cupy import LOG, cuda

        grid = [max(1, n) for n in grid]
        sizes = [(ctypes.c_uint * 3)(*(*axes, 1, 1)[:3]) for axes in (grid, block)]
        assert all(n <= 65535 for n in grid[1:])
        assert 1 <= np.prod(block) <= 1024
        assert not shared_mem or shared_mem <= self.max_dynamic_shared_size_bytes <= cuda.SHARED
        places = [ctypes.create_string_buffer(_bytes(a) + b"\xff" * 8, 24) for a in args]
        pointers = (ctypes.c_void_p * len(args))(*(ctypes.addressof(p) for p in places))
        LOG.launches += 1
        self._run(*sizes, pointers)


def _bytes(argument):
    """Bytes of an argument, as wide as CuPy passes it."""
    from cupy import ndarray

    if isinstance(argument, ndarray):
        return np.uint64(argument.data.ptr).tobytes()
    if isinstance(argument, np.generic):
        return argument.tobytes()
    if isinstance(argument, (bool, int, float)):
        return np.asarray(argument).tobytes()
    raise TypeError(f"Unsupported type {type(argument)}")
