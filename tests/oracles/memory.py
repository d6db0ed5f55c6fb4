"""Free memory: how to pretend that there is little, for tests of refusals."""

from sklearn_ntk._runtime import memory as _memory


def set_free(monkeypatch, n_bytes):
    """Let so many bytes be free, and requests of any size be compared with that."""
    monkeypatch.setattr(_memory, "SMALL", 0)
    monkeypatch.setattr(_memory, "free_memory", lambda: float(n_bytes))
