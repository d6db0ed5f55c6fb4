"""NTKClassifier beyond scikit-learn's checks: labels, scores and probabilities."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.datasets import make_blobs, make_moons
from sklearn.ensemble import VotingClassifier
from sklearn.metrics import log_loss
from sklearn.multiclass import OneVsRestClassifier

from sklearn_ntk import NTKClassifier, NTKClassifierCV, NTKKernel, NTKRegressor

every_count = pytest.mark.parametrize("n_classes", [2, 3, 5])


def data(n=60, n_classes=3, spread=1.0, seed=0):
    angles = 2 * np.pi * np.arange(n_classes) / n_classes
    centers = 2.0 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return make_blobs(n, centers=centers, cluster_std=spread, random_state=seed)


# --- Labels --------------------------------------------------------------------------------------

LABELS = {
    "int": [7, -3],
    "bool": [False, True],
    "string": ["no", "yes"],
    "object": np.array(["b", "a"], dtype=object),
    "float": [2.0, 1.0],
    "three": ["c", "a", "b"],
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_labels_of_all_types(labels):
    labels = np.asarray(labels)
    X, y = data(n_classes=len(labels))
    model = NTKClassifier("ntk").fit(X, labels[y])
    assert_array_equal(model.classes_, np.sort(labels))
    assert model.predict(X).dtype == labels.dtype
    assert model.score(X, labels[y]) > 0.85
    plain = NTKClassifier("ntk").fit(X, np.argsort(np.argsort(labels))[y])
    assert_allclose(model.decision_function(X), plain.decision_function(X), rtol=1e-12)
    assert_array_equal(model.predict(X), np.sort(labels)[plain.predict(X)])


@pytest.mark.parametrize(
    "y, message",
    [
        (np.zeros(60), "at least two classes; got only one class, .*0"),
        (np.array(["a"] * 60), "at least two classes; got only one class, .*'a'"),
        (np.linspace(0, 1, 60), "Unknown label type: continuous"),
        (np.zeros((60, 2)), "1d array|multilabel|multioutput"),
        (np.full(60, np.nan), "Input y contains NaN"),
        (np.array(["a", None] * 30, dtype=object), "got None for row 1: drop the rows"),
        (np.array(["a", np.nan] * 30, dtype=object), "got nan for row 1: drop the rows"),
        (["a"] * 59 + [None], "got None for row 59: drop the rows"),
        (np.array(["a", 1] * 30, dtype=object), "sorted, .*; got objects of type int, str"),
        (np.zeros(59), "inconsistent numbers of samples"),
    ],
)
def test_bad_labels_are_named(y, message):
    for model in (NTKClassifier("ntk"), NTKClassifierCV({"depth": [1]})):
        with pytest.raises(ValueError, match=message):
            model.fit(data()[0], y)


@pytest.mark.parametrize("n_classes", [3, 4])
@pytest.mark.parametrize(
    "make",
    [
        lambda: NTKClassifier("ntk"),
        lambda: NTKClassifier("ntk", loss="log_loss", alpha=0.1),
        lambda: NTKClassifier("ntk", loss="hinge"),
        lambda: NTKClassifierCV({"depth": [1, 2]}),
    ],
)
def test_classes_without_weight_are_there_and_never_predicted(make, n_classes):
    X, y = data()
    y[:8] = n_classes - 1
    weights, kept, known = np.where(y == 1, 0.0, 1.5), y != 1, np.delete(np.arange(n_classes), 1)
    model = make().fit(X, y, sample_weight=weights)
    only = make().fit(X[kept], y[kept], sample_weight=weights[kept])
    assert_array_equal(model.classes_, np.arange(n_classes))
    assert_array_equal(model.predict(X), only.predict(X))
    scores, few = model.decision_function(X), only.decision_function(X)
    if n_classes == 3:
        few = np.column_stack([-0.5 * few, 0.5 * few])
    assert_allclose(scores[:, known], few, rtol=1e-9, atol=1e-12)
    assert not scores[:, 1].any()
    if hasattr(model, "predict_proba"):
        assert_allclose(model.predict_proba(X)[:, known], only.predict_proba(X), rtol=1e-8)
        assert np.all(model.predict_log_proba(X)[:, 1] == -np.inf)
        assert np.isfinite(log_loss(y, model.predict_proba(X), sample_weight=weights))
        assert model.influence(X[:2]).shape == (2, len(X), n_classes)
        gradients = model.predict_gradient(X[:2])
        assert gradients.shape == (2, n_classes, X.shape[1]) and not gradients[:, 1].any()


def test_classes_without_weight_in_a_vote():
    X, y = data()
    weights = np.where(y == 0, 0.0, 1.0)
    vote = VotingClassifier([("a", NTKClassifier("ntk")), ("b", NTKClassifier())], voting="soft")
    assert vote.fit(X, y, sample_weight=weights).score(X, y, sample_weight=weights) > 0.9
    model = NTKClassifier("ntk", class_weight={0: 0.0, 1: 1.0, 2: 1.0}).fit(X, y)
    assert_array_equal(model.classes_, [0, 1, 2])
    for labels in model.staged_predict(X, [1.0, np.inf]):
        assert not np.any(labels == 0)


def test_parts_after_a_fit_have_the_classes_with_weight():
    X, y = data()
    weights = np.where(y == 1, 0.0, 1.0)
    model = (
        NTKClassifier(solver="nystroem").fit(X, y, weights).partial_fit(X + 0.1, y, None, weights)
    )
    assert model.decision_function(X).shape == (60, 3) and not np.any(model.predict(X) == 1)
    with pytest.raises(ValueError, match=r"y must have labels of the classes \[0, 2\]; got 1"):
        model.partial_fit(X, y)


def test_one_class_with_weight():
    X, y = data()
    with pytest.raises(ValueError, match=r"only one class, .*2"):
        NTKClassifier("ntk").fit(X, y, sample_weight=(y == 2) * 1.0)


def test_weights_move_the_boundary():
    X, y = make_moons(80, noise=0.4, random_state=0)
    light, heavy = (
        NTKClassifier("ntk", alpha=1.0).fit(X, y, sample_weight=np.where(y == 1, w, 1.0))
        for w in (1, 20)
    )
    assert heavy.decision_function(X).mean() > light.decision_function(X).mean() + 0.1
    assert (heavy.predict(X) == 1).sum() > (light.predict(X) == 1).sum()


# --- Scores --------------------------------------------------------------------------------------


def test_two_classes_are_regression_on_signs():
    X, y = data(n_classes=2)
    model = NTKClassifier("ntk").fit(X, y)
    regressor = NTKRegressor("ntk", activation="relu").fit(X, 2.0 * y - 1.0)
    scores = model.decision_function(X)
    assert scores.shape == (60,) and model.dual_coef_.shape == (60, 1)
    assert model.alpha_ == regressor.alpha_
    assert_allclose(scores, regressor.predict(X), rtol=1e-9, atol=1e-12)
    assert_array_equal(model.predict(X), (scores > 0).astype(int))


def test_more_classes_are_regression_on_indicators():
    X, y = data()
    model = NTKClassifier("ntk", alpha=0.2).fit(X, y)
    regressor = NTKRegressor("ntk", activation="relu", alpha=0.2).fit(X, np.eye(3)[y])
    scores = model.decision_function(X)
    assert_allclose(scores, regressor.predict(X), rtol=1e-9, atol=1e-12)
    assert_array_equal(model.predict(X), scores.argmax(axis=1))


@pytest.mark.parametrize("n_classes", [3, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_scores_of_the_classes_sum_to_one(n_classes, weighted):
    X, y = data(n_classes=n_classes)
    weights = np.random.default_rng(0).uniform(0.1, 3.0, 60) if weighted else None
    model = NTKClassifier("ntk").fit(X, y, sample_weight=weights)
    scores = model.decision_function(10 * X)
    assert scores.shape == (60, n_classes) and np.ptp(scores) > 1
    assert_allclose(scores.sum(axis=1), 1.0, rtol=1e-9)


# --- Probabilities -------------------------------------------------------------------------------


@every_count
@pytest.mark.parametrize("alpha", ["auto", 0.1])
def test_probabilities_agree_with_predictions(n_classes, alpha):
    X, y = data(n_classes=n_classes)
    new = data(100, n_classes, seed=1)[0]
    model = NTKClassifier("ntk", alpha=alpha).fit(X, y)
    proba = model.predict_proba(new)
    assert proba.shape == (100, n_classes) and np.all(proba >= 0)
    assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-12)
    assert_array_equal(model.classes_[proba.argmax(axis=1)], model.predict(new))
    scores = model.decision_function(new)
    if n_classes == 2:
        odds = np.log(proba[:, 1]) - np.log(proba[:, 0])
        assert_allclose(odds, scores / model.temperature_, rtol=1e-7, atol=1e-9)
    else:
        assert_allclose(proba, softmax(scores / model.temperature_, axis=1), rtol=1e-9)


@every_count
@pytest.mark.parametrize(
    "model",
    [
        NTKClassifier("ntk"),
        NTKClassifier("ntk", loss="log_loss", alpha=0.1),
        NTKClassifierCV({"depth": [1]}),
    ],
    ids=["squares", "log loss", "CV"],
)
def test_logarithms_of_probabilities(n_classes, model):
    """They stay finite where probabilities round to zero."""
    X, y = data(n_classes=n_classes)
    new = data(100, n_classes, seed=1)[0]
    model = clone(model).set_params(squash=None).fit(X, y)
    assert_allclose(np.exp(model.predict_log_proba(new)), model.predict_proba(new), rtol=1e-12)
    far, sure = model.predict_log_proba(1e5 * X), model.predict_proba(1e5 * X)
    assert np.all(np.isfinite(far)) and np.any(sure == 0.0)
    assert_allclose(sure.sum(axis=1), 1.0, rtol=1e-12)
    assert_array_equal(model.classes_[far.argmax(axis=1)], model.predict(1e5 * X))


@pytest.mark.slow
@every_count
@pytest.mark.parametrize("spread", [1.0, 1.5])
def test_probabilities_are_calibrated_better_than_raw_scores(n_classes, spread):
    X, y = data(150, n_classes, spread)
    new, truth = data(600, n_classes, spread, seed=1)
    model = NTKClassifier("ntk").fit(X, y)
    found = log_loss(truth, model.predict_proba(new))
    raw = clone(model).fit(X, y)
    raw.temperature_ = 1.0
    assert found < log_loss(truth, raw.predict_proba(new)) - 0.01
    losses = []
    for factor in np.geomspace(0.25, 4.0, 17):
        raw.temperature_ = factor * model.temperature_
        losses.append(log_loss(truth, raw.predict_proba(new)))
    assert found < min(losses) * 1.05  # nearly the best temperature in hindsight


@every_count
def test_temperature_has_the_smallest_leave_one_out_log_loss(n_classes):
    X, y = data(25, n_classes, spread=1.5)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, 25)
    model = NTKClassifier("ntk", alpha=0.5, squash=None).fit(X, y, sample_weight=weights)
    scores = np.empty((25, n_classes))
    for i in range(25):
        rest = np.arange(25) != i
        single = clone(model).fit(X[rest], y[rest], sample_weight=weights[rest])
        score = single.decision_function(X[[i]])[0]
        scores[i] = score if n_classes > 2 else [-0.5 * score, 0.5 * score]

    shares = (25 * np.eye(n_classes)[y] + 1.0 / n_classes) / 26  # one row more, of no class

    def loss(temperature):
        losses = -(shares * log_softmax(scores / temperature, axis=1)).sum(axis=1)
        return np.average(losses, weights=weights)

    lowest = loss(model.temperature_)
    for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2.0):
        assert lowest < loss(factor * model.temperature_)


def test_separable_classes_give_finite_confident_probabilities():
    X, y = data(spread=0.05)
    model = NTKClassifier("ntk").fit(X, y)
    proba = model.predict_proba(X)
    assert np.all(np.isfinite(proba)) and 0 < model.temperature_ < 1
    assert proba[np.arange(60), y].min() > 0.9


@pytest.mark.parametrize("n_classes, spread", [(2, 0.7), (5, 0.4)])
def test_probabilities_of_separable_classes_are_not_certain(n_classes, spread):
    X, y = data(150, n_classes, spread)
    new, truth = data(1000, n_classes, spread, seed=1)
    model = NTKClassifier("ntk").fit(X, y)
    found = model.predict_proba(new)
    losses = []
    for model.temperature_ in np.geomspace(1e-3, 1.0, 20):
        losses.append(log_loss(truth, model.predict_proba(new)))
    assert found.max() < 1.0  # 150 rows do not tell more
    assert log_loss(truth, found) < 3.0 * min(losses)


def test_pure_noise_gives_the_frequencies():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 2)), (rng.uniform(size=200) < 0.3).astype(int)
    proba = NTKClassifier("ntk").fit(X, y).predict_proba(rng.normal(size=(100, 2)))
    assert 0.15 < proba[:, 1].mean() < 0.5


def test_one_row_of_each_class():
    model = NTKClassifier("ntk").fit([[0.0, 1.0], [2.0, 0.0], [-3.0, 1.0]], ["a", "b", "c"])
    proba = model.predict_proba([[0.5, 0.5], [100.0, -3.0]])
    assert np.all(np.isfinite(proba))
    assert NTKClassifier("ntk", alpha=1e-6).fit([[0.0], [1.0]], [0, 1]).predict(
        [[-0.1], [1.1]]
    ).tolist() == [0, 1]


def test_rows_that_all_coincide():
    model = NTKClassifier("ntk").fit(np.ones((6, 2)), [0, 0, 0, 0, 1, 1])
    assert_allclose(model.decision_function(np.ones((1, 2))), -1 / 3, rtol=1e-9)
    assert_array_equal(model.predict(np.zeros((1, 2))), [0])
    assert np.all(np.isfinite(model.predict_proba(np.ones((1, 2)))))


def test_works_within_one_versus_rest():
    X, y = data()
    model = OneVsRestClassifier(NTKClassifier(kernel=NTKKernel(1))).fit(X, y)
    assert model.score(X, y) > 0.85
