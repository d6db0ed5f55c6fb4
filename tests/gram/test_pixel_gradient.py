"""Gradients of kernels with respect to rows with positions."""

import numpy as np
import oracle_positions as oracle
import pytest
from contract_positions import (
    BOTH,
    NETWORKS,
    B,
    W,
    act,
    attention,
    conv,
    each_network,
    image,
    program_of,
    to_layers,
)
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_ntk.activations import ACTIVATIONS
from sklearn_ntk.architectures import cnn, recurrent, transformer
from sklearn_ntk.engines import _work
from sklearn_ntk.gram import _pixel_gradient, diagonal, gradient_x, gram
from sklearn_ntk.layers import (
    AvgPool,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    Input,
    LayerNorm,
    Recurrent,
    SelfAttention,
    lower,
)

CONTINUOUS = sorted(name for name, cls in ACTIVATIONS.items() if not cls.jumps)
RNG = np.random.default_rng(0)
ROWS, OTHERS = RNG.standard_normal((2, 3, 16))
POOLED = cnn((4, 4, 1), 2)
FLAT = cnn((4, 4, 1), 2, "flatten")


@pytest.fixture(autouse=True)
def reference(monkeypatch, request):
    """Compute by the reference engine, where the test has no engine of its own."""
    name = request.node.callspec.params.get("engine") if hasattr(request.node, "callspec") else None
    monkeypatch.setitem(_work.ENGINES, "cpu", name or "reference")


def differences(program, X, Y, moves, step):
    """Central differences of both kernels, of fourth order, along moves (k, d): (2, n, m, k)."""
    ends = X + step * np.multiply.outer([1.0, -1.0, 2.0, -2.0], moves)[:, :, None]
    found = np.stack(gram(program, ends.reshape(-1, X.shape[1]), Y, BOTH))
    K = found.reshape(2, 4, len(moves), len(X), len(Y))
    slopes = (8.0 * (K[:, 0] - K[:, 1]) - (K[:, 2] - K[:, 3])) / (12.0 * step)
    return np.moveaxis(slopes, 1, -1)


def assert_derivative(program, X, Y, rtol=1e-8, step=1e-3):
    """Along three directions, one of them a single entry."""
    moves = np.vstack(
        [np.random.default_rng(5).standard_normal((2, X.shape[1])), np.eye(X.shape[1])[0]]
    )
    both = differences(program, X, Y, moves, step)
    for get, expected in zip(BOTH, both, strict=True):
        found = gradient_x(program, X, Y, get=get)
        assert found.shape == (len(X), len(Y), X.shape[1])
        assert_allclose(found @ moves.T, expected, rtol=0, atol=rtol * np.abs(expected).max())


# --- Right ----------------------------------------------------------------------------------------


@pytest.mark.slow
@each_network
def test_every_layer(name):
    shape = 2, int(np.prod(NETWORKS[name][0][1]["shape"]))
    X, Y = np.random.default_rng(1).standard_normal((2, *shape))
    assert_derivative(program_of(name), X, Y)


@pytest.mark.slow
@pytest.mark.reference
@pytest.mark.parametrize("name", CONTINUOUS)
def test_activations(name):
    """Also where one series has more terms than the other."""
    layers = (Input(2, 2, 2), Conv(2), name, AvgPool((1, 2)), Conv(2), name, Flatten(), Dense())
    X = np.random.default_rng(2).standard_normal((3, 8))
    assert_derivative(lower(layers, 1.2, 0.3), 0.3 * X[:1], 1.5 * X[1:], 1e-7)


TINY = {
    "flatten": image(conv(2), act("relu"), conv(2), act("relu"), ("flatten", {})),
    "pooled": image(conv(2), act("relu"), conv((1, 2)), act("relu"), ("global_avg_pool", {})),
    "pools": image(
        conv(2),
        act("relu"),
        ("avg_pool", {"window": (1, 2)}),
        conv(2),
        act("relu"),
        ("flatten", {}),
    ),
    "attention": image(conv(2), attention("softmax"), act("relu"), ("global_avg_pool", {})),
}
TINY = {key: [("input", {"shape": (2, 2, 1)}), *layers] for key, (_, *layers) in TINY.items()}
ROW, MOVE, ASIDE = np.array([[0.8, -0.5, 1.2, 0.3], [0.2, 0.9, -1.0, 0.4], [1.1, 0.6, -0.7, 0.5]])
PAIRS = {
    "apart": (ROW, ASIDE),
    "one pixel": (ROW, np.add(ROW, [0.0, 0.3, 0.0, 0.0])),
    "near": (ROW, ROW + 1e-6 * ASIDE),
    "nearer": (ROW, ROW + 1e-9 * ASIDE),
    "equal": (ROW, ROW),
    "twice": (ROW, 2.0 * ROW),
    "opposite": (ROW, -ROW),
    "constant": (0.0 * ROW + 0.7, 0.0 * ROW + 1.3),
    "zero": (0.0 * ROW, ROW),
    "to zero": (ROW, 0.0 * ROW),
    "half zero": (ROW * [0.0, 0.0, 1.0, 1.0], ROW * [1.0, 0.0, 1.0, 0.0]),
}


NEAR = {"near": 1e-6, "nearer": 1e-9}
MIXED = "pools", "attention"
"""Networks that have an activation behind a sum over positions."""


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_high_precision(name):
    """Where two rows are near, a kink has the direction of their difference, which rounding blurs.

    That is to ``1e-16 / t`` for a distance ``t``, and to ``1e-16 / t^2`` behind poolings and
    attention.
    """
    X, Y = (np.array(rows) for rows in zip(*PAIRS.values(), strict=True))
    program = lower(to_layers(TINY[name]), W, B)
    found = [gradient_x(program, X, Y, get=get) for get in BOTH]
    for i, (key, pair) in enumerate(PAIRS.items()):
        exact = oracle.slope(TINY[name], *pair, MOVE, W, B)
        blurred = 1e-15 / NEAR[key] ** (1 + (name in MIXED)) if key in NEAR else 0.0
        for part, expected in zip(found, exact, strict=True):
            assert abs(part[i, i] @ MOVE - expected) <= 1e-15 + min(blurred, 0.1), key


@pytest.mark.parametrize("bias_var", [0.2, 0.0])
@pytest.mark.parametrize("network", [POOLED, FLAT], ids=["pooled", "flatten"])
def test_rows_that_coincide(network, bias_var):
    """A kernel of one row with itself has two equal halves, kinks or not."""
    program, moves = (
        lower(network, 1.5, bias_var),
        np.random.default_rng(3).standard_normal((2, 16)),
    )
    for get in BOTH:
        found, step = gradient_x(program, ROWS, get=get)[np.arange(3), np.arange(3)], 1e-4
        halves = [
            (diagonal(program, ROWS + step * m, get) - diagonal(program, ROWS - step * m, get))
            / (4.0 * step)
            for m in moves
        ]
        assert_allclose(found @ moves.T, np.transpose(halves), rtol=0, atol=1e-7)
        assert_array_equal(
            found, gradient_x(program, ROWS.copy(), ROWS, get=get)[[0, 1, 2], [0, 1, 2]]
        )


@pytest.mark.slow
@pytest.mark.parametrize("bias_var", [0.2, 0.0])
@pytest.mark.parametrize(
    "middle",
    [
        (Conv(3), "erf", GlobalAvgPool()),
        (Dense(), "erf", SelfAttention(mechanism="identity"), Flatten()),
        (Dense(), "erf", AvgPool(2), Dense(), "tanh", Flatten()),
    ],
    ids=["pooled", "attention", "pools"],
)
def test_zero_pixels(middle, bias_var):
    """Smooth networks have a gradient at zero images and patches, with biases or without."""
    X = ROWS.copy()
    X[0], X[1, :9] = 0.0, 0.0
    assert_derivative(lower((Input(4, 4, 1), *middle, Dense()), 1.2, bias_var), X, OTHERS)


def test_middle_of_a_kink():
    """At a patch of zeros, rectifiers without biases are half of a linear network beside a cone."""
    layers = (Input(4, 4, 1), Conv(3)), (Flatten(), Dense())
    program, linear = (
        lower((*layers[0], name, *layers[1]), 2.0, 0.0) for name in ("relu", "identity")
    )
    for get in BOTH:
        expected = 0.25 * gradient_x(linear, np.zeros((1, 16)), OTHERS, get=get)
        assert_allclose(
            gradient_x(program, np.zeros((1, 16)), OTHERS, get=get), expected, rtol=1e-5
        )


@pytest.mark.parametrize("bias_var", [0.2, 0.0])
@pytest.mark.parametrize(
    "network",
    [
        POOLED,
        FLAT,
        recurrent((4, 4)),
        transformer((4, 4)),
        (Input(4, 4, 1), Conv(2), LayerNorm(), "relu", Conv(2), LayerNorm(), Flatten(), Dense()),
    ],
    ids=["pooled", "flatten", "recurrent", "transformer", "norm"],
)
def test_plain_images(network, bias_var):
    """Images of one grey, or of none."""
    X = np.array([0.0, 1e-9, 0.5, 1.0, -1.0])[:, None] * np.ones(16)
    for get in BOTH:
        assert np.isfinite(gradient_x(lower(network, 1.5, bias_var), X, get=get)).all()


@pytest.mark.parametrize("size", [1e-140, 1e140])
def test_extreme_sizes(size):
    """Without biases the kernels are homogeneous."""
    program = lower(POOLED, 2.0, 0.0)
    found = gradient_x(program, size * ROWS, size * OTHERS) / size
    assert_allclose(found, gradient_x(program, ROWS, OTHERS), rtol=1e-9)


# --- Sums, blocks, engines, precision -------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "network",
    [POOLED, FLAT, (*transformer((4, 4))[:-2], Recurrent("erf", 1.2, 0.7, 0.1), Dense())],
    ids=["pooled", "flatten", "attention and recurrence"],
)
def test_sums_and_blocks(network, monkeypatch):
    program, coef = lower(network, 1.5, 0.2), np.random.default_rng(1).standard_normal((4, 3))
    Y = np.vstack([OTHERS, ROWS[:1]])
    for get in BOTH:
        every = gradient_x(program, ROWS, Y, get=get)
        found = gradient_x(program, ROWS, Y, coef, get)
        assert_allclose(found, np.einsum("nmd,mk->nkd", every, coef), rtol=0, atol=1e-14)
        assert_allclose(gradient_x(program, ROWS, Y, coef[:, 0], get), found[:, 0], rtol=1e-10)
        with monkeypatch.context() as patch:
            patch.setattr(_pixel_gradient, "NUMBERS", 10_000)
            patch.setattr(_pixel_gradient, "PORTION", 50)
            part, whole = (None, every) if get == "nngp" else (coef, found)
            parts = gradient_x(program, ROWS, Y, part, get)
            assert_allclose(parts, whole, rtol=0, atol=1e-14)


@pytest.mark.parametrize("engine", ["numba"])
def test_compiled_scan(engine, monkeypatch):
    program = program_of("residual with strides")
    X, Y = np.random.default_rng(4).standard_normal((2, 3, 24))
    found = gradient_x(program, X, Y)
    monkeypatch.setitem(_work.ENGINES, "cpu", "reference")
    assert_allclose(found, gradient_x(program, X, Y), rtol=0, atol=1e-13)


def test_progress(capsys):
    gradient_x(lower(FLAT), ROWS, OTHERS, verbose=1)
    assert "Gradients of 3 x 3 rows: 100 %, done in" in capsys.readouterr().out


def test_single_precision():
    program = lower(POOLED, 1.5, 0.2)
    expected = gradient_x(program, ROWS, OTHERS)
    found = gradient_x(program, ROWS, OTHERS, dtype="float32")
    assert found.dtype == np.float32
    assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("n, m", [(0, 3), (3, 0)])
def test_no_rows(n, m):
    assert gradient_x(lower(FLAT), ROWS[:n], OTHERS[:m]).shape == (n, m, 16)


# --- Refused --------------------------------------------------------------------------------------


def test_jumps_are_refused():
    with pytest.raises(ValueError, match=r"need continuous activations; got .*, which jumps"):
        gradient_x(lower(cnn((4, 4, 1), activation="sign")), ROWS)


def test_rows_of_another_shape():
    with pytest.raises(ValueError, match="takes rows of 16 columns"):
        gradient_x(lower(FLAT), ROWS[:, :9], OTHERS[:, :9])
