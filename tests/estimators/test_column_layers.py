"""Estimators whose network has layers that take columns one by one."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import WhiteKernel

from sklearn_ntk import NTKClassifier, NTKKernel, NTKRegressor, NTKRegressorCV
from sklearn_ntk.architectures import column_mlp
from sklearn_ntk.estimators import _candidates, _choice, _features_of_many, _gradients
from sklearn_ntk.estimators._columns import Columns
from sklearn_ntk.model_selection import precomputed

COLUMNS = {"kernel": "ntk", "activation": "relu", "column_layers": 1}


def additive(n=120, d=4, noise=0.05, seed=0):
    """A sum of functions of single columns, two of which jump."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    y = 2.0 * (X[:, 0] > 0.3) + np.abs(X[:, 1]) + (np.abs(X[:, 2]) < 0.5) + np.sin(3.0 * X[:, 3])
    return X, y + noise * rng.normal(size=n)


def rotated(n=120, d=4, seed=0):
    """A smooth function of sums of all columns."""
    X = np.random.default_rng(seed).normal(size=(n, d))
    return X, np.sin(X.sum(axis=1)) + np.cos(X @ [1.0, -1.0, 1.0, -1.0])


def test_sums_of_functions_of_columns_get_neurons_of_columns():
    X, y = additive()
    model = NTKRegressor(features=None).fit(X, y)
    assert model.kernel_.column_layers == 1 and model.features_ is None
    dense = clone(model).set_params(column_layers=0).fit(X, y)
    assert {kernel.column_layers for kernel in dense.kernels_} == {0}
    new, truth = additive(500, noise=0.0, seed=1)
    errors = [np.mean((one.predict(new) - truth) ** 2) for one in (model, dense)]
    assert errors[0] < 0.8 * errors[1]
    assert NTKRegressor().fit(*rotated()).kernel_.column_layers == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "limits, is_tried", [((120, 4), True), ((119, 4), False), ((120, 3), False)], ids=str
)
def test_few_rows_of_few_columns_try_it(limits, is_tried, monkeypatch):
    monkeypatch.setattr(_choice, "MOST_BY_COLUMN", limits)
    X, y = additive()
    model = NTKRegressor(features=None, alpha=0.1).fit(X, y)
    assert len(model.kernels_) == 4 + is_tried
    grid = NTKRegressorCV(alphas=[0.1], combine=None).fit(X, y).cv_results_
    assert any(point["column_layers"] for point in grid["params"]) == is_tried


@pytest.mark.parametrize("problem", [additive, rotated])
def test_a_part_of_many_rows_says_whether_it_may_be_better(problem, monkeypatch):
    X, y = problem(200)
    model = NTKRegressor(features=None, alpha=0.1).fit(X, y)
    assert len(model.kernels_) == 5
    monkeypatch.setattr(_candidates, "TRIAL", 2 * 100**2 * 4)
    seen, drawn = [], _candidates._drawn
    monkeypatch.setattr(_candidates, "_drawn", lambda Y, most: seen.append(most) or drawn(Y, most))
    other = clone(model).fit(X, y)
    assert seen == [_candidates.MOST_ROWS, 100]
    assert len(other.kernels_) == (5 if problem is additive else 4)
    assert other.kernel_ == model.kernel_


def test_one_column_has_one_network():
    X, y = additive()
    assert len(NTKRegressor(features=None, alpha=0.1).fit(X[:, :1], y).kernels_) == 4


def test_columns_are_squashed():
    X, y = additive()
    X[5, 0] = 40.0
    model = NTKRegressor(**COLUMNS).fit(X, y)
    squashed = Columns.fit(X, np.ones(len(X)), 10.0).apply(X)
    assert_allclose(model.X_fit_, squashed, rtol=1e-12)
    plain = NTKRegressor(**COLUMNS, squash=None).fit(squashed, y)
    assert_allclose(model.dual_coef_, plain.dual_coef_, rtol=1e-9)


@pytest.mark.parametrize("options", [{}, {"training_time": 30.0}, {"uncertainty": "ensemble"}])
def test_it_is_the_network_of_the_architecture(options):
    """But for columns, which positions of an ``architecture`` do not squash."""
    X, y = additive(60)
    new = additive(9, seed=1)[0]
    model = NTKRegressor(**COLUMNS, squash=None, alpha=0.1, **options).fit(X, y)
    other = NTKRegressor(architecture=column_mlp(4), alpha=0.1, **options).fit(X, y)
    for found, expected in zip(
        model.predict(new, return_std=True), other.predict(new, return_std=True), strict=True
    ):
        assert_allclose(found, expected, rtol=1e-9)
    assert_allclose(model.predict_gradient(new), other.predict_gradient(new), rtol=1e-9)
    loaded = pickle.loads(pickle.dumps(model))
    assert_allclose(loaded.predict(new), model.predict(new), rtol=1e-12)
    assert loaded.kernel_ == model.kernel_


def test_gradients_and_importances():
    X, y = additive()
    model = NTKRegressor(**COLUMNS).fit(X[:, [0, 1, 1, 3]], y - np.abs(X[:, 1]))
    new, step = X[:5, [0, 1, 1, 3]], 1e-5
    found = model.predict_gradient(new)
    for column in range(4):
        shift = step * np.eye(4)[column]
        slope = (model.predict(new + shift) - model.predict(new - shift)) / (2.0 * step)
        assert_allclose(found[:, column], slope, rtol=1e-4, atol=1e-5)
    shares = model.feature_importances_
    assert shares.sum() == pytest.approx(1.0)
    assert shares[[1, 2]].max() < 0.5 * shares[[0, 3]].min()


@pytest.mark.parametrize(
    "options",
    [
        {"solver": "cg", "tol": 1e-8},
        {"solver": "local", "leaf_size": 500},
        {"solver": "nystroem", "n_components": 120},
    ],
    ids=lambda options: options["solver"],
)
def test_solvers(options):
    X, y = additive()
    exact = NTKRegressor(**COLUMNS, alpha=0.1).fit(X, y)
    model = NTKRegressor(**COLUMNS, alpha=0.1, **options).fit(X, y)
    new = additive(9, seed=1)[0]
    assert_allclose(model.predict(new), exact.predict(new), rtol=1e-5, atol=1e-5)


def test_leaves_of_local_models():
    X, y = additive(300)
    model = NTKRegressor(**COLUMNS, solver="local", leaf_size=100).fit(X, y)
    assert len(model.leaves_) > 2
    new, truth = additive(300, noise=0.0, seed=1)
    assert model.score(new, truth) > 0.8


def test_classifiers():
    X, y = additive(200)
    labels = np.where(y > np.median(y), "high", "low")
    model = NTKClassifier(features=None).fit(X, labels)
    assert model.kernel_.column_layers == 1 and model.features_ is None
    named = NTKClassifier("ntk", column_layers=1).fit(X, labels)
    dense = NTKClassifier("ntk").fit(X, labels)
    assert dense.kernel_.column_layers == 0
    new, truth = additive(400, noise=0.0, seed=1)
    truth = np.where(truth > np.median(y), "high", "low")
    assert_allclose(model.predict_proba(new), named.predict_proba(new), rtol=1e-9)
    assert model.score(new, truth) > dense.score(new, truth) + 0.02
    smooth, target = rotated(200)
    assert NTKClassifier().fit(smooth, target > 0.0).kernel_.column_layers == 0


@pytest.mark.parametrize("loss", ["log_loss", "hinge"])
def test_losses_of_classifiers(loss):
    X, y = additive(100)
    model = NTKClassifier(loss=loss, features=None).fit(X, y > np.median(y))
    assert model.kernel_.column_layers == 1
    named = NTKClassifier("ntk", column_layers=1, loss=loss).fit(X, y > np.median(y))
    assert_allclose(model.decision_function(X), named.decision_function(X), rtol=1e-6)


def test_searches():
    X, y = additive(80)
    grid = {"depth": [1, 2], "column_layers": [0, 1], "kernel": ["ntk", "nngp"]}
    search = NTKRegressorCV(grid, combine=None).fit(X, y)
    assert search.best_params_["column_layers"] == 1
    one = NTKRegressor(**search.best_params_ | {"alpha": "auto"}).fit(X, y)
    assert_allclose(-search.best_score_, one.loo_errors_.min() * y.var(), rtol=1e-6)
    assert_allclose(search.predict(X), one.predict(X), rtol=1e-6)


def test_searches_learn_features_for_networks_that_mix_columns():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 5))
    y = np.sin(2.0 * X @ [1.0, 1.0, 0.0, 0.0, 0.0])
    search = NTKRegressorCV(alphas=[1e-4, 1e-2]).fit(X, y)
    assert search.features_ is not None
    for member in search.estimators_:
        has_features = member.features_ is not None
        assert has_features == (member.kernel_.column_layers == 0)


def test_searches_learn_no_features_that_no_network_has():
    X, y = additive(40)
    grid = {"depth": [1, 2], "column_layers": [1]}
    assert NTKRegressorCV(grid, features="full").fit(X, y).features_ is None


def test_networks_by_column_are_known_where_more_rows_learn_no_features(monkeypatch):
    """Learned features of few rows won, those of more were refused: the best other one is taken."""
    monkeypatch.setattr(_features_of_many, "LEAST_ROWS", 80)
    monkeypatch.setattr(_features_of_many, "GAIN", 0.0)
    monkeypatch.setattr(_candidates, "OPTIMISM", {"diagonal": 0.0, "full": 0.0})
    X, y = additive(160)
    model = NTKRegressor().fit(X, y)
    assert model.features_ is None and model.kernel_.column_layers == 1
    model = NTKClassifier().fit(X, y > np.median(y))
    assert model.features_ is None and model.kernel_.column_layers == 1


def test_importances_are_by_some_rows(monkeypatch):
    X, y = additive(300)
    model = NTKRegressor(**COLUMNS).fit(X, y)
    some = model.feature_importances_
    monkeypatch.setattr(_gradients, "FEW_ROWS", 300)
    assert_allclose(some, model.feature_importances_, atol=0.08)
    assert np.any(some != model.feature_importances_)


def test_processes_know_the_kernels_parameters():
    """Gaussian processes learn the variances; length scales of columns stay."""
    X, y = additive(40)
    kernel = NTKKernel(column_layers=1, length_scale=np.array([1.0, 2.0, 1.0, 3.0]))
    model = GaussianProcessRegressor(
        kernel.set_params(length_scale_bounds="fixed") + WhiteKernel(), normalize_y=True
    ).fit(X, y)
    before = GaussianProcessRegressor(model.kernel, normalize_y=True, optimizer=None).fit(X, y)
    assert model.log_marginal_likelihood_value_ > before.log_marginal_likelihood_value_ + 1.0
    free = clone(kernel).set_params(length_scale_bounds=(1e-2, 1e2))
    with pytest.raises(ValueError, match="with column_layers: set length_scale_bounds='fixed'"):
        free(X, eval_gradient=True)


def test_refusals():
    X, y = additive(30)
    with pytest.raises(ValueError, match=r"column_layers must be at most depth=1, as .*; got 2"):
        NTKRegressor("ntk", depth=1, column_layers=2).fit(X, y)
    with pytest.raises(ValueError, match="'column_layers' parameter of NTKRegressor must be a str"):
        NTKRegressor(column_layers=-1).fit(X, y)
    with pytest.raises(
        ValueError, match=r"features='full' turns columns, .* take 'diagonal', or N"
    ):
        NTKRegressor("ntk", activation="relu", column_layers=1, features="full").fit(X, y)
    assert len(NTKRegressor(alpha=0.0, features=None).fit(X, y).kernels_) == 4  # maybe singular
    with pytest.raises(ValueError, match="column_layers must be an integer >= 0; got 'auto'"):
        NTKKernel(column_layers="auto")(X)
    with pytest.raises(ValueError, match="param_grid has column_layers='auto': name what to choo"):
        NTKRegressorCV({"column_layers": ["auto"]}).fit(X, y)
    with pytest.raises(ValueError, match="n_frozen > depth or column_layers > depth"):
        NTKRegressorCV({"depth": [1], "column_layers": [2]}).fit(X, y)
    open_networks = [NTKRegressor(activation="erf", n_frozen=1), NTKClassifier(features=None)]
    for model in open_networks:
        with pytest.raises(ValueError, match=r"which chooses among several: set column_layers\.$"):
            precomputed(model, X)
        precomputed(clone(model).set_params(column_layers=0, features=None), X)
        precomputed(clone(model).set_params(features=None), X[:, :1])  # there is nothing to try
