"""Learning from parts of the data, by sums over rows that are not kept."""

import pickle
from functools import cache

import numpy as np
import pytest
from both_estimators import both
from large_problems import data, labels
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.gaussian_process.kernels import PairwiseKernel

from sklearn_ntk import NTKClassifier, NTKRegressor
from sklearn_ntk.solvers import _nystroem

PLAIN = {"kernel": "ntk", "activation": "relu"}


def parts(n=900, k=3):
    """Rows, targets and labels, in k parts, and rows and targets for tests."""
    X, y, X_test, y_test = data(n)
    pieces = zip(np.array_split(X, k), np.array_split(y, k), strict=True)
    return [(rows, targets, labels(targets)) for rows, targets in pieces], X_test, y_test


def streamed(cls, pieces, **parameters):
    model = cls(**{**PLAIN, "n_components": 150, **parameters})
    for X, y, classes in pieces:
        model.partial_fit(X, y if cls is NTKRegressor else classes)
    return model


@both
def test_parts_are_as_good_as_the_whole(cls):
    pieces, X_test, y_test = parts()
    model = streamed(cls, pieces)
    y = np.concatenate([piece[1 if cls is NTKRegressor else 2] for piece in pieces])
    X = np.concatenate([piece[0] for piece in pieces])
    whole = cls(**PLAIN, solver="nystroem", n_components=150).fit(X, y)
    if cls is NTKRegressor:
        errors = [np.std(one.predict(X_test) - y_test) for one in (model, whole)]
        assert errors[0] < 1.15 * errors[1] < 0.3
        first = np.std(streamed(cls, pieces[:1]).predict(X_test) - y_test)
        assert errors[0] < first
        mean, std = model.predict(X, return_std=True)
        assert 0.86 < np.mean(np.abs(mean - y) < 1.645 * std) < 0.96
    else:
        scores = [one.score(X_test, labels(y_test)) for one in (model, whole)]
        assert scores[0] > scores[1] - 0.02 > 0.85
        assert_allclose(model.predict_proba(X_test).sum(axis=1), 1.0)
    assert model.solver_ == "nystroem" and model.X_fit_.shape == (150, 3)


def test_given_centers_make_parts_equal_to_the_whole():
    pieces, X_test, _ = parts()
    centers = data(100, seed=5)[0]
    X, y = (np.concatenate([piece[i] for piece in pieces]) for i in range(2))
    parameters = {"centers": centers, "alpha": 0.1, "squash": None, "solver": "nystroem"}
    model = streamed(NTKRegressor, pieces, **parameters, n_components=None)
    whole = NTKRegressor(**PLAIN, **parameters).fit(X, y)
    assert_array_equal(model.centers_, centers)
    assert_allclose(model.predict(X_test), whole.predict(X_test), atol=1e-8)
    assert len(whole.dual_coef_) == 100


@both
def test_parts_replace_a_fit_by_another_solver_with_a_warning(cls):
    X, y, classes = parts(n=60)[0][0]
    y = y if cls is NTKRegressor else classes
    model = cls(**PLAIN).fit(X, y)
    with pytest.warns(UserWarning, match="starts over, without the rows of a fit by solver='chol"):
        model.partial_fit(X, y)
    assert model.partial_fit(X, y).solver_ == "nystroem"  # without one: warnings are errors


def test_shape_of_targets_is_that_of_the_first_part():
    X, y, _ = parts(n=60)[0][0]
    for first, second in ((y, y[:, None]), (y[:, None], y)):
        model = NTKRegressor(**PLAIN, n_components=9).partial_fit(X, first).partial_fit(X, second)
        assert model.predict(X).shape == first.shape


@both
def test_parts_may_follow_a_fit_and_survive_pickles(cls):
    pieces, X_test, _ = parts()
    model = cls(**PLAIN, solver="nystroem", n_components=150)
    place = 1 if cls is NTKRegressor else 2
    model.fit(pieces[0][0], pieces[0][place])
    model = pickle.loads(pickle.dumps(model)).partial_fit(pieces[1][0], pieces[1][place])
    expected = streamed(cls, pieces[:2])
    assert_allclose(model.predict_gradient(X_test), expected.predict_gradient(X_test), rtol=1e-9)
    again = model.fit(pieces[0][0], pieces[0][place])
    first = cls(**PLAIN, solver="nystroem", n_components=150)
    first.fit(pieces[0][0], pieces[0][place])
    assert_array_equal(again.dual_coef_, first.dual_coef_)


@pytest.mark.parametrize("starts_by", ["fit", "partial_fit"])
def test_intervals_of_parts_with_equal_rows_of_other_targets_are_refused(starts_by):
    """Their pairs of a row and a target are not kept."""
    pieces, X_test, _ = parts()
    X, y, _ = pieces[0]
    model = NTKRegressor(**PLAIN, solver="nystroem", n_components=50)
    getattr(model, starts_by)(np.vstack([X, X[:30]]), np.append(y, y[:30] + 0.3))
    model.partial_fit(*pieces[1][:2])
    with pytest.raises(ValueError, match="need equal targets of equal rows in its first part"):
        model.predict_interval(X_test)
    plain = NTKRegressor(**PLAIN, solver="nystroem", n_components=50)
    getattr(plain, starts_by)(X, y).partial_fit(*pieces[1][:2])
    low, high = plain.predict_interval(X_test).T
    assert np.all(high - low < 2.0)


@cache
def error_of(ridge):
    """Of centres that are the first rows, and a given ridge."""
    X, y, X_test, y_test = data(600, noise=0.02)
    one = NTKRegressor(**PLAIN, centers=X[:200], squash=None, solver="nystroem", alpha=ridge)
    return np.mean((one.fit(X, y).predict(X_test) - y_test) ** 2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["first part", "given rows", "given rows in parts"])
def test_centres_do_not_choose_the_ridge(kind):
    """They would choose one that is too large: here by a factor of a thousand."""
    X, y, X_test, y_test = data(600, noise=0.02)
    centers = X[:200] if "given" in kind else "uniform"
    model = NTKRegressor(**PLAIN, centers=centers, squash=None, solver="nystroem")
    for rows in np.split(np.arange(600), 1 if kind == "given rows" else 3):
        model.partial_fit(X[rows], y[rows])
    held = model._centers.held
    assert len(held.rows) == 400 and np.all(held.unseen > 1e-6)
    errors = [error_of(float(ridge)) for ridge in model._centers.ridges]
    assert np.mean((model.predict(X_test) - y_test) ** 2) < 1.05 * min(errors)


def test_memory_does_not_grow():
    pieces, _, _ = parts(n=3000, k=10)
    model, sizes = NTKRegressor(**PLAIN, n_components=50), []
    for X, y, _ in pieces:
        sizes.append(len(pickle.dumps(model.partial_fit(X, y))))
    held = model._centers.held
    assert len(held.rows) <= 4000 and held.Z.shape[1] == 50
    assert model._centers.sums.weight > 0.0
    rows = sizes[-1] - sizes[0] - 8 * (50 + 4) * len(held.rows)
    assert rows < 1000 * 8


def test_later_parts_go_on_when_no_more_rows_can_be_held(monkeypatch):
    monkeypatch.setattr(_nystroem, "HELD", 40)
    pieces, *_ = parts(n=150)
    kernel = PairwiseKernel(metric="rbf")  # refuses blocks without rows
    model = NTKRegressor(kernel, n_components=47, alpha=0.1)
    sizes = [len(model.partial_fit(X, y)._centers.held.rows) for X, y, _ in 3 * pieces]
    assert model._centers.sums.weight == 450.0
    assert sizes[0] == sizes[-1] == sizes[-2] == 40  # nearly all rows of the first are centres
    assert not model._centers.held.are_centers.any()


@both
def test_bad_parts_are_refused_before_anything_is_touched(cls):
    pieces, X_test, _ = parts()
    place = 1 if cls is NTKRegressor else 2
    model = streamed(cls, pieces[:1])
    before = pickle.dumps(model._centers.sums), model.dual_coef_.copy(), model.predict(X_test)
    X, y = pieces[1][0], pieces[1][place]
    broken = X.copy()
    broken[-1, 1] = np.nan
    for rows, targets, message in (
        (broken, y, "NaN"),
        (X[:, :2], y, "2 features, but .* is expecting 3"),
        (X, y[:-1], "inconsistent numbers of samples"),
    ):
        with pytest.raises(ValueError, match=message):
            model.partial_fit(rows, targets)
    assert pickle.dumps(model._centers.sums) == before[0]
    assert_array_equal(model.dual_coef_, before[1])
    assert_array_equal(model.predict(X_test), before[2])


def test_other_numbers_of_outputs_and_other_labels_are_refused():
    pieces, *_ = parts()
    X, y, classes = pieces[0]
    with pytest.raises(ValueError, match="number of outputs of the first part, 1; got 2"):
        streamed(NTKRegressor, pieces[:1]).partial_fit(X, np.column_stack([y, y]))
    model = streamed(NTKClassifier, pieces[:1])
    with pytest.raises(ValueError, match="got 7: give all classes to the first"):
        model.partial_fit(X, np.where(classes == 0, 7, classes))
    with pytest.raises(ValueError, match="classes must be those of the first part"):
        model.partial_fit(X, classes, classes=[0, 2])


@pytest.mark.parametrize(
    "given", [[0, 1, 2, np.nan], [0, 1, None], np.array([0, np.nan], object)], ids=str
)
def test_classes_that_are_missing(given):
    X, _, classes = parts()[0][0]
    with pytest.raises(ValueError, match="classes must be numbers or strings, none of them miss"):
        NTKClassifier(**PLAIN).partial_fit(X, classes, classes=given)


def test_classes_may_come_later():
    pieces, X_test, y_test = parts()
    X, _, classes = pieces[0]
    kept = classes != 2
    model = NTKClassifier(**PLAIN, n_components=150)
    model.partial_fit(X[kept], classes[kept], classes=[2, 0, 1])
    assert 2 not in model.predict(X_test)
    for X, _, classes in pieces[1:]:
        model.partial_fit(X, classes)
    assert model.score(X_test, labels(y_test)) > 0.8


def test_weights_are_repetitions():
    pieces, X_test, _ = parts(n=300)
    rng, model, other = (
        np.random.default_rng(0),
        *(
            NTKRegressor(**PLAIN, alpha=0.1, centers=data(40, seed=5)[0], squash=None)
            for _ in range(2)
        ),
    )
    for X, y, _ in pieces:
        counts = rng.integers(0, 3, len(X))
        model.partial_fit(X, y, counts)
        other.partial_fit(np.repeat(X, counts, axis=0), np.repeat(y, counts))
    assert_allclose(model.predict(X_test), other.predict(X_test), rtol=1e-6)


def test_class_weights():
    pieces, X_test, _ = parts()
    plain = streamed(NTKClassifier, pieces, alpha=1.0)
    heavy = streamed(NTKClassifier, pieces, alpha=1.0, class_weight={2: 20.0})
    found, expected = (np.mean(one.predict(X_test) == 2) for one in (heavy, plain))
    assert found > expected
    with pytest.raises(ValueError, match="class_weight='balanced' needs all rows at once"):
        streamed(NTKClassifier, pieces, class_weight="balanced")
    X, _, classes = pieces[0]
    for given, message in (({0: -1.0, 1: 1.0}, "finite weights >= 0"), ({5: 2.0}, "not in class")):
        with pytest.raises(ValueError, match=message):
            NTKClassifier(**PLAIN, class_weight=given).partial_fit(X, classes, classes=[0, 1, 2])
    without = streamed(NTKClassifier, pieces, class_weight={0: 2.0, 2: 0.0})
    assert without.classes_.tolist() == [0, 1, 2] and not np.any(without.predict(X_test) == 2)


@both
@pytest.mark.parametrize(
    "parameters",
    [{"solver": "cg"}, {"training_time": 1.0}, {"kernel": "precomputed"}],
    ids=str,
)
def test_other_models_have_no_partial_fit(cls, parameters):
    assert not hasattr(cls(**parameters), "partial_fit")
    assert hasattr(cls(), "partial_fit") and hasattr(cls(solver="nystroem"), "partial_fit")
    assert not hasattr(NTKClassifier(loss="hinge"), "partial_fit")
