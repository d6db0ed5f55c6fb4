"""Gradient flow, as its differential equation and wide networks have it; leaving out one row."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import solve_ivp
from training import stable

from sklearn_ntk import NTKRegressor
from sklearn_ntk.dynamics import Descent, HeavyBall, MomentumFlow, Nesterov, Training, covariance
from sklearn_ntk.gram import ArrayOperator
from sklearn_ntk.layers import Dense
from sklearn_ntk.solvers import EarlyStopping, Ridge
from sklearn_ntk.solvers._solution import relative_error
from sklearn_ntk.solvers._stopping import default_times

TIMES = pytest.mark.parametrize("time", [0.0, 1e-3, 0.7, 30.0, 1e3])
RIDGES = pytest.mark.parametrize("alpha", [0.0, 0.3])


def problem(n=9, n_outputs=2, rank=20, seed=0):
    """Positive semi-definite matrix, targets and uneven weights."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(n, rank))
    Y = rng.normal(size=(n, n_outputs)) + np.arange(1.0, n_outputs + 1)
    return A @ A.T / n, Y, rng.uniform(0.2, 4.0, n)


def integrate(K, Y, weights, time, alpha, learning_rate=1.0):
    """Coefficients and intercept by an integrator, from gradients with respect to the function."""
    n = weights.sum()

    def slope(_, dual):
        residuals = Y - K @ dual.reshape(Y.shape)
        residuals -= weights @ residuals / n  # the best constant
        gradient = weights[:, None] * residuals - alpha * dual.reshape(Y.shape)
        return (learning_rate / n * gradient).ravel()

    options = {"rtol": 1e-11, "atol": 1e-13, "method": "LSODA"}
    dual = solve_ivp(slope, (0.0, time), np.zeros(Y.size), **options).y[:, -1].reshape(Y.shape)
    return dual, weights @ (Y - K @ dual) / n


def smoother(K, weights, time, alpha):
    """Matrix from targets to coefficients and a row of it to the intercept."""
    flow = Training(K, weights, alpha)
    return flow.coefficients(np.eye(len(K)), time)


# --- The solution ---------------------------------------------------------------------------------


@TIMES
@RIDGES
def test_solution_is_that_of_the_differential_equation(time, alpha):
    K, Y, weights = problem()
    dual, intercept = Training(K, weights, alpha, 0.7).coefficients(Y, time)
    expected = integrate(K, Y, weights, time, alpha, 0.7)
    assert_allclose(dual, expected[0], rtol=1e-6, atol=1e-9)
    assert_allclose(intercept, expected[1], rtol=1e-8)


def test_small_steps_of_gradient_descent():
    """Of a linear model with one feature more than rows, whose weights are all there is."""
    rng = np.random.default_rng(0)
    features, y = rng.normal(size=(6, 7)), rng.normal(size=6)
    step, weights = 1e-3, np.zeros(7)
    for _ in range(2000):
        residuals = y - features @ weights
        weights += step / 6 * features.T @ (residuals - residuals.mean())
    flow = Training(features @ features.T)
    dual, intercept = flow.coefficients(y[:, None], 2000 * step)
    assert_allclose(features.T @ dual[:, 0], weights, rtol=2e-3)
    assert_allclose(intercept, (y - features @ weights).mean(), atol=2e-3)


@pytest.mark.slow
def test_wide_network_is_trained():
    """With its output at the start subtracted, and small steps, and the best constant."""
    rng = np.random.default_rng(0)
    X, new, width, step = rng.normal(size=(8, 2)), rng.normal(size=(5, 2)), 20000, 0.25
    y = np.sin(3.0 * X[:, 0]) + X[:, 1]
    U, u, W = rng.normal(size=(width, 2)), rng.normal(size=width), rng.normal(size=width)
    first, second = 1.5 / 2, 2.0 / width  # variances divided by fan-in

    def hidden(X):
        return np.sqrt(first) * X @ U.T + np.sqrt(0.3) * u

    def output(X):
        return np.sqrt(second) * np.sin(hidden(X)) @ W

    start = [output(part) for part in (X, new)]
    for _ in range(80):
        H = hidden(X)
        residuals = y - (np.sqrt(second) * np.sin(H) @ W - start[0])
        residuals = (residuals - residuals.mean()) / len(X)
        back = np.sqrt(second) * residuals[:, None] * np.cos(H) * W
        W = W + step * np.sqrt(second) * np.sin(H).T @ residuals
        U = U + step * np.sqrt(first) * back.T @ X
        u = u + step * np.sqrt(0.3) * back.sum(axis=0)
    found = output(new) - start[1] + (y - output(X) + start[0]).mean()
    layers = (Dense(1.5, 0.3), "sin", Dense(2.0, 0.0))
    model = NTKRegressor(architecture=layers, training_time=80 * step).fit(X, y)
    assert_allclose(found, model.predict(new), atol=0.05)
    late = NTKRegressor(architecture=layers, alpha=1e-9).fit(X, y)
    assert np.abs(late.predict(new) - model.predict(new)).max() > 0.3


@RIDGES
def test_after_infinite_time_it_is_the_ridge(alpha):
    K, Y, weights = problem()
    found = EarlyStopping(1e300, alpha).fit(K, Y, weights).solution
    expected = Ridge(alpha).fit(K, Y, weights).solution
    for name in ("dual", "intercept", "residuals", "precision"):
        assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-8, err_msg=name)


def test_generalised_cross_validation_tends_to_that_of_no_ridge():
    K, Y, weights = problem()
    trained = EarlyStopping(1e300).fit(K, Y, weights).solution
    solution = Ridge(0.0).fit(K, Y, weights).solution
    assert_allclose(trained.gcv, solution.gcv, rtol=1e-8)


def test_generalised_cross_validation_is_leaving_out_one_of_rows_that_are_alike():
    places = np.arange(12)
    away = np.abs(places[:, None] - places)
    K = np.exp(-0.4 * np.minimum(away, 12 - away))  # on a circle
    Y = np.random.default_rng(0).normal(size=(12, 2))
    for time in (1e-3, 1.0, 100.0, 1e5):
        trained = EarlyStopping(time).fit(K, Y).solution
        assert_allclose(trained.gcv, np.mean(trained.residuals**2), rtol=1e-9)


def test_at_the_start_it_is_the_mean():
    K, Y, weights = problem()
    for time in (0.0, 1e-300, 1e-12):
        dual, intercept = Training(K, weights).coefficients(Y, time)
        assert_allclose(dual, 0.0, atol=1e-11)
        assert_allclose(intercept, weights @ Y / weights.sum())


@RIDGES
def test_weights_are_repetitions(alpha):
    K, Y, _ = problem()
    counts = np.array([1, 2, 1, 3, 1, 1, 2, 1, 1])
    rows = np.repeat(np.arange(9), counts)
    dual, intercept = Training(K, counts, alpha).coefficients(Y, 3.0)
    repeated = Training(K[np.ix_(rows, rows)], None, alpha).coefficients(Y[rows], 3.0)
    new = np.random.default_rng(1).normal(size=(4, 9)) @ K
    assert_allclose(new[:, rows] @ repeated[0], new @ dual, rtol=1e-8)
    assert_allclose(repeated[1], intercept, rtol=1e-9)


@RIDGES
def test_learning_rate_is_a_unit_of_time_and_weights_have_none(alpha):
    K, Y, weights = problem()
    expected = Training(K, weights, alpha).coefficients(Y, 3.0)
    fast = Training(K, weights, alpha, 30.0).coefficients(Y, 0.1)
    heavy = Training(K, 10.0 * weights, 10.0 * alpha).coefficients(Y, 3.0)
    for found in (fast, heavy):
        assert_allclose(found[0], expected[0], rtol=1e-9)
        assert_allclose(found[1], expected[1], rtol=1e-9)


def test_training_error_falls():
    K, Y, weights = problem()
    flow = Training(K, weights)
    errors = []
    for time in np.geomspace(1e-3, 100.0, 40):
        dual, intercept = flow.coefficients(Y, time)
        errors.append(weights @ (Y - K @ dual - intercept) ** 2)
    assert np.all(np.diff(errors, axis=0) < 0.0)


# --- Leaving out one row --------------------------------------------------------------------------


@pytest.mark.parametrize("n, n_outputs, rank", [(2, 1, 5), (3, 2, 5), (9, 3, 20), (9, 1, 3)])
@TIMES
@RIDGES
def test_residuals_and_variances_are_those_of_leaving_one_out(n, n_outputs, rank, time, alpha):
    K, Y, weights = problem(n, n_outputs, rank)
    weights[0] = 50.0  # without this row the rest are trained faster
    residuals, variances = np.empty(Y.shape), np.empty(n)
    for i in range(n):
        rest = np.arange(n) != i
        block = K[np.ix_(rest, rest)]
        dual, constant = smoother(block, weights[rest], time, alpha)
        shares = K[i, rest] @ dual + constant
        residuals[i] = Y[i] - shares @ Y[rest]
        noise = alpha / weights
        variances[i] = K[i, i] + noise[i] - 2.0 * shares @ K[rest, i]
        variances[i] += shares @ (block + np.diag(noise[rest])) @ shares
    flow = Training(K, weights, alpha)
    assert_allclose(flow.residuals(Y, time), residuals, rtol=1e-8, atol=1e-8)
    assert_allclose(flow.variances(time), variances, rtol=1e-7, atol=1e-8)


@TIMES
@RIDGES
@pytest.mark.parametrize("rank", [20, 3])
def test_outputs_without_a_row_are_those_of_training_without_it(time, alpha, rank):
    K, Y, weights = problem(12, rank=rank)
    n, expected = 9, []
    own, cross = K[:n, :n], K[n:, :n]
    flow = Training(own, weights[:n], alpha, 0.7)
    for i in range(n):
        rest = np.arange(n) != i
        other = Training(own[np.ix_(rest, rest)], weights[:n][rest], alpha, 0.7)
        expected.append(other.predict(cross[:, rest], Y[:n][rest], time))
    found = flow.left_out(cross, Y[:n], time)
    assert_allclose(found, np.stack(expected, axis=1), rtol=1e-8, atol=1e-8)
    residuals = flow.residuals(Y[:n], time)
    at_rows = np.einsum("iik->ik", flow.left_out(own, Y[:n], time))
    assert_allclose(Y[:n] - at_rows, residuals, rtol=1e-8, atol=1e-8)


STEPS = [Descent(), HeavyBall(0.5), HeavyBall(0.9), Nesterov(0.5), Nesterov(0.9)]


@pytest.mark.slow
@pytest.mark.parametrize("method", STEPS, ids=repr)
@pytest.mark.parametrize(
    "count, share",
    [
        *((count, 0.8) for count in (0, 1, 30, 100, 1000, 10**7, np.inf)),
        *((count, 0.4) for count in (30, 1000)),
        *(
            pytest.param(count, 0.4, marks=pytest.mark.thorough)
            for count in (0, 1, 100, 10**7, np.inf)
        ),
    ],
)
def test_steps_without_a_row_are_those_of_training_without_it(method, count, share):
    """Close to the bound and far from it, with uneven and with equal weights."""
    K, Y, weights = problem(9)
    for alpha, fit_intercept, w in ((0.3, True, weights), (0.0, False, np.ones(9))):
        training = stable(K, w, alpha, method, fit_intercept, share)
        rate, residuals, variances = training.learning_rate, np.empty(Y.shape), np.empty(9)
        for i in range(9):
            rest = np.arange(9) != i
            block, cross = K[np.ix_(rest, rest)], K[i : i + 1, rest]
            other = Training(block, w[rest], alpha, rate, method, fit_intercept)
            residuals[i] = Y[i] - other.predict(cross, Y[rest], count)[0]
            latent = covariance(other, cross, K[i : i + 1, i], count, noise=alpha)
            variances[i] = latent[0] + alpha / w[i]
        scale = np.abs(residuals).max()
        assert_allclose(training.residuals(Y, count), residuals, atol=1e-7 * scale)
        assert_allclose(training.variances(count), variances, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("method", [Descent(), HeavyBall(0.5)], ids=repr)
def test_rows_without_which_training_settles_keep_their_digits(method):
    """Beside rows without which it grows, up to where that is refused."""
    rows = np.random.default_rng(0).normal(size=(40, 5))
    rows[0] *= 4.0  # without this one it settles
    K, Y = rows @ rows.T + 1.0, np.sin(rows[:, :1])
    training = stable(K, np.ones(40), 0.1, method, True, 0.995)
    rest, sizes = np.arange(1, 40), []
    other = Training(K[1:, 1:], None, 0.1, training.learning_rate, method)
    for count in np.unique(np.geomspace(100, 10**4, 40).astype(int)):
        try:
            residuals = training.residuals(Y, count)
        except ValueError as error:
            assert "must not diverge without one of the rows" in str(error)
            break
        sizes.append(np.abs(residuals).max())
        expected = Y[0] - other.predict(K[:1, rest], Y[rest], count)[0]
        assert_allclose(residuals[0], expected, atol=1e-6)
    assert 10.0 < max(sizes) < 1e8 and count < 10**4


def test_rows_left_out_of_training_that_does_not_settle():
    K, Y, _ = problem(9)
    with pytest.raises(ValueError, match=r"no closed form for MomentumFlow.*: take HeavyBall"):
        Training(K, method=MomentumFlow()).residuals(Y, 3.0)
    with pytest.raises(ValueError, match=r"several ridges need method=Flow\(\); got Descent\(\)"):
        next(Training(K, learning_rate=1e-3, method=Descent()).residuals_of_ridges(Y, [1.0], [2.0]))
    with pytest.warns(RuntimeWarning, match="beyond the largest stable one"):
        training = Training(K, learning_rate=1e4, method=Descent())
    with pytest.raises(ValueError, match="must not diverge"):
        training.residuals(Y, 1000)


@RIDGES
def test_reduction_is_the_covariance_of_trained_draws(alpha):
    """In matrices: prior draws and noisy targets go through the smoother."""
    K, _, weights = problem(12)
    old, new = slice(0, 8), slice(8, 12)
    flow = Training(K[old, old], weights[old], alpha)
    dual, constant = smoother(K[old, old], weights[old], 2.0, alpha)
    shares = K[new, old] @ dual + constant
    noisy = K[old, old] + alpha * np.diag(1.0 / weights[old])
    expected = K[new, new] - shares @ K[old, new] - K[new, old] @ shares.T
    expected += shares @ noisy @ shares.T
    V, A, B = flow.reduction(K[new, old], 2.0)
    assert_allclose(K[new, new] - V.T @ V + A.T @ B, expected, rtol=1e-9)


@pytest.mark.parametrize("method", [HeavyBall(0.9), Nesterov(0.9)], ids=repr)
def test_variances_rise_where_steps_overshoot(method):
    """The first step of a stable rate may make a residual larger than the target was."""
    K, _, weights = problem(12)
    old, new = slice(0, 8), slice(8, 12)
    training = stable(K[old, old], weights[old], 0.3, method, True, 0.9)
    expected = covariance(training, K[new, old], K[new, new], 1, noise=0.3)
    V, A, B = training.reduction(K[new, old], 1)
    assert len(A) > 2
    assert_allclose(K[new, new] - V.T @ V + A.T @ B, expected, rtol=1e-9, atol=1e-12)


def test_selection_tries_all_times():
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(-2, 2, 40))
    K, Y = np.exp(-4.0 * (x[:, None] - x) ** 2), np.sin(2 * x)[:, None]
    Y, weights = Y + 0.5 * rng.normal(size=Y.shape), rng.uniform(0.5, 2.0, 40)
    times = default_times(K, weights, 40, 10.0)
    assert np.all(np.diff(times) < 0.0) and len(times) == 15
    found = EarlyStopping(learning_rate=10.0).fit(K, Y, weights)
    assert_array_equal(found.values, times)
    problem = ArrayOperator(K), Y, weights
    solutions = EarlyStopping(10.0 * times).solutions(*problem, is_whole=True)
    assert_allclose(found.errors, [relative_error(one, Y, weights) for one in solutions], rtol=1e-7)
    assert found.best == found.errors.argmin() and times[-1] < found.value < times[0]
    single = EarlyStopping(found.value, learning_rate=10.0).fit(K, Y, weights)
    assert_allclose(single.solution.dual, found.solution.dual)
    assert_array_equal(single.values, [found.value])
    assert len(single.errors) == 0


# --- Extremes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("time", [0.0, 1e-300, 1.0, 1e300])
@pytest.mark.parametrize("size", [1e-150, 1.0, 1e150])
@pytest.mark.parametrize("rank", [0, 2, 20])
def test_everything_is_finite(time, size, rank):
    K, Y, weights = problem(7, rank=rank)
    for alpha in (0.0, 0.3 * size):
        found = EarlyStopping(time, alpha).fit(size * K, Y, weights).solution
        for part in found[:5]:
            assert np.all(np.isfinite(part))
        prediction = size * K @ found.dual + found.intercept
        assert np.abs(prediction).max() <= 3.0 * np.abs(Y).max()


@pytest.mark.parametrize("time", [0.0, 1.0, 1e300])
def test_one_row_is_the_intercept(time):
    ends = np.array([[2.0]]), np.array([[5.0, -1.0]]), np.full(1, 3.0)
    found = EarlyStopping(time).fit(*ends).solution
    assert_array_equal(found.intercept, [5.0, -1.0])
    assert_array_equal(found.dual, [[0.0, 0.0]])
    assert_array_equal(found.residuals, [[0.0, 0.0]])
    assert found.gcv == 0.0


def test_indefinite_matrix_is_refused_with_its_eigenvalue():
    K = np.diag([1.0, 2.0, -3.0, -3.0])
    with pytest.raises(ValueError, match=r"positive semi-definite; .* is -3\. Use .* add a ridge"):
        Training(K)
    Training(K, alpha=3.5)


def test_arguments_stay_as_they_are():
    K, Y, weights = problem()
    kept = [part.copy() for part in (K, Y, weights)]
    EarlyStopping([3.0, 1.0]).fit(K, Y, weights)
    for part, copy in zip((K, Y, weights), kept, strict=True):
        assert_array_equal(part, copy)
