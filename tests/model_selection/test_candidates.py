"""Candidates: few passes give the kernels of all, and several of them predict together."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from plain import PLAIN
from scipy.optimize import minimize
from searches import GRID, both, classes, data_of, numbers
from sklearn.datasets import load_iris
from sklearn.gaussian_process.kernels import RBF

from sklearn_ntk import NNGPKernel, NTKClassifierCV, NTKRegressor, NTKRegressorCV
from sklearn_ntk.architectures import resmlp
from sklearn_ntk.estimators._columns import Columns
from sklearn_ntk.model_selection import _candidates, _passes
from sklearn_ntk.model_selection._grid import NETWORK, candidates_of

# --- Candidates -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("squash", [None, 3.0])
def test_one_pass_gives_what_single_kernels_give(monkeypatch, squash):
    X, y = numbers(12)
    columns = None if squash is None else Columns.fit(X, np.ones(12), squash)
    problem = problem_of(y[:, None], np.ones(12))._replace(X=X, columns=columns)
    grid = {**GRID, "n_frozen": [0, 1], "bias_var": [0.1, 0.5]}
    grids = [grid, {"architecture": [resmlp(2)]}, {"kernel": [RBF(2.0), NNGPKernel(1)]}]
    grids.append({"depth": [1, 2], "n_frozen": [0, 1], "column_layers": [1]})
    search = NTKRegressorCV(grids)
    points = candidates_of(search, *X.shape)
    calls = []
    gram = _passes.gram
    monkeypatch.setattr(_passes, "gram", lambda *a, **k: calls.append(a) or gram(*a, **k))
    found = 0
    for family in _passes.families([settings for _, settings in points]):
        (group,) = _passes.passes(family, len(X))
        for index, K in _passes.grams(group, problem):
            given = PLAIN | points[index][0] | {"squash": squash, "alpha": 1.0}
            model = NTKRegressor(**given).fit(X, y)
            assert_allclose(K, model.kernel_(model.X_fit_), rtol=1e-12)
            found += 1
    assert found == len(points)
    # activation, bias: neither depth nor frozen layers nor kernel; but all with column_layers
    assert len(calls) == 4 + 4
    # freezing more layers than there are, or any of the NNGP, is nothing new
    assert len(points) == 2 * 2 * (3 + 2 + 3) + 3 + 4


def test_memory_of_a_pass_is_bounded():
    common = {"kernel": "ntk", "activation": "relu", "weight_var": 2.0, "bias_var": 0.0}
    settings = [
        dict.fromkeys(NETWORK) | common | {"depth": depth, "n_frozen": n_frozen}
        for depth, n_frozen in [(0, 0), (1, 0), (1, 1), (2, 0), (2, 2), (4, 0)]
    ]

    (family,) = _passes.families(settings)

    def sizes(n):
        return [len(part) for part in _passes.passes(family, n)]

    assert sizes(100) == [6]
    assert sizes(2000) == [5, 1]  # 8 matrices: of four depths and two numbers of frozen layers
    assert sizes(4000) == [2, 2, 1, 1]
    assert sizes(10**5) == [1] * 6


def test_memory_of_passes(monkeypatch):
    """One pass is gone before the next one takes memory."""
    X, y = numbers(300)
    monkeypatch.setattr(_passes, "PASS_BYTES", 4 * 8 * 300**2)
    search = NTKRegressorCV({"depth": list(range(12))}, alphas=[0.1], combine=None)
    search.fit(X, y)
    tracemalloc.start()
    try:
        search.fit(X, y)
        assert tracemalloc.get_traced_memory()[1] < 7.5 * 8 * 300**2
    finally:
        tracemalloc.stop()


# --- Several candidates ---------------------------------------------------------------------------


def outcomes_of(predictions, Y):
    errors = [np.mean((P - Y) ** 2) for P in predictions]
    zero = np.zeros(1)
    return [
        _candidates.Outcome(k, zero, np.array([[-error]]), 0, error, P)
        for k, (error, P) in enumerate(zip(errors, predictions, strict=True))
    ]


def problem_of(Y, weights):
    n = len(Y)
    return _candidates.SelectionProblem(np.zeros((n, 1)), Y, weights, np.arange(n), None, "", None)


def test_stack_is_the_best_mixture():
    rng = np.random.default_rng(0)
    Y = rng.normal(size=(50, 2)) * [1.0, 100.0]
    predictions = Y + rng.normal(size=(6, 50, 2)) * np.array([0.3, 0.4, 0.5, 0.6, 2.0, 0.5])[
        :, None, None
    ] * [1.0, 100.0]
    weights = rng.uniform(0.5, 2.0, 50)
    found = _candidates.combine(outcomes_of(predictions, Y), problem_of(Y, weights), "stack")
    shares = np.zeros(6)
    for outcome, share in found:
        shares[outcome.index] = share
    spread = np.average((Y - np.average(Y, axis=0, weights=weights)) ** 2, axis=0, weights=weights)

    def error(shares):
        away = np.tensordot(shares, predictions, 1) - Y
        return np.average((away**2 / spread).mean(axis=1), weights=weights)

    best = minimize(
        error,
        np.full(6, 1 / 6),
        bounds=[(0, 1)] * 6,
        constraints={"type": "eq", "fun": lambda shares: shares.sum() - 1.0},
        tol=1e-14,
    )
    assert_allclose(shares, best.x, atol=1e-5)
    assert shares.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("constant", [0.0, 1234.567])
def test_constant_outputs_do_not_stack(constant):
    X, y = numbers(40)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, 40)
    alone = NTKRegressorCV(GRID).fit(X, y, weights)
    both = NTKRegressorCV(GRID).fit(X, np.stack([y, np.full(40, constant)], axis=1), weights)
    assert_allclose(both.weights_, alone.weights_, atol=1e-3)  # of candidates that are much alike
    assert_allclose(both.predict(X)[:, 0], alone.predict(X), rtol=1e-5)


def test_candidates_without_a_score_do_not_predict():
    """A linear kernel of many rows is not positive definite without a ridge."""
    X, y = numbers()
    search = NTKRegressorCV({"depth": [0, 1]}, alphas=[0.0], cv=3).fit(X, y)
    assert search.best_params_["depth"] == 1 and len(search.estimators_) == 1
    with pytest.raises(ValueError, match="No candidate has a finite score"):
        NTKRegressorCV({"depth": [0]}, alphas=[0.0], cv=3).fit(X, y)


def test_average_falls_with_the_error():
    Y = np.zeros((25, 1))
    predictions = [np.full((25, 1), size) for size in (1.0, 1.1, 5.0)]
    found = _candidates.combine(outcomes_of(predictions, Y), problem_of(Y, np.ones(25)), "average")
    assert [outcome.index for outcome, _ in found] == [0, 1]  # the third counts nothing
    assert_allclose(found[0][1] / found[1][1], 1.21**5)


def test_mixture_predicts_the_mean():
    X, y = numbers()
    search = NTKRegressorCV(GRID, combine="average").fit(X, y)
    assert len(search.estimators_) > 1 and search.weights_.sum() == pytest.approx(1.0)
    mean, std = search.predict(X, return_std=True)
    parts = [model.predict(X, return_std=True) for model in search.estimators_]
    means, stds = (np.array(items) for items in zip(*parts, strict=True))
    assert_allclose(mean, search.weights_ @ means)
    assert_allclose(std**2 + mean**2, search.weights_ @ (stds**2 + means**2))
    assert_allclose(np.sqrt(search.predict(X, return_cov=True)[1].diagonal()), std, rtol=1e-6)
    assert_allclose(search.predict(X), mean)


def test_mixture_of_classifiers():
    X, y = classes(60, load_iris)
    search = NTKClassifierCV(GRID, combine="average").fit(X, y)
    scores = sum(
        w * m.decision_function(X) for w, m in zip(search.weights_, search.estimators_, strict=True)
    )
    assert_allclose(search.decision_function(X), scores)
    P = np.exp(scores / search.temperature_)
    assert_allclose(search.predict_proba(X), P / P.sum(axis=1, keepdims=True))
    assert_array_equal(search.predict(X), search.classes_[scores.argmax(axis=1)])


@pytest.mark.slow
@both
@pytest.mark.parametrize("combine", ["stack", "average", None])
def test_weights_are_repetitions(cls, combine):
    X, y = data_of(cls)
    counts = np.random.default_rng(1).integers(0, 3, len(y))
    grid = {"depth": [0, 2], "kernel": ["ntk", "nngp"]}
    weighted = cls(grid, combine=combine).fit(X, y, counts)
    rows = np.repeat(np.arange(len(y)), counts)
    repeated = cls(grid, combine=combine).fit(X[rows], y[rows])
    assert_allclose(weighted.best_score_, repeated.best_score_, rtol=1e-8)
    assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-6)
