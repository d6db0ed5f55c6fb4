"""Attention on arrays: weights and sums, with rates, against plain expressions."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_ntk.formulas import attention
from sklearn_ntk.program import Attend

PLAIN = {
    "softmax": lambda s: np.exp(s) / np.exp(s).sum(axis=1, keepdims=True),
    "identity": lambda s: s,
    "relu": lambda s: np.where(s > 0.0, s, 0.0),
    "abs": np.abs,
}


def moved(parts, p, step):
    """Values a step along a direction."""
    return parts[0] + step * parts[1 + p]


@pytest.mark.parametrize("mechanism", attention.MECHANISMS)
def test_weights(mechanism):
    K, step = np.random.default_rng(0).standard_normal((3, 4, 4, 5)), 1e-6
    found = attention.weights(Attend((4,), mechanism, "linear", 0.7, True), K)
    plain = PLAIN[mechanism]
    assert_allclose(found[0], plain(0.7 * K[0]), rtol=1e-14)
    for p in range(2):
        ends = (plain(0.7 * moved(K, p, h)) for h in (step, -step))
        assert_allclose(found[1 + p], np.subtract(*ends) / (2.0 * step), rtol=0, atol=1e-8)


def test_sums():
    """``S K R'`` for rows of both sides, and its product rule; likewise the NTK."""
    rng = np.random.default_rng(1)
    S, R = rng.standard_normal((3, 4, 4, 2, 1)), rng.standard_normal((3, 4, 4, 1, 3))
    state = rng.standard_normal((6, 4, 4, 2, 3))

    def plain(S, K, R):
        return np.einsum("pan,abnm,qbm->pqnm", S[..., 0], K, R[..., 0, :])

    found = attention.mix(S, R, state)
    for k in range(2):
        assert_allclose(found[k], plain(S[0], state[k], R[0]), rtol=1e-12, atol=1e-12)
        for p in range(2):
            place = 2 + 2 * k + p
            rate = plain(S[1 + p], state[k], R[0]) + plain(S[0], state[k], R[1 + p])
            rate += plain(S[0], state[place], R[0])
            assert_allclose(found[place], rate, rtol=1e-12, atol=1e-12)
    assert_allclose(attention.mix(S[:1], R[:1], state[:2]), found[:2], rtol=1e-12, atol=1e-12)
