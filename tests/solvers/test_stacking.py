"""Stacking of classes: the mixtures are the best ones, and find classes between others."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.preprocessing import scale

from sklearn_ntk import NTKClassifierCV
from sklearn_ntk.solvers._scoring import class_folds, logits, shares_of, spread
from sklearn_ntk.solvers._stacking import _fit_map, by_log_loss, mix_classes


def ordered(n=90, n_classes=5, noise=0.1):
    """Classes in their order along a line."""
    rng = np.random.default_rng(0)
    position = rng.uniform(0.0, n_classes, n)
    X = np.column_stack([position + noise * rng.normal(size=n), rng.normal(size=n)])
    return scale(X), position.astype(int)


def scores_of(n_classes, n=60, m=5):
    """Scores of some candidates, the targets, and weights."""
    rng = np.random.default_rng(0)
    Y = np.eye(n_classes)[rng.integers(0, n_classes, n)]
    Y = Y[:, 1:] - Y[:, :1] if n_classes == 2 else Y
    sizes = np.linspace(0.5, 1.5, m)[:, None, None]
    return Y + sizes * rng.normal(size=(m, *Y.shape)), Y, rng.uniform(0.5, 2.0, n)


def log_loss(scores, Y, weights):
    shares = spread(shares_of(Y))
    return -np.average((shares * log_softmax(logits(scores), axis=1)).sum(axis=1), weights=weights)


# --- Candidates -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 4])
def test_weights_have_the_least_log_loss(n_classes):
    scores, Y, weights = scores_of(n_classes)
    scores[1] *= -1.0  # worse than nothing

    def loss(found):
        return log_loss(np.tensordot(found, scores, 1), Y, weights)

    found = by_log_loss(scores, Y, weights)
    best = minimize(loss, np.ones(5), bounds=[(0.0, None)] * 5, options={"ftol": 1e-15})
    assert loss(found) <= best.fun + 1e-10
    assert_allclose(found, best.x, rtol=2e-3, atol=1e-6)
    assert found[1] == 0.0
    assert_allclose(by_log_loss(scores, Y, 7.0 * weights), found, rtol=1e-6)


def test_scores_without_a_mistake_have_a_temperature():
    Y = np.eye(3)[np.arange(30) % 3]
    found = by_log_loss(np.array([Y, Y]), Y, np.ones(30))
    P = np.exp(log_softmax(found.sum() * Y, axis=1)).max(axis=1)
    assert_allclose(P, (30.0 + 1.0 / 3.0) / 31.0, rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.25])
def test_candidates_that_prefer_no_class(value):
    Y = np.eye(4)[np.arange(12) % 4]
    assert_array_equal(by_log_loss(np.full((3, 12, 4), value), Y, np.ones(12)), np.ones(3))
    against = by_log_loss(-np.array([Y, Y]), Y, np.ones(12))
    assert_array_equal(against, np.ones(2))


# --- Classes --------------------------------------------------------------------------------------


def test_map_has_the_least_loss():
    scores, Y, weights = scores_of(3)
    scores, shares = scores[0], spread(Y)

    def loss(flat):
        A = flat.reshape(3, 3)
        losses = -(shares * log_softmax(scores @ A, axis=1)).sum(axis=1)
        return weights @ losses + 0.5 * 7.0 * np.sum((A - np.eye(3)) ** 2)

    found = _fit_map(scores, shares, weights, 7.0, np.zeros((3, 3)))
    best = minimize(loss, np.eye(3).ravel(), options={"gtol": 1e-8})
    assert_allclose(found.ravel(), best.x, atol=1e-5)


def test_map_finds_a_class_between_others():
    """Regression of indicators on a line has no largest score in the middle."""
    X, y = ordered(300)
    grid = {"depth": [0], "bias_var": [1.0]}
    alone, stack = (NTKClassifierCV(grid, combine=c).fit(X[:150], y[:150]) for c in (None, "stack"))
    assert alone.score(X[150:], y[150:]) < 0.6 and stack.score(X[150:], y[150:]) > 0.85
    assert alone.class_map_ is None
    scores = stack.estimators_[0].decision_function(X) @ stack.class_map_
    assert_allclose(stack.decision_function(X), scores)
    P = np.exp(log_softmax(scores / stack.temperature_, axis=1))
    assert_allclose(stack.predict_proba(X), P)
    assert_array_equal(stack.predict(X), P.argmax(axis=1))


def test_map_is_the_identity_where_it_does_not_help():
    X, y = ordered()
    assert NTKClassifierCV({"depth": [1]}).fit(X, y == 1).class_map_ is None
    Y, rng = np.eye(4)[np.arange(80) % 4], np.random.default_rng(0)
    found = mix_classes(rng.normal(size=(80, 4)), Y, np.ones(80), 1e3, np.arange(80.0)[:, None])
    assert_array_equal(found, np.eye(4))


def test_one_row_has_no_folds():
    shares = np.full((1, 3), 1.0 / 3.0)
    assert_array_equal(mix_classes(shares, shares, np.ones(1), 1.0, np.zeros((1, 1))), np.eye(3))
    X, y = np.ones((6, 2)), np.arange(6) % 3
    assert_allclose(NTKClassifierCV({"depth": [1]}).fit(X, y).predict_proba(X), 1.0 / 3.0)


def test_folds_spread_classes_and_follow_the_rows():
    shares = np.eye(3)[np.arange(33) % 3]
    order = np.random.default_rng(0).permutation(33)
    folds = class_folds(shares, np.arange(33))
    for fold, other in zip(folds, class_folds(shares[order], order), strict=True):
        assert shares[fold].sum(axis=0).min() >= 2.0
        assert_array_equal(np.sort(order[other]), fold)


def test_weights_are_repetitions_in_any_order():
    X, y = ordered(80, noise=0.3)
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 3, len(y))
    rows = rng.permutation(np.repeat(np.arange(len(y)), counts))
    grid = {"depth": [0], "bias_var": [0.1, 1.0]}
    weighted = NTKClassifierCV(grid).fit(X, y, counts)
    repeated = NTKClassifierCV(grid).fit(X[rows], y[rows])
    assert np.any(weighted.class_map_ != np.eye(5))
    assert_allclose(weighted.class_map_, repeated.class_map_, atol=1e-5)
    assert_allclose(weighted.weights_, repeated.weights_, rtol=1e-5)
    assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=1e-5)
