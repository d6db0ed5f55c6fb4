"""Columns with heavy tails are squashed in their own units, and what was far stays uncertain."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_ntk import NTKClassifier, NTKClassifierCV, NTKKernel, NTKRegressor, NTKRegressorCV
from sklearn_ntk.estimators._columns import Columns
from sklearn_ntk.layers import Conv, Dense, Flatten, Input
from sklearn_ntk.model_selection import precomputed

ESTIMATORS = [
    NTKRegressor("ntk", activation="relu"),
    NTKClassifier("ntk"),
    NTKRegressorCV({"depth": [1, 2]}),
    NTKClassifierCV({"depth": [1, 2]}),
]
each = pytest.mark.parametrize("model", ESTIMATORS, ids=lambda model: type(model).__name__)


def data(n=60):
    """Rows of which one reading in the second column is 250 standard deviations out."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 3))
    y = np.sin(2.0 * X[:, 0]) + X[:, 2]
    X[1, 1] = 250.0
    return X, y


def members(model):
    return getattr(model, "estimators_", [model])


def scores(model, X):
    if hasattr(model, "decision_function"):
        return model.decision_function(X)
    return np.column_stack(model.predict(X, return_std=True))


@each
def test_formula(model):
    X, y = data()
    z = (X - X.mean(axis=0)) / X.std(axis=0)
    expected = X.mean(axis=0) + X.std(axis=0) * z / np.sqrt(1.0 + (z / 5.0) ** 2)
    for member in members(model.set_params(squash=5.0).fit(X, y > 0.0)):
        assert_allclose(member.X_fit_, expected, rtol=1e-12, atol=1e-12)
    for member in members(model.set_params(squash=None).fit(X, y > 0.0)):
        assert_array_equal(member.X_fit_, X)


def test_units_of_columns():
    """Columns of any unit are squashed as before."""
    X, _ = data()
    factors, shift = np.array([1e-300, 1e200, -7.0]), np.array([1e-300, 1e200, 300.0])
    plain, moved = (Columns.fit(Z, np.ones(len(Z)), 3.0) for Z in (X, factors * X + shift))
    new = 2.0 * X[::-1]
    expected = factors * plain.apply(new) + shift
    assert_allclose(moved.apply(factors * new + shift), expected, rtol=1e-11)
    assert_allclose(moved.lengthening(factors * new + shift), plain.lengthening(new), rtol=1e-11)


def test_extremes():
    """What is beyond all limits is as far as the limit, and constant columns stay as they are."""
    X, _ = data()
    X[:, 2] = 0.1
    columns = Columns.fit(X, np.ones(len(X)), 10.0)
    new = columns.apply(np.array([[1e300, -1e300, 7.0], [0.0, 0.0, -1e300]]))
    expected = X.mean(axis=0) + 10.0 * np.array([1.0, -1.0, 0.0]) * X.std(axis=0)
    assert_allclose(new[0, :2], expected[:2], rtol=1e-12)
    assert_array_equal(new[:, 2], [7.0, -1e300])
    assert_array_equal(columns.apply(X)[:, 2], X[:, 2])
    assert_array_equal(Columns.fit(X[:1], np.ones(1), 10.0).apply(X), X)


def test_slopes():
    X, _ = data()
    columns, step = Columns.fit(X, np.ones(len(X)), 3.0), 1e-6
    expected = (columns.apply(X + step) - columns.apply(X - step)) / (2.0 * step)
    assert_allclose(columns.slopes(X), expected, rtol=1e-6, atol=1e-8)


@each
def test_weights_are_repetitions(model):
    X, y = data()
    weights = np.random.default_rng(1).integers(0, 4, len(X))
    model.set_params(squash=3.0)
    found = scores(model.fit(X, y > 0.0, weights), X)
    repeated = scores(model.fit(np.repeat(X, weights, 0), np.repeat(y > 0.0, weights)), X)
    assert_allclose(found, repeated, rtol=1e-7, atol=1e-9)


def test_one_reading_ruins_no_prediction():
    """A sensor fails in one of the new rows; what is said of it is uncertain."""
    X, y = data(200)
    new = X[2:100].copy()
    new[0, 1] = 250.0
    errors, stds = {}, {}
    for squash in (None, 10.0, 3.0):
        model = NTKRegressor(squash=squash, features=None).fit(X[100:], y[100:])
        mean, stds[squash] = model.predict(new, return_std=True)
        errors[squash] = np.abs(mean - y[2:100])[0]
    assert errors[10.0] < 0.2 * errors[None]
    assert errors[3.0] < 0.1 * errors[None]
    assert min(std[0] for std in stds.values()) > 20.0 * stds[None][1:].max()


def test_far_rows_are_uncertain():
    """Also beyond a training row that is squashed to nearly the same place."""
    X, y = data()
    model = NTKRegressor(features=None).fit(X, y)
    std = model.predict(np.array([[0.0, 1.0, 0.0], [0.0, 1e3, 0.0], [0.0, 1e5, 0.0]]), True)[1]
    assert std[0] < 0.2 * std[1] < 0.01 * std[2]
    root = np.sqrt(np.diag(model.predict(X, return_cov=True)[1]))
    assert_allclose(root, model.predict(X, return_std=True)[1], rtol=1e-9)


def test_not_squashed():
    """Kernels that are given, Gram matrices and positions have no columns of this kind."""
    X, y = data()
    network = (Input(3, 1), Conv(2), "relu", Flatten(), Dense())
    for model in (NTKRegressor(NTKKernel()), NTKRegressor(architecture=network)):
        assert_array_equal(model.fit(X, y).X_fit_, X)
    K = NTKKernel()(X)
    found = NTKRegressor("precomputed").fit(K, y).predict(K)
    assert_allclose(found, NTKRegressor(NTKKernel()).fit(X, y).predict(X), rtol=1e-9)


@each
def test_persistence(model):
    X, y = data()
    model.set_params(squash=3.0).fit(X, y > 0.0)
    assert_array_equal(scores(pickle.loads(pickle.dumps(model)), X), scores(model, X))


@pytest.mark.parametrize("model", ESTIMATORS[:2], ids=lambda model: type(model).__name__)
def test_precomputed(model):
    """Rows are squashed before their Gram matrix is computed."""
    X, y = data()
    other, K = precomputed(model.set_params(squash=3.0), X)
    assert_allclose(other.fit(K, y > 0.0).predict(K), model.fit(X, y > 0.0).predict(X), rtol=1e-9)


@pytest.mark.parametrize("model", ESTIMATORS[:2], ids=lambda model: type(model).__name__)
def test_candidates_are_squashed(model):
    """The errors of a candidate are those of its fit, but for their unit."""
    X, y = data()
    search = {NTKRegressor: NTKRegressorCV, NTKClassifier: NTKClassifierCV}[type(model)]
    found = search({"depth": [2]}, squash=3.0).fit(X, y > 0.0).cv_results_["mean_test_score"]
    expected = model.set_params(squash=3.0).fit(X, y > 0.0).loo_errors_
    assert_allclose(found / found[0], expected / expected[0], rtol=1e-7)
