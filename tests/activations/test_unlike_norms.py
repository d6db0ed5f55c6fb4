"""Rows of which one is much longer: errors are relative to both, not to the longer one."""

import numpy as np
import oracle_duals
import pytest
from mpmath import mpf

from sklearn_ntk.activations import ACTIVATIONS
from sklearn_ntk.gram import diagonal, gram
from sklearn_ntk.layers import Dense, lower

LENGTHS = 10.0 ** np.array([1.0, 3.0, 6.0, 12.0, 30.0])
PARTS = np.random.default_rng(0).standard_normal((2, len(LENGTHS), 3))
ROUGH = ("elu", "selu")  # whose errors grow in proportion, see doc/numerics.md


def both(name):
    """NNGP matrix between short and long rows, relative to the diagonals, and exact values."""
    short, long = PARTS[0], PARTS[1] * LENGTHS[:, None]
    program = lower((Dense(), name, Dense()), 1.0, 0.0)
    sizes = [np.sqrt(diagonal(program, X, "nngp")) for X in (short, long)]
    found = gram(program, short, long, "nngp") / np.outer(*sizes)
    products = [
        [sum(mpf(u) * mpf(v) for u, v in zip(x, y, strict=True)) / 3 for y in long] for x in short
    ]
    squares = [[sum(mpf(u) ** 2 for u in x) / 3 for x in X] for X in (short, long)]
    exact = [
        [oracle_duals.dual(name, {}, a, b, c)[0] for b, c in zip(squares[1], row, strict=True)]
        for a, row in zip(squares[0], products, strict=True)
    ]
    return found, np.array(exact, dtype=float) / np.outer(*sizes)


@pytest.mark.parametrize("name", [name for name in oracle_duals.DUALS if name != "leaky_relu"])
def test_closed_duals(name):
    found, exact = both(name)
    assert np.abs(found - exact).max() <= 1e-13


@pytest.mark.filterwarnings("ignore:The Hermite series of")
@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name not in ROUGH])
@pytest.mark.parametrize("length", [1e10, 1e50])
def test_cosines_are_at_most_one(name, length):
    short, long = PARTS[0], PARTS[1] * length
    program = lower((Dense(), name, Dense(), "relu", Dense()), 1.0, 0.1)
    try:
        K = gram(program, short, long)
        sizes = [np.sqrt(diagonal(program, X)) for X in (short, long)]
    except ValueError as error:
        assert "overflows" in str(error)
        return
    assert np.all(np.abs(K) <= (1.0 + 1e-12) * np.outer(*sizes))
