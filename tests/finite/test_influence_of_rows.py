"""Influence of training rows on networks: exact for linear models, near refits for wide ones."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.neural_network import MLPRegressor

from sklearn_ntk.architectures import mlp
from sklearn_ntk.finite import influence, sample_network
from sklearn_ntk.finite._readers import reader_for

RNG = np.random.default_rng(0)
X, NEW = RNG.normal(size=(15, 3)), RNG.normal(size=(4, 3))
Y = np.stack([np.sin(2.0 * X[:, 0]), X[:, 1] * X[:, 2]], axis=1)


def trained(network, rows, Y, decay, n_steps, rate=0.05):
    """Descent on ``1/2 sum of squares + decay / 2 |w - w0|^2``."""
    start = network.matrices
    for _ in range(n_steps):
        moves = network.gradients(rows, Y - network(rows))
        triples = zip(network.matrices, moves, start, strict=True)
        network = network.replace([w + rate * (g - decay * (w - w0)) for w, g, w0 in triples])
    return network


@pytest.mark.parametrize("outputs", ["blocks", "mean"])
def test_linear_models_are_exact(outputs):
    """Trained to the end, with and without each row, whatever the outputs."""
    network = sample_network(mlp(0), 1, n_outputs=2, n_inputs=3, random_state=0)
    whole = trained(network, X, Y, 0.5, 800)
    found = influence(whole, X, Y, NEW, 0.5, outputs=outputs)
    assert found.shape == (4, 15, 2)
    for j in (7,):
        others = np.delete(np.arange(15), j)
        without = trained(network, X[others], Y[others], 0.5, 800)
        assert_allclose(found[:, j], whole(NEW) - without(NEW), rtol=1e-7, atol=1e-9)


def test_blocks_couple_outputs():
    """Against the same formula for each row by itself, of a network whose outputs share layers."""
    network = trained(
        sample_network(mlp(1, "erf"), 8, 2, n_inputs=3, random_state=0), X, Y, 0.1, 50
    )
    found = influence(network, X, Y, NEW, 0.7)
    reader = reader_for(network)
    J, J_new = (_jacobian(network, rows) for rows in (X, NEW))
    H = J @ np.linalg.solve(J.T @ J + 0.7 * np.eye(J.shape[1]), J.T)
    shares = J_new @ np.linalg.solve(J.T @ J + 0.7 * np.eye(J.shape[1]), J.T)
    residuals = (Y - reader.outputs(X)).ravel()
    for j in range(15):
        own = slice(2 * j, 2 * j + 2)
        left_out = np.linalg.solve(np.eye(2) - H[own, own], residuals[own])
        assert_allclose(found[:, j].ravel(), shares[:, own] @ left_out, rtol=1e-8, atol=1e-11)


def _jacobian(network, rows):
    """Gradients (n k, P) of all outputs."""
    found = []
    for i, k in np.ndindex(len(rows), 2):
        delta = np.zeros((len(rows), 2))
        delta[i, k] = 1.0
        found.append(np.concatenate([g.ravel() for g in network.gradients(rows, delta)]))
    return np.array(found)


def test_wide_networks_follow_refits():
    network = sample_network(mlp(1, "erf"), 100, n_inputs=3, random_state=0)
    y = Y[:, :1]
    whole = trained(network, X, y, 0.3, 200, 0.02)
    found = influence(whole, X, y[:, 0], NEW, 0.3)
    expected = np.empty((4, 6))
    for j in range(6):
        others = np.delete(np.arange(15), j)
        without = trained(network, X[others], y[others], 0.3, 200, 0.02)
        expected[:, j] = (whole(NEW) - without(NEW))[:, 0]
    assert np.corrcoef(found[:, :6].ravel(), expected.ravel())[0, 1] > 0.95


def test_torch_and_scikit_learn():
    model = MLPRegressor(
        hidden_layer_sizes=(5,), alpha=0.1, solver="lbfgs", max_iter=2000, random_state=0
    ).fit(X, Y)
    assert influence(model, X, Y, NEW, 0.1).shape == (4, 15, 2)
    pytest.importorskip("torch")
    network = sample_network(mlp(1, "erf"), 8, 2, n_inputs=3, random_state=0)
    found = influence(network.to_torch(), X, Y, NEW, 0.7)
    assert_allclose(found, influence(network, X, Y, NEW, 0.7), rtol=1e-9, atol=1e-12)


def test_refusals():
    network = sample_network(mlp(1), 4, 2, n_inputs=3, random_state=0)
    with pytest.raises(ValueError, match="alpha must be a finite number > 0; got 0"):
        influence(network, X, Y, NEW, 0.0)
    with pytest.raises(ValueError, match="a column for each of the 2 outputs"):
        influence(network, X, Y[:, 0], NEW, 1.0)
    with pytest.raises(ValueError, match="outputs must be 'blocks' or 'mean'; got 'sum'"):
        influence(network, X, Y, NEW, 1.0, outputs="sum")
