"""Warps of several lanes, on the stand-in for CuPy: the lanes are threads of the processor.

They agree with single threads, and a thread sanitizer finds that no two of them write to the same
place; nor is it blind.
"""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import gpu
import numpy as np
import pytest

PROGRAM = """
import sys
import gpu
import numpy as np
from sklearn_ntk.architectures import mlp
from sklearn_ntk.engines.sources import cuda, cuda_lines
from sklearn_ntk.gram import gram
from sklearn_ntk.layers import *

kind, *change = sys.argv[1:]
if change:
    module = cuda if kind == "rows" else cuda_lines
    own, (text, other) = module.source, change
    module.source = lambda kinds: changed(own(kinds))
    def changed(source):
        assert text in source
        return source.replace(text, other)

X = np.random.default_rng(0).standard_normal((37, 7))
X[1], X[2], X[4], X[5], X[6] = X[0] + 1e-8 * X[30], 2.0 * X[0], -X[3], -X[3] + 1e-9 * X[31], 0.0
X[33:] = X[32] + 1e-4 * X[33:]  # several lanes of a warp are near
Y = np.vstack([X[:7], X[30:]])
network = mlp(1)
if kind == "fields":
    X, Y = X[:6, :6], Y[:2, :6]
    block = Residual(("relu", Conv(2)))
    network = Input(3, 2, 1), Conv(3), block, GlobalAvgPool(), Dense()
program = lower(network, 2.0, 0.1)
with gpu.importable():
    for rows in ((X,), (X, Y)):
        found = gram(program, *rows, get=("nngp", "ntk"), device="cuda")
        np.save(sys.stdout.buffer, np.concatenate([part.ravel() for part in found]))
"""

COMPILER = os.environ.get("CXX", "g++")
needs_compiler = pytest.mark.skipif(shutil.which(COMPILER) is None, reason="needs a C++ compiler")


def run(*arguments, lanes=1, flags="", **environment):
    """Bytes of the results of `PROGRAM`, and its messages.

    ``arguments`` are "rows" or "fields" and, to change the text of kernels, a part and another.
    """
    folders = [
        Path(gpu.__file__).parent,
        Path(__file__).parents[2],
        os.environ.get("PYTHONPATH", ""),
    ]
    environment |= {"STANDIN_LANES": str(lanes), "STANDIN_FLAGS": flags}
    environment |= {"PYTHONPATH": os.pathsep.join(map(str, folders))}
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, capture_output=True, env=os.environ | environment, timeout=300)
    return done.stdout, done.stderr.decode()


kinds = pytest.mark.parametrize("kind", ["rows", "fields"])


@pytest.mark.slow
@needs_compiler
@kinds
def test_warps(kind):
    """Sums over entries of near pairs, and over fields, have another order: last bits differ."""
    (expected, *texts), (found, *others) = run(kind, lanes=1), run(kind, lanes=4)
    assert texts == others == [""]
    expected, found = io.BytesIO(expected), io.BytesIO(found)
    for _ in range(2):
        part, other = np.load(found), np.load(expected)
        assert np.abs(part - other).max() <= 1e-14 * np.abs(other).max()


MUTANTS = {
    "rows": ("(row) < i1 && column < j1 &&", "(row) < i1 &&"),
    "fields": ("BARRIER\n      }\n      switch", "}\n      switch"),
}
"""Lanes beyond the last column write what the last one writes; sums read unfinished margins."""


@pytest.mark.slow
@needs_compiler
@kinds
@pytest.mark.parametrize("is_mutant", [False, True])
def test_thread_sanitizer(kind, is_mutant):
    name = subprocess.check_output([COMPILER, "-print-file-name=libtsan.so"], text=True).strip()
    if not Path(name).is_absolute():
        pytest.skip("needs the thread sanitizer")
    options = {"LD_PRELOAD": name, "TSAN_OPTIONS": "exitcode=0"}
    change = MUTANTS[kind] if is_mutant else ()
    found, messages = run(kind, *change, lanes=4, flags="-fsanitize=thread -g", **options)
    assert found or is_mutant  # which may get NaN, and refuse it
    assert ("data race" in messages) is is_mutant
