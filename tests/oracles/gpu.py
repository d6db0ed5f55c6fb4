"""CuPy for tests: the real one where there is a GPU, else the stand-in, which runs on the CPU."""

import importlib
import os
import shutil
import sys
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from unittest.mock import patch

import pytest

from sklearn_ntk.activations import ACTIVATIONS
from sklearn_ntk.engines import _work
from sklearn_ntk.engines.sources import cuda, cuda_lines

STANDIN = Path(__file__).parent / "cupy_standin"
OWN = "sklearn_ntk.engines.cupy"

_kept = {}
"""Modules of CuPy and of our engine, which stay in memory between tests."""


def _ours(name):
    return name.partition(".")[0] in ("cupy", "cupyx") or f"{name}.".startswith(f"{OWN}.")


@cache
def has_gpu():
    """Whether there is a GPU, and CuPy."""
    try:
        return importlib.import_module("cupy").is_available()
    except (ImportError, AttributeError):
        return False


def has_compiler():
    """Whether there is a C++ compiler, for the stand-in."""
    return shutil.which(os.environ.get("CXX", "g++")) is not None


@contextmanager
def importable(path=STANDIN):
    """Context in which ``import cupy`` finds what is in ``path``."""
    if str(path) in sys.path:
        yield
        return
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


@contextmanager
def ready():
    """Context in which CuPy, which it yields, runs on a GPU or is the stand-in; else tests skip."""
    if not (has_gpu() or has_compiler()):
        pytest.skip("needs a GPU, or a C++ compiler")
    with nullcontext() if has_gpu() else importable(), few_modules():
        yield importlib.import_module("cupy")


@contextmanager
def default():
    """Context in which rows of NumPy are computed on the GPU where no device is named."""
    own = _work.place_of
    with ready(), patch.object(_work, "place_of", lambda rows, name: own(rows, name or "cuda")):
        yield


# --- Few kernels ----------------------------------------------------------------------------------

REGISTERED = dict(ACTIVATIONS)

SIMPLE = {
    *("relu", "erf", "sin", "sign", "gelu", "rbf", "identity", "abs", "step", "leaky_relu"),
    "rectified_monomial",
}
"""Activations whose formulas are in one kernel; that of all takes three times as long to make."""

ROWS = ("normalize", "drop", "series", "add", "save", "swap", "output")
LINES = (
    *("affine", "drop", "normalize", "attend_linear", "attend_sqrt", "covariance", "embed"),
    *("mean", "recur", "series", "settle"),
)
"""Kinds of steps without an activation, for rows and for pairs of positions; of the latter, the
first three are also those inside of fields."""


OWN = {cuda: cuda.kinds_of, cuda_lines: cuda_lines.kinds_of}
"""The functions that say which kinds of steps a kernel has, by their modules."""


@contextmanager
def few_modules():
    """Context in which kernels have kinds of steps beyond those of a program.

    Then one serves nearly all tests, and few have to be compiled.
    """

    def kinds_of(*arguments):
        kinds = OWN[cuda](*arguments)
        cases = _extended(kinds.cases, ROWS, ["pointwise"])
        return kinds._replace(cases=cases, stack_size=max(2, kinds.stack_size))

    def kinds_of_lines(cases, field_cases, *others):
        maps = {case for case in cases if isinstance(case, tuple)}
        wider = _extended(maps | set(field_cases), LINES, ["joined", "pointwise"])
        inside = [case for case in wider if case[1] or case[0] in LINES[:3]]
        return OWN[cuda_lines](wider, inside, *others)

    with patch.object(cuda, "kinds_of", kinds_of):
        with patch.object(cuda_lines, "kinds_of", kinds_of_lines):
            yield


def _extended(cases, rules, of_activations):
    """Cases (rule, class) of all rules and of activations, if these are among them."""
    for names in (SIMPLE, REGISTERED):
        classes = [cls for name, cls in REGISTERED.items() if name in names]
        found = {(rule, None) for rule in rules}
        closed = [cls for cls in classes if not cls().is_series]
        found |= {(rule, cls) for rule in of_activations for cls in closed}
        if found >= set(cases):
            return tuple(sorted(found, key=str))
    return tuple(cases)
