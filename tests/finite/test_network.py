"""Networks drawn from layers: the limit of their kernels, gradients, refusals."""

import pickle
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_ntk import NNGPKernel, NTKKernel, layers
from sklearn_ntk.activations import ACTIVATIONS, Elementwise, ExpNormalized, Numerical
from sklearn_ntk.architectures import mlp, recurrent, resnet, transformer
from sklearn_ntk.finite import FiniteNetwork, empirical_nngp, empirical_ntk, sample_network
from sklearn_ntk.finite._functions import derivative
from sklearn_ntk.layers import (
    AvgPool,
    Conv,
    ConvTranspose,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GlobalSumPool,
    Input,
    LayerNorm,
    Output,
    PositionalEmbedding,
    Recurrent,
    Residual,
    SelfAttention,
    SumPool,
)

IMAGE, SEQUENCE, TAIL = Input(4, 3, 2), Input(4, 2), (GlobalAvgPool(), Dense())
VARIANCES = (1.7, 0.8, 1.2, 0.9, 0.3)

NETWORKS = {
    "dense": (Dense(), "relu", Dense(1.5), "erf", Dense(1.3, 0.0)),
    "frozen": (Dense(1.0, 0.0, frozen=True), "relu", Dense(frozen=True), "relu", Dense()),
    "identity": (Dense(), "identity", Dense(), Dense()),
    "convolution": (
        *[IMAGE, Conv((3, 2)), "relu", AvgPool(2, 1), Conv(2, 2, "circular"), "gelu"],
        *[Flatten(), Dense()],
    ),
    "transposed": (
        *[SEQUENCE, ConvTranspose(3, 2), "erf", SumPool(2, padding="same")],
        *[ConvTranspose(4, 1, "valid"), GlobalSumPool(), Dense()],
    ),
    "on a ring": (SEQUENCE, ConvTranspose(5, 2, "circular"), "relu", Conv(9, 1, "circular"), *TAIL),
    "norm": (SEQUENCE, Conv(2), LayerNorm(), "relu", Flatten(), Dense()),
    "residual": resnet((4, 4, 1), n_stages=2, residual_var=0.5),
    "recurrence": recurrent(SEQUENCE, 2),
    "mean of states": (SEQUENCE, Recurrent("erf", 1.0, 0.5, 0.0, True), *TAIL),
    "transformer": transformer((3, 2), length_scale=1.5),
    "attention": (SEQUENCE, Dense(), SelfAttention(*VARIANCES, "relu"), "erf", *TAIL),
    "attention of rows": (SEQUENCE, SelfAttention(*VARIANCES, "abs"), "erf", *TAIL),
    "random scores": (SEQUENCE, Dense(), SelfAttention(*VARIANCES, "identity", "sqrt"), *TAIL),
    "embedding": (
        *[SEQUENCE, Dense(), PositionalEmbedding(0.5, frozen=True), "erf", Dense()],
        *[LayerNorm(), Flatten(), Dense()],
    ),
    "dropout": (Dense(), "relu", Dropout(0.3), Dense(), "relu", Dense()),
}
LARGE = pytest.param("residual", marks=pytest.mark.slow)
each_network = pytest.mark.parametrize("name", [n if n != "residual" else LARGE for n in NETWORKS])


def rows_of(network):
    """Three rows, and the number of columns if the network does not tell."""
    size = int(np.prod(network[0])) if isinstance(network[0], Input) else 6
    n_inputs = None if isinstance(network[0], Input) else 6
    return np.random.default_rng(0).standard_normal((3, size)), n_inputs


def drawn(name, width=5, n_outputs=2, seed=0):
    """A network and rows."""
    X, n_inputs = rows_of(NETWORKS[name])
    options = {"n_outputs": n_outputs, "random_state": seed, "n_inputs": n_inputs}
    return sample_network(NETWORKS[name], width, **options), X


def test_all_layers_are_drawn():
    """Output is none of a finite network."""
    text = repr(NETWORKS)
    assert [name for name in layers.__all__ if f"{name}(" not in text] == ["Output", "lower"]


@pytest.mark.slow
@each_network
def test_kernels_tend_to_those_of_the_layers(name):
    """Means over networks within four standard errors and a bias of order 1 / width."""
    network, (X, _) = NETWORKS[name], rows_of(NETWORKS[name])
    limits = [K(architecture=network, bias_var=0.1)(X) for K in (NTKKernel, NNGPKernel)]
    errors = {}
    for width, n_networks in ((32, 40), (128, 20)):
        found = []
        for seed in range(n_networks):
            model, _ = drawn(name, width, 1, seed)
            found.append([empirical_ntk(model, X), empirical_nngp(model, X)])
        for mean, std, limit in zip(
            np.mean(found, 0), np.std(found, 0, ddof=1), limits, strict=True
        ):
            scale, error = limit.max(), std.max() / np.sqrt(n_networks)
            assert np.abs(mean - limit).max() <= 4 * error + 3 * scale / width
            errors.setdefault(width, []).append(error * np.sqrt(n_networks) / scale)
    if "random" not in name and "attention" not in name:  # of heavy tails
        assert np.max(errors[32]) < 1.2
        assert np.all(np.less(errors[128], 0.9 * np.array(errors[32])))


@pytest.mark.parametrize("name", sorted(NETWORKS.keys() - {"dropout"}))
def test_gradients(name):
    """Along a random direction; kernels from signals are those of gradients by rows."""
    model, X = drawn(name)
    rng = np.random.default_rng(1)
    delta = rng.standard_normal((3, 2))
    directions = [rng.standard_normal(matrix.shape) for matrix in model.matrices]
    ends = []
    for change in (1e-6, -1e-6):
        pairs = zip(model.matrices, directions, model.trained, strict=True)
        moved = [matrix + change * is_trained * step for matrix, step, is_trained in pairs]
        ends.append((delta * model.replace(moved)(X)).sum())
    pairs = zip(model.gradients(X, delta), directions, strict=True)
    expected = sum((gradient * step).sum() for gradient, step in pairs)
    assert_allclose((ends[0] - ends[1]) / 2e-6, expected, rtol=1e-6)
    J = np.array(
        [
            [np.concatenate([g.ravel() for g in model.gradients(x[None], seed[None])]) for x in X]
            for seed in np.eye(2)
        ]
    )
    K = np.einsum("knp,lmp->nmkl", J, J)
    found = empirical_ntk(model, X, outputs="blocks")
    assert_allclose(found, K, rtol=0, atol=1e-13 * np.abs(K).max())
    parts = [empirical_ntk(model, X, layers=k) for k, t in enumerate(model.trained) if t]
    assert_allclose(sum(parts), np.einsum("nmkk->nm", K) / 2, rtol=0, atol=1e-13 * K.max())


def test_linear_network():
    """With one layer, the NTK is that of the infinite network, exactly."""
    model, X = sample_network(mlp(0), 1, 3, 1.7, 0.3, 0, n_inputs=6), rows_of([Dense()])[0]
    kernel = NTKKernel(depth=0, weight_var=1.7, bias_var=0.3)
    assert_allclose(empirical_ntk(model, X), kernel(X), rtol=1e-13)
    assert_allclose(empirical_nngp(model, X), kernel(X), rtol=1e-13)
    assert_allclose(empirical_nngp(model, X, bias_var=0.0), kernel(X) - 0.3, rtol=1e-12)
    *weights, bias = model.matrices[0]
    assert_allclose(model(X), np.sqrt(1.7 / 6) * X @ weights + np.sqrt(0.3) * bias, rtol=1e-12)


def test_equal_seeds_give_equal_networks():
    first, X = drawn("transformer", seed=3)
    again, _ = drawn("transformer", seed=3)
    other, _ = drawn("transformer", seed=4)
    assert_array_equal(first(X), again(X))
    assert not np.array_equal(first(X), other(X))
    assert isinstance(first, FiniteNetwork)
    assert_array_equal(pickle.loads(pickle.dumps(first))(X), first(X))


def test_dropout_draws_noise_at_each_call():
    model, X = drawn("dropout", 200)
    assert not np.array_equal(model(X), model(X))
    with pytest.raises(ValueError, match="memory must be enough for all rows at once, as Dropout"):
        empirical_ntk(model, X, memory="10 kB")
    last = (*NETWORKS["dropout"][:3], Dense())
    model = sample_network(last, 30, n_inputs=6, random_state=0)
    quiet = sample_network((Dense(), "relu", Dense()), 30, n_inputs=6).replace(model.matrices)
    found = np.array([model(X) for _ in range(400)])
    error = found.std(axis=0, ddof=1) / 20
    assert np.all(np.abs(found.mean(axis=0) - quiet(X)) < 4 * error)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS.keys() - {"exp_normalized"}))
def test_derivatives_of_activations(name):
    x, act = np.linspace(-2.5, 2.4, 80).reshape(2, 40), ACTIVATIONS[name]()
    expected = (act.fn(x + 1e-6) - act.fn(x - 1e-6)) / 2e-6
    assert_allclose(derivative(act, x), expected, rtol=1e-7, atol=1e-8)


FUNCTIONS = {
    "where": lambda x: np.where(x > 0.0, x, 0.1 * x * x),
    "between": lambda x: np.where((x > -1.0) & ~(x > 1.0), np.sin(x), 1.0),
    "root": lambda x: (1.0 + x * x) ** 0.5,
    "inverse": lambda x: (1.0 + x * x) ** -1.5,
    "exponent": lambda x: 1.5**x,
    "constant": lambda x: x + x**0,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_of_functions(name):
    x, act = np.linspace(-2.5, 2.4, 40), Elementwise(FUNCTIONS[name], lambda c, u, v: c)
    expected = (act.fn(x + 1e-6) - act.fn(x - 1e-6)) / 2e-6
    assert_allclose(derivative(act, x), expected, rtol=1e-7, atol=1e-8)


def test_functions_of_the_user():
    network = sample_network((Dense(), Numerical(np.arctan), Dense()), 4, n_inputs=2)
    assert network([[1.0, 2.0]]).shape == (1, 1)
    act = Elementwise(np.abs, lambda c, u, v: c)
    assert sample_network((Dense(), act, Dense()), 4, n_inputs=2)([[1.0, 2.0]]).shape == (1, 1)


# --- Refusals ------------------------------------------------------------------------------------


def hypotenuse(x):
    return np.hypot(x, x)


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (mlp(1), {}, "n_inputs, the number of columns, must be given"),
        (mlp(1), {"n_inputs": 0}, "n_inputs must be at least 1; got 0"),
        ((SEQUENCE, *TAIL), {"n_inputs": 9}, r"must be the 8 numbers of Input\(4, 2\); got 9"),
        ((Dense(), Output(), "relu", Dense()), {"n_inputs": 2}, "got 2 outputs: remove Output"),
        ((Dense(), "relu"), {"n_inputs": 2}, "must end in a layer with weights. Append Dense"),
        (
            (Dense(), ExpNormalized(), Dense()),
            {"n_inputs": 2},
            r"architecture\[1\]: ExpNormalized\(\) cannot be drawn, as .*. Take another activation",
        ),
        (
            (Dense(), Elementwise(None, lambda c, u, v: c), Dense()),
            {"n_inputs": 2},
            r"Elementwise\(nngp_fn=.*\) cannot be drawn, as it has no function fn",
        ),
        (
            (Dense(), Numerical(hypotenuse), Dense()),
            {"n_inputs": 2},
            "cannot be drawn, as the derivative of hypot is not known",
        ),
        (
            (Dense(), Elementwise(lambda x: np.select([x > 0.0], [x]), lambda c, u, v: c), Dense()),
            {"n_inputs": 2},
            "cannot be drawn, as select is not known. Take another activation",
        ),
        (
            (Dense(), Elementwise(lambda x: x.clip(0.0), lambda c, u, v: c), Dense()),
            {"n_inputs": 2},
            "cannot be drawn, as it is more than arithmetic and ufuncs: .Moving. object has no",
        ),
        (
            (Residual((Dense(),)), Dense()),
            {"n_inputs": 2},
            r"the paths of a Residual end with 2 and 3 channels|3 and 2 channels",
        ),
        (
            (Dense(), "relu", Dense("wide")),
            {"n_inputs": 2},
            r"Invalid network at architecture\[2\]",
        ),
    ],
)
def test_refusals(network, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        sample_network(network, 3, **options)


def test_refusals_of_rows_and_of_frozen_networks():
    network = sample_network(mlp(1), 3, n_inputs=2)
    with pytest.raises(ValueError, match=r"X must be an array \(n, 2\) .*; got shape \(1, 3\)"):
        network([[1.0, 2.0, 3.0]])
    frozen = network.replace(network.matrices)
    frozen.trained = [False, False]
    with pytest.raises(ValueError, match="got a network whose layers are frozen"):
        empirical_ntk(frozen, [[1.0, 2.0]])


def test_to_torch_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn_ntk.finite._torch", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "\.\[torch\]" in the'):
        sample_network(mlp(1), 3, n_inputs=2).to_torch()
