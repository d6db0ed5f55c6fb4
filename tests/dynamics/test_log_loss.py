"""Training on the log loss: stored values, other integrators, the limit, arguments."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from odd_values import NO_NUMBERS, K, is_one_sentence
from scipy.integrate import solve_ivp
from scipy.special import expit, softmax
from training import stored

from sklearn_ntk import NTKKernel
from sklearn_ntk.dynamics import Descent, HeavyBall, LogLossTraining, MomentumFlow, _logistic
from sklearn_ntk.estimators._logistic import dual_of, make_root, solve

CONSTANTS = pytest.mark.parametrize("fit_intercept", [True, False])


def problem(n=12, k=3, seed=0):
    """Positive semi-definite matrix with new rows, shares of classes, initial scores, weights."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(n + 3, 5))
    kernel = (1.0 + A @ A.T / 5.0) ** 2
    labels = np.append(np.arange(k), rng.integers(k, size=n - k))
    start = rng.normal(size=(n + 3, k))
    return kernel[:n, :n], kernel[n:, :n], np.eye(k)[labels], start, rng.uniform(0.2, 4.0, n)


@pytest.mark.slow
@pytest.mark.parametrize("case", range(5))
def test_stored_values(case):
    data = stored("cross_entropy")
    case = data["cases"][case]
    K, cross, labels = (data[name] for name in ("ntk_train_train", "ntk_test_train", "labels"))
    Y = np.eye(3)[labels.astype(int)]
    first, first_new = data["f0_train"], data["f0_test"]
    if case["loss"] == "logistic":
        Y, first, first_new = Y[:, :1], first[:, :1], first_new[:, :1]
    if case["start"] == "zero":
        first = first_new = None
    given = {"method": MomentumFlow(case["momentum"])} if case["momentum"] else {}
    rate = case["learning_rate"]
    training = LogLossTraining(K, None, 0.0, rate, fit_intercept=False, tol=1e-11, **given)
    found = training.predict(cross, Y, case["times"], first, first_new)
    assert_allclose(found, case["test"], atol=1e-8, rtol=1e-8)
    found = training.predict(K, Y, case["times"], first, first)
    assert_allclose(found, case["train"], atol=1e-8, rtol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize(
    "momentum, alpha",
    [
        *((None, 0.2), (0.5, 0.0)),
        pytest.param(None, 0.0, marks=pytest.mark.thorough),
        pytest.param(0.5, 0.2, marks=pytest.mark.thorough),
    ],
)
def test_another_integrator(alpha, momentum):
    """Of the predictions on all rows, with the constants as variables that are much faster."""
    K, _, Y, start, weights = problem()
    start, total, c = start[:12], weights.sum(), np.zeros(3)

    def slope(_, state):
        nonlocal c
        A, V = state[: Y.size].reshape(Y.shape), state[Y.size :].reshape(Y.shape)
        for _ in range(50):  # descent, with a step of at most the inverse curvature
            P = softmax(start + K @ A + c, axis=1)
            c = c + 2.0 * weights @ (Y - P) / total
        force = 0.7 / total * (weights[:, None] * (Y - P) - alpha * A)
        moved = (force, 0.0 * V) if momentum is None else (V, force - (1.0 - momentum) * V)
        return np.concatenate(moved, axis=None)

    options = {"rtol": 1e-8, "atol": 1e-10, "method": "LSODA"}
    expected = solve_ivp(slope, (0.0, 20.0), np.zeros(2 * Y.size), **options).y[: Y.size, -1]
    given = {} if momentum is None else {"method": MomentumFlow(momentum)}
    training = LogLossTraining(K, weights, alpha, 0.7, tol=1e-10, **given)
    dual, intercept = training.coefficients(Y, 20.0, start)
    assert_allclose(dual, expected.reshape(Y.shape), atol=1e-6)
    P = softmax(start + K @ dual + intercept, axis=1)
    assert_allclose(weights @ (P - Y), 0.0, atol=1e-12)


@CONSTANTS
@pytest.mark.parametrize("alpha", [1e-4, 0.3, 100.0])
def test_limit_is_logistic_regression(fit_intercept, alpha):
    """There the gradient is zero, and long training comes close."""
    K, cross, Y, start, weights = problem()
    start, start_new = start[:12], start[12:]
    for k, probabilities in ((3, lambda F: softmax(F, axis=1)), (1, expit)):
        Z, first, first_new = Y[:, :k], start[:, :k], start_new[:, :k]
        training = LogLossTraining(K, weights, alpha, 2.0, fit_intercept=fit_intercept)
        dual, intercept = training.coefficients(Z, np.inf, first)
        P = probabilities(first + K @ dual + intercept)
        assert_allclose(K @ (weights[:, None] * (Z - P) - alpha * dual), 0.0, atol=1e-8)
        assert_allclose(weights @ (Z - P) * fit_intercept, 0.0, atol=1e-9)
        if alpha > 1e-3:
            values = training.predict(cross, Z, [1e4 / alpha, np.inf], first, first_new)
            assert_allclose(values[0], values[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ratio", [1e-8, 1e-4, 1.0, 1e4])
@pytest.mark.parametrize("size", [1e-100, 1e100])
def test_limits_of_any_size(ratio, size):
    K, _, Y, _, weights = problem(30)
    expected = LogLossTraining(K, weights, ratio).coefficients(Y, np.inf)
    found = LogLossTraining(size * K, weights, size * ratio).coefficients(Y, np.inf)
    assert_allclose(size * found[0], expected[0], rtol=1e-5, atol=1e-7)
    assert_allclose(found[1], expected[1], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_limit_is_that_of_the_classifier(n_classes):
    """Which is fitted by another method; of two classes it has one score."""
    K, cross, Y, _, weights = problem(k=n_classes)
    one = make_root(K, Y, weights)
    dual, intercept = dual_of(one, solve(one, 0.1), 0.1)
    targets = Y if n_classes > 2 else Y[:, 1:]
    found = LogLossTraining(K, weights, 0.1).predict(cross, targets, np.inf)
    expected = cross @ dual + intercept
    centre = 0.0 if n_classes == 2 else expected.mean(axis=1, keepdims=True)
    assert_allclose(found, expected - centre, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [1.0, 1e3, 1e5])
@pytest.mark.parametrize("k", [1, 2, 10])
def test_constants_of_far_scores(size, k):
    """From a guess that is as far away as they are."""
    rng = np.random.default_rng(0)
    Y = np.eye(max(k, 2))[np.arange(30) % max(k, 2)][:, -k:]
    scores, weights = size * rng.normal(size=(2, 30, k)).sum(axis=0), rng.uniform(0.2, 4.0, 30)
    constant = _logistic.best_constant(Y, scores, weights, 3.0 * size * rng.normal(size=k))
    gradient = weights @ (_logistic.probabilities(scores + constant) - Y) / weights.sum()
    assert_allclose(gradient, 0.0, atol=1e-15 * max(size, 100.0))


def test_two_scores_are_one_at_twice_the_time():
    K, _, Y, _, weights = problem(k=2)
    times = np.array([0.3, 5.0, 1e3])
    for fit_intercept in (True, False):
        training = LogLossTraining(K, weights, fit_intercept=fit_intercept)
        both = training.predict(K, Y, times)
        one = training.predict(K, Y[:, 1], 2.0 * times)
        assert_allclose(both[..., 1] - both[..., 0], one, rtol=1e-6, atol=1e-7)


@CONSTANTS
def test_many_times_are_one_and_one(fit_intercept):
    K, cross, Y, start, weights = problem()
    training = LogLossTraining(K, weights, 0.1, fit_intercept=fit_intercept, tol=1e-6)
    times = [3.0, 0.0, np.inf, 3.0, 1e9]
    for Z, first in ((Y, start), (Y[:, 0], start[:, 0])):
        dual, intercept = training.coefficients(Z, times, first[:12])
        values = training.predict(cross, Z, times, first[:12], first[12:])
        assert dual.shape == (5, *Z.shape) and intercept.shape == (5, *Z.shape[1:])
        for k, time in enumerate(times):
            one = training.coefficients(Z, time, first[:12])
            assert one[0].shape == Z.shape and np.shape(one[1]) == Z.shape[1:]
            assert_allclose(dual[k], one[0], rtol=1e-4, atol=1e-4)
            assert_allclose(values[k], first[12:] + cross @ one[0] + one[1], rtol=1e-4, atol=1e-4)
    assert training.coefficients(Y, [])[0].shape == (0, 12, 3)


def test_weights_are_repetitions():
    K, cross, Y, *_ = problem()
    counts = np.array([1, 2, 1, 3, 1, 1, 2, 1, 1, 1, 2, 1])
    rows = np.repeat(np.arange(12), counts)
    weighted = LogLossTraining(K, counts, 0.2).predict(cross, Y, [3.0, np.inf])
    repeated = LogLossTraining(K[np.ix_(rows, rows)], None, 0.2)
    assert_allclose(weighted, repeated.predict(cross[:, rows], Y[rows], [3.0, np.inf]), rtol=1e-5)


def test_without_a_ridge_scores_grow_like_the_logarithm():
    K, _, Y, *_ = problem()
    losses = []
    for values in LogLossTraining(K).predict(K, Y, [1e3, 1e4, 1e5, 1e6]):
        losses.append(-np.mean(np.sum(Y * np.log(softmax(values, axis=1)), axis=1)))
    assert_allclose(np.array(losses[:-1]) / losses[1:], 10.0, rtol=0.3)


@pytest.mark.parametrize("start", [-1e3, 0.0, 1e3])
def test_saturated_starts(start):
    """Probabilities of exactly one and zero: the constant comes back, and nothing is NaN."""
    K, _, Y, *_ = problem(k=2)
    first = start * np.linspace(0.9, 1.0, 12)
    dual, intercept = LogLossTraining(K).coefficients(Y[:, 1], [0.0, 10.0], first)
    assert np.isfinite(dual).all() and np.isfinite(intercept).all()
    P = expit(first + K @ dual[1] + intercept[1])
    assert_allclose(P.sum(), Y[:, 1].sum(), rtol=1e-6)
    dual, intercept = LogLossTraining(K, alpha=0.1).coefficients(Y[:, 1], np.inf, first)
    P = expit(first + K @ dual + intercept)
    assert_allclose(K @ (Y[:, 1] - P - 0.1 * dual), 0.0, atol=1e-8)


# --- Arguments ------------------------------------------------------------------------------------

Y = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])


@pytest.mark.parametrize("method", [Descent(), HeavyBall()], ids=repr)
def test_no_steps(method):
    with pytest.raises(ValueError, match=r"method must be Flow\(\) or MomentumFlow\(\)") as error:
        LogLossTraining(K, method=method)
    assert is_one_sentence(error)


def test_no_end_without_a_ridge():
    for times in (np.inf, [1.0, np.inf]):
        with pytest.raises(ValueError, match=r"time must be finite without a ridge.*; got inf"):
            LogLossTraining(K).coefficients(Y, times)


@pytest.mark.parametrize(
    "targets", [2.0 * Y, -Y, Y + 0.1, np.array([0.0, 1.0, 2.0]), 0.9 * Y, np.eye(3)[:, :2]]
)
def test_no_shares(targets):
    with pytest.raises(ValueError, match=r"Y must be shares of classes, .* got numbers") as error:
        LogLossTraining(K).coefficients(targets, 1.0)
    assert is_one_sentence(error)


@pytest.mark.parametrize("targets", [np.ones(3), np.zeros((3, 1)), np.eye(3)[[0, 0, 1]]])
def test_no_class_without_rows(targets):
    """Its constant would be infinite; without constants it is legal."""
    with pytest.raises(
        ValueError, match="Y must have rows of all its classes for an interc"
    ) as error:
        LogLossTraining(K).coefficients(targets, 1.0)
    assert is_one_sentence(error)
    dual, intercept = LogLossTraining(K, fit_intercept=False).coefficients(targets, 1.0)
    assert np.isfinite(dual).all() and not np.any(intercept)


@pytest.mark.parametrize("targets", [each for name, each in NO_NUMBERS.items() if name != "set"])
def test_no_targets(targets):
    with pytest.raises(ValueError, match=r"Y must be an array \(3,\) or \(3, k\) of fi") as error:
        LogLossTraining(K).coefficients(targets, 1.0)
    assert is_one_sentence(error)


def test_other_arguments():
    for tol in (0.0, 1e-14, 0.1):
        with pytest.raises(ValueError, match=r"tol must be a number from 1e-13 to 0\.01; got"):
            LogLossTraining(K, tol=tol)
    with pytest.raises(ValueError, match="time must be a number >= 0; got -1"):
        LogLossTraining(K).coefficients(Y, -1.0)
    with pytest.raises(ValueError, match="positive semi-definite; its smallest eigenvalue is -1"):
        LogLossTraining(np.diag([1.0, -1.0]))
    with pytest.raises(ValueError, match=r"start must be an array \(3, 2\) of finite"):
        LogLossTraining(K).coefficients(Y, 1.0, Y[:, 0])
    dual, _ = LogLossTraining(np.zeros((3, 3)), alpha=1.0).coefficients(Y, [1.0, np.inf])
    assert np.isfinite(dual).all()
    dual, intercept = LogLossTraining([[2.0]]).coefficients([0.5], [0.0, 1.0])
    assert_array_equal(dual, np.zeros((2, 1)))
    assert_array_equal(intercept, np.zeros(2))


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_long_times_with_a_ridge_are_the_limit(activation):
    """They end at once; coefficients are the misfit over the ridge, also at tiny eigenvalues."""
    X = np.random.default_rng(0).uniform(-1.0, 1.0, (40, 1))
    y = np.where(np.arange(40) % 7 == 0, X[:, 0] <= 0.0, X[:, 0] > 0.0).astype(float)
    K = NTKKernel(depth=1, activation=activation, bias_var=0.1)(X)
    for alpha in (1.0, 1e-4):
        training = LogLossTraining(K, alpha=alpha)
        dual, constant = training.coefficients(y, np.inf)
        assert_allclose(dual, (y - expit(K @ dual + constant)) / alpha, rtol=1e-7, atol=1e-9)
        late = training.coefficients(y, 1e12)
        assert_allclose(late[0], dual, rtol=1e-12)
    two = LogLossTraining(K, alpha=2.0).coefficients(np.stack([1.0 - y, y], axis=1), 5.0)[0]
    one = LogLossTraining(K, alpha=1.0).coefficients(y, 10.0)[0]
    assert_allclose(two[:, 1] - two[:, 0], one, rtol=1e-5, atol=1e-8)


def test_the_class_that_is_missing_is_named():
    for y, missing in ((np.zeros(4), 1), (np.ones(4), 0)):
        with pytest.raises(ValueError, match=f"got none of class {missing}: add some"):
            LogLossTraining(np.eye(4)).coefficients(y, 1.0)


def test_momenta_are_checked_at_once():
    with pytest.raises(ValueError, match=r"momentum must be a number >= 0 and < 1; got 1\.5"):
        LogLossTraining(np.eye(4), method=MomentumFlow(1.5))
