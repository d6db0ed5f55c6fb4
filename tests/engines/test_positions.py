"""Networks on images and sequences: both engines against high precision and references."""

import json
import re
from pathlib import Path

import contract
import numpy as np
import oracle_positions as oracle
import pytest
from contract_positions import (
    BOTH,
    ENGINES,
    FEW,
    NETWORKS,
    B,
    W,
    dense,
    each_network,
    few_networks,
    from_reference,
    program_of,
    rows_of,
    run_numpy,
    to_layers,
)

from sklearn_ntk.activations import ACTIVATIONS
from sklearn_ntk.gram import diagonal, gram
from sklearn_ntk.layers import Conv, Dense, Flatten, GlobalAvgPool, Input, LayerNorm, lower

DATA = Path(__file__).parents[1] / "data"
REFERENCES = sorted(
    path.relative_to(DATA).with_suffix("").as_posix()
    for pattern in (
        *("cnn*", "resnet*", "attention*", "transformer*", "layer_norm/*", "unusual/*"),
        "transposed/*",
    )
    for path in DATA.glob(f"{pattern}.json")
)
STORED = json.loads((DATA / "positions" / "exact.json").read_text())
"""What `oracle_positions.store` wrote."""


def test_every_network_is_stored():
    missing = NETWORKS.keys() - STORED.keys()
    assert missing == set(), "tests/data/README.md says how to store the values of a new network"


@pytest.mark.slow
@each_network
def test_high_precision(name):
    """Every layer, on both engines, to the last digits; dropout is noise of each row's own."""
    X, expected = rows_of(name, 5), np.array(STORED[name]["values"])
    scale = np.abs(expected).max()
    program = program_of(name)
    for run in ENGINES.values():
        values = run(program, X[:3], X[3:])
        assert np.abs(values - expected[:, :3, 3:]).max() <= 1e-12 * scale
    assert np.abs(np.stack(gram(program, X, get=BOTH)) - expected).max() <= 1e-12 * scale
    exact = np.stack(diagonal(program, X, BOTH))
    assert np.abs(exact - np.diagonal(expected, axis1=1, axis2=2)).max() <= 1e-12 * scale


@pytest.mark.slow
@few_networks
def test_gradients_in_high_precision(name):
    """Derivatives by both logarithms, of the matrix and of its diagonal."""
    X, expected = rows_of(name, 5)[[0, 2, 3]], np.array(STORED[name]["rates"])
    scale = np.abs(expected).max()
    program = program_of(name)
    _, symmetric = gram(program, X, get=BOTH, gradient=True)
    assert np.abs(np.stack(symmetric) - expected).max() <= 1e-10 * scale
    for run in ENGINES.values():
        rates = run(program, X[:1], X[1:], gradient=True)[1]
        assert np.abs(rates - expected[:, :1, 1:]).max() <= 1e-10 * scale


@pytest.mark.slow
@pytest.mark.parametrize("name", ["recurrent erf", "softmax", "attention sqrt", "valid flatten"])
def test_stored_values_are_those_of_the_oracle(name):
    """The others take a minute each."""
    X = rows_of(name, 5)
    np.testing.assert_allclose(STORED[name]["X"], X, rtol=0, atol=0)
    K = oracle.gram(NETWORKS[name], X[:3], w=W, b=B)
    np.testing.assert_allclose(np.array(STORED[name]["values"])[:, :3, :3], K, rtol=1e-15)


@pytest.mark.slow
@pytest.mark.parametrize("case", REFERENCES)
def test_reference_implementation(case):
    """The field's reference; its diagonals are off by 2e-9, from angles of equal rows."""
    data = json.loads((DATA / f"{case}.json").read_text())
    X, Y = (np.array(data[key]) for key in ("x1", "x2"))
    network = to_layers(from_reference(data["layers"]))
    if X.ndim > 2:
        network = (Input(*X.shape[1:]), *network)
    program = lower(network)
    X, Y = (Z.reshape(len(Z), -1) for Z in (X, Y))
    pairs = ~np.eye(len(X), dtype=bool)
    for kind in BOTH:
        square = np.array(data[f"{kind}_x1_x1"])
        scale = np.diag(square).max()
        K = gram(program, X, get=kind)
        assert np.abs(K - square)[pairs].max() <= 1e-10 * scale
        assert np.abs(np.diag(K) - np.diag(square)).max() <= 2e-9 * scale
        assert np.abs(gram(program, X, Y, kind) - data[f"{kind}_x1_x2"]).max() <= 1e-10 * scale


# --- Every activation -----------------------------------------------------------------------------

few_terms = pytest.mark.filterwarnings("ignore:The Hermite series")
READOUTS = {"pooled": GlobalAvgPool(), "flattened": Flatten()}
PARTS = {"pooled": np.ones((2, 2)) / 4.0, "flattened": np.eye(2) / 2.0}
"""Shares of the pairs of two positions."""


def means_of_patches(body, readout, X, Y):
    """Kernels of `patches` and their derivatives: means of those of patches as rows."""
    rows = [Z[:, [[0, 1], [1, 2]]].reshape(-1, 2) for Z in (X, Y)]
    found = contract.run_numpy(lower((Dense(), *body, Dense()), W, B), *rows, True)
    axes = len(X), 2, len(Y), 2
    return [
        np.einsum("kipjq...,pq->kij...", part.reshape(2, *axes, *part.shape[3:]), PARTS[readout])
        for part in found
    ]


def patches(body, readout):
    network = (Input(3, 1), Conv(2, padding="valid"), *body, READOUTS[readout], Dense())
    return lower(network, W, B)


def rows_of_patches():
    """Rows of all signs and sizes; one is zero, one constant, two are equal."""
    X = np.random.default_rng(0).standard_normal((6, 3))
    X[1], X[2], X[3], X[-1] = 0.0, 0.7, 3.0 * X[3], X[0]
    return X[:4], X[3:]


@pytest.mark.slow
@few_terms
@pytest.mark.reference
@pytest.mark.parametrize(
    "readout, rule",
    [
        *(("pooled", ()), ("flattened", (LayerNorm(),))),
        pytest.param("pooled", (LayerNorm(),), marks=pytest.mark.thorough),
        pytest.param("flattened", (), marks=pytest.mark.thorough),
    ],
    ids=["pooled", "flattened normal", "pooled normal", "flattened"],
)
@pytest.mark.parametrize("cls", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_every_activation(cls, readout, rule):
    """On the reference engine, with derivatives and without."""
    body, (X, Y) = (*rule, contract.varied(cls)), rows_of_patches()
    expected, rates = means_of_patches(body, readout, X, Y)
    scale, program = np.abs(expected).max(), patches(body, readout)
    found, moves = run_numpy(program, X, Y, True)
    for part, wanted in ((found, expected), (moves, rates), (run_numpy(program, X, Y), expected)):
        assert part.shape == wanted.shape
        assert np.abs(part - wanted).max() <= 1e-12 * scale


def check_compiled(name, dtype, gradient):
    """Values that come alone, or those and their derivatives."""
    body, (X, Y) = (contract.varied(ACTIVATIONS[name]),), rows_of_patches()
    tolerance = 1e-12 if dtype == "float64" else 5e-6
    for readout in READOUTS:
        expected, rates = means_of_patches(body, readout, X, Y)
        found = gram(patches(body, readout), X, Y, BOTH, gradient=gradient, dtype=dtype)
        scale = np.abs(expected).max()
        values = found[0] if gradient else found
        assert np.abs(np.stack(values) - expected).max() <= tolerance * scale
        if gradient:
            assert np.abs(np.stack(found[1]) - rates).max() <= 10.0 * tolerance * scale


@few_terms
@pytest.mark.parametrize(
    "dtype, gradient", [("float64", False), ("float64", True), ("float32", False)]
)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_compiled_activation(name, dtype, gradient):
    check_compiled(name, dtype, gradient)


@pytest.mark.parametrize("name", ["relu", "erf", "sin", "tanh", "monomial", "sign", "elu"])
def test_derivatives_in_single_precision(name):
    """Of activations of each kind of formulas: precision and derivatives meet in all alike."""
    check_compiled(name, "float32", True)


@pytest.mark.parametrize("run", ENGINES.values(), ids=ENGINES)
def test_constant_variance(run):
    """The RBF activation, whose variance traces fold to a number."""
    convolution = Conv(2, padding="valid", weight_var=1.0, bias_var=0.0)
    network = (Input(3, 1), convolution, "rbf", GlobalAvgPool(), Dense(1.0, 0.0))
    X = np.array([[1.0, 2.0, -1.0], [0.5, -1.0, 1.0]])
    expected = [[3.00336897, 0.28255467], [0.28255467, 1.30151577]]
    np.testing.assert_allclose(run(lower(network), X, X)[1], expected, rtol=1e-7)
    np.testing.assert_allclose(run(lower(network), X, X, True)[0][1], expected, rtol=1e-7)


def test_few_networks_have_every_layer():
    """And every mechanism and padding."""
    kinds, few = (
        set(re.findall(r"'(\w+)'", str([NETWORKS[name] for name in names])))
        for names in (NETWORKS, FEW)
    )
    assert kinds == few


def test_dense_network_behind_the_contract():
    """The contract names its layers as the package does."""
    assert to_layers([dense(2.0, 0.1)]) == (Dense(2.0, 0.1),)
