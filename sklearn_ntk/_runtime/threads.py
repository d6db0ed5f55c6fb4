"""Work that several threads share."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context


def run(compute, tasks, n_threads, count=None):
    """Call a function on all tasks of a deque, on so many threads, and another one after each."""
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
    try:
        while True:
            try:
                task = tasks.popleft()
            except IndexError:
                return
            compute(task)
            if count is not None:
                count(task)
    except BaseException:  # also an interrupt: it stops the other threads, too
        tasks.clear()
        raise


def run_apart(function):
    """Result of a function that runs in another thread, which Ctrl-C leaves behind."""
    found = Future()

    def work():
        try:
            found.set_result(function())
        except BaseException as error:
            found.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return found.result()
