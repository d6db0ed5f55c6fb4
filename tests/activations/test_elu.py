"""Exponential linear units."""

import oracle_duals
import pytest
from mpmath import mp, mpf

from sklearn_ntk import activations

# --- Exponential linear units ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "covariance",
    [
        (1.0, 1.3, 0.4),
        (30.0, 20.0, -10.0),
        (2.0, 2.0, -1.999),
        (1e-2, 2e-2, 0.0),
        (1.0, 1.0, 1.0 - 1e-6),
        pytest.param((200.0, 300.0, 40.0), marks=pytest.mark.thorough),
    ],
    ids=str,
)
@pytest.mark.parametrize("act", [activations.ELU(), activations.ELU(0.3), activations.SELU()])
def test_elu(act, covariance):
    """Against bivariate normal probabilities in high precision."""
    a, b, c = covariance
    left, right = act.features(a), act.features(b)
    with mp.workdps(40 + int(max(a, b))):  # probabilities are tiny
        q = 2 * (mp.sqrt(mpf(a) * mpf(b)) - mpf(c))
        k, slope = oracle_duals.dual(act.name, act._asdict(), *map(mpf, covariance))
        expected = mp.sqrt(mp.mpf(act.variance(a)) * mpf(act.variance(b))) - k
        gap, actual_slope = act.dual(float(q), left, right)
        size = left[1] * right[1]
        tolerance = 1e-12 if max(a, b) > 100.0 else 2e-14  # of the quadrature
        assert abs(gap / 2 - expected) <= tolerance * size
        assert abs(actual_slope - slope) <= 10.0 * tolerance
