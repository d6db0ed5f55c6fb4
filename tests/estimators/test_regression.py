"""NTKRegressor beyond scikit-learn's checks: targets, shifts, and uncertainty."""

import numpy as np
import pytest
from memory import set_free
from numpy.testing import assert_allclose, assert_array_equal
from plain import PLAIN
from sklearn.compose import TransformedTargetRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from sklearn_ntk import NNGPKernel, NTKKernel, NTKRegressor, NTKRegressorCV
from sklearn_ntk.estimators._uncertainty import fit_spread


def data(n=40, noise=0.2, seed=0, n_outputs=None):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, size=(n, 2))
    Y = np.stack([np.sin(2 * X[:, 0]), X[:, 0] * X[:, 1], X[:, 1] - 3.0], axis=1)
    Y += noise * rng.normal(size=Y.shape)
    return X, Y[:, :n_outputs] if n_outputs else Y[:, 0]


# --- Predictions ---------------------------------------------------------------------------------


def test_learns_a_smooth_function():
    X, y = data(150)
    model = NTKRegressor().fit(X, y)
    assert model.score(*data(200, noise=0.0, seed=1)) > 0.95
    assert model.alphas_[0] < model.alpha_ < model.alphas_[-1]


def test_linear_network_is_ridge_regression():
    X, y = data()
    model = NTKRegressor(depth=0, weight_var=1.0, bias_var=0.0, alpha=0.5, squash=None).fit(X, y)
    ridge = Ridge(alpha=0.5).fit(X / np.sqrt(2), y)
    new = data(seed=1)[0]
    assert_allclose(model.predict(new), ridge.predict(new / np.sqrt(2)), rtol=1e-9)
    assert_allclose(model.intercept_, ridge.intercept_, rtol=1e-9)


def test_small_ridge_interpolates():
    X, y = data()
    assert_allclose(NTKRegressor(alpha=1e-10).fit(X, y).predict(X), y, atol=1e-6)


def test_outputs_with_a_given_ridge_are_fitted_apart():
    X, Y = data(n_outputs=3)
    new = data(seed=1)[0]
    model = NTKRegressor(alpha=0.1, **PLAIN).fit(X, Y)
    mean, std = model.predict(new, return_std=True)
    assert mean.shape == std.shape == (40, 3) and model.dual_coef_.shape == (40, 3)
    for k in range(3):
        single = NTKRegressor(alpha=0.1, **PLAIN).fit(X, Y[:, k])
        expected = single.predict(new, return_std=True)
        assert_allclose(mean[:, k], expected[0], rtol=1e-9, atol=1e-10)
        assert_allclose(std[:, k], expected[1], rtol=1e-9)
    assert_allclose(single.predict(new), mean[:, 2], rtol=1e-9)


def test_one_column_of_targets_keeps_its_shape():
    X, y = data()
    model = NTKRegressor(alpha=0.1).fit(X, y[:, None])
    mean, std = model.predict(X, return_std=True)
    assert mean.shape == std.shape == (40, 1)
    assert model.predict(X, return_cov=True)[1].shape == (40, 40, 1)
    assert_array_equal(mean[:, 0], NTKRegressor(alpha=0.1).fit(X, y).predict(X))


@pytest.mark.slow
@pytest.mark.parametrize("alpha", ["auto", 0.1])
def test_scale_of_the_targets_scales_the_predictions(alpha):
    X, y = data()
    model = NTKRegressor(alpha=alpha).fit(X, y)
    mean, std = model.predict(X, return_std=True)
    for factor in (-4.0, 1e-6, 1e150):
        other = NTKRegressor(alpha=alpha).fit(X, factor * y)
        found = other.predict(X, return_std=True)
        assert_allclose(other.alpha_, model.alpha_, rtol=1e-12)  # features are rounded otherwise
        assert_allclose(found[0], factor * mean, rtol=1e-9, atol=abs(factor) * 1e-12)
        assert_allclose(found[1], abs(factor) * std, rtol=1e-6 if alpha == "auto" else 1e-9)


@pytest.mark.parametrize("alpha", ["auto", 0.1])
def test_constant_added_to_the_targets_shifts_the_predictions(alpha):
    X, y = data()
    model = NTKRegressor(alpha=alpha).fit(X, y)
    shifted = NTKRegressor(alpha=alpha).fit(X, y + 1024.0)
    assert_allclose(shifted.alpha_, model.alpha_, rtol=1e-12)
    assert_allclose(shifted.predict(X) - 1024.0, model.predict(X), rtol=0, atol=1e-9)
    found, expected = (m.predict(X, return_std=True)[1] for m in (shifted, model))
    assert_allclose(found, expected, rtol=1e-7)


@pytest.mark.parametrize("alpha", ["auto", 0.1])
def test_constant_targets_are_predicted(alpha):
    X, _ = data()
    model = NTKRegressor(alpha=alpha).fit(X, np.full(40, -7.0))
    mean, std = model.predict(X + 1.0, return_std=True)
    assert_allclose(mean, -7.0, rtol=1e-12)
    assert_allclose(std, 0.0, atol=1e-10)


@pytest.mark.parametrize("alpha", ["auto", 0.1])
@pytest.mark.parametrize("n", [1, 2])
def test_one_and_two_rows(alpha, n):
    X, y = data(n)
    model = NTKRegressor(alpha=alpha).fit(X, y)
    new = np.vstack([X, 3.0 + X])
    if n == 1:
        assert_array_equal(model.predict(new), y[0])
        with pytest.raises(ValueError, match="at least 2 distinct training rows"):
            model.predict(new, return_std=True)
    else:
        mean, std = model.predict(new, return_std=True)
        assert np.all(np.isfinite(mean)) and np.all(np.isfinite(std)) and np.all(std >= 0)


def test_replicated_designs_learn_the_noise():
    """A few places, each measured often: the band holds 95 % of new measurements."""
    rng = np.random.default_rng(0)
    X = np.repeat(rng.uniform(-2.0, 2.0, (20, 1)), 50, axis=0)
    truth = np.sin(2.0 * X[:, 0])
    model = NTKRegressor().fit(X, truth + rng.normal(size=1000))
    mean, std = model.predict(X, return_std=True)
    assert_allclose(std, 1.0, atol=0.15)
    inside = np.abs(truth + rng.normal(size=1000) - mean) < 1.96 * std
    assert 0.92 < inside.mean() < 0.98


@pytest.mark.parametrize("dtype", [int, np.float32, bool])
def test_targets_of_other_types(dtype):
    X, y = data()
    y = (10 * y).astype(dtype)
    found = NTKRegressor(alpha=0.1).fit(X, y).predict(X)
    assert found.dtype == np.float64
    assert_array_equal(found, NTKRegressor(alpha=0.1).fit(X, y.astype(float)).predict(X))


@pytest.mark.parametrize(
    "y, message",
    [
        (np.full(40, np.nan), "Input y contains NaN"),
        (np.full((40, 2), np.inf), "Input y contains infinity"),
        (np.array(["a"] * 40), "y must be numbers, .*NTKClassifier takes labels.*; got 'a'"),
        ([1.0, None] * 20, "y must be numbers, .*; got None"),
        (np.full(40, np.datetime64("2020")), "y must be numbers, .*; got values of type datetime"),
        (np.zeros((40, 2, 2)), "dim 3"),
        (np.zeros(39), "inconsistent numbers of samples"),
        (None, "requires y to be passed, but the target y is None"),
    ],
)
def test_bad_targets_are_named(y, message):
    for model in (NTKRegressor(), NTKRegressorCV({"depth": [1]})):
        with pytest.raises(ValueError, match=message):
            model.fit(data()[0], y)


def test_works_behind_a_transformer_of_targets():
    X, Y = data(n_outputs=3)
    model = TransformedTargetRegressor(NTKRegressor(alpha=0.1), transformer=StandardScaler())
    assert_allclose(model.fit(X, Y).predict(X), NTKRegressor(alpha=0.1).fit(X, Y).predict(X))


# --- Attributes ----------------------------------------------------------------------------------


def test_leave_one_out_error_is_that_of_refitting():
    X, y = data(9)
    model = NTKRegressor(**PLAIN).fit(X, y)
    assert model.alphas_.shape == model.loo_errors_.shape == (15,)
    assert model.alpha_ == model.alphas_[np.argmin(model.loo_errors_)]
    for alpha, error in list(zip(model.alphas_, model.loo_errors_, strict=True))[::5]:
        squares = []
        for i in range(9):
            rest = np.arange(9) != i
            single = NTKRegressor(alpha=alpha, **PLAIN).fit(X[rest], y[rest])
            squares.append((single.predict(X[[i]])[0] - y[i]) ** 2)
        assert_allclose(error, np.mean(squares) / y.var(), rtol=1e-6)


def test_given_ridge_is_reported():
    model = NTKRegressor(alpha=0.25).fit(*data())
    assert model.alpha_ == 0.25 and model.loo_errors_.shape == (0,)
    assert_array_equal(model.alphas_, [0.25])


# --- Uncertainty ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n_outputs", [None, 3])
@pytest.mark.parametrize("alpha", ["auto", 0.1])
def test_shapes_and_diagonal_of_the_covariance(n_outputs, alpha):
    X, Y = data(n_outputs=n_outputs)
    new = data(7, seed=1)[0]
    model = NTKRegressor(alpha=alpha).fit(X, Y)
    tail = (3,) if n_outputs else ()
    mean, std = model.predict(new, return_std=True)
    again, cov = model.predict(new, return_cov=True)
    assert mean.shape == std.shape == (7, *tail) and cov.shape == (7, 7, *tail)
    assert_array_equal(mean, model.predict(new))
    assert_array_equal(again, mean)
    assert_allclose(np.einsum("ii...->i...", cov), std**2, rtol=1e-8)
    assert_allclose(cov, np.swapaxes(cov, 0, 1), rtol=0, atol=1e-12 * cov.max())
    assert model.amplitude_.shape == (n_outputs or 1,)
    for matrix in np.moveaxis(cov.reshape(7, 7, -1), -1, 0):
        assert np.linalg.eigvalsh(matrix)[0] > 0


@pytest.mark.parametrize("kernel", [NNGPKernel(2, bias_var=0.5), NTKKernel(1) + RBF()], ids=str)
def test_uncertainty_is_that_of_a_gaussian_process_with_a_flat_intercept(kernel):
    X, y = data()
    new = data(7, seed=1)[0]
    model = NTKRegressor(kernel=kernel, alpha=0.1, noise="ridge").fit(X, y)
    prior = kernel + ConstantKernel(1e6)  # an almost flat prior of the intercept
    gpr = GaussianProcessRegressor(prior, alpha=0.1, optimizer=None).fit(X, y)
    mean, cov = gpr.predict(new, return_cov=True)
    found, found_cov = model.predict(new, return_cov=True)
    assert_allclose(found, mean, atol=1e-4)
    amplitude = model.amplitude_[0]
    assert_allclose(found_cov, amplitude * (cov + 0.1 * np.eye(7)), atol=1e-4 * amplitude)


def test_amplitude_standardises_the_leave_one_out_residuals():
    X, y = data(15)
    squares = []
    for i in range(15):
        rest = np.arange(15) != i
        single = NTKRegressor(alpha=0.1, noise="ridge", **PLAIN).fit(X[rest], y[rest])
        mean, std = single.predict(X[[i]], return_std=True)
        squares.append((y[i] - mean[0]) ** 2 / std[0] ** 2 * single.amplitude_[0])
    model = NTKRegressor(alpha=0.1, noise="ridge", **PLAIN).fit(X, y)
    assert_allclose(model.amplitude_[0], np.mean(squares), rtol=1e-7)
    assert_array_equal(model.noise_, 0.0)


@pytest.mark.parametrize("noise", [0.05, 0.5])
@pytest.mark.parametrize("copies", [False, True])
def test_noise_is_found_where_the_ridge_is_too_small(noise, copies):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2))
    X = np.repeat(X[:150], 2, axis=0) if copies else X
    y = X[:, 0] + noise * rng.normal(size=300)
    model = NTKRegressor(alpha=1e-9).fit(X, y)
    found = model.noise_[0] + model.alpha_ * model.amplitude_[0]
    assert 0.7 * noise**2 < found < 1.3 * noise**2


def test_new_observations_have_the_noise_of_single_ones():
    """Also where many rows are equal, with and without equal targets, or weigh little."""
    rng = np.random.default_rng(0)
    X = np.repeat(np.eye(5), 200, axis=0)
    y = (rng.random(1000) < 0.3) + 0.0
    std = NTKRegressor().fit(X, y).predict(np.eye(5), return_std=True)[1]
    assert_allclose(std, y.std(), rtol=0.1)
    X, y = data()
    plain, *others = (
        NTKRegressor().fit(*arguments).predict(X, return_std=True)[1]
        for arguments in (
            (X, y),
            (np.tile(X, (5, 1)), np.tile(y, 5)),
            (X, y, np.full(len(y), 0.01)),
        )
    )
    for other in others:
        assert_allclose(other, plain, rtol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_spread_is_most_likely(weighted):
    """Neither more nor less of either variance makes the residuals more likely."""
    rng = np.random.default_rng(0)
    n = 4000
    weights = rng.uniform(0.5, 2.0, n) if weighted else np.ones(n)
    precision = rng.uniform(0.2, 5.0, n)
    residuals = rng.normal(size=(n, 1)) * np.sqrt(0.7 / precision + 0.4 / weights)[:, None]
    more = rng.normal(size=50) * np.sqrt(0.7 * 0.1 + 0.4)
    ends = residuals[:, 0], precision, 0.1, weights, (more**2).sum(), 50

    def loss(amplitude, noise):
        variances = amplitude / precision + noise / weights
        losses = np.log(variances) + residuals[:, 0] ** 2 / variances
        extra = amplitude * 0.1 + noise
        return losses.sum() + 50 * np.log(extra) + (more**2).sum() / extra

    amplitude, noise = fit_spread(*ends, True)
    assert_allclose([amplitude, noise], [0.7, 0.4], rtol=0.3)
    best = loss(amplitude, noise)
    for step in (0.98, 1.02):
        assert loss(step * amplitude, noise) > best
        assert loss(amplitude, step * noise) > best
    assert fit_spread(*ends, False)[1] == 0.0


@pytest.mark.slow
@pytest.mark.parametrize(
    "kernel", ["auto", pytest.param("ntk", marks=pytest.mark.thorough), "nngp"]
)
def test_intervals_cover_new_observations(kernel):
    covered, width = [], []
    for seed in range(5):
        model = NTKRegressor(kernel=kernel).fit(*data(80, seed=seed))
        X, y = data(200, seed=seed + 50)
        mean, std = model.predict(X, return_std=True)
        covered.append(np.abs(y - mean) <= 1.96 * std)
        width.append(std)
    assert 0.90 < np.mean(covered) < 0.99
    assert 0.2 < np.median(width) < 0.4  # the noise, and a little doubt of the function


def test_uncertainty_grows_away_from_the_data():
    X, y = data()
    model = NTKRegressor().fit(X, y)
    line = np.outer([0.0, 3.0, 6.0, 12.0, 1e3], [1.0, 0.5])
    std = model.predict(line, return_std=True)[1]
    assert np.all(np.diff(std) > 0) and std[1] > 1.2 * std[0] and std[-1] > 10 * std[0]


def test_far_from_the_data_functions_vary_as_the_targets_do():
    """Where residuals are all noise they do not tell how functions go on elsewhere."""
    rng = np.random.default_rng(1)
    x = np.sort(rng.uniform(-3, 3, 60))
    y = np.sin(2 * x) + 0.15 * rng.normal(size=60)
    model = NTKRegressor().fit(x[:, None], y)
    std = model.predict([[0.0], [6.0], [12.0]], return_std=True)[1]
    assert std[0] < 0.3 and std[1] > 2.0 * std[0] and std[2] > 1.5 * std[1]
    cov = model.predict([[0.0], [6.0], [12.0]], return_cov=True)[1]
    assert_allclose(np.sqrt(cov.diagonal()), std, rtol=1e-6)
    assert np.linalg.eigvalsh(cov)[0] > 0


def test_uncertainty_in_chunks_is_the_same(monkeypatch):
    X, y = data()
    model = NTKRegressor().fit(X, y)
    whole = model.predict(X, return_std=True)[1]
    monkeypatch.setattr("sklearn_ntk._runtime.chunks.CHUNK", 90)
    assert_allclose(model.predict(X, return_std=True)[1], whole, rtol=1e-8)  # it cancels


def test_uncertainty_without_noise_vanishes_at_the_data():
    X, y = data(15)
    model = NTKRegressor(alpha=0.0, noise="ridge").fit(X, y)
    at, between = (model.predict(Z, return_std=True)[1] for Z in (X, X + 0.1))
    assert np.all(np.isfinite(at)) and at.max() < 1e-4 * between.max()


def test_weights_make_observations_more_certain():
    X, y = data()
    heavy = np.where(np.arange(40) < 20, 25.0, 1.0)
    plain, weighted = (NTKRegressor(alpha=0.3).fit(X, y, sample_weight=w) for w in (None, heavy))
    ratio = [m.predict(X, return_std=True)[1] / np.sqrt(m.amplitude_[0]) for m in (plain, weighted)]
    assert np.all(ratio[1][:20] < ratio[0][:20])


def test_uncertainty_errors():
    X, y = data()
    model = NTKRegressor(alpha=0.1).fit(X, y)
    with pytest.raises(ValueError, match="At most one of return_std and return_cov"):
        model.predict(X, return_std=True, return_cov=True)
    K = NTKKernel()(X)
    precomputed = NTKRegressor(kernel="precomputed", alpha=0.1).fit(K, y)
    for option in ("return_std", "return_cov"):
        with pytest.raises(ValueError, match=r"precomputed Gram matrix lacks: pass the kernel"):
            precomputed.predict(K, **{option: True})


@pytest.mark.slow
def test_memory(monkeypatch):
    """A fit that would not fit the memory is refused, with what it needs and what would serve."""
    set_free(monkeypatch, 18e6)
    X = np.random.default_rng(0).standard_normal((900, 2))
    exact = NTKRegressor("ntk", activation="relu", solver="cholesky")
    with pytest.raises(MemoryError, match=r"fit of 900 distinct rows needs 0\.0207 GB.*'local'"):
        exact.fit(X, X[:, 0])
    exact.fit(X[:830], X[:830, 0])


def test_memory_of_covariances(monkeypatch):
    X = np.random.default_rng(0).standard_normal((2000, 2))
    model = NTKRegressor(depth=1).fit(X[:10], X[:10, 0])
    set_free(monkeypatch, 18e6)
    with pytest.raises(MemoryError, match=r"covariance of 2000 rows needs .*return_std=True"):
        model.predict(X, return_cov=True)
    assert model.predict(X, return_std=True)[1].shape == (2000,)


@pytest.mark.slow
@pytest.mark.parametrize("exponent", [-480, 480])
@pytest.mark.parametrize("training_time", [None, "auto", 1e3])
def test_rows_of_any_size(exponent, training_time):
    """The kernel without biases grows with rows, and nothing else does, times powers of two."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((16, 3)), rng.standard_normal(16)
    size = 2.0**exponent
    found = []
    for factor in (1.0, size):
        rate = factor**-2.0  # of a time that is given
        times = {"training_time": training_time, "learning_rate": rate}
        network = {"depth": 1, "activation": "relu", "bias_var": 0.0, "column_layers": 0}
        model = NTKRegressor(**network, **times).fit(factor * X, y)
        found.append(np.stack(model.predict(factor * X[:5], return_std=True)))
    assert_allclose(found[1], found[0], rtol=1e-9)
