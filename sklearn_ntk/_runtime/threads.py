"""Runs tasks on several threads, and a function where Ctrl-C can interrupt the wait for it."""

import atexit
import os
import sys
import threading
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
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
    with _apart() as start:
        return start(function).result()


def map_apart(function, parts, n_threads):
    """Yield ``function(*part)`` for tuples of arguments, in order, as `run_apart`.

    As many run at a time, and no more of the ``parts`` are taken than are needed for that.
    """
    found = deque()
    with _apart() as start:
        for part in parts:
            found.append(start(partial(function, *part)))
            running = [each for each in found if not each.done()]
            if len(running) >= n_threads:
                wait(running, return_when=FIRST_COMPLETED)
            while found and found[0].done():
                yield found.popleft().result()
        for each in found:
            yield each.result()


@contextmanager
def _apart():
    """Context with a function that runs another one in a daemon thread, and returns its `Future`.

    Nobody waits at the end for those that are not done.
    """
    context, entered, limit, started = copy_context(), as_here(), _threads_as_here(), []

    def start(function):
        future, end = Future(), threading.Event()

        def work():
            try:
                limit()
                with entered():
                    found = context.copy().run(function)
                future.set_result(found)
            except BaseException as error:
                future.set_exception(error)
            finally:
                end.set()

        thread = threading.Thread(target=work, daemon=True)
        started[:] = _at_work([*started, (thread, end)])
        thread.start()
        return future

    try:
        yield start
    finally:
        left = [each for each in started if each[0].is_alive()]
        _abandoned[:] = _at_work([*_abandoned, *left])


_abandoned = []
"""Threads for which nobody waits any more, each with what is set at its end."""


def _at_work(threads):
    """Those of a list of threads that have not come to their end."""
    return [each for each in threads if not each[1].is_set()]


def _await_abandoned():
    """Wait for them: BLAS hangs when a process ends, or forks, in the middle of its work."""
    for thread, end in list(_abandoned):
        if thread is not threading.current_thread():
            end.wait()
    _abandoned[:] = _at_work(_abandoned)


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
