"""The kernels honour the contract of scikit-learn's Gaussian-process kernels."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse, stats
from sklearn.base import clone
from sklearn.cluster import SpectralClustering
from sklearn.datasets import make_blobs
from sklearn.decomposition import KernelPCA
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import pairwise_kernels
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from sklearn_ntk import NNGPKernel, NTKKernel
from sklearn_ntk.activations import Abs, Erf, Identity, ReLU
from sklearn_ntk.layers import Dense, LayerNorm, Residual

UNTIED = (Dense(1.5, 0.2), "relu", Dense(1.2, 0.0, frozen=True), "relu", Dense(0.7, 0.3))
WEIGHTS_TIED = (Dense(bias_var=0.2), "relu", Dense(bias_var=0.3))
BIASES_TIED = (Dense(1.4), "relu", Dense(1.1))
RESIDUAL = (Dense(), Residual(("relu", Dense(0.5))), "relu", Dense())
SHORTCUT = (Dense(), Residual(("relu", Dense()), (Dense(0.5, 0.0),)), "relu", Dense())
MIXED = (Dense(), ReLU(1.2), Dense(1.3), Erf(), Dense())

NETWORKS = {
    "ntk": NTKKernel(),
    "nngp": NNGPKernel(),
    "ntk-linear": NTKKernel(depth=0),
    "nngp-linear": NNGPKernel(depth=0, bias_var=0.4),
    "ntk-shallow": NTKKernel(1, ReLU(0.7), 1.3, 0.6),
    "ntk-erf": NTKKernel(depth=1, activation="erf", weight_var=1.2),
    "nngp-erf": NNGPKernel(3, Erf(scale=1.5, rate=0.7), 1.7, 0.3),
    "ntk-no-bias": NTKKernel(depth=2, bias_var=0),
    "nngp-no-bias": NNGPKernel(depth=1, activation="erf", bias_var=0.0),
    "ntk-frozen": NTKKernel(3, n_frozen=3),
    "ntk-untied": NTKKernel(architecture=UNTIED),
    "ntk-weights-tied": NTKKernel(architecture=WEIGHTS_TIED),
    "nngp-biases-tied": NNGPKernel(architecture=BIASES_TIED),
    "ntk-residual": NTKKernel(weight_var=1.4, architecture=RESIDUAL),
    "nngp-shortcut": NNGPKernel(weight_var=1.4, architecture=SHORTCUT),
    "ntk-mixed": NTKKernel(bias_var=0.3, architecture=MIXED),
    "ntk-weight-fixed": NTKKernel(weight_var_bounds="fixed"),
    "nngp-bias-fixed": NNGPKernel(bias_var_bounds="fixed"),
    "ntk-all-fixed": NTKKernel(weight_var_bounds="fixed", bias_var_bounds="fixed"),
}
COMPOSITES = {
    "sum": NTKKernel(depth=1) + WhiteKernel(0.2),
    "product": ConstantKernel(0.5) * NNGPKernel(depth=1),
    "power": NTKKernel(depth=1) ** 2,
    "fixed-in-sum": NTKKernel(depth=1, bias_var=0.0) + RBF(0.8),
    "nested": (2.0 * NTKKernel(depth=1) + NNGPKernel(activation="erf", depth=1)) * RBF(2.0),
}
KERNELS = NETWORKS | COMPOSITES

network = pytest.mark.parametrize("kernel", NETWORKS.values(), ids=NETWORKS)
every_kernel = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)


def rows(n=7, d=3, seed=0):
    X = np.random.default_rng(seed).normal(size=(n, d))
    X.flags.writeable = False
    return X


def regression_data(n=30, seed=1, noise=0.1):
    X = rows(n, 2, seed)
    errors = np.random.default_rng(seed + 100).normal(size=n)
    return X, np.sin(2.0 * X[:, 0]) + 0.5 * X[:, 1] + noise * errors


def noisy_classes():
    X, y = regression_data(40, noise=0.5)
    return X, np.where(y > 0, "up", "down")


def classes(n=45, centers=3):
    X, y = make_blobs(n, centers=centers, cluster_std=0.5, random_state=0)
    return StandardScaler().fit_transform(X), y


# --- Values --------------------------------------------------------------------------------------


@every_kernel
def test_matrix_is_symmetric_fresh_and_writable(kernel):
    X = rows()
    K = kernel(X)
    assert K.shape == (7, 7) and K.dtype == np.float64
    assert_array_equal(K, K.T)
    kept = K.copy()
    K[:] = -1.0  # in place, as Gaussian processes add their noise
    assert_array_equal(kernel(X), kept)


@every_kernel
def test_diag_is_that_of_the_matrix_to_the_bit(kernel):
    X = rows(n=40)
    diagonal = kernel.diag(X)
    assert_array_equal(diagonal, np.diag(kernel(X)))
    assert diagonal.dtype == np.float64 and diagonal.flags.writeable


@network
def test_cross_matrix_agrees_with_symmetric_matrix(kernel):
    X = rows()
    K = kernel(X)
    tolerance = {"rtol": 0, "atol": 1e-14 * K.max()}
    assert_allclose(kernel(X, X.copy()), K, **tolerance)
    assert_array_equal(kernel(X, X), K)  # the same object counts as no Y
    cross = kernel(X[:4], X[2:])
    assert cross.shape == (4, 5)
    assert_allclose(cross, K[:4, 2:], **tolerance)
    assert_allclose(kernel(X[2:], X[:4]), cross.T, **tolerance)


@network
def test_matrix_is_positive_semidefinite(kernel):
    X = np.vstack([rows(30), rows(30) * (1 + 1e-8)])
    values = np.linalg.eigvalsh(kernel(X))
    assert values[0] >= -1e-12 * values[-1]


@network
def test_agrees_with_pairwise_evaluation(kernel):
    X = rows(5)
    single = [[kernel(x[None], z[None])[0, 0] for z in X] for x in X]
    assert_allclose(kernel(X), single, rtol=1e-12)
    assert_allclose(kernel.diag(X), [kernel.diag(x[None])[0] for x in X], rtol=1e-15)


LAYOUTS = {
    "fortran": np.asfortranarray,
    "strided": lambda X: np.repeat(X, 2, axis=0)[::2],
    "writable": np.copy,
    "list": np.ndarray.tolist,
}


@pytest.mark.parametrize("convert", LAYOUTS.values(), ids=LAYOUTS)
def test_layout_of_the_rows_does_not_matter(convert):
    X = rows()
    assert_array_equal(NTKKernel()(convert(X)), NTKKernel()(X))
    assert_allclose(NTKKernel().diag(convert(X)), NTKKernel().diag(X), rtol=1e-14)


def test_diag_of_fortran_ordered_rows_is_that_of_the_matrix_to_the_bit():
    X = np.asfortranarray(rows(200, 9))
    assert_array_equal(NTKKernel().diag(X), np.diag(NTKKernel()(X)))


def test_float32_and_integer_rows_give_float64():
    X = rows().astype(np.float32)
    K = NTKKernel()(X, X[:3])
    assert K.dtype == np.float64
    assert_array_equal(K, NTKKernel()(X.astype(np.float64), X[:3].astype(np.float64)))
    assert NTKKernel()([[1, 2]]).dtype == np.float64


@pytest.mark.parametrize("convert", [lambda X: X.astype(np.float32), np.ndarray.tolist])
def test_same_object_is_symmetric_also_if_it_must_be_converted(convert):
    X = convert(rows(40))
    K = NTKKernel()(X, X)
    assert_array_equal(K, K.T)
    assert_array_equal(np.diag(K), NTKKernel().diag(X))


def test_linear_kernel_has_its_closed_form():
    X, Y = rows(), rows(4, seed=1)
    expected = 1.7 * X @ Y.T / 3 + 0.4
    assert_allclose(NNGPKernel(0, weight_var=1.7, bias_var=0.4)(X, Y), expected, rtol=1e-13)
    assert_allclose(NTKKernel(0, weight_var=1.7, bias_var=0.4)(X, Y), expected, rtol=1e-13)


def test_nngp_is_the_ntk_with_all_layers_but_the_last_frozen():
    X = rows()
    assert_allclose(NTKKernel(3, n_frozen=3)(X), NNGPKernel(3)(X), rtol=1e-13)
    assert np.all(NTKKernel(3, n_frozen=2).diag(X) > NNGPKernel(3).diag(X) * 1.1)


def test_architecture_replaces_depth_and_activation():
    X = rows()
    network = (Dense(), "relu", Dense(), "relu", Dense())
    expected = NTKKernel(depth=2)(X)
    assert_array_equal(NTKKernel(7, "erf", architecture=network)(X), expected)
    assert_array_equal(NTKKernel(architecture=list(network))(X), expected)


def test_kernel_is_not_stationary():
    assert not NTKKernel().is_stationary()
    assert not (NNGPKernel() + RBF()).is_stationary()
    assert NTKKernel().requires_vector_input


# --- Hyperparameters and gradients ---------------------------------------------------------------


def numeric_gradient(kernel, X, step=1e-4):
    """Fourth-order central differences along every component of theta."""
    columns = []
    for axis in np.eye(len(kernel.theta)) * step:
        K = [kernel.clone_with_theta(kernel.theta + k * axis)(X) for k in (-2, -1, 1, 2)]
        columns.append((K[0] - 8 * K[1] + 8 * K[2] - K[3]) / (12 * step))
    return np.stack(columns, axis=-1) if columns else np.empty((len(X), len(X), 0))


@every_kernel
def test_gradient_agrees_with_differences(kernel):
    X = rows()
    K, gradient = kernel(X, eval_gradient=True)
    assert_allclose(K, kernel(X), rtol=1e-13)
    assert gradient.shape == (7, 7, len(kernel.theta))
    expected = numeric_gradient(kernel, X)
    assert_allclose(gradient, expected, rtol=1e-7, atol=1e-9 * np.abs(K).max())


@network
def test_gradient_is_symmetric_fresh_and_writable(kernel):
    X = rows()
    gradient = kernel(X, eval_gradient=True)[1]
    assert gradient.dtype == np.float64
    assert_array_equal(gradient, gradient.transpose(1, 0, 2))
    kept = gradient.copy()
    gradient *= 3.0  # in place, as the powers of kernels do
    assert_array_equal(kernel(X, eval_gradient=True)[1], kept)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_values_next_to_a_gradient(dtype):
    """A sine of rows of unit variance has the squares of a sine and a cosine on the diagonal."""
    network = (Dense(), LayerNorm(), "sin", Dense(1.0, 0.0))
    kernel = NTKKernel(architecture=network, dtype=dtype)
    X = [[1.0, 2.0], [3.0, -1.0]]
    values = kernel(X, eval_gradient=True)[0]
    assert_allclose(np.diag(values), 1.0, rtol=1e-15 if dtype == "float64" else 1e-7)
    assert_array_equal(values, kernel(X))


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


def test_gradient_without_free_hyperparameters_is_empty():
    kernel = NETWORKS["ntk-all-fixed"]
    assert kernel.theta.shape == (0,) and kernel.n_dims == 0
    assert kernel(rows(), eval_gradient=True)[1].shape == (7, 7, 0)


@pytest.mark.parametrize(
    "name, free",
    [
        ("ntk", ["bias_var", "weight_var"]),
        ("nngp-erf", ["bias_var", "weight_var"]),
        ("ntk-no-bias", ["weight_var"]),
        ("ntk-untied", []),
        ("ntk-weights-tied", ["weight_var"]),
        ("nngp-biases-tied", ["bias_var"]),
        ("ntk-residual", ["bias_var", "weight_var"]),
        ("ntk-weight-fixed", ["bias_var"]),
        ("nngp-bias-fixed", ["weight_var"]),
    ],
)
def test_theta_and_bounds_follow_the_hyperparameters(name, free):
    kernel = NETWORKS[name]
    assert [h.name for h in kernel.hyperparameters] == ["bias_var", "weight_var"]
    assert [h.name for h in kernel.hyperparameters if not h.fixed] == free
    assert_array_equal(kernel.theta, np.log([getattr(kernel, name) for name in free]))
    bounds = np.reshape([getattr(kernel, f"{name}_bounds") for name in free], (-1, 2))
    assert_array_equal(kernel.bounds.reshape(-1, 2), np.log(bounds.astype(float)))


@pytest.mark.parametrize("name", ["ntk-no-bias", "nngp-no-bias", "fixed-in-sum"])
def test_zero_bias_variance_never_reaches_theta(name):
    kernel = KERNELS[name]
    assert np.all(np.isfinite(kernel.theta)) and np.all(np.isfinite(kernel.bounds))
    moved = kernel.clone_with_theta(kernel.theta + 1.0)
    assert {v for k, v in moved.get_params().items() if k.endswith("bias_var")} == {0}


@every_kernel
def test_theta_can_be_set(kernel):
    theta = kernel.theta + np.linspace(0.1, 0.2, len(kernel.theta))
    moved = kernel.clone_with_theta(theta)
    assert_allclose(moved.theta, theta, rtol=1e-13, atol=1e-15)
    assert_allclose(clone(moved).theta, moved.theta, rtol=0)
    assert len(theta) == 0 or moved != kernel
    in_place = clone(kernel)
    in_place.theta = theta
    assert in_place == moved


def test_theta_moves_the_parameters_it_names():
    kernel = NTKKernel()
    kernel.theta = np.log([0.5, 3.0])
    assert_allclose([kernel.bias_var, kernel.weight_var], [0.5, 3.0], rtol=1e-15)
    with pytest.raises(ValueError, match="theta has not the correct number of entries"):
        kernel.theta = [0.0, 0.0, 0.0]


# --- Values in the sense of Python and scikit-learn ----------------------------------------------


@every_kernel
def test_clone_is_equal_and_apart(kernel):
    copy = clone(kernel)
    assert copy == kernel and copy is not kernel and type(copy) is type(kernel)
    assert_array_equal(copy.theta, kernel.theta)
    assert_array_equal(copy.bounds, kernel.bounds)
    assert_array_equal(copy(rows()), kernel(rows()))


@every_kernel
def test_pickle_round_trip(kernel):
    copy = pickle.loads(pickle.dumps(kernel))
    assert copy == kernel
    assert repr(copy) == repr(kernel)
    assert_array_equal(copy(rows()), kernel(rows()))


def test_clone_after_set_params_follows_the_change():
    kernel = NTKKernel()
    kernel.set_params(weight_var=1.5, weight_var_bounds=(1e-2, 1e2), depth=1)
    copy = clone(kernel)
    assert copy == kernel and copy.depth == 1
    assert_allclose(copy.bounds[1], np.log([1e-2, 1e2]))


def test_kernels_of_all_kinds_differ():
    kernels = [*KERNELS.values(), NTKKernel(bias_var=0.2), NTKKernel(n_frozen=1)]
    for i, kernel in enumerate(kernels):
        assert [other == kernel for other in kernels] == [j == i for j in range(len(kernels))]


@pytest.mark.parametrize("other", [Abs(), Identity(), ReLU(2.0), "relu"])
def test_equality_looks_at_the_type_of_the_activation(other):
    kernel = NTKKernel(activation=ReLU())
    assert kernel == NTKKernel(activation=ReLU(1.0))
    assert kernel != NTKKernel(activation=other)
    network, changed = (Dense(), ReLU(), Dense()), (Dense(), other, Dense())
    assert NTKKernel(architecture=network) == NTKKernel(architecture=tuple(network))
    assert NTKKernel(architecture=network) != NTKKernel(architecture=changed)


def test_repr_names_what_distinguishes_the_kernel():
    text = repr(NTKKernel(2, "erf", 1.23456, 0.5, n_frozen=1))
    assert text == "NTKKernel(depth=2, activation='erf', n_frozen=1, weight_var=1.23, bias_var=0.5)"
    text = repr(NNGPKernel(activation=ReLU(0.5)) + WhiteKernel(2.0))
    assert "activation=ReLU(gain=0.5)" in text and "WhiteKernel(noise_level=2)" in text
    text = repr(NTKKernel(architecture=BIASES_TIED))
    assert "architecture=(Dense(weight_var=1.4" in text and "depth" not in text
    assert "n_frozen" not in text


def test_get_and_set_params():
    kernel = NNGPKernel(depth=1, activation="erf")
    params = kernel.get_params()
    assert set(params) == {
        *("depth", "activation", "weight_var", "bias_var", "architecture"),
        *("weight_var_bounds", "bias_var_bounds", "dtype", "verbose"),
    }
    assert NNGPKernel(**params) == kernel
    assert set(NTKKernel().get_params()) == {*params, "n_frozen"}
    with pytest.raises(ValueError, match="Invalid parameter"):
        kernel.set_params(n_frozen=1)


def test_params_of_nested_kernels_have_paths():
    kernel = (NTKKernel() + WhiteKernel(0.5)) * RBF()
    params = kernel.get_params()
    assert params["k1__k1__depth"] == 2 and params["k1__k1__n_frozen"] == 0
    kernel.set_params(k1__k1__depth=1, k1__k1__activation="erf", k1__k2__noise_level=2.0)
    assert kernel == (NTKKernel(1, "erf") + WhiteKernel(2.0)) * RBF()


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


def test_gpr_optimiser_raises_the_likelihood():
    X, y = regression_data(60, noise=0.3)
    kernel = NTKKernel(depth=1, weight_var=0.1, bias_var=0.02) + WhiteKernel(0.5)
    before = GaussianProcessRegressor(kernel, optimizer=None).fit(X, y)
    after = GaussianProcessRegressor(kernel).fit(X, y)
    assert kernel.k1.weight_var == 0.1  # the kernel given is not the one fitted
    assert after.log_marginal_likelihood_value_ > before.log_marginal_likelihood_value_ + 3.0
    assert after.kernel_.k1.weight_var != 0.1
    assert after.score(*regression_data(seed=5)) > 0.7


@pytest.mark.parametrize("name", ["ntk-shallow", "nngp-erf", "ntk-no-bias", "nested"])
def test_gpr_likelihood_is_that_of_the_normal_distribution(name):
    X, y = regression_data(15)
    kernel = KERNELS[name]
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
    ],
    ids=["GPR", "KernelRidge", "SVC"],
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
    assert model.kernel == NTKKernel()


# --- Bad input -----------------------------------------------------------------------------------

BAD_PARAMETERS = [
    (
        {"activation": "rellu"},
        ValueError,
        r"Unknown activation 'rellu': choose one of abs, .*erf.*relu.*Did you mean 'relu'\?",
    ),
    ({"activation": 3}, TypeError, "sklearn_ntk.activations.*got 3"),
    ({"activation": None}, TypeError, "sklearn_ntk.activations.*got None"),
    ({"activation": ReLU}, TypeError, "ReLU.*sklearn_ntk.activations"),
    ({"activation": ReLU(np.nan)}, ValueError, "gain of ReLU must be .*; got nan"),
    ({"activation": Erf("1")}, ValueError, "scale of Erf must be .*; got '1'"),
    *(
        ({"weight_var": bad}, ValueError, f"weight_var must be a finite number > 0; got {shown}")
        for bad, shown in [
            (-1.5, "-1.5"),
            (0, "0"),
            (np.nan, "nan"),
            (np.inf, "inf"),
            ("2", "'2'"),
            (None, "None"),
            (True, "True"),
            (1j, "1j"),
            ([1.0], r"\[1.0\]"),
        ]
    ),
    *(
        ({"bias_var": bad}, ValueError, f"bias_var must be a finite number >= 0; got {shown}")
        for bad, shown in [(-0.1, "-0.1"), (np.nan, "nan"), (np.inf, "inf"), ("0", "'0'")]
    ),
    *(
        ({"depth": bad}, ValueError, f"depth must be an integer >= 0; got {shown}")
        for bad, shown in [(2.5, "2.5"), (2.0, "2.0"), (True, "True"), (-1, "-1"), ("3", "'3'")]
    ),
    ({"n_frozen": 1.0}, ValueError, "n_frozen must be an integer >= 0; got 1.0"),
    ({"n_frozen": -1}, ValueError, "n_frozen must be an integer >= 0; got -1"),
    ({"n_frozen": 3}, ValueError, "n_frozen must be less than .*, which is 3; got 3"),
    ({"architecture": 5}, TypeError, "architecture must be a tuple of layers; got 5"),
    ({"architecture": Dense}, TypeError, "architecture must be a tuple of layers; got .*Dense"),
    ({"architecture": ()}, ValueError, "a network must have layers. Append Dense"),
    (
        {"architecture": ("identity",)},
        ValueError,
        "NTK of a network without a trained layer is zero",
    ),
    ({"architecture": ("relu", Dense())}, ValueError, r"architecture\[0\].*Put Dense\(\) before"),
    ({"architecture": (Dense(), 3)}, TypeError, r"architecture\[1\]: 3 is neither a layer nor"),
    ({"architecture": (Dense,)}, TypeError, r"architecture\[0\]: .* is neither a layer nor"),
    ({"architecture": (Dense(-1.0),)}, ValueError, r"architecture\[0\]: weight_var .* got -1.0"),
    (
        {"architecture": (Dense(), Residual(("relu",)), Dense())},
        ValueError,
        r"architecture\[1\]: one path of a Residual must end .*End the body in Dense",
    ),
    (
        {"architecture": (Dense(), Residual(("relu", Dense(0.1, "x"))), Dense())},
        ValueError,
        r"architecture\[1\].body\[1\]: bias_var .* got 'x'",
    ),
]


@pytest.mark.parametrize("params, error, message", BAD_PARAMETERS, ids=str)
def test_bad_parameters_are_named_when_used(params, error, message):
    kernel = clone(NTKKernel(**params))  # the constructor accepts anything, as clone demands
    for use in (kernel, kernel.diag, lambda X: kernel.theta):
        with pytest.raises(error, match=message) as caught:
            use(rows())
        assert "\n" not in str(caught.value)


BAD_ROWS = [
    ([[np.nan, 1.0]], ValueError, "NaN"),
    ([[np.inf, 1.0]], ValueError, "infinity"),
    (np.ones(3), ValueError, "Expected 2D array, got 1D array"),
    (np.ones((2, 2, 2)), ValueError, "dim 3"),
    (sparse.csr_array(np.eye(2)), TypeError, "[Ss]parse.*dense"),
    (np.empty((0, 2)), ValueError, r"0 sample\(s\)"),
    (np.empty((2, 0)), ValueError, r"0 feature\(s\)"),
    (np.eye(2) * 1j, ValueError, "Complex data not supported"),
    ([["a", "b"]], ValueError, "could not convert string to float: 'a'"),
    (None, ValueError, "Expected 2D array"),
    (np.full((1, 2), 1e200), ValueError, "overflows.* scale the data"),
]
BAD_ROWS_IDS = [
    "nan",
    "inf",
    "1d",
    "3d",
    "sparse",
    "empty",
    "thin",
    "complex",
    "text",
    "none",
    "big",
]


@pytest.mark.parametrize("X, error, message", BAD_ROWS, ids=BAD_ROWS_IDS)
def test_bad_rows_are_named(X, error, message):
    kernel = NTKKernel()
    uses = [kernel, kernel.diag, lambda X: kernel(X, eval_gradient=True)]
    uses += [] if X is None else [lambda X: kernel(np.eye(2), X), lambda X: kernel(X, np.eye(2))]
    for use in uses:
        with pytest.raises(error, match=message):
            use(X)


def test_columns_must_match():
    with pytest.raises(ValueError, match="same number of columns; got 3 and 2"):
        NTKKernel()(rows(), rows(d=2))


def test_no_gradient_between_two_sets():
    with pytest.raises(ValueError, match="Gradient can only be evaluated when Y is None"):
        NTKKernel()(rows(), rows(), eval_gradient=True)


@pytest.mark.parametrize("bad", ["2", None, [1.0]], ids=str)
def test_repr_shows_bad_values_instead_of_failing(bad):
    assert f"weight_var={bad!r}" in repr(NTKKernel(weight_var=bad))
