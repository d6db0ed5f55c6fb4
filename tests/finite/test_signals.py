"""Kernels of a layer from its signals against gradients by rows, and the memory that they take."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_ntk.finite._signals import Signal, diagonal, product

SIGNS = [(False, False), (True, True), (False, True), (True, False)]


def signal(n, n_positions, seed, n_tokens=None, p=4, q=3):
    """Random signals of two functions; few tokens, which occur again in a row."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((n, n_positions, p))
    if n_tokens is not None:
        inputs = rng.integers(0, n_tokens, (n, n_positions))
    return Signal("layer", inputs, rng.standard_normal((n, n_positions, 2, q)))


def gradients(signal, is_sign, n_tokens):
    """Gradients (n, 2, q p)."""
    inputs = signal.inputs if n_tokens is None else np.eye(n_tokens)[signal.inputs]
    J = np.einsum("ntp,ntrq->nrqp", inputs, signal.gradients).reshape(len(inputs), 2, -1)
    return np.sign(J) if is_sign else J


@pytest.mark.parametrize("signs", SIGNS)
@pytest.mark.parametrize("n_tokens", [None, 3])
@pytest.mark.parametrize("positions", [(1, 1), (6, 6), (1, 6), (6, 1)])
def test_product(positions, n_tokens, signs):
    """Rows of both sides may have other numbers of positions; parts make the whole."""
    sides = [signal(n, each, n, n_tokens) for n, each in zip((5, 7), positions, strict=True)]
    J, H = (gradients(*pair, n_tokens) for pair in zip(sides, signs, strict=True))
    expected = np.einsum("nap,mbp->namb", J, H)
    for most in (2**26, 3000, 1):
        assert_allclose(product(*sides, signs, most), expected, rtol=1e-12, atol=1e-12)
    J, H = (gradients(sides[0], is_sign, n_tokens) for is_sign in signs)
    own = np.einsum("nap,nap->na", J, H)
    for most in (2**26, 3000, 1):
        assert_allclose(diagonal(sides[0], signs, most), own, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "compute",
    [
        lambda most: product(signal(2, 60, 0, 50), signal(300, 60, 1, 50), most=most),
        lambda most: product(*2 * [signal(20, 60, 0, 10_000)], (True, True), most),
        lambda most: diagonal(signal(20, 60, 0, 10_000), (True, True), most),
        lambda most: diagonal(signal(3, 1500, 0), most=most),
        lambda most: diagonal(signal(3, 1500, 0), most=most, other=signal(3, 1500, 1)),
    ],
)
def test_memory(compute):
    """Of many rows on the right, of many tokens, and of many positions."""
    most = 2e6
    tracemalloc.start()
    compute(most)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2.0 * most
