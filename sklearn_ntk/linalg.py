"""Linear algebra that the kernels and solvers share."""

import contextlib
import os
import threading

from threadpoolctl import ThreadpoolController


class _SingleThreadedBlas:
    """Context in which BLAS uses one thread; reentrant, and shared by all Python threads.

    The limit is global to the process, so the first to enter sets it and the last to leave takes
    it back: otherwise overlapping users would restore each other's limit.
    """

    def __init__(self):
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self):
        self._lock = threading.Lock()
        self._users = 0
        self._stack = contextlib.ExitStack()
        self._controller = None

    def __enter__(self):
        with self._lock:
            if self._users == 0:
                if self._controller is None:
                    self._controller = ThreadpoolController()
                self._stack.enter_context(self._controller.limit(limits=1, user_api="blas"))
            self._users += 1

    def __exit__(self, *exception):
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._stack.close()


single_threaded_blas = _SingleThreadedBlas()
