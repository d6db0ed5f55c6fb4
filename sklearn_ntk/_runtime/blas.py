"""How many threads BLAS has while our own threads are at work."""

import os
import threading

from threadpoolctl import ThreadpoolController


class _SingleThreadedBlas:
    """Context in which BLAS uses one thread; reentrant, and shared by all Python threads.

    The limit belongs to the process, so the first to enter sets it and the last to leave takes it
    back: otherwise overlapping users would restore each other's limit. Both happen in threads of
    their own, because threadpoolctl lets no other thread change a limit while the one that set it
    lives.
    """

    def __init__(self):
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._leave_parent)

    def _leave_parent(self):
        if self._n_users > 0:  # of the parent's threads, which do not exist here
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
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


single_threaded_blas = _SingleThreadedBlas()
