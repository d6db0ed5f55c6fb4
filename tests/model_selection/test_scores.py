"""The scores of a choice among networks are those of refitting."""

from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose
from plain import PLAIN
from searches import ALPHAS, GRID, both, classes, data_of, numbers
from sklearn.base import clone
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneOut,
    PredefinedSplit,
    ShuffleSplit,
    cross_val_predict,
)

from sklearn_ntk import NTKClassifier, NTKClassifierCV, NTKKernel, NTKRegressor, NTKRegressorCV
from sklearn_ntk.model_selection._grid import FIXED


def line(search, **params):
    """Number of the line of these parameters."""
    return search.cv_results_["params"].index(FIXED | params)


# --- Scores ---------------------------------------------------------------------------------------


def test_likelihood_of_constant_outputs_does_not_count():
    X, y = numbers(40)
    y = y + np.random.default_rng(0).normal(size=40)
    options = {"scoring": "log_marginal_likelihood", "combine": None}
    one, more = (
        NTKRegressorCV({"depth": [1, 2, 3]}, **options).fit(X, targets)
        for targets in (y, np.column_stack([y, np.ones(40), np.full(40, 0.1)]))
    )
    assert one.best_params_ == more.best_params_
    assert_allclose(more.best_score_, one.best_score_)


@pytest.mark.parametrize("cls", [NTKRegressorCV, NTKClassifierCV])
def test_equal_rows_in_different_folds_may_have_any_order(cls):
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(30, 3)), 2, axis=0)
    y = X[:, 0] + 0.7 * rng.normal(size=60)
    y = np.digitize(y, [-0.5, 0.5]) if cls is NTKClassifierCV else y
    fold, order = rng.integers(0, 4, 60), rng.permutation(60)
    fits = [
        cls({"depth": [1, 2, 3]}, cv=PredefinedSplit(fold[rows])).fit(X[rows], y[rows])
        for rows in (np.arange(60), order)
    ]
    assert_allclose(fits[0].weights_, fits[1].weights_, atol=1e-8)
    method = "predict_proba" if cls is NTKClassifierCV else "predict"
    found, expected = (getattr(fit, method)(X) for fit in fits)
    assert_allclose(found, expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("params", [{}, {"kernel": "nngp", "depth": 3, "activation": "erf"}])
def test_leave_one_out_is_refitting(params):
    X, y = numbers(15)
    grid, model = {name: [value] for name, value in params.items()}, NTKRegressor(**PLAIN | params)
    search = NTKRegressorCV(grid, alphas=ALPHAS, squash=None)
    found = search.fit(X, y).cv_results_["mean_test_score"]
    for alpha, score in zip(ALPHAS, found, strict=True):
        predictions = cross_val_predict(model.set_params(alpha=alpha), X, y, cv=LeaveOneOut())
        assert_allclose(score, -np.mean((y - predictions) ** 2), rtol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("n_classes", [2, 3])
def test_leave_one_out_of_classes_is_refitting(n_classes):
    X, y = classes()
    y = np.minimum(y, n_classes - 1)
    model = NTKClassifier("ntk", depth=1, alpha=0.3, squash=None)
    options = {"alphas": [0.3], "combine": None, "squash": None}
    scores = cross_val_predict(model, X, y, cv=LeaveOneOut(), method="decision_function")
    if n_classes == 2:
        hits, errors = (scores > 0) == y, (2 * y - 1 - scores) ** 2
        logits = np.stack([-scores / 2, scores / 2], axis=1)
    else:
        hits, errors = scores.argmax(axis=1) == y, ((np.eye(3)[y] - scores) ** 2).mean(axis=1)
        logits = scores
    temperature = model.fit(X, y).temperature_
    P = np.exp(logits / temperature)
    expected = {
        "accuracy": hits.mean(),
        "neg_mean_squared_error": -errors.mean(),
        "neg_log_loss": -log_loss(y, P / P.sum(axis=1, keepdims=True)),
    }
    for scoring, value in expected.items():
        search = NTKClassifierCV({"depth": [1]}, scoring=scoring, **options).fit(X, y)
        assert_allclose(search.best_score_, value, rtol=1e-8, err_msg=scoring)
        assert_allclose(search.temperature_, temperature, rtol=1e-6)


def test_r2_and_gcv_and_likelihood():
    """Against their definitions, with the matrices written out."""
    X, y = numbers()
    K = NTKKernel(1)(X)
    n, ridge = len(y), 0.7
    ones = np.ones((n, 1))
    V = K + ridge * np.eye(n)
    G = np.linalg.inv(V)
    M = G - G @ ones @ ones.T @ G / (ones.T @ G @ ones)
    smoother = np.eye(n) - ridge * M
    rest = y - smoother @ y
    spread = y @ M @ y / (n - 1)
    determinant = np.linalg.slogdet(V)[1] + np.log(G.sum())
    expected = {
        "r2": 1.0 - np.mean((M @ y / M.diagonal()) ** 2) / y.var(),
        "neg_gcv": -np.mean(rest**2) / np.mean(1.0 - smoother.diagonal()) ** 2,
        "log_marginal_likelihood": -0.5
        * ((n - 1) * (np.log(2 * np.pi * spread) + 1.0) + determinant),
    }
    for scoring, value in expected.items():
        search = NTKRegressorCV({"depth": [1]}, alphas=[ridge], scoring=scoring, squash=None)
        assert_allclose(search.fit(X, y).best_score_, value, rtol=1e-8, err_msg=scoring)


FOLDS = KFold(3, shuffle=True, random_state=0)
SCORINGS = ["r2", "neg_mean_squared_error"]


@cache
def searched():
    """Results of scikit-learn's search by each of `SCORINGS`."""
    grid = {**GRID, "alpha": ALPHAS}
    model = NTKRegressor(**PLAIN)
    search = GridSearchCV(model, grid, cv=FOLDS, scoring=SCORINGS, refit=False)
    return search.fit(*numbers()).cv_results_


@pytest.mark.slow
@pytest.mark.parametrize("scoring", SCORINGS)
def test_folds_are_those_of_a_grid_search(scoring):
    options = {"cv": FOLDS, "scoring": scoring}
    mine = NTKRegressorCV(GRID, alphas=ALPHAS, squash=None, **options).fit(*numbers())
    results = searched()
    best = results[f"mean_test_{scoring}"].argmax()
    assert mine.best_params_ == FIXED | results["params"][best]
    assert_allclose(mine.best_score_, results[f"mean_test_{scoring}"][best], rtol=1e-8)
    for k, params in enumerate(results["params"]):
        for name in ("split0_test", "split2_test", "mean_test", "std_test"):
            found = mine.cv_results_[f"{name}_score"][line(mine, **params)]
            assert_allclose(found, results[f"{name}_{scoring}"][k], rtol=1e-7)


@pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss"])
def test_folds_of_classes_are_those_of_a_grid_search(scoring):
    X, y = classes()
    options = {"cv": 3, "scoring": scoring}
    mine = NTKClassifierCV({"depth": [1, 2]}, alphas=ALPHAS, squash=None, **options).fit(X, y)
    grid = {"depth": [1, 2], "alpha": ALPHAS}
    other = GridSearchCV(NTKClassifier("ntk", squash=None), grid, **options).fit(X, y)
    for k, params in enumerate(other.cv_results_["params"]):
        found = mine.cv_results_["mean_test_score"][line(mine, **params)]
        assert_allclose(found, other.cv_results_["mean_test_score"][k], rtol=1e-6)


@pytest.mark.slow
def test_folds_may_be_masks_and_overlap():
    X, y = numbers()
    rows = np.arange(30)
    masks = [(rows < 20, rows >= 20), (rows >= 15, rows < 15)]
    places = [tuple(map(np.flatnonzero, parts)) for parts in masks]
    grid = {"depth": [0, 2], "kernel": ["ntk", "nngp"]}
    search = NTKRegressorCV(grid, alphas=ALPHAS, squash=None)
    one, other = (clone(search).set_params(cv=cv).fit(X, y) for cv in (masks, places))
    grid = {**grid, "alpha": ALPHAS}
    third = GridSearchCV(NTKRegressor(**PLAIN), grid, cv=masks, scoring="neg_mean_squared_error")
    assert one.best_score_ == other.best_score_
    assert_allclose(one.best_score_, third.fit(X, y).best_score_, rtol=1e-8)
    overlapping = NTKRegressorCV({"depth": [0, 2]}, cv=ShuffleSplit(5, random_state=0)).fit(X, y)
    assert np.all(np.isfinite(overlapping.predict(X)))


@both
def test_groups_reach_the_splitter(cls):
    X, y = data_of(cls)
    groups = np.arange(len(y)) % 5
    search = cls({"depth": [1, 2]}, alphas=[0.1], cv=GroupKFold(5)).fit(X, y, groups=groups)
    splits = list(GroupKFold(5).split(X, y, groups))
    other = cls({"depth": [1, 2]}, alphas=[0.1], cv=splits).fit(X, y)
    assert search.best_score_ == other.best_score_
    with pytest.warns(UserWarning, match="^groups are for a splitter, and cv=None"):
        search.set_params(cv=None).fit(X, y, groups=groups)


def test_outputs_are_averaged():
    X, y = numbers()
    Y = np.stack([y, y[::-1] ** 2], axis=1)
    search = NTKRegressorCV({"depth": [1]}, alphas=[0.5], combine=None).fit(X, Y)
    alone = [NTKRegressorCV({"depth": [1]}, alphas=[0.5]).fit(X, part).best_score_ for part in Y.T]
    assert_allclose(search.best_score_, np.mean(alone), rtol=1e-9)
    assert search.predict(X).shape == Y.shape
    mean, std = search.predict(X, return_std=True)
    assert mean.shape == std.shape == Y.shape
    assert search.predict(X, return_cov=True)[1].shape == (30, 30, 2)


@pytest.mark.slow
@pytest.mark.parametrize("scoring", ["neg_mean_squared_error", "r2"])
def test_lines_of_many_rows_are_those_of_their_ridges(scoring):
    """Where ridges are searched: unsorted ones, weights, equal rows and several outputs.

    Of equal rows with other targets, one is left out at a time.
    """
    X, y = numbers(520)
    X, Y = np.vstack([X, X[:40]]), np.stack([y, 10.0 * y[::-1] + X[:, 0]], axis=1)
    Y = np.vstack([Y, Y[:40] + 1.0])
    weights = np.random.default_rng(0).uniform(0.2, 3.0, 560)
    weights[100:110] = 0.0
    given = {"alphas": [10.0, 0.03, 1.0, 0.3, 0.1, 3.0], "scoring": scoring, "squash": None}
    search = NTKRegressorCV({"depth": [1, 2, 3]}, combine=None, **given).fit(X, Y, weights)
    kept = np.flatnonzero(weights)
    X, Y, weights, expected = X[kept], Y[kept], weights[kept], []
    for params in search.cv_results_["params"]:
        bordered = np.ones((len(X) + 1, len(X) + 1))
        bordered[-1, -1] = 0.0
        bordered[:-1, :-1] = NTKKernel(params["depth"])(X) + np.diag(params["alpha"] / weights)
        M = np.linalg.inv(bordered)[:-1, :-1]
        squares = np.average((M @ Y / M.diagonal()[:, None]) ** 2, axis=0, weights=weights)
        away = Y - np.average(Y, axis=0, weights=weights)
        variances = np.average(away**2, axis=0, weights=weights)
        errors = squares if scoring == "neg_mean_squared_error" else squares / variances - 1.0
        expected.append(-errors.mean())
    assert 3 < len(expected) < 18
    assert_allclose(search.cv_results_["mean_test_score"], expected, rtol=1e-8)
    assert search.best_score_ == max(search.cv_results_["mean_test_score"])
    alone = NTKRegressor(**search.best_params_, squash=None)
    assert_allclose(search.predict(X), alone.fit(X, Y, weights).predict(X), rtol=1e-8)
