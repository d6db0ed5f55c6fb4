"""Methods as values: they fit arrays and operators alike."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from ridge_problems import smooth_problem

from sklearn_ntk import NTKKernel
from sklearn_ntk.gram import ArrayOperator, KernelOperator
from sklearn_ntk.solvers import ConjugateGradient, EarlyStopping, Local, Ridge

# --- Methods as values ----------------------------------------------------------------------------

METHODS = pytest.mark.parametrize(
    "method",
    [Ridge(0.3), Ridge([0.1, 1.0]), Ridge(), EarlyStopping(3.0), EarlyStopping()],
    ids=repr,
)


@METHODS
def test_arrays_and_operators_are_the_same(method):
    """What is passed stays as it is; targets may have one axis, and weights may be left out."""
    X = np.random.default_rng(0).normal(size=(8, 2))
    kernel, y = NTKKernel(1), X[:, 0]
    K = kernel(X)
    copies = K.copy(), y.copy()
    found = [
        method.fit(K, y),
        method.fit(ArrayOperator(K), y[:, None], np.ones(8)),
        method.fit(KernelOperator(kernel, X), y),
        method.fit(ArrayOperator(K.copy(), overwrite=True), y),
    ]
    for path in found[1:]:
        assert path.best == found[0].best
        assert_array_equal(path.values, found[0].values)
        assert_array_equal(path.solution.dual, found[0].solution.dual)
    assert_array_equal(K, copies[0])
    assert_array_equal(y, copies[1])


@METHODS
def test_solution_predicts_and_is_complete(method):
    X = np.random.default_rng(0).normal(size=(8, 2))
    K, y = NTKKernel(1)(X), X[:, 0]
    path = method.fit(K, y)
    solution = path.solution
    assert len(path.errors) in (0, len(path.values)) and path.value == path.values[path.best]
    assert solution.dual.shape == solution.residuals.shape == (8, 1)
    assert np.all(solution.precision > 0.0) and solution.gcv > 0.0
    errors = y - (K @ solution.dual + solution.intercept)[:, 0]
    assert np.sum(errors**2) < np.sum(solution.residuals**2)


def test_methods_are_values():
    assert Ridge(0.3) == Ridge(0.3) != Ridge(0.4) and Ridge(1.0) != EarlyStopping(1.0)
    assert repr(Ridge(0.3)) == "Ridge(ridges=0.3)" and repr(EarlyStopping()) == "EarlyStopping()"
    assert hash(Ridge()) == hash(Ridge())


@pytest.mark.parametrize("ridges", [[1.0, 0.1, 10.0], (10.0, 0.1, 1.0), np.array([0.1, 1.0, 10.0])])
def test_candidates_are_put_in_order(ridges):
    K, Y, weights = smooth_problem()
    assert_array_equal(Ridge(ridges).fit(K, Y, weights).values, [0.1, 1.0, 10.0])
    assert_array_equal(EarlyStopping(ridges).fit(K, Y, weights).values, [10.0, 1.0, 0.1])


def test_error_that_is_given_chooses():
    K, Y, weights = smooth_problem()
    for method in (Ridge, EarlyStopping):
        choice = method([1e-3, 1.0, 1e3], error=lambda solution, Y, weights: solution.gcv)
        path = choice.fit(K, Y, weights)
        found = method([1e-3, 1.0, 1e3]).solutions(ArrayOperator(K), Y, weights, is_whole=True)
        assert_allclose(sorted(path.errors), sorted(one.gcv for one in found))
        assert path.errors[path.best] == path.errors.min()


@pytest.mark.parametrize(
    "method, arguments, message",
    [
        (Ridge(-1.0), (), "ridges must be a finite number >= 0; got -1"),
        (Ridge([]), (), r"ridges must have a value to try; got \[\]"),
        (Ridge([1.0, np.nan]), (), "ridges must be a finite number >= 0; got "),
        (Ridge(is_smooth="no"), (), "is_smooth must be True or False; got 'no'"),
        (EarlyStopping([]), (), "times must have a value to try"),
        (EarlyStopping("long"), (), "times must be a number >= 0; got 'long'"),
        (EarlyStopping(1.0, learning_rate=0.0), (), "learning_rate must be a finite number > 0"),
        (Ridge(), (np.zeros((2, 3)),), r"K must be a symmetric array .* got shape \(2, 3\)"),
        (Ridge(), (np.eye(3), np.zeros(2)), r"Y must be an array \(3,\) or \(3, k\)"),
        (Ridge(), (np.eye(3), np.zeros(3), np.zeros(3)), "weights must be .* positive numbers"),
    ],
)
def test_bad_input(method, arguments, message):
    arguments += (np.eye(3), np.zeros(3))[len(arguments) :]
    with pytest.raises(ValueError, match=message):
        method.fit(*arguments)


@pytest.mark.slow
@pytest.mark.parametrize("n", [60, 520])
@pytest.mark.parametrize("method", [Ridge, ConjugateGradient, Local])
def test_some_rows_choose(method, n):
    """They are where targets have more noise than elsewhere."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 2))
    judges = np.flatnonzero(X[:, 0] > 0.0)
    y = np.sin(3.0 * X[:, 0]) + 0.01 * rng.normal(size=n)
    y[judges] += rng.normal(size=len(judges))
    operator = KernelOperator(NTKKernel(), X)
    others = np.setdiff1d(np.arange(n), judges)
    found = {
        name: method().fit(operator, y, judges=rows)
        for name, rows in (("judges", judges), ("others", others), ("all", None))
    }
    assert found["others"].value < found["judges"].value
    ridges = {*found["judges"].values, *found["others"].values}
    exact = {ridge: Ridge(ridge).fit(operator, y).solution.residuals for ridge in ridges}
    for name, rows in (("judges", judges), ("others", others)):
        path = found[name]
        for ridge, error in zip(path.values, path.errors, strict=True):
            assert_allclose(error, np.mean(exact[ridge][rows] ** 2) / y.var(), rtol=1e-5)
        solution = path.solution
        assert len(solution.residuals) == n and solution.rows is None
        part = solution.among(rows)
        assert_array_equal(part.rows, rows)
        assert_array_equal(part.residuals, solution.residuals[rows])
        assert_array_equal(part.precision, solution.precision[rows])
        assert_array_equal(part.among(rows[:3]).rows, rows[:3])
    assert found["all"].solution.among(None) is found["all"].solution


@pytest.mark.parametrize("method", [Ridge, ConjugateGradient, Local])
@pytest.mark.parametrize(
    "judges, match",
    [
        (np.ones(8, bool), "judges must be indices of rows; got an array of bool"),
        ([], "judges must be indices of rows"),
        ([0, 8], "judges must be indices from 0 to 7; got 8"),
        ([-1, 3], "got -1"),
        ([1, 1], "judges must differ from each other"),
    ],
)
def test_wrong_judges_are_refused(method, judges, match):
    X = np.random.default_rng(0).normal(size=(8, 2))
    with pytest.raises(ValueError, match=match):
        method().fit(KernelOperator(NTKKernel(), X), X[:, 0], judges=judges)
