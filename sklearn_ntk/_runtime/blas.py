"""Limits BLAS to one thread while the threads of this package are at work."""

import os
import threading
from contextlib import nullcontext
from functools import cache

from joblib import cpu_count
from threadpoolctl import ThreadpoolController


class _SingleThreadedBlas:
    """Context manager in which BLAS uses one thread; reentrant, and shared by all Python threads.

    The limit holds for the whole process. The first thread that enters sets it, and the last one
    that leaves restores the old limits: otherwise overlapping contexts would restore each other's.
    Both calls run in short-lived threads, because threadpoolctl lets no other thread change a limit
    while the thread that set it lives.
    """

    def __init__(self):
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._leave_parent)

    def _leave_parent(self):
        """In a forked child: restore the limits that threads of the parent have set."""
        if self._n_users > 0:  # those threads do not exist in the child
            self._limiter.restore_original_limits()
        self._reset()

    def _reset(self):
        self._lock = threading.Lock()
        self._n_users = 0
        self._controller = self._limiter = None

    def _limit(self):
        if self._controller is None:
            self._controller = ThreadpoolController()
        self._limiter = self._controller.limit(limits=1, user_api="blas")

    def __enter__(self):
        with self._lock:
            if self._n_users == 0:
                _run_apart(self._limit)
            self._n_users += 1

    def __exit__(self, *exception):
        with self._lock:
            self._n_users -= 1
            if self._n_users == 0:
                _run_apart(self._limiter.restore_original_limits)


def _run_apart(function):
    """Run a function in a new thread, and wait for its end."""
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


single_threaded_blas = _SingleThreadedBlas()

LEAST, MOST = 150, 1200
"""Rows from which on a fit is limited, and rows times processors up to which it is: it takes longer
with threads of BLAS than without."""


def blas_for(n_rows):
    """Context for work on matrices of so many rows: with one thread of BLAS where they are few.

    For some 25 milliseconds after each product, threads of OpenBLAS wait actively for the next one,
    and take processors from the compiled loops that follow.
    """
    n_cpus = _n_cpus()
    is_slower = n_cpus > 1 and n_rows >= LEAST and n_rows * n_cpus <= MOST
    return single_threaded_blas if is_slower else nullcontext()


@cache
def _n_cpus():
    return cpu_count()
