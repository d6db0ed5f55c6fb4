"""Activations that are given by their dual kernels compute what those of the package do."""

import pickle

import numpy as np
import pytest
from contract import ASIDE, ROW, run_numpy
from duals import erf_dual, erf_slope, sine_dual
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor

from sklearn_ntk import NNGPKernel, NTKKernel, NTKRegressor
from sklearn_ntk.activations import (
    RBF,
    Elementwise,
    Erf,
    Exp,
    Monomial,
    ReLU,
    Sign,
    Sin,
    as_activation,
)
from sklearn_ntk.engines import _work
from sklearn_ntk.layers import Conv, Dense, GlobalAvgPool, Input, Recurrent, lower


def rbf_dual(cov12, var1, var2):
    return np.exp(2.0 * cov12 - var1 - var2)


def exp_dual(cov12, var1, var2):
    return np.exp(0.5 * (var1 + var2) + cov12)


def square_dual(cov12, var1, var2):
    return 2.0 * np.square(cov12) + var1 * var2


def relu_dual(cov12, var1, var2):
    root = np.sqrt(np.maximum(var1 * var2 - cov12**2, 0.0))
    return (root + (np.pi - np.arctan2(root, cov12)) * cov12) / (2.0 * np.pi)


def relu_slope(cov12, var1, var2):
    root = np.sqrt(np.maximum(var1 * var2 - cov12**2, 0.0))
    return 0.5 - np.arctan2(root, cov12) / (2.0 * np.pi)


def sign_dual(cov12, var1, var2):
    return 1.0 - 2.0 / np.pi * np.arccos(cov12 / np.sqrt(var1 * var2))


def zero(cov12, var1, var2):
    return 0.0


SMOOTH = {
    "erf": (Elementwise(None, erf_dual, erf_slope), Erf()),
    "erf, differentiated": (Elementwise(nngp_fn=erf_dual), Erf()),
    "sine": (Elementwise(np.sin, sine_dual), Sin()),
    "rbf": (Elementwise(None, rbf_dual), RBF()),
    "exponential": (Elementwise(None, exp_dual), Exp()),
    "square": (Elementwise(None, square_dual), Monomial(2)),
}
EDGY = {
    "relu": (Elementwise(None, relu_dual, relu_slope), ReLU()),
    "relu, differentiated": (Elementwise(None, relu_dual), ReLU()),
    "sign": (Elementwise(None, sign_dual, zero), Sign()),
}
X = np.random.default_rng(0).standard_normal((7, 4))
X = np.vstack([X, -X[:2], 1.5 * X[:1], X[2:3]])


COMPILED = ("erf, differentiated", "relu")
"""What the compiled engine is tried on at once; a user's function is compiled in seconds."""


def compiled(names):
    """Names of activations, most of them thorough."""
    thorough = [pytest.mark.thorough]
    return pytest.mark.parametrize(
        "name", [pytest.param(name, marks=thorough * (name not in COMPILED)) for name in names]
    )


def both(make, name):
    """Results with a user's kernel and with that of the package."""
    return [make(act) for act in {**SMOOTH, **EDGY}[name]]


def assert_close(actual, expected, tolerance):
    assert_allclose(actual, expected, rtol=0.0, atol=tolerance * np.abs(expected).max())


@compiled([*SMOOTH, *EDGY])
def test_dense(name):
    """Edges make much of the rounding of equal rows, as their angle has half of the digits."""
    for kind in (NTKKernel, NNGPKernel):
        kernels = both(lambda act, kind=kind: kind(1, act, 0.5, 0.2), name)
        assert_close(kernels[0](X), kernels[1](X), 1e-12 if name in SMOOTH else 1e-7)
        assert_close(kernels[0].diag(X), kernels[1].diag(X), 1e-12 if name in SMOOTH else 1e-7)


@pytest.mark.parametrize("name", [*SMOOTH, *EDGY])
def test_reference_engine(name):
    """Values of all of them, and derivatives of those without edges."""
    networks = both(lambda act: lower((Dense(), act, Dense()), 0.5, 0.2), name)
    (values, rates), (expected, expected_rates) = (run_numpy(net, X, X, True) for net in networks)
    assert_close(values, expected, 1e-12 if name in SMOOTH else 1e-7)
    if name in SMOOTH:
        assert_close(rates, expected_rates, 1e-7)


@compiled(["erf, differentiated", "sine", "rbf"])
def test_deep(name):
    kernels = both(lambda act: NTKKernel(3, act, 1.2, 0.1), name)
    assert_close(kernels[0](X), kernels[1](X), 1e-12)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["erf, differentiated", "sine", "square"])
def test_single_precision(name):
    kernels = both(lambda act: NTKKernel(1, act, 0.5, 0.2, dtype="float32"), name)
    assert kernels[0](X).dtype == np.float32
    assert_close(kernels[0](X), kernels[1](X), 5e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["erf", "erf, differentiated", "square"])
def test_gradient(name):
    kernels = both(lambda act: NTKKernel(1, act, 0.5, 0.2), name)
    (K, rates), (expected, expected_rates) = (k(X, eval_gradient=True) for k in kernels)
    assert_close(K, expected, 1e-12)
    assert_close(rates, expected_rates, 1e-7)


@pytest.mark.parametrize(
    "dtype, tolerance",
    [("float64", 1e-12), pytest.param("float32", 5e-6, marks=pytest.mark.thorough)],
)
@compiled(["erf, differentiated", "sine", "rbf"])
def test_positions(name, dtype, tolerance):
    def make(act):
        network = (Input(2, 2, 1), Conv(2), act, Conv(1), act, GlobalAvgPool(), Dense())
        return NTKKernel(architecture=network, weight_var=1.2, bias_var=0.1, dtype=dtype)

    kernels = both(make, name)
    assert_close(kernels[0](X), kernels[1](X), tolerance)


def test_recurrent():
    def make(act):
        return NTKKernel(
            architecture=(Input(4, 1), Recurrent(act), Dense()), weight_var=0.9, bias_var=0.1
        )

    kernels = both(make, "erf")
    assert_close(kernels[0](X), kernels[1](X), 1e-12)


@pytest.mark.parametrize("step", [1e-5, 1e-7, 1e-9])
@pytest.mark.parametrize("name", SMOOTH)
def test_close_rows(name, step):
    """Their distance, which a layer of steps would show, is more than rounding."""
    rows = np.stack([ROW, ROW + step * ASIDE])

    def distance(act):
        v = (rows * rows).mean(axis=1)
        q = ((rows[0] - rows[1]) ** 2).mean() - (np.sqrt(v[0]) - np.sqrt(v[1])) ** 2
        left, right = (act.features(u) for u in v)
        return act.dual(q, left, right)[0]

    if name != "square":  # a series
        ours, theirs = both(distance, name)
        assert_allclose(ours, theirs, rtol=1e-3)


def test_constant():
    """A kernel that does not depend on anything."""
    act = Elementwise(None, lambda cov12, var1, var2: 4.0)
    K = NTKKernel(1, act, 1.0, 0.5)(X)
    assert_allclose(K, np.full(K.shape, 4.5), rtol=1e-14)


# --- Values and errors ----------------------------------------------------------------------------


def test_value():
    act = Elementwise(None, erf_dual)
    assert act == Elementwise(nngp_fn=erf_dual) and hash(act) == hash(Elementwise(None, erf_dual))
    assert act != Elementwise(None, erf_dual, erf_slope) and act != Elementwise(None, sine_dual)
    assert pickle.loads(pickle.dumps(act)) == act
    assert repr(act) == str(act) == "Elementwise(nngp_fn=erf_dual)"
    program = lower((Dense(), act, Dense()))
    assert program == lower((Dense(), pickle.loads(pickle.dumps(act)), Dense()))
    assert repr(program.activations[0]) == repr(act)


def test_in_estimators(monkeypatch):
    monkeypatch.setitem(_work.ENGINES, "cpu", "reference")
    act, y = Elementwise(None, erf_dual), X[:, 0]
    model = clone(NTKRegressor(depth=1, activation=act)).fit(X, y)
    expected = NTKRegressor(depth=1, activation="erf").fit(X, y).predict(X)
    assert_allclose(pickle.loads(pickle.dumps(model)).predict(X), expected, atol=1e-8)
    gpr = GaussianProcessRegressor(NTKKernel(1, act), alpha=0.1, optimizer=None).fit(X, y)
    assert gpr.kernel_.activation == act


@pytest.mark.parametrize(
    "act, error, message",
    [
        (Elementwise(), ValueError, "nngp_fn of Elementwise must be a function of a cov.*; got No"),
        (Elementwise(np.sin), ValueError, "nngp_fn of Elementwise must be a function of a cov"),
        (Elementwise(None, 3.0), ValueError, "nngp_fn of Elementwise must be .*; got 3.0"),
        (Elementwise(1, erf_dual), ValueError, "fn of Elementwise must be .*, or None; got 1"),
        (Elementwise(None, erf_dual, "x"), ValueError, "d_nngp_fn of Elem.*, or None; got 'x'"),
        (Elementwise(None, lambda c: c), TypeError, "nngp_fn of .* must be a formula .* raised"),
        (Elementwise(None, lambda c, a, b: c if c > 0 else a), TypeError, "formula.*branches"),
        (Elementwise(None, lambda c, a, b: np.tanh(c)), TypeError, "formula.*cannot use tanh"),
        (Elementwise(None, lambda c, a, b: [c]), TypeError, "formula.*it returned list"),
        (Elementwise(None, lambda c, a, b: None), TypeError, "formula.*it returned NoneType"),
        (Elementwise(None, erf_dual, lambda c: c), TypeError, "d_nngp_fn of .* must be a formula"),
    ],
    ids=str,
)
def test_errors(act, error, message):
    for use in (as_activation, lambda act: NTKKernel(1, act)(X), lambda act: lower((Dense(), act))):
        with pytest.raises(error, match=message):
            use(act)


def test_no_string_stands_for_it():
    with pytest.raises(ValueError, match="Unknown activation 'elementwise'"):
        as_activation("elementwise")
