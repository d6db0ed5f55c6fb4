"""Conjugate gradients beside the exact solution, the residual they report, and the ridge chosen."""

import warnings

import numpy as np
import pytest
from large_problems import rows_of, values_of
from numpy.testing import assert_allclose, assert_array_equal
from ridge_problems import problem
from sklearn.gaussian_process.kernels import WhiteKernel

from sklearn_ntk import NTKKernel
from sklearn_ntk._runtime.errors import NotConverged
from sklearn_ntk.gram import ArrayOperator, KernelOperator, _operator
from sklearn_ntk.layers import Dense, Dropout
from sklearn_ntk.solvers import ConjugateGradient, Nystroem, Ridge, _iterations
from sklearn_ntk.solvers._iterations import System, memory_of_columns
from sklearn_ntk.solvers._preconditioner import pivoted_cholesky


@pytest.fixture(autouse=True, params=["single", "double"])
def precision(request, monkeypatch):
    """Few rows, too, have their matrix in single precision."""
    if request.param == "single":
        monkeypatch.setattr(_iterations, "DOUBLE_ROWS", 0)
    return request.param


@pytest.mark.slow
@pytest.mark.parametrize("ridge", [1.0, 1e-2, 1e-3])
def test_solution_is_the_exact_one(ridge):
    operator, Y, weights = rows_of(n=400)
    path = ConjugateGradient(ridge, tol=1e-8).fit(operator, Y, weights)
    exact = Ridge(ridge).fit(operator, Y, weights)
    assert path.value == ridge and path.solution.details.residual <= 1e-8
    X = operator.X[:50] + 0.1
    values, expected = values_of(path, operator, X), values_of(exact, operator, X)
    assert_allclose(values, expected, atol=1e-7)
    ratio = path.solution.precision / exact.solution.precision
    assert abs(ratio.mean() - 1.0) < 0.02 and ratio.std() < 0.2 and len(path.errors) == 0


def test_arrays_and_one_column():
    K, Y, weights = problem(n=60)
    for operator in (K, ArrayOperator(K)):
        path = ConjugateGradient(0.1, tol=1e-9, rank=5).fit(operator, Y[:, 0], weights)
        exact = Ridge(0.1).fit(K, Y, weights).solution
        assert_allclose(path.solution.dual, exact.dual, atol=1e-7)
        assert_allclose(path.solution.intercept, exact.intercept, atol=1e-7)


NOISY = (Dense(), "relu", Dropout(0.3), Dense())


@pytest.mark.slow
@pytest.mark.parametrize(
    "kernel", [NTKKernel() + WhiteKernel(0.5), NTKKernel(architecture=NOISY)], ids=["white", "drop"]
)
def test_noise_of_single_rows_is_in_the_matrix(kernel):
    """In the one in memory, in its factor, and in the true residual."""
    operator, Y, weights = rows_of(n=300)
    operator = KernelOperator(kernel, operator.X)
    path = ConjugateGradient(1e-2, tol=1e-8).fit(operator, Y, weights)
    exact = Ridge(1e-2).fit(operator, Y, weights)
    assert_allclose(path.solution.dual, exact.solution.dual, rtol=0, atol=1e-6)
    system = System(operator, weights, 20, 0)
    system.solve(Y, 1e-2, 1e-6, 100)
    V = np.ones((300, 1))
    assert_allclose(system.product(V), system.exact(V, 0.0), rtol=1e-5)


@pytest.mark.slow
def test_predictions_err_by_the_tolerance():
    operator, Y, weights = rows_of(n=400)
    exact = values_of(Ridge(1e-2).fit(operator, Y, weights), operator, operator.X)
    n_iter = []
    for tol in (1e-2, 1e-4, 1e-6):
        path = ConjugateGradient(1e-2, tol=tol).fit(operator, Y, weights)
        error = values_of(path, operator, operator.X) - exact
        assert np.sqrt(np.mean(error**2)) < 2.0 * tol
        n_iter.append(path.solution.details.n_iter)
    assert n_iter == sorted(n_iter) and n_iter[0] < n_iter[-1]


def test_residual_is_the_true_one():
    operator, Y, weights = rows_of(n=400)
    solution = ConjugateGradient(1e-2).fit(operator, Y, weights).solution
    root = np.sqrt(weights)[:, None]
    A = root * operator.dense() * root.T + 1e-2 * np.eye(len(Y))
    B = np.column_stack([root * (Y - np.average(Y, axis=0, weights=weights)), root])
    R = B - A @ solution.details.columns
    residual = np.max(np.linalg.norm(R, axis=0) / np.linalg.norm(B, axis=0))
    assert_allclose(solution.details.residual, residual, rtol=1e-6)


@pytest.mark.slow
def test_too_few_iterations_warn_and_a_fit_goes_on():
    operator, Y, weights = rows_of(n=400)
    with pytest.warns(NotConverged, match=r"after 40 iterations with a residual of .* tol=1e-06"):
        short = ConjugateGradient(1e-3, tol=1e-6, max_iter=40).fit(operator, Y, weights)
    first = short.solution.details
    assert first.n_iter == 40 and first.residual > 1e-6
    solver = ConjugateGradient(1e-3, tol=1e-6)
    longer = solver.fit(operator, Y, weights, start=first).solution.details
    whole = solver.fit(operator, Y, weights).solution.details
    assert longer.residual <= 1e-6 and longer.n_iter < whole.n_iter
    again = solver.fit(operator, Y, weights, start=longer).solution
    assert again.details.n_iter == 0
    assert_array_equal(again.details.columns, longer.columns)
    with pytest.raises(ValueError, match=r"start must have columns of shape \(400, 2\)"):
        solver.fit(operator, Y[:, :1], weights, start=first)


@pytest.mark.slow
def test_ridge_is_that_of_exact_errors():
    operator, Y, weights = rows_of(n=600, noise=0.3)
    exact = Ridge().fit(operator, Y, weights)
    path = ConjugateGradient().fit(operator, Y, weights)
    places = np.searchsorted(path.values, [path.value, exact.value])
    assert abs(places[0] - places[1]) <= 1
    shared = np.isin(exact.values, path.values)
    expected = exact.errors[shared]
    assert_allclose(path.errors[np.isin(path.values, exact.values)], expected, rtol=0.03)
    same = Ridge(path.value).fit(operator, Y, weights).solution
    ratio = path.solution.precision / same.precision
    assert abs(ratio.mean() - 1.0) < 0.02 and ratio.std() < 0.3
    assert_allclose(path.solution.gcv, same.gcv, rtol=0.05)


def test_ridges_that_are_given_are_searched():
    operator, Y, weights = rows_of(n=520, noise=0.3)
    ridges = [0.0, 1e-4, 1e-2, 1.0, 100.0]
    path = ConjugateGradient(ridges).fit(operator, Y, weights)
    assert set(path.values) <= set(ridges) and path.errors[path.best] == path.errors.min()


@pytest.mark.slow
def test_preconditioner_is_damped_and_saves_iterations():
    operator, Y, weights = rows_of(n=400)
    root, ridge = np.sqrt(weights), 1e-3
    B = root[:, None] * Y
    counts = []
    for rank, is_damped in ((1, False), (60, False), (60, True)):
        system = System(operator, weights, rank, 0)
        if not is_damped:
            system.precondition.damping = 0.0
        system.solve(B, ridge, 1e-6, 1000)
        counts.append(system.n_iter)
    assert counts[2] < 0.75 * counts[1] < 0.75 * counts[0]


@pytest.mark.parametrize("rank", [1, 7, 60])
def test_pivoted_cholesky_leaves_a_positive_matrix(rank):
    operator, _, weights = rows_of(n=80)
    root = np.sqrt(weights)
    factors, left, pivots = pivoted_cholesky(operator, root, rank, np.random.default_rng(0))
    (F,) = factors.ask(lambda factor: factor.known())
    rest = root[:, None] * operator.dense() * root - F.T @ F
    assert F.shape == (rank, 80) and len(set(pivots)) == rank
    assert_allclose(rest.diagonal(), left, atol=1e-12)
    assert_allclose(rest[pivots], 0.0, atol=1e-12)
    assert np.linalg.eigvalsh(rest)[0] > -1e-12


def test_pivots_end_at_the_numerical_rank():
    A = np.random.default_rng(0).normal(size=(50, 4))
    operator, rng = ArrayOperator(A @ A.T), np.random.default_rng(0)
    (F,) = pivoted_cholesky(operator, np.ones(50), 20, rng)[0].ask(lambda factor: factor.known())
    assert 4 <= len(F) <= 5
    assert_allclose(F.T @ F, A @ A.T, atol=1e-12)


def test_singular_matrix_without_a_ridge_is_refused():
    A = np.random.default_rng(0).normal(size=(50, 4))
    A -= A.mean(axis=0)
    with pytest.raises(ValueError, match=r"singular to working precision.*increase alpha"):
        ConjugateGradient(0.0, rank=10).fit(A @ A.T, A[:, 0])


@pytest.mark.parametrize("scale", [1e-290, 1e-80, 1e-20, 1e25, 1e90, 1e290])
def test_kernels_of_any_size(scale):
    operator, Y, weights = rows_of(n=100)
    K = scale * operator.dense()
    path = ConjugateGradient(1e-2 * scale, tol=1e-7).fit(K, Y, weights)
    exact = Ridge(1e-2 * scale).fit(K, Y, weights).solution
    assert_allclose(scale * path.solution.dual, scale * exact.dual, atol=1e-5)


def test_rows_of_one_column_and_of_all_sizes():
    """The kernel has few large eigenvalues, and its preconditioner needs all digits."""
    x = np.arange(60.0)[:, None]
    operator, y = KernelOperator(NTKKernel(), x), np.sin(0.5 * x[:, 0])
    ridge = 1e-6 * operator.diagonal().mean()
    path = ConjugateGradient(ridge, rank=20).fit(operator.dense(), y)
    expected = values_of(Ridge(ridge).fit(operator, y), operator, x)
    assert path.solution.details.residual < 1e-4
    assert_allclose(values_of(path, operator, x), expected, atol=1e-3)


def test_constant_targets():
    operator, _, weights = rows_of(n=100)
    for ridges in (None, 0.1):
        details = ConjugateGradient(ridges).fit(operator, np.zeros(100), weights).solution.details
        assert details.residual <= 1e-4 and not details.columns[:, 0].any()
    solution = ConjugateGradient(0.1).fit(operator, np.full(100, 3.0), weights).solution
    assert_allclose(solution.intercept, 3.0, rtol=1e-4)
    assert_allclose(solution.dual, 0.0, atol=1e-3)


def test_memory_is_asked_for_before_the_matrix(monkeypatch, precision):
    operator, Y, weights = rows_of(n=100)
    asked = []

    def refuse(device, n_bytes, what, remedy):
        asked.append(n_bytes)
        raise MemoryError(what)

    monkeypatch.setattr(_operator, "check_memory_of", refuse)
    monkeypatch.setattr(operator, "single", pytest.fail)
    monkeypatch.setattr(operator, "dense", pytest.fail)
    with pytest.raises(MemoryError, match="100 rows by conjugate gradients"):
        ConjugateGradient(0.1).fit(operator, Y, weights)
    matrix, columns = (4.0 if precision == "single" else 8.0) * 100**2, memory_of_columns(100, 3)
    assert asked == [matrix + columns]


def test_progress_is_told(capsys):
    operator, Y, weights = rows_of(n=300)
    ConjugateGradient(0.1, verbose=1).fit(operator, Y, weights)
    assert "Conjugate gradients: 100 %" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"tol": 0.0}, "tol must be a finite number > 0; got 0.0"),
        ({"max_iter": 0}, "max_iter must be at least 1; got 0"),
        ({"rank": 0}, "rank must be at least 1; got 0"),
        ({"ridges": -1.0}, "ridges must be a finite number >= 0; got -1.0"),
    ],
)
def test_bad_parameters(arguments, message):
    with pytest.raises(ValueError, match=message):
        ConjugateGradient(**arguments).fit(np.eye(3), np.arange(3.0))


def test_negative_diagonals_are_refused():
    K = np.diag([1.0] * 10 + [-3.0] * 10)
    for solver in (ConjugateGradient(4.0), Nystroem(4.0, 5, "rpcholesky")):
        with pytest.raises(ValueError, match="a diagonal >= 0; its least entry is -3"):
            solver.fit(K, np.arange(20.0))


def test_nearly_equal_rows_converge():
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(200, 3)), 2, axis=0) + 1e-9 * rng.normal(size=(400, 3))
    operator, y = KernelOperator(NTKKernel(), X), np.sin(X[:, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = ConjugateGradient(1e-3).fit(operator, y)
    assert path.solution.details.residual <= 1e-4
