"""Factorisations in single precision with solutions in double precision."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_ntk import NNGPKernel, NTKKernel
from sklearn_ntk.gram import KernelOperator
from sklearn_ntk.solvers import Local, Ridge, _exact, _local, _mixed
from sklearn_ntk.solvers._factors import Cholesky, shift, try_cholesky
from sklearn_ntk.solvers._mixed import Mixed, try_mixed


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Few rows, too, have a factor in single precision."""
    monkeypatch.setattr(_mixed, "LEAST_ROWS", 100)


def gram(kernel, n=600, d=3):
    X = np.random.default_rng(0).normal(size=(n, d))
    return X, kernel(X)


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
@pytest.mark.parametrize("relative", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("k", [1, 3, 7])
def test_it_is_the_factorisation_in_double_precision(scale, relative, k):
    K = gram(NTKKernel())[1] * scale
    ridge = relative * K.diagonal().mean()
    exact, mixed = try_cholesky(shift(K.copy(), ridge)), try_mixed(K, ridge)
    assert isinstance(mixed, Mixed) and mixed.error < _mixed.ROUGH
    B = np.random.default_rng(1).normal(size=(len(K), k)) * 10.0 ** np.arange(k)
    expected = exact.solve(B)
    errors = np.linalg.norm(mixed.solve(B) - expected, axis=0) / np.linalg.norm(expected, axis=0)
    assert errors.max() < 10.0 * _mixed.EXACT
    ratio = mixed.inverse_diagonal() / exact.inverse_diagonal()
    assert abs(ratio - 1.0).max() < _mixed.ROUGH and abs(ratio - 1.0).mean() < 1e-3
    assert mixed.log_determinant() == pytest.approx(exact.log_determinant(), rel=1e-5, abs=0.1)


@pytest.mark.parametrize("activation", ["relu", "gelu", "erf"])
def test_its_error_tells_of_diagonals(activation):
    """It is refused where they could be wrong by more than a few hundredths, and only there."""
    K, taken = gram(NNGPKernel(activation=activation), d=2)[1], []
    for relative in 10.0 ** np.arange(-8.0, 0.0):
        ridge = relative * K.diagonal().mean()
        mixed = try_mixed(K, ridge)
        taken.append(mixed is not None)
        if mixed is not None:
            exact = try_cholesky(shift(K.copy(), ridge)).inverse_diagonal()
            wrong = abs(mixed.inverse_diagonal() / exact - 1.0)
            assert wrong.max() < 5.0 * _mixed.ROUGH and wrong.mean() < 2e-3
    assert not taken[0] and all(taken[-2:])


def test_what_it_is_not_for():
    _, K = gram(NTKKernel())
    assert try_mixed(K[:99, :99], 1.0) is None
    assert try_mixed(K - 2.0 * np.eye(len(K)) * K.diagonal().max(), 0.0) is None
    assert try_mixed(np.zeros((200, 200)), 0.0) is None
    for scale in (1e-35, 1e35):
        assert try_mixed(K * scale, scale) is None


def test_zero_columns_have_zero_solutions():
    _, K = gram(NTKKernel())
    B = np.zeros((len(K), 2))
    B[:, 1] = 1.0
    found = try_mixed(K, 1.0).solve(B)
    assert not found[:, 0].any()
    assert_allclose(found[:, 1], try_cholesky(shift(K.copy(), 1.0)).solve(B)[:, 1], rtol=1e-7)


@pytest.mark.parametrize("ridges", [0.1, None], ids=["given", "chosen"])
def test_leaves_are_those_of_double_precision(monkeypatch, ridges):
    rng = np.random.default_rng(0)
    X, weights = rng.normal(size=(1500, 3)), rng.uniform(0.5, 2.0, 1500)
    Y = np.column_stack([np.sin(X[:, 0]), X[:, 1]]) + 0.3 * rng.normal(size=(1500, 2))
    made, first = [], Mixed.__init__
    monkeypatch.setattr(Mixed, "__init__", lambda self, *args: made.append(first(self, *args)))
    solver, problem = Local(ridges, leaf_size=600), (KernelOperator(NTKKernel(), X), Y, weights)
    rough = solver.fit(*problem)
    assert made
    monkeypatch.setattr(_mixed, "LEAST_ROWS", np.inf)
    exact = solver.fit(*problem)
    assert rough.value == exact.value
    assert_allclose(rough.errors, exact.errors, rtol=1e-3)
    for name in ("residuals", "precision", "training_residuals", "leverages"):
        found, expected = (getattr(each.solution, name) for each in (rough, exact))
        assert_allclose(found, expected, rtol=0.01, atol=1e-3)
    for one, other in zip(
        rough.solution.details.leaves, exact.solution.details.leaves, strict=True
    ):
        assert_allclose(one.dual, other.dual, rtol=1e-6, atol=1e-8)
        assert_allclose(one.intercept, other.intercept, rtol=1e-6, atol=1e-8)


def test_a_given_ridge_that_needs_a_jitter_gets_it():
    X = np.repeat(np.random.default_rng(0).normal(size=(150, 2)), 4, axis=0)
    problem = KernelOperator(NNGPKernel(), X), np.sin(X[:, :1]), np.ones(600)
    with pytest.warns(Warning, match="was added to its diagonal"):
        (found,) = _local._fit_leaf(*problem, ridges=np.array([0.0]), is_given=True, refused=set())
    with pytest.warns(Warning, match="was added to its diagonal"):
        expected = Ridge(0.0).fit(*problem).solution
    assert_allclose(found.dual, expected.dual)


def test_what_was_refused_is_not_tried_for_smaller_ridges(monkeypatch):
    K, tried = gram(NNGPKernel(activation="erf"))[1], []
    first = _exact.try_mixed
    monkeypatch.setattr(
        _exact, "try_mixed", lambda K, ridge: tried.append(float(ridge)) or first(K, ridge)
    )
    ridges = np.array([1e-8, 1e-7, 1.0]) * K.diagonal().mean()
    refused = set()
    for expected in (ridges, ridges[2:]):
        found = list(_exact.factorisations(K, ridges, refused))
        assert tried == expected.tolist() and refused == set(ridges[:2])
        assert [type(each) for each in found[1:]] == [Cholesky, Mixed]
        tried.clear()
    assert [type(each) for each in _exact.factorisations(K, ridges[1:])] == [Cholesky] * 2
