"""Gradients of kernels with respect to rows."""

from functools import cache

import numpy as np
import oracle
import pytest
from contract import ALL_PAIRS, ASIDE, BOTH, ROW, UNEQUAL, ZERO, deep, diagonals, to_layers
from duals import VERSIONS
from montecarlo import empirical_kernels
from numpy.testing import assert_allclose, assert_array_equal
from plain import QUICK
from row_networks import CONTINUOUS, NETWORKS

from sklearn_ntk.activations import RectifiedMonomial
from sklearn_ntk.architectures import mlp
from sklearn_ntk.engines import _work
from sklearn_ntk.engines.rows import tiles as rows_of_tiles
from sklearn_ntk.gram import gradient_x, gram
from sklearn_ntk.layers import Dense, Output, lower

ROWS, OTHERS = np.random.default_rng(0).standard_normal((2, 5, 4))
UNLIKE = (*UNEQUAL, "zero", "antiparallel", "0.01 and longer", "1e-08 and longer", "1e-12 apart")
PAIRS = ALL_PAIRS | {f"{key}, exchanged": ALL_PAIRS[key][::-1] for key in UNLIKE}
PAIRS |= {"twice": (ROW, 2.0 * ROW), "half opposite": (ROW, -0.5 * ROW)}


@pytest.fixture
def reference(monkeypatch):
    monkeypatch.setitem(_work.ENGINES, "cpu", "reference")


def differences(program, X, Y, step=1e-5):
    """Central differences of both kernels by the entries of ``X``: (2, n, m, d)."""
    moves = step * np.eye(X.shape[1])
    ends = np.stack([X + moves[:, None], X - moves[:, None]])
    found = np.stack(gram(program, ends.reshape(-1, X.shape[1]), Y, BOTH))
    above, below = np.moveaxis(found.reshape(2, *ends.shape[:3], len(Y)), 1, 0)
    return np.moveaxis(above - below, 1, -1) / (2.0 * step)


def assert_derivative(program, X, Y, rtol=1e-8):
    for get, expected in zip(BOTH, differences(program, X, Y), strict=True):
        scale = np.abs(expected).max()
        assert_allclose(gradient_x(program, X, Y, get=get), expected, rtol=0, atol=rtol * scale)


# --- Right ----------------------------------------------------------------------------------------


def tolerance(x, y):
    """Relative error of the gradient of a pair: a kink's direction is that of a difference."""
    sizes = [np.linalg.norm(z) for z in (x, y)]
    if not all(sizes):
        return 1e-12
    beside, opposite = (np.linalg.norm(x / sizes[0] + s * y / sizes[1]) for s in (-1.0, 1.0))
    lost = 1e-15 / beside if beside > 1e-15 else 0.0
    lost += 1e-15 / opposite**2 if opposite > 1e-15 else 0.0
    return 1e-12 + lost + 1e-15 * max(sizes) / min(sizes)


@cache
def exact(name, depth, bias_var):
    network = deep(name, depth, 2.0, bias_var)
    return {key: oracle.gradient_x(network, *pair, 50) for key, pair in PAIRS.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "bias_var, depth",
    [
        *((0.0, 1), (0.1, 3)),
        *(pytest.param(*p, marks=pytest.mark.thorough) for p in ((0.1, 1), (0.0, 3))),
    ],
)
@pytest.mark.parametrize("name", ["relu", "erf", "sin", "gelu"])
def test_high_precision(name, bias_var, depth, engine):
    """Without biases not of rows that are zero, or parallel but for rounding of their entries."""
    program = lower(to_layers(deep(name, depth, 2.0, bias_var)))
    X, Y = (np.array(rows) for rows in zip(*PAIRS.values(), strict=True))
    desired, identity = exact(name, depth, bias_var), np.eye(len(Y))
    for k, get in enumerate(BOTH):
        ways = (gradient_x(program, X, Y, get=get), gradient_x(program, X, Y, identity, get))
        scale = np.sqrt([diagonals(program, Z)[k] for Z in (X, Y)]).prod(axis=0)
        for i, (key, (x, y)) in enumerate(PAIRS.items()):
            if bias_var == 0.0 and ("parallel" in key or not x.any()):
                continue
            error = max(np.abs(found[i, i] - desired[key][k]).max() for found in ways)
            least = scale[i] / (np.linalg.norm(x) or np.linalg.norm(y) or 1.0)
            assert error <= tolerance(x, y) * least + 1e-16, key


@pytest.mark.parametrize("name", CONTINUOUS)
def test_activations(name, monkeypatch):
    """Of all that do not jump; by compiled loops of a few, as these take seconds for each."""
    if name not in QUICK:
        monkeypatch.setitem(_work.ENGINES, "cpu", "reference")
    assert_derivative(lower(mlp(2, name), 1.2, 0.3), 0.5 * ROWS, 0.5 * OTHERS, 1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The Hermite series")
@pytest.mark.parametrize("act", [act for act in VERSIONS if not act.jumps], ids=repr)
def test_versions_of_activations(act, reference):
    program = lower((Dense(1.1, 0.2), act, Dense(0.9, 0.1), act, Dense(1.0, 0.3)))
    assert_derivative(program, 0.5 * ROWS, 0.5 * OTHERS, 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("bias_var", [0.3, 0.0])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name, bias_var, engine):
    assert_derivative(lower(NETWORKS[name], 1.5, bias_var), ROWS, OTHERS)


@pytest.mark.slow
@pytest.mark.parametrize("bias_var", [0.1, 0.0])
@pytest.mark.parametrize("name", ["erf", "tanh", "sin", "identity", "gelu"])
def test_rows_of_zeros(name, bias_var, engine):
    """Smooth networks have a gradient at the origin, with biases or without."""
    program, Y = lower(mlp(2, name), 1.2, bias_var), np.array([ROW, 3.0 + ASIDE, ZERO])
    assert_derivative(program, np.zeros((2, 5)), Y)


def test_middle_of_a_kink(engine):
    """At the origin, rectifiers without biases are half of a linear network beside a cone."""
    program, linear = (lower(mlp(1, act), 2.0, 0.0) for act in ("relu", "identity"))
    X, Y = np.zeros((1, 5)), np.array([ROW, 3.0 + ASIDE])
    for get, share in (("nngp", 0.25), ("ntk", 0.25)):
        expected = share * gradient_x(linear, X, Y, get=get)
        assert_allclose(gradient_x(program, X, Y, get=get), expected, rtol=1e-9)


def test_rows_that_coincide(engine):
    """A kernel of one row with itself has two equal halves, kinks or not."""
    program = lower(mlp(3), 1.5, 0.2)
    for get in BOTH:
        moves = 1e-6 * np.eye(4)
        whole = [
            gram(program, ROWS + m, ROWS + m, get) - gram(program, ROWS - m, ROWS - m, get)
            for m in moves
        ]
        halves = np.diagonal(np.stack(whole, axis=-1), axis1=0, axis2=1).T / 4e-6
        found = gradient_x(program, ROWS, get=get)
        assert_allclose(found[np.arange(5), np.arange(5)], halves, rtol=1e-8)
        assert_array_equal(found, gradient_x(program, ROWS, ROWS.copy(), get=get))


@pytest.mark.parametrize("offset", [1e2, 1e6])
def test_common_offset(offset):
    """All rows have nearly the same direction."""
    X = offset + np.random.default_rng(0).standard_normal((4, 20))
    network = oracle.mlp("relu", 2, 2.0, 0.1, {})
    found = gradient_x(lower(to_layers(network)), X[:1], X[1:], np.eye(3))[0]
    for row, other in zip(found, X[1:], strict=True):
        expected = oracle.gradient_x(network, X[0], other, 50)[1]
        assert_allclose(row, expected, rtol=0, atol=1e-14 * offset * np.abs(expected).max())


@pytest.mark.parametrize("get", BOTH)
def test_wide_network(get):
    """Derivatives of kernels of wide random networks, each at the same parameters."""
    network, step = deep("erf", 1, 1.5, 0.2), 1e-4
    moved = np.concatenate([ROW + s * step * np.eye(5) for s in (1.0, -1.0)])
    kernels = empirical_kernels(network, moved, ASIDE[None], 4000, 40)[BOTH.index(get)][:, 0]
    expected = (kernels[:5] - kernels[5:]) / (2.0 * step)
    found = gradient_x(lower(to_layers(network)), ROW[None], ASIDE[None], get=get)[0, 0]
    assert_allclose(found, expected, rtol=0, atol=0.02 * np.abs(expected).max())


# --- Sums, blocks, precision ----------------------------------------------------------------------


def test_sums(engine):
    """Of rows of which some are nearly equal, and some zero."""
    program, coef = lower(mlp(2), 1.5, 0.2), np.random.default_rng(1).standard_normal((8, 3))
    X = np.vstack([OTHERS[2] + 1e-7, OTHERS[0], ROWS, np.zeros(4)])
    Y = np.vstack([OTHERS, OTHERS[1] + 1e-9, OTHERS[2], np.zeros(4)])
    every = gradient_x(program, X, Y)
    found = gradient_x(program, X, Y, coef)
    assert_allclose(found, np.einsum("nmd,mk->nkd", every, coef), rtol=1e-12)
    assert_allclose(gradient_x(program, X, Y, coef[:, 0]), found[:, 0], rtol=1e-12)


@pytest.mark.parametrize("coef", [None, np.ones(5), np.ones((5, 2))])
def test_blocks(coef, monkeypatch):
    program = lower(mlp(1), 1.5, 0.2)
    expected = gradient_x(program, ROWS, OTHERS, coef)
    monkeypatch.setattr("sklearn_ntk._runtime.chunks.CHUNK", 100)
    assert_allclose(gradient_x(program, ROWS, OTHERS, coef), expected, rtol=1e-12)


def test_coefficients_of_a_part_of_the_rows(monkeypatch):
    """Series hold coefficients, and their rates, of a slab of rows at a time."""
    program, rng = lower(mlp(1, "mish"), 1.5, 0.2), np.random.default_rng(2)
    X, Y = rng.standard_normal((2, 300, 3))
    expected = gradient_x(program, X, Y)
    monkeypatch.setattr(rows_of_tiles, "HELD", 0)
    assert_allclose(gradient_x(program, X, Y), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ["relu", "erf", "mish"])
def test_single_precision(name, engine):
    program, X = lower(mlp(2, name), 1.5, 0.2), np.vstack([ROWS, OTHERS[:1] + 1e-3])
    for coef in (None, np.eye(5)):
        expected = gradient_x(program, X, OTHERS, coef)
        found = gradient_x(program, X, OTHERS, coef, dtype="float32")
        assert found.dtype == (np.float32 if coef is None else np.float64)
        assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("size", [1e-140, 1e140])
def test_extreme_sizes(size):
    """Without biases the kernels are homogeneous."""
    program = lower(mlp(2), 1.5, 0.0)
    found = gradient_x(program, size * ROWS, size * OTHERS) / size
    assert_allclose(found, gradient_x(program, ROWS, OTHERS), rtol=1e-10)


@pytest.mark.parametrize("get", BOTH)
def test_large_rows(get):
    """There GELU is a rectifier, and biases are nothing."""
    expected = gradient_x(lower(mlp(2), 2.0, 0.0), ROWS, get=get)
    for name in ("relu", "gelu"):
        found = gradient_x(lower(mlp(2, name), 2.0, 1.0), 1e150 * ROWS, get=get) / 1e150
        assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("n, m", [(0, 3), (3, 0)])
def test_no_rows(n, m):
    program = lower(mlp(1))
    assert gradient_x(program, ROWS[:n], OTHERS[:m]).shape == (n, m, 4)
    found = gradient_x(program, ROWS[:n], OTHERS[:m], np.ones((m, 2)))
    assert_array_equal(found, np.zeros((n, 2, 4)))


# --- Refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize("act", ["sign", "step", RectifiedMonomial(0)])
def test_jumps_are_refused(act):
    with pytest.raises(ValueError, match=r"need continuous activations; got .*, which jumps"):
        gradient_x(lower(mlp(1, act)), ROWS, get="nngp")


@pytest.mark.parametrize(
    "program, options, message",
    [
        (lower((Dense(), Output(), "relu", Dense())), {}, "those of one kernel; got .* with 2:"),
        (lower(mlp(2), n_frozen=(0, 1)), {}, "those of one kernel; got .* with 2:"),
        (lower(mlp(1)), {"get": ("ntk", "nngp")}, r"get must be 'ntk' or 'nngp'; got \('ntk'"),
        (lower(mlp(1)), {"get": "rbf"}, "get must be 'ntk' or 'nngp'; got 'rbf'"),
        (lower(mlp(1)), {"coef": np.ones(3)}, r"coef must be an array \(5,\) or \(5, k\)"),
        (lower(mlp(1)), {"Y": np.ones((2, 3))}, "same number of columns; got 4 and 3"),
    ],
)
def test_refused(program, options, message):
    with pytest.raises(ValueError, match=message):
        gradient_x(program, ROWS, **options)


def test_too_large():
    with pytest.raises(MemoryError, match=r"Gradients of shape \(1000000, 1000000, 1\)"):
        gradient_x(lower(mlp(1)), np.ones((10**6, 1)))
