"""Tasks on the CPU that run side by side, each with its share of the threads."""

from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from .._runtime.blas import single_threaded_blas
from .._runtime.memory import free_memory
from .._runtime.threads import map_apart
from ._work import SHARE, cpu_engine

WORTH = 200
"""Rows from which on a task is worth a thread of its own."""


@contextmanager
def limit_threads(n):
    """Context in which Gram matrices of this thread on the CPU take at most ``n`` threads."""
    engine, before = cpu_engine(), host_threads()
    engine.set_threads(min(n, before))
    try:
        yield
    finally:
        engine.set_threads(before)


def host_threads():
    """Number of threads that Gram matrices of this thread on the CPU take."""
    return cpu_engine().count_threads()


def on_one_thread(function, *arguments):
    """``function(*arguments)`` without other threads, beside tasks on all processors."""
    return _on_threads(1, function, *arguments)


class Tasks(NamedTuple):
    """What some tasks for the CPU need: their number, and rows and bytes of each.

    Together, those that run at the same time take at most ``limit`` bytes, by default `SHARE` of
    those that are free.
    """

    number: int
    n_rows: int
    n_bytes: float = 0.0
    limit: float | None = None

    def at_a_time(self):
        """How many of them may run at the same time, one or more."""
        if self.n_rows < WORTH:
            return 1
        free = free_memory()
        limit = SHARE * free if self.limit is None else min(self.limit, free)
        return max(1, min(self.number, host_threads(), int(limit // max(self.n_bytes, 1.0))))


def side_by_side(function, parts, tasks):
    """Yield ``function(*part)`` for tuples of arguments, in order, where Ctrl-C ends a wait.

    Several run at the same time, and share the threads, as `Tasks` say.
    """
    n_tasks = tasks.at_a_time()
    if n_tasks > 1:
        function = partial(_on_threads, max(1, host_threads() // n_tasks), function)
    return map_apart(function, parts, n_tasks)


def _on_threads(n_threads, function, *arguments):
    """``function(*arguments)`` with so many threads for Gram matrices, and one for BLAS."""
    with limit_threads(n_threads), single_threaded_blas:
        return function(*arguments)
