"""Runs tasks on several threads, and a function where Ctrl-C can interrupt the wait for it."""

import atexit
import os
import signal
import sys
import threading
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
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
            check_wanted()
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


@contextmanager
def uninterrupted():
    """A context in which Ctrl-C waits until its end."""
    before, caught = signal.getsignal(signal.SIGINT), []
    try:
        if callable(before):
            signal.signal(signal.SIGINT, lambda *arguments: caught.append(arguments))
    except ValueError:  # signals are for the main thread
        before = None
    try:
        yield
    finally:
        if callable(before):
            signal.signal(signal.SIGINT, before)
        if caught:
            before(*caught[0])


def run_apart(function):
    """Result of ``function()``, run in a daemon thread: Ctrl-C ends the wait, not the thread.

    The device that is the current one here is so there, and so is the number of threads of numba.
    """
    with _apart() as start:
        return start(function).result()


def map_apart(function, parts, n_threads):
    """Yield ``function(*part)`` for tuples of arguments, in order, as `run_apart`.

    As many run at a time, and the ``parts`` are taken when they begin.
    """
    found = deque()
    with _apart() as start:
        for part in parts:
            found.append(start(partial(function, *part)))
            if sum(not each.done() for each in found) >= n_threads:
                _wait_for_one(found)
            yield from _first_done(found)
        while found:
            _wait_for_one(found)
            yield from _first_done(found)


def _first_done(found):
    """Take those at the beginning that are done, and yield their results."""
    while found and found[0].done():
        yield found.popleft().result()


def _wait_for_one(found):
    """Wait until one of those at work is done; raise the error of any that has failed."""
    running = [each for each in found if not each.done()]
    if not any(each.exception() for each in found if each.done()):
        wait(running, return_when=FIRST_COMPLETED)
    for each in found:
        if each.done():
            each.result()


class _Unwanted(BaseException):
    """Ends a thread whose result nobody waits for."""


_ends = ContextVar("_ends", default=())
"""What is set when results of this thread, and of those that wait for it, are no longer wanted."""


def check_wanted():
    """End a thread that was started here if nobody waits for its result any more.

    Is called before each piece of long work.
    """
    if any(end.is_set() for end in _ends.get()):
        raise _Unwanted


@contextmanager
def _apart():
    """Context with a function that runs another one in a daemon thread, and returns its `Future`.

    If it is left by an error, those that are at work end at their next `check_wanted`. That is
    waited for, unless by Ctrl-C.
    """
    context, entered, limit, started = copy_context(), as_here(), _threads_as_here(), []
    unwanted = threading.Event()
    context.run(_ends.set, (*_ends.get(), unwanted))

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
        started[:] = [each for each in started if not each[1].is_set()]
        started.append((thread, end))
        thread.start()
        return future

    try:
        yield start
    except Exception:
        unwanted.set()
        for thread, end in started:
            if thread.is_alive():  # or it could not be started
                end.wait()
        raise
    finally:
        unwanted.set()
        ended = [each for each in list(_abandoned) if each[1].is_set()]
        _abandoned.difference_update(ended)
        _abandoned.update(each for each in started if each[0].is_alive())


_abandoned = set()
"""Threads for which nobody waits any more, each with what is set at its end."""


def _await_abandoned():
    """Wait for them: BLAS hangs when a process ends, or forks, in the middle of its work."""
    if _ends.get():  # one of them, for which another one may wait
        return
    for each in list(_abandoned):
        each[1].wait()
        _abandoned.discard(each)


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
