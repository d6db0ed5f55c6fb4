"""What only the engine for GPUs has: blocks, memory and transfers, on a GPU or on its stand-in.

That it computes what the other engines do is in the tests of these.
"""

import gc

import gpu as gpus
import numpy as np
import pytest
from contract import BOTH, diagonals, relative
from results import assert_equal, entries

from sklearn_ntk.architectures import cnn, mlp
from sklearn_ntk.engines.rows import tiles
from sklearn_ntk.engines.rows.tiles import Carrier
from sklearn_ntk.gram import diagonal, gram
from sklearn_ntk.layers import lower

RELU = lower(mlp(3), 1.5, 0.1)


def rows_of_all_kinds():
    """Rows, some of them close, parallel, opposite, nearly so, zero or equal; and other rows."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((41, 5))
    X[1], X[2], X[4] = X[0] + 1e-8 * X[30], X[0] + 1e-4 * X[31], 1.7 * X[3]
    X[6], X[8], X[9], X[11] = -0.3 * X[5], -X[7] + 1e-9 * X[30], 0.0, X[10]
    return X, np.vstack([X[:12], rng.standard_normal((4, 5))])


def test_kernels_of_one_program(gpu, monkeypatch):
    """With no kinds of steps but its own, as they are outside of tests."""
    for module, own in gpus.OWN.items():
        monkeypatch.setattr(module, "kinds_of", own)
    X, Y = np.random.default_rng(0).standard_normal((2, 5, 6))
    for program in (RELU, lower(cnn((3, 2, 1), 1))):
        for rows in ((X,), (X, Y)):
            assert_equal(gram(program, *rows, device="cuda"), gram(program, *rows), 1e-13)


@pytest.mark.parametrize("n_pairs", [2**23, 100])
def test_sizes_and_blocks(gpu, monkeypatch, n_pairs):
    """Blocks of a few rows and of all; results of NumPy, and of the device."""
    from sklearn_ntk.engines.cupy import tile_work

    monkeypatch.setattr(tile_work, "BLOCK_PAIRS", n_pairs)
    monkeypatch.setattr(tile_work, "LEAST_ROWS", 7)
    rng = np.random.default_rng(0)
    for n in (1, 2, 31, 32, 33, 65):
        X, Y = rng.standard_normal((n, 3)), rng.standard_normal((n % 5 + 1, 3))
        for rows in ((X,), (X, Y), (Y, X)):
            found = gram(RELU, *rows, device="cuda")
            assert_equal(found, gram(RELU, *rows), 1e-13)
            on_device = gram(RELU, *map(gpu.asarray, rows))
            assert isinstance(on_device, gpu.ndarray)
            assert np.array_equal(on_device.get(), found)


@pytest.mark.slow
@pytest.mark.parametrize("held", [2_000_000_000, 200_000])
def test_series_in_parts(gpu, monkeypatch, held):
    """Also if the coefficients of all rows are not held at once."""
    from sklearn_ntk.engines.cupy import sides, tile_work

    monkeypatch.setattr(sides, "HELD", held)
    monkeypatch.setattr(tile_work, "SERIES_COLUMNS", 100)
    X, Y = np.random.default_rng(0).standard_normal((2, 300, 3))
    program = lower(mlp(2, "mish"), 1.5, 0.1)
    for rows in ((X,), (X, Y[:150])):
        found = gram(program, *rows, get=BOTH, device="cuda")
        assert_equal(found, gram(program, *rows, get=BOTH), 1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("limits", [{"BLOCK_PAIRS": 6000}, {"MOST_ROWS": 120}], ids=str)
def test_blocks_of_series_in_parts(gpu, monkeypatch, limits):
    """They are cut along rows, too, and each column's coefficients are computed once a part."""
    from sklearn_ntk.engines.cupy import sides, tile_work

    monkeypatch.setattr(sides, "HELD", 200_000)
    monkeypatch.setattr(tile_work, "SERIES_COLUMNS", 100)
    for name, most in limits.items():
        monkeypatch.setattr(tile_work, name, most)
    sizes, computed = [], []
    fill, coefficients = tile_work.TileWork._fill, Carrier.coefficients

    def filled(self, left, block, results):
        sizes.append(block[1] - block[0])
        fill(self, left, block, results)

    def counted(self, *arguments):
        computed.append(arguments)
        return coefficients(self, *arguments)

    monkeypatch.setattr(tile_work.TileWork, "_fill", filled)
    monkeypatch.setattr(Carrier, "coefficients", counted)
    X, Y = np.random.default_rng(0).standard_normal((2, 300, 3))
    program = lower(mlp(2, "mish"), 1.5, 0.1)
    for rows in ((X,), (X, Y[:150])):
        expected = gram(program, *rows)
        computed.clear()
        assert_equal(gram(program, *rows, device="cuda"), expected, 1e-13)
        assert len(computed) <= 8  # two parts, up to three ranges of columns
    assert max(sizes) <= 120


@pytest.mark.slow
@pytest.mark.parametrize("held", [2_000_000_000, 200_000])
def test_threads_of_series(gpu, monkeypatch, held):
    """Coefficients take all threads of the CPU, when they are made and when they are made again."""
    from sklearn_ntk.engines.cupy import sides

    counts, own = [], tiles.run

    def run(compute, tasks, n_threads):
        counts.append(n_threads)
        own(compute, tasks, n_threads)

    monkeypatch.setattr(sides, "HELD", held)
    monkeypatch.setattr(sides, "host_threads", lambda: 3)
    monkeypatch.setattr(tiles, "run", run)
    X, program = np.random.default_rng(0).standard_normal((600, 3)), lower(mlp(1, "mish"), 1.5, 0.1)
    found = gram(program, X, device="cuda")
    assert len(counts) == 1 if held > 1e6 else len(counts) > 1
    assert set(counts) == {3}
    assert_equal(found, gram(program, X), 1e-13)


def test_lengths_of_all_sizes(gpu):
    """In one set; errors are relative to the diagonals."""
    X = rows_of_all_kinds()[0][:, :4]
    X *= 10.0 ** np.tile([-150, -100, 0, 100], 11)[:41, None]
    program = lower(mlp(3), 2.0, 0.0)
    left = diagonals(program, X)[1]
    error = gram(program, X, device="cuda") - gram(program, X)
    assert relative(error, left[:, None], left).max() <= 1e-14


def test_no_rows(gpu):
    assert diagonal(RELU, np.empty((0, 3)), device="cuda").shape == (0,)
    assert gram(RELU, np.empty((0, 3)), device="cuda").shape == (0, 0)


def test_out(gpu):
    X = rows_of_all_kinds()[0]
    expected = gram(RELU, X, get=BOTH, gradient=True, device="cuda")
    for place in (np.asarray, gpu.asarray):
        out = tuple(tuple(place(np.full_like(a, np.nan)) for a in part) for part in expected)
        assert gram(RELU, place(X), get=BOTH, gradient=True, out=out, device="cuda") is out
        for part, other in zip(entries(out), entries(expected), strict=True):
            assert np.array_equal(part if place is np.asarray else part.get(), other)
    with pytest.raises(ValueError, match="out must have a C-contiguous"):
        gram(RELU, gpu.asarray(X), out=expected[0][0])


def test_transfers(gpu):
    """Of rows on the device: a program goes up, and a few numbers come down that are checked."""
    log = getattr(gpu, "LOG", None)
    if log is None:
        pytest.skip("counts bytes by the stand-in")
    X = gpu.asarray(np.random.default_rng(0).standard_normal((300, 20)))
    log.clear()
    K = gram(RELU, X)
    assert log.launches == 2 and log.from_device <= 50 and log.to_device <= 1000
    assert K.shape == (300, 300)


@pytest.mark.slow
def test_memory_runs_out(gpu, monkeypatch):
    """At any allocation: blocks become smaller, or there is an error, and nothing is kept."""
    if not hasattr(gpu, "LOG"):
        pytest.skip("sets the limit of the stand-in")
    X = np.random.default_rng(0).standard_normal((130, 3))
    expected, seen = gram(RELU, X, device="cuda"), set()
    gc.collect()  # what errors of other tests refer to
    used = gpu.LOG.used
    try:
        for limit in range(0, 400_000, 9_000):
            gpu.set_limit(used + limit)
            try:
                found = gram(RELU, X, device="cuda")
            except MemoryError as error:
                assert "take fewer rows" in str(error)
                seen.add(str(error).split()[0])
            else:
                seen.add(len(found))
                assert np.abs(found - expected).max() <= 1e-14 * expected.max()
            assert gpu.LOG.used == used
        gpu.set_limit(used)
        with pytest.raises(MemoryError, match="take fewer rows"):
            diagonal(RELU, X, device="cuda")
    finally:
        gpu.set_limit(float("inf"))
    assert {130, "The"} == seen
    import cupyx

    monkeypatch.setattr(cupyx, "can_pin", False)
    assert np.array_equal(gram(RELU, X, device="cuda"), expected)
    gpu.set_limit(used + 100_000)
    try:
        with pytest.raises(MemoryError, match=r"needs 0\.\d+ GB of the GPU's memory"):
            gram(RELU, gpu.asarray(X))
    finally:
        gpu.set_limit(float("inf"))
