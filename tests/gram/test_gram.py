"""Gram matrices: symmetry, shapes, inputs of every kind, extremes, threads and memory."""

import contextlib
import multiprocessing
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import oracle_duals
import pytest
from blas import limits, set_limit
from numba.core.event import install_recorder
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits

from sklearn_ntk.activations import ACTIVATIONS
from sklearn_ntk.architectures import mlp, resmlp
from sklearn_ntk.engines.numba import tile_work
from sklearn_ntk.engines.numba import tiles as _numba
from sklearn_ntk.engines.packing import sides
from sklearn_ntk.engines.reference import tiles as _numpy
from sklearn_ntk.gram import diagonal, gram
from sklearn_ntk.layers import lower

BOTH = ("nngp", "ntk")
PROGRAM = lower(mlp(3), 1.9, 0.1)
each_name = pytest.mark.parametrize("name", ACTIVATIONS)


def draw(n, d=3, seed=0):
    """Random rows."""
    return np.random.default_rng(seed).standard_normal((n, d))


def assert_close(actual, desired, tolerance=1e-14):
    """Equal up to a rounding relative to the largest entry."""
    assert_allclose(actual, desired, rtol=0.0, atol=tolerance * np.abs(desired).max())


@pytest.fixture
def set_threads(monkeypatch):
    """Function that sets the number of threads, however many cores there are and little to do."""
    monkeypatch.setattr(tile_work, "WORK_PER_THREAD", 1)
    return lambda n: monkeypatch.setattr(_numba, "get_num_threads", lambda: n)


# --- Symmetry, shapes, results --------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 255, 256, 257, 400])
def test_symmetric_to_the_bit(n, monkeypatch):
    """So are the derivatives; the diagonal is that of `diagonal`."""
    monkeypatch.setattr(sides, "BLOCK_COLUMNS", 320)
    X = draw(n)
    values, rates = gram(PROGRAM, X, get=BOTH, gradient=True)
    diagonals, diagonal_rates = diagonal(PROGRAM, X, BOTH, gradient=True)
    for matrix, expected in zip((*values, *rates), (*diagonals, *diagonal_rates), strict=True):
        assert_array_equal(matrix, np.swapaxes(matrix, 0, 1))
        assert_array_equal(matrix[np.arange(n), np.arange(n)], expected)


@pytest.mark.parametrize("n", [1, 64, 65, 257])
def test_symmetric_half_is_the_matrix(n):
    """The mirrored half is what a computation of all pairs gives."""
    X = draw(n)
    for half, all_pairs in zip(
        gram(PROGRAM, X, None, BOTH, True), gram(PROGRAM, X, X.copy(), BOTH, True), strict=True
    ):
        assert_close(np.stack(half), np.stack(all_pairs))
    assert_array_equal(gram(PROGRAM, X, X), gram(PROGRAM, X))


@pytest.mark.parametrize("n, m", [(1, 1), (1, 257), (65, 1), (63, 255), (64, 256), (65, 700)])
def test_blocks_of_rows_and_columns(n, m, monkeypatch):
    """Every part of a matrix is the matrix of the parts; a wrong tile border shows."""
    X, Y = draw(n), draw(m, seed=1)
    whole = gram(PROGRAM, X, Y, BOTH)
    assert np.shape(whole) == (2, n, m)
    single = np.array([[gram(PROGRAM, x[None], y[None], BOTH) for y in Y[::50]] for x in X[::20]])
    assert_close(np.stack(whole)[:, ::20, ::50], np.moveaxis(single[..., 0, 0], -1, 0))
    assert_close(np.swapaxes(gram(PROGRAM, Y, X, BOTH), 1, 2), whole)
    for columns in (1, 64, 300):
        monkeypatch.setattr(sides, "BLOCK_COLUMNS", columns)
        assert_close(gram(PROGRAM, X, Y, BOTH), whole)


def test_more_columns_than_a_block():
    n = sides.BLOCK_COLUMNS + 1
    X, Y = draw(2), draw(n, seed=1)
    whole = gram(PROGRAM, X, Y)
    assert_close(whole[:, n - 3 :], gram(PROGRAM, X, Y[n - 3 :]))
    both = np.vstack([X, Y])
    assert_close(gram(PROGRAM, both)[:2, 2:], whole)


def test_get():
    X, Y = draw(5), draw(4, seed=1)
    nngp, ntk = gram(PROGRAM, X, Y, BOTH)
    assert not np.array_equal(nngp, ntk)
    assert_array_equal(gram(PROGRAM, X, Y), ntk)
    for one in (gram, diagonal):
        pair = (X, Y) if one is gram else (X,)
        nngp, ntk = one(PROGRAM, *pair, get=BOTH)
        assert_array_equal(one(PROGRAM, *pair, get="nngp"), nngp)
        assert_array_equal(one(PROGRAM, *pair, get=("ntk", "nngp")), (ntk, nngp))
        (only,) = one(PROGRAM, *pair, get=("ntk",))
        assert_array_equal(only, ntk)
        values, rates = one(PROGRAM, *pair, get="nngp", gradient=True)
        assert_array_equal(rates, one(PROGRAM, *pair, get=BOTH, gradient=True)[1][0])
        assert rates.shape == (*nngp.shape, 2)
        assert_close(values, nngp)


@pytest.mark.parametrize("get", ["kernel", "NTK", ("ntk", "kernel"), "", ("ntk", "ntk")])
def test_wrong_get(get):
    X = draw(3)
    calls = [lambda: gram(PROGRAM, X, get=get), lambda: gram(PROGRAM, X, X.copy(), get)]
    for call in (*calls, lambda: diagonal(PROGRAM, X, get)):
        with pytest.raises(ValueError, match="get must be 'ntk', 'nngp' or a tuple of them; got"):
            call()


def test_results_are_fresh():
    X = draw(3)
    for result in (gram(PROGRAM, X), diagonal(PROGRAM, X), *gram(PROGRAM, X, gradient=True)):
        assert result.dtype == np.float64 and result.flags.writeable
        assert result.flags.c_contiguous
        expected = gram(PROGRAM, X)
        result[...] = 0.0
        assert_array_equal(gram(PROGRAM, X), expected)


def test_one_column():
    X = np.array([[2.0], [-1.0], [0.0], [2.0]])
    K = gram(lower(mlp(1), 2.0, 0.0), X, get="nngp")
    expected = np.array([[8, 0, 0, 8], [0, 2, 0, 0], [0, 0, 0, 0], [8, 0, 0, 8]])
    assert_allclose(K, expected, atol=1e-14)


@each_name
@pytest.mark.parametrize("network", [mlp, resmlp])
def test_gradient(name, network):
    """Central differences in the logarithms, of the matrix and of its diagonal."""
    X, Y, step = draw(6), draw(4, seed=1), 1e-4

    depth, weight_var = (1, 0.2) if name in oracle_duals.GROWING else (2, 1.0)

    def at(by_w, by_b, gradient=False):
        program = lower(network(depth, name), weight_var * np.exp(by_w), 0.2 * np.exp(by_b))
        values = gram(program, X, Y, BOTH, gradient)
        return np.stack(values[1]) if gradient else np.stack(values)

    differences = [(at(*h) - at(*-h)) / (2.0 * step) for h in step * np.eye(2)]
    assert_close(np.stack(differences, axis=-1), at(0.0, 0.0, gradient=True), 1e-7)


# --- Inputs ---------------------------------------------------------------------------------------


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


KINDS = {
    "read-only": read_only,
    "Fortran": np.asfortranarray,
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3],
    "reversed": lambda X: X[::-1].copy()[::-1],
    "float32": lambda X: X.astype(np.float32),
    "integer": lambda X: X.astype(int),
    "list": lambda X: X.tolist(),
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_input(make):
    """Equal numbers give equal results, compile nothing anew, and are left alone."""
    X, Y = np.round(4.0 * draw(70)), np.round(4.0 * draw(5, seed=1))
    expected = gram(PROGRAM, X), gram(PROGRAM, X, Y), gram(PROGRAM, Y, X), diagonal(PROGRAM, X)
    U, V = make(X), make(Y)
    with install_recorder("numba:compile") as recorder:
        actual = gram(PROGRAM, U), gram(PROGRAM, U, V), gram(PROGRAM, V, U), diagonal(PROGRAM, U)
    for one, other in zip(actual, expected, strict=True):
        assert one.dtype == np.float64
        assert_array_equal(one, other)
    assert len(recorder.buffer) == 0
    assert_array_equal(U, X)
    assert_array_equal(V, Y)


# --- Extremes -------------------------------------------------------------------------------------


def rows_of_all_kinds():
    """Random rows with equal, nearly equal, parallel, opposite and zero rows among them."""
    X = draw(12, 5)
    return np.vstack([X, X[0], X[1] + 1e-8, 2.0 * X[2], -X[:9], -0.7 * X[4], 0.0 * X[5]])


@pytest.mark.slow
@each_name
@pytest.mark.parametrize(
    "network, bias_var",
    [
        *((mlp, 0.0), (resmlp, 0.1)),
        *(pytest.param(*p, marks=pytest.mark.thorough) for p in ((mlp, 0.1), (resmlp, 0.0))),
    ],
)
def test_never_nan(name, network, bias_var):
    """Nor are covariances larger than the diagonal allows.

    Growing activations may overflow, which is told, and series may warn of their error.
    """
    X, Y = rows_of_all_kinds(), draw(4, 5, seed=1)
    program = lower(network(3, name), 2.0, bias_var)
    for scale in (1e-150, 1e-75, 1.0, 1e10, 1e30, 1e75, 1e150):
        with contextlib.ExitStack() as expected:
            if name in oracle_duals.SMOOTH:
                expected.enter_context(warnings.catch_warnings(action="ignore"))
            if name in oracle_duals.GROWING and not is_finite(program, np.vstack([scale * X, Y])):
                expected.enter_context(pytest.raises(ValueError, match="overflows"))
            check_kernels(program, scale * X, Y)


def is_finite(program, X):
    """Whether no row overflows."""
    with np.errstate(all="ignore"):
        rows = _numpy.scan_rows(program, (X * X).mean(axis=1), True)
    return all(np.isfinite(part).all() for part in rows[2:])


def check_kernels(program, X, Y):
    """Kernels are finite, and as large as their diagonals allow."""
    K, T = gram(program, X, None, BOTH)
    std = np.sqrt(np.diag(K))
    bound = std * std[:, None] + 1e-12 * np.maximum(std, std[:, None]) ** 2
    assert np.all(np.abs(K) <= bound)
    assert np.isfinite(T).all()
    assert np.isfinite(gram(program, X, Y, BOTH)).all()
    assert np.isfinite(gram(program, X, None, BOTH, gradient=True)[1]).all()


@pytest.mark.parametrize("scale", [1e153, 1e160, 1e300])
def test_overflow(scale):
    X = scale * draw(3)
    for call in (gram, diagonal):
        with pytest.raises(ValueError, match=r"overflows on rows whose .*scale the data"):
            call(lower(mlp(3), 1e3, 0.1), X)


@each_name
def test_positive_semidefinite(name):
    """Digits and near duplicates of them."""
    X = load_digits().data[:150] / 16.0
    noise = np.random.default_rng(0).standard_normal((60, 64))
    X = np.vstack([X, X[:60] + np.logspace(-12, -3, 60)[:, None] * noise, X[:3], 0.0 * X[:2]])
    for bias_var in (0.0, 0.1):
        program = lower(mlp(1 if name in oracle_duals.GROWING else 3, name), 2.0, bias_var)
        for K in gram(program, X, get=BOTH):
            eigenvalues = np.linalg.eigvalsh(K)
            assert eigenvalues[0] >= -1e-12 * eigenvalues[-1]


# --- Threads, processes, memory -------------------------------------------------------------------


@pytest.fixture
def blas_threads():
    """Two of them, where BLAS has threads of its own, and two after the test."""
    before = limits()
    set_limit(2)
    expected = limits()
    yield
    after = limits()
    set_limit(max(before, default=1))
    assert after == expected


@pytest.mark.slow
@pytest.mark.usefixtures("blas_threads")
@pytest.mark.parametrize("n_threads", [2, 3, 50])
def test_number_of_threads(n_threads, set_threads, monkeypatch):
    monkeypatch.setattr(sides, "BLOCK_COLUMNS", 256)
    X, Y = draw(600), draw(300, seed=1)
    set_threads(1)
    expected = gram(PROGRAM, X, get=BOTH), gram(PROGRAM, X, Y, BOTH)
    set_threads(n_threads)
    for _ in range(5):
        assert_close(gram(PROGRAM, X, get=BOTH), expected[0])
        assert_close(gram(PROGRAM, X, Y, BOTH), expected[1])


@pytest.mark.usefixtures("blas_threads")
def test_many_callers(set_threads):
    """Several Python threads at once, each with helpers of its own."""
    set_threads(2)
    inputs = [draw(100 + 37 * seed, seed=seed) for seed in range(8)]
    expected = [gram(PROGRAM, X) for X in inputs]
    with ThreadPoolExecutor(4) as pool:
        results = pool.map(lambda X: gram(PROGRAM, X), inputs * 5)
        for actual, desired in zip(results, expected * 5, strict=True):
            assert_close(actual, desired)


def send_gram(connection, X):
    connection.send(gram(PROGRAM, X))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_forked_child(set_threads):
    """A child that a user of several threads has forked computes, too, and comes to an end."""
    set_threads(2)
    X = draw(300)
    expected = gram(PROGRAM, X)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=send_gram, args=(sender, X))
    child.start()
    try:
        assert receiver.poll(60.0)
        assert_array_equal(receiver.recv(), expected)
        child.join(60.0)
        assert child.exitcode == 0
    finally:
        child.kill()


@pytest.mark.usefixtures("blas_threads")
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("where", ["first block", "calling thread", "helper"])
def test_error_in_a_block(where, error, set_threads, monkeypatch):
    """It reaches the caller, and the other threads stop, which wait for it in their blocks."""
    calls, caller, broken = [], threading.current_thread(), threading.Event()

    def fill(*arguments):
        calls.append(arguments)
        here = "calling thread" if threading.current_thread() is caller else "helper"
        if where == ("first block" if len(calls) == 1 else here):
            broken.set()
            raise error("broken")
        if len(calls) > 1:  # the first block is alone
            broken.wait(60.0)
            time.sleep(0.1)

    monkeypatch.setattr(_numba, "fill", fill)
    set_threads(3)
    with pytest.raises(error, match="broken"):
        gram(PROGRAM, draw(100 * _numba.BLOCK_ROWS), draw(1))
    assert len(calls) <= 20
