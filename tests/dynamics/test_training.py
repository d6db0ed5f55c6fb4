"""Training on the squared error: step by step, stored values, wide networks, losses, arguments."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from odd_values import NO_NUMBERS, K, is_one_sentence
from training import ReLUNetwork, moves, problem, stable, stored, train_linear

from sklearn_ntk import NTKKernel
from sklearn_ntk.dynamics import (
    Descent,
    Flow,
    HeavyBall,
    LogLossTraining,
    MomentumFlow,
    Nesterov,
    Training,
)
from sklearn_ntk.layers import Conv, Dense, GlobalAvgPool, Input
from sklearn_ntk.solvers import Ridge

METHODS = [Flow(), Descent(), HeavyBall(0.8), Nesterov(0.8), MomentumFlow(0.8)]
each_method = pytest.mark.parametrize("method", METHODS, ids=repr)
each_stepping = pytest.mark.parametrize("method", METHODS[1:4], ids=repr)
RIDGES = pytest.mark.parametrize("alpha", [0.0, 0.7])
CONSTANTS = pytest.mark.parametrize("fit_intercept", [True, False])


# --- What training is -----------------------------------------------------------------------------


@each_stepping
@RIDGES
@CONSTANTS
@pytest.mark.parametrize("share", [0.01, 0.6, 0.97])
def test_steps_of_a_linear_model(method, alpha, fit_intercept, share):
    old, new, Y, start, start_new, weights = problem()
    training = stable(old @ old.T, weights, alpha, method, fit_intercept, share)
    move = moves(type(method).__name__, 0.8)
    for steps in (0, 1, 2, 30, 200):
        given = old, start, Y, steps, training.learning_rate, weights, alpha, fit_intercept
        theta, constant = train_linear(move, *given)
        expected = [part @ theta + constant for part in (old, new)]
        for cross, first, change in zip((old, new), (start, start_new), expected, strict=True):
            found = training.predict(cross @ old.T, Y, steps, start, first)
            assert_allclose(found, first + change, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("case", range(16))
def test_stored_gradient_flow(case):
    """Times of neural-tangents are divided by the number of outputs."""
    data = stored("flow")
    case = [each for each in data["cases"] if each["kind"] == "gradient_flow"][case]
    kernels, alpha = data["kernels"], case["diag_reg"]
    rate = case["learning_rate"] / 2.0
    training = Training(kernels["ntk_tt"], None, alpha, rate, fit_intercept=False)
    time = np.inf if case["t"] is None else case["t"]
    first = case["f0_train"], case["f0_test"]
    found = training.predict(kernels["ntk_st"], data["y_train"], time, *first)
    assert_allclose(found, case["test"], rtol=1e-10, atol=1e-10)
    if alpha == 0.0:  # else theirs relaxes to the targets, which no network does
        found = training.predict(kernels["ntk_tt"], data["y_train"], time, first[0], first[0])
        assert_allclose(found, case["train"], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("case", range(10))
def test_stored_momentum(case):
    """Learning rates of neural-tangents are divided by the number of outputs."""
    data = stored("momentum")
    case = data["cases"][case]
    K, cross, Y = (data[name] for name in ("ntk_train_train", "ntk_test_train", "y_train"))
    method, rate = MomentumFlow(case["momentum"]), case["learning_rate"] / 2.0
    training = Training(K, learning_rate=rate, method=method, fit_intercept=False)
    is_given = case["start"] != "zero"
    train, test = (data["f0_train"], data["f0_test"]) if is_given else (None, None)
    found = training.predict(cross, Y, case["times"], train, test)
    assert_allclose(found, case["test"], rtol=1e-10, atol=1e-10)
    found = training.predict(K, Y, case["times"], train, train)
    assert_allclose(found, case["train"], rtol=1e-10, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("method", [Descent(), HeavyBall(0.8), Nesterov(0.8)], ids=repr)
def test_wide_networks(method):
    """Trained in full batches, as they come, from their own outputs at the start."""
    rng = np.random.default_rng(0)
    X, new = rng.normal(size=(8, 3)), rng.normal(size=(5, 3))
    y = np.sin(2.0 * X[:, 0]) + X[:, 1]
    kernel = NTKKernel(depth=1, weight_var=2.0, bias_var=0.3)
    training = stable(kernel(X), np.ones(8), 0.0, method, False, 0.5)
    move, errors, sizes = moves(type(method).__name__, 0.8), [], []
    for _ in range(3):
        network = ReLUNetwork(3, 8192, rng)
        first = network.outputs(X), network.outputs(new)
        network.train(move, X, y, 60, training.learning_rate)
        expected = training.predict(kernel(new, X), y, 60, *first)
        errors.append(network.outputs(new) - expected)
        sizes.append(network.outputs(new) - first[1])
    assert np.sqrt(np.mean(np.square(errors))) < 0.04 * np.sqrt(np.mean(np.square(sizes)))


@each_method
@pytest.mark.parametrize("alpha", [0.3, 0.0])
def test_after_infinite_time_all_are_the_ridge(method, alpha):
    old, _, Y, start, _, weights = problem()
    K = old @ old.T
    solution = Ridge(alpha).fit(K, Y, weights).solution
    training = stable(K, weights, alpha, method, True, 0.5)
    for time in (np.inf, 10**7):
        dual, intercept = training.coefficients(Y + start, time, start)
        assert_allclose(dual, solution.dual, rtol=1e-8, atol=1e-12)
        assert_allclose(intercept, solution.intercept, rtol=1e-8)
    plain = stable(K, weights, alpha, method, False, 0.5)
    expected = np.linalg.solve(K + alpha * np.diag(1.0 / weights), Y)
    dual, intercept = plain.coefficients(Y, np.inf)
    assert_allclose(dual, expected, rtol=1e-8)
    assert_array_equal(intercept, 0.0)


@CONSTANTS
def test_rows_that_are_equal(fit_intercept):
    """Directions that the kernel does not see never move, even after infinite time."""
    old, _, Y, *_ = problem(rank=3)
    old = np.vstack([old, old])
    training = Training(old @ old.T, fit_intercept=fit_intercept)
    dual, _ = training.coefficients(np.vstack([Y, Y - 1.0]), [0.0, 1.0, np.inf])
    assert np.isfinite(dual).all() and np.abs(dual).max() < 1e3
    late = training.losses(np.vstack([Y, Y - 1.0]), [1e9, np.inf])
    assert_allclose(late, late[0], rtol=1e-9)
    assert late[0] > 0.1


@each_method
@CONSTANTS
def test_many_times_are_one_and_one(method, fit_intercept):
    old, new, Y, start, start_new, weights = problem()
    training = stable(old @ old.T, weights, 0.1, method, fit_intercept, 0.5)
    times = [7, 0, 1, np.inf, 7]
    for Z, first, first_new in ((Y, start, start_new), (Y[:, 0], start[:, 0], start_new[:, 0])):
        dual, intercept = training.coefficients(Z, times, first)
        values = training.predict(new @ old.T, Z, times, first, first_new)
        assert dual.shape == (5, *Z.shape) and intercept.shape == (5, *Z.shape[1:])
        assert values.shape == (5, 4, *Z.shape[1:])
        for k, time in enumerate(times):
            one = training.coefficients(Z, time, first)
            assert one[0].shape == Z.shape and np.shape(one[1]) == Z.shape[1:]
            assert_allclose(dual[k], one[0], rtol=1e-9, atol=1e-12)
            assert_allclose(intercept[k], one[1], rtol=1e-9, atol=1e-12)
            found = training.predict(new @ old.T, Z, time, first, first_new)
            assert_allclose(values[k], found, rtol=1e-9, atol=1e-12)
            assert_allclose(found, first_new + new @ old.T @ one[0] + one[1], rtol=1e-9)
    assert training.predict(new @ old.T, Y, []).shape == (0, 4, 2)


@pytest.mark.parametrize("cls", [Training, LogLossTraining])
def test_pickles(cls):
    training = cls(K, [1.0, 2.0, 3.0], 0.1)
    copy = pickle.loads(pickle.dumps(training))
    assert cls.__module__ == "sklearn_ntk.dynamics"
    assert_array_equal(copy.predict(K, np.eye(3), 2.0), training.predict(K, np.eye(3), 2.0))


def test_weights_are_repetitions():
    old, new, Y, *_ = problem()
    counts = np.array([1, 2, 1, 3, 1, 1, 2, 1, 1])
    rows = np.repeat(np.arange(9), counts)
    for fit_intercept in (True, False):
        weighted = stable(old @ old.T, counts, 0.4, Descent(), fit_intercept, 0.9)
        given = 0.4, weighted.learning_rate, Descent(), fit_intercept
        repeated = Training(old[rows] @ old[rows].T, None, *given)
        assert_allclose(weighted.max_learning_rate, repeated.max_learning_rate, rtol=1e-10)
        found = weighted.predict(new @ old.T, Y, [3, 100])
        assert_allclose(found, repeated.predict(new @ old[rows].T, Y[rows], [3, 100]), rtol=1e-8)


# --- Arguments ------------------------------------------------------------------------------------

Y = np.array([[1.0, 0.0], [2.0, 5.0], [4.0, 3.0]])


@pytest.mark.parametrize("method", ["flow", None, Flow, HeavyBall, 0.9])
def test_no_method(method):
    with pytest.raises(ValueError, match=r"method must be .* such as Flow\(\) or Des") as error:
        Training(K, method=method)
    assert is_one_sentence(error)


def test_other_arguments():
    with pytest.raises(ValueError, match="fit_intercept must be True or False; got 'no'"):
        Training(K, fit_intercept="no")
    with pytest.raises(ValueError, match="time must be a whole number of steps for Descent"):
        Training(K, learning_rate=0.1, method=Descent()).losses(Y, 0.5)
    with pytest.raises(ValueError, match="momentum must be a number >= 0 and < 1; got 1"):
        Training(K, method=HeavyBall(1))
    with pytest.raises(ValueError, match="loss must be a finite number >= 0; got nan"):
        Training(K).time_to(Y, np.nan)


@pytest.mark.parametrize("start", [*NO_NUMBERS.values(), Y[:, 0], Y.T, Y[:, :1], 0.0])
def test_no_start(start):
    if start is None:
        return
    training = Training(K)
    for call, shape in (
        (lambda: training.coefficients(Y, 1.0, start), r"start must be an array \(3, 2\)"),
        (lambda: training.predict(K[:2], Y, 1.0, Y, start), r"start_new must be an array \(2, 2\)"),
    ):
        with pytest.raises(ValueError, match=f"{shape} of finite numbers; got") as error:
            call()
        assert is_one_sentence(error)


def test_start_of_both_kinds_of_rows():
    with pytest.raises(ValueError, match="start_new must be given with start; got None"):
        Training(K).predict(K[:2], Y, 1.0, Y)
    with pytest.raises(ValueError, match="start must be given with start_new; got None"):
        Training(K).predict(K[:2], Y, 1.0, start_new=Y[:2])
    for cross in (K[0], K[:, :2], None):
        with pytest.raises(ValueError, match=r"cross must be an array \(m, 3\) of fin"):
            Training(K).predict(cross, Y, 1.0)


def test_other_rates():
    """The same as training made anew; the rate of the first one stays."""
    K = np.cov(np.random.default_rng(0).normal(size=(6, 40)))
    y = np.arange(6.0)
    first = Training(K, alpha=0.1, method=Descent())
    other, anew = first.at_rate(0.3), Training(K, alpha=0.1, learning_rate=0.3, method=Descent())
    for each in (other, anew):
        assert each.learning_rate == 0.3 and each.max_learning_rate == first.max_learning_rate
    assert_allclose(other.predict(K, y, [1, 20]), anew.predict(K, y, [1, 20]), rtol=1e-14)
    assert first.learning_rate == 1.0
    with pytest.raises(ValueError, match="learning_rate must be a finite number > 0; got -1"):
        first.at_rate(-1.0)


def test_rows_that_are_nearly_equal_behind_a_mean_over_positions():
    """Eigenvalues may be -4e-8 of the diagonal there."""
    net = (Input(4, 1), Conv(2), "relu", GlobalAvgPool(), Dense(), "relu", Dense())
    rng = np.random.default_rng(1)
    X = rng.normal(size=(1, 4)) + 1e-7 * rng.normal(size=(30, 4))
    K = NTKKernel(architecture=net)(X)
    assert np.linalg.eigvalsh(K)[0] < -1e-9 * K[0, 0]
    assert np.all(np.isfinite(Training(K).residuals(rng.normal(size=(30, 1)), 1.0)))
