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
from sklearn_ntk.engines.sources import cuda
from sklearn_ntk.gram import gram
from sklearn_ntk.layers import lower

if len(sys.argv) > 1:
    own, (text, other) = cuda.source, sys.argv[1:]
    cuda.source = lambda kinds: changed(own(kinds))
    def changed(source):
        assert text in source
        return source.replace(text, other)

X = np.random.default_rng(0).standard_normal((37, 7))
X[1], X[2], X[4], X[5], X[6] = X[0] + 1e-8 * X[30], 2.0 * X[0], -X[3], -X[3] + 1e-9 * X[31], 0.0
X[33:] = X[32] + 1e-4 * X[33:]  # several lanes of a warp are near
Y = np.vstack([X[:7], X[30:]])
program = lower(mlp(1), 2.0, 0.1)
with gpu.importable():
    for rows in ((X,), (X, Y)):
        found = gram(program, *rows, get=("nngp", "ntk"), device="cuda")
        np.save(sys.stdout.buffer, np.concatenate([part.ravel() for part in found]))
"""

COMPILER = os.environ.get("CXX", "g++")
needs_compiler = pytest.mark.skipif(shutil.which(COMPILER) is None, reason="needs a C++ compiler")


def run(*arguments, lanes=1, flags="", **environment):
    """Bytes of the results of `PROGRAM`, and its messages."""
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


@pytest.mark.slow
@needs_compiler
def test_warps():
    """Sums over the entries of near pairs have another order in warps: the last bits differ."""
    (expected, *texts), (found, *others) = run(lanes=1), run(lanes=4)
    assert texts == others == [""]
    expected, found = io.BytesIO(expected), io.BytesIO(found)
    for _ in range(2):
        part, other = np.load(found), np.load(expected)
        assert np.abs(part - other).max() <= 1e-14 * np.abs(other).max()


BOUND = "(row) < i1 && column < j1 &&"


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("change", [(), (BOUND, "(row) < i1 &&")], ids=["own", "mutant"])
def test_thread_sanitizer(change):
    """The mutant lets lanes beyond the last column write what the last one writes."""
    name = subprocess.check_output([COMPILER, "-print-file-name=libtsan.so"], text=True).strip()
    if not Path(name).is_absolute():
        pytest.skip("needs the thread sanitizer")
    options = {"LD_PRELOAD": name, "TSAN_OPTIONS": "exitcode=0"}
    found, messages = run(*change, lanes=4, flags="-fsanitize=thread -g", **options)
    assert found
    assert ("data race" in messages) is bool(change)
