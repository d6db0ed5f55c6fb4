"""Warnings about accuracy: a public call gives at most one, that of the largest error.

Code that finds an error calls `notice`; public methods are decorated by `one_notice`, which
collects the notices and warns at the end. `heard` brings them back from another process.
"""

import warnings
from contextlib import contextmanager
from contextvars import ContextVar

_NOTICES = ContextVar("notices", default=None)


def notice(size, text):
    """Append ``(size, text)`` to the notices of the enclosing call; warn at once outside any."""
    notices = _NOTICES.get()
    if notices is None:
        warnings.warn(text, RuntimeWarning, stacklevel=3)
    else:
        notices.append((size, text))


def heard(function, *arguments):
    """Result of a function and its notices ``(size, text)``, to be given to `notice` again."""
    notices = []
    token = _NOTICES.set(notices)
    try:
        return function(*arguments), notices
    finally:
        _NOTICES.reset(token)


@contextmanager
def one_notice():
    """Collect all notices of a call, from its threads, too, and warn of the largest at the end."""
    if _NOTICES.get() is not None:  # inside another call, which will warn
        yield
        return
    notices = []
    token = _NOTICES.set(notices)
    try:
        yield
    finally:
        _NOTICES.reset(token)
    if notices:
        warnings.warn(max(notices)[1], RuntimeWarning, stacklevel=4)
