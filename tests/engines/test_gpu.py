"""The engine for GPUs against the compiled one, on a GPU or on the stand-in for CuPy."""

import numpy as np
import oracle_duals
import pytest
from contract import BOTH, JUMPING, diagonals, relative, varied
from results import assert_equal, entries

from sklearn_ntk.activations import ACTIVATIONS
from sklearn_ntk.architectures import mlp, resmlp
from sklearn_ntk.engines.sources import cuda
from sklearn_ntk.gram import diagonal, gradient_length_scale, gradient_x, gram
from sklearn_ntk.layers import Dense, Dropout, LayerNorm, Output, Residual, lower

NETWORKS = {
    "perceptron": mlp(3),
    "series": mlp(2, "mish"),
    "residual": resmlp(2),
    "twice residual": (Dense(), Residual((Residual(("relu", Dense())), "erf", Dense())), Dense()),
    "normalised": (Dense(), LayerNorm(), "gelu", Dropout(0.2), Dense()),
    "outputs": (Dense(), Output(), "relu", Dense(), Output(), "abs", Dense()),
}
PROGRAMS = {name: lower(network, 1.5, 0.1) for name, network in NETWORKS.items()}
SEVERAL = lower(mlp(3), 1.5, 0.1, n_frozen=(0, 1, 2))
RELU = PROGRAMS["perceptron"]

KINDS = {
    name: lower((Dense(), cls(), Dense()))
    for name, cls in ACTIVATIONS.items()
    if not cls().is_series
}


def one_kernel(monkeypatch, programs):
    """Let kernels have the kinds of steps of all these programs, so that few are compiled."""
    own = cuda.kinds_of
    cases = sorted({cuda.case_of(step) for p in programs for step in p.steps}, key=str)

    def kinds_of(program, gradient, single):
        kinds = own(program, gradient, single)
        assert set(kinds.cases) <= set(cases)
        return kinds._replace(cases=tuple(cases), stack_size=2)

    monkeypatch.setattr(cuda, "kinds_of", kinds_of)


@pytest.fixture
def kernel_of_networks(monkeypatch):
    """One kernel for all networks."""
    one_kernel(monkeypatch, PROGRAMS.values())


@pytest.fixture
def kernel_of_activations(monkeypatch):
    """One kernel for all activations."""
    one_kernel(monkeypatch, KINDS.values())


def rows_of_all_kinds():
    """Rows, some of them close, parallel, opposite, nearly so, zero or equal; and other rows."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((41, 5))
    X[1], X[2], X[4] = X[0] + 1e-8 * X[30], X[0] + 1e-4 * X[31], 1.7 * X[3]
    X[6], X[8], X[9], X[11] = -0.3 * X[5], -X[7] + 1e-9 * X[30], 0.0, X[10]
    return X, np.vstack([X[:12], rng.standard_normal((4, 5))])


how = pytest.mark.parametrize(
    "gradient, dtype, tolerance",
    [
        (False, "float64", 1e-13),
        pytest.param(False, "float32", 2e-6, marks=pytest.mark.slow),
        pytest.param(True, "float64", 1e-13, marks=pytest.mark.slow),
        pytest.param(True, "float32", 4e-6, marks=pytest.mark.slow),
    ],
)


@how
def test_networks(gpu, kernel_of_networks, gradient, dtype, tolerance):
    """One set of rows and two; symmetric to the bit, with the diagonal of single rows."""
    X, Y = rows_of_all_kinds()
    options = {"get": BOTH, "gradient": gradient, "dtype": dtype}
    for program in PROGRAMS.values():
        for rows in ((X, Y), (X,)):
            found = gram(program, *rows, **options, device="cuda")
            assert_equal(found, gram(program, *rows, **options), tolerance)
        found = entries(found)
        known = entries(diagonal(program, X, **options, device="cuda"))
        for K, diag in zip(found, known, strict=True):
            unit = 2 if diag.shape[-1] == 2 else 1  # of derivatives
            K, diag = K.reshape(-1, 41, 41, unit), diag.reshape(-1, 41, unit)
            assert np.array_equal(K, K.swapaxes(1, 2))
            assert np.array_equal(K.diagonal(0, 1, 2), diag.swapaxes(1, 2))


@pytest.mark.slow
@how
def test_activations(gpu, kernel_of_activations, gradient, dtype, tolerance):
    if gradient and dtype == "float32":
        pytest.skip("the compiled engine would take minutes to compile them")
    X, Y = rows_of_all_kinds()
    for name, cls in ACTIVATIONS.items():
        if cls().is_series:
            continue
        depths = (1,) if name in oracle_duals.GROWING else (1, 3, 10)
        for depth in depths:
            program = lower(mlp(depth, varied(cls)), 1.7, 0.1)
            for rows in ((X,), (X, Y)):
                options = {"get": BOTH, "gradient": gradient, "dtype": dtype}
                found = gram(program, *rows, **options, device="cuda")
                expected = gram(program, *rows, **options)
                some = tolerance * (100 if name in JUMPING else 1)
                assert_equal(found, expected, some)


def test_several_ntks(gpu):
    for rows in (rows_of_all_kinds()[:1], rows_of_all_kinds()):
        found = gram(SEVERAL, *rows, get=BOTH, device="cuda")
        assert_equal(found, gram(SEVERAL, *rows, get=BOTH), 1e-13)


def test_derivatives_by_rows(gpu):
    """They need derivatives along rows, also of rows that are close to each other."""
    X, Y = rows_of_all_kinds()
    for which in ("std", "left", "both"):  # by gaps, which are infinite where rows coincide
        program, rows = RELU.along_rows(which), (X[12:], Y[12:])
        found = gram(program, *rows, gradient=True, device="cuda")
        assert_equal(found, gram(program, *rows, gradient=True), 1e-13)
    assert_equal(gradient_x(RELU, X, Y, device="cuda"), gradient_x(RELU, X, Y), 1e-7)
    found, expected = (gradient_length_scale(RELU, X, device=d) for d in ("cuda", "cpu"))
    assert_equal(found, expected, 1e-12)


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


@pytest.mark.parametrize("held", [2_000_000_000, 200_000])
def test_series_in_parts(gpu, kernel_of_networks, monkeypatch, held):
    """Also if the coefficients of all rows are not held at once."""
    from sklearn_ntk.engines.cupy import sides, tile_work

    monkeypatch.setattr(sides, "HELD", held)
    monkeypatch.setattr(tile_work, "SERIES_COLUMNS", 100)
    X, Y = np.random.default_rng(0).standard_normal((2, 300, 3))
    program = PROGRAMS["series"]
    for rows in ((X,), (X, Y[:150])):
        found = gram(program, *rows, get=BOTH, device="cuda")
        assert_equal(found, gram(program, *rows, get=BOTH), 1e-13)


@pytest.mark.parametrize("scale", [1e-150, 1e-75, 1e75, 1e150])
def test_scale(gpu, scale):
    """A ReLU network without biases is homogeneous."""
    X = rows_of_all_kinds()[0]
    program = lower(mlp(3), 2.0, 0.0)
    expected = gram(program, X)
    found = gram(program, scale * X, device="cuda") / scale / scale
    assert np.abs(found - expected).max() <= 1e-14 * expected.max()


def test_lengths_of_all_sizes(gpu):
    """In one set; errors are relative to the diagonals."""
    X = rows_of_all_kinds()[0][:, :4]
    X *= 10.0 ** np.tile([-150, -100, 0, 100], 11)[:41, None]
    program = lower(mlp(3), 2.0, 0.0)
    left = diagonals(program, X)[1]
    error = gram(program, X, device="cuda") - gram(program, X)
    assert relative(error, left[:, None], left).max() <= 1e-14


def test_common_offset(gpu):
    """All rows have nearly the same direction, and all pairs are near."""
    X = 1e6 + np.random.default_rng(0).standard_normal((12, 20))
    for dtype, tolerance in (("float64", 1e-15), ("float32", 2e-7)):
        found = gram(RELU, X, dtype=dtype, device="cuda")
        assert_equal(found, gram(RELU, X, dtype=dtype), tolerance)


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


def test_memory_runs_out(gpu, monkeypatch):
    """At any allocation: blocks become smaller, or there is an error, and nothing is kept."""
    if not hasattr(gpu, "LOG"):
        pytest.skip("sets the limit of the stand-in")
    X = np.random.default_rng(0).standard_normal((130, 3))
    expected, used, seen = gram(RELU, X, device="cuda"), gpu.LOG.used, set()
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
