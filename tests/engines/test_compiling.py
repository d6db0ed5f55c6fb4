"""What is compiled, when, and what becomes of it on the disk; how soon a process is ready."""

import numba
import pytest
from numba.core import caching
from processes import run

from sklearn_ntk import NTKKernel
from sklearn_ntk.engines.numba.compiling import compiled
from sklearn_ntk.formulas.writing import build

NOTHING_NEW = """
import numpy as np
from numba.core.event import install_recorder
from sklearn_ntk import NNGPKernel, NTKKernel, NTKRegressor
from sklearn_ntk.activations import Erf
from sklearn_ntk.architectures import mlp, resmlp
from sklearn_ntk.engines.numba import tiles as _numba
from sklearn_ntk.gram import gram
from sklearn_ntk.layers import Dense, Output, Residual, lower

def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X

X = np.round(4.0 * np.random.default_rng(0).standard_normal((80, 4)))
first = Erf(rate=0.6)
network = (Dense(), Residual((first, Dense()), (Dense(),)), first, Dense())
model = NTKRegressor(architecture=network, alpha=0.1).fit(X, X[:, 0])

act = Erf(rate=1.3)
branches = (Residual((act, Dense()), (Dense(0.5),)), Residual((Residual((Dense(),)), Dense())))
networks = [
    mlp(0), mlp(1, act), mlp(20, first), resmlp(3, act, 0.5), (Dense(), *branches, act, Dense()),
    (Dense(1.0, 0.0), act, Dense(frozen=True), act, Dense()),
]
rows = {
    "Fortran": np.asfortranarray(X), "strided": np.repeat(X, 2, axis=0)[::2], "reversed": X[::-1],
    "columns": X[:, ::2], "read-only": read_only(X), "one row": X[:1], "one column": X[:, :1],
    "no offset": X + 5.0, "wide": np.tile(X, 30), "list": X.tolist(),
}
rows |= {kind: X.astype(kind) for kind in ("float16", "float32", "int8", "int64", "uint8", "bool")}

def known():  # also what was found on the disk
    return _numba.address.cache_info().currsize, len(_numba.fill.signatures)

def call(what, function):
    before = known()
    with install_recorder("numba:compile") as recorder:
        function()
    assert known() == before, what
    assert not recorder.buffer, (what, [event.data for _, event in recorder.buffer])

for network in networks:
    for kernel in (NTKKernel, NNGPKernel):
        call(network, lambda: kernel(architecture=network)(X))
for n_frozen in (1, 2):
    call(n_frozen, lambda: NTKKernel(3, act, n_frozen=n_frozen)(X))
for weight_var, bias_var in ((1, 0), (0.5, 2.0), (np.float32(3.0), np.int64(1))):
    call("variances", lambda: NTKKernel(2, act, weight_var, bias_var)(X))
outputs = (*mlp(1, act), Output(), act, Dense(), Output(), act, Dense())
call("outputs", lambda: gram(lower(outputs), X, get=("nngp", "ntk")))
kernel = NTKKernel(2, act)
for kind, Z in rows.items():
    call(kind, lambda: kernel(Z))
    call(kind, lambda: kernel(Z, Z[:1]))
    call(kind, lambda: kernel(Z[:1], Z))
    call(kind, lambda: kernel.diag(Z))
call("predict", lambda: model.predict(X[:3], return_std=True))
"""


@pytest.mark.slow
def test_nothing_is_compiled_after_a_fit():
    """Whatever the network, as long as its kinds of steps are known, and whatever the rows."""
    run(NOTHING_NEW)


FIRST_CALLS = """
import sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from numba.core import caching
from numba.core.event import install_recorder
from sklearn_ntk import NTKKernel

if "nowhere" in sys.argv:
    caching.CompileResultCacheImpl._locator_classes = []
X = np.random.default_rng(0).standard_normal((50, 3))
kernels = [NTKKernel(1), NTKKernel(2), NTKKernel(1, "erf"), NTKKernel(1)]
with install_recorder("numba:compile") as recorder, ThreadPoolExecutor(int(sys.argv[1])) as pool:
    results = list(pool.map(lambda kernel: kernel(X), kernels))
for kernel, result in zip(kernels, results, strict=True):
    assert np.array_equal(result, kernel(X))
print(len(recorder.buffer))
"""


@pytest.mark.thorough
def test_threads_compile_at_once(tmp_path):
    """The cache serves the next process, also in a folder that does not exist yet."""
    folder = tmp_path / "not" / "yet"
    assert int(run(FIRST_CALLS, 4, NUMBA_CACHE_DIR=folder)) > 0
    assert int(run(FIRST_CALLS, 1, NUMBA_CACHE_DIR=folder)) == 0


def double(x):
    return 2 * x


def test_processes_compile_at_once(monkeypatch, tmp_path):
    """Code that one of them saves for its types is not loaded for the types of the other."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    first, second, third = (compiled(double) for _ in range(3))
    files = second._cache._cache_file
    monkeypatch.setattr(files, "_load_index", dict)  # before the first has saved,
    monkeypatch.setattr(files, "_save_data", lambda *_: None)  # which writes its data later
    first.compile((numba.float64,))
    for step in (second, third):
        step.compile((numba.float32,))
        assert step.signatures == [(numba.float32,)]


FULL_DISK = """
import resource, signal
from sklearn_ntk import NTKKernel
import sklearn_ntk.engines.numba.tiles
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
print(NTKKernel(0, bias_var=0.0)([[1.0]])[0, 0])
"""


@pytest.mark.thorough
def test_full_disk(tmp_path):
    pytest.importorskip("resource")
    assert float(run(FULL_DISK, NUMBA_CACHE_DIR=tmp_path)) == 2.0


NO_CACHE = """
import sys
from numba.core import caching
from sklearn_ntk import NTKKernel

if "nowhere" in sys.argv:
    caching.CompileResultCacheImpl._locator_classes = []
print(NTKKernel(0, bias_var=0.0)([[1.0]])[0, 0])
"""


@pytest.mark.parametrize("place", ["file", "nowhere"])
def test_cache_that_cannot_be_written(place, monkeypatch, tmp_path):
    """Then numba looks for another place, or does without."""
    folder, module = tmp_path / "cache", tmp_path / "module.py"
    folder.write_text("not a folder")
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(folder))
    if place == "nowhere":
        monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])
    module.write_text("def double(x):\n    return 2 * x\n")
    function = compiled(build(module.read_text(), str(module)))
    assert function(2.0) == 4.0
    assert (tmp_path / "__pycache__").exists() == (place == "file")


@pytest.mark.thorough
@pytest.mark.parametrize("place", ["file", "nowhere"])
def test_kernel_without_a_cache(place, tmp_path):
    folder = tmp_path / "cache"
    folder.write_text("not a folder")
    assert float(run(NO_CACHE, place, NUMBA_CACHE_DIR=folder)) == 2.0


WITHOUT_COMPILER = """
import numpy as np
from sklearn_ntk import NTKKernel
kernel = NTKKernel(1)
print(kernel.diag(np.ones((1, 2))).round(3))
for _ in range(2):
    try:
        kernel(np.ones((1, 2)))
    except RuntimeError as error:
        print(error)
"""


@pytest.mark.slow
def test_without_compiler():
    """What needs none works, and the rest says why it does not."""
    lines = run(WITHOUT_COMPILER, NUMBA_DISABLE_JIT=1).splitlines()
    assert lines[0].startswith("[") and len(lines) == 3
    for line in lines[1:]:
        assert "needs numba's compiler" in line and line.endswith(": unset NUMBA_DISABLE_JIT.")


START = """
import sys, time
begin = time.process_time()
import numpy, scipy.linalg, sklearn.base, sklearn.gaussian_process.kernels, sklearn.utils
start = time.process_time()
from sklearn_ntk import NNGPKernel, NTKClassifier, NTKKernel, NTKRegressor
imported = time.process_time()
assert "numba" not in sys.modules
NTKKernel()([[1.0], [2.0]])
print((imported - start) / (start - begin), (time.process_time() - imported) / (start - begin))
"""


@pytest.mark.slow
def test_start():
    """Importing takes 0.4 of what importing scikit-learn takes, and the first call 0.8.

    Once there is a cache; of the processor's time, as other tests may run next to it.
    """
    NTKKernel()([[1.0], [2.0]])
    for _ in range(5):  # the machine may be busy
        imported, called = map(float, run(START).split())
        if imported < 0.4 and called < 0.8:
            return
    pytest.fail(f"importing took {imported:.2f} and the first call {called:.2f} of that")
