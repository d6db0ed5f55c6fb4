"""Warnings about accuracy, of which a call gives one at most: that of the largest error."""

import warnings
from contextlib import contextmanager
from contextvars import ContextVar

_FOUND = ContextVar("found", default=None)


def notice(size, text):
    """Warn of an error of this size, or leave that to the call inside which it was noticed."""
    found = _FOUND.get()
    if found is None:
        warnings.warn(text, RuntimeWarning, stacklevel=3)
    else:
        found.append((size, text))


def heard(function, *arguments):
    """Result of a function, and what it noticed: arguments of `notice` for another process."""
    found = []
    token = _FOUND.set(found)
    try:
        return function(*arguments), found
    finally:
        _FOUND.reset(token)


@contextmanager
def one_notice():
    """Keep back what is noticed, also in other threads, for one warning at the end of a call."""
    if _FOUND.get() is not None:
        yield
        return
    found = []
    token = _FOUND.set(found)
    try:
        yield
    finally:
        _FOUND.reset(token)
    if found:
        warnings.warn(max(found)[1], RuntimeWarning, stacklevel=4)
