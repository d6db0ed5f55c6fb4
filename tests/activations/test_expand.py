"""Hermite series of activations: accuracy, derivatives, and what happens where they end."""

import json
import warnings
from pathlib import Path

import numpy as np
import oracle
import oracle_duals
import pytest
from duals import SERIES, dual_of, duals, each_series, features_of
from mpmath import mpf
from numpy.testing import assert_allclose

from sklearn_ntk import NTKClassifier, NTKKernel, NTKRegressor, NTKRegressorCV, activations
from sklearn_ntk.activations import Hermite, Mish, Polynomial, Tanh
from sklearn_ntk.architectures import mlp
from sklearn_ntk.engines.rows import tiles as rows
from sklearn_ntk.gram import diagonal, gram
from sklearn_ntk.layers import lower

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


@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.thorough)])
@pytest.mark.parametrize("held", [2_000_000, 1])
def test_parts(held, dtype, monkeypatch):
    """Coefficients that are made anew for parts of the rows are the same to the bit."""
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((400, 3)), rng.standard_normal((300, 3))
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
        np.testing.assert_array_equal(matrix[range(400), range(400)], diagonals)


@pytest.mark.parametrize("covariance", COVARIANCES, ids=str)
@pytest.mark.parametrize("name", oracle_duals.SMOOTH)
def test_dual(name, covariance):
    """Against the trapezoid rule in the plane, in longer numbers."""
    actual = duals(activations.ACTIVATIONS[name](), *covariance)
    expected = oracle_duals.dual(name, {}, *map(mpf, covariance))
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
    covariances = [(25.0, 25.0, c) for c in (25.0, 24.0, 5.0, -24.0)]
    exact = [oracle_duals.dual("mish", {}, *map(mpf, abc)) for abc in covariances]
    with pytest.warns(RuntimeWarning, match="Hermite series of mish has 256 terms.* up to 5:") as w:
        actual = [duals(Mish(), *abc) for abc in covariances]
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


@pytest.mark.thorough
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
