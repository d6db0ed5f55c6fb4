"""Schedules of lines: no more than is needed, and the same at any cut and number of rows."""

import numpy as np
import pytest
from contract_positions import (
    BOTH,
    FEW,
    NETWORKS,
    fewer_networks,
    program_of,
    rows_of,
    run_gram,
    run_numpy,
)
from numpy.testing import assert_array_equal

from sklearn_ntk.engines.numba import line_scan, line_work
from sklearn_ntk.engines.reference import lines as _positions
from sklearn_ntk.engines.rows import blocks
from sklearn_ntk.engines.rows import lines as _position_rows
from sklearn_ntk.engines.rows.tiles import check_rows
from sklearn_ntk.engines.schedule import writer as _schedule
from sklearn_ntk.engines.schedule.operations import Gather, Map
from sklearn_ntk.gram import diagonal, gram
from sklearn_ntk.layers import Conv, Dense, Flatten, GlobalAvgPool, Input, lower

# --- Engines and schedules ------------------------------------------------------------------------


@pytest.mark.parametrize("portion", [1, 7, None])
@pytest.mark.parametrize(
    "name",
    ["conv pooled", "overlapping pools", "transformer", "all times", "transposed with gaps"],
)
def test_portions(name, portion, monkeypatch):
    """Where a schedule is cut makes no difference."""
    X, program = rows_of(name, 5), program_of(name)
    expected = run_gram(program, X, X[:2])
    monkeypatch.setattr(
        line_work,
        "schedule",
        lambda p, _=None, diagonal=False: _schedule.schedule(p, portion, True),
    )
    np.testing.assert_allclose(run_gram(program, X, X[:2]), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, gradient",
    [
        *((name, gradient) for name in FEW for gradient in (False, True)),
        *(pytest.param(n, True, marks=pytest.mark.thorough) for n in NETWORKS if n not in FEW),
    ],
)
def test_compiled_scan_of_rows(name, gradient, monkeypatch):
    """Single rows come out the same from compiled loops, whatever their number."""
    X, program = rows_of(name, 35), program_of(name)
    X = blocks.check_shape(X, program.shape)
    expected = _positions.scan_rows(program, X, gradient)
    monkeypatch.setattr(line_scan, "COMPILED_LINES", 0)
    ends = gradient, np.float64, line_scan.scan_blocks
    found = blocks.scan(program, [(X.reshape(len(X), -1), None)], *ends)
    for part, other in zip(flat(found), flat(expected), strict=True):
        size = np.abs(other).max(initial=1e-3)
        np.testing.assert_allclose(part, other, rtol=0, atol=1e-10 * size)


def flat(item):
    """All arrays of a scan."""
    if isinstance(item, (list, tuple)):
        return [part for one in item for part in flat(one)]
    return [] if item is None else [np.asarray(item)]


def test_only_what_is_needed():
    """A flattened readout asks for equal positions only, pooling for all pairs."""
    body = (Input(8, 8, 1), Conv(3), "relu", Conv(3), "relu")
    counts = [
        _schedule.schedule(lower((*body, readout, Dense()))).cost
        for readout in (Flatten(), GlobalAvgPool())
    ]
    assert counts[0] == 4 * 64 + 2
    assert counts[1] == 4 * 64**2 + 2


def test_new_numbers_need_no_new_schedule():
    """Nor do other activations of the same network."""
    network = (Input(4, 4, 1), Conv(3), "relu", GlobalAvgPool(), Dense())
    first = _schedule.schedule(lower(network, 1.0, 0.1))
    assert _schedule.schedule(lower((*network[:2], "erf", *network[3:]), 2.0, 0.3)) is first


@pytest.mark.parametrize("shape", [(1, 1), (17, 1), (1, 33), (16, 16), (40, 21)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_numbers_of_rows(shape, dtype):
    """Lines that are not full, and more than one block."""
    program = program_of("conv pooled")
    n, m = shape
    X, Y = rows_of("conv pooled", n + 3)[3:], rows_of("conv pooled", m + 3, 1)[3:]
    expected = run_numpy(program, X, Y)
    K = np.stack(gram(program, X, Y, BOTH, dtype=dtype))
    tolerance = 1e-13 if dtype == "float64" else 2e-6
    assert K.dtype == dtype
    assert np.abs(K - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2, 3, 16, 32, 33, 34, 65])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "name", ["conv pooled", pytest.param("recurrent", marks=pytest.mark.thorough)]
)
def test_ring_of_rows(name, n, dtype):
    """A symmetric matrix has each pair of rows once, in lines that begin at any row."""
    program, X = program_of(name), rows_of(name, n + 3)[3:]
    expected = run_numpy(program, X, X)
    found, rates = gram(program, X, get=BOTH, dtype=dtype, gradient=True)
    wanted = gram(program, X, X.copy(), get=BOTH, dtype=dtype, gradient=True)[1]
    tolerance = 1e-13 if dtype == "float64" else 2e-6
    for K, other in zip((*found, *rates), (*expected, *wanted), strict=True):
        assert_array_equal(K, K.swapaxes(0, 1))
        assert np.abs(K - other).max() <= tolerance * np.abs(other).max()
    diagonals = diagonal(program, X, BOTH, dtype=dtype, gradient=True)
    for K, ends in zip((*found, *rates), (*diagonals[0], *diagonals[1]), strict=True):
        assert_array_equal(K[np.arange(n), np.arange(n)], ends)


@pytest.mark.parametrize(
    "layers, steps",
    [
        ((Conv(3), "relu"), {1, 2}),
        ((Conv((3, 1)), "relu"), {0, 1}),
        ((Conv(5), "relu"), {2}),
        ((Conv(1), "relu"), {0}),
        ((Conv(3), "relu", Conv(1), "erf"), set()),
        ((Conv(3), "tanh"), set()),
    ],
)
def test_joined_operations(layers, steps):
    """The sum of three lines, an affine map and an activation alone are one loop."""
    program = lower((Input(6, 6, 1), *layers, GlobalAvgPool(), Dense()), 2.0, 0.1)
    work = line_work.LineWork(
        program, [check_rows(np.eye(36)[:2])], ("ntk",), False, np.dtype("float64")
    )
    operations = _schedule.schedule(program, diagonal=True).operations
    kinds = zip(operations, work._plan.ops, strict=True)
    left_out = {op.step for op, row in kinds if isinstance(op, (Gather, Map)) and row[3] == 0}
    assert left_out == steps


@fewer_networks
def test_single_precision(name):
    """To the digits that it has, relative to the diagonal; far fewer behind sums of scores."""
    X, program = rows_of(name, 6), program_of(name)
    exact = np.stack(gram(program, X, get=BOTH))
    K = np.stack(gram(program, X, get=BOTH, dtype="float32"))
    scale = np.abs(np.diagonal(exact, axis1=1, axis2=2)).max(axis=1)[:, None, None]
    assert (np.abs(K - exact) <= 5e-6 * scale).all()


def test_scan_stops_at_the_output():
    """The last record of a scan is the variance of the output."""
    program = program_of("conv pooled")
    X = blocks.check_shape(rows_of("conv pooled", 4), program.shape)
    scanned = _positions.scan_rows(program, X)
    assert isinstance(scanned, _position_rows.LineRows)
    np.testing.assert_array_equal(scanned.records[-1][0][0], scanned.variance)
