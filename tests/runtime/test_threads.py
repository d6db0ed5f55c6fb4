"""Numbers of threads, which numba has for each thread of Python."""

import threading

import numba
import pytest

from sklearn_ntk._runtime.threads import run_apart
from sklearn_ntk.engines._work import limit_threads
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
