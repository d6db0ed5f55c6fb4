"""Features that are learned from more rows than choose the network."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_ntk import NTKClassifier, NTKClassifierCV, NTKKernel, NTKRegressor
from sklearn_ntk.estimators import _candidates, _choice, _features_of_many, _fits
from sklearn_ntk.estimators._choice_of_solver import memory_beside
from sklearn_ntk.estimators._features import learn
from sklearn_ntk.estimators._features_of_many import can_learn_more
from sklearn_ntk.estimators._solvers import SOLVERS, Size
from sklearn_ntk.estimators._uncertainty import find_spread
from sklearn_ntk.gram import KernelOperator
from sklearn_ntk.solvers import Ridge, _part, _trials

RELU = {"kernel": "ntk", "activation": "relu", "features": "full"}


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Few rows are many, and fewer choose the network."""
    for module in (_choice, _candidates):
        monkeypatch.setattr(module, "MOST_ROWS", 80)
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
@pytest.mark.parametrize(
    "solver", ["cholesky", pytest.param("cg", marks=pytest.mark.thorough), "local"]
)
def test_more_rows_teach_better_features(solver, monkeypatch):
    X, y = turned(600)
    X_test, y_test = turned(1100, noise=0.0)
    X_test, y_test = X_test[600:], y_test[600:]
    found = []
    for least in (150, 10**9):  # and with those of the rows that choose the network
        monkeypatch.setattr(_features_of_many, "LEAST_ROWS", least)
        model = NTKRegressor(solver=solver, leaf_size=400, **RELU).fit(X, y)
        found.append(np.mean((model.predict(X_test) - y_test) ** 2))
    assert found[0] < 0.7 * found[1] < 0.7 * 0.4


def test_they_are_learned_from_all_rows_but_those_that_choose(monkeypatch):
    X, y = turned()
    seen = counted(monkeypatch)
    model = NTKRegressor(solver="cholesky", squash=None, **RELU).fit(X, y)
    assert seen == [(400, "full")] * 2
    rows, judges = np.split(np.random.default_rng(0).permutation(500), [400])
    rows = np.sort(rows)
    assert_array_equal(model._judges, np.sort(judges))
    kernel, ones, features = NTKKernel(), np.ones(400), None
    X, Y = X[rows], (y - y.mean())[rows, None] / y.std()
    for _ in range(2):
        Z = X if features is None else X @ features
        dual = Ridge().fit(KernelOperator(kernel, Z), Y).solution.dual
        features = learn(kernel, X, features, Y, ones, dual, "full")
    assert_allclose(model.features_, features, rtol=0.05, atol=0.05 * np.abs(features).max())


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["cholesky", "cg", "local"])
def test_rows_that_taught_nothing_choose_the_ridge(solver):
    """By their leave-one-out errors in the fit of all rows, or of their part of it."""
    X, y = turned(noise=0.5)
    model = NTKRegressor(solver=solver, squash=None, leaf_size=1000, **RELU).fit(X, y)
    K, judges = model.kernel_(X @ model.features_), model._judges
    for alpha, error in zip(model.alphas_, model.loo_errors_, strict=True):
        residuals = Ridge(alpha).fit(K, y).solution.residuals
        assert_allclose(error, np.mean(residuals[judges] ** 2) / y.var(), rtol=2e-10)
    assert model.loo_errors_.min() == model.loo_errors_[model.alphas_ == model.alpha_]


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["cholesky", "cg", "local"])
def test_intervals_are_by_rows_that_taught_nothing(solver):
    """Residuals of the others are too small."""
    X, y = turned(3600, d=8, noise=0.6)
    X, y = X[:1600], y[:1600]
    model = NTKRegressor(solver=solver, leaf_size=600, **RELU).fit(X[:600], y[:600])
    judges, methods = model._judges, ["jackknife+", *(["conformal"] if solver != "local" else [])]
    for method in methods:
        low, high = model.predict_interval(X[600:], method=method).T
        assert 0.88 < np.mean((low <= y[600:]) & (y[600:] <= high)) < 0.97
        model._judges = np.setdiff1d(np.arange(600), judges)
        narrow, wide = model.predict_interval(X[600:], method=method).T
        assert np.mean(wide - narrow) < 0.95 * np.mean(high - low)
        model._judges = judges
    with pytest.raises(ValueError, match="more than 100 training rows"):
        model.predict_interval(X[:2], coverage=0.995, method="jackknife+")


def test_noise_is_by_rows_that_taught_nothing_also_by_some_of_all(monkeypatch):
    """Where conjugate gradients cannot tell the errors of all rows, they are those of some."""
    X, y = turned(400, noise=0.5)
    monkeypatch.setattr(_trials, "UNSURE", -1.0)
    monkeypatch.setattr(_part, "GUESS_ROWS", 200)
    seen = []

    def keep(solution, *arguments):
        seen.append(solution.rows)
        return find_spread(solution, *arguments)

    monkeypatch.setattr(_fits, "find_spread", keep)
    model = NTKRegressor(solver="cg", **RELU).fit(X, y)
    assert_array_equal(seen[-1], model._judges)


@pytest.mark.parametrize(
    "model", [NTKRegressor(uncertainty="ensemble", **RELU), NTKClassifier(loss="log_loss")]
)
def test_half_of_the_rows_teach_where_all_choose(model, monkeypatch):
    X, y = turned(300)
    seen = counted(monkeypatch)
    model.fit(X, y > 0.0 if hasattr(model, "loss") else y)
    assert {n for n, _ in seen} == {150}
    assert model._judges is None


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
    assert seen == [(400, "full")]  # it ends when the error does not fall
    assert model.features_ is None
    assert model._judges is None


@pytest.mark.slow
@pytest.mark.parametrize("d, mode", [(6, "full"), (24, "diagonal")])
def test_classifiers_turn_columns_if_rows_are_more_than_entries(d, mode, monkeypatch):
    X, y = turned(d=d)
    seen = counted(monkeypatch)
    NTKClassifier(solver="cg").fit(X, y > 0.0)
    assert {each for _, each in seen} == {mode}
    if mode == "full":
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
    local = NTKRegressor(solver="local", leaf_size=250, **RELU).fit(X, y)
    (n,) = {n for n, _ in seen}
    assert n == 250  # at least as many as a leaf has
    for leaf_size, most in ((2000, 2000), (3000, 3000), (4000, 8748), (5000, 12_000)):
        local.set_params(leaf_size=leaf_size)
        assert _features_of_many._split(local, 20_000, 1) == (most, 100)
        of_leaf = SOLVERS["local"].n_bytes(local, Size(leaf_size, 1))
        is_little = SOLVERS["cg"].n_bytes(local, Size(most, 1)) <= of_leaf
        assert is_little or most == leaf_size
    assert memory_beside(local) == SOLVERS["local"].n_bytes(local, Size(5000, 1))
    assert memory_beside(local.set_params(max_memory=1e5)) == 1e5
    limited = NTKRegressor(solver="cg", **RELU)
    limited.solver_ = "cg"
    limited.set_params(max_memory=SOLVERS["cg"].n_bytes(limited, Size(400, 1)))
    assert _features_of_many._split(limited, 500, 1) == (400, 100)
    limited.set_params(max_memory=limited.max_memory - 1.0)
    assert _features_of_many._split(limited, 500, 1) == (360, 100)
    assert _features_of_many._split(limited, 300, 1) == (225, 75)
    limited.set_params(max_memory=1.0)
    assert not can_learn_more(limited, NTKKernel(), 500, 1)


@pytest.mark.parametrize(
    "params", [{"solver": "nystroem", "n_components": 100}, {"training_time": 10.0}]
)
def test_fits_of_other_costs_learn_from_few_rows(params, monkeypatch):
    X, y = turned()
    seen = counted(monkeypatch)
    NTKRegressor(**params, **RELU).fit(X, y)
    assert not seen


def test_a_search_compares_errors_of_all_rows(monkeypatch):
    X, y = turned(400)
    seen = counted(monkeypatch)
    NTKClassifierCV({"depth": [2]}, features="full").fit(X, y > 0.0)
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


@pytest.mark.parametrize("place", [0, 70, 90])
def test_features_are_taught_and_chosen_by_rows_whose_targets_vary(place):
    order = np.random.default_rng(0).permutation(100)
    y = np.zeros((100, 1))
    y[order[place : place + 5]] = 1.0
    rows, test, others = _features_of_many._draw(60, 20, y)
    assert np.ptp(y[rows]) == np.ptp(y[test]) == 1.0
    assert set(test) <= set(others) and not set(rows) & set(others)
    assert len(rows) + len(others) == 100 and abs(len(rows) - 60) <= 2
