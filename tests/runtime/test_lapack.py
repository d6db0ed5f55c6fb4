"""Factorisations of LAPACK: equal to NumPy's, in place, and without the interpreter's lock."""

import ctypes
import os
import signal
import threading
import time

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_ntk._runtime import lapack


def positive(n, dtype=float):
    A = np.random.default_rng(0).normal(size=(n, n + 5))
    return np.asfortranarray((A @ A.T + n * np.eye(n)).astype(dtype))


@pytest.mark.parametrize("dtype", ["float64", "float32", ">f8", "float16"])
@pytest.mark.parametrize("n", [1, 2, 40])
def test_same_as_numpy(n, dtype):
    A, exact = positive(n, dtype), positive(n, dtype).astype(float)
    tol = 1e-5 if dtype == "float32" else 1e-12
    L = lapack.potrf(A.copy(order="F"))
    assert L.dtype == (np.float32 if dtype == "float32" else np.float64)
    assert_allclose(L, np.linalg.cholesky(exact), rtol=tol, atol=tol * n)
    assert_array_equal(np.triu(L, 1), 0.0)
    assert_allclose(lapack.trtri(L.copy(order="F")) @ L, np.eye(n), atol=tol)
    values, vectors = lapack.syevd(A.copy(order="F"))
    assert_allclose(values, np.linalg.eigvalsh(exact), rtol=10 * tol)
    assert_allclose(vectors * values @ vectors.T, exact, atol=tol * n * n)


def test_only_the_lower_half_is_read():
    A = positive(30)
    half = np.tril(A) + np.triu(np.full_like(A, np.nan), 1)
    assert_array_equal(lapack.potrf(half.copy(order="F")), lapack.potrf(A.copy(order="F")))
    assert_array_equal(lapack.syevd(half.copy(order="F"))[0], lapack.syevd(A.copy(order="F"))[0])


@pytest.mark.parametrize("function", [lapack.potrf, lapack.trtri, lapack.syevd])
def test_in_place_where_it_may_be(function):
    """Fortran order is overwritten; other orders, and what is read-only, are copied."""
    A = positive(30)
    found = function(A)
    assert np.shares_memory(found[1] if isinstance(found, tuple) else found, A)
    fixed, other = positive(30), np.ascontiguousarray(positive(30))
    fixed.flags.writeable = False
    for each in (fixed, other, positive(60)[::2, ::2]):
        before = each.copy()
        function(each)
        assert_array_equal(each, before)


def test_what_has_no_factor():
    A = positive(20)
    A[7, 7] = -1.0
    assert lapack.potrf(A.copy(order="F")) is None


def test_not_found(monkeypatch):
    monkeypatch.setattr(lapack, "_call", lambda *_: 3)
    with pytest.raises(np.linalg.LinAlgError, match="eigenvalues of a matrix of 4 rows"):
        lapack.syevd(positive(4))


@pytest.mark.parametrize("function", [lapack.potrf, lapack.syevd])
def test_other_threads_run_meanwhile(function):
    """One that only counts does so all the time."""
    A, ends, counts = positive(900), threading.Event(), []

    def count():
        while not ends.is_set():
            counts.append(time.perf_counter())
            time.sleep(0)

    thread = threading.Thread(target=count)
    thread.start()
    start = time.perf_counter()
    function(A)
    end = time.perf_counter()
    ends.set()
    thread.join()
    within = [each for each in counts if start < each < end]
    assert len(within) > 20


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_an_interrupt_ends_the_wait(request):
    """Of a factorisation that takes longer than the test may."""
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, usual))
    A, done = positive(2500), []
    timer = threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT))
    start = time.process_time()
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        lapack.syevd(A)
        done.append(True)
        timer.join()
        time.sleep(0.1)
    waited = time.process_time() - start
    assert not done and waited < 1.0


def test_no_rows_and_other_shapes():
    empty = np.zeros((0, 0))
    assert lapack.potrf(empty).shape == lapack.trtri(empty).shape == (0, 0)
    assert [each.shape for each in lapack.syevd(empty)] == [(0,), (0, 0)]
    for function in (lapack.potrf, lapack.trtri, lapack.syevd):
        for shape in ((3, 5), (5, 3), (4,)):
            with pytest.raises(ValueError, match="must be square; got shape"):
                function(np.ones(shape))


def test_eigenvectors_whose_workspace_has_too_many_numbers(monkeypatch):
    """Their count does not fit into 32 bits: another algorithm takes less."""
    A, call = positive(30), lapack._function

    def shorter(name, letter):
        return call(name, letter)[0], ctypes.c_int8

    monkeypatch.setattr(lapack, "_function", shorter)
    monkeypatch.setattr(lapack, "_call", None)
    values, vectors = lapack.syevd(A.copy(order="F"))
    assert_allclose(vectors * values @ vectors.T, A, atol=1e-10)
