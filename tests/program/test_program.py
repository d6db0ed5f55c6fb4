"""Programs: fusion of affine maps, size of the stack, ties, and their meaning."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_ntk import program as instructions
from sklearn_ntk.activations import ACTIVATIONS, Abs, Erf, Identity, LeakyReLU, ReLU
from sklearn_ntk.architectures import mlp
from sklearn_ntk.engines.reference import tiles as _numpy
from sklearn_ntk.gram import diagonal, gram
from sklearn_ntk.layers import Dense, Dropout, Flatten, LayerNorm, Output, Residual, lower
from sklearn_ntk.program import Add, Pointwise, Program, Save, Swap, assemble, grids

TIED, FIXED = Dense(), Dense(1.5, 0.3)
UNIT = Dense(1.0, 0.0, frozen=True)
END = instructions.Output()
RELU, MAP = Pointwise(ReLU()), Pointwise(Identity(), 1.5, 0.3, True)


@pytest.mark.parametrize(
    ("instructions", "steps"),
    [
        ([], ()),
        ([MAP], (MAP,)),
        ([MAP, MAP], (MAP, MAP)),
        ([RELU, MAP], (MAP._replace(activation=ReLU()),)),
        ([RELU, MAP, MAP], (MAP._replace(activation=ReLU()), MAP)),
        ([MAP, RELU], (MAP, RELU)),
        ([RELU, Save(), MAP, Add()], (RELU, Save(), MAP, Add())),
        ([Save(), RELU, MAP, Add()], (Save(), MAP._replace(activation=ReLU()), Add())),
        ([Save(), MAP, Swap(), RELU, Add()], (Save(), MAP, Swap(), RELU, Add())),
        ([MAP, Pointwise(Identity()), MAP], (MAP, MAP)),
        ([Pointwise(Identity(2.0)), MAP], (MAP._replace(activation=Identity(2.0)),)),
        ([MAP, Pointwise(Identity(2.0))], (MAP, Pointwise(Identity(2.0)))),
        ([RELU, Pointwise(Erf())], (RELU, Pointwise(Erf()))),
        ([RELU, END, MAP], (RELU, END, MAP)),
        ([MAP, END, END], (MAP, END)),
    ],
    ids=str,
)
def test_fusion(instructions, steps):
    """An affine map joins the activation before it, and nothing else does."""
    assert assemble(instructions).steps == steps


def test_fusion_keeps_flags():
    tied = Pointwise(Identity(), 2.0, 0.1, True, True, False)
    assert assemble([RELU, tied]).steps == (Pointwise(ReLU(), 2.0, 0.1, True, True, False),)


@pytest.mark.parametrize("padding", grids.PADDINGS)
@pytest.mark.parametrize(
    ("grid", "window", "strides"),
    [
        *[((4,), (3,), (2,)), ((4,), (2,), (1,)), ((3,), (7,), (1,)), ((3,), (5,), (2,))],
        *[((5,), (1,), (3,)), ((3, 2), (2, 3), (1, 2)), ((2, 1, 3), (4, 2, 1), (3, 1, 2))],
    ],
)
def test_transposed_windows(grid, window, strides, padding):
    """A position sees a place with the same entry of the window as the place sees it."""
    transposed = grids.Transposed(grid, window, strides, padding)
    windows = grids.Windows(transposed.after, window, strides, padding)
    assert windows.after == grid and transposed.is_ring == windows.is_ring
    turned = {(seen, place, s) for place, seen, s in entries(windows.table)}
    assert set(entries(transposed.table)) == turned


def entries(table):
    """Places, what they see, and with which entry of the window."""
    return [(place, seen, s) for (place, s), seen in np.ndenumerate(table) if seen >= 0]


INSTRUCTIONS = [
    *[MAP, RELU, Save(), Swap(), Add(), END, instructions.Normalize(), instructions.Drop(0.5)],
    instructions.Convolve(grids.Windows((4,), (3,), (1,), "same")),
    instructions.Convolve(grids.Transposed((4,), (3,), (2,), "same")),
    instructions.Convolve(grids.Last((4,))),
    instructions.Pool(grids.Windows((4,), (2,), (2,), "valid"), 0.25),
    *[instructions.Flatten((4,)), instructions.Embed((4,), 0.5, 1.0, True)],
    instructions.Attend((4,), "softmax", "linear", 1.0, True),
    instructions.Recur((4,), 1.5, 0.5, 0.1, True, True, False, True),
]


@pytest.mark.parametrize("step", INSTRUCTIONS, ids=str)
def test_instructions_answer(step):
    """What generic code asks: a rule, numbers by name, and what positions depend on."""
    assert isinstance(step.rule, str) and step.height in (-1, 0, 1)
    assert step.take([*step.numbers, "nothing"]) == [*step.numbers.values(), 0.0]
    assert len(step.ties) == 2 and isinstance(step.activation, (tuple, type(None)))
    n, n_after = (int(np.prod(grid)) for grid in ((4,), step.after((4,))))
    needed = step.needed(np.arange(n_after**2), n, n_after)
    assert (np.diff(needed) > 0).all() and needed[0] >= 0 and needed[-1] < n**2
    again = step.outline
    assert again.after((4,)) == step.after((4,)) and again.outline == again
    assert hash(again) == hash(step.outline)


def kernels(network, gradient=True):
    """Both kernels of some rows, and their derivatives."""
    X = np.random.default_rng(0).standard_normal((4, 3))
    program = lower(network, 1.7, 0.2)
    rows = _numpy.scan_rows(program, (X * X).mean(axis=1), gradient)
    nngp, ntk, dnngp, dntk = _numpy.run(program, _numpy.initial_gap(X, X), rows, rows, gradient)
    return np.concatenate([nngp, ntk, *np.moveaxis(dnngp, -1, 0), *np.moveaxis(dntk, -1, 0)])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((TIED, UNIT, "relu", FIXED), (TIED, "relu", FIXED)),
        ((TIED, "relu", UNIT, FIXED), (TIED, "relu", FIXED)),
        ((TIED, "identity", FIXED), (TIED, FIXED)),
        ((TIED, "relu", TIED, UNIT), (TIED, "relu", TIED)),
        ((TIED, Residual((UNIT, "erf", TIED)), TIED), (TIED, Residual(("erf", TIED)), TIED)),
        (
            (TIED, Residual(("erf", TIED), (UNIT,)), TIED),
            (TIED, Residual(("erf", TIED)), TIED),
        ),
        (
            (TIED, Residual(("relu", TIED), ("erf", FIXED)), TIED),
            (TIED, Residual(("erf", FIXED), ("relu", TIED)), TIED),
        ),
        (
            (TIED, "relu", Residual((TIED,)), TIED),
            (TIED, Residual(("relu", TIED), ("relu", UNIT)), TIED),
        ),
    ],
    ids=str,
)
def test_equal_networks(one, other):
    """Frozen maps by one change nothing, nor does the order of two branches."""
    expected = kernels(other)
    assert_allclose(kernels(one), expected, rtol=0.0, atol=1e-13 * np.abs(expected).max())
    assert np.abs(expected - kernels((FIXED, "relu", FIXED))).max() > 1e-3


ENDS = {
    **{name: (TIED, "erf", TIED, name) for name in ACTIVATIONS},
    "dropout": (TIED, "relu", Dropout(0.3)),
    "norm": (TIED, "relu", TIED, Dropout(0.3), LayerNorm()),
    "residual": (TIED, Residual((TIED, "relu"))),
    "without weights": ("identity", Flatten()),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "dtype"),
    [*((end, "float64") for end in ENDS), ("relu", "float32"), ("tanh", "float32")],
)
def test_ends_without_weights(end, dtype):
    """The kernels of features are those behind fixed weights of variance one."""
    network = ENDS[end]
    X = np.random.default_rng(0).standard_normal((5, 3))
    X[1], X[2] = 0.0, X[0]
    program, other = lower(network, 1.7, 0.2), lower((*network, UNIT), 1.7, 0.2)
    values, rates = gram(program, X, get=("ntk", "nngp"), gradient=True, dtype=dtype)
    expected, moves = gram(other, X, get=("ntk", "nngp"), gradient=True, dtype=dtype)
    own, own_rates = diagonal(program, X, ("ntk", "nngp"), gradient=True, dtype=dtype)
    some = gram(program, X[:2], X[2:], ("ntk", "nngp"), dtype=dtype)
    tolerance = 1e-13 if dtype == "float64" else 1e-5
    for K, L, diagonals in zip(
        (*values, *rates), (*expected, *moves), (*own, *own_rates), strict=True
    ):
        assert_allclose(K, L, rtol=0.0, atol=tolerance * max(1.0, np.abs(L).max()))
        np.testing.assert_array_equal(K[np.arange(5), np.arange(5)], diagonals)
    for K, part in zip(values, some, strict=True):
        assert_allclose(part[:1], K[:1, 2:], rtol=0.0, atol=tolerance * np.abs(K).max())


def test_outputs_anywhere():
    """On the rows, and behind an activation."""
    X = np.random.default_rng(0).standard_normal((4, 3))
    found = gram(lower((Output(), TIED, "relu", Output(), TIED)), X, get=("nngp", "ntk"))
    for name, K in zip(("nngp", "ntk"), found, strict=True):
        assert_allclose(K[1], gram(lower((TIED, "relu")), X, get=name), rtol=1e-14)
        assert_allclose(K[2], gram(lower((TIED, "relu", TIED)), X, get=name), rtol=1e-14)
    assert_allclose(found[0][0], X @ X.T / 3, rtol=1e-14)
    assert not found[1][0].any()


INNER = Residual(("relu", TIED))


@pytest.mark.parametrize(
    ("network", "size"),
    [
        ((TIED, "relu", TIED), 0),
        ((TIED, INNER, INNER, INNER), 1),
        ((TIED, Residual((INNER, TIED))), 2),
        ((TIED, Residual((TIED,), (INNER, TIED))), 2),
        ((TIED, Residual((Residual((INNER, TIED)), TIED), (INNER,)), INNER), 3),
    ],
    ids=str,
)
def test_stack_size(network, size):
    assert lower(network).stack_size == size


@pytest.mark.parametrize(
    ("network", "ties"),
    [
        ((FIXED, "relu", FIXED), (False, False)),
        ((FIXED, "relu", Dense(bias_var=0.0)), (True, False)),
        ((Dense(1.0), "relu", FIXED), (False, True)),
        ((FIXED, Residual(("relu", Dense(None, 0.0)), (Dense(2.0),))), (True, True)),
    ],
    ids=str,
)
def test_ties(network, ties):
    assert lower(network).ties == ties


@pytest.mark.parametrize(
    ("network", "weight", "bias"),
    [
        ((TIED, "relu", FIXED), True, True),
        ((Dense(None, 0.3), "relu", FIXED), True, False),
        ((Dense(1.5), "relu", FIXED), False, True),
        ((FIXED, "relu", FIXED), False, False),
    ],
    ids=str,
)
def test_only_tied_variances_have_derivatives(network, weight, bias):
    rates = kernels(network)[2:]
    assert [bool(np.any(rate)) for rate in rates] == [weight, bias, weight, bias]


def test_activations():
    """Each once, in an order that does not depend on that of the network."""
    networks = [
        (TIED, "relu", TIED, "abs", TIED, "relu", TIED),
        (TIED, Residual(("abs", TIED)), "relu", TIED),
        (TIED, "abs", TIED, "identity", TIED, "relu", TIED),
    ]
    for network in networks:
        assert lower(network).activations == (Abs(), Identity(), ReLU())
    two = lower((TIED, LeakyReLU(0.1), TIED, LeakyReLU(0.2), TIED)).activations
    assert two == (Identity(), LeakyReLU(0.1), LeakyReLU(0.2))


def test_equal_programs():
    assert lower(mlp(3)) == lower(mlp(3)) and hash(lower(mlp(3))) == hash(lower(mlp(3)))
    assert lower(mlp(3)) != lower(mlp(2)) != lower(mlp(2), 1.0)
    assert isinstance(lower(mlp(3)), Program)
