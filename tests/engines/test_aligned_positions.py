"""Positions that are parallel or opposite and of different size, without biases."""

import numpy as np
import pytest
from contract_positions import BOTH, ENGINES, NETWORKS, to_layers
from scipy.special import softmax
from sklearn.datasets import load_digits
from sklearn.preprocessing import scale

from sklearn_ntk.activations import Abs, LeakyReLU, RectifiedMonomial, ReLU, Sign, Step
from sklearn_ntk.gram import gram
from sklearn_ntk.layers import Conv, Dense, GlobalAvgPool, Input, LayerNorm, SelfAttention, lower

TOLERANCES = {"float64": 1e-12, "float32": 5e-6}
DIGITS = scale(load_digits().data)[:30]


def check(program, X, expected):
    """Both kernels in both precisions, and smallest eigenvalues, relative to the diagonals."""
    sizes = np.diagonal(expected, axis1=1, axis2=2).max(axis=1)
    for dtype, tolerance in TOLERANCES.items():
        found = np.stack(gram(program, X, get=BOTH, dtype=dtype)).astype(float)
        for K, wanted, size in zip(found, expected, sizes, strict=True):
            assert np.abs(K - wanted).max() <= tolerance * size
            values = np.linalg.eigvalsh(K)
            assert dtype == "float32" or values[0] >= -1e-12 * values[-1]
    for run in ENGINES.values():
        values = run(program, X[:5], X[3:9])
        error = np.abs(values - expected[:, :5, 3:9]).max(axis=(1, 2))
        assert (error <= 1e-12 * sizes).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "act, low, high, degree",
    [
        (ReLU(), 0.0, 1.0, 1),
        (ReLU(2.0), 0.0, 2.0, 1),
        (LeakyReLU(0.2), 0.2, 1.0, 1),
        (Abs(), -1.0, 1.0, 1),
        (Sign(), -1.0, 1.0, 0),
        (Step(), 0.0, 1.0, 0),
        (RectifiedMonomial(0), 0.0, 1.0, 0),
        (RectifiedMonomial(1), 0.0, 1.0, 1),
        (RectifiedMonomial(2), 0.0, 1.0, 2),
        (RectifiedMonomial(3), 0.0, 1.0, 3),
    ],
)
def test_one_channel(act, low, high, degree):
    """All positions are parallel or opposite: sums of powers of positive and negative parts."""
    decades = 1.0 / max(degree, 1)
    X = 10.0 ** np.random.default_rng(0).uniform(-decades, decades, DIGITS.shape)
    X = X * np.clip(DIGITS, -2.0, 2.0)
    sign = -1.0 if degree == 1 else 1.0  # of what a negative number is for a factor of low
    P, N = (((part > 0.0) * np.abs(part) ** degree).mean(axis=1) for part in (X, -X))
    sides = high * P + sign * low * N, high * N + sign * low * P
    moment = np.prod(np.arange(2.0 * degree - 1.0, 0.0, -2.0)) * 0.5 * 1.5**degree
    K = moment * sum(np.outer(side, side) for side in sides)
    factor = degree**2 / max(2.0 * degree - 1.0, 1.0)  # E f'(u) f'(v) uv over E f(u) f(v)
    program = lower((Input(8, 8, 1), Conv(1), act, GlobalAvgPool(), Dense(1.0)), 1.5, 0.0)
    check(program, X, np.stack([K, (1.0 + factor) * K]))


@pytest.mark.parametrize("act", ["relu", "abs", "elu", "selu", "sign", "step", "gelu", "erf"])
def test_positions_of_one_channel_are_rows(act):
    """The mean of the kernels of rows of one column, which measure complements."""
    X, network = DIGITS[:12, 8:24], (Dense(), act, Dense(), act, Dense())
    X = X * 10.0 ** np.random.default_rng(0).uniform(-1.0, 1.0, X.shape)
    rows = np.stack(gram(lower(network, 1.5, 0.0), X.reshape(-1, 1), get=BOTH))
    expected = rows.reshape(2, 12, 16, 12, 16).mean(axis=(2, 4))
    program = lower((Input(4, 4, 1), *network[:-1], GlobalAvgPool(), Dense()), 1.5, 0.0)
    check(program, X, expected)


@pytest.mark.parametrize("act", ["erf", "sigmoid_like", "gelu", "tanh", "sigmoid"])
def test_large_positions_of_one_channel(act):
    """Where an activation is close to a jump, the NTK of parallel positions is large."""
    X = 1e7 * DIGITS[:12, 8:24] * 10.0 ** np.random.default_rng(0).uniform(-1.0, 1.0, (12, 16))
    network = (Dense(), act, Dense())
    rows = np.stack(gram(lower(network, 1.5, 0.0), X.reshape(-1, 1), get=BOTH))
    expected = rows.reshape(2, 12, 16, 12, 16).mean(axis=(2, 4))
    program = lower((Input(4, 4, 1), *network[:-1], GlobalAvgPool(), Dense()), 1.5, 0.0)
    check(program, X, expected)


def test_digits():
    """The NTK of a convolution of single pixels and a rectifier, the sums of both parts."""
    P, N = (np.maximum(part, 0.0).sum(axis=1) for part in (DIGITS, -DIGITS))
    K = (np.outer(P, P) + np.outer(N, N)) / 64**2
    program = lower((Input(8, 8, 1), Conv(1), "relu", GlobalAvgPool(), Dense()), 2.0, 0.0)
    check(program, DIGITS, np.stack([2.0 * K, 4.0 * K]))


WEIGHTS = {
    "softmax": lambda scores: softmax(scores, axis=2),
    "identity": lambda scores: scores,
    "relu": lambda scores: np.maximum(scores, 0.0),
    "abs": np.abs,
}


@pytest.mark.parametrize("mechanism", WEIGHTS)
def test_attention(mechanism):
    """On one channel a position behind it is a number, often a small sum of large ones."""
    random = np.random.default_rng(0)
    X = random.standard_normal((12, 6)) * 10.0 ** random.uniform(-1.0, 0.5, (12, 6))
    Z = np.einsum("npq,nq->np", WEIGHTS[mechanism](X[:, :, None] * X[:, None]), X)
    P, N = (np.maximum(part, 0.0).mean(axis=1) for part in (Z, -Z))
    K = np.outer(P, P) + np.outer(N, N)
    network = (Input(6, 1), SelfAttention(mechanism=mechanism), "relu", GlobalAvgPool(), Dense())
    check(lower(network, 2.0, 0.0), X, np.stack([K, 3.0 * K]))


def spikes(n):
    """Images that are zero but for four pixels, with numbers of all sizes."""
    random = np.random.default_rng(0)
    images = np.zeros((n, 8, 8))
    sizes = 10.0 ** random.uniform(-1.0, 1.0, (n, 2, 2))
    images[:, 1::4, 1::4] = sizes * random.standard_normal((n, 2, 2))
    return images.reshape(n, -1)


def test_spikes():
    """A window sees one pixel at most; those that see it at different places are orthogonal."""
    X = spikes(30)
    P, N = (np.maximum(part, 0.0).mean(axis=1) for part in (X, -X))
    near, other = np.outer(P, P) + np.outer(N, N), 8.0 / np.pi * np.outer(P + N, P + N)
    program = lower((Input(8, 8, 1), Conv(3), "relu", GlobalAvgPool(), Dense()), 2.0, 0.0)
    check(program, X, np.stack([2.0 * near + 2.0 * other, 4.0 * near + 2.0 * other]))


HOMOGENEOUS = sorted(
    name
    for name, network in NETWORKS.items()
    if not any(
        word in str(network)
        for word in ("erf", "gelu", "norm", "attention", "embedding", "dropout")
    )
)
"""Networks that rectify, and do nothing else but sums and means."""

SIZES = np.array([1.0, 0.3, 0.97, 7.0, 1.0001, 0.01])
"""Of parallel rows, some of nearly the same size."""


@pytest.mark.slow
@pytest.mark.parametrize("name", HOMOGENEOUS)
def test_parallel_rows(name):
    """Sizes of rows are factors of kernels and their derivatives, whatever the layers."""
    shape = NETWORKS[name][0][1]["shape"]
    row = np.random.default_rng(0).standard_normal((1, np.prod(shape)))
    program = lower(to_layers(NETWORKS[name]), 1.5, 0.0)
    one, rates = (np.stack(part) for part in gram(program, row, get=BOTH, gradient=True))
    outer = np.outer(SIZES, SIZES)
    check(program, SIZES[:, None] * row, one * outer)
    found = np.stack(gram(program, SIZES[:, None] * row, get=BOTH, gradient=True)[1])
    error = np.abs(found - rates * outer[:, :, None]).max(axis=(1, 2, 3))
    assert (error <= 1e-12 * (rates.max() * outer.max())).all()


@pytest.mark.parametrize("act", ["relu", "abs", "elu"])
def test_norms_of_opposite_positions(act):
    """Behind a `LayerNorm` sizes are the same, and signs are left."""
    X = DIGITS[:12, 8:24]
    network = (Input(4, 4, 1), Conv(1), LayerNorm(), act, GlobalAvgPool(), Dense())
    signs = lower((*network[:2], *network[3:]), 2.0, 0.0)
    expected = np.stack(gram(signs, np.sign(X) / np.sqrt(2.0), get="nngp"))[None]
    found = np.stack(gram(lower(network, 2.0, 0.0), X, get="nngp"))[None]
    assert np.abs(found - expected).max() <= 1e-12 * expected.max()


@pytest.mark.parametrize("act", ["relu", "leaky_relu", "abs", "rectified_monomial", "elu"])
def test_derivatives_of_opposite_positions(act):
    """By the variance of all weights, as differences of kernels have them."""
    X = DIGITS[:8, 8:24]
    network = (Input(4, 4, 1), Conv(1), act, GlobalAvgPool(), Dense())
    rates = np.stack(gram(lower(network, 1.5, 0.0), X, get=BOTH, gradient=True)[1])
    above, below = (
        np.stack(gram(lower(network, 1.5 * np.exp(move), 0.0), X, get=BOTH))
        for move in (1e-5, -1e-5)
    )
    differences = (above - below) / 2e-5
    assert np.abs(rates[..., 0] - differences).max() <= 1e-8 * np.abs(differences).max()
    assert not rates[..., 1].any()
