"""Memory for results, of which large ones leave theirs to those that follow.

Fresh memory comes filled with zeros, page by page as it is touched, which takes up to a fifth of
the time of a Gram matrix of a shallow network and two thirds of what a further matrix costs. The
memory of a large result that nobody refers to any more is kept for the next one of its size, if
the system can be told that it may take it back whenever it runs short of memory: it fills it with
zeros then. Until then the process still appears to hold it. Worker processes keep nothing: joblib
and others watch how much memory theirs hold, and replace those that do not give it back.
"""

import math
import mmap
import sys
from collections import deque
from contextlib import suppress
from multiprocessing import parent_process

import numpy as np

LINE_BYTES = 64
"""Size of a line of memory, of most machines."""

LARGE = 2**22
"""Bytes from which a result has memory of its own; below, the allocator sees to reuse."""

LIMIT = 2**29
"""Bytes that are kept at most."""

PAGE = 2**21
"""Bytes of a large page, of which memory is a whole number."""

SPARE = 1.25
"""How much more memory than it needs a result may take over."""

_kept = deque()  # its methods are atomic: a collection of garbage may call `_keep` anywhere

release = _kept.clear
"""Give back all that is kept."""


class _Lease:
    """An array interface to memory that is kept once no array refers to it."""

    def __init__(self, memory, shape, dtype):
        self._memory = memory
        array = np.frombuffer(memory, dtype, math.prod(shape)).reshape(shape)
        self.__array_interface__ = array.__array_interface__

    def __del__(self, is_ending=sys.is_finalizing):
        if not is_ending():
            _keep(self._memory)


def empty(shape, dtype):
    """Array of arbitrary content that begins with a line of memory.

    So streaming stores can fill whole lines.
    """
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if n_bytes >= LARGE and hasattr(mmap, "MADV_FREE"):
        return np.asarray(_Lease(_take(n_bytes), shape, dtype))
    memory = np.empty(n_bytes + LINE_BYTES, np.uint8)
    start = -memory.__array_interface__["data"][0] % LINE_BYTES
    return memory[start : start + n_bytes].view(dtype).reshape(shape)


def _take(n_bytes):
    """Memory that is kept, the latest first, or fresh memory."""
    size = -(-n_bytes // PAGE) * PAGE
    for memory in reversed(_kept.copy()):
        if size <= len(memory) <= SPARE * size:
            with suppress(ValueError):  # another thread was faster
                _kept.remove(memory)
                return memory
    try:
        return _map(size)
    except OSError:  # perhaps because what is kept counts
        release()
    try:
        return _map(size)
    except OSError as error:
        raise MemoryError(f"The system has no {n_bytes / 1e9:.3g} GB of memory.") from error


def _map(size):
    """Fresh memory."""
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(AttributeError, OSError):  # pages are small where there are no large ones
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def _keep(memory):
    """Keep memory, and let the system have what it needs of it; give up the oldest of too much."""
    if len(memory) > LIMIT or parent_process() is not None:
        return
    with suppress(OSError):  # a system that does not know how
        memory.madvise(mmap.MADV_FREE)
        _kept.append(memory)
    while sum(map(len, _kept.copy())) > LIMIT:
        with suppress(IndexError):
            _kept.popleft()
