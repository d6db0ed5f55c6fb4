"""Results that `gram` puts into memory that is there."""

from functools import partial

import numpy as np
import pytest
from memory import set_free
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_ntk.architectures import cnn, mlp
from sklearn_ntk.gram import gram
from sklearn_ntk.layers import Dense, Output, lower

PROGRAM = lower(mlp(2), 2.0, 0.1)
BOTH = ("nngp", "ntk")
SEVERAL = lower((Dense(), "relu", Dense(), Output(), "relu", Dense()), 2.0, 0.1, n_frozen=(0, 1))
CNN = lower(cnn((3, 3, 1), 1, "pool"), 2.0, 0.1)


def unwritten(result):
    """Arrays of the form of a result, full of NaN."""
    if isinstance(result, tuple):
        return tuple(map(unwritten, result))
    return np.full_like(result, np.nan)


def entries(result):
    """The arrays of a result."""
    return [a for part in result for a in entries(part)] if isinstance(result, tuple) else [result]


@pytest.mark.parametrize("is_symmetric", [True, False])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "program, get, gradient",
    [
        (PROGRAM, "ntk", False),
        (PROGRAM, ("nngp",), False),
        (PROGRAM, BOTH, True),
        (PROGRAM, "nngp", True),
        (SEVERAL, ("nngp", "ntk"), False),
        (CNN, BOTH, False),
        (CNN, "ntk", True),
    ],
)
def test_out(program, get, gradient, dtype, is_symmetric):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((21, 9)), rng.standard_normal((18, 9))
    call = partial(gram, program, X, None if is_symmetric else Y, get, gradient, dtype)
    expected = call()
    out = unwritten(expected)
    assert call(out=out) is out
    for found, wanted in zip(entries(out), entries(expected), strict=True):
        assert_array_equal(found, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 31, 32, 33, 64, 130, 300])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("gradient", [False, True])
def test_out_anywhere(n, dtype, gradient):
    """Memory may begin anywhere, and nothing beside it is written."""
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((n, 3)), rng.standard_normal((n + 1, 3))
    get, options = ("nngp", "ntk"), {"gradient": gradient, "dtype": dtype}

    def place(array):
        memory = np.full(array.size + 16, -1.0, dtype)
        memories.append((memory, memory[offset : offset + array.size]))
        return memories[-1][1].reshape(array.shape)

    for pair in ((X,), (X, Y)):
        expected = gram(PROGRAM, *pair, get=get, **options)
        slow = gram(PROGRAM, X, pair[-1].copy(), get=get, **options)
        tolerance = 1e-6 if dtype == "float32" else 1e-14
        for wanted, near in zip(*map(entries, (expected, slow)), strict=True):
            assert_allclose(wanted, near, rtol=0.0, atol=tolerance * np.abs(wanted).max())
        for offset in (0, 1, 2, 3, 4, 7, 12):
            memories = []
            parts = [tuple(map(place, part)) for part in (expected if gradient else [expected])]
            out = tuple(parts) if gradient else parts[0]
            found = gram(PROGRAM, *pair, get=get, **options, out=out)
            for array, wanted in zip(*map(entries, (found, expected)), strict=True):
                assert_array_equal(array, wanted)
            for memory, inside in memories:
                end = offset + inside.size
                assert np.all(memory[:offset] == -1.0) and np.all(memory[end:] == -1.0)


def read_only(shape):
    array = np.zeros(shape)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "out, message",
    [
        (np.zeros((4, 5)), "for the ntk; got float64 and shape"),
        (np.zeros((4, 4), "float32"), "got float32 and shape"),
        (np.zeros((4, 8))[:, ::2], "not so laid out"),
        (read_only((4, 4)), "not so laid out"),
        ([[0.0] * 4] * 4, "got an object of type list"),
        ((np.zeros((4, 4)),), "got an object of type tuple"),
    ],
)
def test_wrong_out(out, message):
    with pytest.raises(ValueError, match=message):
        gram(PROGRAM, np.eye(4), out=out)


def test_out_of_other_structure(device):
    X, K = np.eye(4), np.zeros((4, 4))
    with pytest.raises(ValueError, match="tuple of 2"):
        gram(PROGRAM, X, get=BOTH, out=K)
    with pytest.raises(ValueError, match="tuple of 2"):
        gram(PROGRAM, X, gradient=True, out=(K, K, K))
    with pytest.raises(ValueError, match="share memory"):
        gram(PROGRAM, X, get=BOTH, out=(K, K))
    with pytest.raises(ValueError, match="share memory"):
        gram(PROGRAM, X, out=X, device=device)


class Matrix(np.ndarray):
    """An array that keeps two axes, as `numpy.matrix` does, whose use warns."""

    def reshape(self, *shape):
        return self


@pytest.mark.parametrize("kind", ["matrix", "memmap", "masked"])
def test_kinds_of_out(kind, tmp_path):
    expected = gram(PROGRAM, np.eye(6))
    out = {
        "matrix": lambda: np.zeros((6, 6)).view(Matrix),
        "memmap": lambda: np.memmap(tmp_path / "K", float, "w+", shape=(6, 6)),
        "masked": lambda: np.ma.zeros((6, 6)),
    }[kind]()
    assert gram(PROGRAM, np.eye(6), out=out) is out
    assert_array_equal(np.asarray(out), expected)


def test_out_takes_no_memory(monkeypatch):
    set_free(monkeypatch, 0.0)
    X, K = np.eye(40), np.empty((40, 40))
    with pytest.raises(MemoryError):
        gram(PROGRAM, X)
    assert_array_equal(gram(PROGRAM, X, out=K), K)
