"""What scikit-learn makes of the kernels: Gaussian processes, machines, features, searches."""

import numpy as np
import pytest
from kernels_of_all_kinds import KERNELS, classes, noisy_classes, regression_data, rows
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.cluster import SpectralClustering
from sklearn.decomposition import KernelPCA
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import WhiteKernel
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import pairwise_kernels
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from sklearn_ntk import NNGPKernel, NTKKernel
from sklearn_ntk.activations import Erf
from sklearn_ntk.layers import Dense, LayerNorm


@pytest.mark.parametrize("bias_var", [0.1, 0.0])
@pytest.mark.parametrize("act", ["elu", "sin", "relu"])
def test_gpr_likelihood_next_to_a_gradient(act, bias_var):
    """With a zero row, which has no derivative without bias, before a normalisation."""
    network = (Dense(), LayerNorm(), act, Dense(1.0, 0.0))
    X = np.vstack([np.random.default_rng(0).standard_normal((8, 3)), np.zeros(3)])
    y = X[:, 0] + X[:, 1] ** 2
    kernel = NTKKernel(architecture=network, bias_var=bias_var) + WhiteKernel(0.1)
    process = GaussianProcessRegressor(kernel, optimizer=None).fit(X, y)
    theta = kernel.theta
    value, gradient = process.log_marginal_likelihood(theta, eval_gradient=True)
    assert value == pytest.approx(process.log_marginal_likelihood(theta), rel=1e-14)
    for place, move in enumerate(1e-5 * np.eye(len(theta))):
        ends = [process.log_marginal_likelihood(theta + sign * move) for sign in (1.0, -1.0)]
        assert gradient[place] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6, abs=1e-7)


# --- Consumers -----------------------------------------------------------------------------------


class RecordingKernel(NTKKernel):
    """Notes the arguments of every call."""

    calls = []  # noqa: RUF012

    def __call__(self, X, Y=None, eval_gradient=False):
        self.calls.append((X.shape, None if Y is None else Y.shape, Y is X))
        return super().__call__(X, Y, eval_gradient)


def test_pairwise_kernels_passes_the_whole_matrix_at_once():
    X, Y = rows(), rows(4, seed=1)
    RecordingKernel.calls.clear()
    K = pairwise_kernels(X, metric=RecordingKernel())
    assert_array_equal(pairwise_kernels(X, Y, metric=RecordingKernel()), NTKKernel()(X, Y))
    assert_array_equal(K, NTKKernel()(X))
    assert RecordingKernel.calls == [((7, 3), (7, 3), True), ((7, 3), (4, 3), False)]


def test_gpr_optimiser_raises_the_likelihood(device):
    X, y = regression_data(60, noise=0.3)
    kernel = NTKKernel(1, weight_var=0.1, bias_var=0.02, device=device) + WhiteKernel(0.5)
    before = GaussianProcessRegressor(kernel, optimizer=None).fit(X, y)
    after = GaussianProcessRegressor(kernel).fit(X, y)
    assert kernel.k1.weight_var == 0.1  # the kernel given is not the one fitted
    assert after.log_marginal_likelihood_value_ > before.log_marginal_likelihood_value_ + 3.0
    assert after.kernel_.k1.weight_var != 0.1
    assert after.score(*regression_data(seed=5)) > 0.7


@pytest.mark.parametrize("name", ["ntk-shallow", "nngp-erf", "ntk-no-bias", "nested", "on-gpu"])
def test_gpr_likelihood_is_that_of_the_normal_distribution(name, request):
    X, y = regression_data(15)
    kernel = KERNELS.get(name, KERNELS["nngp-on-gpu"])
    if name == "on-gpu":
        request.getfixturevalue("gpu")
    gpr = GaussianProcessRegressor(kernel, alpha=0.1, optimizer=None).fit(X, y)
    theta = kernel.theta + 0.2
    value, gradient = gpr.log_marginal_likelihood(theta, eval_gradient=True)

    def likelihood(theta):
        K = kernel.clone_with_theta(theta)(X) + 0.1 * np.eye(15)
        return stats.multivariate_normal.logpdf(y, cov=K)

    assert_allclose(value, likelihood(theta), rtol=1e-10)
    steps = np.eye(len(theta)) * 1e-5
    expected = [(likelihood(theta + s) - likelihood(theta - s)) / 2e-5 for s in steps]
    assert_allclose(gradient, expected, rtol=1e-6, atol=1e-7)


def test_gpr_posterior_and_samples_agree():
    X, y = regression_data()
    gpr = GaussianProcessRegressor(NNGPKernel(depth=1), alpha=0.05, optimizer=None).fit(X, y)
    new = rows(4, 2, seed=9)
    mean, std = gpr.predict(new, return_std=True)
    _, cov = gpr.predict(new, return_cov=True)
    assert_allclose(np.diag(cov), std**2, rtol=1e-9)
    assert np.all(std > 0) and np.all(std < np.sqrt(NNGPKernel(depth=1).diag(new)))
    samples = gpr.sample_y(new, 4000, random_state=0)
    assert_allclose(samples.mean(axis=1), mean, atol=5 * std.max() / np.sqrt(4000))
    assert_allclose(np.cov(samples), cov, atol=6 * std.max() ** 2 / np.sqrt(4000))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_gpc_fits_and_optimises(n_classes):
    X, y = classes(30, n_classes)
    kernel = NNGPKernel(depth=1, weight_var_bounds=(1e-2, 1e4), bias_var_bounds="fixed")
    gpc = GaussianProcessClassifier(kernel).fit(X, y)
    start = np.tile(kernel.theta, 1 if n_classes == 2 else n_classes)
    assert gpc.log_marginal_likelihood_value_ > np.mean(gpc.log_marginal_likelihood(start)) + 0.5
    assert gpc.score(X, y) > 0.9
    assert_allclose(gpc.predict_proba(X).sum(axis=1), 1.0)


def test_gpc_likelihood_gradient_agrees_with_differences():
    X, y = classes(20, 2)
    gpc = GaussianProcessClassifier(NTKKernel(depth=1), optimizer=None).fit(X, y)
    theta = np.log([0.3, 1.5])
    gradient = gpc.log_marginal_likelihood(theta, eval_gradient=True)[1]
    value = gpc.log_marginal_likelihood
    expected = [(value(theta + s) - value(theta - s)) / 2e-4 for s in np.eye(2) * 1e-4]
    assert_allclose(gradient, expected, rtol=1e-4)


@pytest.mark.parametrize(
    "make, method",
    [
        (lambda kernel: SVC(kernel=kernel), "decision_function"),
        (lambda kernel: SVR(kernel=kernel, C=10.0), "predict"),
        (lambda kernel: KernelRidge(alpha=0.1, kernel=kernel), "predict"),
        (lambda kernel: KernelPCA(3, kernel=kernel, eigen_solver="dense"), "transform"),
    ],
    ids=["SVC", "SVR", "KernelRidge", "KernelPCA"],
)
def test_estimators_agree_with_the_precomputed_matrix(make, method):
    X, y = classes(40, 2)
    new, kernel = rows(6, 2), NTKKernel(depth=1)
    direct = make(kernel).fit(X, y)
    precomputed = make("precomputed").fit(kernel(X), y)
    found, expected = getattr(direct, method)(new), getattr(precomputed, method)(kernel(new, X))
    assert np.ptp(found) > 0.1
    assert_allclose(np.abs(found), np.abs(expected), rtol=1e-6, atol=1e-8)  # signs of components


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_nystroem_with_all_rows_is_exact(n_jobs):
    X = rows(40)
    kernel = NTKKernel(depth=1, bias_var=0.5)
    features = Nystroem(kernel, n_components=40, n_jobs=n_jobs, random_state=0).fit_transform(X)
    assert_allclose(features @ features.T, kernel(X), rtol=1e-6)


def test_spectral_clustering_finds_the_blobs():
    X, y = classes(45)
    X = X / np.linalg.norm(X, axis=1, keepdims=True)
    model = SpectralClustering(3, affinity=NNGPKernel(1, bias_var=0.0) ** 4, random_state=0)
    labels = model.fit_predict(X)
    assert max(len(set(labels[y == k])) for k in range(3)) == 1
    assert len(set(labels)) == 3


@pytest.mark.parametrize(
    "model, data",
    [
        (GaussianProcessRegressor(NTKKernel(), alpha=0.1, optimizer=None), regression_data()),
        (KernelRidge(kernel=NTKKernel(), alpha=0.1), regression_data()),
        (SVC(kernel=NTKKernel()), noisy_classes()),
        (KernelRidge(kernel=NTKKernel(device="cuda"), alpha=0.1), regression_data()),
    ],
    ids=["GPR", "KernelRidge", "SVC", "on a GPU"],
)
def test_grid_search_over_depth_and_activation(model, data):
    step = type(model).__name__.lower()
    depths, activations = [0, 2], ["relu", Erf()]
    grid = {f"{step}__kernel__depth": depths, f"{step}__kernel__activation": activations}
    search = GridSearchCV(make_pipeline(StandardScaler(), model), grid, cv=3, error_score="raise")
    search.fit(*data)
    scores = search.cv_results_["mean_test_score"]
    assert len(scores) == 4 and np.all(np.isfinite(scores))
    assert scores[0] == scores[2] != scores[1] != scores[3]  # no activation in a linear network
    fitted = search.best_estimator_[-1].kernel
    assert fitted.depth == search.best_params_[f"{step}__kernel__depth"]
    assert model.kernel == NTKKernel(device=model.kernel.device)
