"""Phase diagram: quadrature, published and closed critical values, rates of deep kernels."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import optimize

from sklearn_ntk import NNGPKernel
from sklearn_ntk.activations import ACTIVATIONS, Erf, LeakyReLU, Numerical, ReLU
from sklearn_ntk.spectrum import (
    critical_weight_var,
    phase,
    recommended_weight_var,
    weight_var_range,
)
from sklearn_ntk.spectrum._moments import moments

X = np.array([[1.0, 0.3], [0.4, 1.2]])
CRITICAL = {
    "tanh": [
        (2.01e-5, 1.0500),
        (0.0025, 1.2601),
        (0.01, 1.4242),
        (0.04, 1.7008),
        (0.05, 1.7610),
        (0.25, 2.4015),
        (1.0, 3.4432),
    ],
    "erf": [(0.0, np.pi / 4), (0.05, 1.3758), (0.5, 2.2337), (1.0, 2.7184)],
    "gelu": [(0.01, 2.983), (0.05, 2.303), (0.25, 1.960), (1.0, 1.977)],
    "elu": [(0.05, 1.534)],
    "selu": [(0.05, 0.902)],
}


# --- Moments --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "exp_normalized"])
def test_moments_by_quadrature(name):
    """Gauss-Legendre on both sides of zero; derivatives are difference quotients.

    The normalised exponential is no function of single numbers.
    """
    act = ACTIVATIONS[name]()
    nodes, weights = np.polynomial.legendre.leggauss(400)
    z, w = 6.0 * (nodes + 1.0), 6.0 * weights * np.exp(-18.0 * (nodes + 1.0) ** 2)
    z, w = np.concatenate([z, -z]), np.concatenate([w, w]) / np.sqrt(2.0 * np.pi)
    for variance in (0.3, 1.7):
        x, step = np.sqrt(variance) * z, 1e-6
        square, slope = moments(act, np.array([variance]))
        assert_allclose(square, w @ act.fn(x) ** 2, rtol=1e-8)
        if act.jumps:
            assert slope == np.inf
        else:
            x = np.where(np.abs(x) > step, x, np.sign(x) * step)
            expected = w @ ((act.fn(x + step) - act.fn(x - step)) / (2.0 * step)) ** 2
            assert_allclose(slope, expected, rtol=1e-6)


# --- Critical values ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CRITICAL)
def test_table_of_critical_values(name):
    bias, expected = np.array(CRITICAL[name]).T
    assert_allclose(
        critical_weight_var(name, bias), expected, atol=6e-4 if name != "tanh" else 6e-5
    )


def test_critical_line_of_erf():
    """In closed form (Williams, 1996), with the arcsine of the variance."""
    q = np.logspace(-2, 3, 11)
    weight = np.pi / 4.0 * np.sqrt(1.0 + 4.0 * q)
    bias = q - weight * 2.0 / np.pi * np.arcsin(2.0 * q / (1.0 + 2.0 * q))
    assert_allclose(critical_weight_var("erf", bias), weight, rtol=1e-9)


def test_critical_values_without_bias():
    for act, expected in {
        "relu": 2.0,
        ReLU(0.5): 8.0,
        LeakyReLU(0.3): 2.0 / 1.09,
        "identity": 1.0,
        "tanh": 1.0,
        "erf": np.pi / 4.0,
        "gelu": 4.0,
        Erf(2.0): np.pi / 16.0,
        Numerical(np.arctan): 1.0,
    }.items():
        assert_allclose(critical_weight_var(act, 0.0), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "bias"), [("relu", 0.1), ("softplus", 0.1), ("sign", 0.0), ("monomial", 0.0)]
)
def test_no_critical_value(name, bias):
    assert np.isnan(critical_weight_var(name, bias))


def test_shapes():
    bias = np.array([[0.0, 0.05, 0.5]])
    assert critical_weight_var("erf", bias).shape == (1, 3)
    assert isinstance(critical_weight_var("erf", 0.05), float)
    assert phase("erf", np.ones((2, 1)), bias).growth.shape == (2, 3)
    found = phase("erf", 1.0, 0.05)
    assert all(isinstance(x, float) for x in found) and found.is_chaotic is False
    assert weight_var_range("relu", bias, 5)[0].shape == (1, 3)
    assert recommended_weight_var("relu", bias, 5).shape == (1, 3)
    assert critical_weight_var("erf", []).shape == (0,)


# --- Fixed points and rates -----------------------------------------------------------------------


def observed(name, weight, bias, depth):
    """Variances (3, 2) and correlations (3,) of `X` at three depths in a row."""
    grams = [NNGPKernel(depth + k, name, weight, bias)(X) for k in range(3)]
    variances = np.array([K.diagonal() for K in grams])
    return variances, [K[0, 1] / np.sqrt(K[0, 0] * K[1, 1]) for K in grams]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "weight", "bias", "depth"),
    [
        ("erf", 0.9, 0.05, 14),
        ("erf", 2.5, 0.05, 20),
        ("erf", 5.0, 0.5, 20),
        ("tanh", 1.2, 0.05, 25),
        pytest.param("tanh", 3.0, 0.05, 40, marks=pytest.mark.thorough),
        ("sin", 0.8, 0.2, 14),
        ("relu", 1.2, 0.3, 20),
    ],
)
def test_rates_of_deep_kernels(name, weight, bias, depth):
    found = phase(name, weight, bias)
    variances, correlations = observed(name, weight, bias, 100)
    assert_allclose(variances[2], found.variance, rtol=1e-4)
    assert_allclose(correlations[2], found.correlation, rtol=1e-3)
    _, correlations = observed(name, weight, bias, depth)
    apart = np.abs(np.array(correlations) - found.correlation)
    rate = np.exp(-1.0 / found.correlation_depth)
    assert_allclose(apart[2] / apart[1], rate, rtol=2e-3)
    variances, _ = observed(name, weight, bias, 5)
    apart = np.abs(variances[:, 1] - found.variance)
    rate = np.exp(-1.0 / found.variance_depth)
    assert_allclose(apart[2] / apart[1], rate, rtol=0.03)
    assert bool(found.is_chaotic) == (found.correlation < 1.0)


def test_fixed_point_of_erf():
    found = phase("erf", 2.5, 0.05)
    q, c = found.variance, found.correlation
    scale = 2.5 * 2.0 / np.pi
    square = lambda c: scale * np.arcsin(2.0 * q * c / (1.0 + 2.0 * q)) + 0.05  # noqa: E731
    assert_allclose([square(1.0), square(c)], [q, q * c], rtol=1e-12)
    apart = optimize.approx_fprime([c], lambda x: square(x[0]) / q)[0]
    assert_allclose(found.correlation_depth, -1.0 / np.log(apart), rtol=1e-5)
    assert_allclose(found.growth, 10.0 / np.pi / np.sqrt(1.0 + 4.0 * q), rtol=1e-12)


def test_rectifiers():
    below, at, above = (phase("relu", w, 0.0) for w in (1.5, 2.0, 3.0))
    assert below.variance == 0.0 and at.variance == 2.0 and above.variance == np.inf
    assert_allclose(below.growth, 0.75)
    rates = [-1.0 / np.log(0.75)] * 2
    assert_allclose([below.variance_depth, below.correlation_depth], rates, rtol=1e-9)
    assert at.correlation_depth == at.variance_depth == np.inf
    assert np.isnan(above.correlation) and above.is_chaotic
    assert_allclose(phase("relu", 1.5, 1.0).variance, 4.0)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_all_activations(name):
    found = phase(name, [0.3, 1.3], 0.2)
    for each in (found.variance, found.growth, found.variance_depth, found.correlation_depth):
        assert np.all(each >= 0.0)
    assert np.all(np.isnan(found.correlation) == np.isinf(found.variance))
    assert np.all(found.correlation[np.isfinite(found.variance)] >= 0.0)


def test_critical_values_are_critical():
    bias = np.array([0.01, 0.05, 0.5])
    for name in ("erf", "tanh", "elu"):
        found = phase(name, critical_weight_var(name, bias), bias)
        assert_allclose(found.growth, 1.0, rtol=1e-9)


# --- Variances to choose --------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["erf", "sin", "relu"])
def test_range_of_finite_networks(name):
    least, greatest = weight_var_range(name, [0.05, 0.5], 10)
    critical = recommended_weight_var(name, [0.05, 0.5], 1) * 2.0
    assert np.all((least < critical) & (critical < greatest))
    for weight in (least, greatest):
        assert_allclose(phase(name, weight, [0.05, 0.5]).correlation_depth, 10.0, rtol=1e-7)


def test_recommendation_for_kernels():
    critical = critical_weight_var("erf", 0.05)
    assert_allclose(recommended_weight_var("erf", 0.05, 10), 0.5 * critical, rtol=1e-8)
    deep = recommended_weight_var("erf", 0.05, 200)
    assert_allclose(phase("erf", deep, 0.05).correlation_depth, 200 / 15, rtol=1e-7)
    assert_allclose(recommended_weight_var("relu", 1.0, 2), 1.0, rtol=1e-6)
    assert np.isnan(recommended_weight_var("step", 0.1, 3))


# --- Bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda: phase("erf", 0.0, 0.1),
        lambda: phase("erf", [1.0, -1.0], 0.1),
        lambda: phase("erf", 1.0, -0.1),
        lambda: phase("erf", np.nan, 0.1),
        lambda: phase("erf", 1.0, "0.1"),
        lambda: critical_weight_var("erf", -1.0),
        lambda: critical_weight_var("erf", None),
        lambda: weight_var_range("erf", 0.1, 0),
        lambda: recommended_weight_var("erf", 0.1, 2.5),
    ],
)
def test_invalid_arguments(call):
    with pytest.raises(ValueError, match="; got ") as error:
        call()
    assert "\n" not in str(error.value)


def test_unknown_activation():
    for call in (lambda: phase("erv", 1.0, 0.1), lambda: critical_weight_var("erv", 0.1)):
        with pytest.raises(ValueError, match="Did you mean 'erf'"):
            call()


def test_series_warn_once():
    with pytest.warns(RuntimeWarning, match="The Hermite series of mish") as record:
        phase("mish", [3.0, 4.0], 0.5)
    assert len(record) == 1
