"""CuPy for tests: the real one where there is a GPU, else the stand-in, which runs on the CPU."""

import importlib
import os
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

STANDIN = Path(__file__).parent / "cupy_standin"
OWN = "sklearn_ntk.engines.cupy"

_kept = {}
"""Modules of CuPy and of our engine, which stay in memory between tests."""


def _ours(name):
    return name.partition(".")[0] in ("cupy", "cupyx") or f"{name}.".startswith(f"{OWN}.")


def has_gpu():
    """Whether there is a GPU, and CuPy."""
    try:
        return importlib.import_module("cupy").is_available()
    except ImportError:
        return False


def has_compiler():
    """Whether there is a C++ compiler, for the stand-in."""
    return shutil.which(os.environ.get("CXX", "g++")) is not None


@contextmanager
def importable(path=STANDIN):
    """Context in which ``import cupy`` finds what is in ``path``."""
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if _ours(name)}
    sys.modules.update(_kept)
    sys.path.insert(0, str(path))
    try:
        yield
    finally:
        sys.path.remove(str(path))
        found = {name: sys.modules.pop(name) for name in list(sys.modules) if _ours(name)}
        if path == STANDIN:
            _kept.update(found)
        sys.modules.update(before)
