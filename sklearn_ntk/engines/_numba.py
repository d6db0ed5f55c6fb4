"""The compiled engine: an interpreter that carries a tile of pairs through a program in cache.

The only module that imports numba. Activations are values; what they do to a pair is found by their
type and inlined, so that one compiled function serves every network with the same set of
activations, and numba's disk cache serves the next process.
"""

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
from numba import get_num_threads, literal_unroll, njit, types
from numba.extending import overload_method

from .. import _special, _trace, activations, formulas
from .._trace import build
from ..formulas import WIDTH
from ..program import Add, Pointwise, Save, Swap

__all__ = ["TILE_ROWS", "fill", "get_num_threads", "pack_program", "pack_rows"]

TILE_ROWS = 128
TILE_COLUMNS = 256

NEAR = 1e-5
"""Squared distance of directions, or of opposite ones, up to which differences are summed."""

_CODES = {Pointwise: 0, Save: 1, Swap: 2, Add: 3}
_OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
_INLINED = {
    **_OPTIONS,
    "forceinline": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
_inline = njit(**_INLINED)


@cache
def _built(make, *arguments):
    return build(make(*arguments), _inline)


for _value in (types.NamedTuple, types.NamedUniTuple):

    @overload_method(_value, "step", jit_options=_INLINED)
    def _step(self, weight, bias, trained, gap, ntk, left, right):
        return _built(formulas.map_pair_source, self.instance_class)

    @overload_method(_value, "step_rates", jit_options=_INLINED)
    def _step_rates(self, weight, bias, trained, drift, state, left, right, dleft, dright):
        return _built(formulas.map_pair_rates_source, self.instance_class)


_mixed_rates = _inline(_built(formulas.add_pair_rates_source))
_mixed = _inline(_built(formulas.add_pair_source))


# --- Steps of the interpreter ---------------------------------------------------------------------
#
# A tile pairs rows i0 .. i0 + m with columns j0 .. j0 + n. ``state[0]`` holds its gaps,
# ``state[1]`` its NTKs and, with derivatives, ``state[2:4]`` the rates of the gaps and
# ``state[4:6]`` those of the NTKs. ``stop[i]`` is the number of columns of row i that are wanted:
# of a symmetric matrix, the lower triangle.
#
# Loops run over one-dimensional contiguous views: sums of indices in a subscript would make the
# compiler gather single elements.


@_inline
def _record(rows, k, i):
    return (
        rows[k, 0, i], rows[k, 1, i], rows[k, 2, i], rows[k, 3, i],
        rows[k, 4, i], rows[k, 5, i], rows[k, 6, i], rows[k, 7, i],
    )  # fmt: skip


@_inline
def _views(rows, k, j0):
    row = rows[k]
    return (
        row[0][j0:], row[1][j0:], row[2][j0:], row[3][j0:],
        row[4][j0:], row[5][j0:], row[6][j0:], row[7][j0:],
    )  # fmt: skip


@_inline
def _at(views, j):
    return (
        views[0][j], views[1][j], views[2][j], views[3][j],
        views[4][j], views[5][j], views[6][j], views[7][j],
    )  # fmt: skip


@_inline
def _parts(state, i):
    return state[0, i], state[1, i], state[2, i], state[3, i], state[4, i], state[5, i]


@njit(**{**_INLINED, "fastmath": {"contract", "nsz", "reassoc"}})
def _squared_distance(x, y, scale_x, scale_y):
    total = 0.0
    for k in range(x.shape[0]):
        apart = x[k] * scale_x - y[k] * scale_y
        total += apart * apart
    return total


@_inline
def _start(left, right, inner, i0, j0, c0, stop, gap):
    """Gaps of the inputs: from inner products, and from differences where directions are close."""
    X, norms_x = left[0], left[1]
    Y, norms_y = right[0], right[1][j0:]
    scale = 1.0 / X.shape[1]
    for i in range(stop.shape[0]):
        norm, products, out = norms_x[i0 + i], inner[i][c0:], gap[i]
        n_near = 0
        for j in range(stop[i]):
            product = norm * norms_y[j]
            value = 2.0 * max(product - products[j], 0.0)
            out[j] = scale * value
            n_near += (value <= NEAR * product) | (value >= (4.0 - NEAR) * product)
        if n_near > 0:
            for j in range(stop[i]):
                product = scale * norm * norms_y[j]
                is_near, is_opposite = out[j] <= NEAR * product, out[j] >= (4.0 - NEAR) * product
                if (is_near or is_opposite) and product > 0.0:
                    sign = 1.0 if is_near else -1.0
                    total = _squared_distance(X[i0 + i], Y[j0 + j], 1.0 / norm, sign / norms_y[j])
                    out[j] = product * (total if is_near else 4.0 - total)


@_inline
def _map(act, k, step, rows_x, rows_y, i0, j0, stop, state):
    weight, bias, trained = step[0], step[1], step[2]
    views = _views(rows_y, k, j0)
    for i in range(stop.shape[0]):
        left = _record(rows_x, k, i0 + i)
        gap, ntk = state[0, i], state[1, i]
        for j in range(stop[i]):
            gap[j], ntk[j] = act.step(weight, bias, trained, gap[j], ntk[j], left, _at(views, j))


@_inline
def _map_rates(act, k, step, rows_x, rows_y, rates, i0, j0, stop, state):
    weight, bias, trained, drift = step[0], step[1], step[2], (step[3], step[4])
    views = _views(rows_y, k, j0)
    views0, views1 = _views(rates[1][0], k, j0), _views(rates[1][1], k, j0)
    for i in range(stop.shape[0]):
        left = _record(rows_x, k, i0 + i)
        dleft = _record(rates[0][0], k, i0 + i), _record(rates[0][1], k, i0 + i)
        s0, s1, s2, s3, s4, s5 = _parts(state, i)
        for j in range(stop[i]):
            s0[j], s1[j], s2[j], s3[j], s4[j], s5[j] = act.step_rates(
                weight, bias, trained, drift, (s0[j], s1[j], s2[j], s3[j], s4[j], s5[j]),
                left, _at(views, j), dleft, (_at(views0, j), _at(views1, j)),
            )  # fmt: skip


@_inline
def _map_any(acts, index, k, step, rows_x, rows_y, rates, i0, j0, stop, state):
    """`Pointwise`, with derivatives if there are rates of the records."""
    position = 0
    for act in literal_unroll(acts):
        if position == index:
            if rates is None:
                _map(act, k, step, rows_x, rows_y, i0, j0, stop, state)
            else:
                _map_rates(act, k, step, rows_x, rows_y, rates, i0, j0, stop, state)
        position += 1


@_inline
def _add(k, rows_x, rows_y, i0, j0, stop, state, saved):
    views = _views(rows_y, k, j0)
    for i in range(stop.shape[0]):
        left = _record(rows_x, k, i0 + i)
        gap, ntk, gap1, ntk1 = state[0, i], state[1, i], saved[0, i], saved[1, i]
        for j in range(stop[i]):
            gap[j], ntk[j] = _mixed(gap[j], ntk[j], gap1[j], ntk1[j], left, _at(views, j))


@_inline
def _add_rates(k, rows_x, rows_y, rates, i0, j0, stop, state, saved):
    views = _views(rows_y, k, j0)
    views0, views1 = _views(rates[1][0], k, j0), _views(rates[1][1], k, j0)
    for i in range(stop.shape[0]):
        left = _record(rows_x, k, i0 + i)
        dleft = _record(rates[0][0], k, i0 + i), _record(rates[0][1], k, i0 + i)
        s0, s1, s2, s3, s4, s5 = _parts(state, i)
        t0, t1, t2, t3, t4, t5 = _parts(saved, i)
        for j in range(stop[i]):
            s0[j], s1[j], s2[j], s3[j], s4[j], s5[j] = _mixed_rates(
                (s0[j], s1[j], s2[j], s3[j], s4[j], s5[j]),
                (t0[j], t1[j], t2[j], t3[j], t4[j], t5[j]),
                left, _at(views, j), dleft, (_at(views0, j), _at(views1, j)),
            )  # fmt: skip


@_inline
def _add_any(k, rows_x, rows_y, rates, i0, j0, stop, state, saved):
    if rates is None:
        _add(k, rows_x, rows_y, i0, j0, stop, state, saved)
    else:
        _add_rates(k, rows_x, rows_y, rates, i0, j0, stop, state, saved)


@_inline
def _copy(source, target):
    # by loops: an array assignment compiles the formatting of its error message, for seconds
    for part in range(source.shape[0]):
        for i in range(source.shape[1]):
            row, out = source[part, i], target[part, i]
            for j in range(source.shape[2]):
                out[j] = row[j]


@_inline
def _exchange(x, y):
    for part in range(x.shape[0]):
        for i in range(x.shape[1]):
            for j in range(x.shape[2]):
                x[part, i, j], y[part, i, j] = y[part, i, j], x[part, i, j]


@_inline
def _to_covariance(rows_x, rows_y, rates, i0, j0, stop, state):
    """Turn gaps into covariances."""
    k, last = rows_x.shape[0] - 1, WIDTH - 1
    b = rows_y[k, last][j0:]
    for i in range(stop.shape[0]):
        a, out = rows_x[k, last, i0 + i], state[0, i]
        for j in range(stop[i]):
            out[j] = a * b[j] - 0.5 * out[j]
        if rates is not None:
            for p in range(2):
                da, db = rates[0][p, k, last, i0 + i], rates[1][p, k, last][j0:]
                out = state[2 + p, i]
                for j in range(stop[i]):
                    out[j] = da * b[j] + a * db[j] - 0.5 * out[j]


@_inline
def _write(values, i0, j0, stop, out):
    for i in range(stop.shape[0]):
        row, target = values[i], out[i0 + i]
        for j in range(stop[i]):
            target[j0 + j] = row[j]


@_inline
def _mirror(values, i0, j0, stop, out):
    """Write a tile of the lower triangle to the upper one, by lines of cache, eight entries."""
    for i1 in range(0, stop.shape[0], 8):
        i2 = min(i1 + 8, stop.shape[0])
        for j in range(stop[i1]):
            target = out[j0 + j]
            for i in range(i1, i2):
                target[i0 + i] = values[i, j]
        for i in range(i1, i2):
            for j in range(stop[i1], stop[i]):
                out[j0 + j, i0 + i] = values[i, j]


@_inline
def _store(values, i0, j0, stop, symmetric, out):
    """Copy a tile to the result, unless that is empty, while the tile is in cache."""
    if out.size > 0:
        _write(values, i0, j0, stop, out)
        if symmetric:
            _mirror(values, i0, j0, stop, out)


@_inline
def _store_all(state, rates, i0, j0, stop, symmetric, results):
    nngp, ntk, dnngp, dntk = results
    _store(state[0], i0, j0, stop, symmetric, nngp)
    _store(state[1], i0, j0, stop, symmetric, ntk)
    if rates is not None:
        for p in range(dnngp.shape[2]):
            _store(state[2 + p], i0, j0, stop, symmetric, dnngp[:, :, p])
        for p in range(dntk.shape[2]):
            _store(state[4 + p], i0, j0, stop, symmetric, dntk[:, :, p])


@_inline
def _interpret(codes, which, steps, acts, rows_x, rows_y, rates, i0, j0, stop, state, stack):
    """Carry a tile through the program."""
    top = 0
    for k in range(codes.shape[0]):
        if codes[k] == 0:
            _map_any(acts, which[k], k, steps[k], rows_x, rows_y, rates, i0, j0, stop, state)
        elif codes[k] == 1:
            _copy(state, stack[top])
            top += 1
        elif codes[k] == 2:
            _exchange(state, stack[top - 1])
        else:
            top -= 1
            _add_any(k, rows_x, rows_y, rates, i0, j0, stop, state, stack[top])


def _make_fill(version):
    def fill(
        codes, which, steps, stack_size, acts, left, right, rates, inner, i0, c0, symmetric, results
    ):  # fmt: skip
        version  # noqa: B018  a constant of the compiled code: the disk cache is keyed by it
        m, depth = inner.shape[0], 2 if rates is None else 6
        state = np.empty((depth, m, TILE_COLUMNS))
        stack = np.empty((stack_size, depth, m, TILE_COLUMNS))
        stop = np.empty(m, np.int64)
        for t0 in range(0, inner.shape[1], TILE_COLUMNS):
            j0, n = c0 + t0, min(TILE_COLUMNS, inner.shape[1] - t0)
            for i in range(m):
                stop[i] = max(0, min(n, i0 + i + 1 - j0)) if symmetric else n
            state[1:] = 0.0
            _start(left, right, inner, i0, j0, t0, stop, state[0])
            _interpret(
                codes, which, steps, acts, left[2], right[2], rates, i0, j0, stop, state, stack
            )
            _to_covariance(left[2], right[2], rates, i0, j0, stop, state)
            _store_all(state, rates, i0, j0, stop, symmetric, results)

    return fill


def _digest():
    """Digest of all sources that enter the compiled code: the disk cache knows only this file."""
    files = [Path(module.__file__) for module in (_trace, _special, formulas)]
    files += [Path(__file__), *sorted(Path(activations.__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@cache
def _compiled(cached):
    function = _make_fill(_digest() if cached else "")
    if cached:
        try:
            return njit(cache=True, **_OPTIONS)(function)
        except RuntimeError:  # no directory for the cache
            pass
    return njit(**_OPTIONS)(function)


def fill(plan, left, right, rates, inner, i0, c0, symmetric, results):
    """Compute one block of the matrices: rows ``i0`` on, columns ``c0`` on, as many as ``inner``.

    Parameters
    ----------
    plan : tuple
        From `pack_program`.
    left, right : tuples ``(X, norms, records)``
        Rows and columns, with their records from `pack_rows`.
    rates : pair of arrays or None
        Rates of the records of both sides, if derivatives are wanted.
    inner : array of shape (n_rows, n_columns)
        Inner products of the rows and columns of this block.
    i0, c0 : int
        Where the block begins.
    symmetric : bool
        Compute the lower triangle and mirror it.
    results : tuple of arrays
        NNGP, NTK and their rates; an array without entries is not wanted.
    """
    acts = plan[-1]
    own = all(type(act).__module__ == activations.__name__ for act in acts)
    _compiled(own)(*plan, left, right, rates, inner, i0, c0, symmetric, results)


def pack_program(program):
    """The program as arrays, and its activations, for `fill`."""
    acts = program.activations
    maps = [s if isinstance(s, Pointwise) else Pointwise(acts[0]) for s in program.steps]
    numbers = [
        (s.weight_var, b, s.trained, s.weight_var * s.weight_tied, 0.5 * b * s.bias_tied)
        for s in maps
        for b in (np.sqrt(s.bias_var),)
    ]
    codes = np.array([_CODES[type(s)] for s in program.steps])
    which = np.array([acts.index(s.activation) for s in maps])
    return codes, which, np.array(numbers, float), program.stack_size, acts


def pack_rows(scan, gradient):
    """Records of the reference engine as one array, and their rates as another."""
    n = scan.variance.shape[0]
    records = np.zeros((len(scan.records), WIDTH, n))
    rates = np.zeros((2, len(scan.records), WIDTH, n)) if gradient else None
    for k, record in enumerate(scan.records):
        if record:
            records[k] = record
            if gradient:
                rates[:, k] = scan.rates[k]
    return records, rates
