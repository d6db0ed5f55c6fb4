"""Covariances over initial parameters: of linear models step by step, stored values, ensembles."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from odd_values import NO_NUMBERS, K, is_one_sentence
from training import ReLUNetwork, moves, stored, train_linear

from sklearn_ntk import NNGPKernel, NTKKernel
from sklearn_ntk.dynamics import (
    Descent,
    Flow,
    HeavyBall,
    LogLossTraining,
    MomentumFlow,
    Nesterov,
    Training,
    covariance,
)

CONSTANTS = pytest.mark.parametrize("fit_intercept", [True, False])


@pytest.mark.parametrize("method", [Descent(), HeavyBall(0.8), Nesterov(0.8)], ids=repr)
@pytest.mark.parametrize("alpha", [0.0, 0.4])
@CONSTANTS
@pytest.mark.parametrize("is_one_kernel", [True, False])
def test_covariances_of_linear_models(method, alpha, fit_intercept, is_one_kernel):
    """Their outputs are linear in normal parameters and noise, of which some are not trained."""
    rng = np.random.default_rng(0)
    trained, frozen = rng.normal(size=(11, 20)), rng.normal(size=(11, 5))
    frozen = frozen[:, :0] if is_one_kernel else frozen
    weights, noise, steps = rng.uniform(0.3, 3.0, 7), 0.3, 12
    start = np.hstack([trained, frozen])
    T, N = trained @ trained.T, start @ start.T
    old, new = slice(0, 7), slice(7, 11)
    rate = 0.6 * Training(T[old, old], weights, alpha, 1e-9, method).max_learning_rate
    training = Training(T[old, old], weights, alpha, rate, method, fit_intercept)
    # columns are networks, one for each parameter and each row's noise
    offset = np.hstack([start, np.zeros((11, 7))])
    targets = np.hstack([np.zeros((7, start.shape[1])), np.diag(np.sqrt(noise / weights))])
    move = moves(type(method).__name__, 0.8)
    given = trained[old], offset[old], targets, steps, rate, weights, alpha, fit_intercept
    theta, constant = train_linear(move, *given)
    outputs = (trained @ theta + offset + constant)[new]
    kernel = None if is_one_kernel else (N[old, old], N[new, old])
    expected = outputs @ outputs.T
    found = covariance(training, T[new, old], N[new, new], [0, steps], kernel, noise)
    assert_allclose(found[1], expected, rtol=1e-9, atol=1e-11)
    assert_allclose(found, found.swapaxes(1, 2), rtol=1e-12, atol=1e-12)
    if not fit_intercept:
        assert_allclose(found[0], N[new, new])
    given = training, T[new, old], N.diagonal()[new]
    assert_allclose(covariance(*given, steps, kernel, noise), expected.diagonal(), rtol=1e-9)
    assert_allclose(covariance(*given, [0, steps], kernel, noise)[0], found[0].diagonal())
    if is_one_kernel:
        both = covariance(*given, [0, steps], (T[old, old], T[new, old]), noise)
        assert_allclose(covariance(*given, [0, steps], None, noise), both, rtol=1e-9)


@pytest.mark.parametrize("size", [1e-250, 1e-170, 1e170, 1e250])
@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_variances_of_kernels_of_any_size(size, alpha):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(9, 12))
    K, times = rows @ rows.T, np.array([1.0, 10.0, np.inf])

    def variances(size):
        training = Training(size * K[:6, :6], None, size * alpha)
        given = size * K[6:, :6], size * K.diagonal()[6:], times / size
        return covariance(training, *given, noise=size * alpha) / size

    assert_allclose(variances(size), variances(1.0), rtol=1e-9)


@pytest.mark.parametrize("case", range(24))
def test_stored_ensembles(case):
    """Times of neural-tangents are divided by the number of outputs."""
    data = stored("flow")
    case = [each for each in data["cases"] if each["kind"] == "ensemble"][case]
    kernels = {name: value for name, value in data["kernels"].items()}
    check(case, kernels, data["y_train"], ("tt", "st", "ss"), case["learning_rate"], "mean", "cov")


@pytest.mark.parametrize("case", range(36))
def test_stored_covariances(case):
    data = stored("covariance")
    case = data["cases"][case]
    kernels, names = data["networks"][case["network"]], ("train_train", "test_train", "test_test")
    check(case, kernels, data["y_train"], names, 1.0, "mean", "cov")
    names = ("train_train",) * 3
    if "train_mean" in case:
        check(case, kernels, data["y_train"], names, 1.0, "train_mean", "train_cov")


def check(case, kernels, Y, names, rate, mean, cov):
    """Mean and covariance; those of theirs by one kernel contain the noise of the targets."""
    trains, starts = {"nngp": ("nngp",) * 2, "ntk": ("ntk", "nngp"), "ntkgp": ("ntk",) * 2}[
        case["get"]
    ]
    K, cross, _ = (kernels[f"{trains}_{name}"] for name in names)
    start, start_cross, new = (kernels[f"{starts}_{name}"] for name in names)
    training = Training(K, None, case["diag_reg"], rate / Y.shape[1], fit_intercept=False)
    time = np.inf if case["t"] is None else case["t"]
    assert_allclose(training.predict(cross, Y, time), case[mean], rtol=1e-10, atol=1e-10)
    noise = case["diag_reg"] if trains == starts else 0.0
    kernel = None if trains == starts else (start, start_cross)
    found = covariance(training, cross, new, time, kernel, noise)
    assert_allclose(found, case[cov], rtol=1e-10, atol=1e-10)


@CONSTANTS
def test_posterior_of_a_gaussian_process(fit_intercept):
    """With the constant, that of a kernel plus a huge constant."""
    rng = np.random.default_rng(0)
    A = rng.normal(size=(12, 20))
    kernel, weights, alpha = A @ A.T, rng.uniform(0.3, 3.0, 8), 0.2
    training = Training(kernel[:8, :8], weights, alpha, fit_intercept=fit_intercept)
    found = covariance(training, kernel[8:, :8], kernel[8:, 8:], np.inf, noise=alpha)
    kernel = kernel + (1e7 if fit_intercept else 0.0)
    noisy = kernel[:8, :8] + alpha * np.diag(1.0 / weights)
    expected = kernel[8:, 8:] - kernel[8:, :8] @ np.linalg.solve(noisy, kernel[:8, 8:])
    assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_flow_with_its_own_noise_is_gradient_flow():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(12, 20))
    kernel, weights = A @ A.T, rng.uniform(0.3, 3.0, 8)
    flow = Training(kernel[:8, :8], weights, 0.2, 0.7)
    V, A, B = flow.reduction(kernel[8:, :8], 1.3)
    expected = kernel[8:, 8:] - V.T @ V + A.T @ B
    found = covariance(flow, kernel[8:, :8], kernel[8:, 8:], 1.3, noise=0.2)
    assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("method", [Flow(), MomentumFlow()], ids=repr)
@CONSTANTS
def test_rows_that_are_nearly_equal(method, fit_intercept):
    """Variances are not negative, covariances positive semi-definite up to rounding."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(30, 3))
    rows = np.vstack([rows, rows, rows + 1e-6 * rng.normal(size=(30, 3))])
    T, N = (cls(depth=2, activation="erf")(rows) for cls in (NTKKernel, NNGPKernel))
    training = Training(T[:60, :60], None, 0.0, 1.0, method, fit_intercept)
    for time in (0.0, 3.0, 1e6, np.inf):
        found = covariance(training, T[:, :60], N, time, (N[:60, :60], N[:, :60]))
        assert np.linalg.eigvalsh(found)[0] > -1e-10 * N.diagonal().max()
        variances = covariance(training, T[:, :60], N.diagonal(), time, (N[:60, :60], N[:, :60]))
        assert np.all(variances >= 0.0)
        assert_allclose(variances, found.diagonal(), atol=1e-11)


def test_order_of_the_ensembles():
    """Added random functions cost certainty (He et al., 2020): differences are semi-definite."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(25, 4))
    T, N = (cls(depth=2, bias_var=0.1)(rows) for cls in (NTKKernel, NNGPKernel))
    full, last = Training(T[:20, :20]), Training(N[:20, :20])
    ensemble = covariance(full, T[20:, :20], N[20:, 20:], np.inf, (N[:20, :20], N[20:, :20]))
    ntkgp = covariance(full, T[20:, :20], T[20:, 20:], np.inf)
    posterior = covariance(last, N[20:, :20], N[20:, 20:], np.inf)
    for larger, smaller in ((ntkgp, ensemble), (ensemble, posterior)):
        assert np.linalg.eigvalsh(larger - smaller)[0] > 0.0


@pytest.mark.slow
def test_ensemble_of_wide_networks():
    """Means and variances of 500 networks, each trained from its own start."""
    rng = np.random.default_rng(0)
    X, new = rng.normal(size=(6, 3)), rng.normal(size=(4, 3))
    y = np.sin(2.0 * X[:, 0]) + X[:, 1]
    ntk, nngp = (cls(depth=1, weight_var=2.0, bias_var=0.3) for cls in (NTKKernel, NNGPKernel))
    rate = 0.5 * Training(ntk(X), None, 0.0, 1e-9, Descent(), False).max_learning_rate
    training = Training(ntk(X), None, 0.0, rate, Descent(), fit_intercept=False)
    move, outputs = moves("Descent", 0.0), []
    for _ in range(500):
        network = ReLUNetwork(3, 512, rng).train(move, X, y, 20, rate)
        outputs.append(network.outputs(new))
    start = nngp(X), nngp(new, X)
    variances = covariance(training, ntk(new, X), nngp.diag(new), 20, start)
    assert_allclose(np.var(outputs, axis=0) / variances, 1.0, atol=0.25)
    deviations = np.mean(outputs, axis=0) - training.predict(ntk(new, X), y, 20)
    assert np.all(np.abs(deviations) < 3.5 * np.sqrt(variances / 500))
    one_kernel = covariance(training, ntk(new, X), ntk.diag(new), 20)
    assert np.all(one_kernel > 1.5 * variances)


# --- Arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize("new", [*NO_NUMBERS.values(), K, K[0], K[:1, :2], 1.0, K[:2, :2, None]])
def test_no_kernel_of_new_rows(new):
    with pytest.raises(
        ValueError, match=r"new must be an array .* of finite numbers; got"
    ) as error:
        covariance(Training(K), K[:2], new, 1.0)
    assert is_one_sentence(error)


@pytest.mark.parametrize(
    "start",
    [K, (K,), (K, K, K), "ntk", 1.0, (K[:2, :2], K[:2]), (K, K), (K, None), (K, K[:2, :2])],
)
def test_no_kernel_of_the_start(start):
    with pytest.raises(ValueError, match=r"start(\[.\])? must be a.*; got") as error:
        covariance(Training(K), K[:2], np.ones(2), 1.0, start)
    assert is_one_sentence(error)


def test_other_arguments():
    for training in (LogLossTraining(K), None, K):
        with pytest.raises(ValueError, match="training must be a Training on the squared") as error:
            covariance(training, K, K, 1.0)
        assert is_one_sentence(error)
    with pytest.raises(ValueError, match=r"cross must be an array \(m, 3\) of fin"):
        covariance(Training(K), K[:, :2], np.ones(3), 1.0)
    with pytest.raises(ValueError, match="noise must be a finite number >= 0; got -1"):
        covariance(Training(K), K, np.ones(3), 1.0, noise=-1.0)
    for start in (None, (K, K)):
        with pytest.raises(ValueError, match="time must be a number >= 0; got nan"):
            covariance(Training(K), K, np.ones(3), [1.0, np.nan], start)
    assert covariance(Training(K), K, K, []).shape == (0, 3, 3)
    assert covariance(Training(K), K, K, [], (K, K)).shape == (0, 3, 3)
    assert covariance(Training(K), K[:0], K[:0, :0], [1.0, 2.0]).shape == (2, 0, 0)
