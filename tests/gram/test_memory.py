"""Memory: the peak of a computation, and the refusal of what would not fit."""

import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from memory import set_free

from sklearn_ntk import NNGPKernel, NTKClassifier, NTKKernel, NTKRegressor
from sklearn_ntk._runtime import memory as _memory
from sklearn_ntk.architectures import mlp
from sklearn_ntk.gram import gram
from sklearn_ntk.layers import Dense, Output, lower

FEW_LIMIT = 12e6
"""Bytes that 3000 rows of ten columns may need beyond the result."""

LIMIT = 40e6
"""Bytes that 6000 rows may need beyond the result, so that 20000 rows need no more than 64 MB."""

SERIES_LIMIT = 56e6
"""The same with activations that are series, whose coefficients fill a bounded part of it."""

PEAK = """
import ctypes, resource, sys
from pathlib import Path
import numpy as np
from sklearn_ntk import NNGPKernel, NTKKernel

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

kinds = [(NTKKernel, "float64"), (NNGPKernel, "float32")]
if sys.argv[3:] == ["all"]:
    kinds += [(NTKKernel, "float32"), (NNGPKernel, "float64")]
kinds = [(int(sys.argv[2]), 50, *kind) for kind in kinds]
if sys.argv[1] == "relu":
    kinds = [(3000, 10, NTKKernel, "float64"), *kinds]
for n, d, cls, dtype in kinds:
    X = np.random.default_rng(0).standard_normal((n, d))
    kernel = cls(3, sys.argv[1], dtype=dtype)
    kernel(X[:300])
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    size = kernel(X).nbytes
    print(cls.__name__, dtype, peak() - before - size)
"""


def can_reset_peak():
    """Whether the system forgets the peak memory of a process when it is told to."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return sys.platform == "linux"


@pytest.mark.skipif(not can_reset_peak(), reason="needs Linux and its right to reset the peak")
@pytest.mark.skipif(_memory.free_memory() < 1e9, reason="needs a gigabyte of memory")
@pytest.mark.parametrize(
    "activation, n, kinds, limit",
    [
        pytest.param("relu", 6000, "some", LIMIT, marks=pytest.mark.thorough),
        # the coefficients of all rows are held, and more than can be held in double precision
        pytest.param("tanh", 5500, "some", SERIES_LIMIT, marks=pytest.mark.slow),
        pytest.param("relu", 6000, "all", LIMIT, marks=pytest.mark.thorough),
        pytest.param("tanh", 5500, "all", SERIES_LIMIT, marks=pytest.mark.thorough),
        pytest.param("tanh", 7000, "all", SERIES_LIMIT, marks=pytest.mark.thorough),
    ],
)
def test_peak_beyond_the_result(activation, n, kinds, limit):
    command = [sys.executable, "-c", PEAK, activation, str(n), kinds]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    if activation == "relu":
        assert int(lines.pop(0)[-1]) <= FEW_LIMIT
    assert len(lines) == (4 if kinds == "all" else 2)
    for *case, extra in lines:
        assert int(extra) <= limit, case


# --- Refusal --------------------------------------------------------------------------------------


X, Y = np.random.default_rng(0).standard_normal((2, 2000, 2))
PROGRAM = lower(mlp(1))
TWO = lower((*mlp(1), Output(), "relu", Dense()))
REQUESTS = {  # and how many bytes the results take
    "ntk": (lambda: NTKKernel(1)(X), 32e6),
    "nngp": (lambda: NNGPKernel(1)(X), 32e6),
    "two sets of rows": (lambda: NTKKernel(1)(X, Y[:1200]), 19.2e6),
    "single precision": (
        lambda: NNGPKernel(1, dtype="float32")(np.vstack([X, Y[:200]])),
        4 * 2200**2,
    ),
    "gradient": (lambda: NTKKernel(1)(X, eval_gradient=True), 96e6),
    "gradient of the nngp": (lambda: NNGPKernel(1)(X, eval_gradient=True), 96e6),
    "sum of kernels": (lambda: (NTKKernel(1) + NNGPKernel(1))(X), 32e6),
    "gram": (lambda: gram(PROGRAM, X), 32e6),
    "gram of two sets of rows": (lambda: gram(PROGRAM, X, Y), 32e6),
    "both kernels": (lambda: gram(PROGRAM, X, Y, ("nngp", "ntk")), 64e6),
    "both, gradient": (lambda: gram(PROGRAM, X, None, ("nngp", "ntk"), True), 192e6),
    "two outputs": (lambda: gram(TWO, X, Y), 64e6),
}
each_request = pytest.mark.parametrize("request_, needed", REQUESTS.values(), ids=REQUESTS)


@each_request
def test_refusal(request_, needed, monkeypatch):
    """It comes before anything large is allocated, and says what is needed, free, and of use."""
    gram(PROGRAM, X[:2])  # loads the engine
    set_free(monkeypatch, needed - 1e6)
    tracemalloc.start()
    try:
        with pytest.raises(MemoryError) as caught:
            request_()
        assert tracemalloc.get_traced_memory()[1] < 4e6
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    numbers = re.search(r"rows.* needs (\S+) GB of memory and (\S+) GB are free: ", message)
    assert float(numbers[1]) == pytest.approx(needed / 1e9, rel=5e-3)
    assert float(numbers[2]) == pytest.approx(needed / 1e9 - 1e-3, abs=2e-4)
    is_single = needed == REQUESTS["single precision"][1]
    assert "fewer rows" in message and "Nystroem" in message
    assert ("dtype='float32'" in message) is not is_single


@pytest.mark.slow
@each_request
def test_no_refusal_of_what_fits(request_, needed, monkeypatch):
    set_free(monkeypatch, needed)
    request_()


@pytest.mark.parametrize("model", [NTKRegressor(depth=1), NTKClassifier(depth=1)], ids=str)
def test_refusal_of_a_fit(model, monkeypatch):
    set_free(monkeypatch, 31e6)
    with pytest.raises(MemoryError, match=r"2000.* rows needs 0\.\d+ GB.*solver='local'"):
        model.fit(X, X[:, 0] > 0.0)


@pytest.mark.parametrize("cls", [NTKRegressor, NTKClassifier])
def test_refusal_of_a_fit_to_a_precomputed_kernel(cls, monkeypatch):
    """Only rows that have weight count, and nothing is copied before the refusal."""
    K, y, weights = NTKKernel(1)(X), X[:, 0] > 0.0, np.arange(2000) < 1500.0
    model = cls(kernel="precomputed", alpha=1.0, solver="cholesky")
    set_free(monkeypatch, 3.2 * 8 * 1500**2)
    model.fit(K, y, weights)
    tracemalloc.start()
    try:
        with pytest.raises(
            MemoryError, match=r"2000 rows of a precomputed .* 0\.102 GB.*'nystroem'"
        ):
            model.fit(K, y)
        assert tracemalloc.get_traced_memory()[1] < 4e6
    finally:
        tracemalloc.stop()


def test_eigenvectors_need_more(monkeypatch):
    """Of fits with a time, and with the log loss."""
    K, y = NTKKernel(1)(X[:900]), X[:900, 0] > 0.0
    settings = {"kernel": "precomputed", "alpha": 1.0}
    set_free(monkeypatch, 3.2 * 8 * 900**2)
    NTKClassifier(**settings).fit(K, y)
    for more in ({"training_time": 1.0}, {"loss": "log_loss"}):
        model = NTKClassifier(**settings, **more)
        with pytest.raises(MemoryError, match=r"900 rows of a precomputed .* 0\.0266 GB"):
            model.fit(K, y)


@pytest.mark.slow
@pytest.mark.skipif(_memory.free_memory() > 4e12, reason="needs less than 4 TB of memory")
@pytest.mark.parametrize("kernel", [NTKKernel(0), NNGPKernel(0, dtype="float32")], ids=str)
def test_refusal_of_a_million_rows(kernel):
    """For real, where the system might promise the memory and end the process later."""
    many = np.ones((10**6, 1))
    expected = (
        rf"1000000 x 1000000 rows needs {8 if kernel.dtype == 'float64' else 4}(e\+03|,000) GB"
    )
    with pytest.raises(MemoryError, match=expected):
        kernel(many)
    assert kernel(many, many[:1]).shape == (10**6, 1)


# --- Free memory ----------------------------------------------------------------------------------

MEMINFO = "MemTotal:       16000 kB\nMemFree:         100 kB\nMemAvailable:    9000 kB\n"
AVAILABLE = 9000 * 1024
MACHINE = "/proc/meminfo"
FIRST = {MACHINE: MEMINFO, "/proc/self/cgroup": "4:memory:/\n"}
SECOND = {MACHINE: MEMINFO, "/proc/self/cgroup": "0::/\n"}
NESTED = {MACHINE: MEMINFO, "/proc/self/cgroup": "3:cpu:/c\n0::/a/b\n"}
LIMITED = {"/memory.max": "5000000\n", "/memory.current": "1000000\n"}
UNLIMITED = 2**63 - 4096
"""What the first version of cgroups has as its limit if there is none."""


@pytest.mark.parametrize(
    "files, expected",
    [
        ({MACHINE: MEMINFO}, AVAILABLE),
        (SECOND | LIMITED, 4e6),
        (SECOND | {"memory.max": "max\n", "memory.current": "1000000\n"}, AVAILABLE),
        (SECOND | {"memory.max": "5000000\n"}, AVAILABLE),
        (SECOND | {"memory.max": "5000000\n", "memory.current": "5000001\n"}, 0.0),
        (SECOND | {"memory.max": "90000000\n", "memory.current": "1000000\n"}, AVAILABLE),
        (
            SECOND | LIMITED | {"memory.stat": "anon 7\ninactive_file 30\nactive_file 200\n"},
            4000230,
        ),
        (NESTED | {f"cgroup{name}": text for name, text in LIMITED.items()}, 4e6),
        (NESTED | {f"cgroup/a/b{name}": text for name, text in LIMITED.items()}, 4e6),
        (FIRST | {"limit_in_bytes": "7000000\n", "usage_in_bytes": "1000000\n"}, 6e6),
        (FIRST | {"limit_in_bytes": f"{UNLIMITED}\n", "usage_in_bytes": "1000000\n"}, AVAILABLE),
    ],
)
def test_free_memory(files, expected, monkeypatch):
    """The least of machine and container; a file is known by how its path ends."""

    def read(path):
        return next((text for name, text in files.items() if path.endswith(name)), "")

    monkeypatch.setattr(_memory, "_read", read)
    assert _memory.free_memory() == expected


def test_free_memory_of_an_unknown_system(monkeypatch):
    """Nothing is refused for want of knowledge."""
    monkeypatch.setattr(_memory, "_read", lambda path: "")
    assert _memory.free_memory() > 1e8


def test_files_of_the_system(tmp_path):
    file = tmp_path / "memory.max"
    assert _memory._read(file) == ""
    assert _memory._read(tmp_path) == ""
    file.write_text("5\n")
    assert _memory._read(file) == "5\n"


def test_check_memory(monkeypatch):
    set_free(monkeypatch, 1.5e9)
    _memory.check_memory(1.5e9, "This", "take less")
    with pytest.raises(MemoryError, match=r"^This needs 2 GB of memory and 1\.5 GB are free: take"):
        _memory.check_memory(2e9, "This", "take less")
