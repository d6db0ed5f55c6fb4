"""Drawn networks as torch modules."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

torch = pytest.importorskip("torch")

from sklearn_ntk.activations import ACTIVATIONS, Elementwise  # noqa: E402
from sklearn_ntk.architectures import transformer  # noqa: E402
from sklearn_ntk.finite import empirical_nngp, empirical_ntk, sample_network  # noqa: E402
from sklearn_ntk.finite._kernels import ntk  # noqa: E402
from sklearn_ntk.finite._readers import reader_for  # noqa: E402
from sklearn_ntk.layers import (  # noqa: E402
    AvgPool,
    Conv,
    ConvTranspose,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    Input,
    LayerNorm,
    Recurrent,
    SelfAttention,
)

NETWORKS = {
    "images": (
        Input(4, 4, 2),
        Conv(3),
        "relu",
        AvgPool(2),
        ConvTranspose(3, 2),
        Flatten(),
        Dense(),
    ),
    "transformer": transformer((3, 2), length_scale=1.0),
    "random scores": (
        *[Input(3, 2), SelfAttention(mechanism="identity", scaling="sqrt")],
        *[GlobalAvgPool(), Dense()],
    ),
    "states": (Input(4, 2), Dense(frozen=True), Recurrent("erf"), Dense()),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_same_network(name):
    """Outputs, and kernels, which autograd finds for torch; no layer takes the general route."""
    network = sample_network(NETWORKS[name], 8, 3, random_state=0)
    X = np.random.default_rng(0).standard_normal((4, network.n_inputs))
    module = network.to_torch()
    outputs = network(X)
    found = module(torch.as_tensor(X)).detach().numpy()
    assert_allclose(found, outputs, rtol=0, atol=1e-12 * np.abs(outputs).max())
    K = empirical_ntk(network, X, outputs="blocks")
    found = empirical_ntk(module, X, outputs="blocks")
    assert_allclose(found, K, rtol=0, atol=1e-12 * np.abs(K).max())
    reader = reader_for(module)
    rows = reader.prepare(X)
    ntk(reader, rows, rows)
    assert not reader.general
    trained = [each.requires_grad for each in module.parameters()]
    assert trained == network.trained
    hidden = empirical_nngp(network, X, weight_var=1.0, bias_var=0.0)
    assert hidden.shape == (4, 4)
    found = empirical_nngp(module, X)
    assert_allclose(found, empirical_nngp(network, X), rtol=0, atol=1e-12 * np.abs(found).max())


@pytest.mark.parametrize("name", sorted(ACTIVATIONS.keys() - {"exp_normalized"}))
def test_activations(name):
    network = sample_network((Dense(), name, Dense()), 6, n_inputs=3, random_state=0)
    X = np.random.default_rng(0).standard_normal((4, 3))
    outputs = network(X)
    found = network.to_torch()(torch.as_tensor(X)).detach().numpy()
    assert_allclose(found, outputs, rtol=0, atol=1e-13 * np.abs(outputs).max())
    K = empirical_ntk(network, X)
    found = empirical_ntk(network.to_torch(), X)
    assert_allclose(found, K, rtol=0, atol=1e-13 * np.abs(K).max())


def function(x):
    """With `numpy.where`, truth values and a root."""
    return np.where((x > -0.5) & ~(x > 1.0), (1.0 + x * x) ** 0.5, 0.3 * x)


def test_functions_of_the_user():
    act = Elementwise(function, lambda c, u, v: c)
    network = sample_network((Dense(), act, Dense()), 6, n_inputs=3, random_state=0)
    X = np.random.default_rng(0).standard_normal((4, 3))
    found = network.to_torch()(torch.as_tensor(X)).detach().numpy()
    assert_allclose(found, network(X), rtol=1e-12)
    assert_allclose(empirical_ntk(network.to_torch(), X), empirical_ntk(network, X), rtol=1e-12)


def test_constant_positions():
    """Behind a normalisation of zeros gradients are finite, and the same."""
    layers = (Input(3, 2), Dense(1.0, 0.0), LayerNorm(), "relu", Flatten(), Dense())
    network = sample_network(layers, 8, random_state=0)
    X = np.random.default_rng(0).standard_normal((4, 6))
    X[1, :2] = 0.0
    K = empirical_ntk(network, X)
    assert_allclose(empirical_ntk(network.to_torch(), X), K, rtol=0, atol=1e-12 * K.max())


def test_single_precision():
    network = sample_network(NETWORKS["transformer"], 8, random_state=0)
    X = np.random.default_rng(0).standard_normal((4, network.n_inputs))
    K = empirical_ntk(network, X)
    found = empirical_ntk(network.to_torch().float(), X)
    assert_allclose(found, K, rtol=0, atol=1e-5 * K.max())


def test_dropout_is_for_training():
    network = sample_network((Dense(), "relu", Dropout(0.5), Dense()), 8, n_inputs=3)
    module, X = network.to_torch(), torch.randn(4, 3, dtype=torch.float64)
    assert not torch.equal(module(X), module(X))
    with pytest.raises(ValueError, match=r"dropout or other chance: dropout\.0\. Call"):
        empirical_ntk(module, X)
    assert torch.equal(module.eval()(X), module(X))
    assert empirical_ntk(module, X).shape == (4, 4)
