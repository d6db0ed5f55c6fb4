"""Features that are learned from more rows than choose the network."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_ntk import NTKClassifier, NTKKernel, NTKRegressor, NTKRegressorCV
from sklearn_ntk.estimators import _choice, _features_of_many
from sklearn_ntk.estimators._choice_of_solver import bytes_of
from sklearn_ntk.estimators._features import learn
from sklearn_ntk.estimators._features_of_many import can_learn_more
from sklearn_ntk.gram import KernelOperator
from sklearn_ntk.solvers import Ridge

RELU = {"kernel": "ntk", "activation": "relu", "features": "full"}


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Few rows are many, and fewer choose the network."""
    monkeypatch.setattr(_choice, "MOST_ROWS", 80)
    monkeypatch.setattr(_features_of_many, "LEAST_ROWS", 150)
    monkeypatch.setattr(_features_of_many, "TEST_ROWS", 100)


def turned(n=500, d=6, noise=0.05):
    """Rows, and targets that depend on one direction of them that is no column."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d))
    return X, np.sin(2.0 * (X[:, 0] + X[:, 1])) + noise * rng.normal(size=n)


def counted(monkeypatch):
    """Numbers of rows and modes by which features of many rows are learned."""
    seen = []

    def count(kernel, X, features, Y, weights, dual, mode):
        seen.append((len(X), mode))
        return learn(kernel, X, features, Y, weights, dual, mode)

    monkeypatch.setattr(_features_of_many, "learn", count)
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["cholesky", "cg", "local"])
def test_more_rows_teach_better_features(solver, monkeypatch):
    X, y = turned(1000)
    X_test, y_test = turned(2000, noise=0.0)
    X_test, y_test = X_test[1000:], y_test[1000:]
    found = []
    for least in (150, 10**9):  # and with those of the rows that choose the network
        monkeypatch.setattr(_features_of_many, "LEAST_ROWS", least)
        model = NTKRegressor(solver=solver, leaf_size=400, **RELU).fit(X, y)
        found.append(np.mean((model.predict(X_test) - y_test) ** 2))
    assert found[0] < 0.7 * found[1] < 0.7 * 0.4


def test_they_are_learned_from_half_of_the_rows(monkeypatch):
    X, y = turned()
    seen = counted(monkeypatch)
    model = NTKRegressor(solver="cholesky", squash=None, **RELU).fit(X, y)
    assert seen == [(250, "full")] * 2
    rows = np.sort(np.random.default_rng(0).permutation(500)[:250])
    kernel, ones, features = NTKKernel(), np.ones(250), None
    X, Y = X[rows], (y - y.mean())[rows, None] / y.std()
    for _ in range(2):
        Z = X if features is None else X @ features
        dual = Ridge().fit(KernelOperator(kernel, Z), Y).solution.dual
        features = learn(kernel, X, features, Y, ones, dual, "full")
    assert_allclose(model.features_, features, rtol=0.05, atol=0.05 * np.abs(features).max())


def test_rows_of_cupy(gpu):
    X, y = turned()
    found = NTKRegressor(**RELU).fit(gpu.asarray(X), gpu.asarray(y))
    there = NTKRegressor(solver="cholesky", **RELU).fit(X, y)
    assert_allclose(gpu.asnumpy(found.features_), there.features_, atol=1e-2)
    predictions = gpu.asnumpy(found.predict(gpu.asarray(X[:20])))
    assert_allclose(predictions, there.predict(X[:20]), atol=1e-2)


def test_none_are_taken_that_do_not_help(monkeypatch):
    X, _ = turned()
    y = np.random.default_rng(1).normal(size=len(X)) + np.linalg.norm(X, axis=1)
    seen = counted(monkeypatch)
    model = NTKRegressor(solver="cg", **RELU).fit(X, y)
    assert seen == [(250, "full")]  # it ends when the error does not fall
    assert model.features_ is None


@pytest.mark.slow
@pytest.mark.parametrize("d, mode", [(6, "full"), (24, "diagonal")])
def test_classifiers_turn_columns_if_rows_are_more_than_entries(d, mode, monkeypatch):
    X, y = turned(d=d)
    seen = counted(monkeypatch)
    NTKClassifier(solver="cg").fit(X, y > 0.0)
    assert {each for _, each in seen} == {mode}
    seen.clear()
    NTKClassifier(solver="cg", features="diagonal").fit(X, y > 0.0)
    assert {each for _, each in seen} == {"diagonal"}


def test_without_features_the_network_is_the_best_one_without(monkeypatch):
    X, y = turned()
    monkeypatch.setattr(_features_of_many, "GAIN", 0.0)
    model = NTKRegressor(solver="cg").fit(X, y)
    assert model.features_ is None
    assert model.kernel_ is model.kernels_[int(np.argmin(model.kernel_errors_))]


def test_it_prints_what_conjugate_gradients_do_but_not_each_block(capsys):
    X, y = turned()
    NTKRegressor(solver="cg", verbose=1, **RELU).fit(X, y)
    assert "Gram matrix of 100 x" not in capsys.readouterr().out


def test_rows_are_as_many_as_the_memory_holds(monkeypatch):
    X, y = turned()
    seen = counted(monkeypatch)
    NTKRegressor(solver="local", leaf_size=200, **RELU).fit(X, y)
    assert {n for n, _ in seen} == {200}
    limited = NTKRegressor(solver="cg", **RELU)
    limited.solver_ = "cg"
    limited.set_params(max_memory=bytes_of(limited, "cg", 250))
    assert _features_of_many._split(limited, 500) == (250, 100)
    limited.set_params(max_memory=limited.max_memory - 1.0)
    assert _features_of_many._split(limited, 500) == (225, 100)
    limited.set_params(max_memory=1.0)
    assert not can_learn_more(limited, 500)


@pytest.mark.parametrize(
    "params", [{"solver": "nystroem", "n_components": 100}, {"training_time": 10.0}]
)
def test_fits_of_other_costs_learn_from_few_rows(params, monkeypatch):
    X, y = turned()
    seen = counted(monkeypatch)
    NTKRegressor(**params, **RELU).fit(X, y)
    assert not seen


@pytest.mark.slow
def test_a_search_compares_errors_of_all_rows(monkeypatch):
    X, y = turned(400)
    seen = counted(monkeypatch)
    NTKRegressorCV().fit(X, y)
    assert not seen


@pytest.mark.slow
def test_weights_are_repetitions():
    X, y = turned(400)
    repeats = np.where(np.arange(400) % 3, 1, 2)
    weighted = NTKRegressor(solver="cg", tol=1e-8, **RELU).fit(X, y, repeats)
    repeated = NTKRegressor(solver="cg", tol=1e-8, **RELU)
    repeated.fit(np.repeat(X, repeats, axis=0), np.repeat(y, repeats))
    assert weighted.features_ is not None
    assert_allclose(weighted.features_, repeated.features_, atol=1e-3)
    assert_allclose(weighted.predict(X[:20]), repeated.predict(X[:20]), atol=1e-3)
