"""`NTKRegressor(uncertainty="ensemble")`: networks that start at random and are trained."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import expm
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF

from sklearn_ntk import NNGPKernel, NTKKernel, NTKRegressor
from sklearn_ntk.layers import Dense

NTK = NTKKernel(depth=1, activation="erf", bias_var=0.1)
NNGP = NNGPKernel(depth=1, activation="erf", bias_var=0.1)
TIMES = pytest.mark.parametrize("training_time", [None, 30.0])


def data(n=20, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    return X, np.stack([np.sin(2.0 * X[:, 0]) + 0.2 * rng.normal(size=n), X[:, 1] ** 2], axis=1)


def train(K, Y, weights, alpha, training_time):
    """Dual coefficients and constants of training on targets (n, k)."""
    n, total = len(K), weights.sum()
    if training_time is None:
        bordered = np.zeros((n + 1, n + 1))
        bordered[:n, :n], bordered[:n, n], bordered[n, :n] = K + alpha * np.diag(1 / weights), 1, 1
        found = np.linalg.solve(bordered, np.vstack([Y, np.zeros((1, Y.shape[1]))]))
        return found[:n], found[n]
    rates = np.zeros((2 * n, 2 * n))  # of the dual coefficients and of the targets, which stay
    centred = np.diag(weights) @ (np.eye(n) - weights / total)
    rates[:n, :n], rates[:n, n:] = -centred @ K - alpha * np.eye(n), centred
    dual = expm(training_time / total * rates)[:n, n:] @ Y
    return dual, weights @ (Y - K @ dual) / total


def weights_of_targets(X, new, weights, alpha, training_time):
    """How much each target counts in the predictions at new rows, (m, n)."""
    dual, constants = train(NTK(X), np.eye(len(X)), weights, alpha, training_time)
    return NTK(new, X) @ dual + constants


@TIMES
@pytest.mark.parametrize("is_weighted", [False, True])
def test_covariance_of_trained_networks(training_time, is_weighted):
    X, Y = data()
    new, weights = data(5, seed=1)[0], np.linspace(0.5, 2.0, 20) if is_weighted else np.ones(20)
    parameters = {"alpha": 0.3, "training_time": training_time}
    model = NTKRegressor(NTK, uncertainty="ensemble", **parameters).fit(X, Y, weights)
    S = weights_of_targets(X, new, weights, 0.3, training_time)
    assert_allclose(model.predict(new), S @ Y, rtol=1e-6, atol=1e-6)
    K, cross = NNGP(X), NNGP(new, X)
    expected = NNGP(new) - S @ cross.T - cross @ S.T + S @ K @ S.T
    model._spread = model._spread._replace(reach=np.inf)  # one amplitude everywhere
    found = model.predict(new, return_cov=True, include_noise=False)[1]
    for k in range(2):
        assert_allclose(found[..., k], model.amplitude_[k] * expected, rtol=1e-5, atol=1e-7)
    std = model.predict(new, return_std=True, include_noise=False)[1]
    assert_allclose(std**2, np.einsum("iik->ik", found), rtol=1e-9)


@TIMES
def test_amplitude_is_that_of_rows_left_out(training_time):
    """Most likely, for the variances at each row of networks that are trained without it."""
    X, Y = data()
    parameters = {"alpha": 0.3, "training_time": training_time, "noise": "ridge"}
    model = NTKRegressor(NTK, uncertainty="ensemble", **parameters).fit(X, Y)
    squares = []
    for i in range(20):
        rest = np.arange(20) != i
        S = weights_of_targets(X[rest], X[[i]], np.ones(19), 0.3, training_time)[0]
        row = NNGP(X[rest], X[[i]])[:, 0]
        variance = NNGP.diag(X[[i]])[0] - 2.0 * S @ row + S @ NNGP(X[rest]) @ S
        squares.append((Y[i] - S @ Y[rest]) ** 2 / (variance + 0.3))
    assert_allclose(model.amplitude_, np.mean(squares, axis=0), rtol=1e-5)
    assert_array_equal(model.noise_, 0.0)


@pytest.mark.parametrize("kernel", ["ntk", "nngp", NTK, NNGP])
def test_networks_that_start(kernel):
    """The mean stays. With the NTK all layers are trained, with the NNGP the last one."""
    X, Y = data()
    plain = NTKRegressor(kernel, activation="erf", alpha=0.3).fit(X, Y)
    model = clone(plain).set_params(uncertainty="ensemble").fit(X, Y)
    assert_array_equal(model.predict(X), plain.predict(X))
    std = model.predict(X, return_std=True)[1]
    assert np.all(std > 0.0) and np.all(std != plain.predict(X, return_std=True)[1])
    draws = model.sample_y(X, 3, random_state=0)
    assert draws.shape == (20, 2, 3)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X, return_std=True)[1], std)


@pytest.mark.parametrize(
    "parameters",
    [{"depth": 2, "n_frozen": 1}, {"architecture": (Dense(frozen=True), "erf", Dense())}],
)
def test_frozen_layers_start_as_others(parameters):
    X, Y = data()
    model = NTKRegressor("ntk", activation="erf", alpha=0.3, uncertainty="ensemble", **parameters)
    assert np.all(np.isfinite(model.fit(X, Y).predict(X, return_std=True)[1]))


@pytest.mark.parametrize("method", ["conformal", "jackknife+"])
def test_intervals_do_not_depend_on_it(method):
    X, Y = data()
    new = data(6, seed=1)[0]
    plain = NTKRegressor(NTK, alpha=0.3).fit(X, Y).predict_interval(new, method=method)
    model = NTKRegressor(NTK, alpha=0.3, uncertainty="ensemble").fit(X, Y)
    assert_allclose(model.predict_interval(new, method=method), plain, rtol=1e-8)


def test_bands_hold_new_targets():
    X, Y = data(200)
    model = NTKRegressor(uncertainty="ensemble").fit(X[:100], Y[:100, 0])
    mean, std = model.predict(X[100:], return_std=True)
    assert 0.88 < np.mean(np.abs(Y[100:, 0] - mean) < 1.96 * std) <= 1.0


def test_one_and_two_rows():
    X, Y = data(2)
    model = NTKRegressor(NTK, alpha=0.1, uncertainty="ensemble")
    assert_array_equal(model.fit(X[:1], Y[:1]).predict(X), Y[[0, 0]])
    assert np.all(np.isfinite(model.fit(X, Y).predict(X, return_std=True)[1]))


@pytest.mark.parametrize("kernel", ["precomputed", RBF(), 2.0 * NTK])
def test_kernels_that_say_no_start(kernel):
    X, Y = data()
    message = r"uncertainty='ensemble' needs the kernel of a network, .*: take uncertainty='post"
    with pytest.raises(ValueError, match=message):
        NTKRegressor(kernel, uncertainty="ensemble").fit(X @ X.T, Y)


def test_ensembles_have_no_likelihood():
    X, Y = data()
    model = NTKRegressor(NTK, uncertainty="ensemble").fit(X, Y)
    with pytest.raises(ValueError, match=r"needs the posterior .*uncertainty='ensemble'"):
        model.log_marginal_likelihood()
