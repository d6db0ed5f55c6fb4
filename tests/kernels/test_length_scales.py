"""Kernels of rows that are divided by the length scales of their columns."""

import warnings

import numpy as np
import pytest
from kernels_of_all_kinds import rows
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV

from sklearn_ntk import NNGPKernel, NTKKernel, NTKRegressor
from sklearn_ntk.engines import _work
from sklearn_ntk.layers import Conv, Dense, Flatten, Input

SCALE = [0.5, 1.0, 4.0]
IMAGES = (Input(3, 1), Conv(2), "relu", Flatten(), Dense())
KERNELS = (NTKKernel, NNGPKernel)


# --- Values --------------------------------------------------------------------------------------


@pytest.mark.parametrize("convert", [list, np.array, tuple])
@pytest.mark.parametrize("Kernel", KERNELS)
def test_rows_are_divided(Kernel, convert):
    X, Y, plain = rows(), rows(4, seed=1), Kernel()
    kernel = Kernel(length_scale=convert(SCALE))
    assert_array_equal(kernel(X), plain(X / SCALE))
    assert_array_equal(kernel(X, Y), plain(X / SCALE, Y / SCALE))
    assert_array_equal(kernel.diag(X), plain.diag(X / SCALE))
    found, expected = kernel(X, eval_gradient=True), plain(X / SCALE, eval_gradient=True)
    assert_array_equal(found[0], expected[0])
    assert_array_equal(found[1][..., [0, 4]], expected[1])
    assert_array_equal(Kernel(length_scale=2)(X), plain(X / 2.0))


def test_unused_by_default():
    kernel = NTKKernel()
    assert kernel.length_scale is None and kernel.hyperparameter_length_scale.fixed
    assert kernel.theta.shape == (2,) and "length_scale" not in repr(kernel)
    assert_array_equal(NTKKernel(length_scale=1.0)(rows()), kernel(rows()))


def test_one_number_is_the_sum_of_all():
    """As an array of equal numbers, whose derivatives add up."""
    X = rows()
    one, several = (NTKKernel(length_scale=scale) for scale in (2.0, [2.0] * 3))
    found, expected = (kernel(X, eval_gradient=True)[1] for kernel in (one, several))
    assert found.shape == (7, 7, 3) and expected.shape == (7, 7, 5)
    assert_allclose(found[..., 1], expected[..., 1:4].sum(axis=2), rtol=1e-12)
    in_array = NTKKernel(length_scale=np.array([2.0]))
    assert in_array.theta.shape == (3,)
    assert_array_equal(in_array(X, eval_gradient=True)[1], found)


@pytest.mark.parametrize("Kernel", KERNELS)
def test_single_precision(Kernel):
    X, kernel = rows(), Kernel(length_scale=SCALE)
    expected = kernel(X, eval_gradient=True)
    found = kernel.set_params(dtype="float32")(X, eval_gradient=True)
    for single, double in zip(found, expected, strict=True):
        assert single.dtype == np.float32
        assert_allclose(single, double, rtol=0, atol=3e-6 * np.abs(double).max())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gradients_with_respect_to_rows(dtype):
    X, Y, coef = rows(), rows(4, seed=1), np.ones((4, 2))
    plain, kernel = NTKKernel(dtype=dtype), NTKKernel(length_scale=SCALE, dtype=dtype)
    for how in ({}, {"coef": coef}):
        expected = plain.gradient_x(X / SCALE, Y / SCALE, **how) / SCALE
        assert_allclose(kernel.gradient_x(X, Y, **how), expected, rtol=1e-6)
    assert kernel.gradient_x(X).dtype == dtype
    if dtype == "float64":
        moves = 1e-6 * np.eye(3)
        expected = [(kernel(X + move, Y) - kernel(X - move, Y)) / 2e-6 for move in moves]
        assert_allclose(kernel.gradient_x(X, Y), np.stack(expected, axis=-1), atol=1e-8)


def test_repr():
    text = repr(NTKKernel(length_scale=[1, 0.12345, 1e5]))
    assert text.endswith("bias_var=1, length_scale=[1, 0.123, 1e+05])")
    assert repr(NNGPKernel(length_scale=2.0)).endswith("length_scale=2)")
    assert repr(NNGPKernel(length_scale="a")).endswith("length_scale='a')")


# --- Refused -------------------------------------------------------------------------------------


def test_one_for_each_column():
    kernel = NTKKernel(length_scale=[1.0, 2.0])
    for use in (kernel, kernel.diag, kernel.gradient_x, lambda X: kernel(X, eval_gradient=True)):
        with pytest.raises(ValueError, match="each of the 3 columns of X; got 2 numbers"):
            use(rows())


@pytest.mark.parametrize("scale", [True, [1.0, False, 2.0], np.array([True, True, True])], ids=repr)
def test_truth_is_no_length(scale):
    with pytest.raises(ValueError, match="length_scale must be None, a finite number > 0, or an"):
        NTKKernel(length_scale=scale)(rows())


def test_equal_kernels():
    """Also beside kernels whose length scales have another shape."""
    scales = [None, 1.0, np.array([1.0]), np.array([1.0, 2.0]), np.array(SCALE)]
    for i, scale in enumerate(scales):
        for j, other in enumerate(scales):
            kernels = NTKKernel(length_scale=scale), NTKKernel(length_scale=other)
            assert (kernels[0] == kernels[1]) is (i == j)
            assert (kernels[0] + WhiteKernel() == kernels[1] + WhiteKernel()) is (i == j)
    assert NTKKernel(length_scale=SCALE) != NNGPKernel(length_scale=SCALE)


@pytest.mark.parametrize("act", ["sign", "step"])
def test_jumps_have_no_derivatives(act):
    kernel = NNGPKernel(activation=act, length_scale=SCALE)
    assert_array_equal(kernel(rows()), NNGPKernel(activation=act)(rows() / SCALE))
    with pytest.raises(
        ValueError, match=r"length scales need .*; got S.*length_scale_bounds='fixed'"
    ):
        kernel(rows(), eval_gradient=True)
    fixed = kernel.set_params(length_scale_bounds="fixed")
    assert fixed(rows(), eval_gradient=True)[1].shape == (7, 7, 2)


def test_images_take_one_fixed_number(monkeypatch):
    monkeypatch.setitem(_work.ENGINES, "cpu", "reference")
    X, kernel = rows(), NNGPKernel(architecture=IMAGES, length_scale=2.0)
    assert_array_equal(kernel(X), NNGPKernel(architecture=IMAGES)(X / 2.0))
    with pytest.raises(ValueError, match=r"Input\(3, 1\): take Dense .*_bounds='fixed'"):
        kernel(X, eval_gradient=True)
    assert kernel.set_params(length_scale_bounds="fixed")(X, eval_gradient=True)[1].ndim == 3
    with pytest.raises(ValueError, match=r"one number for a network on Input\(3, 1\).* got 3 num"):
        kernel.set_params(length_scale=SCALE)(X)


def test_rows_that_overflow():
    with pytest.raises(ValueError, match="Rows divided by length_scale overflow; the least"):
        NTKKernel(length_scale=SCALE)(np.full((2, 3), 1e308))


def test_too_large():
    with pytest.raises(MemoryError, match=r"Derivatives of shape \(1000000, 1000000, 5\)"):
        NTKKernel(length_scale=SCALE)(np.ones((10**6, 3)), eval_gradient=True)


# --- Estimators ----------------------------------------------------------------------------------


def waves(n, seed=0):
    """Rows of four columns, of which the first two matter."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1.5, 1.5, (n, 4))
    return X, np.sin(2.0 * X[:, 0]) + X[:, 1] ** 2 + 0.05 * rng.standard_normal(n)


@pytest.fixture
def at_bounds():
    """Length scales of columns that do not matter end at their bounds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


@pytest.mark.usefixtures("at_bounds")
def test_gaussian_process_learns_which_columns_matter():
    (X, y), (Z, z) = waves(60), waves(200, seed=1)
    errors = []
    for scale in (None, np.ones(4)):
        kernel = NNGPKernel(1, "erf", length_scale=scale) + WhiteKernel(0.1)
        model = GaussianProcessRegressor(kernel, normalize_y=True).fit(X, y)
        errors.append(np.sqrt(np.mean((model.predict(Z) - z) ** 2)))
    assert errors[1] < 0.5 * errors[0]
    learned = model.kernel_.k1.length_scale
    assert learned[:2].max() < 0.1 * learned[2:].min()


@pytest.mark.slow
@pytest.mark.usefixtures("at_bounds")
@pytest.mark.parametrize("wrap", [lambda kernel: kernel, lambda kernel: kernel * RBF()])
def test_trials_of_small_length_scales(wrap):
    """Where rows overflow once they are divided, the likelihood leads back."""
    X, y = waves(10)
    kernel = wrap(NTKKernel(2, "exp", 0.1, 0.1, length_scale=np.ones(4))) + WhiteKernel()
    model = GaussianProcessRegressor(kernel, optimizer=None).fit(X, y)
    start, theta = model.log_marginal_likelihood(model.kernel_.theta), model.kernel_.theta
    theta[1:5] = np.log([1e-4, 1e-2, 1.0, 10.0])
    value, gradient = model.log_marginal_likelihood(theta, eval_gradient=True)
    assert start - 50.0 * len(y) > value > -np.inf and (gradient[1:5] > 0.0).all()
    for place, move in enumerate(1e-4 * np.eye(len(theta))):
        ends = [model.log_marginal_likelihood(theta + sign * move) for sign in (1.0, -1.0)]
        assert gradient[place] == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-3, abs=1e-6)
    fitted = GaussianProcessRegressor(kernel, n_restarts_optimizer=1, random_state=0).fit(X, y)
    assert fitted.log_marginal_likelihood_value_ > start


def test_an_optimiser_that_ends_in_an_overflow_leaves_length_scales():
    def end(objective, theta, bounds):
        objective(theta)
        return bounds[:, 0], objective(bounds[:, 0])[0]

    X, y = waves(20)
    kernel = NTKKernel(2, "exp", 0.1, 0.1, length_scale=[1.0, 2.0, 3.0, 4.0])
    model = GaussianProcessRegressor(kernel, alpha=0.1, optimizer=end)
    with pytest.warns(ConvergenceWarning, match=r"ends where the kernel overflows.*as given"):
        model.fit(X, y)
    assert_allclose(model.kernel_.length_scale, kernel.length_scale, rtol=1e-12)


def test_grid_search():
    X, y = waves(60)
    grid = {"kernel__length_scale": [None, 2.0, [1.0, 1.0, 1e3, 1e3]]}
    search = GridSearchCV(KernelRidge(kernel=NTKKernel(), alpha=0.1), grid, cv=3).fit(X, y)
    assert search.best_params_["kernel__length_scale"] == [1.0, 1.0, 1e3, 1e3]
    assert search.best_estimator_.kernel.length_scale == [1.0, 1.0, 1e3, 1e3]


def test_regressor_takes_a_kernel_with_length_scales():
    (X, y), scale = waves(60), np.array([1.0, 1.0, 1e3, 1e3])
    model = NTKRegressor(NTKKernel(length_scale=scale)).fit(X, y)
    plain = NTKRegressor(NTKKernel()).fit(X / scale, y)
    assert_allclose(model.predict(X), plain.predict(X / scale), rtol=1e-8)
    expected = plain.predict_gradient(X[:3] / scale) / scale
    assert_allclose(model.predict_gradient(X[:3]), expected, rtol=1e-6, atol=1e-9)
