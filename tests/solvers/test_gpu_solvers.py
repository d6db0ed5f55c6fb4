"""Solvers on Gram matrices in the memory of a GPU, or of the stand-in for CuPy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from ridge_problems import problem
from scipy.linalg import LinAlgWarning

from sklearn_ntk.dynamics import Descent, HeavyBall, Training
from sklearn_ntk.gram import ArrayOperator
from sklearn_ntk.solvers import ConjugateGradient, EarlyStopping, Ridge, _exact, loo_errors
from sklearn_ntk.solvers import _ridge as solvers

SOLVERS = [
    Ridge(0.3),
    Ridge(),
    EarlyStopping(20.0, alpha=0.1),
    EarlyStopping(),
    EarlyStopping([3.0, 30.0], learning_rate=0.1, method=HeavyBall(0.5)),
    EarlyStopping(5.0, learning_rate=0.3, method=Descent()),
]
solver = pytest.mark.parametrize("solver", SOLVERS, ids=lambda each: str(each)[:40])


def parts_of(result):
    return result if isinstance(result, tuple) else (result,)


def places(gpu):
    """Functions that put an array into the memory of the GPU, and of the machine."""
    return gpu.asarray, np.asarray


def assert_same(found, expected):
    """Paths of the same values, all of NumPy."""
    for one, other in ((found, expected), (found.solution, expected.solution)):
        for part, known in zip(one[:-1], other[:-1], strict=True):
            if isinstance(known, np.ndarray):
                assert type(part) is np.ndarray
                size = np.abs(known).max(initial=0.0)
                assert_allclose(part, known, rtol=1e-9, atol=1e-11 * size)
    assert found.best == expected.best and found.shift == expected.shift


@solver
@pytest.mark.parametrize("limit", [1000, 0], ids=["spectrum", "cholesky"])
def test_same_paths(gpu, monkeypatch, solver, limit):
    """With unequal weights, and all alike."""
    monkeypatch.setattr(_exact, "SPECTRAL_LIMIT", limit)
    monkeypatch.setattr(solvers, "SUBSET_ROWS", 6)
    K, Y, weights = problem(n_outputs=2)
    for some in (weights, None):
        on_device = gpu.asarray(K)
        assert_same(solver.fit(on_device, Y, some), solver.fit(K, Y, some))
        assert np.array_equal(on_device.get(), K)
    if solver[0] is None or np.ndim(solver[0]):
        operators = [ArrayOperator(place(K)) for place in places(gpu)]
        all_found, known = (solver.solutions(one, Y, weights, True) for one in operators)
        for one, other in zip(all_found, known, strict=True):
            assert_allclose(one.residuals, other.residuals, rtol=1e-8)


def test_columns_of_the_inverse(gpu, monkeypatch):
    """In blocks that do not divide the number of rows."""
    from sklearn_ntk.engines.cupy import factors

    monkeypatch.setattr(factors, "COLUMNS", 7)
    K = problem()[0]
    A = K + np.eye(len(K))
    found = factors.try_cholesky(gpu.asarray(A))
    assert_allclose(found.inverse_diagonal(), np.linalg.inv(A).diagonal(), rtol=1e-10)
    assert_allclose(found.log_determinant(), np.linalg.slogdet(A)[1], rtol=1e-12)
    B = np.random.default_rng(0).standard_normal((len(K), 3))
    assert_allclose(A @ found.solve(B), B, atol=1e-10)
    on_device = found.solve(gpu.asarray(B))
    assert isinstance(on_device, gpu.ndarray) and np.array_equal(on_device.get(), found.solve(B))


def test_not_positive_definite(gpu):
    """CuPy's own factorisation does not say so."""
    from sklearn_ntk.engines.cupy import factors

    K, Y, _ = problem()
    bad = K - 2.0 * np.trace(K) * np.eye(len(K))
    assert factors.try_cholesky(gpu.asarray(bad)) is None
    texts = []
    for place in places(gpu):
        with pytest.raises(ValueError, match="must be positive definite; its smallest") as error:
            Ridge(0.0).fit(place(bad), Y)
        texts.append(str(error.value))
        with pytest.warns(LinAlgWarning, match="was added to its diagonal"):
            Ridge(0.0).fit(place(np.ones((2, 2))), Y[:2])
    assert texts[0] == texts[1]


def test_eigenvalues_that_fail(gpu, monkeypatch):
    """CuPy tells only if it is asked to."""
    if not hasattr(gpu, "LOG"):
        pytest.skip("lets the stand-in fail")
    K, Y, _ = problem()
    monkeypatch.setattr(gpu.linalg, "MOST", 3)
    with pytest.raises(np.linalg.LinAlgError, match=r"of a matrix of \d+ rows, .*xsyevd.*'cpu'\.$"):
        EarlyStopping(20.0).fit(gpu.asarray(K), Y)


def test_bad_matrices(gpu):
    K, Y, _ = problem()
    K[0, 1] += 1.0
    texts = []
    for place in places(gpu):
        with pytest.raises(ValueError, match="K must be a symmetric array") as error:
            Ridge(1.0).fit(place(K), Y)
        texts.append(str(error.value))
    assert texts[0] == texts[1]


def test_training(gpu):
    """Also of networks without a constant, and of new rows; steps that grow without some row."""
    K, Y, weights = problem(n_outputs=2)
    cross, n = K[:5] + 0.1, len(K)
    for options in ({}, {"fit_intercept": False}):
        found, expected = (Training(place(K), weights, 0.1, **options) for place in places(gpu))
        pair = found, expected
        names = ("coefficients", "losses", "time_to", "residuals", "rotated")
        for name, second in zip(names, ([1.0, 9.0], 2.0, 0.1, 2.0, 2.0), strict=True):
            parts = (parts_of(getattr(each, name)(Y, second)) for each in pair)
            for part, other in zip(*parts, strict=True):
                assert_allclose(part, other, rtol=1e-8, atol=1e-10)
        for place in places(gpu):
            outputs = found.left_out(place(cross), Y, 2.0)
            assert_allclose(outputs, expected.left_out(cross, Y, 2.0), rtol=1e-9)
            V, *sides = found.reduction(place(cross), 2.0)
            assert isinstance(V, type(place(cross)))
            V = V.get() if place is gpu.asarray else V
            known, *others = expected.reduction(cross, 2.0)
            assert_allclose(V.T @ V, known.T @ known, rtol=1e-9)
            for part, other in zip(sides, others, strict=True):
                assert_allclose(part, other, rtol=1e-9)
    assert_allclose(found.variances(3.0), expected.variances(3.0), rtol=1e-9)
    heavy = np.where(np.arange(n) == 3, 5.0, 1.0)
    rate = 0.9 * Training(K, heavy, method=Descent()).max_learning_rate
    found, expected = (
        Training(place(K), heavy, 0.0, rate, Descent()).residuals(Y, 7.0) for place in places(gpu)
    )
    assert_allclose(found, expected, rtol=1e-8)


def test_all_ridges_at_all_times(gpu):
    K, Y, weights = problem()
    found, expected = (loo_errors(place(K), Y, weights=weights) for place in places(gpu))
    for part, other in zip(found, expected, strict=True):
        assert_allclose(part, other, rtol=1e-9)


def test_conjugate_gradients(gpu):
    """Kernels on a GPU leave the matrix in single precision there."""
    from sklearn_ntk import NTKKernel
    from sklearn_ntk.gram import KernelOperator

    X = np.random.default_rng(0).standard_normal((150, 4))
    found, expected = (
        ConjugateGradient(0.1).fit(KernelOperator(NTKKernel(device=device), X), X[:, 0])
        for device in ("cuda", None)
    )
    assert_allclose(found.solution.dual, expected.solution.dual, atol=1e-3)
    assert isinstance(KernelOperator(NTKKernel(device="cuda"), X).single(), gpu.ndarray)


def test_products(gpu):
    """Of a matrix that a GPU computes, no entry comes down."""
    from sklearn_ntk import NTKKernel
    from sklearn_ntk.gram import KernelOperator

    X, B = np.random.default_rng(0).standard_normal((2, 150, 4))
    expected = KernelOperator(NTKKernel(), X) @ B
    operator = KernelOperator(NTKKernel(device="cuda"), X)
    if hasattr(gpu, "LOG"):
        gpu.LOG.clear()
    assert_allclose(operator @ B, expected, rtol=1e-12)
    assert not hasattr(gpu, "LOG") or gpu.LOG.from_device <= 2 * B.nbytes
    if gpu.cuda.runtime.getDeviceCount() > 1:
        elsewhere = KernelOperator(NTKKernel(device="cuda:1"), X)
        assert_allclose(elsewhere @ B, expected, rtol=1e-12)


def test_transfers(gpu):
    """Of a matrix with 600 rows, a few numbers for each row come down for each ridge."""
    log = getattr(gpu, "LOG", None)
    if log is None:
        pytest.skip("counts bytes by the stand-in")
    x = np.random.default_rng(0).standard_normal((600, 3))
    K, y = gpu.asarray(np.exp(-((x[:, None] - x) ** 2).sum(axis=2))), x[:, 0]
    log.clear()
    Ridge().fit(K, y)
    assert log.from_device <= 15 * 8 * 5 * len(K)  # all ridges that there are
    log.clear()
    Ridge(1.0).fit(K, y)
    assert log.from_device <= 8 * 5 * len(K)
    log.clear()
    EarlyStopping(10.0).fit(K, y)
    assert log.from_device <= 8 * 200 * len(K)
