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


def empty_pinned(shape, dtype=float):
    return np.full(shape, np.nan, dtype)


from . import scipy  # noqa: E402, F401
