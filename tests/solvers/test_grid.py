"""Leave-one-out errors of all ridges at all times: those of refits, at the cost of one."""

import time

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_ntk import NTKKernel
from sklearn_ntk.dynamics import Training
from sklearn_ntk.solvers import EarlyStopping, Ridge, loo_errors

RIDGES, TIMES = np.append(0.0, np.logspace(-6, 3, 10)), np.append(0.0, np.logspace(-3, 8, 23))


def problem(n, n_outputs=2):
    """Positive definite matrix, targets and uneven weights."""
    rng = np.random.default_rng(0)
    A = rng.normal(size=(n, 20))
    return A @ A.T / 20.0, rng.normal(size=(n, n_outputs)) + 1.0, rng.uniform(0.2, 4.0, n)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_errors_are_those_of_refits(is_weighted):
    K, Y, weights = problem(8)
    weights = weights if is_weighted else np.ones(8)
    ridges, times, errors = loo_errors(K, Y, RIDGES, TIMES, weights, learning_rate=0.7)
    assert errors.shape == (11, 24)
    variance = np.average((Y - np.average(Y, axis=0, weights=weights)) ** 2, 0, weights)
    squares = np.zeros((11, 24, 8, 2))
    for i in range(8):
        rest = np.delete(np.arange(8), i)
        for place, ridge in enumerate(ridges):
            flow = Training(K[np.ix_(rest, rest)], weights[rest], ridge, 0.7)
            missed = flow.predict(K[[i]][:, rest], Y[rest], times)[:, 0] - Y[i]
            squares[place, :, i] = missed**2
    expected = np.mean(np.average(squares, axis=2, weights=weights) / variance, axis=-1)
    assert_allclose(errors, expected, rtol=1e-6)


def test_edges_are_those_of_the_solvers():
    """Ridge regression after infinite time, early stopping without a ridge; defaults are theirs."""
    K, Y, weights = problem(12)
    ridges, times, errors = loo_errors(K, Y[:, 0], None, [2.0, np.inf], weights)
    path = Ridge().fit(K, Y[:, 0], weights)
    assert_allclose(ridges, path.values)
    assert_allclose(errors[:, 1], path.errors, rtol=1e-9)
    times, errors = loo_errors(K, Y, [0.0], None, weights)[1:]
    path = EarlyStopping().fit(K, Y, weights)
    assert_allclose(times, path.values[::-1])
    assert_allclose(errors[0], path.errors[::-1], rtol=1e-8)


def test_rows_that_are_equal():
    """The matrix is singular: without a ridge and after infinite time, what is left is finite."""
    X = np.repeat(np.random.default_rng(0).normal(size=(6, 2)), 2, axis=0)
    y = np.random.default_rng(1).normal(size=12)
    errors = loo_errors(NTKKernel(depth=1)(X), y, [0.0, 1e-9], [1.0, np.inf])[2]
    assert np.isfinite(errors).all()
    assert_allclose(errors[0], errors[1], rtol=1e-6)
    assert loo_errors([[1.0]], [2.0], [0.0, 1.0], [0.0, np.inf])[2].tolist() == [[0.0, 0.0]] * 2


@pytest.mark.slow
def test_the_grid_costs_about_the_eigenvectors():
    K, Y, _ = problem(600, 1)
    ridges, times = np.logspace(-6, 1, 50), np.logspace(0, 7, 50)
    loo_errors(K, Y, ridges, times)  # warm
    begin = time.process_time()
    loo_errors(K, Y, ridges, times)
    grid, begin = time.process_time() - begin, time.process_time()
    for ridge in ridges[:5]:
        Training(K, alpha=ridge)
    assert grid < time.process_time() - begin


@pytest.mark.parametrize("name", ["ridges", "times"])
@pytest.mark.parametrize("values", [[], [-1.0], [np.nan], ["1"]])
def test_refused(name, values):
    K, Y, _ = problem(5)
    with pytest.raises(ValueError, match=f"{name} must"):
        loo_errors(K, Y, **{name: values})


def test_one_ridge_and_one_time():
    K, Y, _ = problem(8)
    ridges, times, errors = loo_errors(K, Y, 0.3, 2.0)
    assert ridges == [0.3] and times == [2.0] and errors.shape == (1, 1)
