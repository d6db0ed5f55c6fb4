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

import numpy as np
import pytest
import warps

COMPILER = os.environ.get("CXX", "g++")
needs_compiler = pytest.mark.skipif(shutil.which(COMPILER) is None, reason="needs a C++ compiler")


def run(*changes, lanes=4, flags="", **environment):
    """Bytes of the results of `warps`, and the messages of each kind."""
    folders = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    environment |= {"STANDIN_LANES": str(lanes), "STANDIN_FLAGS": flags}
    environment |= {"PYTHONPATH": os.pathsep.join(folders)}
    command = [sys.executable, warps.__file__, *changes]
    done = subprocess.run(command, capture_output=True, env=os.environ | environment, timeout=300)
    *messages, rest = done.stderr.decode().split(f"{warps.END}\n")
    assert len(messages) == len(warps.KINDS), rest
    return done.stdout, messages


@pytest.mark.slow
@needs_compiler
def test_warps():
    """Sums over entries of near pairs, and over fields, have another order: last bits differ."""
    found, messages = run()
    assert messages == [""] * len(warps.KINDS)
    found = io.BytesIO(found)
    for kind in warps.KINDS:
        part, other = np.load(found), warps.matrices(kind)
        assert np.abs(part - other).max() <= 1e-14 * np.abs(other).max()


MUTANTS = [
    *("(row) < i1 && column < j1 &&", "(row) < i1 &&"),
    *("BARRIER\n      }\n      switch", "}\n      switch"),
]
"""Lanes beyond the last column write what the last one writes; sums read unfinished margins."""


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param([], id="own"),
        pytest.param(MUTANTS, id="mutants", marks=pytest.mark.thorough),
    ],
)
def test_thread_sanitizer(changes):
    name = subprocess.check_output([COMPILER, "-print-file-name=libtsan.so"], text=True).strip()
    if not Path(name).is_absolute():
        pytest.skip("needs the thread sanitizer")
    options = {"LD_PRELOAD": name, "TSAN_OPTIONS": "exitcode=0"}
    _, messages = run(*changes, flags="-fsanitize=thread -g", **options)
    assert ["data race" in each for each in messages] == [bool(changes)] * len(warps.KINDS)
