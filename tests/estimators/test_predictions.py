"""What `NTKRegressor` predicts beside the mean: noise apart, draws, likelihood, stages."""

from types import GeneratorType

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from plain import PLAIN
from scipy.linalg import null_space
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

from sklearn_ntk import NTKRegressor, NTKRegressorCV

N_OUTPUTS = pytest.mark.parametrize("n_outputs", [None, 2])


def data(n=25, n_outputs=None, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2.0, 2.0, size=(n, 2))
    Y = np.stack([np.sin(2.0 * X[:, 0]), 100.0 + 10.0 * X[:, 1]], axis=1)
    Y += [0.3, 2.0] * rng.normal(size=Y.shape)
    return X, Y[:, 0] if n_outputs is None else Y[:, :n_outputs]


# --- Noise apart ---------------------------------------------------------------------------------


@N_OUTPUTS
@pytest.mark.parametrize("parameters", [{}, {"training_time": 10.0, "alpha": 0.2}])
def test_uncertainty_without_noise(n_outputs, parameters):
    X, Y = data(n_outputs=n_outputs)
    new = data(6, seed=1)[0]
    model = NTKRegressor(**PLAIN, **parameters).fit(X, Y)
    noise = model.amplitude_ * model.alpha_ + model.noise_
    noise = noise[0] if n_outputs is None else noise
    mean, std = model.predict(new, return_std=True)
    again, clean = model.predict(new, return_std=True, include_noise=False)
    assert_array_equal(mean, again)
    assert_array_equal(model.predict(new, include_noise=False), mean)
    assert_allclose(std**2 - clean**2, np.broadcast_to(noise, std.shape), rtol=1e-9)
    cov, clean_cov = (model.predict(new, return_cov=True, include_noise=f)[1] for f in (1, 0))
    assert_allclose(np.sqrt(np.einsum("ii...->i...", clean_cov)), clean, rtol=1e-9)
    difference = np.moveaxis(np.atleast_3d(cov - clean_cov), 2, 0)
    for found, variance in zip(difference, np.atleast_1d(noise), strict=True):
        assert_allclose(found, variance * np.eye(6), atol=1e-12 * variance)


def test_mixture_without_noise():
    X, y = data()
    model = NTKRegressorCV({"depth": [1, 2], "bias_var": [0.1, 1.0]}, features=None).fit(X, y)
    noise = [each.amplitude_[0] * each.alpha_ + each.noise_[0] for each in model.estimators_]
    std, clean = (model.predict(X, return_std=True, include_noise=f)[1] for f in (True, False))
    assert_allclose(std**2 - clean**2, np.full(25, model.weights_ @ noise), rtol=1e-9)


@pytest.mark.parametrize("model", [NTKRegressor(alpha=0.1), NTKRegressorCV({"depth": [1]})])
def test_flags_are_true_or_false(model):
    X, y = data()
    model = clone(model).set_params(features=None).fit(X, y)
    for value in (2, "no", None, 0.5):
        message = f"must be True or False; got {value!r}"
        for name in ("return_std", "return_cov", "include_noise"):
            with pytest.raises(ValueError, match=f"{name} {message}"):
                model.predict(X, **{name: value})
        with pytest.raises(ValueError, match=f"include_noise {message}"):
            model.sample_y(X, include_noise=value)


# --- Draws ---------------------------------------------------------------------------------------


ONE = NTKRegressor(alpha=0.1, **PLAIN)
MIXTURE = NTKRegressorCV({"depth": [1, 2], "activation": ["relu", "erf"]}, features=None)


@N_OUTPUTS
@pytest.mark.parametrize("include_noise", [True, False])
@pytest.mark.parametrize("model", [ONE, MIXTURE], ids=["one", "mixture"])
def test_moments_of_draws(model, n_outputs, include_noise):
    X, Y = data(n_outputs=n_outputs)
    new = data(4, seed=1)[0]
    model = clone(model).fit(X, Y)
    mean, cov = model.predict(new, return_cov=True, include_noise=include_noise)
    draws = model.sample_y(new, 4000, random_state=0, include_noise=include_noise)
    assert draws.shape == (*mean.shape, 4000)
    mean, cov, draws = mean.reshape(4, -1), cov.reshape(4, 4, -1), draws.reshape(4, -1, 4000)
    std = np.sqrt(np.einsum("iik->ik", cov))
    assert np.all(np.abs(draws.mean(axis=2) - mean) < 4.0 * std / np.sqrt(4000))
    for k in range(mean.shape[1]):
        found = np.cov(draws[:, k]) / np.outer(std[:, k], std[:, k])
        assert_allclose(found, cov[..., k] / np.outer(std[:, k], std[:, k]), atol=0.1)


@N_OUTPUTS
def test_draws_are_like_those_of_gaussian_processes(n_outputs):
    X, Y = data(n_outputs=n_outputs)
    model, other = NTKRegressor(alpha=0.1, **PLAIN), GaussianProcessRegressor(optimizer=None)
    for count in ({}, {"n_samples": 3}):
        found = model.fit(X, Y).sample_y(X, **count)
        assert found.shape == other.fit(X, Y).sample_y(X, **count).shape


def test_seeds_of_draws():
    X, y = data()
    model = clone(ONE).fit(X, y)
    first, same = (model.sample_y(X, 2, random_state=7) for _ in range(2))
    assert_array_equal(first, same)
    assert np.all(model.sample_y(X, 2) != model.sample_y(X, 2))
    state = np.random.RandomState(7)
    assert_array_equal(model.sample_y(X, 2, state), first)
    assert np.all(model.sample_y(X, 2, state) != first)
    model = clone(MIXTURE).fit(X, y)
    assert len(model.estimators_) > 1
    assert_array_equal(*(model.sample_y(X, 5, random_state=7) for _ in range(2)))


@pytest.mark.parametrize("model", [ONE, MIXTURE], ids=["one", "mixture"])
def test_draws_do_not_depend_on_the_unit_of_the_targets(model):
    """Though covariances have its square, which is said where it is lost."""
    X, y = data()
    expected = clone(model).fit(X, y).sample_y(X[:4], 5, random_state=0)
    for factor in (2.0**-600, 2.0**600):
        other = clone(model).fit(X, factor * y)
        found = other.sample_y(X[:4], 5, random_state=0)
        assert_allclose(found / factor, expected, rtol=1e-6)
        what = "overflows" if factor > 1.0 else "underflows"
        with pytest.raises(ValueError, match=f"{what}: scale the data, or take return_std=True"):
            other.predict(X[:4], return_cov=True)


def test_covariances_of_each_output_are_kept_or_refused():
    X, Y = data(n_outputs=2)
    model = clone(ONE).fit(X, Y)
    expected, kept = model.predict(X[:3], return_cov=True)[1], 2.0**-500
    constant = np.column_stack([np.ones(25), kept * Y[:, 1]])
    found = clone(ONE).fit(X, constant).predict(X[:3], return_cov=True)[1]
    assert_array_equal(found[..., 0], np.zeros((3, 3)))
    assert_allclose(found[..., 1] / kept**2, expected[..., 1], rtol=1e-9)
    with pytest.raises(ValueError, match="underflows"):
        clone(ONE).fit(X, Y * [1.0, 2.0**-600]).predict(X[:3], return_cov=True)


@pytest.mark.parametrize("include_noise", [True, False])
def test_draws_do_not_depend_on_the_order_of_training_rows(include_noise):
    """Nor thus on the signs of eigenvectors, which rounding errors turn."""
    X, y = data()
    new = data(8, seed=1)[0]
    draws = [
        clone(ONE).fit(X[order], y[order]).sample_y(new, 3, 0, include_noise)
        for order in (np.arange(25), *(np.random.default_rng(s).permutation(25) for s in range(2)))
    ]
    assert_allclose(draws[1:], np.broadcast_to(draws[0], (2, 8, 3)), atol=1e-6)


def test_bad_draws_are_named():
    X, y = data()
    with pytest.raises(ValueError, match=r"n_samples must be at least 1; got 0"):
        NTKRegressor(alpha=0.1, **PLAIN).fit(X, y).sample_y(X, 0)
    with pytest.raises(ValueError, match="sample_y needs the kernel between new rows"):
        NTKRegressor("precomputed").fit(np.eye(25), y).sample_y(np.eye(25))


# --- Likelihood ----------------------------------------------------------------------------------


@N_OUTPUTS
@pytest.mark.parametrize("noise", ["auto", "ridge"])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_likelihood_is_that_of_contrasts(n_outputs, noise, is_weighted):
    """Their density, divided by the length of the vector of ones, has the flat prior."""
    X, Y = data(n_outputs=n_outputs)
    weights = np.linspace(0.3, 20.0, 25) if is_weighted else np.ones(25)
    model = NTKRegressor(noise=noise, alpha=0.05, **PLAIN).fit(X, Y, weights)
    C, expected = null_space(np.ones((1, 25))).T, 0.0
    for y, a, b in zip(Y.reshape(25, -1).T, model.amplitude_, model.noise_, strict=True):
        cov = a * model.kernel_(X) + np.diag((a * 0.05 + b) / weights)
        expected += multivariate_normal(cov=C @ cov @ C.T).logpdf(C @ y) - 0.5 * np.log(25)
    assert_allclose(model.log_marginal_likelihood(), expected, rtol=1e-9)
    for factor in (1e-100, 1e100):
        other = NTKRegressor(noise=noise, alpha=0.05, **PLAIN).fit(X, factor * Y, weights)
        shift = 24 * (n_outputs or 1) * np.log(factor)
        assert_allclose(other.log_marginal_likelihood(), expected - shift, rtol=1e-9)


def test_likelihood_of_constant_targets_is_infinite():
    X, _ = data()
    assert NTKRegressor(alpha=0.1, **PLAIN).fit(X, np.ones(25)).log_marginal_likelihood() == np.inf


def test_models_without_a_likelihood():
    X, y = data()
    with pytest.raises(ValueError, match="needs the kernel between training rows, which"):
        NTKRegressor("precomputed").fit(np.eye(25), y).log_marginal_likelihood()
    stopped = NTKRegressor(training_time=3.0, **PLAIN).fit(X, y)
    with pytest.raises(ValueError, match=r"needs the posterior .*; got training_time=3\.0 and"):
        stopped.log_marginal_likelihood()


# --- Stages --------------------------------------------------------------------------------------


@N_OUTPUTS
@pytest.mark.parametrize("alpha", [0.0, 0.3])
@pytest.mark.parametrize("is_stopped", [False, True])
def test_stages_are_those_of_training_until_then(n_outputs, alpha, is_stopped):
    X, Y = data(n_outputs=n_outputs)
    X, Y = np.vstack([X, X[:3]]), np.concatenate([Y, 1.0 + Y[:3]])  # equal rows
    new, weights = data(6, seed=1)[0], np.linspace(0.5, 2.0, 28)
    end, start = (5.0, 2.0) if is_stopped else (None, 2.0)
    parameters = {"alpha": alpha, "learning_rate": start, **PLAIN}
    model = NTKRegressor(training_time=end, **parameters).fit(X, Y, weights)
    times = [3.0, 0.0, 500.0, np.inf, 5.0]
    stages = list(model.staged_predict(new, times))
    for time, found in zip(times, stages, strict=True):
        until = None if time == np.inf else time
        other = NTKRegressor(training_time=until, **parameters).fit(X, Y, weights)
        assert_allclose(found, other.predict(new), rtol=1e-8, atol=1e-8)
    assert_allclose(model.predict(new), stages[4 if is_stopped else 3], rtol=1e-8, atol=1e-8)


def test_stages_come_one_by_one():
    X, y = data()
    model = NTKRegressor(alpha=0.1, **PLAIN).fit(X, y)
    stages = model.staged_predict(X, np.array([0.0, 1.0]))
    assert isinstance(stages, GeneratorType)  # as those of boosting are
    assert_allclose(next(stages), np.full(25, y.mean()), rtol=1e-12)
    assert len(list(stages)) == 1


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (3.0, r"times must be a list or an array of numbers; got 3\.0"),
        ([], r"times must be a list or an array of numbers; got \[\]"),
        ([-1.0], r"time must be a number >= 0; got -1"),
        ([np.nan], r"time must be a number >= 0; got nan"),
    ],
)
def test_bad_stages_are_named_at_once(times, message):
    X, y = data()
    model = NTKRegressor(alpha=0.1, **PLAIN).fit(X, y)
    with pytest.raises(ValueError, match=message):
        model.staged_predict(X, times)
    with pytest.raises(ValueError, match="staged_predict needs the kernel between training rows"):
        NTKRegressor("precomputed").fit(np.eye(25), y).staged_predict(np.eye(25), [1.0])


@pytest.mark.parametrize("solver", ["cholesky", "local"])
def test_predictions_print_one_line_at_most(solver, monkeypatch, capsys):
    """However many blocks they take."""
    X = np.random.default_rng(0).normal(size=(120, 3))
    model = NTKRegressor("ntk", activation="relu", solver=solver, leaf_size=40, verbose=1)
    model.fit(X, X[:, 0])
    capsys.readouterr()
    monkeypatch.setattr("sklearn_ntk._runtime.chunks.CHUNK", 600)
    assert_allclose(model.predict(X), X[:, 0], atol=0.5)
    line = "Gram matrix of 120 x 120 rows: 100 %, done in 0:00\n"
    assert capsys.readouterr().out == ("" if solver == "local" else line)


def test_kernels_with_a_verbose_of_their_own_are_left_alone():
    class Talking(RBF):
        verbose = "always"

    X = np.random.default_rng(0).normal(size=(20, 3))
    model = NTKRegressor(kernel=Talking(), alpha=0.1).fit(X, X[:, 0])
    assert_allclose(
        model.predict(X), NTKRegressor(kernel=RBF(), alpha=0.1).fit(X, X[:, 0]).predict(X)
    )
