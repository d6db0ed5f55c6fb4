"""Runs of arithmetic in sources, which are compiled past numba's inference of types."""

import re

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError

from sklearn_ntk.activations import ELU
from sklearn_ntk.engines.numba.arithmetic import with_runs
from sklearn_ntk.engines.numba.compiling import fetch, load, opaque, put, select, store
from sklearn_ntk.engines.sources import lines, tiles
from sklearn_ntk.formulas.writing import build

SOURCE = """\
def loop(x, y):
    t0 = x + y
    t1 = x - y
    t2 = t0 * t1
    t3 = t2 / y
    t4 = x < y
    t5 = x >= F(1.5)
    t6 = t4 | t5
    t7 = t4 & t5
    t8 = max(t3, F(-1e-30))
    square = x * x
    a0 = min(t8, y)
    a1 = select(t6, a0, t1)
    a2 = np.sqrt(square)
    a3 = np.arctan2(a1, t2)
    a4 = np.exp(a3)
    a5 = np.abs(a4)
    a6 = t0 != t1
    a7 = x <= y
    a8 = t0 == t0
    a9 = x > y
    return t0, t3, t6, t7, a1, a2, a3, a5, a6, a7, a8, a9
"""


POINTS = [(1.0, 2.0), (2.0, 1.0), (-3.0, 0.5), (1.5, 1.5), (0.0, -0.0)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_runs_compute_what_the_lines_say(kind):
    names = {"F": kind, "select": select}
    text, runs = with_runs(SOURCE, kind)
    options = {"error_model": "numpy"}
    in_runs = njit(**options)(build(text, __file__, **names, **runs))
    in_lines = njit(**options)(build(SOURCE, __file__, **names))
    assert len(runs) == 2
    for point in POINTS:
        found, expected = (function(*map(kind, point)) for function in (in_runs, in_lines))
        for one, other in zip(found, expected, strict=True):
            assert type(one) is type(other)
            np.testing.assert_array_equal(one, other, err_msg=str(point))


MEMORY = """\
def loop(x, out, i, n):
    c0 = opaque(F(-0.25))
    for j in range(n):
        s0 = load(x, 3 * i + j)
        s1 = fetch(x, i + 2 * j + 1)
        t0 = s0 * c0
        put(out, j, max(t0, s1) + load(x, j))
        last = load(out, j)
        store(out, n + 2 * j, last / t0)
    return last
"""


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_runs_read_and_write_memory_as_the_lines_say(kind):
    names = {"F": kind, "load": load, "store": store, "fetch": fetch, "put": put, "opaque": opaque}
    text, runs = with_runs(MEMORY, kind)
    assert len(runs) == 2 and not re.search("load|store|fetch|put|opaque", text.partition("for")[2])
    x, results = np.random.default_rng(0).normal(size=(3, 4)).astype(kind), []
    for code, functions in ((text, runs), (MEMORY, {})):
        out = np.zeros((3, 4), kind)
        last = njit(error_model="numpy")(build(code, __file__, **names, **functions))(x, out, 2, 4)
        results.append((last, out))
    assert type(results[0][0]) is type(results[1][0]) and results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1], results[1][1])
    assert np.count_nonzero(results[0][1]) == 8


@pytest.mark.parametrize(
    "lines, arguments",
    [
        ("t0 = x + y", (np.float32(1.0), 2)),
        ("t0 = x + y", (np.float32(1.0), 2.0)),
        ("t0 = load(x, y)", (np.zeros(2), 1)),
        ("t0 = load(x, y)", (np.zeros(2, np.float32), np.float32(1.0))),
    ],
    ids=["integer", "double", "double array", "place"],
)
def test_wrong_types_are_refused(lines, arguments):
    text, runs = with_runs(f"def loop(x, y):\n    {lines}\n    return t0\n", np.float32)
    function = njit(build(text, __file__, F=np.float32, **runs))
    with pytest.raises(TypingError, match="Formulas are of float32 and truth values"):
        function(*arguments)


@pytest.mark.slow
def test_all_formulas_are_in_runs():
    """No line of a formula is left to numba's inference."""
    sources = [
        tiles.pointwise(ELU, True, False, True, False),
        tiles.series(True, False, False, False),
        lines.mapped("pointwise", ELU, True, True, False),
    ]
    for source in sources:
        text, runs = with_runs(source, np.float64)
        names = set(re.findall(r"\b[abgt]\d+\b", source))
        assert names and runs
        assert not any(re.match(rf" *(?:{'|'.join(names)}) = ", line) for line in text.splitlines())
