"""Runs tasks on several threads, and a function where Ctrl-C can interrupt the wait for it."""

import atexit
import os
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from functools import partial

from .device import as_here


def run(compute, tasks, n_threads, count=None):
    """Call ``compute(task)``, then ``count(task)``, for all tasks of a deque on ``n_threads``.

    The calling thread is one of them. An exception in any thread empties the deque and is raised.
    """
    n_helpers = min(n_threads - 1, len(tasks) - 1)
    if n_helpers < 1:
        _drain(compute, tasks, count)
        return
    with ThreadPoolExecutor(n_helpers) as pool:
        try:
            helpers = [
                pool.submit(copy_context().run, _drain, compute, tasks, count)
                for _ in range(n_helpers)
            ]
            _drain(compute, tasks, count)
        finally:  # also after an interrupt the other threads must stop
            tasks.clear()
        for helper in helpers:
            helper.result()


def _drain(compute, tasks, count):
    """Take tasks from the deque until it is empty."""
    try:
        while True:
            try:
                task = tasks.popleft()
            except IndexError:
                return
            compute(task)
            if count is not None:
                count(task)
    except BaseException:  # KeyboardInterrupt included: no thread takes another task
        tasks.clear()
        raise


def run_apart(function):
    """Result of ``function()``, run in a daemon thread: Ctrl-C ends the wait, not the thread.

    The device that is the current one here is so there, and so is the number of threads of numba.
    """
    future, context, entered, limit = Future(), copy_context(), as_here(), _threads_as_here()

    def work():
        try:
            limit()
            with entered():
                found = context.run(function)
            future.set_result(found)
        except BaseException as error:
            future.set_exception(error)

    thread = threading.Thread(target=work, daemon=True)
    try:
        thread.start()
        return future.result()
    except BaseException:
        if not future.done():
            _abandoned.append((thread, future))
        raise


_abandoned = []
"""Threads, and their results, for which nobody waits any more."""


def _await_abandoned():
    """Wait for them: BLAS hangs when a process ends, or forks, in the middle of its work."""
    for thread, future in list(_abandoned):
        if thread is not threading.current_thread():
            wait([future])
    _abandoned[:] = [each for each in _abandoned if not each[1].done()]


atexit.register(_await_abandoned)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_await_abandoned)


def _threads_as_here():
    """Function that sets numba's number of threads in another thread, where it has been loaded.

    Numba has one for each thread.
    """
    numba = sys.modules.get("numba")
    if not hasattr(numba, "set_num_threads"):  # or another thread is loading it
        return lambda: None
    return partial(numba.set_num_threads, numba.get_num_threads())
