"""Conjugate gradients where rounding errors, weights, means or outputs are large."""

import warnings

import numpy as np
import pytest
from large_problems import rows_of, values_of
from memory import peak
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_ntk import NNGPKernel, NTKKernel
from sklearn_ntk._runtime.errors import NotConverged
from sklearn_ntk.gram import KernelOperator
from sklearn_ntk.solvers import ConjugateGradient, Ridge, _iterations, _part, _trials
from sklearn_ntk.solvers._conjugate_gradient import rank_of
from sklearn_ntk.solvers._iterations import memory_of
from sklearn_ntk.solvers._preconditioner import Preconditioner
from sklearn_ntk.solvers._ridge import default_ridges


@pytest.fixture(autouse=True)
def single(monkeypatch):
    """Few rows, too, begin with a matrix in single precision, and a search with part of them."""
    monkeypatch.setattr(_iterations, "DOUBLE_ROWS", 0)
    monkeypatch.setattr(_part, "GUESS_ROWS", 150)


def smooth(kernel, n=300):
    """Operator and targets without noise: single precision is not positive definite."""
    X = np.random.default_rng(0).normal(size=(n, 2))
    return KernelOperator(kernel, X), np.sin(X[:, 0]) + 0.5 * X[:, 1]


@pytest.mark.parametrize("kernel", [NNGPKernel(activation="erf"), NTKKernel(activation="gelu")])
def test_small_ridges_of_smooth_kernels(kernel):
    operator, y = smooth(kernel)
    X = np.random.default_rng(1).normal(size=(50, 2))
    ridge = 1e-6 * operator.diagonal().mean()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = ConjugateGradient(ridge, rank=120).fit(operator, y)
    expected = values_of(Ridge(ridge).fit(operator, y), operator, X)
    assert_allclose(values_of(path, operator, X), expected, atol=2e-3)
    found = ConjugateGradient(rank=120).fit(operator, y)
    assert np.isfinite(found.errors[found.best])
    assert_allclose(values_of(found, operator, X), expected, atol=0.02)


def test_without_memory_for_double_precision_nothing_is_worse_than_zero():
    operator, y = smooth(NNGPKernel(activation="erf"))
    ridge = 1e-8 * operator.diagonal().mean()
    with pytest.warns(NotConverged, match=r"rounding errors allow no less.*'cholesky' or 'local'"):
        path = ConjugateGradient(ridge, rank=60, max_memory=1e5, max_iter=100).fit(operator, y)
    assert path.solution.details.residual <= 1.0
    assert np.abs(values_of(path, operator, operator.X)[:, 0] - y).max() < 1.1 * np.ptp(y)
    with pytest.warns(NotConverged, match="take solver='cholesky' or 'local'"):
        path = ConjugateGradient(rank=60, max_memory=1e5, max_iter=100).fit(operator, y)
    assert np.isfinite(path.errors[path.best]) and path.solution.details.residual <= 1.0
    assert np.std(values_of(path, operator, operator.X)[:, 0] - y) < 0.1


def test_exact_errors_of_some_rows_where_signs_tell_nothing():
    operator, y = smooth(NTKKernel(activation="gelu"))
    ridge = 1e-6 * operator.diagonal().mean()
    solution = ConjugateGradient(ridge, rank=60).fit(operator, y).solution
    rows = solution.rows
    exact = Ridge(ridge).fit(operator.take(rows), y[rows]).solution
    assert len(rows) == 150
    assert_allclose(solution.residuals, exact.residuals, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("unsure", [-1.0, np.inf])
def test_the_best_ridge_of_some_rows_is_that_of_all(monkeypatch, unsure):
    monkeypatch.setattr(_trials, "UNSURE", unsure)
    operator, Y, weights = rows_of(n=300, noise=0.3)
    solver = ConjugateGradient(seed=3)
    path = solver.fit(operator, Y, weights)
    rows = _part.part_of(Y, np.random.default_rng([3, 1]))
    values = Ridge().fit(operator, Y, weights).values
    part = Ridge(values).fit(operator.take(rows), Y[rows], weights[rows])
    assert path.value == part.value
    if unsure < 0.0:  # the signs tell nothing
        assert_array_equal(path.solution.rows, rows)
        assert_allclose(path.errors, part.errors, rtol=1e-8)
    else:
        assert path.solution.rows is None and len(path.errors) == 1
        exact = Ridge(path.value).fit(operator, Y, weights).solution
        assert_allclose(path.errors, solver.error(exact, Y, weights), rtol=0.05)


def exact_errors(ridges, problem, solver):
    """Leave-one-out errors of all rows."""
    solutions = (Ridge(float(ridge)).fit(*problem).solution for ridge in ridges)
    return [solver.error(each, *problem[1:]) for each in solutions]


@pytest.mark.parametrize("seed", range(3))
def test_a_neighbour_is_tried_by_the_same_products(monkeypatch, seed):
    problem = operator, Y, weights = rows_of(n=600, noise=0.3)
    solver = ConjugateGradient(seed=seed)
    rows = _part.part_of(Y, np.random.default_rng([seed, 1]))
    part = operator.take(rows), Y[rows], weights[rows]
    guess = Ridge(default_ridges(operator, weights, 600)).fit(*part).value
    alone = solver.fit(*problem)
    assert_allclose(alone.values, [guess])
    monkeypatch.setattr(_trials, "TOGETHER", 100)
    path = solver.fit(*problem)
    assert len(path.values) == 2 and guess in path.values
    assert path.values[1] / path.values[0] == pytest.approx(10.0**0.5)
    assert path.errors[path.best] == path.errors.min()
    assert_allclose(path.errors, exact_errors(path.values, problem, solver), rtol=0.05)
    each = [ConjugateGradient(float(value), seed=seed).fit(*problem) for value in path.values]
    n_apart = [one.solution.details.n_iter for one in each]
    assert max(n_apart) <= path.solution.details.n_iter < 0.8 * sum(n_apart)
    assert_allclose(path.solution.dual, each[path.best].solution.dual, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "change",
    [{"tol": 1e-3}, {"ridges": 0.1}, {"ridges": [1e-3, 0.1, 10.0]}, {"start": True}],
    ids=["rough", "given", "far", "start"],
)
def test_no_neighbour_is_tried(monkeypatch, change):
    monkeypatch.setattr(_trials, "TOGETHER", 100)
    problem, is_warm = rows_of(n=300, noise=0.3), change.pop("start", False)
    solver = ConjugateGradient(**change)
    start = ConjugateGradient(1e-2).fit(*problem).solution.details if is_warm else None
    path = solver.fit(*problem, start)
    assert len(path.values) == 1
    if "ridges" not in change and not is_warm:
        assert len(ConjugateGradient().fit(*problem).values) == 2


def test_the_better_neighbour_of_the_best_ridge_is_taken(monkeypatch):
    monkeypatch.setattr(_trials, "TOGETHER", 100)
    monkeypatch.setattr(_part, "GUESS_ROWS", 40)  # too few to be right
    problem, gains = rows_of(n=600, noise=0.5), []
    for seed in range(4):
        solver = ConjugateGradient(seed=seed)
        path = solver.fit(*problem)
        exact = exact_errors(path.values, problem, solver)
        assert exact[path.best] <= 1.001 * min(exact)
        guess = solver._replace(tol=1e-3).fit(*problem).value  # has no neighbours
        gains.append(exact[int(np.argmin(np.abs(path.values - guess)))] / exact[path.best])
    assert max(gains) > 1.005


def test_start_of_another_problem():
    operator, Y, weights = rows_of(n=300, noise=0.3)
    other = KernelOperator(NNGPKernel(activation="gelu"), operator.X)
    start = ConjugateGradient().fit(other, Y, weights).solution.details
    cold, warm = (ConjugateGradient().fit(operator, Y, weights, each) for each in (None, start))
    assert warm.value == cold.value and np.isfinite(warm.errors).all()
    assert_allclose(warm.solution.dual, cold.solution.dual, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("n, probes", [(100, 32), (5000, 32), (10_000, 16), (10**6, 8)])
def test_number_of_signs(n, probes):
    assert _trials.n_probes(n) == probes


def test_trials_that_do_not_converge_are_not_chosen():
    operator, _, weights = rows_of(n=300)
    with pytest.warns(NotConverged):
        path = ConjugateGradient(max_iter=4, rank=2).fit(operator, operator.X, weights)
    assert path.errors[0] == np.inf and np.isfinite(path.errors[path.best])
    assert path.best == len(path.values) - 1 > 0


def test_errors_with_rows_of_large_weight(monkeypatch):
    monkeypatch.setattr(_part, "GUESS_ROWS", 300)
    operator, Y, weights = rows_of(n=600, noise=0.3)
    weights[:20] = 1e4
    exact = Ridge().fit(operator, Y, weights)
    path = ConjugateGradient().fit(operator, Y, weights)
    assert 0.3 < path.value / exact.value < 3.5
    shared = np.isin(exact.values, path.values)
    found = path.errors[np.isin(path.values, exact.values)]
    assert_allclose(found, exact.errors[shared], rtol=0.15)


def test_tolerance_is_that_of_centred_targets():
    operator, Y, weights = rows_of(n=300)
    plain = ConjugateGradient(0.01).fit(operator, Y, weights).solution
    moved = ConjugateGradient(0.01).fit(operator, Y + 1e5, weights).solution
    assert_allclose(moved.dual, plain.dual, atol=1e-3)
    assert_allclose(moved.intercept, plain.intercept + 1e5, atol=1e-3)


def test_progress_ends_with_the_iterations(capsys):
    operator, Y, weights = rows_of(n=300)
    with pytest.warns(NotConverged, match="after 5 iterations"):
        ConjugateGradient(1e-3, max_iter=5, verbose=1).fit(operator, Y, weights)
    assert "Conjugate gradients: 100 %, done in" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 60])
def test_memory_is_not_more_than_the_estimate(k):
    operator, _, weights = rows_of(n=800)
    Y = np.random.default_rng(0).normal(size=(800, k))
    solver = ConjugateGradient(10.0, tol=1e-2)
    estimate = memory_of(800, rank_of(None, 800), k + 1 + _trials.n_probes(800))
    assert peak(lambda: solver.fit(operator, Y, weights)) < 1.1 * estimate + 8.0 * Y.size
    n_bytes = peak(lambda: Preconditioner(operator, weights, 400, np.random.default_rng(0)))
    assert n_bytes < 1.15 * memory_of(800, 400, 0)
