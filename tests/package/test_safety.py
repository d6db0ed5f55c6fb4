"""Threads, processes, interrupts and pickles: what users do around a Gram matrix."""

import copy
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import joblib
import numba
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from processes import run
from sklearn.kernel_approximation import Nystroem
from sklearn.metrics.pairwise import pairwise_kernels

from sklearn_ntk import NNGPKernel, NTKClassifier, NTKKernel, NTKRegressor
from sklearn_ntk.activations import ACTIVATIONS, ELU, Erf, LeakyReLU, as_activation
from sklearn_ntk.architectures import mlp, resmlp
from sklearn_ntk.engines.numba import tile_work
from sklearn_ntk.engines.numba import tiles as _numba
from sklearn_ntk.gram import gram
from sklearn_ntk.layers import Dense, Output, Residual, lower

KERNELS = {
    "relu": NTKKernel(3),
    "erf": NNGPKernel(2, "erf"),
    "elu": NTKKernel(1, ELU(0.5)),
    "series": NNGPKernel(1, "tanh", weight_var=0.3),
    "single": NTKKernel(2, dtype="float32"),
    "residual": NTKKernel(architecture=resmlp(2, LeakyReLU(0.2)), n_frozen=1),
}
TOLERANCES = {"float64": 1e-12, "float32": 1e-5}
each_kernel = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
ignores_fork_warning = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def rows(n, d=5, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


@pytest.fixture(autouse=True)
def helpers(monkeypatch):
    """A second thread, however many cores there are and little to do."""
    monkeypatch.setattr(tile_work, "WORK_PER_THREAD", 1)
    monkeypatch.setattr(_numba, "get_num_threads", lambda: 2)


# --- Threads --------------------------------------------------------------------------------------


def test_threads_with_different_networks():
    """Eight of them at once get to the bit what one gets."""
    X, Y = rows(150), rows(100, seed=1)
    calls = [lambda kernel=kernel: kernel(X) for kernel in KERNELS.values()]
    calls += [lambda kernel=kernel: kernel(Y, X) for kernel in KERNELS.values()]
    calls += [lambda: NTKKernel(2, "gelu")(X, eval_gradient=True)[1]]
    calls += [lambda kernel=kernel: kernel.diag(X) for kernel in KERNELS.values()]
    expected = [call() for call in calls]
    with ThreadPoolExecutor(8) as pool:
        results = pool.map(lambda call: call(), calls * 3)
        for actual, desired in zip(results, expected * 3, strict=True):
            assert_array_equal(actual, desired)


def test_nested_in_threads_of_joblib():
    X = rows(150)
    jobs = [joblib.delayed(kernel)(X) for kernel in KERNELS.values()]
    features = Nystroem(KERNELS["relu"], n_components=20, n_jobs=2, random_state=0)
    jobs += [joblib.delayed(features.fit_transform)(X)] * 2
    for n_jobs in (2, 5):
        with joblib.parallel_config("threading", n_jobs=n_jobs):
            for actual, (call, arguments, _) in zip(joblib.Parallel()(jobs), jobs, strict=True):
                assert_array_equal(actual, call(*arguments))


@each_kernel
def test_pairwise_kernels_in_threads(kernel):
    X, Y = rows(40), rows(30, seed=1)
    actual, expected = (pairwise_kernels(X, Y, kernel, n_jobs=n_jobs) for n_jobs in (2, 1))
    np.testing.assert_allclose(actual, expected, rtol=TOLERANCES[actual.dtype.name])


def test_one_thread_starts_no_other(monkeypatch):
    """The number of threads is that of numba, which users and loky set."""
    monkeypatch.setattr(_numba, "get_num_threads", numba.get_num_threads)
    before = numba.get_num_threads()
    started = []
    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda self: (started.append(self), start(self)))
    try:
        numba.set_num_threads(1)
        gram(lower(mlp(3)), rows(600))
    finally:
        numba.set_num_threads(before)
    assert [thread.name for thread in started if "Executor" in thread.name] == []


# --- Processes ------------------------------------------------------------------------------------


def exit_code(child, seconds=60.0):
    """Of a forked child, which is killed if it does not end."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hangs"


def fork(function):
    """Child process that ends with 0 if the function returns true, without a word to pytest."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if function() else 2
        finally:
            os._exit(code)
    return child


@pytest.mark.slow
@needs_fork
@ignores_fork_warning
def test_children_compute():
    """Those that are forked after use, and a child of a child."""
    X = rows(300)
    expected = {name: kernel(X) for name, kernel in KERNELS.items()}

    def is_right():
        return all(np.array_equal(KERNELS[name](X), K) for name, K in expected.items())

    assert exit_code(fork(is_right)) == 0
    assert exit_code(fork(lambda: exit_code(fork(is_right), 30.0) == 0)) == 0
    assert is_right()


FORK_WHILE_BUSY = """
import os, sys, threading, time, warnings
import numpy as np
from sklearn_ntk import NTKKernel
from sklearn_ntk.engines.numba import tile_work
from sklearn_ntk.engines.numba import tiles as _numba

tile_work.WORK_PER_THREAD = 1
_numba.get_num_threads = lambda: 2
warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
X, Y = (np.random.default_rng(0).standard_normal((n, 5)) for n in (100, 2000))
kernel = NTKKernel(3)
expected, stopped = kernel(X), threading.Event()

def compute():
    while not stopped.is_set():
        kernel(Y)

other = threading.Thread(target=compute)
other.start()
codes = []
for _ in range(10):
    time.sleep(0.02)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(kernel(X), expected) else 2)
    codes.append(os.waitpid(child, 0)[1])
stopped.set()
other.join()
print(codes)
"""


@pytest.mark.slow
@needs_fork
def test_fork_while_another_thread_computes():
    """Our locks and limits do not survive in the child.

    With one thread of BLAS, because OpenBLAS with several may hang in a fork during a product,
    in the parent, without any help of ours.
    """
    single = {f"{name}_NUM_THREADS": 1 for name in ("OPENBLAS", "MKL", "OMP", "BLIS")}
    assert run(FORK_WHILE_BUSY, **single) == f"{[0] * 10}\n"


def compute_kernel(name):
    return KERNELS[name](rows(200))


@ignores_fork_warning
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_forked_pool():
    expected = [compute_kernel(name) for name in KERNELS]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = pool.map_async(compute_kernel, KERNELS).get(60.0)
    for actual, desired in zip(results, expected, strict=True):
        assert_array_equal(actual, desired)


@pytest.mark.thorough
def test_workers_of_loky():
    """To which joblib hands memory maps of the rows."""
    X = rows(200)
    jobs = [joblib.delayed(kernel)(X) for kernel in KERNELS.values()]
    results = joblib.Parallel(2, backend="loky", max_nbytes=100)(jobs)
    for actual, kernel in zip(results, KERNELS.values(), strict=True):
        np.testing.assert_allclose(actual, kernel(X), rtol=TOLERANCES[actual.dtype.name])


INTERRUPT = """
import os, signal, threading, time

signal.signal(signal.SIGINT, signal.default_int_handler)
sent = []

def interrupt():
    sent.append(time.process_time())
    os.kill(os.getpid(), signal.SIGINT)

def check(compute, compute_again):
    timer = threading.Timer(0.4, interrupt)
    try:
        timer.start()
        compute()
    except KeyboardInterrupt:
        compute_again()
        print("interrupted", time.process_time() - sent[-1])
    else:
        print("finished")

import numpy as np
from threadpoolctl import threadpool_info
from sklearn_ntk import NTKClassifier, NTKKernel

def blas_threads():
    return [info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"]

X = np.random.default_rng(0).standard_normal((8000, 3))
kernel = NTKKernel(60)
expected, threads = kernel(X[:300]), blas_threads()

def compute_again():
    assert np.array_equal(kernel(X[:300]), expected)
    assert blas_threads() == threads

check(lambda: kernel(X, X[::-1]), compute_again)

X, y = X[:500].repeat(2, axis=0), np.arange(1000) % 2  # each row is in both classes
model = NTKClassifier(kernel, loss="hinge", C=np.inf).fit(X[1:40:2], y[:20])
check(lambda: model.fit(X, y), lambda: model.fit(X[1:40:2], y[:20]).predict(X))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_interrupt():
    """A long kernel, and a long fit, end at once, all threads of them, and the next one works.

    What counts are seconds of processors, which do not depend on what else they do.
    """
    printed = run(INTERRUPT, OMP_NUM_THREADS=2).split("\n")[:-1]  # of BLAS, too
    assert len(printed) == 2
    for word, seconds in map(str.split, printed):
        assert word == "interrupted" and float(seconds) < 1.0


# --- Inputs and pickles ---------------------------------------------------------------------------


@pytest.mark.slow
@each_kernel
def test_memory_map(kernel, tmp_path):
    """Rows that are read from disk, and slices of them."""
    X = rows(100, 6)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    for part in (np.s_[:], np.s_[30:], np.s_[::3], np.s_[:, ::2], np.s_[::-2, 1:]):
        assert_array_equal(kernel(mapped[part]), kernel(X[part].copy()))
        assert_array_equal(kernel(mapped[part], mapped[part][:7]), kernel(X[part], X[part][:7]))
        assert_array_equal(kernel.diag(mapped[part]), kernel.diag(X[part]))
    model = NTKRegressor(kernel, alpha=0.1).fit(mapped, mapped[:, 0])
    expected = NTKRegressor(kernel, alpha=0.1).fit(X, X[:, 0]).predict(X)
    assert_array_equal(model.predict(mapped), expected)


FORMS = {
    "Fortran": np.asfortranarray,
    "transposed": lambda X: X.T.copy().T,
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3],
    "reversed": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "bool": lambda X: X.astype(bool),
    "int8": lambda X: X.astype(np.int8),
    "float16": lambda X: X.astype(np.float16),
    "float32": lambda X: X.astype(np.float32),
    "other bytes": lambda X: X.astype(X.dtype.newbyteorder()),
}


def results_of(X):
    """Gram matrices and predictions."""
    for kernel in KERNELS.values():
        yield kernel(X)
        yield kernel(X[:5], X)
    y = np.asarray(X[:, 0], dtype=np.float64) + np.arange(len(X))
    for model, target in ((NTKRegressor(alpha=0.1), y), (NTKClassifier(alpha=0.1), y > 20)):
        yield model.fit(X, target).predict(X)


@pytest.fixture(scope="module")
def ones_and_zeros():
    """Rows, and their results."""
    X = (rows(50) > 0.3).astype(np.float64)
    return X, list(results_of(X))


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_form_of_the_rows(form, ones_and_zeros):
    """Equal numbers give equal results, to the bit, of kernels and of estimators."""
    X, expected = ones_and_zeros
    Z = form(X)
    for found, other in zip(results_of(Z), expected, strict=True):
        assert found.dtype == other.dtype
        assert_array_equal(found, other)
    assert_array_equal(Z, X)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles(protocol):
    """All protocols; a copy computes what the original does."""
    X = rows(30)
    for kernel in (*KERNELS.values(), KERNELS["relu"] + 2.0 * KERNELS["erf"]):
        copy = pickle.loads(pickle.dumps(kernel, protocol))
        assert copy == kernel
        assert_array_equal(copy(X), kernel(X))
    models = NTKRegressor(depth=1, activation=Erf()), NTKClassifier(architecture=resmlp(1))
    for model in (models[0].fit(X, X[:, 0]), models[1].fit(X, X[:, 0] > 0)):
        assert_array_equal(pickle.loads(pickle.dumps(model, protocol)).predict(X), model.predict(X))
    network = (
        Dense(1.0, frozen=True),
        Residual((LeakyReLU(0.2), Dense())),
        Output(),
        "erf",
        Dense(),
    )
    copy = pickle.loads(pickle.dumps(network, protocol))
    assert copy == network
    assert_array_equal(gram(lower(copy), X), gram(lower(network), X))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_travel(name):
    """Also inside of layers."""
    network = (Dense(), Residual((as_activation(name), Dense())), as_activation(name), Dense())
    for value in (as_activation(name), network, NTKKernel(architecture=network)):
        for twin in (pickle.loads(pickle.dumps(value)), copy.deepcopy(value)):
            assert twin == value and type(twin) is type(value)
