"""The limit of BLAS threads is shared by all who ask for it."""

import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from blas import limits, set_limit

from sklearn_ntk import NTKClassifierCV, NTKKernel, NTKRegressor
from sklearn_ntk._runtime import blas
from sklearn_ntk._runtime.blas import blas_for, single_threaded_blas


@pytest.fixture(autouse=True)
def two_threads():
    """A limit from which there is something to take away."""
    before = max(limits())
    set_limit(2)
    if set(limits()) != {2}:
        pytest.skip("needs a BLAS with threads of its own")
    yield
    after = limits()
    set_limit(before)
    assert set(after) == {2}


def all_single():
    return set(limits()) == {1}


def test_limit():
    with single_threaded_blas:
        assert all_single()
    assert not all_single()


def test_nested():
    with single_threaded_blas:
        with single_threaded_blas, single_threaded_blas:
            assert all_single()
        assert all_single()
    assert not all_single()


def test_the_last_to_leave_restores():
    """Whoever entered first."""
    entered, leave = threading.Event(), threading.Event()

    def user():
        with single_threaded_blas:
            entered.set()
            leave.wait(10.0)

    other = threading.Thread(target=user)
    with single_threaded_blas:
        other.start()
        assert entered.wait(10.0)
    assert all_single()
    leave.set()
    other.join()
    assert not all_single()


def test_error_inside():
    with pytest.raises(ZeroDivisionError), single_threaded_blas:
        raise ZeroDivisionError
    assert not all_single()


@pytest.mark.slow
def test_many_users():
    def use(seed):
        rng, seen = np.random.default_rng(seed), []
        for _ in range(20):
            with single_threaded_blas:
                time.sleep(1e-4 * rng.random())
                seen.append(all_single())
            time.sleep(1e-4 * rng.random())
        return all(seen)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(8)))


def use_in_child():
    with single_threaded_blas:
        raise SystemExit(0 if all_single() else 1)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_fork_while_in_use():
    """A child does not inherit a lock that nobody would release."""
    child = multiprocessing.get_context("fork").Process(target=use_in_child)
    with single_threaded_blas._lock:
        child.start()
    try:
        child.join(30.0)
        assert child.exitcode == 0
    finally:
        child.kill()


def test_few_rows_have_one_thread(monkeypatch):
    """Very few start none, and more gain by them, of many processors sooner."""
    for n_cpus, expected in ((2, [False, True, True, False]), (8, [False, True, False, False])):
        monkeypatch.setattr(blas, "_n_cpus", lambda n=n_cpus: n)
        found = []
        for n_rows in (10, 150, 500, 1000):
            with blas_for(n_rows):
                found.append(all_single())
        assert found == expected
    assert not all_single()


@pytest.mark.parametrize("model", [NTKRegressor(), NTKClassifierCV()])
def test_fits_of_few_rows_do(model, monkeypatch):
    """Whose rows may be a list."""
    seen, gram = [], NTKKernel.__call__

    def watched(self, *rows, **options):
        seen.append(all_single())
        return gram(self, *rows, **options)

    monkeypatch.setattr(NTKKernel, "__call__", watched)
    monkeypatch.setattr(blas, "_n_cpus", lambda: 2)
    X = np.random.default_rng(0).normal(size=(160, 2))
    model.fit(X.tolist(), X[:, 0] > 0.0)
    assert seen and all(seen)
    assert not all_single()


class Lazy:
    """Rows whose number is not known yet, as those of a data frame of Dask."""

    shape = (object(), 2)


@pytest.mark.parametrize("X", [np.array(3.0), None, Lazy(), "rows"], ids=lambda X: type(X).__name__)
def test_what_has_no_number_of_rows_is_refused_by_the_fit(X):
    """With the message of scikit-learn, not one of the context around it."""
    with pytest.raises((ValueError, TypeError), match=r"2D array|NoneType|float\(\)|could not"):
        NTKRegressor().fit(X, [0.0, 1.0])
