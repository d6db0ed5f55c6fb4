"""The numerical contract: errors against high precision, relative to the diagonal, and signs.

Depths up to 10 in double precision are in `test_engines`, for both engines.
"""

import numpy as np
import oracle
import oracle_duals
import pytest
from contract import (
    JUMPING,
    OPPOSITE,
    PAIRS,
    assert_small,
    compare,
    deep,
    exact,
    kernels_of_pairs,
    run_cuda,
    run_numba,
    tractable,
)
from sklearn.datasets import load_digits

from sklearn_ntk.architectures import mlp
from sklearn_ntk.gram import gram
from sklearn_ntk.layers import lower

# The RBF network of this depth doubles distances at every layer.
DEEP = [name for name in oracle_duals.DUALS if name not in (*JUMPING, "rbf")]


def single(run):
    """A run in single precision."""
    return lambda *arguments: run(*arguments, dtype="float32").astype(np.float64)


on_each_device = pytest.mark.parametrize("run", [run_numba, run_cuda], ids=["cpu", "cuda"])


@pytest.mark.slow
@on_each_device
@pytest.mark.parametrize("bias_var", [0.1, 0.0])
@pytest.mark.parametrize("name", DEEP)
def test_depth_20(name, bias_var, run):
    known = exact(name, 20, bias_var)
    assert_small(compare(run, deep(name, 20, 2.0, bias_var), PAIRS, known), 1e-12)


@pytest.mark.slow
@on_each_device
@pytest.mark.parametrize("depth", [1, 3, 10])
@pytest.mark.parametrize("name", DEEP)
def test_single_precision(name, depth, run):
    known, pairs = exact(name, depth, 0.1), tractable({**PAIRS, **OPPOSITE}, name, depth)
    assert_small(compare(single(run), deep(name, depth), pairs, known), 2e-6)


@on_each_device
@pytest.mark.parametrize("offset", [1e2, 1e6])
def test_common_offset(offset, run):
    """All rows have nearly the same direction."""
    X = offset + np.random.default_rng(0).standard_normal((6, 20))
    pairs = {f"{i} {j}": (X[i], X[j]) for i in range(6) for j in range(i)}
    network = oracle.mlp("relu", 5, 2.0, 0.1, {})
    known = kernels_of_pairs(network, pairs)
    assert_small(compare(run, network, pairs, known), 1e-12)
    assert_small(compare(single(run), network, pairs, known), 2e-6)


@pytest.mark.parametrize("scale", [1e-150, 1e-75, 1e75, 1e150])
def test_scale(scale, device):
    """A ReLU network without biases is homogeneous."""
    X = np.random.default_rng(0).standard_normal((20, 5))
    X = np.vstack([X, X[:5] + 1e-9, -X[:5]])
    program = lower(mlp(5), 2.0, 0.0)
    expected = gram(program, X, device=device)
    error = gram(program, scale * X, device=device) / scale / scale - expected
    assert np.abs(error).max() <= 1e-14 * expected.max()


def arctangents(X, depth, weight_var, bias_var):
    """The ReLU tangent kernel as covariances and angles give it, in the precision of ``X``."""
    number, pi = X.dtype.type, X.dtype.type(np.pi)
    w, b = number(weight_var), number(bias_var)
    K = w * (X @ X.T / number(X.shape[1])) + b
    T = K
    for _ in range(depth):
        variance = np.diag(K)
        product = np.outer(variance, variance)
        root = np.sqrt(np.maximum(product - K * K, number(0)))
        share = number(0.5) - np.arctan2(root, K) / (number(2) * pi)
        K = w * (root / (number(2) * pi) + share * K) + b
        T = w * share * T + K
    return T


def test_single_precision_is_positive_definite():
    """Digits and near duplicates of them: covariances and angles make an indefinite matrix."""
    X = load_digits().data[:700] / 16.0
    noise = np.random.default_rng(0).standard_normal((100, 64))
    X = np.vstack([X, X[:100] + 1e-4 * noise])
    exact = np.linalg.eigvalsh(gram(lower(mlp(10), 2.0, 0.1), X))
    T = gram(lower(mlp(10), 2.0, 0.1), X, dtype="float32")
    ours = np.linalg.eigvalsh(T.astype(np.float64))
    theirs = np.linalg.eigvalsh(arctangents(X.astype(np.float32), 10, 2.0, 0.1).astype(np.float64))
    assert T.dtype == np.float32 and np.array_equal(T, T.T)
    assert theirs[0] < 0.0 < 0.9 * exact[0] < ours[0] < 1.1 * exact[0]
