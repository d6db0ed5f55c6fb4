"""State of errors of linear algebra, and SciPy's functions, on the stand-in's arrays."""

from contextlib import contextmanager

import numpy as np

_state = {"linalg": "ignore"}


def geterr():
    return dict(_state)


@contextmanager
def errstate(*, linalg):
    before = _state["linalg"]
    _state["linalg"] = linalg
    try:
        yield
    finally:
        _state["linalg"] = before


can_pin = True
"""Whether the system pins memory."""


def empty_pinned(shape, dtype=float):
    from cupy.cuda.runtime import CUDARuntimeError

    if not can_pin:
        raise CUDARuntimeError("cudaErrorMemoryAllocation: out of memory")
    return np.full(shape, np.nan, dtype)


from . import scipy  # noqa: E402, F401
