"""The kernels honour the contract of scikit-learn's Gaussian-process kernels."""

import numpy as np
import pytest
from kernels_of_all_kinds import KERNELS, NETWORKS, every_kernel, network, rows
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF

from sklearn_ntk import NNGPKernel, NTKKernel
from sklearn_ntk.architectures import column_mlp
from sklearn_ntk.layers import Dense, LayerNorm

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


@pytest.mark.slow
@network
def test_agrees_with_pairwise_evaluation(kernel):
    X = rows(3)
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


@pytest.mark.slow
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
        ("ntk-lengths", ["bias_var", "length_scale", "weight_var"]),
        ("nngp-length", ["length_scale", "weight_var"]),
        ("ntk-lengths-fixed", ["bias_var", "weight_var"]),
        ("nngp-only-lengths", ["length_scale"]),
    ],
)
def test_theta_and_bounds_follow_the_hyperparameters(name, free):
    kernel = NETWORKS[name]
    names = ["bias_var", "length_scale", "weight_var"]
    assert [h.name for h in kernel.hyperparameters] == names
    assert [h.name for h in kernel.hyperparameters if not h.fixed] == free
    values = [np.atleast_1d(getattr(kernel, name)) for name in free]
    assert_array_equal(kernel.theta, np.log(np.concatenate([[], *values])))
    bounds = [[getattr(kernel, f"{name}_bounds")] * np.size(getattr(kernel, name)) for name in free]
    bounds = np.concatenate([np.empty((0, 2)), *bounds])
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


@pytest.mark.parametrize("cls", [NTKKernel, NNGPKernel])
@pytest.mark.parametrize("depth, column_layers", [(1, 1), (2, 2), (2, 1), (3, 2)])
def test_layers_that_take_columns_one_by_one(cls, depth, column_layers):
    """The kernel behind them is the mean of those of the columns; more layers see it as any."""
    X = np.random.default_rng(0).normal(size=(5, 3))
    kernel = cls(depth, column_layers=column_layers, bias_var=0.3)
    assert not kernel.takes_positions
    K, rates = kernel(X, eval_gradient=True)
    if column_layers == depth:
        parts = [cls(depth, bias_var=0.3)(X[:, [j]]) for j in range(3)]
        assert_allclose(K, np.mean(parts, axis=0), rtol=1e-12)
    architecture = column_mlp(3, depth, "relu", column_layers)
    assert_allclose(K, cls(architecture=architecture, bias_var=0.3)(X), rtol=1e-15)
    assert_allclose(kernel.diag(X), K.diagonal(), rtol=1e-15)
    step = 1e-6
    for place, theta in enumerate(np.eye(2) * step):
        more, less = (clone(kernel).clone_with_theta(kernel.theta + s * theta) for s in (1, -1))
        assert_allclose(rates[..., place], (more(X) - less(X)) / (2.0 * step), rtol=1e-7)


def test_networks_of_columns_by_brute_force():
    """Of ReLU networks, by integrals over the Gaussian signals of each column."""
    x, y, w, b = np.array([0.4, -1.3]), np.array([1.1, 0.2]), 2.0, 0.5

    def arc_cosine(c, u, v):
        angle = np.arccos(c / np.sqrt(u * v))
        value = np.sqrt(u * v) * (np.sin(angle) + (np.pi - angle) * c / np.sqrt(u * v))
        return value / (2.0 * np.pi), (np.pi - angle) / (2.0 * np.pi)

    of_columns = [(w * p * q + b, w * p * p + b, w * q * q + b) for p, q in zip(x, y, strict=True)]
    values, slopes = np.transpose([arc_cosine(*one) for one in of_columns])
    c, (u, v) = w * values.mean() + b, 0.5 * w * np.mean(of_columns, axis=0)[1:] + b
    T = w * np.mean([slope * one[0] for slope, one in zip(slopes, of_columns, strict=True)]) + c
    value, slope = arc_cosine(c, u, v)
    nngp = w * value + b
    ntk = w * slope * T + nngp
    options = {"weight_var": w, "bias_var": b, "column_layers": 1}
    assert_allclose(NNGPKernel(**options)([x], [y]), [[nngp]], rtol=1e-12)
    assert_allclose(NTKKernel(**options)([x], [y]), [[ntk]], rtol=1e-12)
