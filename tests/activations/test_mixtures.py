"""Activations that are mixtures of normal distributions, at any variance."""

import warnings

import numpy as np
import oracle
import oracle_duals
import pytest
from contract import ENGINES, assert_small, compare, kernels_of_pairs, run_numba, run_numpy
from duals import dual_of, duals, features_of
from mpmath import mp, mpf
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special

from sklearn_ntk import activations
from sklearn_ntk.activations import Tanh, _mixtures
from sklearn_ntk.architectures import mlp
from sklearn_ntk.engines.reference import lines as _positions
from sklearn_ntk.formulas.series import orders_of
from sklearn_ntk.gram import gram
from sklearn_ntk.layers import Conv, Dense, GlobalAvgPool, Input, Recurrent, lower

BOTH = ("nngp", "ntk")


# --- Mixtures of normal distributions -------------------------------------------------------------

MIXTURES = [Tanh(), activations.Sigmoid(), activations.Softplus(), activations.SiLU()]
each_mixture = pytest.mark.parametrize("act", MIXTURES, ids=str)


def test_logistic_distribution():
    scale, weight = _mixtures.scales()
    x = np.linspace(-40.0, 40.0, 2001)
    assert_allclose(weight @ special.ndtr(x / scale[:, None]), special.expit(x), atol=4e-15)


def test_central_binomials():
    k = [0, 1, 2, 7, 39, 40, 41, 1000, 10**9]
    exact = [mp.binomial(2 * n, n) / mpf(4) ** n for n in k]
    assert_allclose(_mixtures.central(np.array(k, float)), np.array(exact, float), rtol=2e-15)


@pytest.mark.parametrize("power", [-0.5, 0.5, 1.5, 2.5])
def test_weights_of_terms(power):
    """A few terms stand for all."""
    k = np.arange(2.0**16)
    nodes, size = _mixtures.nodes(150)
    weights = size**2 * 2.0 * np.pi * (2.0 * nodes + 1.0) / _mixtures.central(nodes)
    assert np.all(weights > 0.0) and np.all(weights[:3] == 1.0)

    def values(k):  # what behaves as this power of k
        return _mixtures.central(k) * (2.0 * k + 1.0) ** (0.5 - power)

    for rate in 10.0 ** np.arange(-3.0, 1.5, 0.25):
        total = values(k) @ np.exp(-rate * k)
        assert weights @ (values(nodes) * np.exp(-rate * nodes)) == pytest.approx(total, rel=2e-13)


@each_mixture
def test_orders(act):
    """They have one parity, and their distances double where loops expect it."""
    orders, doubles = orders_of(act, 200)
    assert np.all(orders[:2] == [0.0, 1.0]) and len(set(orders[2:] % 2.0)) == 1
    steps = np.diff(orders)
    assert_allclose(steps[1:], steps[:-1] * (1.0 + doubles[1:-1]), rtol=0.0)
    for n in (_mixtures.N_TERMS, 660):  # large orders are rounded
        of_all = orders_of(act, n)[1]
        assert set(np.flatnonzero(of_all) % 6) <= {1, 2}
        assert_array_equal(of_all[:200], doubles)


@each_mixture
@pytest.mark.parametrize("std", [1e6, 1e8, 1e9])
def test_mixtures_of_huge_rows_tend_to_their_limits(act, std):
    """Without numbers that are no orders any more, alone and between positions."""
    limit = {"Tanh": "sign", "Sigmoid": "step"}.get(type(act).__name__, "relu")
    Z = std * np.random.default_rng(0).standard_normal((5, 3))
    for start, end in (((), ()), ((Input(3, 1), Conv(2, padding="valid")), (GlobalAvgPool(),))):
        found, expected = (
            gram(lower((*(start or (Dense(),)), f, *end, Dense()), 1.0, 0.0), Z, get="nngp")
            for f in (type(act)(), limit)
        )
        assert_allclose(found, expected, rtol=20.0 / std)


@pytest.mark.slow
@each_mixture
@pytest.mark.parametrize(
    "covariance",
    [(4.0, 4.0, 3.9), (9.0, 25.0, -14.0), (100.0, 100.0, 100.0), (100.0, 60.0, 30.0)],
    ids=str,
)
def test_dual_at_large_variance(act, covariance):
    """Against the trapezoid rule in the plane, in longer numbers."""
    actual = duals(act, *covariance)
    exact = [float(x) for x in oracle_duals.dual(act.name, {}, *map(mpf, covariance))]
    size = np.sqrt(duals(act, *covariance[:1] * 3)[0] * duals(act, *covariance[1:2] * 3)[0])
    slope = duals(act, *[min(covariance[:2])] * 3)[1]
    assert abs(actual[0] - exact[0]) <= 1e-13 * size
    assert abs(actual[1] - exact[1]) <= 1e-12 * slope


@pytest.mark.parametrize("std", [30.0, 1e3, 1e6])
@pytest.mark.parametrize("rho", [-1.0, -0.999, 0.0, 0.3, 1.0 - 1e-9, 1.0])
def test_tanh_is_a_mixture_of_error_functions(std, rho):
    """Against the sum of all their arcsines, and its derivative."""
    scale, weight = _mixtures.scales()
    variances = np.array([std**2, (0.7 * std) ** 2])
    ratios = 4.0 * variances[:, None] / scale**2
    (u, p), (v, q) = ((1.0 / (1.0 + x), x / (1.0 + x)) for x in ratios)
    both = np.outer(weight, weight)
    rest = (1.0 - rho**2) + rho**2 * (u[:, None] + p[:, None] * v)
    sine = rho * np.sqrt(np.outer(p, q))
    nngp = 2.0 / np.pi * (both * np.arctan2(sine, np.sqrt(rest))).sum()
    slope = 2.0 / np.pi * (both * np.sqrt(np.outer(p, q) / rest)).sum() / (0.7 * std**2)
    actual = duals(Tanh(), *variances, rho * np.sqrt(variances.prod()))
    assert_allclose(actual[0], nngp, atol=1e-12)
    # the argument rho itself rounds
    assert_allclose(actual[1], slope, rtol=1e-6 if 0.99 < abs(rho) < 1.0 else 1e-11)


@each_mixture
@pytest.mark.parametrize("part", [1e-30, 1e-16, 1e-9])
def test_small_gaps_at_large_variance(act, part):
    """The gap of close rows is that before times the slope, and the slope that of equal rows."""
    v = np.array([4.0, 100.0, 1e4])
    (features,) = features_of(act, v)
    gap, slope = dual_of(act, 2.0 * part * v, features, features)[2:]
    z = np.linspace(-10.0, 10.0, 2**17)
    weight = np.exp(-0.5 * z * z) / np.exp(-0.5 * z * z).sum()
    with np.errstate(over="ignore"):
        derivative = getattr(oracle_duals, act.name)(np.sqrt(v)[:, None] * z)[1]
    expected = (derivative**2) @ weight
    near = part * v * 1e2 < 1e-10
    assert_allclose(slope[near], expected[near], rtol=1e-10)
    assert_allclose(gap[near], (2.0 * part * v * expected)[near], rtol=1e-10, atol=0.0)


ROWS = np.random.default_rng(0).standard_normal((12, 4))
ROWS = np.vstack([ROWS, ROWS[:2] + 1e-8, ROWS[:1], -ROWS[:2], 1.5 * ROWS[:1], np.zeros(4)])


@pytest.mark.slow
@pytest.mark.parametrize(
    "act, weight_var",
    [
        *((MIXTURES[0], 0.5), (MIXTURES[1], 3.0), (MIXTURES[0], 100.0)),
        pytest.param(MIXTURES[1], 0.5, marks=pytest.mark.thorough),
        pytest.param(MIXTURES[0], 3.0, marks=pytest.mark.thorough),
        pytest.param(MIXTURES[1], 100.0, marks=pytest.mark.thorough),
    ],
    ids=str,
)
def test_networks(act, weight_var):
    """Both engines, with depth, for near, equal and opposite rows, at any variance of weights."""
    network = oracle.mlp(act.name, 2, weight_var, 0.1)
    pairs = {f"{i} {j}": ROWS[[i, j]] for i, j in [(0, 1), (0, 12), (0, 14), (0, 15), (2, 3)]}
    known = kernels_of_pairs(network, pairs)
    for run in ENGINES.values():
        assert_small(compare(run, network, pairs, known), 1e-11)


@each_mixture
@pytest.mark.parametrize("weight_var", [0.5, 3.0, 100.0])
def test_engines_at_any_variance(act, weight_var):
    """Derivatives are those of the reference engine and of differences; precision and PSD."""

    def program(w):
        return lower(mlp(3, act), w, 0.1)

    values, rates = run_numpy(program(weight_var), ROWS, ROWS, True)
    scale = np.abs(values).max(axis=(1, 2), keepdims=True)
    actual, actual_rates = run_numba(program(weight_var), ROWS, None, True)
    assert_allclose(actual / scale, values / scale, atol=1e-13)
    assert_allclose(actual_rates / scale[..., None], rates / scale[..., None], atol=1e-12)
    above, below = (run_numpy(program(weight_var * np.exp(h)), ROWS, ROWS) for h in (1e-5, -1e-5))
    assert_allclose(rates[..., 0] / scale, (above - below) / 2e-5 / scale, atol=1e-8)
    single = gram(program(weight_var), ROWS, None, BOTH, dtype="float32")
    diagonals = np.sqrt(np.diagonal(values, axis1=1, axis2=2))
    errors = np.abs(np.stack(single) - values) / (diagonals[:, :, None] * diagonals[:, None, :])
    # a gap in single precision does not hold how far it is from that of opposite rows
    size = np.linalg.norm(ROWS, axis=1)
    opposite = ROWS @ ROWS.T < -0.999 * np.outer(size, size)
    assert errors[:, ~opposite].max() <= 5e-6 and errors[:, opposite].max() <= 5e-5
    for K in actual:
        eigenvalues = np.linalg.eigvalsh(K)
        assert eigenvalues[0] >= -1e-12 * eigenvalues[-1]


@each_mixture
def test_extreme_variance(act):
    """No number that is not one; no warning where nothing is lost, up to 1e9."""
    std = 10.0 ** np.arange(-150.0, 151.0, 50.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        act.expand(np.array([1e-300, 1.0, 1e18]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        features = features_of(act, *np.meshgrid(std**2, std**2))
    for part in (0.0, 1e-30, 0.3, 2.0):
        found = dual_of(act, 2.0 * part * np.outer(std, std), *features)
        assert all(np.isfinite(x).all() for x in found[2:])


POSITIONS = {
    "conv": lambda act: (Input(4, 2), Conv(3), act, Conv(2), act, GlobalAvgPool(), Dense()),
    "recurrent": lambda act: (Input(4, 2), Recurrent(act), Dense()),
}


@pytest.mark.thorough
@pytest.mark.parametrize("key", POSITIONS)
@each_mixture
def test_positions_at_any_variance(act, key):
    """The compiled engine is the reference, with derivatives, and in single precision."""
    X = np.random.default_rng(0).standard_normal((6, 8))
    X = np.vstack([X, X[:1] + 1e-8, -X[:1], X[:1]])
    program = lower(POSITIONS[key](act), 30.0, 0.1)
    Z = X.reshape(len(X), 4, 2)
    scan = _positions.scan_rows(program, Z, True)
    expected = _positions.run(program, Z, Z, scan, scan, True)
    values, rates = gram(program, X, None, BOTH, True)
    for actual, desired in zip([*values, *rates], expected, strict=True):
        assert_allclose(actual, desired, rtol=0.0, atol=1e-13 * np.abs(desired).max())
    single = gram(program, X, None, BOTH, dtype="float32")
    for actual, desired in zip(single, expected, strict=False):
        assert_allclose(actual, desired, rtol=0.0, atol=5e-6 * np.abs(desired).max())
