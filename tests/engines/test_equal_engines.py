"""The engines agree, also on activations from elsewhere; one takes other types of arrays."""

from typing import NamedTuple

import numpy as np
import oracle_duals
import pytest
from contract import (
    ASIDE,
    ENGINES,
    JUMPING,
    ROW,
    engines,
    errors,
    rows_of,
    run_cuda,
    run_numba,
    run_numpy,
    varied,
)
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_ntk.activations import ACTIVATIONS, activation
from sklearn_ntk.architectures import mlp, resmlp
from sklearn_ntk.engines.packing.sides import NEAR
from sklearn_ntk.engines.reference import tiles as _numpy
from sklearn_ntk.layers import Dense, Dropout, LayerNorm, lower

COMPILING = run_numba, run_cuda
few_terms = pytest.mark.filterwarnings("ignore:The Hermite series")


# --- Equal engines --------------------------------------------------------------------------------


def rows_of_all_kinds():
    """Random rows with near duplicates, parallel, opposite and zero rows among them."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((9, 4))
    near = X[:4] + np.array([[1e-2], [3e-3], [1e-5], [1e-9]]) * rng.standard_normal((4, 4))
    return X, np.vstack([near, 2.0 * X[4], -X[5], 1e-3 * X[6], np.zeros(4), X[7]])


@pytest.mark.parametrize("run", COMPILING, ids=["numba", "cuda"])
@pytest.mark.parametrize("network", [mlp, resmlp])
@pytest.mark.parametrize("cls", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_engines_agree(cls, network, run):
    """With derivatives and without."""
    X, Y = rows_of_all_kinds()
    depth = 1 if cls.name in oracle_duals.GROWING else 2
    program = lower(network(depth, varied(cls)), 1.7, 0.1)
    expected, expected_rates = run_numpy(program, X, Y, gradient=True)
    actual, rates = run(program, X, Y, gradient=True)
    for values in (actual, run(program, X, Y), run_numpy(program, X, Y)):
        error = errors(values, expected, program, X, Y)
        assert error.max() <= (1e-12 if cls.name in JUMPING else 1e-13)
    for p in range(2):
        error = errors(rates[..., p], expected_rates[..., p], program, X, Y)
        assert error.max() <= 1e-12


@pytest.mark.slow
@few_terms
@engines
@pytest.mark.parametrize("cls", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_values_with_derivatives(cls, run):
    """They are those without, also around instructions without weights."""
    X, Y = rows_of_all_kinds()
    network = (Dense(), LayerNorm(), cls(), Dropout(0.8), Dense(1.0, 0.0))
    program = lower(network, 1.7, 0.1)
    expected, (values, rates) = run(program, X, Y), run(program, X, Y, gradient=True)
    assert errors(values, expected, program, X, Y).max() <= 1e-15
    for place, moves in enumerate(np.exp(1e-5 * np.eye(2))):
        ends = [run(lower(network, 1.7 * w, 0.1 * b), X, Y) for w, b in (moves, 1.0 / moves)]
        error = errors(rates[..., place], (ends[0] - ends[1]) / 2e-5, program, X, Y)
        assert np.median(error) <= 1e-9


@pytest.mark.slow
@few_terms
@engines
@pytest.mark.parametrize("cls", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_zero_rows_before_a_normalisation(cls, run):
    """Without bias they stay zero there, and no weight in front of it counts."""
    X, Y = rows_of_all_kinds()
    assert not Y[7].any()
    for network in ((Dense(), LayerNorm(), cls(), Dense(1.0, 0.0)), (Dense(), LayerNorm())):
        program = lower(network, 1.7, 0.0)
        values, rates = run(program, X, Y, gradient=True)
        assert errors(values, run(program, X, Y), program, X, Y).max() <= 1e-15
        assert_array_equal(rates[:, :, 7], 0.0)
        error = errors(rates[..., 0], 0.0, program, X, Y)
        assert np.median(error) <= 1e-14 and error.max() <= 1e-6


def test_start_from_inner_products():
    """Where the compiled engine changes to differences, long rows lose nothing."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((8, 784)) + 3.0
    steps = np.sqrt(NEAR["float64"]) * np.linspace(0.5, 2.0, 40)
    Y = X[0] + steps[:, None] * np.linalg.norm(X[0]) * np.eye(784)[:40]
    program = lower(mlp(3), 2.0, 0.1)
    expected = run_numpy(program, X, Y)
    assert errors(run_numba(program, X, Y), expected, program, X, Y).max() <= 1e-12


# --- Other array types ----------------------------------------------------------------------------


class Foreign(NDArrayOperatorsMixin):
    """An array that speaks the NumPy protocols and refuses to become a NumPy array."""

    def __init__(self, data):
        self.data = np.asarray(data)

    def _refuse(self, *arguments, **options):
        raise TypeError("a foreign array was converted")

    __array__ = __float__ = __int__ = __bool__ = __len__ = __iter__ = __index__ = _refuse
    shape = property(lambda self: self.data.shape)

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        assert method == "__call__" and not options
        assert not any(isinstance(x, np.ndarray) and x.ndim for x in inputs)
        return Foreign(ufunc(*(x.data if isinstance(x, Foreign) else x for x in inputs)))

    def __array_function__(self, function, types, arguments, options):
        first, *rest = arguments
        if isinstance(first, (list, tuple)):
            first = [x.data if isinstance(x, Foreign) else x for x in first]
        rest = (x.data if isinstance(x, Foreign) else x for x in rest)
        return Foreign(function(getattr(first, "data", first), *rest, **options))

    def __getitem__(self, key):
        assert all(k is None or isinstance(k, (int, slice)) for k in np.atleast_1d(key))
        return Foreign(self.data[key])

    def sum(self, axis):
        return Foreign(self.data.sum(axis=axis))


@pytest.mark.slow
@pytest.mark.reference
@pytest.mark.parametrize(
    "network, gradient",
    [
        *((mlp, False), (resmlp, True)),
        *(pytest.param(*p, marks=pytest.mark.thorough) for p in ((mlp, True), (resmlp, False))),
    ],
)
@pytest.mark.parametrize("cls", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_foreign_arrays(cls, network, gradient):
    """The reference engine stays within the array type of its arguments.

    Hermite series of rows are made by NumPy, and then converted.
    """
    X, Y = rows_of_all_kinds()
    program = lower(network(1, varied(cls)), 1.7, 0.1)

    def run(kind):
        if varied(cls).is_series:
            scan = _numpy.scan_rows(program, (np.vstack([X, Y]) ** 2).mean(axis=1), gradient)
            parts = slice(len(X)), slice(len(X), None)
            sides = [converted(rows_of(scan, part), kind) for part in parts]
        else:
            variances = [kind((Z * Z).mean(axis=1)) for Z in (X, Y)]
            sides = [_numpy.scan_rows(program, v, gradient) for v in variances]
        gap = _numpy.initial_gap(kind(X), kind(Y))
        left = sides[0]
        rows = left[2 : 6 if gradient else 4]
        return [*flat(_numpy.run(program, gap, *sides, gradient)), *flat(rows)]

    for foreign, usual in zip(run(Foreign), run(np.asarray), strict=True):
        assert type(foreign) is Foreign and type(usual) is np.ndarray
        assert_array_equal(foreign.data, usual)


def converted(scan, kind):
    """A scan with its arrays in another type."""

    def convert(value):
        if isinstance(value, (list, tuple)):
            return type(value)(convert(item) for item in value)
        return kind(value) if isinstance(value, np.ndarray) else value

    return _numpy.TileRows(*map(convert, scan))


def flat(results):
    """Leaves of nested tuples."""
    return [leaf for r in results for leaf in (flat(r) if isinstance(r, tuple) else [r])]


# --- Activations from elsewhere -------------------------------------------------------------------


@pytest.fixture
def square():
    """A registered activation ``scale * x^2``, of which the package knows nothing."""

    @activation("square")
    class Square(NamedTuple):
        scale: float = 1.0

        def fn(self, x):
            return self.scale * x * x

        def variance(self, v):
            return 3.0 * self.scale**2 * v**2

        def features(self, v):
            return np.sqrt(v), np.sqrt(3.0) * np.abs(self.scale) * v

        def dual(self, q, left, right):
            product = left[0] * right[0]
            slope = 4.0 * self.scale**2 * (product - 0.5 * q)
            return 2.0 * self.scale**2 * q * (2.0 * product - 0.5 * q), slope

    yield Square
    del ACTIVATIONS["square"]


@pytest.mark.parametrize(
    "run",
    [run_numpy, *(pytest.param(run, marks=pytest.mark.slow) for run in COMPILING)],
    ids=ENGINES,
)
def test_own_activation(square, run):
    """Code for it is compiled anew in every process, which takes its time."""
    X, Y = np.array([ROW, ASIDE]), np.array([ROW, -0.5 * ROW, ASIDE + 1e-4 * ROW])
    w, b, s = 1.3, 0.2, 0.6
    program = lower((Dense(), square(s), Dense()), w, b)
    a, c, d = (w * k + b for k in (np.mean(X * X, 1)[:, None], X @ Y.T / 5, np.mean(Y * Y, 1)))
    nngp = w * s**2 * (2.0 * c * c + a * d) + b
    ntk = w * 4.0 * s**2 * c * c + nngp
    values, rates = run(program, X, Y, gradient=True)
    assert_allclose(values, [nngp, ntk], rtol=1e-14)
    # d(a, c, d) along log b is b
    by_b = w * s**2 * b * (4.0 * c + a + d) + b
    assert_allclose(rates[..., 1], [by_b, by_b + w * 8.0 * s**2 * c * b], rtol=1e-13)
    # along log w, a changes at the rate a - b
    moved = 4.0 * c * (c - b) + (a - b) * d + a * (d - b)
    by_w = nngp - b + w * s**2 * moved
    twice = w * 4.0 * s**2 * (c * c + 2.0 * c * (c - b))
    assert_allclose(rates[..., 0], [by_w, by_w + twice], rtol=1e-13)
