"""Influence of training rows: equal to refits without them, wherever it is known."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_ntk import (
    NTKClassifier,
    NTKClassifierCV,
    NTKKernel,
    NTKRegressor,
    NTKRegressorCV,
)

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
    n = len(weights)
    whole, found = predict(make(np.arange(n), weights)), []
    for j in range(n):
        others = np.delete(np.arange(n), j)
        found.append(whole - predict(make(others, weights[others])))
    return np.stack(found, axis=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind, n_outputs", [*((kind, 2) for kind in TIMES), ("ridge", 1)])
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


@pytest.mark.parametrize("n_classes", [2, 3])
def test_log_loss_is_near_refits(n_classes):
    """To first order in the weight of a row exact, and for whole rows close."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(30, 2))
    rows[9] = rows[3]
    scores = rows @ random.normal(size=(2, n_classes)) + 0.8 * random.normal(size=(30, n_classes))
    labels, weights = scores.argmax(axis=1), np.linspace(0.5, 1.5, 30)
    weights[5], weights[[7, 9]] = 0.0, 1e-4

    def make(kept, weights):
        model = NTKClassifier(KERNEL, loss="log_loss", alpha=0.3)
        return model.fit(rows[kept], labels[kept], weights)

    def predict(model):
        found = model.decision_function(NEW)
        return found if n_classes == 2 else found - found.mean(axis=1, keepdims=True)

    found = make(np.arange(30), weights).influence(NEW)
    expected = by_refits(make, predict, weights)
    assert found.shape == expected.shape and not np.any(found[:, 5])
    for j in (7, 9):
        assert_allclose(found[:, j], expected[:, j], atol=2e-4 * np.abs(expected[:, j]).max())
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("combine", [None, "stack"])
@pytest.mark.parametrize("n_classes", [0, 2, 3])
def test_of_choices(combine, n_classes):
    """Members, their weights and what a stack does to classes stay: by refits of the members."""
    y = np.arange(14) % n_classes if n_classes else Y
    cls = NTKClassifierCV if n_classes else NTKRegressorCV
    grid = {"kernel": ["ntk", "nngp"], "depth": [1, 2]}
    model = cls(grid, combine=combine, features=None, squash=None).fit(X, y)
    method = "decision_function" if n_classes else "predict"
    found = model.influence(NEW)
    others, whole = np.delete(np.arange(14), 6), getattr(model, method)(NEW)
    for k, member in enumerate(model.estimators_):
        fixed = {"alpha": member.alpha_, "features": None, "squash": None}
        model.estimators_[k] = type(member)(member.kernel_, **fixed).fit(X[others], y[others])
    expected = whole - getattr(model, method)(NEW)
    assert_allclose(found[:, 6], expected, rtol=1e-6, atol=1e-8 * np.abs(whole).max())


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
    for loss in ({"loss": "hinge"}, {"loss": "log_loss", "alpha": 1.0, "training_time": 1.0}):
        model = NTKClassifier(KERNEL, **loss).fit(X, X[:, 0] > 0.0)
        with pytest.raises(ValueError, match="for which it is exact, or 'log_loss' without a"):
            model.influence(NEW)


def test_influence_is_that_of_the_fit():
    """Whatever parameters have changed since."""
    given = {"training_time": 5, "optimizer": "heavy_ball", "learning_rate": 0.2}
    for cls, y in ((NTKRegressor, Y), (NTKClassifier, X[:, 0] > 0.0)):
        model = cls(KERNEL, **given).fit(X, y)
        before = model.influence(NEW)
        model.set_params(optimizer="flow", learning_rate=1e-3, training_time=None)
        assert_array_equal(model.influence(NEW), before)
