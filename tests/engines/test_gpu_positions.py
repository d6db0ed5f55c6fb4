"""The engine for GPUs on images and sequences against the compiled one."""

import gc
from itertools import product

import numpy as np
import nvrtc
import pytest
from contract_positions import BOTH, FEW, NETWORKS, program_of
from results import assert_equal, entries

from sklearn_ntk import layers
from sklearn_ntk.activations import ACTIVATIONS
from sklearn_ntk.engines.packing.launches import launches
from sklearn_ntk.engines.schedule import fields, writer
from sklearn_ntk.engines.sources import cuda_lines
from sklearn_ntk.gram import diagonal, gram
from sklearn_ntk.program import Convolve, grids

IMAGE = layers.Input(4, 3, 2)
MEAN = layers.GlobalAvgPool()
PROGRAMS = {name: program_of(name) for name in NETWORKS}
PROGRAMS["series"] = layers.lower(
    (
        *(IMAGE, layers.Conv(3), "tanh", layers.Conv(2), layers.LayerNorm(), "mish"),
        *(MEAN, layers.Dense()),
    ),
    1.5,
    0.2,
)
PROGRAMS["two fields"] = layers.lower(
    (
        *(layers.Input(6, 5, 2), layers.Conv(3), "relu", layers.AvgPool(2), layers.Conv((2, 3))),
        *(layers.LayerNorm(), "erf", layers.Conv(2), MEAN, layers.Dense()),
    ),
    1.5,
    0.2,
)
PROGRAMS["strided ring"] = layers.lower(
    (
        *(layers.Input(4, 6, 1), layers.Conv(3, padding="circular", strides=2), "relu"),
        *(layers.Conv((5, 2), padding="circular", strides=(1, 3)), "erf", MEAN, layers.Dense()),
    ),
    1.5,
    0.2,
)
PROGRAMS["many strides"] = layers.lower(
    (
        *(layers.Input(7, 8, 1), layers.Conv(3), "relu"),
        layers.Residual(
            (layers.Conv(2, strides=2), "erf", layers.Conv(2, padding="valid")),
            (layers.Conv((3, 4), strides=2, padding="valid"),),
        ),
        *("relu", layers.Conv(4, strides=2), "relu", MEAN, layers.Dense()),
    ),
    1.5,
    0.2,
)
PROGRAMS["one position"] = layers.lower(
    (
        *(layers.Input(2, 1, 2), layers.ConvTranspose(1, (1, 2), "valid"), layers.LayerNorm()),
        *("relu", layers.Flatten(), layers.Dense()),
    ),
    1.5,
    0.2,
)
WITH_FIELDS = ("circular", "series", "two fields", "strided ring", "many strides", "one position")
SOME = (*FEW, *WITH_FIELDS)


def launches_of(programs):
    """Yield the `Launches` of programs, without fields and with them."""
    for program in programs:
        for schedule in (writer.schedule(program), fields.schedule(program, None, 10**4)):
            yield launches(program, schedule)


def cases_of(programs):
    """Cases of all launches of programs, and of those inside of fields."""
    cases, field_cases = set(), set()
    for made in launches_of(programs):
        cases, field_cases = cases | set(made.cases), field_cases | set(made.field_cases)
    return cases, field_cases


def rows_for(program):
    """Rows, two of them equal, two nearly so, one zero, one constant; other rows."""
    rng, d = np.random.default_rng(0), int(np.prod(program.shape))
    X, Y = rng.standard_normal((7, d)), rng.standard_normal((4, d))
    X[1], X[2], X[6], Y[1], Y[3] = 0.0, 0.7, X[0], 0.0, X[5]
    X[3] = X[4] + 1e-8 * rng.standard_normal(d)
    return X, Y


def check(programs, gradient, dtype, tolerance):
    """One set of rows and two; symmetric to the bit, with the diagonal of single rows."""
    options = {"get": BOTH, "gradient": gradient, "dtype": dtype}
    for program in programs:
        X, Y = rows_for(program)
        for rows in ((X, Y), (X,)):
            found = gram(program, *rows, **options, device="cuda")
            assert_equal(found, gram(program, *rows, **options), tolerance)
        known = diagonal(program, X, **options, device="cuda")
        assert_equal(known, diagonal(program, X, **options), tolerance)
        for K, diag in zip(entries(found), entries(known), strict=True):
            assert np.array_equal(K, K.swapaxes(0, 1))
            assert np.array_equal(np.einsum("ii...->i...", K), diag)


@pytest.fixture(params=[0, 116_000])
def cells(gpu, monkeypatch, request):
    """Without fields, all operations through memory, and with them."""
    from sklearn_ntk.engines.cupy import lines

    monkeypatch.setattr(lines, "CELLS_BYTES", request.param)


@pytest.mark.slow
def test_networks(gpu, monkeypatch):
    """Through memory those with all layers, and with fields those with the most of these."""
    from sklearn_ntk.engines.cupy import lines

    check((PROGRAMS[name] for name in WITH_FIELDS), False, "float64", 1e-13)
    monkeypatch.setattr(lines, "CELLS_BYTES", 0)
    check((PROGRAMS[name] for name in FEW), False, "float64", 1e-13)


def test_little_shared_memory(gpu, monkeypatch):
    """Cards have 64 kB or more: what does not fit there goes through memory."""
    from sklearn_ntk.engines.cupy.lines import Machine

    if not hasattr(gpu, "LOG"):
        pytest.skip("takes memory of the stand-in away")
    program = PROGRAMS["many strides"]  # has a field of 330 pairs of positions of 16 bytes
    for n_bytes, has_field in ((5_280, True), (5_279, False)):
        monkeypatch.setattr(gpu.cuda, "SHARED", n_bytes)
        assert ("field" in Machine(program, False).launches.cases) == has_field
        check((program,), False, "float64", 1e-13)


def test_no_rows(gpu):
    program = PROGRAMS["two fields"]
    assert diagonal(program, np.empty((0, 60)), device="cuda").shape == (0,)


@pytest.mark.slow
@pytest.mark.parametrize(
    "gradient, dtype, tolerance, most, every",
    [
        (True, "float64", 1e-13, 0, 11),
        pytest.param(True, "float32", 4e-6, 0, 13, marks=pytest.mark.thorough),
        pytest.param(True, "float64", 1e-13, 0, 5, marks=pytest.mark.thorough),
        pytest.param(True, "float64", 1e-13, 0, 1, marks=pytest.mark.thorough),
        pytest.param(True, "float32", 4e-6, 0, 4, marks=pytest.mark.thorough),
        pytest.param(False, "float32", 2e-6, 116_000, 1, marks=pytest.mark.thorough),
    ],
)
def test_all_networks(gpu, monkeypatch, gradient, dtype, tolerance, most, every):
    """Those in double precision with fields are in `test_positions`; compiling takes the time."""
    from sklearn_ntk.engines.cupy import lines

    monkeypatch.setattr(lines, "CELLS_BYTES", most)
    check(list(PROGRAMS.values())[::every], gradient, dtype, tolerance)


@pytest.mark.thorough
def test_activations(gpu):
    """All that are closed, behind an affine map and not."""
    start, end = (IMAGE, layers.Conv(2)), (MEAN, layers.Dense())
    programs = [
        layers.lower((*start, act(), layers.Dense(), layers.LayerNorm(), act(), *end), 1.5, 0.1)
        for act in ACTIVATIONS.values()
        if not act().is_series
    ]
    check(programs, False, "float64", 1e-12)


@pytest.mark.slow
def test_portions_and_batches(gpu, monkeypatch):
    """Portions of few lines, sums of few at a time, batches of few rows, one row at the least."""
    from sklearn_ntk.engines.cupy import lines
    from sklearn_ntk.engines.packing import launches as packing

    monkeypatch.setattr(lines, "CELLS_BYTES", 0)
    for name in ("overlapping pools", "attention sqrt", "recurrent", "series"):
        program = PROGRAMS[name]
        X, Y = (Z[3:6] for Z in rows_for(program))
        expected = gram(program, X), gram(program, X, Y)
        for portion, run, n_pairs in ((7, 2, 5), (40, 3, 1), (None, 32, 1000)):
            monkeypatch.setattr(lines, "PORTION", portion or 2**15)
            monkeypatch.setattr(packing, "RUN", run)
            monkeypatch.setattr(lines, "LEAST_PAIRS", n_pairs)
            monkeypatch.setattr(lines, "LAUNCH", n_pairs)
            for rows, other in zip(((X,), (X, Y)), expected, strict=True):
                assert_equal(gram(program, *rows, device="cuda"), other, 1e-13)


def test_sizes(gpu, cells):
    program = PROGRAMS["conv pooled"]
    for n in (1, 2, 3, 8):
        X, Y = np.random.default_rng(0).standard_normal((2, n, 24))
        for rows in ((X,), (X, Y[:2])):
            assert_equal(gram(program, *rows, device="cuda"), gram(program, *rows), 1e-13)


def test_other_numbers(gpu):
    """Networks that differ only in numbers share their launches."""
    X = np.random.default_rng(0).standard_normal((4, 24))
    network = IMAGE, layers.Conv(3), "relu", layers.Conv(2), "erf", MEAN, layers.Dense()
    for variances in ((1.5, 0.1), (2.0, 0.0), (0.7, 1.0)):
        program = layers.lower(network, *variances)
        assert_equal(gram(program, X, device="cuda"), gram(program, X), 1e-13)


def test_lengths_of_series(gpu, monkeypatch):
    """Rows of a batch may need fewer terms than those of others."""
    from sklearn_ntk.engines.cupy import lines

    monkeypatch.setattr(lines, "LEAST_PAIRS", 1)
    monkeypatch.setattr(lines, "LAUNCH", 1)
    program = PROGRAMS["series"]
    X = np.random.default_rng(0).standard_normal((5, 24)) * np.geomspace(0.1, 5.0, 5)[:, None]
    assert_equal(gram(program, X, device="cuda"), gram(program, X), 1e-13)


def test_arrays_of_the_device(gpu):
    """Results stay there; only variances, sums inside rows and diagonals come down."""
    program = PROGRAMS["pools"]
    X, Y = rows_for(program)
    options = {"get": BOTH, "gradient": False}
    for rows in ((X,), (X, Y)):
        expected = gram(program, *rows, **options, device="cuda")
        on_device = [gpu.asarray(Z) for Z in rows]
        log = getattr(gpu, "LOG", None)
        if log is not None:
            log.clear()
        found = gram(program, *on_device, **options)
        for part, other in zip(found, expected, strict=True):
            assert isinstance(part, gpu.ndarray) and np.array_equal(part.get(), other)
        assert log is None or 0 < log.launches < 50
    out = gpu.asarray(np.full((7, 7), np.nan))
    assert gram(program, gpu.asarray(X), out=out) is out and np.isfinite(out.get()).all()


def test_overflow(gpu):
    program = PROGRAMS["conv pooled"]
    X, _ = rows_for(program)
    for dtype, scale in (("float64", 1e160), ("float32", 1e30)):
        texts = []
        for device in ("cpu", "cuda"):
            with pytest.raises(ValueError, match="overflows") as error:
                gram(program, scale * X, dtype=dtype, device=device)
            texts.append(str(error.value))
        assert texts[0] == texts[1]
    with pytest.raises(ValueError, match="takes rows of 24 columns"):
        gram(program, X[:, :-1], device="cuda")


@pytest.mark.slow
def test_memory_runs_out(gpu, monkeypatch):
    """At any allocation: batches become smaller, or there is an error, and nothing is kept."""
    from sklearn_ntk.engines.cupy import line_scan, line_work, lines

    if not hasattr(gpu, "LOG"):
        pytest.skip("sets the limit of the stand-in")
    for module in (line_scan, line_work):
        monkeypatch.setattr(module, "LEAST_PAIRS", 8)
    monkeypatch.setattr(lines, "SHARE", 100.0)
    monkeypatch.setattr(lines, "CELLS_BYTES", 0)
    X = np.random.default_rng(0).standard_normal((24, 24))
    program = PROGRAMS["conv pooled"]
    expected, seen = gram(program, X, device="cuda"), set()
    gc.collect()  # what errors of other tests refer to
    used = gpu.LOG.used
    try:
        for limit in range(0, 3_000_000, 150_000):
            gpu.set_limit(used + limit)
            try:
                found = gram(program, X, device="cuda")
            except MemoryError as error:
                seen.add(str(error).partition(":")[0].partition(" for ")[2])
            else:
                seen.add(len(found))
                assert_equal(found, expected, 1e-14)
            assert gpu.LOG.used == used
    finally:
        gpu.set_limit(float("inf"))
    assert {24, "the pass over 8 rows"} <= seen


# --- Fields ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("geometry", [grids.Windows, grids.Transposed])
@pytest.mark.parametrize("padding", grids.PADDINGS)
def test_windows_end_in_the_margin(geometry, padding):
    """It is less wide than the window: beyond it, no cell of a field is written."""
    sizes, n_found = range(1, 5), 0
    for shape in product(sizes, sizes, sizes):
        windows = geometry(*((n,) for n in shape), padding)
        window = None if 0 in windows.after else fields.window_of(Convolve(windows))
        n_found += window is not None
        assert window is None or window.before + window.behind < window.size
    assert n_found


# --- Launches -------------------------------------------------------------------------------------


def reads_and_writes(case, row, tables):
    """Lines that the threads of a launch read, but for the line that they write, and write."""
    row = dict(zip(cuda_lines.FIELDS, row.tolist(), strict=True))
    size, terms, others = row["size"], row["terms"], row["others"]
    writes, sources = row["out"] + np.arange(size), tables[row["sources"] :]
    if case in ("scatter", "squares"):
        first, last = tables[row["right"] :][[0, size]]
        return sources[first:last], tables[row["left"] :][:size]
    if case == "field":
        head = tables[row["left"] :][: cuda_lines.HEAD]
        n, n_behind = (np.prod(head[k : k + 2]) ** 2 for k in (8, 12))
        targets = tables[others:][:n_behind]
        return sources[: n * head[2]], targets[targets >= 0] if head[3] else writes
    terms = 1 if case in ("weigh", ("attend_linear", None)) else terms
    reads = [sources[: terms * size]]
    if case == ("recur", None):
        reads.append(tables[others:][:size])
    if case == ("attend_sqrt", None):
        reads.append([others])
    return np.concatenate(reads), writes


def test_threads_do_not_meet():
    """No line is written by two threads, or read by one and written by another."""
    for made in launches_of(PROGRAMS.values()):
        for case, row in zip(made.cases, made.fields, strict=True):
            reads, writes = reads_and_writes(case, row, made.tables)
            assert len(np.unique(writes)) == len(writes) and max(writes) < made.n_lines
            assert not np.intersect1d(reads, writes).size


# --- The text -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("single", [False, True])
def test_no_headers_and_no_missing_text(gradient, single):
    text = cuda_lines.source(
        cuda_lines.kinds_of(*cases_of(PROGRAMS[name] for name in SOME), gradient, single)
    )
    assert "#include" not in text
    assert not any(word in text for word in ("(PARAMETERS)", "MAPS\n", "KERNEL "))


@pytest.mark.thorough
@pytest.mark.parametrize("architecture", ["sm_75", "sm_90"])
def test_registers(architecture):
    """Registers that let a processor hold several blocks; hardly any spills without derivatives."""
    cases, field_cases = cases_of(PROGRAMS.values())
    for single, most in ((False, 136), (True, 128)):
        kinds = cuda_lines.kinds_of(cases, field_cases, False, single)
        for registers, spills in nvrtc.compile_for(architecture, cuda_lines.source(kinds)):
            assert registers <= most and spills <= 32
    kinds = cuda_lines.kinds_of(cases, field_cases, True, False)
    for registers, spills in nvrtc.compile_for(architecture, cuda_lines.source(kinds)):
        assert registers <= 255 and spills <= 600
