"""The two oracles agree with quadrature, closed identities, stored values and each other."""

import json
from pathlib import Path

import montecarlo
import numpy as np
import oracle
import oracle_duals
import pytest
from mpmath import mp, mpf
from numpy.testing import assert_allclose

ACTIVATIONS = [
    ("relu", {}),
    ("leaky_relu", {"leak": 0.2}),
    ("abs", {}),
    ("erf", {}),
    ("erf", {"scale": 0.7, "rate": 1.6, "constant": 0.3}),
    ("gelu", {}),
    ("sin", {}),
    ("sin", {"scale": 0.7, "frequency": 1.6, "shift": 0.3}),
    ("cos", {}),
    ("cos", {"scale": 0.7, "frequency": 1.6, "shift": 0.3}),
    ("rbf", {"gamma": 0.6}),
    ("gaussian", {}),
    ("gaussian", {"scale": 1.3, "rate": -0.4}),
    ("gabor", {}),
    ("gabor", {"scale": 1.3, "rate": -0.4, "frequency": 1.6}),
    ("identity", {}),
    ("sign", {}),
    ("step", {}),
    ("sigmoid_like", {}),
    ("exp", {"rate": 0.4}),
    ("rectified_monomial", {"degree": 0}),
    ("rectified_monomial", {"degree": 1}),
    ("rectified_monomial", {"degree": 2}),
    ("rectified_monomial", {"degree": 3}),
    ("monomial", {"degree": 3}),
    ("polynomial", {"coefficients": (0.3, -0.5, 0.2, 0.1)}),
    ("hermite", {"degree": 3}),
]
ELEMENTWISE = list(ACTIVATIONS)
ACTIVATIONS += [("exp_normalized", {}), ("exp_normalized", {"gamma": 0.4, "shift": 0.3})]
JUMPING = ("sign", "step")
SLOW = [("elu", {}), ("elu", {"alpha": 0.3}), ("selu", {})]
SMOOTH = [(name, {}) for name in oracle_duals.SMOOTH]
COVARIANCES = [
    (1.0, 1.0, 0.3),
    (0.4, 1.9, -0.5),
    (2.5, 0.7, 1.1),
    (1.1, 1.3, 1.1935),
    (0.9, 1.2, 0),
]
REFERENCES = sorted(path.stem for path in (Path(__file__).parents[1] / "data").glob("*mlp_*.json"))
X = np.array([[0.3, -1.2, 0.8, 0.1], [1.5, 0.4, -0.2, -0.9], [0.2, -1.0, 1.1, 0.3]])


def test_every_dual_is_compared():
    assert {name for name, _ in ACTIVATIONS + SLOW + SMOOTH} == set(oracle_duals.ALL)


@pytest.fixture(autouse=True)
def many_digits():
    """Compare with more digits than the oracle gives."""
    with mp.workdps(150):
        yield


def assert_close(actual, desired, digits):
    """Compare two high-precision numbers, relative to the larger of 1 and the second."""
    assert abs(actual - desired) <= mpf(10) ** -digits * max(1, abs(desired))


def panels(edges, n_nodes):
    """Return Gauss-Legendre nodes and weights on consecutive intervals."""
    nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
    half, middle = 0.5 * np.diff(edges)[:, None], 0.5 * (edges[1:] + edges[:-1])[:, None]
    return (middle + half * nodes).ravel(), (half * weights).ravel()


def expectation(f, a, b, c):
    """Integrate f(u)f(v) over the plane, in polar panels between the lines u = 0 and v = 0."""
    v1, v2 = c / np.sqrt(a), np.sqrt(b - c * c / a)
    lines = np.pi / 2 + np.pi * np.arange(2)[:, None] + [0.0, np.arctan2(v2, v1)]
    edges = np.sort(lines.ravel())
    angle, angle_weight = panels(np.append(edges, edges[0] + 2 * np.pi), 50)
    radius, radius_weight = panels(np.array([0.0, 2.0, 5.0, 10.0]), 40)
    radius_weight = radius_weight * radius * np.exp(-0.5 * radius**2) / (2 * np.pi)
    u = np.sqrt(a) * np.outer(radius, np.cos(angle))
    v = np.outer(radius, v1 * np.cos(angle) + v2 * np.sin(angle))
    return radius_weight @ (f(u) * f(v)) @ angle_weight


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, parameters, covariance",
    [
        pytest.param(*f, c, marks=[pytest.mark.thorough] * (f in SLOW and (i + k) % 3 > 0))
        for k, f in enumerate(SLOW + ELEMENTWISE + SMOOTH)
        for i, c in enumerate(COVARIANCES)
    ],
    ids=str,
)
def test_dual_is_the_expectation(name, parameters, covariance):
    """Both duals agree with quadrature of the function and of its derivative in the plane."""
    expected = [expectation(f, *covariance) for f in montecarlo.ACTIVATIONS[name](**parameters)]
    actual = oracle_duals.dual(name, parameters, *map(mpf, covariance))
    assert_allclose(np.array(actual, dtype=float), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("covariance", COVARIANCES, ids=str)
@pytest.mark.parametrize("gamma, shift", [(1.0, -1.0), (0.4, 0.3)])
def test_dual_of_normalised_signals_is_the_expectation(gamma, shift, covariance):
    """Quadrature with both standard deviations known."""
    a, b, c = covariance
    root = np.sqrt(gamma)
    exponents = root / np.sqrt(a), root / np.sqrt(b)
    product = expectation_of_exponentials(*exponents, a, b, c)
    factor = np.sqrt(a * b) * np.exp(gamma * (shift - 1.0))
    parameters = {"gamma": gamma, "shift": shift}
    actual = oracle_duals.dual("exp_normalized", parameters, *map(mpf, covariance))
    expected = [factor * product, factor * exponents[0] * exponents[1] * product]
    assert_allclose(np.array(actual, dtype=float), expected, rtol=1e-12)


def expectation_of_exponentials(s, t, a, b, c):
    """Integrate exp(s u + t v) over the plane by the trapezoid rule."""
    z = np.linspace(-14.0, 14.0, 401)
    weight = np.exp(-0.5 * z * z) * (z[1] - z[0]) / np.sqrt(2.0 * np.pi)
    v1, v2 = c / np.sqrt(a), np.sqrt(b - c * c / a)
    u, v = np.sqrt(a) * z[:, None], v1 * z[:, None] + v2 * z
    return weight @ np.exp(s * u + t * v) @ weight


@pytest.mark.parametrize("covariance", COVARIANCES, ids=str)
@pytest.mark.parametrize("name, parameters", ACTIVATIONS, ids=str)
def test_second_dual_is_the_derivative_of_the_first(name, parameters, covariance):
    """Price's theorem: ``d E[f(u) f(v)] / dc = E[f'(u) f'(v)]``."""
    a, b, c = map(mpf, covariance)
    slope = mp.diff(lambda s: oracle_duals.dual(name, parameters, a, b, s)[0], c)
    if name not in JUMPING and parameters != {"degree": 0}:
        assert_close(oracle_duals.dual(name, parameters, a, b, c)[1], slope, 48)


@pytest.mark.parametrize("name, parameters", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("distance", [0.0, 1e-12, 1e-5])
def test_digits(name, parameters, distance):
    """Close and coincident rows have all the digits asked for."""
    layers = oracle.mlp(name, 4, 1.7, 0.1, parameters)
    pair = X[0], X[0] + distance * X[1]
    exact = oracle.kernels(layers, *pair, digits=130)
    for value, more in zip(oracle.kernels(layers, *pair, digits=50), exact, strict=True):
        assert_close(value, more, 49)


def test_coincident_rows():
    """The angle of coincident rows is zero: K and T of a network with variances 2 and 0."""
    nngp, ntk = oracle.kernels(oracle.mlp("relu", 3, 2.0, 0.0), X[0], X[0])
    square = oracle.start(X[0], X[0]).a
    assert_close(nngp, 2 * square, 48)
    assert_close(ntk, 8 * square, 48)


@pytest.mark.parametrize("name, parameters", ACTIVATIONS[:3], ids=str)
def test_parallel_rows_without_bias(name, parameters):
    """Networks that are homogeneous scale with the rows."""
    layers = oracle.mlp(name, 3, 1.7, 0.0, parameters)
    itself = oracle.kernels(layers, X[0], X[0])
    for value, other in zip(oracle.kernels(layers, X[0], 2 * X[0]), itself, strict=True):
        assert_close(value, 2 * other, 48)


def test_antiparallel_rows_without_bias():
    """A rectifier sends opposite rows to orthogonal features."""
    nngp, ntk = oracle.kernels(oracle.mlp("relu", 1, 2.0, 0.0), X[0], -2 * X[0])
    assert_close(nngp, 0, 48)
    assert_close(ntk, 0, 48)


def test_zero_rows():
    """A zero row without bias has a zero kernel."""
    layers = oracle.mlp("relu", 2, 2.0, 0.0)
    assert oracle.kernels(layers, 0 * X[0], X[0]) == (0, 0)
    assert oracle.kernels(layers, 0 * X[0], 0 * X[0]) == (0, 0)


def test_linear_kernel():
    """Depth zero is the linear kernel; a frozen layer has no tangent kernel."""
    product = oracle.start(X[0], X[1]).c
    layers = oracle.mlp("relu", 0, 2.0, 0.5)
    for value in oracle.kernels(layers, *X[:2]):
        assert_close(value, 2 * product + 0.5, 48)
    assert oracle.kernels(oracle.mlp("relu", 0, n_frozen=1), *X[:2])[1] == 0


def test_residual_block_without_body():
    """Two identities double all covariances."""
    layers = oracle.mlp("identity", 1, 2.0, 0.5)
    doubled = [layers[0], ("residual", [], []), layers[2]]
    scaled = [layers[0], layers[1], ("dense", 4.0, 0.5, True)]
    expected = oracle.kernels(scaled, *X[:2])
    for value, other in zip(oracle.kernels(doubled, *X[:2]), expected, strict=True):
        assert_close(value, other, 48)


def test_gradient_of_the_linear_kernel():
    """K = T = w c + b at depth zero."""
    product = oracle.start(X[0], X[1]).c
    for by_w, by_b in oracle.gradient(oracle.mlp("relu", 0, "w", "b"), *X[:2], w=2.0, b=0.5):
        assert_close(by_w, 2 * product, 45)
        assert_close(by_b, 0.5, 45)


@pytest.mark.parametrize("pair", [(0, 1), (0, 0)], ids=str)
def test_gradient_of_a_homogeneous_network(pair):
    """Without bias, K and T grow as the number of dense layers in the power of w."""
    x, y = X[list(pair)]
    layers = oracle.mlp("relu", 3, "w", "b")
    values = oracle.kernels(layers, x, y, w=1.7, b=0.0)
    gradients = oracle.gradient(layers, x, y, w=1.7, b=0.0)
    for value, (by_w, by_b) in zip(values, gradients, strict=True):
        assert_close(by_w, 4 * value, 40)
        assert by_b == 0


@pytest.mark.parametrize("name, parameters", ACTIVATIONS, ids=str)
def test_gradient_is_the_slope(name, parameters):
    """Coarse differences of the kernels see the same gradient."""
    layers = oracle.mlp(name, 2, "w", "b", parameters)

    def values(log_w, log_b):
        w, b = 1.7 * np.exp(log_w), 0.1 * np.exp(log_b)
        return np.array(oracle.kernels(layers, *X[:2], w=w, b=b), dtype=float)

    by_w, by_b = np.array(oracle.gradient(layers, *X[:2], w=1.7, b=0.1), dtype=float).T
    step = 1e-4
    assert_allclose((values(step, 0) - values(-step, 0)) / (2 * step), by_w, rtol=1e-6, atol=1e-7)
    assert_allclose((values(0, step) - values(0, -step)) / (2 * step), by_b, rtol=1e-6, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("case", REFERENCES)
def test_stored_values(case):
    """The Gram matrices agree with those of the reference implementation."""
    data = json.loads((Path(__file__).parents[1] / "data" / f"{case}.json").read_text())
    layers = oracle.from_reference(data["layers"])
    both = data["x1"] + data["x2"]
    for actual, name in zip(oracle.gram(layers, data["x1"], both), ("nngp", "ntk"), strict=True):
        expected = np.hstack([data[f"{name}_x1_x1"], data[f"{name}_x1_x2"]])
        assert_allclose(actual, expected, rtol=0, atol=1e-13 * np.diag(expected).mean())


RESIDUAL = [
    ("dense", 1.2, 0.1, True),
    ("residual", [("dense", 1.9, 0.1, True), ("activation", "relu", {}), ("dense", 0.6, 0, 1)], []),
    ("residual", [("activation", "erf", {}), ("dense", 0.6, 0.2, 1)], [("dense", 0.5, 0.1, True)]),
    ("activation", "gelu", {}),
    ("dense", 1.0, 0.0, True),
]
NETWORKS = {
    "relu_depth2": oracle.mlp("relu", 2, 2.0, 0.1),
    "erf_depth1": oracle.mlp("erf", 1, 1.7, 0.2),
    "residual": RESIDUAL,
    "first_layer_frozen": oracle.mlp("relu", 2, 2.0, 0.1, n_frozen=1),
    "all_but_last_frozen": oracle.mlp("sin", 2, 1.5, 0.1, {"shift": 0.3}, n_frozen=2),
}
MORE = "relu_depth2", "residual"
"""Networks of kinds that `tests/engines/test_wide_networks.py` has, too."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "network",
    [pytest.param(n, marks=[pytest.mark.thorough] * (n in MORE)) for n in NETWORKS],
)
def test_wide_networks(network):
    """Random networks of width 1000 have the kernels of the limit, within the noise."""
    layers = NETWORKS[network]
    sample = montecarlo.empirical_kernels(layers, X, X, width=1000, n_networks=20, seed=0)
    for mean, error, limit in zip(sample[:2], sample[2:], oracle.gram(layers, X), strict=True):
        assert np.all(np.abs(mean - limit) <= 5 * error)
        assert np.all(error <= 0.03 * np.diag(limit).max())


def test_wide_networks_repeat():
    """Equal seeds give equal results, others do not; the shape is (4, n, m)."""
    layers = oracle.mlp("erf", 1)
    first, again, other = (
        montecarlo.empirical_kernels(layers, X, X[:2], 50, 3, seed) for seed in (1, 1, 2)
    )
    assert_allclose(first, again, rtol=0, atol=0)
    assert np.shape(first) == (4, 3, 2)
    assert np.all(np.asarray(first) != np.asarray(other))


def test_backpropagation():
    """The empirical NTK of a linear network is the sum over its two layers, done by hand."""
    layers = oracle.mlp("identity", 1, 1.3, 0.2)
    _, actual = montecarlo.draw(layers, X, 5, np.random.default_rng(0))
    rng = np.random.default_rng(0)
    first = np.sqrt(1.3 / 4) * rng.standard_normal((4, 5))
    hidden = X @ first + np.sqrt(0.2) * rng.standard_normal(5)
    last = np.sqrt(1.3 / 5) * rng.standard_normal((5, 1))
    expected = 1.3 / 5 * hidden @ hidden.T + 0.2 + (last**2).sum() * (1.3 / 4 * X @ X.T + 0.2)
    assert_allclose(actual, expected, rtol=1e-13)
