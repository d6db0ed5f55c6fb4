"""Families of networks are the tuples of layers that their names promise."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone

from sklearn_ntk import NNGPKernel, NTKClassifier, NTKKernel
from sklearn_ntk.activations import ACTIVATIONS, Erf, LeakyReLU, ReLU
from sklearn_ntk.architectures import cnn, mlp, myrtle, recurrent, resmlp, resnet, transformer
from sklearn_ntk.layers import (
    AvgPool,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    Input,
    LayerNorm,
    PositionalEmbedding,
    Recurrent,
    Residual,
    SelfAttention,
    lower,
)
from sklearn_ntk.program import Add, Attend, Pointwise, Pool

IMAGE, SEQUENCE = (8, 8, 2), (6, 2)
ON_POSITIONS = {
    "cnn": cnn(IMAGE),
    "cnn flatten": cnn(IMAGE, 2, "flatten", "erf", (3, 2)),
    "cnn over time": cnn(SEQUENCE, 2),
    "cnn of one position": cnn((1, 16), 2),
    "cnn of volumes": cnn((3, 2, 2, 2), 2),
    "myrtle": myrtle(IMAGE),
    "myrtle on few pixels": myrtle((4, 4, 1)),
    "resnet": resnet(IMAGE),
    "resnet on few pixels": resnet((4, 4, 1)),
    "resnet over time": resnet(SEQUENCE, n_stages=2),
    "recurrent": recurrent(SEQUENCE),
    "recurrent mean": recurrent(SEQUENCE, 2, readout="mean"),
    "transformer": transformer(SEQUENCE),
    "transformer on images": transformer((3, 2, 2), mechanism="relu", length_scale=1.0),
}


def n_weights(program):
    """Number of trained layers."""
    return sum(step.trained for step in program.steps if isinstance(step, Pointwise))


def test_mlp():
    assert mlp() == mlp(depth=3, activation="relu")
    assert mlp(0) == (Dense(),)
    assert mlp(2) == (Dense(), "relu", Dense(), "relu", Dense())
    assert mlp(1, Erf(2.0)) == (Dense(), Erf(2.0), Dense())


def test_resmlp():
    block = Residual(("relu", Dense()))
    assert resmlp() == resmlp(depth=3, activation="relu", residual_var=None)
    assert resmlp(0) == (Dense(), "relu", Dense())
    assert resmlp(2) == (Dense(), block, block, "relu", Dense())
    leaky = LeakyReLU(0.2)
    block = Residual((leaky, Dense(0.25)))
    assert resmlp(2, leaky, 0.25) == (Dense(), block, block, leaky, Dense())


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("depth", [0, 1, 4])
def test_lowered(depth, name):
    """The depth is the number of hidden layers, or of blocks."""
    plain, residual = lower(mlp(depth, name)), lower(resmlp(depth, name, 0.5))
    assert n_weights(plain) == len(plain.steps) - 1 == depth + 1
    assert n_weights(residual) == depth + 2
    assert sum(isinstance(step, Add) for step in residual.steps) == depth
    assert lower(mlp(depth, ACTIVATIONS[name]())) == plain
    assert plain.ties == residual.ties == (True, True)


def test_last_layer():
    steps = lower(resmlp(1, residual_var=0.5), 2.0, 0.1).steps
    assert steps[-2] == Pointwise(ReLU(), 2.0, 0.1, True, True, True)
    assert steps[2] == Pointwise(ReLU(), 0.5, 0.1, True, False, True)


# --- Images and sequences -------------------------------------------------------------------------


def test_cnn():
    assert cnn((4, 4, 1)) == cnn((4, 4, 1), depth=3, readout="pool", activation="relu")
    assert cnn((4, 4, 1), 0) == (Input(4, 4, 1), GlobalAvgPool(), Dense())
    found = cnn((9, 1), 2, "flatten", Erf(2.0), 5)
    assert found == (Input(9, 1), *(Conv(5), Erf(2.0)) * 2, Flatten(), Dense())


@pytest.mark.parametrize(("n_layers", "places"), [(5, [2, 3]), (7, [2, 4]), (10, [3, 6])])
def test_myrtle(n_layers, places):
    """The layers with weights are as many as the name says; the poolings stand behind a group."""
    network = myrtle((32, 32, 3), n_layers)
    assert network[:3] == (Input(32, 32, 3), Conv(3), "relu")
    assert network[-3:] == ("relu", GlobalAvgPool(), Dense())
    assert n_weights(lower(network)) == n_layers
    convolutions = [
        sum(layer == Conv(3) for layer in network[: i + 1])
        for i, layer in enumerate(network)
        if layer == AvgPool(2)
    ]
    assert convolutions == places
    grids = [step.windows.grid for step in lower(network).steps if isinstance(step, Pool)]
    assert grids == [(32, 32), (16, 16), (8, 8)]


def test_resnet():
    same = Residual(("relu", Conv(3, 1), "relu", Conv(3)))
    strided = Residual(("relu", Conv(3, 2), "relu", Conv(3)), (Conv(1, 2),))
    ends = (Input(8, 8, 3), Conv(3)), ("relu", GlobalAvgPool(), Dense())
    assert resnet((8, 8, 3)) == (*ends[0], same, strided, strided, *ends[1])
    assert resnet((8, 8, 3), 2, 2) == (*ends[0], same, same, strided, same, *ends[1])
    small = Residual(("erf", Conv(3, 1), "erf", Conv(3, weight_var=0.5)))
    assert resnet((5, 1), 1, 1, "erf", 0.5)[2] == small
    grids = [step.windows.grid for step in lower(resnet((8, 8, 3))).steps if isinstance(step, Pool)]
    assert grids == [(2, 2)]


def test_recurrent():
    assert recurrent((5, 2)) == (Input(5, 2), Recurrent(), Dense())
    layer = Recurrent("erf", recurrent_var=0.5)
    states = layer._replace(return_sequences=True)
    assert recurrent((5, 2), 2, "erf", "last", 0.5) == (Input(5, 2), states, layer, Dense())
    found = recurrent((5, 2), 2, "erf", "mean", 0.5)
    assert found == (Input(5, 2), states, states, GlobalAvgPool(), Dense())


def test_transformer():
    dense = Residual((Dense(), "gelu", Dense()))
    attention = Residual((SelfAttention(4.0, 4.0, mechanism="abs"),))
    options = {"mechanism": "abs", "score_var": 4.0, "position_var": 0.5, "length_scale": 2.0}
    assert transformer((5, 2), 2, "gelu", **options) == (
        Input(5, 2),
        Dense(),
        PositionalEmbedding(0.5, 2.0),
        LayerNorm(),
        *(attention, LayerNorm(), dense, LayerNorm()) * 2,
        GlobalAvgPool(),
        Dense(),
    )
    n_attentions = sum(isinstance(step, Attend) for step in lower(transformer((5, 2), 3)).steps)
    assert n_attentions == 3


@pytest.mark.slow
@pytest.mark.parametrize("network", ON_POSITIONS.values(), ids=ON_POSITIONS)
def test_kernels(network):
    """All have positive definite kernels, the variances of the kernel, and copies."""
    X = np.random.default_rng(0).standard_normal((4, int(np.prod(network[0]))))
    for kernel in (NTKKernel(architecture=network), NNGPKernel(architecture=network)):
        K = kernel(X)
        assert np.linalg.eigvalsh(K)[0] > 0
        assert_allclose(K.diagonal(), kernel.diag(X), rtol=1e-14)
        assert len(kernel.theta) == 2
        assert_allclose(kernel(X[:2], X[2:]), K[:2, 2:], rtol=1e-12)
    model = NTKClassifier(architecture=network)
    assert clone(model).fit(X, [0, 1, 0, 1]).predict(X).tolist() == [0, 1, 0, 1]


def test_pooling_forgets_the_place():
    """An image on black ground, moved: a mean over positions stays, a weight for each does not."""
    images = np.zeros((2, 9, 9))
    images[0, 2:5, 2:5] = images[1, 4:7, 3:6] = np.arange(9).reshape(3, 3)
    for readout, is_same in (("pool", True), ("flatten", False)):
        kernel = NNGPKernel(architecture=cnn((9, 9, 1), 2, readout), bias_var=0.0)
        K = kernel(images.reshape(2, -1))
        assert np.isclose(K[0, 1], K[0, 0], rtol=1e-10) == is_same


def test_the_last_state_forgets():
    """With little weight on the state before, the first entries of a sequence hardly count."""
    X = np.ones((2, 8))
    X[1, 0] = -1.0
    gaps = []
    for recurrent_var in (0.1, 1.0, 2.0):
        kernel = NNGPKernel(architecture=recurrent((8, 1), recurrent_var=recurrent_var))
        K = kernel(X)
        gaps.append(1 - K[0, 1] / np.sqrt(K[0, 0] * K[1, 1]))
    assert all(before < after for before, after in pairwise(gaps))
    assert gaps[0] < 1e-6 < gaps[-1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cnn(IMAGE, readout="max"), "readout must be one of 'pool', 'flatten'; got 'max'"),
        (lambda: myrtle(IMAGE, 6), "n_layers must be one of 5, 7, 10; got 6"),
        (lambda: recurrent(SEQUENCE, readout="all"), "readout must be one of 'last', 'mean'; got"),
        (lambda: recurrent(SEQUENCE, 0), "depth must be at least 1; got 0"),
        (lambda: resnet(IMAGE, n_blocks=0), "n_blocks must be at least 1; got 0"),
        (lambda: resnet(IMAGE, n_stages=0), "n_stages must be at least 1; got 0"),
    ],
)
def test_bad_parameters(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_shapes_that_do_not_fit():
    for network in (myrtle((3, 4, 1)), recurrent((4, 4, 1))):
        with pytest.raises(ValueError, match=r"Invalid network at architecture\["):
            lower(network)
