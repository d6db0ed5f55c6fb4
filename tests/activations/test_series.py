"""Hermite series of activations: accuracy, derivatives, and what happens where they end."""

import json
import warnings
from pathlib import Path

import numpy as np
import oracle
import pytest
from contract import ENGINES, assert_small, compare, kernels_of_pairs, run_numba, run_numpy
from duals import SERIES, dual_of, duals, each_series, features_of
from mpmath import mp, mpf
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special

from sklearn_ntk import NTKClassifier, NTKKernel, NTKRegressor, NTKRegressorCV, activations
from sklearn_ntk.activations import Hermite, Mish, Numerical, Polynomial, Tanh, _mixtures
from sklearn_ntk.architectures import mlp
from sklearn_ntk.engines.reference import lines as _positions
from sklearn_ntk.engines.rows import tiles as rows
from sklearn_ntk.formulas.series import orders_of
from sklearn_ntk.gram import diagonal, gram
from sklearn_ntk.layers import Conv, Dense, GlobalAvgPool, Input, Recurrent, lower

DATA = Path(__file__).parents[1] / "data" / "quadrature"
BOTH = ("nngp", "ntk")
VARIANCES = np.array([1e-6, 1e-3, 0.3, 1.0, 1.7])
COVARIANCES = [(1.0, 1.0, 0.3), (0.4, 1.9, -0.5), (1.5, 0.7, 0.9), (1.0, 1.0, 1.0 - 1e-12)]


@each_series
def test_coefficients_have_norm_one(act):
    rows = act.expand(VARIANCES)
    assert_allclose((rows.unit**2).sum(axis=0), 1.0, rtol=1e-14)
    assert_allclose((rows.unit * rows.dunit).sum(axis=0), 0.0, atol=1e-13)
    assert_allclose(rows.gain * np.sqrt(VARIANCES), rows.std, rtol=1e-15)


@each_series
def test_rates(act):
    """Against differences along log s^2."""
    step = 1e-5
    rows = act.expand(VARIANCES)
    above, below = (act.expand(VARIANCES * np.exp(h)) for h in (step, -step))
    assert_allclose((above.std - below.std) / (2.0 * step), rows.dstd, rtol=1e-7, atol=1e-10)
    for n, unit in enumerate(zip(above.unit, below.unit, strict=False)):
        if n < len(rows.unit):
            expected = (unit[0] - unit[1]) / (2.0 * step)
            assert_allclose(expected, rows.dunit[n], rtol=1e-6, atol=1e-8)


@each_series
def test_shapes(act):
    """Rows of any shape; those that are given together have as many coefficients."""
    v = np.array([[0.3, 1.0, 0.0], [1.7, 1e-3, 0.3]])
    rows = act.expand(v)
    assert rows.std.shape == v.shape and rows.unit.shape[1:] == v.shape
    flat = act.expand(v.ravel())
    for nested, plain in zip(rows, flat, strict=True):
        assert_allclose(nested.reshape(plain.shape), plain, rtol=0.0, atol=1e-15)


def test_rows_of_all_sizes():
    """Rows that need more nodes have those next to them, and the order stays."""
    v = np.array([1e-12, 1.7, 0.3, 1.2, 0.0, 1.6, 1.7, 0.3])
    whole = Tanh().expand(v)
    for place in range(len(v)):
        alone = Tanh().expand(v[[place]])
        n_terms = min(len(whole.unit), len(alone.unit))
        assert_allclose(whole.std[place], alone.std[0], rtol=1e-15)
        assert_allclose(whole.unit[:n_terms, place], alone.unit[:n_terms, 0], atol=1e-14)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("held", [2_000_000, 1])
def test_parts(held, dtype, monkeypatch):
    """Coefficients that are made anew for parts of the rows are the same to the bit."""
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((700, 3)), rng.standard_normal((600, 3))
    program = lower(mlp(2, "softplus"), 1.5, 0.1)

    def results():
        found = [gram(program, X, Z, BOTH, True, dtype) for Z in (None, Y)]
        return [np.asarray(part) for values, rates in found for part in (*values, *rates)]

    expected = results()
    monkeypatch.setattr(rows, "HELD", held)
    for actual, desired in zip(results(), expected, strict=True):
        np.testing.assert_array_equal(actual, desired)
    for matrix, diagonals in zip(
        expected, sum(diagonal(program, X, BOTH, True, dtype), ()), strict=False
    ):
        np.testing.assert_array_equal(matrix, np.swapaxes(matrix, 0, 1))
        np.testing.assert_array_equal(matrix[range(700), range(700)], diagonals)


@pytest.mark.parametrize("covariance", COVARIANCES, ids=str)
@pytest.mark.parametrize("name", oracle.SMOOTH)
def test_dual(name, covariance):
    """Against the trapezoid rule in the plane, in longer numbers."""
    actual = duals(activations.ACTIVATIONS[name](), *covariance)
    expected = oracle.dual(name, {}, *map(mpf, covariance))
    assert_allclose(actual, np.array(expected, float), rtol=2e-13, atol=1e-15)


@pytest.mark.parametrize("degree", [0, 1, 2, 7, 12])
def test_hermite(degree):
    """At unit variance the dual is a power; the function is normalised."""
    rho = np.array([-0.4, 0.0, 0.3, 1.0 - 1e-9])
    left, right = features_of(Hermite(degree), 1.0, 1.0)
    std, other, gap, slope = dual_of(Hermite(degree), 2.0 * (1.0 - rho), left, right)
    assert_allclose(std * other - 0.5 * gap, rho**degree, atol=1e-14)
    assert_allclose(slope, degree * rho ** max(degree - 1, 0), atol=2e-13)


def test_polynomial_of_hermite_polynomials():
    """A Hermite polynomial is a polynomial, at any variance."""
    coefficients = np.polynomial.hermite_e.herme2poly([0, 0, 0, 1]) / np.sqrt(6.0)
    expected = Hermite(3).expand(VARIANCES)
    for left, right in zip(Polynomial(coefficients).expand(VARIANCES), expected, strict=True):
        assert_allclose(left, right, atol=1e-13)


@pytest.mark.parametrize("case", sorted(path.stem for path in DATA.glob("*.json")))
def test_stored_values(case):
    """The reference implementation, whose quadrature is good to six digits, of tanh to two."""
    data = json.loads((DATA / f"{case}.json").read_text())
    layers = oracle.from_reference(data["layers"])
    depth = sum(kind == "activation" for kind, *_ in layers)
    name = layers[1][1]
    program = lower(mlp(depth, name), layers[0][1], layers[0][2])
    X, Y = np.array(data["x1"]), np.array(data["x2"])
    for Z, suffix in ((None, "x1_x1"), (Y, "x1_x2")):
        for actual, kernel in zip(gram(program, X, Z, BOTH), BOTH, strict=True):
            expected = np.array(data[f"{kernel}_{suffix}"])
            tolerance = (2e-3 if name == "tanh" else 2e-6) * np.abs(expected).max()
            assert_allclose(actual, expected, rtol=0.0, atol=tolerance)


# --- The ends -------------------------------------------------------------------------------------


@pytest.mark.parametrize("act", [a for a in SERIES if a.name != "numerical"], ids=repr)
@pytest.mark.filterwarnings("ignore:The Hermite series")
def test_any_variance(act):
    """Never nan, and infinite only where the kernel is."""
    v = np.r_[0.0, 10.0 ** np.arange(-320.0, 301.0, 20.0), 5e-324]
    with np.errstate(all="ignore"):
        rows = act.expand(v)
    for field in (rows.std, rows.unit):
        assert not np.isnan(field).any()
    assert np.isfinite(rows.unit).all() and np.all(rows.std[v <= 1.0] < 1e3)
    (order,) = np.nonzero(np.isfinite(rows.std))
    assert_allclose((rows.unit[:, order] ** 2).sum(axis=0), 1.0, rtol=1e-11)


def test_row_of_zeros():
    """A function that vanishes at zero has no variance there, and its derivative counts."""
    rows = Tanh().expand(np.array([0.0, 1.0]))
    assert rows.std[0] == 0.0 and rows.gain[0] == pytest.approx(1.0)
    assert duals(Tanh(), 0.0, 0.0, 0.0) == (0.0, pytest.approx(1.0))
    sigmoid = activations.Sigmoid()
    assert duals(sigmoid, 0.0, 0.0, 0.0) == pytest.approx((0.25, 1.0 / 16.0))
    assert duals(sigmoid, 0.0, 1.0, 0.0)[0] == pytest.approx(0.25)


def test_too_few_terms():
    """Errors stay below what the warning says."""
    exact = [oracle.dual("mish", {}, *map(mpf, (25.0, 25.0, c))) for c in (25.0, 24.0, 5.0, -24.0)]
    with pytest.warns(RuntimeWarning, match="Hermite series of mish has 256 terms.* up to 5:") as w:
        actual = [duals(Mish(), 25.0, 25.0, c) for c in (25.0, 24.0, 5.0, -24.0)]
    words = str(w[0].message).split()
    stated = [float(words[i - 3]) for i, word in enumerate(words) if word in ("NNGP", "NTK;")]
    error = np.abs(np.array(actual) - np.array(exact, float)).max(axis=0)
    assert np.all(error <= np.array(stated) * np.array(exact[0], float))
    assert "take a smaller weight_var" in str(w[0].message)


def _count_warnings(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return len(caught)


def test_one_warning_a_call(monkeypatch):
    """For all layers and slabs of rows, with coefficients that are made more than once."""
    monkeypatch.setattr(rows, "HELD", 1)
    X = 5.0 * np.random.default_rng(0).standard_normal((700, 3))
    y, kernel = X[:60, 0], NTKKernel(3, "mish")
    assert _count_warnings(lambda: kernel(X)) == 1
    assert _count_warnings(lambda: kernel.diag(X)) == 1
    for estimator in (
        NTKRegressor(activation="mish"),
        NTKClassifier(activation="mish"),
        NTKRegressorCV([{"activation": ["mish"], "depth": [1, 2], "bias_var": [0.1, 1.0]}]),
    ):
        target = (y > 0.0) if isinstance(estimator, NTKClassifier) else y
        assert _count_warnings(lambda e=estimator, t=target: e.fit(X[:60], t)) == 1
        assert _count_warnings(lambda e=estimator: e.predict(X[:70])) == 1


def test_overflow_in_any_slab():
    X = np.ones((900, 1))
    X[700] = 1e80
    with pytest.raises(ValueError, match="overflows on rows whose largest entry is 1e"):
        gram(lower(mlp(1, Polynomial((0.0, 0.0, 1.0))), 2.0, 0.1), X)


def test_no_warning_for_usual_variances():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Mish().expand(np.array([0.1, 4.0]))


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


@each_mixture
@pytest.mark.parametrize(
    "covariance",
    [(4.0, 4.0, 3.9), (9.0, 25.0, -14.0), (100.0, 100.0, 100.0), (100.0, 60.0, 30.0)],
    ids=str,
)
def test_dual_at_large_variance(act, covariance):
    """Against the trapezoid rule in the plane, in longer numbers."""
    actual = duals(act, *covariance)
    exact = [float(x) for x in oracle.dual(act.name, {}, *map(mpf, covariance))]
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
        derivative = getattr(oracle, act.name)(np.sqrt(v)[:, None] * z)[1]
    expected = (derivative**2) @ weight
    near = part * v * 1e2 < 1e-10
    assert_allclose(slope[near], expected[near], rtol=1e-10)
    assert_allclose(gap[near], (2.0 * part * v * expected)[near], rtol=1e-10, atol=0.0)


ROWS = np.random.default_rng(0).standard_normal((12, 4))
ROWS = np.vstack([ROWS, ROWS[:2] + 1e-8, ROWS[:1], -ROWS[:2], 1.5 * ROWS[:1], np.zeros(4)])


@pytest.mark.parametrize("weight_var", [0.5, 3.0, 100.0])
@pytest.mark.parametrize("act", MIXTURES[:2], ids=str)
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


# --- Exponential linear units ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "covariance",
    [
        (1.0, 1.3, 0.4),
        (30.0, 20.0, -10.0),
        (2.0, 2.0, -1.999),
        (1e-2, 2e-2, 0.0),
        (1.0, 1.0, 1.0 - 1e-6),
        pytest.param((200.0, 300.0, 40.0), marks=pytest.mark.slow),
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
        k, slope = oracle.dual(act.name, act._asdict(), *map(mpf, covariance))
        expected = mp.sqrt(mp.mpf(act.variance(a)) * mpf(act.variance(b))) - k
        gap, actual_slope = act.dual(float(q), left, right)
        size = left[1] * right[1]
        tolerance = 1e-12 if max(a, b) > 100.0 else 2e-14  # of the quadrature
        assert abs(gap / 2 - expected) <= tolerance * size
        assert abs(actual_slope - slope) <= 10.0 * tolerance
