"""Few distinct rows, of categories or repeated measurements, teach as much as many."""

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics import log_loss

from sklearn_ntk import NTKClassifier, NTKClassifierCV, NTKKernel, NTKRegressor, NTKRegressorCV

KERNEL = NTKKernel(depth=1)
CORNERS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
CLASSIFIERS = [
    NTKClassifier(),
    NTKClassifier(loss="log_loss"),
    NTKClassifier(solver="cg"),
    NTKClassifier(solver="nystroem"),
    NTKClassifier(training_time="auto"),
    NTKClassifierCV({"depth": [1, 2]}),
    NTKClassifierCV({"depth": [1, 2]}, scoring="neg_log_loss", combine="average"),
]
classifiers = pytest.mark.parametrize("model", CLASSIFIERS, ids=str)


@classifiers
def test_one_binary_column(model):
    """Of each half, 2 % have the other class; probabilities were 0.5."""
    x = np.repeat([0.0, 1.0], 500)[:, None]
    y = np.repeat([0, 1, 1, 0], [490, 10, 490, 10])
    assert_allclose(model.fit(x, y).predict_proba([[0.0], [1.0]])[:, 1], [0.02, 0.98], atol=0.002)


@classifiers
def test_one_constant_column(model):
    y = np.repeat([0, 1], [900, 100])
    found = model.fit(np.ones((1000, 1)), y).predict_proba([[1.0]])
    assert_allclose(found, [[0.9, 0.1]], atol=0.002)


def of_two_columns(probabilities, n=2000):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (n, 2)).astype(float)
    return X, (rng.random(n) < probabilities(X)).astype(int)


def shares_in(X, y):
    return np.array([y[np.all(X == corner, axis=1)].mean() for corner in CORNERS])


@pytest.mark.parametrize(
    "model", [*CLASSIFIERS[:2], CLASSIFIERS[5], NTKRegressor(), NTKRegressorCV()], ids=str
)
def test_exclusive_or(model):
    """Two binary columns, 3 % noise; predictions were 0.5 everywhere."""
    X, y = of_two_columns(lambda X: np.where(X[:, 0] != X[:, 1], 0.97, 0.03))
    model.fit(X, y)
    is_classes = hasattr(model, "predict_proba")
    found = model.predict_proba(CORNERS)[:, 1] if is_classes else model.predict(CORNERS)
    assert_allclose(found, shares_in(X, y), atol=0.02)
    if isinstance(model, NTKRegressor):  # of a new observation
        deviation = model.predict(CORNERS, return_std=True)[1]
        assert_allclose(deviation, np.sqrt(0.97 * 0.03), atol=0.02)


@pytest.mark.parametrize("model", [NTKClassifier(), NTKClassifier(loss="log_loss")], ids=str)
def test_table_of_categories(model):
    """As on the Titanic: the log loss is near that of the shares in the cells, which are true."""
    rng = np.random.default_rng(0)
    X = np.column_stack([np.eye(4)[rng.integers(0, 4, 3000)], rng.random((3000, 2)) < 0.6])
    P = 1.0 / (1.0 + np.exp(1.0 + X[:, :4] @ [-1.5, -0.5, 0.5, 1.0] - 2.0 * X[:, 4] + X[:, 5]))
    y = (rng.random(3000) < P).astype(int)
    model.fit(X[:1500].astype(float), y[:1500])
    found = model.predict_proba(X[1500:].astype(float))[:, 1]
    assert log_loss(y[1500:], found) < log_loss(y[1500:], P[1500:]) + 0.012


@pytest.mark.slow
@pytest.mark.parametrize("n_each", [4, 12])
def test_repeated_measurements(n_each):
    """Errors are those of refits without each of them."""
    rng = np.random.default_rng(0)
    X = np.linspace(-2.0, 2.0, 6)[:, None]
    rows = np.repeat(X, n_each, axis=0)
    y = np.sin(2.0 * rows[:, 0]) + rng.normal(size=len(rows))
    model = NTKRegressor(KERNEL).fit(rows, y)
    place = len(model.alphas_) // 2
    left = [
        y[i]
        - NTKRegressor(KERNEL, alpha=model.alphas_[place])
        .fit(np.delete(rows, i, axis=0), np.delete(y, i))
        .predict(rows[[i]])[0]
        for i in range(len(rows))
    ]
    assert_allclose(model.loo_errors_[place], np.mean(np.square(left)) / np.var(y), rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("n_each", [4, 20])
def test_ridge_of_repeated_measurements(n_each):
    """The error is near that of the best ridge, in the mean over draws of the noise."""
    rng = np.random.default_rng(0)
    X, test = np.linspace(-2.0, 2.0, 15)[:, None], np.linspace(-2.0, 2.0, 100)[:, None]
    rows, chosen, all_errors = np.repeat(X, n_each, axis=0), [], []
    for _ in range(8):
        y = np.sin(2.0 * rows[:, 0]) + 0.7 * rng.normal(size=len(rows))
        model = NTKRegressor(KERNEL).fit(rows, y)
        models = [NTKRegressor(KERNEL, alpha=alpha).fit(rows, y) for alpha in model.alphas_[::3]]
        found = [one.predict(test) - np.sin(2.0 * test[:, 0]) for one in (model, *models)]
        first, *others = np.mean(np.square(found), axis=1)
        chosen.append(first)
        all_errors.append(others)
    assert np.mean(chosen) < 1.3 * np.mean(all_errors, axis=0).min()


@pytest.mark.parametrize("cls", [NTKRegressor, NTKClassifier])
@pytest.mark.parametrize("options", [{}, {"training_time": "auto"}], ids=str)
def test_weights_are_repetitions_of_rows_with_several_targets(cls, options):
    """Where equal rows have other targets as repeated measurements do, or a label by accident."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 4, (24, 2)).astype(float)
    y = X.sum(axis=1) + rng.normal(size=24)
    if cls is NTKClassifier:
        X[2:] += rng.normal(size=(22, 2))
        X[1], y = X[0], X.sum(axis=1) > 3.0
        y[1] = ~y[0]
    _, group = np.unique(X, axis=0, return_inverse=True)
    kept = np.bincount(group.ravel())[group.ravel()] < 4
    X, y = X[kept], y[kept]
    counts = 1 + (np.arange(len(X)) % 3 > 0)
    weighted = cls(KERNEL, **options).fit(X, y, counts)
    repeated = cls(KERNEL, **options).fit(np.repeat(X, counts, axis=0), np.repeat(y, counts))
    assert len(weighted.X_fit_) < len(X)
    assert_allclose(repeated.loo_errors_, weighted.loo_errors_, rtol=1e-7)
    assert_allclose(repeated.predict(X), weighted.predict(X), rtol=1e-7)
    if cls is NTKClassifier:
        assert_allclose(repeated.temperature_, weighted.temperature_, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("n_each", [3, pytest.param(9, marks=pytest.mark.thorough)])
@pytest.mark.parametrize(
    "cls", [NTKClassifier, partial(NTKClassifier, loss="log_loss"), NTKClassifierCV]
)
def test_few_copies_of_categories(cls, n_each):
    """Probabilities are about those of rows that differ by as good as nothing."""
    losses = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        rows = rng.integers(0, 2, (8 * n_each + 1000, 3)).astype(float)
        P = 1.0 / (1.0 + np.exp(4.5 - 3.0 * rows.sum(axis=1)))
        y = (rng.random(len(rows)) < P).astype(int)
        different = rows + 1e-6 * rng.normal(size=rows.shape)
        for X in (rows, different):
            new, labels = X[-1000:], y[-1000:]
            model = cls().fit(X[:-1000], y[:-1000])
            losses.append(log_loss(labels, model.predict_proba(new)))
    own, others = np.reshape(losses, (4, 2)).mean(axis=0)
    assert own < others + 0.03


def test_folds_of_observations():
    """The log loss of folds does not depend on the order of the rows, and is that of new ones."""
    X, y = of_two_columns(lambda X: 0.2 + 0.6 * X[:, 0], n=400)
    order = np.random.default_rng(1).permutation(400)
    one = NTKClassifier(loss="log_loss").fit(X, y)
    other = NTKClassifier(loss="log_loss").fit(X[order], y[order])
    assert_allclose(one.loo_errors_, other.loo_errors_, rtol=1e-6)
    P = np.where(X[:, 0] > 0, 0.8, 0.2)
    assert abs(one.loo_errors_.min() - log_loss(y, P)) < 0.02


def test_features_of_categories():
    """A binary column that says nothing is found by observations."""
    X, y = of_two_columns(lambda X: np.where(X[:, 1] > 0, 0.9, 0.1))
    X = np.column_stack([X, np.random.default_rng(2).integers(0, 2, (len(X), 3))])
    model = NTKClassifier().fit(X, y)
    found = model.predict_proba(X)[:, 1]
    assert_allclose(found, np.where(X[:, 1] > 0, 0.9, 0.1), atol=0.06)
