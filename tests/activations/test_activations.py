"""Every registered activation agrees with quadrature of its own function; errors and values."""

import pickle
from typing import NamedTuple

import duals as own
import numpy as np
import oracle_duals
import pytest
from duals import JUMPING, VERSIONS, dual_of, duals, each_closed, each_version, features_of
from numpy.testing import assert_allclose

from sklearn_ntk import activations
from sklearn_ntk.activations import (
    ACTIVATIONS,
    ABReLU,
    ExpNormalized,
    LeakyReLU,
    Monomial,
    Numerical,
    Polynomial,
    ReLU,
    activation,
    as_activation,
)
from sklearn_ntk.activations._registry import MOST_FEATURES, SYNONYMS
from sklearn_ntk.architectures import mlp
from sklearn_ntk.engines import _work
from sklearn_ntk.formulas.gaps import N_FEATURES
from sklearn_ntk.gram import gram
from sklearn_ntk.layers import Dense, lower

few_terms = pytest.mark.filterwarnings("ignore:The Hermite series")
each_class = pytest.mark.parametrize("cls", ACTIVATIONS.values(), ids=ACTIVATIONS)
VARIANCES = np.array([1e-8, 1e-3, 0.3, 1.0, 2.7])
COVARIANCES = [
    (1.0, 1.0, 0.3),
    (0.4, 1.9, -0.5),
    (2.5, 0.7, 1.1),
    (1.1, 1.3, 1.13),
    (0.9, 1.2, 0.0),
]


def panels(edges, n_nodes):
    """Gauss-Legendre nodes and weights on consecutive intervals."""
    nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
    half, middle = 0.5 * np.diff(edges)[:, None], 0.5 * (edges[1:] + edges[:-1])[:, None]
    return (middle + half * nodes).ravel(), (half * weights).ravel()


def function_of(act, variance):
    """The function, on normal numbers of that variance."""
    if isinstance(act, ExpNormalized):  # normalises them
        std, square = np.sqrt(variance), 0.5 * act.gamma * (act.shift - 1.0)
        return lambda x: std * np.exp(np.sqrt(act.gamma) * x / std + square)
    return act.fn


def mean_of(function, variance):
    """``E[function(u)]`` for ``u ~ N(0, variance)``; the function may have a kink at zero."""
    z, weight = panels(np.linspace(-12.0, 12.0, 9), 60)
    return (weight * np.exp(-0.5 * z * z)) @ function(np.sqrt(variance) * z) / np.sqrt(2.0 * np.pi)


def squared_difference(fn, variance):
    """Square of the derivative of a function, by differences, for numbers of that variance."""
    step = 1e-6 * np.sqrt(variance)
    return lambda x: ((fn(x + step) - fn(x - step)) / (2.0 * step)) ** 2


def duals_by_quadrature(act, a, b, c):
    """``E[f(u) f(v)]``, and ``E[f'(u) f'(v)]`` by parts, in polar panels cut at u = 0 and v = 0."""
    v1, v2 = c / np.sqrt(a), np.sqrt(b - c * c / a)
    lines = 0.5 * np.pi + np.pi * np.arange(2)[:, None] + [0.0, np.arctan2(v2, v1)]
    edges = np.sort(lines.ravel())
    angle, angle_weight = panels(np.append(edges, edges[0] + 2.0 * np.pi), 50)
    radius, radius_weight = panels(np.array([0.0, 2.0, 5.0, 11.0]), 40)
    radius_weight = radius_weight * radius * np.exp(-0.5 * radius**2) / (2.0 * np.pi)
    u = np.sqrt(a) * np.outer(radius, np.cos(angle))
    v = np.outer(radius, v1 * np.cos(angle) + v2 * np.sin(angle))
    determinant = a * b - c * c
    score = (b * u - c * v) * (a * v - c * u) / determinant**2 + c / determinant
    products = function_of(act, a)(u) * function_of(act, b)(v)
    return [radius_weight @ (products * factor) @ angle_weight for factor in (1.0, score)]


@each_version
def test_variance(act):
    for variance in VARIANCES:
        fn = function_of(act, variance)
        expected = mean_of(lambda x, fn=fn: fn(x) ** 2, variance)
        (features,) = features_of(act, variance)
        std = dual_of(act, 0.0, features, features)[0]
        assert_allclose(std**2, expected, rtol=1e-13)
        if not act.is_series:
            assert_allclose(act.variance(variance), expected, rtol=1e-13)


@pytest.mark.slow
@each_version
def test_dual(act):
    for covariance in COVARIANCES:
        nngp, slope = duals(act, *covariance)
        expected_nngp, expected_slope = duals_by_quadrature(act, *covariance)
        a, b = (duals(act, v, v, v)[0] for v in covariance[:2])
        assert_allclose(nngp, expected_nngp, rtol=0.0, atol=1e-13 * np.sqrt(a * b))
        if not isinstance(act, JUMPING):
            assert_allclose(slope, expected_slope, rtol=1e-11, atol=1e-11 * np.sqrt(a * b))


@each_version
def test_slope_is_the_derivative(act):
    """Price's theorem, by differences."""
    for covariance in COVARIANCES:
        a, b, c = covariance
        step = 1e-4
        above, below = (duals(act, a, b, c + h)[0] for h in (step, -step))
        slope = duals(act, a, b, c)[1]
        if not isinstance(act, JUMPING):
            assert_allclose((above - below) / (2.0 * step), slope, rtol=1e-6, atol=1e-9)


@each_version
def test_slope_of_equal_rows(act):
    """``E[f'(u)^2]``, by differences of the function."""
    for variance in VARIANCES:
        expected = mean_of(squared_difference(function_of(act, variance), variance), variance)
        (features,) = features_of(act, variance)
        if isinstance(act, JUMPING):
            expected = 0.0
        slope = dual_of(act, 0.0, features, features)[3]
        assert_allclose(slope, expected, rtol=1e-6, atol=1e-9)


@each_closed
def test_features(act):
    """The first two are standard deviations; programs have room for so many."""
    v = np.r_[0.0, VARIANCES]
    features = act.features(v)
    assert 2 <= len(features) <= N_FEATURES
    assert all(np.shape(feature) == v.shape for feature in features)
    assert_allclose(features[0], np.sqrt(v), rtol=1e-15)
    assert_allclose(features[1] ** 2, act.variance(v), rtol=1e-15)


@few_terms
@each_version
def test_equal_rows_have_no_gap(act):
    is_bounded = act.name not in (*oracle_duals.GROWING, "numerical", "elementwise")
    large = [1e4, 1e300] if is_bounded else []
    (features,) = features_of(act, np.r_[0.0, 1e-300, VARIANCES, large])
    _, _, gap, slope = dual_of(act, np.zeros_like(features[0]), features, features)
    assert np.all(gap == 0.0)
    assert np.all(np.isfinite(slope)) and np.all(slope >= 0.0)


@few_terms
@each_version
def test_dual_of_any_two_rows(act):
    """Whichever is the first, from parallel to antiparallel ones, the dual is a covariance."""
    a, b = np.meshgrid(np.r_[0.0, 1e-12, VARIANCES, 30.0], np.r_[0.0, VARIANCES, 1.0 + 1e-9])
    left, right = features_of(act, a, b)
    parallel = dual_of(act, 0.0 * a, left, right)[3]
    for part in [0.0, 1e-20, 1e-12, 1e-4, 0.3, 1.0, 1.7, 2.0]:
        q = 2.0 * part * np.sqrt(a * b)
        std, other, gap, slope = dual_of(act, q, left, right)
        swapped, swapped_slope = dual_of(act, q, right, left)[2:]
        rounding = 1e-14 * np.maximum(std, other) ** 2
        assert np.all(gap >= -rounding) and np.all(gap <= 4.0 * std * other + rounding)
        assert np.all(np.abs(gap - swapped) <= rounding)
        half_angle = 2e-8 if part == 2.0 else 0.0  # lost where rows are antiparallel
        rounding = half_angle + 1e-15 * np.maximum(parallel.max(), 1.0)
        assert_allclose(slope, swapped_slope, rtol=1e-12, atol=rounding)


@each_version
def test_small_gaps(act):
    """The gap of close rows of equal norm is that before times the slope, to many digits."""
    for part in [1e-30, 1e-24, 1e-16]:
        v = np.array([0.3, 1.0, 2.7])
        (features,) = features_of(act, v)
        _, _, gap, slope = dual_of(act, 2.0 * part * v, features, features)
        if not isinstance(act, JUMPING):
            assert_allclose(gap, 2.0 * part * v * slope, rtol=1e-7, atol=1e-18 * np.sqrt(part))


@each_version
def test_gap_of_parallel_rows(act):
    """It is proportional to the square of the difference, with an error of 1e-16 in its root."""
    v = np.array([0.3, 1.0, 2.7])
    roots = []
    for step in (1e-3, 1e-7):
        left, right = features_of(act, v, v * (1.0 + step) ** 2)
        std, _, gap, _ = dual_of(act, 0.0 * v, left, right)
        roots.append(np.sqrt(gap) / std / step)
    assert_allclose(roots[1], roots[0], rtol=1e-2, atol=2e-8)


@each_class
def test_parameters_of_zero(cls):
    """Functions that vanish or are constant have duals, too."""
    act = cls(**{field: 0.0 for field in cls._field_defaults if field not in cls.domains})
    left, right = features_of(act, np.array([0.0, 0.5, 2.0]), np.array([0.3, 0.5, 1.0]))
    std, other, gap, slope = dual_of(act, np.array([0.0, 0.4, 2.1]), left, right)
    assert np.all(np.isfinite(gap)) and np.all(np.isfinite(slope))
    covariance = std * other - 0.5 * gap
    assert_allclose(covariance[1], duals_by_quadrature(act, 0.5, 0.5, 0.3)[0], atol=1e-15)


OF_NEURAL_TANGENTS = {
    "ABReLU(-0.3, 1.2)": [
        [2.12153178125, 1.676637783534, 2.8128288125],
        [5.73509534375, 2.218709883118, 7.8089864375],
    ],
    "Erf(0.7, 1.3, 0.4)": [
        [0.8362957977363, 0.5970097173138, 0.8421321534935],
        [1.756659626905, 0.7415666327848, 1.847297678994],
    ],
    "ExpNormalized()": [
        [3.39125, 2.212715522484, 4.5725],
        [9.47375, 2.911202859963, 13.0175],
    ],
    "ExpNormalized(0.8, -0.6)": [
        [6.096338671591, 4.642290706188, 8.33655671027],
        [14.32265782793, 6.097306452981, 19.78878984231],
    ],
    "Gabor()": [
        [0.3208681574869, 0.267771466679, 0.3203312263057],
        [0.8465283170698, 0.3506960946318, 0.9228040284257],
    ],
}
"""K and T of two rows, equal and different, in networks of depth 2 by neural-tangents 0.6.5."""


@pytest.mark.parametrize("text", OF_NEURAL_TANGENTS)
def test_values_of_neural_tangents(text, monkeypatch):
    monkeypatch.setitem(_work.ENGINES, "cpu", "reference")
    network = mlp(2, eval(text, vars(activations)))
    X = np.array([[0.3, -1.2, 0.8], [1.5, 0.4, -0.9]])
    both = np.stack(gram(lower(network, 1.5, 0.2), X, get=("nngp", "ntk")))
    expected = OF_NEURAL_TANGENTS[text]
    assert_allclose(both.reshape(2, 4)[:, [0, 1, 3]], expected, rtol=1e-12)


@pytest.mark.parametrize("low, same", [(0.2, LeakyReLU(0.2)), (-1.0, activations.Abs())], ids=str)
def test_two_slopes(low, same):
    """Other rectifiers are special cases, to the bit."""
    left, right = features_of(same, np.array([0.3, 1.0]), np.array([0.5, 1.0]))
    q = np.array([0.1, 1.9])
    ours, theirs = (dual_of(act, q, left, right) for act in (ABReLU(low, 1.0), same))
    assert all(np.array_equal(x, y) for x, y in zip(ours, theirs, strict=True))


def test_function_of_normalised_signals():
    """It is the one whose dual the class has, where the mean square is the variance."""
    act, x = ExpNormalized(0.7, -0.4), np.array([[1.0, -1.0], [0.5, -0.5], [0.0, 0.0]])
    expected = [function_of(act, 1.0)(x[0]), function_of(act, 0.25)(x[1]), [0.0, 0.0]]
    assert_allclose(act.fn(x), expected, rtol=1e-15)


# --- Names and values -----------------------------------------------------------------------------


@each_class
def test_name(cls):
    """The name is enough where the defaults serve, and is how such an activation prints."""
    assert as_activation(cls.name) == cls()
    assert type(as_activation(cls.name)) is cls
    assert str(cls()) == cls.name
    assert getattr(activations, cls.__name__) is cls


@each_version
def test_value(act):
    """A copy is equal and has the same hash; the representation can be evaluated."""
    copy = pickle.loads(pickle.dumps(act))
    assert copy == act and type(copy) is type(act) and hash(copy) == hash(act)
    names = {"sin": np.sin, "cos": np.cos}
    assert eval(repr(act), vars(own) | vars(activations) | names) == act
    assert str(act) in (act.name, repr(act))
    assert as_activation(act) == act
    with pytest.raises(AttributeError):
        setattr(act, act._fields[0], 2.0)


def test_equality_is_by_type():
    everything = [*VERSIONS, *(tuple(act) for act in VERSIONS)]
    for i, one in enumerate(everything):
        for j, other in enumerate(everything[: len(VERSIONS)]):
            same = type(one) is type(other) and tuple(one) == tuple(other)
            assert (one == other) is same and (one != other) is not same
            assert same or i != j
    assert len(set(VERSIONS)) == len(VERSIONS)


def test_parameters_become_floats():
    for number in (2, np.int64(2), np.float32(2.0)):
        (leak,) = as_activation(LeakyReLU(number))
        assert type(leak) is float and leak == 2.0
        (degree,) = as_activation(Monomial(number))
        assert type(degree) is int and degree == 2
    (coefficients,) = as_activation(Polynomial([1, np.int64(2)]))
    assert coefficients == (1.0, 2.0) and set(map(type, coefficients)) == {float}
    assert str(as_activation(ReLU(1))) == "relu" and str(ReLU(2.0)) == "ReLU(gain=2.0)"


# --- Errors ---------------------------------------------------------------------------------------


def test_unknown_name():
    with pytest.raises(ValueError, match=r"Unknown activation 'rellu'.*mean 'relu'\?") as error:
        as_activation("rellu")
    assert all(name in str(error.value) for name in ACTIVATIONS)
    with pytest.raises(ValueError, match=r"Unknown activation 'ReLU'.*mean 'relu'\?"):
        as_activation("ReLU")
    with pytest.raises(ValueError) as error:
        as_activation("qqq")
    assert "mean" not in str(error.value)


@pytest.mark.parametrize("name", SYNONYMS)
def test_names_from_elsewhere(name):
    assert name not in ACTIVATIONS
    for text in (name, name.capitalize()):
        with pytest.raises(ValueError, match=rf"mean '{SYNONYMS[name]}'\?"):
            as_activation(text)


@pytest.mark.parametrize(
    "spec", [None, 3, ReLU, np.tanh, (1.0,), Dense(), b"relu", Numerical], ids=repr
)
def test_wrong_type(spec):
    with pytest.raises(TypeError, match="activation must be a name or an object") as error:
        as_activation(spec)
    assert repr(spec) in str(error.value)


def test_polynomials_have_the_degrees_of_monomials():
    highest = (0.0,) * 60 + (1.0,)
    assert as_activation(Polynomial(highest)) == Polynomial(highest)
    for wrong in ((*highest, 0.0), (0.0,) * 200, ()):
        with pytest.raises(ValueError, match="must be a tuple of 1 to 61 finite numbers; got"):
            as_activation(Polynomial(wrong))


@each_class
@pytest.mark.parametrize(
    "number", [np.nan, np.inf, -np.inf, True, np.True_, None, "1", 1j], ids=repr
)
def test_wrong_parameter(cls, number):
    for field in cls._fields:
        with pytest.raises(ValueError, match=f"{field} of {cls.__name__} must be a .* number") as e:
            as_activation(cls(**{field: number}))
        assert f"got {number!r}" in str(e.value)


@pytest.mark.parametrize("act", [activations.Gaussian(rate=0.5), activations.Gaussian(rate=0.0)])
def test_rate_of_gaussian(act):
    message = f"rate of Gaussian must be a negative number; got {act.rate}"
    with pytest.raises(ValueError, match=message):
        as_activation(act)


@pytest.mark.parametrize("gamma", [0.0, -1.0])
def test_gamma_of_rbf(gamma):
    with pytest.raises(ValueError, match=f"gamma of RBF must be a positive number; got {gamma}"):
        as_activation(activations.RBF(gamma))


def test_too_many_features():
    """They are counted when a class is registered, which it then is not."""
    assert MOST_FEATURES == N_FEATURES

    class Clover(NamedTuple):
        leaves: float = 7.0

        def features(self, v):
            return (np.sqrt(v),) * 7

    with pytest.raises(ValueError, match="features of Clover must be at most 6 arrays; got 7: let"):
        activation("clover")(Clover)
    assert "clover" not in ACTIVATIONS
