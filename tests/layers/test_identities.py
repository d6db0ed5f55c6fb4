"""Identities of layers over positions, by whole Gram matrices."""

import numpy as np
import oracle_positions as oracle
import pytest
from contract_positions import (
    BOTH,
    ENGINES,
    NETWORKS,
    RELU,
    B,
    W,
    conv,
    image,
    program_of,
    rows_of,
    to_layers,
)

from sklearn_ntk import NTKKernel
from sklearn_ntk.gram import gram
from sklearn_ntk.layers import AvgPool, Conv, Dense, Flatten, GlobalAvgPool, Input, Recurrent, lower


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_extreme_norms(scale):
    """A network of rectifiers without biases is homogeneous, as far as numbers reach."""
    program = lower(to_layers(NETWORKS["residual with strides"]), W, 0.0)
    X = rows_of("residual with strides", 6)
    expected = np.stack(gram(program, X, get=BOTH))
    K = np.stack(gram(program, scale * X, get=BOTH))
    np.testing.assert_allclose(K / scale / scale, expected, rtol=1e-12, atol=1e-12)


def test_overflow_is_told():
    X = 1e155 * rows_of("conv pooled", 4)
    with pytest.raises(ValueError, match="overflows on rows whose largest entry"):
        gram(program_of("conv pooled"), X)
    X = 1e19 * rows_of("conv pooled", 4)
    with pytest.raises(ValueError, match="or take dtype='float64'"):
        gram(program_of("conv pooled"), X, dtype="float32")


@pytest.mark.slow
def test_near_duplicates_of_images():
    """Images 1e-9 apart, flattened: all digits; the reference form has half of them."""
    network = image(conv(3), RELU, conv(3), RELU, ("flatten", {}))
    X = np.random.default_rng(0).standard_normal((2, 24))
    X[1] = X[0] + 1e-9 * X[1]
    expected = oracle.gram(network, X, w=W, b=B)
    K = np.stack(gram(lower(to_layers(network), W, B), X, get=BOTH))
    assert np.abs(K - expected).max() <= 1e-14 * np.abs(expected).max()


# --- Identities -----------------------------------------------------------------------------------


def both(network, X, weight_var=W, bias_var=B):
    return np.stack(gram(lower(network, weight_var, bias_var), X, get=BOTH))


def test_convolution_of_size_one_is_dense():
    X = np.random.default_rng(0).standard_normal((4, 24))
    first, second = (
        (Input(4, 3, 2), layer, "relu", layer, "erf", GlobalAvgPool(), Dense())
        for layer in (Conv(1), Dense())
    )
    np.testing.assert_array_equal(both(first, X), both(second, X))


def test_flatten_of_dense_layers_is_a_mean():
    """Of covariances of perceptrons at each position."""
    X = np.random.default_rng(0).standard_normal((4, 5, 3))
    network = (Input(5, 3), Dense(), "relu", Dense(), "erf", Flatten(), Dense(1.0, 0.0))
    mean = np.mean([both((*network[1:5], network[-1]), X[:, t]) for t in range(5)], axis=0)
    np.testing.assert_allclose(both(network, X.reshape(4, -1)), mean, rtol=1e-13)


def test_one_position_is_a_perceptron():
    X = np.random.default_rng(0).standard_normal((6, 3))
    network = (Dense(), "relu", Dense(), "tanh", Dense())
    np.testing.assert_allclose(
        both((Input(1, 3), *network[:-1], Flatten(), Dense()), X), both(network, X), rtol=1e-12
    )


def test_global_pooling_is_a_window_of_the_size_of_the_image():
    X = np.random.default_rng(0).standard_normal((4, 24))
    body = (Input(4, 3, 2), Conv(3), "relu")
    first = both((*body, GlobalAvgPool(), Dense()), X)
    second = both((*body, AvgPool((4, 3)), Flatten(), Dense()), X)
    np.testing.assert_allclose(first, second, rtol=1e-13)


def test_circular_convolutions_do_not_see_shifts():
    """Of both images at once; with pooling, not of one of them either."""
    images = np.random.default_rng(0).standard_normal((2, 4, 4, 1))
    moved = np.roll(images, (1, 2), axis=(1, 2)).reshape(2, -1)
    X = images.reshape(2, -1)
    body = (
        Input(4, 4, 1),
        Conv(3, padding="circular"),
        "relu",
        Conv(2, padding="circular"),
        "relu",
    )
    flat, pooled = (lower((*body, end, Dense())) for end in (Flatten(), GlobalAvgPool()))
    np.testing.assert_allclose(gram(flat, X), gram(flat, moved), rtol=1e-13)
    np.testing.assert_allclose(gram(pooled, X), gram(pooled, X, moved), rtol=1e-13)
    assert np.abs(gram(flat, X) / gram(flat, X, moved) - 1.0).max() > 0.01


@pytest.mark.parametrize("act", ["tanh", "erf"])
def test_opposite_positions(act):
    """Without biases an odd activation keeps them opposite, on both engines and for dense rows."""
    X = np.random.default_rng(0).standard_normal((3, 4))
    X[1] = -X[0]
    network = (Dense(1.5, 0.0), act, Dense(1.5, 0.0), "relu", Dense(1.5, 0.0))
    expected = both(network, X)
    images = lower((Input(1, 4), *network[:-1], Flatten(), network[-1]))
    for run in ENGINES.values():
        assert np.abs(run(images, X, X) - expected).max() <= 1e-9 * np.abs(expected).max()


def test_recurrence_of_one_step_is_a_layer():
    X = np.random.default_rng(0).standard_normal((5, 3))
    first = both((Input(1, 3), Recurrent("erf"), Dense()), X)
    np.testing.assert_allclose(first, both((Dense(), "erf", Dense()), X), rtol=1e-12)


def test_frozen_layers():
    """The first ones, by number or by name, add nothing to the NTK."""
    X = np.random.default_rng(0).standard_normal((4, 16))
    ends = ("relu", Conv(3), "relu", GlobalAvgPool(), Dense())
    by_name = NTKKernel(architecture=(Input(4, 4, 1), Conv(3, frozen=True), *ends))
    by_number = NTKKernel(architecture=(Input(4, 4, 1), Conv(3), *ends), n_frozen=1)
    np.testing.assert_array_equal(by_name(X), by_number(X))
    whole = NTKKernel(architecture=(Input(4, 4, 1), Conv(3), *ends))
    assert (np.diag(by_name(X)) < np.diag(whole(X))).all()
