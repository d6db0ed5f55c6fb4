"""Derivatives of Gram matrices with respect to length scales."""

from functools import cache

import numpy as np
import oracle
import pytest
from contract import ALL_PAIRS, BOTH, ROW, deep, diagonals, to_layers
from numpy.testing import assert_allclose, assert_array_equal
from plain import QUICK
from row_networks import CONTINUOUS, NETWORKS

from sklearn_ntk.architectures import cnn, mlp
from sklearn_ntk.engines import _work
from sklearn_ntk.gram import _length_scale, gradient_length_scale, gram
from sklearn_ntk.layers import Dense, Output, lower

X = np.vstack([np.random.default_rng(0).standard_normal((4, 4)), np.zeros(4)])
PAIRS = {key: pair for key, pair in ALL_PAIRS.items() if key[:-1] != "opposite "}


def differences(program, X, step=1e-3):
    """Central differences of the fourth order of both kernels, by logarithms of length scales."""
    found = []
    for move in step * np.eye(X.shape[1]):
        ends = [np.stack(gram(program, X / np.exp(k * move), None, BOTH)) for k in (-2, -1, 1, 2)]
        found.append((ends[0] - 8 * ends[1] + 8 * ends[2] - ends[3]) / (12.0 * step))
    return np.stack(found, axis=-1)


def assert_derivative(program, X, rtol=1e-9):
    for get, expected in zip(BOTH, differences(program, X), strict=True):
        found = gradient_length_scale(program, X, get)
        assert_allclose(found, expected, rtol=0, atol=rtol * np.abs(expected).max())
        assert_array_equal(found, found.transpose(1, 0, 2))
        total = gradient_length_scale(program, X, get, isotropic=True)[..., 0]
        assert_allclose(total, found.sum(axis=2), rtol=0, atol=1e-14 * np.abs(found).max() + 1e-15)


# --- Right ----------------------------------------------------------------------------------------


@cache
def exact(name, depth, bias_var):
    network = deep(name, depth, 2.0, bias_var)
    return [oracle.gradient_length_scale(network, *pair, 50) for pair in PAIRS.values()]


@pytest.mark.parametrize(
    "bias_var, depth",
    [
        (0.0, 1),
        pytest.param(0.1, 3, marks=pytest.mark.slow),
        *(pytest.param(*p, marks=pytest.mark.thorough) for p in ((0.1, 1), (0.0, 3))),
    ],
)
@pytest.mark.parametrize("name", ["relu", "erf", "sin", "gelu"])
def test_high_precision(name, bias_var, depth, engine):
    """To rounding also where rows nearly coincide; nearly opposite ones have half of the digits."""
    program = lower(to_layers(deep(name, depth, 2.0, bias_var)))
    left, right = zip(*PAIRS.values(), strict=True)
    rows, n = np.array(left + right), len(left)
    known = exact(name, depth, bias_var)
    for k, get in enumerate(BOTH):
        found = gradient_length_scale(program, rows, get)
        scale = np.sqrt(diagonals(program, rows)[k])
        for i, (key, (x, y)) in enumerate(PAIRS.items()):
            beside = np.linalg.norm(x + y) if "opposite and" in key else 1.0
            bound = (2e-14 + 1e-16 / beside) * scale[i] * scale[n + i]
            assert_allclose(found[i, n + i], known[i][k], rtol=0, atol=bound, err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTINUOUS)
def test_activations(name, monkeypatch):
    """Of all that do not jump; by compiled loops of a few, as these take seconds for each."""
    if name not in QUICK:
        monkeypatch.setitem(_work.ENGINES, "cpu", "reference")
    for depth in (1, 3):
        assert_derivative(lower(mlp(depth, name), 0.4, 0.1), 0.5 * X, 1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("bias_var", [0.3, 0.0])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name, bias_var, engine):
    assert_derivative(lower(NETWORKS[name], 1.5, bias_var), X[:, :2])


@pytest.mark.parametrize("name", ["relu", "abs"])
@pytest.mark.parametrize("bias_var", [0.2, 0.0])
def test_rows_that_are_parallel(name, bias_var, engine):
    """They stay so at all length scales: coincident, opposite, of different lengths, zero."""
    rows = np.outer([1.0, 1.0, 2.0, -1.0, -0.5, 0.0], ROW)
    assert_derivative(lower(mlp(2, name), 1.5, bias_var), rows)


# --- Blocks, precision, memory --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["relu", "mish"])
def test_blocks(name, monkeypatch):
    program, rows = lower(mlp(1, name), 1.5, 0.2), np.random.default_rng(1).normal(size=(40, 3))
    expected = gradient_length_scale(program, rows)
    monkeypatch.setattr(_length_scale, "CACHED", 7 * rows.size)
    assert_allclose(gradient_length_scale(program, rows), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", ["relu", "erf", "mish"])
def test_single_precision(name, engine):
    program, rows = lower(mlp(2, name), 1.5, 0.2), np.vstack([X, X[:2] + 1e-3])
    expected = gradient_length_scale(program, rows)
    found = gradient_length_scale(program, rows, dtype="float32")
    assert found.dtype == np.float32
    assert_allclose(found, expected, rtol=0, atol=3e-6 * np.abs(expected).max())


@pytest.mark.parametrize("size", [1e-140, 1e140])
def test_extreme_sizes(size):
    """Without biases the kernels are homogeneous."""
    program, rows = lower(mlp(2), 1.5, 0.0), np.vstack([X, X[:1]])
    found = gradient_length_scale(program, size * rows) / size**2
    assert_allclose(found, gradient_length_scale(program, rows), rtol=1e-10, atol=1e-14)


def test_part_of_another_array():
    program, whole = lower(mlp(1)), np.full((5, 5, 6), 7.0)
    found = gradient_length_scale(program, X, out=whole[..., 1:5])
    assert_array_equal(found, gradient_length_scale(program, X))
    assert_array_equal(whole[..., 1:5], found)
    assert_array_equal(whole[..., [0, 5]], 7.0)


def test_no_rows():
    assert gradient_length_scale(lower(mlp(1)), X[:0]).shape == (0, 0, 4)


# --- Refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "program, options, message",
    [
        (lower(mlp(1, "sign")), {"get": "nngp"}, "; got Sign.*length_scale_bounds='fixed'"),
        (
            lower(cnn((2, 2, 1), 1)),
            {},
            r"got a network on Input\(2, 2, 1\): .*length_scale_bounds='fixed'",
        ),
        (lower((Dense(), Output(), "relu", Dense())), {}, "those of one kernel; got .* with 2:"),
        (lower(mlp(1)), {"get": "rbf"}, "get must be 'ntk' or 'nngp'; got 'rbf'"),
        (lower(mlp(1)), {"isotropic": 3}, "isotropic must be True or False; got 3"),
        (lower(mlp(3, "exp")), {}, "overflows on rows"),
    ],
)
def test_refused(program, options, message):
    with pytest.raises(ValueError, match=message):
        gradient_length_scale(program, 10.0 * X, **options)


def test_too_large():
    with pytest.raises(MemoryError, match=r"Derivatives of shape \(1000000, 1000000, 2\)"):
        gradient_length_scale(lower(mlp(1)), np.ones((10**6, 2)))


@pytest.mark.parametrize("shape, dtype", [((4, 4, 3), "float64"), ((4, 4, 2), "float32")])
def test_results_that_do_not_fit(shape, dtype):
    X = np.random.default_rng(0).normal(size=(4, 2))
    with pytest.raises(ValueError, match=r"out must be an array of float64 and shape \(4, 4, 2\)"):
        gradient_length_scale(lower(mlp(1)), X, out=np.empty(shape, dtype))
