"""Families of networks are the tuples of layers that their names promise."""

import pytest

from sklearn_ntk.activations import ACTIVATIONS, Erf, LeakyReLU, ReLU
from sklearn_ntk.architectures import mlp, resmlp
from sklearn_ntk.layers import Dense, Residual, lower
from sklearn_ntk.program import Add, Pointwise


def n_weights(program):
    """Number of trained layers."""
    return sum(step.trained for step in program.steps if isinstance(step, Pointwise))


def test_mlp():
    assert mlp() == mlp(depth=3, activation="relu")
    assert mlp(0) == (Dense(),)
    assert mlp(2) == (Dense(), "relu", Dense(), "relu", Dense())
    assert mlp(1, Erf(2.0)) == (Dense(), Erf(2.0), Dense())


def test_resmlp():
    block = Residual(("relu", Dense()))
    assert resmlp() == resmlp(depth=3, activation="relu", residual_var=None)
    assert resmlp(0) == (Dense(), "relu", Dense())
    assert resmlp(2) == (Dense(), block, block, "relu", Dense())
    leaky = LeakyReLU(0.2)
    block = Residual((leaky, Dense(0.25)))
    assert resmlp(2, leaky, 0.25) == (Dense(), block, block, leaky, Dense())


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("depth", [0, 1, 4])
def test_lowered(depth, name):
    """The depth is the number of hidden layers, or of blocks."""
    plain, residual = lower(mlp(depth, name)), lower(resmlp(depth, name, 0.5))
    assert n_weights(plain) == len(plain.steps) - 1 == depth + 1
    assert n_weights(residual) == depth + 2
    assert sum(isinstance(step, Add) for step in residual.steps) == depth
    assert lower(mlp(depth, ACTIVATIONS[name]())) == plain
    assert plain.ties == residual.ties == (True, True)


def test_last_layer():
    steps = lower(resmlp(1, residual_var=0.5), 2.0, 0.1).steps
    assert steps[-2] == Pointwise(ReLU(), 2.0, 0.1, True, True, True)
    assert steps[2] == Pointwise(ReLU(), 0.5, 0.1, True, False, True)
