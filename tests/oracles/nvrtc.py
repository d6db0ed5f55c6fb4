"""NVIDIA's compiler as a library, which needs no driver; it comes with the extra ``test``."""

import ctypes
import importlib.util
import re
from pathlib import Path

import pytest


def library():
    """The compiler's library, by ctypes; skips the test where it is not installed."""
    try:
        found = importlib.util.find_spec("nvidia.cuda_nvrtc")
    except ModuleNotFoundError:
        found = None
    folders = [] if found is None else found.submodule_search_locations
    files = [file for folder in folders for file in Path(folder).glob("lib/libnvrtc.so.*")]
    if not files:
        pytest.skip("needs nvidia-cuda-nvrtc-cu12, which this platform lacks")
    return ctypes.CDLL(str(files[0]))


def compile_for(architecture, source):
    """Compile a source as CuPy does: pairs (registers, bytes of spills) of its kernels.

    Architectures are such as "sm_90".
    """
    nvrtc, program = library(), ctypes.c_void_p()
    options = [f"--gpu-architecture={architecture}", "-std=c++17", "-ftz=true"]
    options = [option.encode() for option in [*options, "--ptxas-options=--verbose"]]
    arguments = (source.encode(), b"kernel.cu", 0, None, None)
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), *arguments) == 0
    failed = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * 4)(*options))
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    text = log.value.decode()
    assert not failed, text[:4000]
    spills = re.findall(r"(\d+) bytes spill stores", text)
    return list(
        zip(map(int, re.findall(r"Used (\d+) registers", text)), map(int, spills), strict=False)
    )
