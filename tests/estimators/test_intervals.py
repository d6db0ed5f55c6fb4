"""Prediction intervals of `NTKRegressor`: their closed forms, coverage, and refusals."""

import pickle
import time

import mpmath
import numpy as np
import pytest
from memory import set_free
from numpy.testing import assert_allclose, assert_array_equal
from plain import PLAIN
from scipy.stats import norm
from sklearn.gaussian_process.kernels import DotProduct

from sklearn_ntk import NTKKernel, NTKRegressor
from sklearn_ntk.dynamics import Descent, Nesterov, Training
from sklearn_ntk.dynamics._added import decays_with_row, residuals_with_row
from sklearn_ntk.estimators import _equal_rows, _intervals
from sklearn_ntk.estimators._squares import method_of

METHODS = ["conformal", "jackknife+", "gaussian"]
IN_CLOSED_FORM = pytest.mark.parametrize("method", METHODS[:2])
KINDS = ["plain", "equal rows", "copies", "weights"]
KERNEL = NTKKernel(depth=1)


def data(n=12, n_outputs=None, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2.0, 2.0, size=(n, 2))
    Y = np.stack([np.sin(2.0 * X[:, 0]), 100.0 + 10.0 * X[:, 1]], axis=1)
    Y += [0.3, 2.0] * rng.normal(size=Y.shape)
    return X, Y[:, 0] if n_outputs is None else Y[:, :n_outputs]


def with_equal_rows():
    """Three places have several targets, one a single one."""
    X, y = data()
    return X[[0, 0, 0, 1, 1, 2, 2, 2, 2, 3]], y[:10]


def with_copies():
    """Rows come several times, with equal targets and with others."""
    X, y = with_equal_rows()
    index = [0, 0, 0, 1, 3, 4, 4, 5, 5, 5, 9, 9]
    return X[index], y[index]


def rows_of_kind(kind, monkeypatch):
    """Rows of one of `KINDS`; of copies each is to be an observation."""
    if kind == "copies":
        monkeypatch.setattr(_equal_rows, "OFTEN", 1)
    return {"equal rows": with_equal_rows, "copies": with_copies}.get(kind, data)()


def make(alpha=0.5, **parameters):
    return NTKRegressor(KERNEL, alpha=alpha, **parameters)


def residuals_in_deviations(X, targets, weights, alpha):
    """Leave-one-out residuals of fits to all rows, equal ones apart, divided by deviations."""
    n = len(X)
    bordered = np.ones((n + 1, n + 1))
    bordered[:n, :n] = KERNEL(X) + alpha * np.diag(1.0 / weights)
    bordered[n, n] = 0.0
    M = np.linalg.inv(bordered)[:n, :n]
    return M @ targets / np.sqrt(M.diagonal())[:, None]


@pytest.mark.parametrize("coverage", [0.5, 0.8])
@pytest.mark.parametrize("kind", KINDS)
def test_conformal_intervals_are_those_of_refits_with_every_target(kind, coverage, monkeypatch):
    """Each row has its own residual, copies of others too."""
    X, y = rows_of_kind(kind, monkeypatch)
    n = len(X)
    weights = np.linspace(0.5, 2.0, n) if kind == "weights" else np.ones(n)
    new = np.vstack([data(3, seed=1)[0], X[:1], 5.0 * X[1:2]])
    found = make().fit(X, y, weights).predict_interval(new, coverage)
    needed = n + 1 - np.ceil(coverage * (n + 1))
    all_weights = np.append(weights, weights.mean())
    for x, (low, high) in zip(new, found, strict=True):
        near = np.array([-1e-6, 1e-6])
        grid = np.concatenate([np.linspace(-8.0, 8.0, 101), low + near, high + near])
        targets = np.vstack([np.tile(y[:, None], len(grid)), grid])
        scores = np.abs(residuals_in_deviations(np.vstack([X, x]), targets, all_weights, 0.5))
        inside = np.sum(scores[:-1] >= scores[-1], axis=0) >= needed
        assert_array_equal(inside, (low <= grid) & (grid <= high))


@pytest.mark.slow
@pytest.mark.parametrize("training_time", [None, 5.0])
@pytest.mark.parametrize("kind", KINDS)
def test_jackknife_plus_is_that_of_refits(kind, training_time, monkeypatch):
    X, Y = data(n_outputs=2)
    if kind in ("equal rows", "copies"):
        X = X[[0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 4, 5]]
    if kind == "copies":
        monkeypatch.setattr(_equal_rows, "OFTEN", 1)
        Y = Y[[0, 0, 2, 3, 3, 5, 5, 5, 8, 9, 10, 11]]
    new, n = data(4, seed=1)[0], len(X)
    weights = np.linspace(0.5, 2.0, n) if kind == "weights" else np.ones(n)

    def make():
        return NTKRegressor(KERNEL, alpha=0.5, training_time=training_time)

    whole = make().fit(X, Y, weights)
    values, sizes = [], []
    for i in range(n):
        rest = np.arange(n) != i
        model = make().fit(X[rest], Y[rest], weights[rest])
        values.append(model.predict(new))
        sizes.append(np.abs(Y[i] - model.predict(X[[i]])))
    for coverage in (0.5, 0.8):
        found = whole.predict_interval(new, coverage, "jackknife+")
        assert found.shape == (4, 2, 2)
        rank = int(np.ceil(coverage * (n + 1)))
        high = np.sort(np.add(values, sizes), axis=0)[rank - 1]
        low = np.sort(np.subtract(values, sizes), axis=0)[n - rank]
        wider = (kind == "copies") * whole._units.differences(np.full(2, _intervals.ROUNDING))
        assert_allclose(found, np.stack([low - wider, high + wider], axis=1), rtol=1e-8)


def trained_residuals(model, X, targets, weights):
    """Of the rows of a fit, divided by the roots of their derivatives by their own targets."""
    method = method_of(model)
    parts = weights, model.alpha, model.learning_rate, method
    training, time = Training(KERNEL(X), *parts), model.training_time
    smoother = training.predict(KERNEL(X), np.eye(len(X)), time)
    left = np.eye(len(X)) - smoother
    return left @ targets * np.sqrt(weights / left.diagonal())[:, None]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given", [{}, {"optimizer": "descent", "learning_rate": 0.03}])
@pytest.mark.parametrize("training_time", [0, 3, 1000])
def test_conformal_intervals_after_a_time_are_those_of_training_again(
    kind, given, training_time, monkeypatch
):
    X, y = rows_of_kind(kind, monkeypatch)
    n = len(X)
    weights = np.linspace(0.5, 2.0, n) if kind == "weights" else np.ones(n)
    new = np.vstack([data(3, seed=1)[0], X[:1], 5.0 * X[1:2]])
    model = make(alpha=0.1, training_time=training_time, squash=None, **given).fit(X, y, weights)
    found = model.predict_interval(new, 0.75)
    needed = n + 1 - np.ceil(0.75 * (n + 1))
    for x, (low, high) in zip(new, found, strict=True):
        near = np.array([-1e-5, 1e-5])
        grid = np.concatenate([np.linspace(-8.0, 8.0, 51), low + near, high + near])
        rows, all_weights = np.vstack([X, x]), np.append(weights, weights.mean())
        targets = np.vstack([np.tile(y[:, None], len(grid)), grid])
        sizes = np.abs(trained_residuals(model, rows, targets, all_weights))
        inside = np.sum(sizes[:-1] >= sizes[-1], axis=0) >= needed
        assert_array_equal(inside, (low <= grid) & (grid <= high))


def test_gaussian_intervals_are_quantiles():
    X, Y = data(n_outputs=2)
    model = make().fit(X, Y)
    mean, std = model.predict(X, return_std=True)
    low, high = np.moveaxis(model.predict_interval(X, 0.7, "gaussian"), 1, 0)
    assert_allclose(low, norm.ppf(0.15, mean, std), rtol=1e-10)
    assert_allclose(high, norm.ppf(0.85, mean, std), rtol=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_shapes_outputs_and_copies(method):
    """Outputs are apart, intervals grow with the coverage, and rows do not know each other."""
    X, Y = data(40, n_outputs=2)
    new = data(7, seed=1)[0]
    model = NTKRegressor(alpha=0.1, **PLAIN).fit(X, Y)
    found = model.predict_interval(new, method=method)
    assert found.shape == (7, 2, 2)
    for k in range(2):
        single = NTKRegressor(alpha=0.1, **PLAIN).fit(X, Y[:, k])
        assert_allclose(single.predict_interval(new, method=method), found[..., k], rtol=1e-8)
    inner = model.predict_interval(new, 0.6, method)
    assert np.all(found[:, 0] <= inner[:, 0]) and np.all(inner[:, 1] <= found[:, 1])
    assert np.all(inner[:, 0] < inner[:, 1])
    assert_allclose(model.predict_interval(new[2:3], method=method), found[2:3], rtol=1e-9)
    again = pickle.loads(pickle.dumps(model)).predict_interval(new, method=method)
    assert_array_equal(again, found)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("alpha", ["auto", 0.1, 0.0])
def test_integer_weights_are_repetitions(alpha, method):
    X, y = data(30)
    weights = np.random.default_rng(2).integers(1, 4, size=30)
    new = data(5, seed=1)[0]
    weighted = make(alpha).fit(X, y, weights)
    repeated = make(alpha).fit(np.repeat(X, weights, axis=0), np.repeat(y, weights))
    found = repeated.predict_interval(new, method=method)
    assert_allclose(weighted.predict_interval(new, method=method), found, rtol=1e-6)


@IN_CLOSED_FORM
def test_blocks_of_rows(method, monkeypatch):
    X, y = with_equal_rows()
    new = data(7, seed=1)[0]
    models = [make().fit(X, y), make(training_time=5.0).fit(X, y)]
    models = models[: 1 + (method == "jackknife+")]
    expected = [model.predict_interval(new, 0.7, method) for model in models]
    for size in (1, 25):
        monkeypatch.setattr(_intervals, "BLOCK", size)
        found = [model.predict_interval(new, 0.7, method) for model in models]
        assert_allclose(found, expected, rtol=1e-9)


def test_many_targets_of_stopped_training_are_refused(monkeypatch):
    """Leaving out a target takes the Gram matrix of all of them, not that of distinct rows."""
    X = data()[0]
    model = make(training_time=5.0).fit(np.repeat(X, 100, axis=0), np.arange(1200.0))
    set_free(monkeypatch, 1e7)
    with pytest.raises(MemoryError, match="A fit of 1200 distinct training rows or targets"):
        model.predict_interval(X, method="jackknife+")


def test_equal_rows_without_a_ridge():
    """No fit explains their targets: jackknife+ has a limit, conformal sets become all numbers."""
    X, y = with_equal_rows()
    new = data(5, seed=1)[0]
    exact, near = make(0.0).fit(X, y), make(1e-9).fit(X, y)
    found = near.predict_interval(new, 0.3, "jackknife+")
    assert_allclose(exact.predict_interval(new, 0.3, "jackknife+"), found, rtol=1e-5)
    low, high = exact.predict_interval(new, 0.3).T
    assert np.all(low < -1e6) and np.all(high > 1e6)


def test_units_of_the_targets():
    X, y = data(30)
    model = NTKRegressor(alpha=0.1).fit(X, y)
    expected = [model.predict_interval(X, method=method) for method in METHODS]
    for factor, shift in [(1e-200, 0.0), (1e150, 0.0), (1.0, 1024.0)]:
        model = NTKRegressor(alpha=0.1).fit(X, factor * y + shift)
        found = np.stack([model.predict_interval(X, method=method) for method in METHODS])
        assert_allclose((found - shift) / factor, expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("size", [1e-140, 1e140])
@IN_CLOSED_FORM
def test_kernels_of_any_size(size, method):
    X, y = data(30)
    parameters = {"activation": "relu", "kernel": "ntk", "bias_var": 0.0, "squash": None}
    parameters["features"] = None
    expected = NTKRegressor(**parameters).fit(X, y).predict_interval(X, method=method)
    found = NTKRegressor(**parameters).fit(size * X, y).predict_interval(size * X, method=method)
    assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("size", [1e-140, 1e-90, 1e90, 1e140])
@pytest.mark.parametrize("is_flow", [True, False])
@IN_CLOSED_FORM
def test_kernels_of_any_size_after_a_training_time(size, is_flow, method):
    """Time times kernel is what matters."""
    X, y = data(30)

    def fit(size):
        given = {"training_time": 15.0 / size**2}
        if not is_flow:
            given = {"training_time": 15, "optimizer": "descent", "learning_rate": 0.3 / size**2}
        return NTKRegressor(NTKKernel(depth=1, bias_var=0.0), **given).fit(size * X, y)

    expected = fit(1.0).predict_interval(X, method=method)
    found = fit(size).predict_interval(size * X, method=method)
    assert_allclose(found, expected, rtol=1e-6)


def late_data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(11, 1))
    return X, np.sin(2.0 * X[:, 0]) + 0.5 * rng.normal(size=11)


def test_conformal_intervals_after_late_times_are_exact():
    """Against residuals in high precision, of which little is left."""
    (X, y), kernel, time = late_data(), NTKKernel(depth=1, bias_var=0.5), 1000.0
    model = NTKRegressor(kernel, training_time=time).fit(X[:10], y[:10])
    ends = model.predict_interval(X[10:], 0.8)[0]
    with mpmath.workdps(40):
        centre = mpmath.eye(11) - mpmath.ones(11) / 11
        values, vectors = mpmath.eigsy(centre * mpmath.matrix(kernel(X).tolist()) * centre)
        left = mpmath.diag([mpmath.exp(-time * value / 11) for value in values])
        left = centre * vectors * left * vectors.T * centre

        def is_inside(target):
            residuals = left * mpmath.matrix([*y[:10], target])
            sizes = [abs(residuals[i]) / mpmath.sqrt(left[i, i]) for i in range(11)]
            return sum(size < sizes[-1] for size in sizes[:-1]) < 9

        inside = [is_inside(end + shift) for end in ends for shift in (-1e-6, 1e-6)]
    assert inside == [False, True, True, False]
    assert min(left[i, i] for i in range(11)) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [2.5, 30.0])
def test_coverage_is_kept(degrees):
    """With noise of heavy tails or nearly normal noise, few rows, and a model that is wrong."""
    rng = np.random.default_rng(0)
    model, hits = (
        NTKRegressor(DotProduct(), alpha=0.3, noise="ridge"),
        {name: [] for name in METHODS[:2]},
    )
    for _ in range(100):
        X = rng.normal(size=(60, 2))
        y = X[:, 0] ** 2 + (0.5 + X[:, 1] ** 2) * rng.standard_t(degrees, size=60)
        model.fit(X[:19], y[:19])
        for name, found in hits.items():
            low, high = model.predict_interval(X[19:], 0.8, name).T
            found.append(np.mean((low <= y[19:]) & (y[19:] <= high)))
    error = 3.0 * np.std(hits["conformal"]) / np.sqrt(60)
    assert abs(np.mean(hits["conformal"]) - 0.8) < error  # 16 of 20 ranks
    assert 0.76 < np.mean(hits["jackknife+"]) < 0.86


# --- Refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coverage": 0.95}, r"coverage=0.95 needs more than 12 .* at most 0\.9231, or method="),
        ({"coverage": 1.0, "method": "gaussian"}, r"coverage must be less than 1; got 1\."),
        ({"coverage": -0.1}, r"coverage must be a finite number > 0; got -0\.1"),
        ({"coverage": "high"}, r"coverage must be a finite number > 0; got 'high'"),
        ({"method": "cv+"}, r"method must be one of 'auto', 'conformal', .*; got 'cv\+'"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    X, y = data()
    with pytest.raises(ValueError, match=message):
        make().fit(X, y).predict_interval(X, **arguments)


@pytest.mark.parametrize("method", METHODS)
def test_models_without_intervals(method):
    X, y = data()
    K = KERNEL(X)
    with pytest.raises(ValueError, match=r"predict_interval needs the kernel between new rows"):
        NTKRegressor("precomputed").fit(K, y).predict_interval(K, method=method)
    with pytest.raises(ValueError, match=r"predict_interval needs at least 2 distinct"):
        make().fit(X[[0] * 12], y).predict_interval(X, method=method)


def test_steps_that_oscillate_have_no_conformal_intervals():
    X, y = data()
    for optimizer, rate in (("nesterov", 0.5), ("descent", 0.7)):
        model = make(0.0, training_time=10, optimizer=optimizer, learning_rate=rate).fit(X, y)
        with pytest.raises(ValueError, match=r"needs training without oscillations, .*: take"):
            model.predict_interval(X)
    model = make(0.0, training_time=5, optimizer="descent", learning_rate=0.3).fit(X, y)
    assert np.all(np.isfinite(model.predict_interval(X)))
    with pytest.raises(ValueError, match=r"without oscillations, with each of the new rows too"):
        model.predict_interval(10.0 * X)
    mean, std = model.predict(X, return_std=True)
    low = model.predict_interval(X, method="gaussian")[:, 0]
    assert_allclose(low, mean + norm.ppf(0.05) * std, rtol=1e-10)


@pytest.mark.parametrize("time", [3e4, 1e5, 1e6, 1e300])
def test_rounding_makes_no_conformal_intervals(time):
    """Gradient flow leaves nothing else of the residuals, and does not oscillate."""
    X, y = late_data()
    model = NTKRegressor(NTKKernel(depth=1, bias_var=0.5), training_time=time).fit(X[:10], y[:10])
    message = r"training_time=\S+ leaves no more than rounding at some .*: take a shorter one"
    with pytest.raises(ValueError, match=message):
        model.predict_interval(X[10:], 0.8)
    assert np.all(np.isfinite(model.predict_interval(X[10:], 0.8, "jackknife+")))


def test_ties_but_for_rounding_make_no_conformal_intervals():
    """All residuals are in proportion where one eigenvector is left: any target is as likely."""
    rng = np.random.default_rng(0)
    vectors = np.linalg.qr(np.column_stack([np.ones(8), rng.normal(size=(8, 7))]))[0]
    K = (vectors * np.repeat([0.0, 1.0], [2, 6])) @ vectors.T
    training, targets = Training(K[:7, :7]), rng.normal(size=(7, 1))
    for count in (1.0, 8.0):
        ends = _intervals._conformal_after_stop(
            training, K[7:, :7], (K[7:, 7], 1.0), targets, count, 5, np.ones(7)
        )
        assert np.all(np.isfinite(ends))
    with pytest.raises(ValueError, match="leaves no more than rounding"):
        _intervals._conformal_after_stop(
            training, K[7:, :7], (K[7:, 7], 1.0), targets, 400.0, 5, np.ones(7)
        )


@pytest.mark.slow
def test_ends_take_little_time():
    X, y = data(1000)
    model, seconds = make("auto").fit(X[:500], y[:500]), []
    for _ in range(4):
        start = time.process_time()
        model.predict_interval(X[500:])
        seconds.append(time.process_time() - start)
    assert min(seconds[1:]) < 0.1


@pytest.mark.parametrize("far, decays", [(1.0, True), (8.0, True), (30.0, False)])
def test_new_rows_with_which_steps_oscillate_are_refused(far, decays):
    """A row of a large kernel makes them, among rows that do not."""
    X, y = data(30)
    largest = Training(KERNEL(X), None, 0.5, 1e-9, Descent()).max_learning_rate
    given = {"optimizer": "descent", "learning_rate": 0.1 * largest}
    model = make(training_time=40, **given).fit(X, y)
    new = np.vstack([data(3, seed=1)[0], far * X[:1]])
    training = Training(KERNEL(np.vstack([X, new[3:]])), None, 0.5, 1e-9, Descent())
    assert training.at_rate(0.1 * largest).decays() == decays
    if decays:
        assert np.all(np.isfinite(model.predict_interval(new)))
        return
    with pytest.raises(ValueError, match="without oscillations, with each of the new rows too"):
        model.predict_interval(new)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("method", [Descent(), Nesterov(0.5)], ids=repr)
def test_residuals_with_a_row_of_a_large_kernel(method, fit_intercept):
    """Up to the largest eigenvalue with which residuals decay."""
    X, y = data(20)
    x, weights = 5.0 * X[:1], np.linspace(0.5, 2.0, 20)
    rows, all_weights = np.vstack([X, x]), np.append(weights, 1.5)
    slow = Training(KERNEL(rows), all_weights, 0.1, 1e-9, method, fit_intercept)
    rate = 0.99 * method.calm / method.limit * slow.max_learning_rate
    given = 0.1, rate, method, fit_intercept
    training, whole = (
        Training(KERNEL(each), w, *given) for each, w in ((X, weights), (rows, all_weights))
    )
    new = KERNEL(x, X), KERNEL.diag(x)
    assert decays_with_row(training, *new, 1.5)
    assert not decays_with_row(training.at_rate(1.02 * rate), *new, 1.5)
    for count in (3, 40, 500):
        left = np.eye(21) - whole.predict(KERNEL(rows), np.eye(21), count)
        found = residuals_with_row(training, *new, y[:, None], count, 1.5)
        wanted = left[:, :20] @ y, left[:, 20], left.diagonal()
        for part, expected in zip(found, wanted, strict=True):
            assert_allclose(part.ravel(), expected, rtol=1e-6, atol=1e-8 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "n_draws"),
    [
        ({"alpha": 0.5}, 60),
        ({"alpha": 0.5, "solver": "cg"}, 40),
        ({"training_time": 10.0}, 20),
        ({"alpha": 0.5, "solver": "local", "leaf_size": 20}, 20),
    ],
    ids=lambda option: str(option),
)
def test_coverage_is_kept_where_half_of_the_rows_are_copies(options, n_draws):
    """Targets of a row that comes often are +-1; they were outside of all intervals."""
    rng = np.random.default_rng(0)
    model, names = NTKRegressor(KERNEL, **options), METHODS[:2]
    names = names[1:] if model.solver == "local" else names
    hits = {name: [] for name in names}
    for _ in range(n_draws):
        X, is_copy = rng.normal(size=(60, 1)), rng.random(60) < 0.5
        X[is_copy] = 0.0
        y = np.where(is_copy, rng.choice([-1.0, 1.0], 60), 0.5 * X[:, 0])
        y += np.where(is_copy, 0.0, 0.01 * rng.normal(size=60))
        model.fit(X[:40], y[:40])
        for name, found in hits.items():
            low, high = model.predict_interval(X[40:], 0.9, name).T
            found.append(np.mean((low <= y[40:]) & (y[40:] <= high)))
    assert min(map(np.mean, hits.values())) > 0.9


def test_weights_are_no_copies():
    """A weight of three for all is a third of the ridge; twelve rows stay twelve."""
    X, y = data()
    weighted = make(alpha=1.5).fit(X, y, np.full(12, 3))
    for method in METHODS:
        found = weighted.predict_interval(X, 0.8, method)
        expected = make().fit(X, y).predict_interval(X, 0.8, method)
        assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match=r"coverage=0.95 needs more than 12 training rows"):
        weighted.predict_interval(X, 0.95)


@pytest.mark.parametrize("is_repeated", [False, True])
@pytest.mark.parametrize(
    ("method", "n_copies"), [("conformal", 3), ("conformal", 8), ("gaussian", 3), ("gaussian", 10)]
)
def test_intervals_of_equal_rows_do_not_depend_on_their_number(method, n_copies, is_repeated):
    """Unless rows come so often that a new one is a copy, too, whose target is known."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    y = np.sin(2.0 * X[:, 0]) + 0.1 * rng.normal(size=60)
    model = NTKRegressor("ntk", activation="relu", features=None, alpha=0.0)

    def widths(n):
        repeats, weights = (n, None) if is_repeated else (1, np.append(np.full(60, n), 1))
        rows = np.vstack([np.repeat(X, repeats, axis=0), X[:1]])
        targets = np.append(np.repeat(y, repeats), y[0] + 0.3)
        model.fit(rows, targets, weights)
        return np.diff(model.predict_interval(X[:5] + 0.1, method=method), axis=1)

    assert_allclose(widths(n_copies), widths(1), rtol=0.1)  # they were 5 to 30 times as wide
