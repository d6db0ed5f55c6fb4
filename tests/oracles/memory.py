"""Pretends that little memory is free, for tests of `check_memory`, and measures what is taken."""

import tracemalloc

from sklearn_ntk._runtime import memory as _memory


def set_free(monkeypatch, n_bytes):
    """Let ``n_bytes`` be free, and compare requests of any size with that."""
    monkeypatch.setattr(_memory, "SMALL", 0)
    monkeypatch.setattr(_memory, "free_memory", lambda: float(n_bytes))


def peak(work):
    """Bytes that are allocated at most."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
