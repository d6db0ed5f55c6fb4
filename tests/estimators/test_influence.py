"""Influence of training rows: equal to refits without them, wherever it is known."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_ntk import NTKClassifier, NTKKernel, NTKRegressor

KERNEL = NTKKernel(depth=1)
RNG = np.random.default_rng(0)
X, NEW = RNG.normal(size=(14, 2)), RNG.normal(size=(5, 2))
X[9], X[11] = X[3], X[4]  # equal rows, one with the same target
Y = np.stack([np.sin(2.0 * X[:, 0]) + 100.0, 1e3 * X[:, 1]], axis=1)
Y[9] += 1.0
WEIGHTS = np.linspace(0.5, 1.5, 14)
WEIGHTS[5] = 0.0

TIMES = {
    "ridge": {"alpha": 0.3},
    "no ridge": {"alpha": 0.0},
    "time": {"training_time": 3.0},
    "time and ridge": {"training_time": 3.0, "alpha": 0.3},
    "steps": {"training_time": 20, "optimizer": "heavy_ball", "learning_rate": 0.2},
}


def by_refits(make, predict, weights):
    """Predictions of the model minus those of one without each row, (m, n, ...)."""
    whole, found = predict(make(np.arange(14), weights)), []
    for j in range(14):
        others = np.delete(np.arange(14), j)
        found.append(whole - predict(make(others, weights[others])))
    return np.stack(found, axis=1)


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("kind", TIMES)
def test_regression(kind, n_outputs):
    targets = Y[:, 0] if n_outputs == 1 else Y
    weights = np.ones(14) if kind == "no ridge" else WEIGHTS
    if kind == "no ridge":
        targets = targets.copy()
        targets[9] = targets[3]  # through which a function can pass

    def make(rows, weights):
        return NTKRegressor(KERNEL, **TIMES[kind]).fit(X[rows], targets[rows], weights)

    found = make(np.arange(14), weights).influence(NEW)
    expected = by_refits(make, lambda model: model.predict(NEW), weights)
    assert found.shape == expected.shape
    assert_allclose(found, expected, rtol=1e-7, atol=1e-8 * np.abs(expected).max())
    assert kind == "no ridge" or not np.any(found[:, 5])


@pytest.mark.parametrize("kind", ["ridge", "time"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_classification(kind, n_classes):
    labels = np.array(["a", "b", "c"])[np.arange(14) % n_classes]

    def make(rows, weights):
        return NTKClassifier(KERNEL, **TIMES[kind]).fit(X[rows], labels[rows], weights)

    model = make(np.arange(14), WEIGHTS)
    found = model.influence(NEW)
    assert found.shape == (5, 14) if n_classes == 2 else (5, 14, 3)
    expected = by_refits(make, lambda model: model.decision_function(NEW), WEIGHTS)
    assert_allclose(found, expected, rtol=1e-7, atol=1e-9)
    assert_allclose(pickle.loads(pickle.dumps(model)).influence(NEW), found)


def test_learned_features_and_squashed_columns_stay():
    """A model that chose its network: the refit has its kernel, rows and ridge."""
    rows = RNG.normal(size=(60, 3))
    y = np.sin(2.0 * rows[:, 0])
    model = NTKRegressor().fit(rows, y)
    others = NTKRegressor(model.kernel_, alpha=model.alpha_)
    without = others.fit(model.X_fit_[1:], y[1:])
    expected = model.predict(rows) - without.predict(model.X_fit_)
    assert_allclose(model.influence(rows)[:, 0], expected, atol=1e-9)


def test_wrong_labels_stand_out():
    rows = np.vstack([X, RNG.normal(size=(40, 2))])
    labels = (rows[:, 0] > 0.0).astype(int)
    wrong = np.array([20, 33])
    labels[wrong] = 1 - labels[wrong]
    own = NTKClassifier(KERNEL).fit(rows, labels).influence(rows).diagonal()
    against = np.where(labels == 1, own, -own)  # toward the label that was given
    assert set(wrong) <= set(np.argsort(against)[-6:])


def test_refusals():
    model = NTKRegressor("precomputed", alpha=1.0).fit(KERNEL(X), Y)
    with pytest.raises(ValueError, match="pass the kernel itself"):
        model.influence(KERNEL(NEW, X))
    model = NTKRegressor(KERNEL, alpha=1.0, solver="cg").fit(X, Y)
    with pytest.raises(ValueError, match="got a fit by solver='cg'"):
        model.influence(NEW)
    model = NTKClassifier(KERNEL, loss="log_loss", alpha=1.0).fit(X, X[:, 0] > 0.0)
    with pytest.raises(ValueError, match="loss='squared_error', which has a closed form"):
        model.influence(NEW)
