"""Activations of any function, and functions that are refused."""

import numpy as np
import pytest
from duals import duals
from numpy.testing import assert_allclose

from sklearn_ntk import NNGPKernel, activations
from sklearn_ntk.activations import Numerical, Polynomial, Tanh
from sklearn_ntk.finite._functions import check_activation

COVARIANCES = [(1.0, 1.0, 0.3), (0.4, 1.9, -0.5), (1.5, 0.7, 0.9), (1.0, 1.0, 1.0 - 1e-12)]


# --- Any function ---------------------------------------------------------------------------------


def test_numerical_is_the_function():
    for fn, act in ((np.tanh, Tanh()), (lambda x: 0.3 + x * x, Polynomial((0.3, 0.0, 1.0)))):
        for covariance in COVARIANCES:
            assert_allclose(duals(Numerical(fn), *covariance), duals(act, *covariance), rtol=1e-13)


def test_value_of_numerical():
    assert Numerical(np.tanh) == Numerical(np.tanh) != Numerical(np.sin)
    assert repr(Numerical(np.tanh)) == str(Numerical(np.tanh)) == "Numerical(fn=tanh)"
    assert "numerical" not in activations.ACTIVATIONS


@pytest.mark.parametrize(
    "fn, message",
    [
        (lambda x: np.maximum(x, 0.0), "a kink or a jump.*relative errors of .*such as ReLU"),
        (np.sign, "Numerical\\(fn=sign\\) has a kink or a jump"),
        (lambda x: np.tanh(1e4 * x), "too steep"),
        (lambda x: 1.0 / x, "must be finite; at 0 it is inf"),
        (lambda x: np.sqrt(x), "must be finite; at -.* it is nan"),
        (lambda x: 1.0, "as many real numbers as it gets; .* shape \\(\\)"),
        (lambda x: x[:-1], "as many real numbers as it gets; .* shape"),
        (lambda x: x + 1j, "as many real numbers as it gets; .*complex"),
        (lambda x: np.exp(0.2 * x * x), "grows too fast .*smaller weight_var"),
    ],
)
def test_functions_that_are_refused(fn, message):
    with pytest.raises(ValueError, match=message):
        Numerical(fn).expand(np.array([0.5, 1.2]))


def test_functions_may_change_what_they_are_given():
    def square(x):
        x *= x
        return x

    X = np.random.default_rng(0).normal(size=(4, 3))
    found, expected = (NNGPKernel(1, Numerical(fn))(X) for fn in (square, np.square))
    assert_allclose(found, expected, rtol=1e-13)
    with pytest.raises(TypeError, match="it changes its argument in place"):
        check_activation(Numerical(square))
