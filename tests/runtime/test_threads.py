"""Numbers of threads, which numba has for each thread of Python."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numba
import pytest

from sklearn_ntk._runtime import threads
from sklearn_ntk._runtime.threads import map_apart, run_apart, uninterrupted
from sklearn_ntk.engines._tasks import limit_threads
from sklearn_ntk.engines.numba import count_threads, tiles


@pytest.fixture(autouse=True)
def eight(monkeypatch):
    """Numba as it is on a machine with eight cores."""
    own = threading.local()

    def get():
        return getattr(own, "n", 8)

    monkeypatch.setattr(numba, "get_num_threads", get)
    monkeypatch.setattr(numba, "set_num_threads", lambda n: setattr(own, "n", n))
    monkeypatch.setattr(tiles, "get_num_threads", get)


FIRST_FIT = """
import os, signal, sys
import numpy as np
from sklearn_ntk import NTKKernel

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == "numba.core.types":  # numba is imported in part
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
X = np.eye(3)
try:
    NTKKernel()(X)
except KeyboardInterrupt:
    print("interrupted", NTKKernel()(X).shape)
"""


def test_ctrl_c_waits_for_the_import_of_numba():
    """It cannot be imported again, and so the process would be of no use."""
    command = [sys.executable, "-c", FIRST_FIT]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout == "interrupted (3, 3)\n"


@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_IGN, signal.SIG_DFL])
def test_what_waits_for_the_end_of_a_context(handler):
    """Also if it ends in an error, and in threads; what ignores signals goes on to."""
    before = signal.signal(signal.SIGINT, handler)
    try:
        if callable(handler):
            with pytest.raises(KeyboardInterrupt), uninterrupted():
                signal.raise_signal(signal.SIGINT)
                raise ZeroDivisionError
        with uninterrupted(), ThreadPoolExecutor(1) as pool:
            assert pool.submit(_within_context).result() == 3
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def _within_context():
    with uninterrupted():
        return 3


def test_a_limit_ends():
    with limit_threads(2):
        assert count_threads() == 2
        with limit_threads(4):
            assert count_threads() == 2
        with pytest.raises(ZeroDivisionError), limit_threads(1):
            raise ZeroDivisionError
        assert count_threads() == 2
    assert count_threads() == 8


def test_work_in_another_thread_takes_as_many():
    numba.set_num_threads(3)
    assert run_apart(count_threads) == 3


def test_tasks_at_a_time_come_in_order():
    running, most, lock, taken = set(), [], threading.Lock(), []

    def parts():
        for place in range(12):
            taken.append(place)
            yield place, place

    def task(one, other):
        with lock:
            running.add(one)
            most.append(len(running))
        time.sleep(0.02 if one % 3 else 0.06)
        with lock:
            running.discard(one)
        return one + other

    found = map_apart(task, parts(), 3)
    assert next(found) == 0
    assert len(taken) <= 7  # only some of the parts are taken ahead
    assert list(found) == list(range(2, 24, 2))
    assert max(most) == 3
    assert list(map_apart(task, parts(), 1)) == list(range(0, 24, 2))


@pytest.mark.parametrize("n_threads", [1, 2])
def test_errors_of_tasks_are_raised_and_end_the_others(n_threads):
    def task(place):
        if place == 3:
            raise ZeroDivisionError
        started.append(place)
        try:
            for _ in range(2 if place < 3 else 5000):
                threads.check_wanted()
                time.sleep(0.001)
        finally:
            started.remove(place)
        return place

    started, found = [], []
    with pytest.raises(ZeroDivisionError):
        found.extend(map_apart(task, ((place,) for place in range(100)), n_threads))
    assert not started  # all have ended


def test_an_error_ends_tasks_before_it_and_in_them():
    begun, ended = threading.Event(), threading.Event()

    def inner():
        begun.set()
        try:
            while True:
                threads.check_wanted()
                time.sleep(0.001)
        finally:
            ended.set()

    def task(place):
        if place == 0:
            return run_apart(inner)
        begun.wait()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(map_apart(task, ((place,) for place in (0, 1)), 2))
    assert ended.wait(5.0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks of POSIX")
def test_tasks_may_fork():
    """Threads that nobody waits for did not wait for each other before a fork."""
    go_on = threading.Event()

    def task(place):
        if place == 0:
            return 0
        go_on.wait()
        return subprocess.run([sys.executable, "-c", ""], preexec_fn=int, check=True).returncode

    found = map_apart(task, ((place,) for place in (0, 1, 2)), 3)
    assert next(found) == 0
    found.close()
    go_on.set()
    waiting = threading.Thread(target=threads._await_abandoned, daemon=True)
    waiting.start()
    waiting.join(20.0)
    assert not waiting.is_alive()


def test_tasks_that_are_not_waited_for_are_known():
    threads._await_abandoned()  # those of other tests
    go_on = threading.Event()

    def task(place):
        go_on.wait(0.2 * place or None)
        return place

    found = map_apart(task, ((place,) for place in (1, 0, 0)), 2)
    assert next(found) == 1 and not threads._abandoned
    found.close()
    assert len(threads._abandoned) == 1
    go_on.set()
    threads._await_abandoned()
    assert not threads._abandoned


INTERRUPTED = """
import os, signal, threading
import numpy as np
from sklearn_ntk._runtime.lapack import potrf

A = np.eye(3500, order="F")
potrf(np.eye(500, order="F"))
signal.signal(signal.SIGINT, signal.default_int_handler)
threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    potrf(A)
except KeyboardInterrupt:
    print("interrupted", flush=True)
if {forks}:
    if os.fork() == 0:
        print("child", flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("forks", [False, True])
def test_a_process_ends_and_forks_after_an_interrupt(forks):
    """It hung where threads of BLAS were in the middle of a factorisation."""
    code = INTERRUPTED.replace("{forks}", str(forks))
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    found = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120.0,
    )
    assert found.returncode == 0, found.stderr
    assert "interrupted" in found.stdout and ("child" in found.stdout) == forks
