"""Features that are given, and features of classifiers and of the estimators that choose."""

import numpy as np
import pytest
from both_estimators import assert_same_model
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.gaussian_process.kernels import RBF

from sklearn_ntk import NNGPKernel, NTKClassifier, NTKClassifierCV, NTKRegressor, NTKRegressorCV
from sklearn_ntk.estimators._columns import Columns
from sklearn_ntk.layers import Dense, Flatten, Input

LOSSES = pytest.mark.parametrize("loss", ["squared_error", "hinge", "log_loss"])
SEARCHES = pytest.mark.parametrize("cls", [NTKRegressorCV, NTKClassifierCV])
GRID = {"depth": [1, 2], "kernel": ["ntk", "nngp"]}


def rows(n=120, n_columns=6, seed=0):
    return np.random.default_rng(seed).standard_normal((n, n_columns))


def numbers(X):
    """Targets that depend on two of the columns."""
    return np.sin(2.0 * X[:, 0]) + X[:, 1] ** 2


def labels(X):
    """Three classes that depend on two of the columns."""
    return np.digitize(numbers(X), [0.3, 1.2])


def targets_of(cls):
    return numbers if cls in (NTKRegressor, NTKRegressorCV) else labels


# --- Given features -------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [NTKRegressor, NTKClassifier, NTKRegressorCV, NTKClassifierCV])
def test_a_matrix_is_a_product(cls):
    X, new, A = rows(), rows(9, seed=1), rows(6, 4, seed=2)
    y = targets_of(cls)(X)
    options = {"squash": None}
    if cls in (NTKRegressorCV, NTKClassifierCV):
        options |= {"param_grid": GRID, "combine": "average"}  # a stack has folds by rows
    fitted = cls(**options, features=A.tolist()).fit(X, y)
    other = cls(**options, features=None).fit(X @ A, y)
    assert_array_equal(fitted.features_, A)
    assert_same_model(fitted, _Moved(other, A), new)
    gradients = other.predict_gradient(new @ A) @ A.T
    assert_allclose(fitted.predict_gradient(new), gradients, rtol=1e-7, atol=1e-9)


class _Moved:
    """A model for rows times a matrix."""

    def __init__(self, model, A):
        self.model, self.A = model, A

    def __getattr__(self, name):
        method = getattr(self.model, name)
        return lambda X: method(X @ self.A)


@pytest.mark.parametrize("cls", [NTKRegressor, NTKClassifier, NTKRegressorCV, NTKClassifierCV])
def test_rows_that_a_matrix_makes_equal_are_merged(cls):
    X, A = rows(120, 2), np.array([[1.0], [0.0]])
    X[:, 0] = np.random.default_rng(3).integers(0, 5, 120)
    y = X[:, 0] ** 2 + rows(120, 1, seed=4)[:, 0]
    y = y if cls in (NTKRegressor, NTKRegressorCV) else (y > 4.0).astype(int)
    is_search = cls in (NTKRegressorCV, NTKClassifierCV)
    options = {"squash": None} | ({"param_grid": GRID} if is_search else {"kernel": "ntk"})
    fitted, other = cls(**options, features=A).fit(X, y), cls(**options, features=None)
    other.fit(X @ A, y)
    assert_same_model(fitted, _Moved(other, A), X)
    if is_search:
        assert_allclose(fitted.best_score_, other.best_score_, rtol=1e-9)
    else:
        assert fitted.X_fit_.shape == (5, 1)
        assert_allclose(fitted.alpha_, other.alpha_, rtol=1e-9)


def test_a_matrix_is_copied():
    X, A = rows(), rows(6, 6, seed=2)
    fitted = NTKRegressor("ntk", activation="relu", features=A).fit(X, numbers(X))
    before = fitted.predict(X)
    A *= 0.0
    assert_array_equal(fitted.predict(X), before)


def test_uncertainty_with_a_matrix():
    X, new, A = rows(), rows(9, seed=1), rows(6, 6, seed=2)
    fitted = NTKRegressor("ntk", activation="erf", squash=None, features=A).fit(X, numbers(X))
    other = NTKRegressor("ntk", activation="erf", squash=None).fit(X @ A, numbers(X))
    for actual, expected in zip(
        fitted.predict(new, return_std=True), other.predict(new @ A, return_std=True), strict=True
    ):
        assert_allclose(actual, expected, rtol=1e-7)


def test_matrices_for_kernel_objects_and_positions():
    X, A = rows(40), rows(6, 6, seed=2)
    images = (Input(6, 1), Dense(), "relu", Flatten(), Dense())
    for network in ({"kernel": NNGPKernel()}, {"architecture": images}):
        fitted = NTKRegressor(**network, features=A).fit(X, numbers(X))
        other = NTKRegressor(**network).fit(X @ A, numbers(X))
        assert_allclose(fitted.predict(X), other.predict(X @ A), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("features", [np.ones((5, 6)), np.ones(6), np.full((6, 6), np.nan)])
def test_wrong_matrices_are_refused(features):
    for cls in (NTKRegressor, NTKClassifier, NTKRegressorCV, NTKClassifierCV):
        X = rows(20)
        with pytest.raises(ValueError, match=r"features must be a matrix \(6, m\)"):
            cls(features=features).fit(X, targets_of(cls)(X))


def test_a_matrix_needs_rows():
    X = rows(20)
    model = NTKRegressor("precomputed", features=np.eye(20))
    with pytest.raises(ValueError, match="features need rows; got kernel='precomputed'"):
        model.fit(X @ X.T, numbers(X))


# --- Classifiers ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "loss, mode",
    [
        *(("squared_error", "diagonal"), ("squared_error", "full")),
        *(("hinge", "full"), ("log_loss", "diagonal")),
        pytest.param("hinge", "diagonal", marks=pytest.mark.thorough),
        pytest.param("log_loss", "full", marks=pytest.mark.thorough),
    ],
)
def test_classes_that_depend_on_some_columns(loss, mode):
    X, new = rows(150), rows(300, seed=1)
    plain = NTKClassifier("ntk", loss=loss).fit(X, labels(X))
    fitted = NTKClassifier(loss=loss, features=mode).fit(X, labels(X))
    assert plain.features_ is None
    sizes = np.linalg.norm(fitted.features_, axis=1)
    assert sizes[:2].min() > 2.0 * sizes[2:].max()
    assert fitted.score(new, labels(new)) > plain.score(new, labels(new)) + 0.05
    ridge = {} if loss == "hinge" else {"alpha": fitted.alpha_}  # which folds have judged
    given = NTKClassifier(loss=loss, features=fitted.features_, **ridge).fit(X, labels(X))
    scores = (one.decision_function(new[:100]) for one in (fitted, given))
    assert_allclose(*scores, rtol=1e-7, atol=1e-9)


def test_default_of_classifiers():
    """Columns are scaled, unless the kernel is named."""
    X, y = rows(200), labels(rows(200))
    A = NTKClassifier().fit(X, y).features_
    assert_array_equal(A, NTKClassifier("ntk", features="diagonal").fit(X, y).features_)
    for named in ({"kernel": "ntk"}, {"features": None}, {"activation": "sign"}, {"depth": 0}):
        assert NTKClassifier(**named).fit(X, y).features_ is None


def test_weights_of_classes_are_repetitions():
    X = rows()
    y, weights = labels(X), np.random.default_rng(1).integers(0, 3, 120)
    weighted = NTKClassifier(features="full").fit(X, y, weights)
    repeated = NTKClassifier(features="full").fit(np.repeat(X, weights, 0), np.repeat(y, weights))
    assert_allclose(weighted.features_, repeated.features_, rtol=1e-6, atol=1e-9)
    assert_same_model(weighted, repeated, X, rtol=1e-6)


@pytest.mark.slow
@LOSSES
def test_importances_of_classifiers(loss):
    X = rows(200)
    y = (numbers(X) > 0.7).astype(int)
    fitted = NTKClassifier(loss=loss).fit(X, y)
    shares = (fitted.predict_gradient(X) * X.std(axis=0)) ** 2
    expected = shares.sum(axis=0) / shares.sum()
    assert_allclose(fitted.feature_importances_, expected, rtol=0.02, atol=1e-3)
    assert expected[:2].min() > 2.0 * expected[2:].max()


def test_counts_have_no_importances():
    X = rows(200)
    fitted = NTKClassifier(loss="hinge").fit(X, labels(X))
    with pytest.raises(AttributeError, match="feature_importances_: Scores of loss='hinge'"):
        _ = fitted.feature_importances_


# --- Estimators that choose -----------------------------------------------------------------------


@pytest.mark.slow
@SEARCHES
@pytest.mark.parametrize("mode", ["diagonal", "full"])
def test_all_networks_are_on_learned_features(cls, mode):
    X, new = rows(), rows(300, seed=1)
    y, y_new = targets_of(cls)(X), targets_of(cls)(new)
    plain = cls(GRID, features=None).fit(X, y)
    fitted = cls(GRID, features=mode).fit(X, y)
    sizes = np.linalg.norm(fitted.features_, axis=1)
    assert sizes[:2].min() > 2.0 * sizes[2:].max()
    assert fitted.score(new, y_new) > plain.score(new, y_new)
    for model in fitted.estimators_:
        assert_array_equal(model.features_, fitted.features_)
    given = cls(GRID, features=fitted.features_).fit(X, y)
    assert_array_equal(given.cv_results_["mean_test_score"], fitted.cv_results_["mean_test_score"])
    assert_same_model(fitted, given, new)


@SEARCHES
def test_importances_of_searches(cls):
    X = rows()
    fitted = cls(GRID, features="diagonal").fit(X, targets_of(cls)(X))
    shares = fitted.feature_importances_
    assert_allclose(shares.sum(), 1.0)
    assert shares[:2].min() > 2.0 * shares[2:].max()
    with pytest.raises(AttributeError, match="needs a kernel with a method gradient_x"):
        _ = cls({"kernel": [RBF()]}).fit(X, targets_of(cls)(X)).feature_importances_


@SEARCHES
def test_default_of_the_searches(cls):
    X = rows(60)
    y = targets_of(cls)(X)
    assert cls(GRID).fit(X, y).features_ is None
    assert (cls().fit(X, y).features_ is not None) == (cls is NTKRegressorCV)


def test_weights_of_a_search_are_repetitions():
    X = rows(150)
    weights = np.random.default_rng(1).integers(0, 3, 150)
    weighted = NTKRegressorCV(GRID, features="full").fit(X, numbers(X), weights)
    X, y = np.repeat(X, weights, 0), np.repeat(numbers(X), weights)
    repeated = NTKRegressorCV(GRID, features="full").fit(X, y)
    assert_allclose(weighted.features_, repeated.features_, rtol=1e-6, atol=1e-9)
    assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-6)


@SEARCHES
def test_other_kernels_of_a_grid_learn_none(cls):
    """Rows of kernel objects and of networks on positions are left as they are."""
    X = rows(150)
    y = targets_of(cls)(X)
    images = (Input(6, 1), Dense(), "relu", Flatten(), Dense())
    grid = [{"kernel": [NNGPKernel()]}, {"architecture": [images]}]
    fitted, plain = (cls(grid, features=mode).fit(X, y) for mode in ("full", None))
    assert fitted.features_ is None
    assert_same_model(fitted, plain, X)
    mixed = cls([*grid, GRID], features="full").fit(X, y)
    assert mixed.features_ is not None
    scores = plain.cv_results_["mean_test_score"]
    assert_array_equal(mixed.cv_results_["mean_test_score"][: len(scores)], scores)


@SEARCHES
def test_a_given_matrix_is_for_all_kernels_of_a_grid(cls):
    X, A = rows(60), rows(6, 4, seed=2)
    y = targets_of(cls)(X)
    images = (Input(4, 1), Dense(), "relu", Flatten(), Dense())
    grid = [{"kernel": [NNGPKernel()]}, {"architecture": [images]}]
    fitted = cls(grid, features=A, combine="average").fit(X, y)
    other = cls(grid, combine="average").fit(X @ A, y)
    assert_same_model(fitted, _Moved(other, A), X)


@pytest.mark.parametrize("cv", [None, 3])
def test_folds_see_the_features(cv):
    X = rows(60)
    fitted = NTKRegressorCV(GRID, features="diagonal", cv=cv).fit(X, numbers(X))
    given = NTKRegressorCV(GRID, features=fitted.features_, cv=cv).fit(X, numbers(X))
    assert_array_equal(given.cv_results_["mean_test_score"], fitted.cv_results_["mean_test_score"])


@SEARCHES
def test_rows_are_equal_if_the_networks_see_no_difference(cls):
    """Squashed columns have other sums than the columns have, and equal rows have equal sums."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 4, (200, 2)) ** np.array([1.0, 2.0])
    y = targets_of(cls)(X) + rng.integers(0, 2, 200)
    A, squash = np.ones((2, 1)), 2.0
    options = {"param_grid": {"depth": [1]}, "alphas": [0.1], "combine": None}
    fitted = cls(**options, features=A, squash=squash).fit(X, y)
    squashed = Columns.fit(X, np.ones(200), squash).apply(X)
    other = cls(**options, features=None, squash=None).fit(np.round(squashed @ A, 12), y)
    assert_allclose(fitted.best_score_, other.best_score_, rtol=1e-8)


@pytest.mark.parametrize("cls", [NTKRegressor, NTKClassifier])
def test_products_of_equal_rows_are_equal(cls):
    """Products round otherwise at other places."""
    X, A = rows(101, 40), rows(40, 1, seed=1)
    X = np.vstack([X, X])[np.random.default_rng(2).permutation(202)]
    assert len(cls("ntk", squash=None, features=A).fit(X, targets_of(cls)(X)).X_fit_) == 101
