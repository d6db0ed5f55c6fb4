"""Features that are learned on the kernel: what is found, and that it is what was asked for."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_friedman1

from sklearn_ntk import NNGPKernel, NTKClassifier, NTKRegressor
from sklearn_ntk.estimators import _candidates, _choice
from sklearn_ntk.estimators._candidates import OPTIMISM
from sklearn_ntk.estimators._features import learn
from sklearn_ntk.layers import Dense, Flatten, Input

MODES = pytest.mark.parametrize("mode", ["diagonal", "full"])


def data(n=150, n_columns=8, seed=0):
    """Targets that depend on the first column, and on the sum of the next two."""
    X = np.random.default_rng(seed).standard_normal((n, n_columns))
    return X, np.sin(2.0 * X[:, 0]) + (X[:, 1] + X[:, 2]) ** 2


def choose_by(monkeypatch, n):
    """That many rows choose the network."""
    for module in (_candidates, _choice):
        monkeypatch.setattr(module, "MOST_ROWS", n)


def model(**parameters):
    return NTKRegressor("nngp", activation="gelu", **parameters)


@MODES
def test_columns_that_matter_are_found(mode):
    X, y = data()
    new, expected = data(500, seed=1)
    errors = {}
    for features in (None, mode):
        fitted = model(features=features).fit(X, y)
        errors[features] = np.mean((fitted.predict(new) - expected) ** 2)
    assert errors[mode] < 0.5 * errors[None]
    sizes = np.linalg.norm(fitted.features_, axis=1)
    assert sizes[:3].min() > 2.0 * sizes[3:].max()
    assert fitted.features_.shape == (8, 8)
    assert mode == "full" or not np.any(fitted.features_ - np.diag(fitted.features_.diagonal()))


def test_direction_is_found():
    """Of the two columns only the sum matters: the difference is scaled down."""
    X, y = data()
    A = model(features="full").fit(X, y).features_
    away, along = np.eye(8)[1] - np.eye(8)[2], np.eye(8)[1] + np.eye(8)[2]
    assert np.linalg.norm(away @ A) < 0.4 * np.linalg.norm(along @ A)


@MODES
def test_is_the_average_outer_product(mode):
    """One step of learning, from differences of the predictions."""
    X, y = data(60, 4)
    weights = np.random.default_rng(1).uniform(0.5, 2.0, 60)
    plain = model(squash=None, alpha=0.1).fit(X, y, weights)
    step, stds = 1e-5, np.sqrt(np.average((X - np.average(X, 0, weights)) ** 2, 0, weights))
    gradients = np.stack(
        [plain.predict(X + step * e) - plain.predict(X - step * e) for e in np.eye(4)], axis=1
    )
    M = np.cov((gradients * stds).T, aweights=weights, bias=True)
    mean = np.average(gradients * stds, 0, weights)
    M += np.outer(mean, mean)
    M = np.diag(M.diagonal()) if mode == "diagonal" else M
    values, axes = np.linalg.eigh(M)
    root = (axes * np.sqrt(values / values.mean())) @ axes.T
    expected = root / stds[:, None] * np.sqrt(np.mean(stds**2))
    targets = y[:, None]
    dual = plain.dual_coef_.reshape(60, 1)
    found = learn(plain.kernel_, X, None, targets, weights, dual, mode)
    assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@MODES
def test_steps_are_chosen_by_the_error(mode):
    X, y = data()
    few, more = (model(features=mode, n_feature_steps=n).fit(X, y) for n in (1, 3))
    least = [one.loo_errors_.min() for one in (more, few, model().fit(X, y))]
    assert least[0] <= least[1] < least[2] / OPTIMISM[mode]
    noise = np.random.default_rng(0).standard_normal(150)
    plain = model(features=mode).fit(X, 0.0 * noise + 1.0)
    assert plain.features_ is None
    assert_allclose(plain.predict(X), 1.0)


def test_few_rows_judge_features_by_folds():
    """Errors are those of new rows or larger, as fewer rows teach; intervals keep their promise."""
    ratios, covered = [], []
    for seed in range(3):
        X, y = make_friedman1(460, noise=1.0, random_state=seed)
        fitted = NTKRegressor(column_layers=0).fit(X[:60], y[:60])
        error = np.mean((fitted.predict(X[60:]) - y[60:]) ** 2) / y[:60].var()
        ratios.append(fitted.loo_errors_.min() / error)
        low, high = fitted.predict_interval(X[60:]).T
        covered.append(np.mean((low <= y[60:]) & (y[60:] <= high)))
    assert 0.8 < np.mean(ratios) < 1.6
    assert np.mean(covered) > 0.84


@pytest.mark.parametrize(
    "n, is_binary",
    [
        (102, False),
        (101, True),
        *(pytest.param(n, False, marks=pytest.mark.thorough) for n in (101, 103)),
    ],
)
def test_folds_depend_on_rows_alone(n, is_binary):
    """Not on the names of classes, the sign or the order of targets, nor on the order of rows."""
    rng = np.random.default_rng(n)
    X, new = rng.standard_normal((n, 5)), rng.standard_normal((50, 5))
    if is_binary:  # some rows come several times, and many have equal sums
        X, new = X > 0.0, new > 0.0
    y = X[:, 0] + 2.0 * X[:, 1] * X[:, 2] + 0.3 * rng.standard_normal(n)
    order, y_class = rng.permutation(n), np.digitize(y, [0.0, 1.0])
    names, close = np.array(["c", "a", "b"]), {"rtol": 1e-7, "atol": 1e-9}
    first = NTKClassifier(features="full").fit(X, y_class)
    for labels, rows in ((names[y_class], slice(None)), (y_class, order)):
        found = NTKClassifier(features="full").fit(X[rows], labels[rows])
        places = np.argsort(names) if rows is not order else slice(None)
        assert_allclose(found.predict_proba(new), first.predict_proba(new)[:, places], **close)
    Y = np.column_stack([y, y**2])
    first = NTKRegressor(features="full").fit(X, Y)
    for targets, rows in ((Y, order), (-Y[:, ::-1], slice(None))):
        found = NTKRegressor(features="full").fit(X[rows], targets[rows]).predict(new)
        found = found if rows is order else -found[:, ::-1]
        assert_allclose(found, first.predict(new), **close)


@pytest.mark.parametrize("scales", [(1.0, 1e-310), (1e100, 1e-210), (1e140, 1e-170)], ids=str)
@pytest.mark.parametrize("cls", [NTKRegressor, NTKClassifier])
def test_columns_of_far_scales(cls, scales):
    """Scales of columns that overflow are not learned; there was an error about NaN."""
    X, y = data(40, 3)
    scales = np.array([*scales, 1.0])
    targets = y if cls is NTKRegressor else y > 1.0
    assert np.all(np.isfinite(cls().fit(X * scales, targets).predict(X * scales)))


def test_constant_targets_teach_nothing():
    X, _ = data(40, 4)
    Y = np.full((40, 1), 0.1)
    dual = 1e-17 * X[:, :1]
    for mode in ("diagonal", "full"):
        assert learn(NNGPKernel(), X, None, Y, np.ones(40), dual, mode) is None


def test_scales_of_columns_are_learned_where_rows_are_few():
    """The matrix of 30 columns has 465 numbers, which 150 rows cannot tell."""
    X, y = make_friedman1(1150, n_features=30, noise=1.0, random_state=0)
    errors = []
    for features in ("auto", "full"):
        fitted = NTKRegressor(features=features, column_layers=0).fit(X[:150], y[:150])
        errors.append(np.mean((fitted.predict(X[150:]) - y[150:]) ** 2))
        if features == "auto":
            A = fitted.features_
            assert not np.any(A - np.diag(A.diagonal()))
    assert errors[0] < 0.7 * errors[1]


@MODES
def test_weights_are_repetitions(mode):
    X, y = data(60, 4)
    weights = np.random.default_rng(1).integers(0, 4, 60)
    weighted = model(features=mode).fit(X, y, weights)
    repeated = model(features=mode).fit(np.repeat(X, weights, 0), np.repeat(y, weights))
    assert_allclose(weighted.features_, repeated.features_, rtol=1e-7, atol=1e-9)
    assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-7, atol=1e-9)


@MODES
def test_units_of_columns_and_targets(mode):
    """Learned features do not depend on the unit of the targets, nor the model on their order."""
    X, y = data()
    Y = np.stack([y, X[:, 0]], axis=1)
    fitted = model(features=mode).fit(X, Y)
    scaled = model(features=mode).fit(X, 1e6 * Y[:, ::-1] + 3.0)
    assert_allclose(scaled.features_, fitted.features_, rtol=1e-6, atol=1e-8)
    assert_allclose(scaled.predict(X)[:, ::-1], 1e6 * fitted.predict(X) + 3.0, rtol=1e-6)


@pytest.mark.parametrize("squash", [None, 3.0])
def test_gradients_are_those_of_the_columns(squash):
    X, y = data()
    fitted = NTKRegressor(squash=squash).fit(X, y)
    assert fitted.features_ is not None
    step = 1e-5
    differences = np.stack(
        [fitted.predict(X + step * e) - fitted.predict(X - step * e) for e in np.eye(8)], axis=1
    )
    expected = differences / (2.0 * step)
    assert_allclose(fitted.predict_gradient(X), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("features", [None, "diagonal", "full"])
def test_importances(features):
    """The first three columns have nearly all of the mean squared gradient."""
    X, y = data(300)
    X[:, 3] = 7.0
    shares = model(features=features).fit(X, y).feature_importances_
    assert shares.sum() == pytest.approx(1.0)
    assert shares[:3].sum() > 0.9 and shares[3] == 0.0
    assert np.all(NTKRegressor().fit(X, 0.0 * y).feature_importances_ == 0.0)


def test_large_rows():
    """Of which networks see the directions only, and no number overflows."""
    X, y = data(40, 3)
    moderate, large = (NTKRegressor().fit(size * X, y) for size in (1e50, 1e150))
    assert_allclose(large.feature_importances_, moderate.feature_importances_, rtol=1e-6)
    assert_allclose(large.predict(1e150 * X), moderate.predict(1e50 * X), rtol=1e-6)


def test_uncertainty_persistence_and_clone():
    X, y = data()
    fitted = NTKRegressor().fit(X, y)
    mean, std = fitted.predict(X, return_std=True)
    assert np.all(std > 0.0)
    again = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(again.predict(X, return_std=True), (mean, std))
    assert_array_equal(clone(fitted).fit(X, y).features_, fitted.features_)
    assert_allclose(fitted.X_fit_, fitted._columns.apply(X) @ fitted.features_, rtol=1e-12)


def test_constant_columns_and_few_rows():
    X, y = data(12, 3)
    X[:, 1] = 5.0
    A = model(features="full").fit(X, y).features_
    assert A is None or np.array_equal(A[1], [0.0, 1.0, 0.0])
    for n in (1, 2, 3):
        assert np.isfinite(NTKRegressor().fit(X[:n], y[:n]).predict(X)).all()


def test_many_rows_choose_by_some(monkeypatch):
    X, y = data(300)
    whole = NTKRegressor(features="full").fit(X, y)
    choose_by(monkeypatch, 100)
    part = NTKRegressor(features="full").fit(X, y)
    assert part.X_fit_.shape == (300, 8)
    new, expected = data(500, seed=1)
    errors = [np.mean((one.predict(new) - expected) ** 2) for one in (whole, part)]
    assert errors[1] < 4.0 * errors[0] < 0.4 * expected.var()


def test_rows_that_choose_are_of_all_kinds(monkeypatch):
    """Every other row depends on another column, which has most of the variance of the targets."""
    X, _ = data(200, 4)
    X[:, 3] = np.tile([-3.0, 3.0], 100)
    y = np.where(X[:, 3] < 0.0, np.sin(2.0 * X[:, 0]), 3.0 * np.sin(2.0 * X[:, 1]))
    choose_by(monkeypatch, 100)
    sizes = np.linalg.norm(model(features="diagonal").fit(X, y).features_, axis=1)
    assert sizes[1] > 2.0 * sizes[0] > 2.0 * sizes[2]


def test_explicit_networks_learn_none():
    X, y = data(60)
    assert model().fit(X, y).features_ is None
    assert NTKRegressor(NNGPKernel()).fit(X, y).features_ is None
    assert NTKRegressor().fit(X, y).features_ is not None


def test_none_by_default_where_gradients_fail_or_cost_much(monkeypatch):
    X, y = data(80)
    assert NTKRegressor(activation="sign").fit(X, y).features_ is None
    monkeypatch.setattr(_choice, "MOST_COLUMNS", 7)
    assert NTKRegressor().fit(X, y).features_ is None
    assert model(features="full").fit(X, y).features_ is not None


def test_too_many_columns_are_refused():
    X = np.random.default_rng(0).standard_normal((3, 300_000))
    with pytest.raises(MemoryError, match=r"Learning features of 300000 columns .* at None"):
        model(features="diagonal").fit(X, X[:, 0])


@pytest.mark.slow
def test_gradients_of_some_rows_at_a_time(monkeypatch):
    X, y = data(60)
    Y = np.stack([y, X[:, 0]], axis=1)
    whole = model(features="full").fit(X, Y)
    shares = whole.feature_importances_
    monkeypatch.setattr("sklearn_ntk._runtime.chunks.CHUNK", 100)
    part = model(features="full").fit(X, Y)
    assert_allclose(part.features_, whole.features_, rtol=1e-9, atol=1e-12)
    assert_allclose(part.feature_importances_, shares, rtol=1e-9, atol=1e-12)


def test_nothing_stays_of_the_last_fit():
    X, y = data(60)
    fitted = NTKRegressor().fit(X, y)
    fitted.set_params(kernel="precomputed").fit(X @ X.T, y)
    assert fitted.features_ is None and not hasattr(fitted, "X_fit_")
    with pytest.raises(AttributeError, match=r"a method gradient_x; got a precomputed one\.$"):
        _ = fitted.feature_importances_


def test_pixels_have_no_importances():
    """Those would take the gradients at all training images."""
    X, y = data(20)
    network = (Input(X.shape[1], 1), Dense(), "relu", Flatten(), Dense())
    model = NTKRegressor(architecture=network).fit(X, y)
    assert model.features_ is None
    with pytest.raises(AttributeError, match="squares of predict_gradient at some rows"):
        _ = model.feature_importances_


def test_what_has_no_gradients_is_refused():
    X, y = data(20)
    images = (Input(8, 1), Dense(), "relu", Flatten(), Dense())
    for parameters, reason in (
        ({"kernel": "precomputed"}, "features='full' needs the kernel of a network"),
        ({"activation": "sign"}, "continuous activations"),
        ({"architecture": images}, "mixes columns, but a network on positions"),
    ):
        K = X @ X.T if "kernel" in parameters else X
        with pytest.raises(ValueError, match=reason):
            NTKRegressor(features="full", **parameters).fit(K, y)
