"""The hinge and the log loss of `NTKClassifier`, and weights of classes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris, load_wine, make_blobs, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import scale
from sklearn.svm import SVC

from sklearn_ntk import NTKClassifier, NTKKernel
from sklearn_ntk.estimators import _logistic, _support_vectors
from sklearn_ntk.solvers._factors import Spectrum

KERNEL = NTKKernel()
LOSSES = pytest.mark.parametrize("loss", ["squared_error", "hinge", "log_loss"])


def data(n_classes=3, n=60):
    X, y = load_wine(return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(X))[:n]
    return scale(X)[rows], np.minimum(y, n_classes - 1)[rows]


# --- Hinge ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("C", [0.01, 10.0])
def test_hinge_is_a_support_vector_machine(n_classes, C):
    X, y = data(n_classes)
    model = NTKClassifier("ntk", loss="hinge", C=C, squash=None).fit(X, y)
    other = SVC(kernel=KERNEL, C=C).fit(X, y)
    assert_allclose(model.decision_function(X), other.decision_function(X), atol=2e-3)
    assert np.mean(model.predict(X) == other.predict(X)) > 0.98


def test_hinge_merges_equal_rows():
    X, y = data()
    rows = np.repeat(np.arange(len(y)), 1 + np.arange(len(y)) % 3)
    weights = np.bincount(rows).astype(float)
    weighted = NTKClassifier("ntk", loss="hinge").fit(X, y, weights)
    shuffled = np.random.default_rng(0).permutation(rows)
    repeated = NTKClassifier("ntk", loss="hinge").fit(X[shuffled], y[shuffled])
    assert_allclose(weighted.decision_function(X), repeated.decision_function(X), rtol=1e-10)
    assert len(repeated.svc_.dual_coef_[0]) <= len(y)


def test_equal_rows_of_two_classes():
    X = np.array([[0.0], [0.0], [1.0], [1.0], [1.0]])
    y = np.array([0, 1, 1, 1, 0])
    model = NTKClassifier("ntk", loss="hinge").fit(X, y)
    other = SVC(kernel=KERNEL).fit(X, y)
    assert_allclose(model.decision_function(X), other.decision_function(X), atol=2e-3)


@pytest.mark.parametrize("method", ["predict_proba", "predict_log_proba"])
def test_hinge_has_no_probabilities(method):
    X, y = data()
    model = NTKClassifier("ntk", loss="hinge").fit(X, y)
    assert not hasattr(model, method)
    with pytest.raises(AttributeError, match=f"no attribute '{method}': .*CalibratedClassifierCV"):
        getattr(model, method)
    calibrated = CalibratedClassifierCV(model, ensemble=False).fit(X, y)
    assert calibrated.score(X, y) > 0.9


def margins(X, y, C, **parameters):
    return (
        NTKClassifier(**{"kernel": "ntk", **parameters}, loss="hinge", C=C)
        .fit(X, y)
        .decision_function(X)
    )


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("size", [2.0**-300, 2.0**60, 2.0**400])
def test_hinge_does_not_depend_on_the_unit_of_the_kernel(n_classes, size):
    """A kernel that is so many times as large needs as much less of C."""
    X, y = data(n_classes)
    K = KERNEL(X)
    expected = margins(K, y, 2.0, kernel="precomputed")
    assert_array_equal(margins(size * K, y, 2.0 / size, kernel="precomputed"), expected)


@pytest.mark.parametrize("offset", [0.0, 1.0])
@pytest.mark.parametrize("size", [1.0, 1e6, 1e20, 1e140])
def test_hinge_on_rows_of_any_size(size, offset):
    """Their classes can be separated, and all rows support: the margins are theirs."""
    X = size * (offset + np.random.default_rng(0).normal(size=(16, 16)))
    y = np.arange(16) % 2
    for C in (1e3, np.inf):
        assert_allclose(margins(X, y, C, depth=5), 2.0 * y - 1.0, atol=2e-3)


def test_hinge_on_rows_that_are_nearly_equal_for_a_large_kernel():
    """Entries of 1e13 that differ by about one: libsvm never ends on them as they are."""
    X = 1e6 + np.random.default_rng(0).normal(size=(16, 16))
    y = np.arange(16) % 2
    assert_allclose(margins(X, y, 1.0, depth=5), 2.0 * y - 1.0, atol=2e-3)


def test_infinite_weight_of_the_hinge():
    X, y = data(2)
    assert_array_equal(margins(X, y, np.inf), margins(X, y, 1e9))
    assert np.all(margins(X, y, np.inf) * (2.0 * y - 1.0) > 0.999)
    flat = NTKClassifier("ntk", loss="hinge", C=np.inf).fit(1e-200 * X, y)  # but for the bias zero
    assert np.all(np.isfinite(flat.decision_function(X)))


def test_hinge_that_does_not_converge_says_so(monkeypatch):
    monkeypatch.setattr(_support_vectors, "MOST_STEPS", 1000)
    X, y = np.repeat(data()[0], 2, axis=0), np.arange(120) % 2
    model = NTKClassifier("ntk", loss="hinge", C=np.inf)
    with pytest.warns(ConvergenceWarning, match="not converged after 1000 steps: take a smaller C"):
        model.fit(X, y)
    assert np.all(np.isfinite(model.decision_function(X)))


# --- Log loss -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("alpha", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_log_loss_is_logistic_regression(n_classes, alpha, weighted):
    """With a root of the Gram matrix in place of columns."""
    X, y = data(n_classes)
    weights = np.random.default_rng(1).uniform(0.2, 2.0, len(y)) if weighted else None
    spectrum = Spectrum(KERNEL(X))
    root = spectrum.vectors * np.sqrt(np.maximum(spectrum.values, 0.0))
    other = LogisticRegression(C=1.0 / alpha, tol=1e-10, max_iter=10**5).fit(root, y, weights)
    model = NTKClassifier("ntk", loss="log_loss", alpha=alpha, squash=None).fit(X, y, weights)
    assert_allclose(model.predict_proba(X), other.predict_proba(root), atol=1e-4)
    assert model.temperature_ == 1.0 and model.alpha_ == alpha and len(model.loo_errors_) == 0


@pytest.mark.parametrize("n_classes", [2, 3])
def test_log_loss_is_stationary(n_classes):
    """The dual coefficients are what the rows miss of their classes, by the ridge."""
    X, y = data(n_classes)
    model = NTKClassifier("ntk", loss="log_loss", alpha=0.1).fit(X, y)
    missing = np.eye(n_classes)[y] - model.predict_proba(X)
    missing = missing[:, 1:] if n_classes == 2 else missing
    assert_allclose(0.1 * model.dual_coef_, missing, atol=2e-5)
    assert_allclose(missing.sum(axis=0), 0.0, atol=1e-4)


def test_ridge_of_the_log_loss_is_that_of_the_folds():
    X, y = data(n=90)
    model = NTKClassifier("ntk", loss="log_loss").fit(X, y)
    assert model.alpha_ == model.alphas_[model.loo_errors_.argmin()]
    assert np.all(np.diff(model.alphas_) > 0)
    assert model.loo_errors_.min() < model.loo_errors_[-1]  # not the largest
    assert model.score(X, y) > 0.95


def test_folds_hold_all_classes(monkeypatch):
    y = np.repeat([0, 1, 2], [50, 20, 5])
    X, _ = make_blobs([50, 20, 5], random_state=0)
    sizes = []
    solve = _logistic.solve

    def spy(problem, *arguments):
        sizes.append(problem.shares.sum(axis=0))
        return solve(problem, *arguments)

    monkeypatch.setattr(_logistic, "solve", spy)
    NTKClassifier("ntk", loss="log_loss").fit(X, y)
    assert_array_equal(sizes[:5], [[40, 16, 4]] * 5)


@pytest.mark.parametrize("n_members", [1, 2])
def test_log_loss_of_a_tiny_class(n_members):
    X, y = data(2)
    y[: len(y) - n_members] = 0
    y[len(y) - n_members :] = 1
    P = NTKClassifier("ntk", loss="log_loss").fit(X, y).predict_proba(X)
    assert np.all(np.isfinite(P))


@pytest.mark.parametrize("factor", [1e-20, 1e50])
def test_unit_of_the_weights_does_not_matter(factor):
    X, y = data()
    one = NTKClassifier("ntk", loss="log_loss").fit(X, y)
    other = NTKClassifier("ntk", loss="log_loss").fit(X, y, np.full(len(y), factor))
    assert_allclose(other.alpha_, factor * one.alpha_)
    assert_allclose(other.predict_proba(X), one.predict_proba(X), atol=1e-5)


def test_log_loss_of_huge_and_of_zero_rows():
    X, y = data()
    huge = NTKClassifier("ntk", loss="log_loss", bias_var=0.0)
    assert_allclose(
        huge.fit(1e100 * X, y).predict_proba(1e100 * X), huge.fit(X, y).predict_proba(X), atol=1e-4
    )
    P = NTKClassifier("ntk", loss="log_loss", bias_var=0.0).fit(0.0 * X, y).predict_proba(0.0 * X)
    assert_allclose(P[0], np.bincount(y) / len(y), rtol=1e-4)


def test_log_loss_that_does_not_converge_says_so(monkeypatch):
    monkeypatch.setattr(_logistic.newton, "MOST_STEPS", 2)
    with pytest.warns(ConvergenceWarning, match="increase alpha"):
        NTKClassifier("ntk", loss="log_loss", alpha=1e-4).fit(*data())


def test_nothing_is_left_of_another_loss():
    X, y = data()
    model = NTKClassifier("ntk").fit(X, y)
    model.set_params(loss="hinge").fit(X, y)
    assert not hasattr(model, "dual_coef_") and hasattr(model, "svc_")
    model.set_params(loss="squared_error").fit(X, y)
    assert hasattr(model, "dual_coef_") and not hasattr(model, "svc_")
    assert vars(model).keys() == vars(NTKClassifier("ntk").fit(X, y)).keys()


@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
def test_what_is_fitted_keeps_its_loss(loss):
    X, y = data()
    model = NTKClassifier("ntk", loss=loss, features=None, alpha=1.0).fit(X, y)

    def found():
        stage = next(iter(model.staged_decision_function(X[:3], [10.0])))
        results = [stage, model.influence(X[:2]), model.predict_gradient(X[:2])]
        return [*results, model.predict(X), model.predict_proba(X)]

    expected = found()
    for other in ("hinge", "log_loss", "squared_error"):
        model.set_params(loss=other)
        for one, same in zip(found(), expected, strict=True):
            assert_array_equal(one, same)


def test_hinge_stays_hinge():
    X, y = data()
    model = NTKClassifier("ntk", loss="hinge").fit(X, y)
    expected = model.decision_function(X)
    model.set_params(loss="squared_error")
    assert_array_equal(model.decision_function(X), expected)
    assert not hasattr(model, "predict_proba")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 2])
def test_ridge_of_the_log_loss_does_not_depend_on_any_order(seed):
    X, y = make_classification(
        83, 6, n_informative=4, n_redundant=0, n_classes=3, flip_y=0.15, random_state=seed
    )
    X, rows = scale(X), np.random.default_rng(0).permutation(83)
    model = NTKClassifier("ntk", loss="log_loss", features=None, squash=None)
    other = NTKClassifier("precomputed", loss="log_loss")
    fits = [model.fit(X, y).alpha_, model.fit(-X[:, ::-1], y).alpha_]
    fits += [other.fit(KERNEL(X[order]), y[order]).alpha_ for order in (slice(None), rows)]
    assert_allclose(fits, fits[0], rtol=1e-9)


def test_log_loss_needs_a_ridge():
    with pytest.raises(ValueError, match="needs alpha > 0"):
        NTKClassifier("ntk", loss="log_loss", alpha=0.0).fit(*data())


# --- All of them ----------------------------------------------------------------------------------


@LOSSES
def test_precomputed(loss):
    X, y = data()
    one = NTKClassifier("ntk", loss=loss, alpha=0.1, squash=None).fit(X, y)
    other = NTKClassifier("precomputed", loss=loss, alpha=0.1).fit(KERNEL(X), y)
    tolerance = 2e-3 if loss == "hinge" else 1e-6
    found = other.decision_function(KERNEL(X[:9], X))
    assert_allclose(found, one.decision_function(X[:9]), atol=tolerance)


@LOSSES
@pytest.mark.parametrize("labels", [[0, 1, 2], ["ape", "bee", "cat"]], ids=["numbers", "strings"])
def test_class_weight_is_a_weight_of_rows(loss, labels):
    X, y = data()
    y, factors = np.array(labels)[y], dict(zip(labels, [1.0, 3.0, 0.5], strict=True))
    weights = np.array([factors[label] for label in y.tolist()])
    one = NTKClassifier("ntk", loss=loss, alpha=0.1, class_weight=factors).fit(X, y)
    other = NTKClassifier("ntk", loss=loss, alpha=0.1).fit(X, y, weights)
    assert_allclose(one.decision_function(X), other.decision_function(X), rtol=1e-8)


@LOSSES
def test_balanced_classes_weigh_the_same(loss):
    X, y = data()
    sample_weight = np.random.default_rng(0).integers(0, 3, len(y)).astype(float)
    counts = np.bincount(y, sample_weight)
    factors = dict(enumerate(sample_weight.sum() / (3 * counts)))
    one = NTKClassifier("ntk", loss=loss, alpha=0.1, class_weight="balanced").fit(
        X, y, sample_weight
    )
    other = NTKClassifier("ntk", loss=loss, alpha=0.1, class_weight=factors).fit(
        X, y, sample_weight
    )
    assert_allclose(one.decision_function(X), other.decision_function(X), rtol=1e-8)


def test_balance_moves_the_boundary():
    X, y = make_blobs([200, 20], cluster_std=3.0, random_state=0)
    plain, balanced = (
        NTKClassifier("ntk", class_weight=weight, alpha=10.0).fit(X, y)
        for weight in (None, "balanced")
    )
    assert balanced.predict(X).sum() > plain.predict(X).sum()


@pytest.mark.parametrize(
    "params, message",
    [
        ({"loss": "squared"}, "'loss' parameter"),
        ({"C": 0.0}, "'C' parameter"),
        ({"class_weight": "even"}, "'class_weight' parameter"),
        ({"class_weight": {7: 1.0}}, "are not in class_weight"),
        ({"class_weight": {0: -1.0, 1: 1.0, 2: 1.0}}, "finite weights >= 0"),
        ({"class_weight": {0: "1", 1: 1.0, 2: 1.0}}, "finite weights >= 0"),
        ({"class_weight": {0: np.nan, 1: 1.0, 2: 1.0}}, "finite weights >= 0"),
        ({"class_weight": {0: 1.0, 1: 0.0, 2: 0.0}}, "leave at least two classes"),
    ],
    ids=str,
)
def test_bad_parameters(params, message):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=message):
        NTKClassifier(**params).fit(X, y)


@pytest.mark.parametrize("exponent", [-480, -400, 480])
@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
def test_rows_of_any_size(exponent, loss):
    """The kernel without biases grows with rows, and nothing else does."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 3)), np.arange(20) % 3
    model, size = NTKClassifier("ntk", depth=1, bias_var=0.0, loss=loss), 2.0**exponent
    expected = model.fit(X, y).predict_proba(X)
    assert_allclose(model.fit(size * X, y).predict_proba(size * X), expected, rtol=1e-7)
