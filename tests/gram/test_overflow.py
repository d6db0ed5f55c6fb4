"""What overflows says so, in the precision at hand, and nothing else does."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_ntk import NNGPKernel, NTKKernel
from sklearn_ntk._runtime.errors import OutOfRange
from sklearn_ntk.activations import (
    ACTIVATIONS,
    Hermite,
    Monomial,
    Numerical,
    RectifiedMonomial,
    Sin,
)
from sklearn_ntk.architectures import cnn, mlp
from sklearn_ntk.gram import diagonal, gradient_length_scale, gradient_x, gram
from sklearn_ntk.layers import (
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    Input,
    LayerNorm,
    Recurrent,
    Residual,
    lower,
)

X = np.random.default_rng(0).standard_normal((7, 4))
SINGLE = {"dtype": "float32"}


@pytest.mark.parametrize(
    ("kernel", "scale"),
    [
        (NTKKernel(3, bias_var=0.1, **SINGLE), 1e19),
        (NTKKernel(3, bias_var=0.1, **SINGLE), 1e20),
        (NTKKernel(1, weight_var=1e39, **SINGLE), 1.0),
        (NNGPKernel(1, "exp", bias_var=0.1, **SINGLE), 8.0),
        (NNGPKernel(1, Hermite(60), bias_var=0.1, **SINGLE), 1.0),
        (NNGPKernel(1, Monomial(20), bias_var=0.1, **SINGLE), 2.0),
        (NTKKernel(2, "tanh"), 1e160),
        (NTKKernel(2, Numerical(np.tanh)), 1e160),
        (NTKKernel(architecture=(Dense(), "exp", Dense(), "tanh", Dense())), 1e3),
    ],
    ids=lambda value: str(value)[:40],
)
def test_overflow(kernel, scale):
    calls = [kernel, kernel.diag, lambda Z: kernel(Z, eval_gradient=True)]
    for call in calls:
        with pytest.raises(ValueError, match="overflows on rows whose largest entry"):
            call(scale * X)


@pytest.mark.slow
@pytest.mark.parametrize("start", [(), (Input(4, 1),), (Input(2, 2, 1),)], ids=len)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_infinite_variance(name, start):
    """Series raise no errors of their own, and bounded activations do not hide it."""
    end = (GlobalAvgPool(),) if start else ()
    networks = [(*start, Dense(), "exp", Dense(), "exp", Dense(), name, *end, Dense())]
    if len(start) == 1 and len(start[0]) == 2:
        networks += [(*start, Recurrent("exp"), Dense(), name, Dense())]
        networks += [(*start, Dense(), "exp", Recurrent(name), Dense())]
    for network in networks:
        program = lower(network)
        for how in ({}, {"gradient": True}, SINGLE):
            for call in (gram, diagonal):
                with pytest.raises(ValueError, match="of this network overflows on"):
                    call(program, 1e3 * X, **how)


@pytest.mark.parametrize("start", [(), (Input(2, 2),)], ids=["rows", "positions"])
def test_ntk_overflows_on_the_way(start):
    """It is smaller in the end, and so is the kernel that is asked for."""
    steep, end = Sin(1.0, 1e10), (Flatten(),) if start else ()
    network = (*start, Dense(), steep, Dense(), steep, Dense(), *end, Dense(1e-10))
    program = lower(network, 1.0, 0.0)
    double = gram(program, X, X.copy())
    assert 1e28 < double.max() < 1e31
    with pytest.raises(ValueError, match=r"overflows .* take dtype=.float64"):
        gram(program, X, X.copy(), **SINGLE)
    assert np.isfinite(gram(program, X, X.copy(), "nngp", **SINGLE)).all()


@pytest.mark.parametrize("start", [(Dense(),), (Input(4, 1), Conv(3))], ids=["rows", "positions"])
def test_inverse_of_a_norm_overflows(start):
    end = () if len(start) == 1 else (GlobalAvgPool(),)
    network = (*start, LayerNorm(), "relu", *end, Dense())
    for dtype in ("float32", "float64"):
        kernel = NTKKernel(architecture=network, bias_var=0.0, dtype=dtype)
        assert np.isfinite(kernel(1e-15 * X)).all()
        if dtype == "float32":
            with pytest.raises(ValueError, match="overflows"):
                kernel(1e-20 * X)
        else:
            np.testing.assert_allclose(kernel(1e-20 * X), kernel(X), rtol=1e-10)


@pytest.mark.parametrize(
    "network", [mlp(1), cnn((2, 2, 1), 1, "pool"), cnn((2, 2, 1), 1, "flatten")], ids=len
)
def test_no_rows(network, device):
    program = lower(network)
    for Z, Y in ((X[:0], None), (X[:0], X), (X, X[:0])):
        K, T = gram(program, Z, Y, ("nngp", "ntk"), device=device)
        assert K.shape == T.shape == (len(Z), len(Z if Y is None else Y))
    assert diagonal(program, X[:0], device=device).shape == (0,)


def test_gap_of_opposite_rows_overflows():
    with pytest.raises(ValueError, match="overflows"):
        gram(lower((Dense(1.0, 0.0),)), [[1.3e154], [-1.3e154]])


def test_only_what_is_asked_for_counts():
    """The NTK of a deep network is larger than its NNGP."""
    kernel = NNGPKernel(300, bias_var=0.0)
    Z = [[1e153], [2e153]]
    assert np.isfinite(kernel(Z)).all() and np.isfinite(kernel.diag(Z)).all()


WITH_LARGE_NUMBERS = {
    "weights": ((Dense(1e39), "relu", Dense(1e-39)), (Conv(3, weight_var=1e39), "relu", Dense())),
    "parameter": ((Dense(), Sin(1e39), Dense(1e-80)), (Conv(3), Sin(1e39), Dense(1e-80))),
}


@pytest.mark.parametrize("name", WITH_LARGE_NUMBERS)
@pytest.mark.parametrize("axes", [0, 1])
def test_a_number_of_a_network_overflows(name, axes):
    """Rows are so small that nothing else does."""
    network = WITH_LARGE_NUMBERS[name][axes]
    if axes:
        network = (Input(4, 1), *network, Flatten(), Dense(1e-39))
    program = lower(network, 1.0, 0.0)
    assert np.isfinite(gram(program, 1e-20 * X)).all()
    for how in ({}, {"gradient": True}):
        for call in (gram, diagonal):
            with pytest.raises(ValueError, match=r"overflows .* take dtype=.float64"):
                call(program, 1e-20 * X, **SINGLE, **how)


@pytest.mark.parametrize("name", ["abs", "tanh", "softplus"])
@pytest.mark.parametrize("start", [(), (Input(4, 1), Conv(2)), (Input(2, 2, 1), Conv(2))], ids=len)
def test_inverses_of_tiny_deviations_do_not_matter(start, name):
    """They overflow in single precision, where they are multiplied by what is zero."""
    weights, end = (start or (Dense(),)), ((Flatten(),) if start else ())
    program = lower((*weights, name, *end, Dense(bias_var=0.1)), 1.0, 0.0)
    for Z in (1e-60 * X, 1e-90 * X):
        single, double = (
            gram(program, Z, Z + 0.0, dtype=dtype) for dtype in ("float32", "float64")
        )
        np.testing.assert_allclose(single, double, rtol=1e-6)


TOGETHER = np.array([[1.0, 2.0], [1.0, 2.0], [2.0, 4.0], [-1.0, -2.0], [3.0, 1.0]])
"""Rows that are equal, parallel and opposite."""


STARTS = pytest.mark.parametrize("start", [(), (Input(2, 1), Conv(1), Flatten())], ids=len)
POWERS = pytest.mark.parametrize("power", [150, 155, 162, 170])


@pytest.mark.slow
@POWERS
@STARTS
def test_tiny_rows(start, power, engine):
    """Their squares underflow, also next to rows and positions that are larger."""
    Z = 10.0**-power * TOGETHER
    mixed = np.column_stack([TOGETHER[:, 0], Z[:, 1]])
    for bias_var in (0.0, 1.0):
        program = lower((*start, Dense(), "relu", Dense()), 2.0, bias_var)
        expected = gram(program, np.zeros((5, 2)), gradient=True)
        for found in (gram(program, Z, gradient=True), gram(program, Z, Z + 0.0, gradient=True)):
            for part, value in zip(found, expected, strict=True):
                assert_allclose(part, value, rtol=1e-12, atol=1e-290)
        for rows in ((Z, TOGETHER), (TOGETHER, Z), (mixed,), (mixed, Z)):
            assert np.isfinite(gram(program, *rows)).all()


@POWERS
@STARTS
def test_gradients_of_tiny_rows(start, power):
    Z = 10.0**-power * TOGETHER
    mixed = np.column_stack([TOGETHER[:, 0], Z[:, 1]])
    program = lower((*start, Dense(), "relu", Dense()), 2.0, 0.0)
    for rows in ((Z,), (Z, TOGETHER), (TOGETHER, Z), (mixed,), (mixed, Z)):
        assert np.isfinite(gradient_x(program, *rows)).all()
    if not start:
        assert np.isfinite(gradient_length_scale(program, np.vstack([Z, TOGETHER]))).all()


def test_gradients_by_rows_overflow():
    """Where kernels do not: those behind a normalisation are as the inverse of the row."""
    network = (Dense(), LayerNorm(), "relu", Dense())
    for size, dtype in [(1e-16, "float32"), (1e-152, "float64")]:
        kernel = NTKKernel(architecture=network, bias_var=0.0, dtype=dtype)
        assert np.isfinite(kernel(size * TOGETHER)).all()
        with pytest.raises(OutOfRange, match="overflows"):
            kernel.gradient_x(size * TOGETHER)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_zero_rows_in_single_precision(name):
    program = lower(mlp(1, name), 0.5, 0.0)
    Z = np.vstack([0.1 * X, 0.0 * X[:2]])
    single, double = (gram(program, Z, dtype=dtype) for dtype in ("float32", "float64"))
    assert np.abs(single - double).max() <= 2e-6 * np.abs(double).max()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_rows_of_sizes_that_are_far_apart(name):
    """Distances of their positions are rounding, beyond what any angle makes of them."""
    network = (Input(2, 2), Conv(2, padding="circular"), name, GlobalAvgPool(), Dense())
    program = lower((*network[:2], Residual((name, Dense())), *network[2:]), 0.7, 0.0)
    Z = np.vstack([X, 1e-100 * X])
    for K in gram(program, Z, get=("nngp", "ntk")):
        assert np.abs(K).max() <= (1.0 + 1e-12) * np.diagonal(K).max()
    for K in gram(program, X, 1e-100 * X, ("nngp", "ntk")):
        assert np.isfinite(K).all()
    for rates in gram(program, Z, None, ("nngp", "ntk"), gradient=True)[1]:
        assert np.isfinite(rates).all()


def test_zero_row_of_numerical():
    """A function that is flat to all orders at zero, and one that is not zero there."""
    Z = np.vstack([0.5 * X, 0.0 * X[:1]])
    flat = Numerical(lambda x: np.maximum(x - 0.3, 0.0) ** 8)
    assert np.isfinite(NTKKernel(1, flat, bias_var=0.0)(0.2 * Z)).all()
    sigmoid = Numerical(lambda x: 1.0 / (1.0 + np.exp(-x)))
    expected = NTKKernel(1, "sigmoid", bias_var=0.0)(Z)
    assert np.abs(NTKKernel(1, sigmoid, bias_var=0.0)(Z) - expected).max() <= 1e-12


@pytest.mark.parametrize("n", [1, 7])
def test_constant_variance_before_a_series(n):
    """The rows of a closed form without variance are as many as before."""
    kernel = NTKKernel(architecture=(Dense(), "rbf", Dense(), "tanh", Dense()), bias_var=0.1)
    K, gradient = kernel(X[:n], eval_gradient=True)
    step = 1e-5
    for place, name in enumerate(("bias_var", "weight_var")):
        ends = [
            kernel.clone_with_theta(kernel.theta + sign * step * np.eye(2)[place])(X[:n])
            for sign in (1.0, -1.0)
        ]
        difference = (ends[0] - ends[1]) / (2.0 * step)
        assert np.abs(difference - gradient[..., place]).max() <= 1e-7 * K.max(), name


@pytest.mark.parametrize("call", [gram, diagonal])
@pytest.mark.parametrize("rows", [[1.0, 2.0], [[np.nan]], np.empty((3, 0))])
def test_bad_rows(call, rows):
    with pytest.raises(ValueError, match=r"array \(n, d\) of finite numbers"):
        call(lower(mlp(1)), rows)


def test_unequal_columns():
    with pytest.raises(ValueError, match="must have the same number of columns; got 4 and 2"):
        gram(lower(mlp(1)), X, X[:, :2])


def test_type_of_precision():
    assert NTKKernel(dtype=np.float32)(X).dtype == np.float32


def test_tiny_positions_before_a_normalisation_are_told_without_a_warning():
    """The inverses of their deviations overflow in products of two."""
    network = (Input(3, 1), Conv(2), LayerNorm(), "relu", GlobalAvgPool(), Dense())
    with pytest.raises(ValueError, match=r"overflows on rows whose largest entry is 3\b"):
        NTKKernel(architecture=network, bias_var=0.0)([[1e-160, 2e-160, 3.0]])


@pytest.mark.parametrize("act", ["sign", "step", RectifiedMonomial(0)], ids=str)
@pytest.mark.parametrize("start", [(Dense(),), (Input(3, 1), Conv(1))], ids=["rows", "positions"])
def test_tiny_rows_before_a_jump_are_told(start, act):
    """Behind a jump only directions count, which rows whose variance is zero have lost."""
    end = (GlobalAvgPool(),) * (len(start) > 1)
    program = lower((*start, act, *end, Dense()), 2.0, 0.0)
    X = np.array([[1.0, 2.0, 3.0], [3.0, -1.0, 0.5], [0.0, 0.0, 0.0]])
    assert_allclose(gram(program, 1e-30 * X), gram(program, X), rtol=1e-12, atol=1e-15)
    K = gram(program, 1e-15 * X, dtype="float32")
    assert_allclose(K, gram(program, X), rtol=1e-5, atol=1e-6)
    with pytest.raises(OutOfRange, match="dtype='float64'"):
        gram(program, 1e-30 * X, dtype="float32")
