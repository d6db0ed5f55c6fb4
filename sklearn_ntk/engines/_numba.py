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

from .. import _special, _trace, activations, program
from .._trace import build
from ..program import N_FEATURES, WIDTH, Add, Pointwise, Save, Swap

__all__ = ["TILE_ROWS", "fill", "get_num_threads", "pack_program", "pack_rows"]

TILE_ROWS = 64
TILE_COLUMNS = 256

NEAR = 1e-5
"""Squared distance of directions below which it is summed from differences, not inner products."""

_CODES = {Pointwise: 0, Save: 1, Swap: 2, Add: 3}
_OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
_INLINED = {**_OPTIONS, "forceinline": True}
_inline = njit(**_INLINED)


@cache
def _built(make, *arguments):
    return build(make(*arguments), _inline)


for _value in (types.NamedTuple, types.NamedUniTuple):

    @overload_method(_value, "step", jit_options=_INLINED)
    def _step(self, weight, bias, trained, gap, ntk, left, right):
        return _built(program.map_pair_source, self.instance_class)

    @overload_method(_value, "step_rates", jit_options=_INLINED)
    def _step_rates(self, weight, bias, trained, drift, state, left, right, dleft, dright):
        return _built(program.map_pair_rates_source, self.instance_class)


_mixed_rates = _inline(_built(program.add_pair_rates_source))
_mixed = _inline(_built(program.add_pair_source))


# --- Steps of the interpreter ---------------------------------------------------------------------
#
# A tile pairs rows i0 .. i0 + m with columns j0 .. j0 + n. ``state[0]`` holds its gaps, ``state[1]``
# its NTKs and, with derivatives, ``state[2:4]`` the rates of the gaps and ``state[4:6]`` those of
# the NTKs. ``stop[i]`` is the number of columns of row i that are wanted: of a symmetric matrix,
# the lower triangle.


@_inline
def _record(rows, k, i):
    return (
        rows[k, 0, i], rows[k, 1, i], rows[k, 2, i], rows[k, 3, i],
        rows[k, 4, i], rows[k, 5, i], rows[k, 6, i], rows[k, 7, i],
    )  # fmt: skip


@_inline
def _start(left, right, inner, i0, j0, c0, stop, gap):
    """Gaps of the inputs: from inner products, and from differences where directions are close."""
    X, norms_x = left[0], left[1]
    Y, norms_y = right[0], right[1]
    scale = 1.0 / X.shape[1]
    for i in range(stop.shape[0]):
        norm = norms_x[i0 + i]
        n_near = 0
        for j in range(stop[i]):
            product = norm * norms_y[j0 + j]
            value = 2.0 * max(product - inner[i, c0 + j], 0.0)
            gap[i, j] = scale * value
            n_near += value <= NEAR * product
        if n_near > 0:
            for j in range(stop[i]):
                product = scale * norm * norms_y[j0 + j]
                if gap[i, j] <= NEAR * product and product > 0.0:
                    total = 0.0
                    for k in range(X.shape[1]):
                        apart = X[i0 + i, k] / norm - Y[j0 + j, k] / norms_y[j0 + j]
                        total += apart * apart
                    gap[i, j] = product * total


@_inline
def _map(act, k, step, rows_x, rows_y, i0, j0, stop, state):
    weight, bias, trained = step[0], step[1], step[2]
    for i in range(stop.shape[0]):
        left = _record(rows_x, k, i0 + i)
        for j in range(stop[i]):
            right = _record(rows_y, k, j0 + j)
            state[0, i, j], state[1, i, j] = act.step(
                weight, bias, trained, state[0, i, j], state[1, i, j], left, right
            )


@_inline
def _rates(rates, k, i):
    return _record(rates[0], k, i), _record(rates[1], k, i)


@_inline
def _state(state, i, j):
    return (
        state[0, i, j], state[1, i, j], state[2, i, j],
        state[3, i, j], state[4, i, j], state[5, i, j],
    )  # fmt: skip


@_inline
def _map_rates(act, k, step, rows_x, rows_y, rates, i0, j0, stop, state):
    weight, bias, trained, drift = step[0], step[1], step[2], (step[3], step[4])
    for i in range(stop.shape[0]):
        left, dleft = _record(rows_x, k, i0 + i), _rates(rates[0], k, i0 + i)
        for j in range(stop[i]):
            new = act.step_rates(
                weight, bias, trained, drift, _state(state, i, j),
                left, _record(rows_y, k, j0 + j), dleft, _rates(rates[1], k, j0 + j),
            )  # fmt: skip
            state[0, i, j], state[1, i, j], state[2, i, j] = new[0], new[1], new[2]
            state[3, i, j], state[4, i, j], state[5, i, j] = new[3], new[4], new[5]


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
def _add(k, rows_x, rows_y, rates, i0, j0, stop, state, saved):
    for i in range(stop.shape[0]):
        left = _record(rows_x, k, i0 + i)
        for j in range(stop[i]):
            right = _record(rows_y, k, j0 + j)
            if rates is None:
                state[0, i, j], state[1, i, j] = _mixed(
                    state[0, i, j], state[1, i, j], saved[0, i, j], saved[1, i, j], left, right
                )
            else:
                new = _mixed_rates(
                    _state(state, i, j), _state(saved, i, j), left, right,
                    _rates(rates[0], k, i0 + i), _rates(rates[1], k, j0 + j),
                )  # fmt: skip
                state[0, i, j], state[1, i, j], state[2, i, j] = new[0], new[1], new[2]
                state[3, i, j], state[4, i, j], state[5, i, j] = new[3], new[4], new[5]


@_inline
def _exchange(x, y):
    for part in range(x.shape[0]):
        for i in range(x.shape[1]):
            for j in range(x.shape[2]):
                x[part, i, j], y[part, i, j] = y[part, i, j], x[part, i, j]


@_inline
def _write(values, i0, j0, stop, symmetric, out):
    """Copy a tile to the result and, if that is symmetric, its mirror image while in cache."""
    for i in range(stop.shape[0]):
        for j in range(stop[i]):
            out[i0 + i, j0 + j] = values[i, j]
    if symmetric:
        for j in range(values.shape[1]):
            for i in range(stop.shape[0]):
                if j < stop[i]:
                    out[j0 + j, i0 + i] = values[i, j]


@_inline
def _to_covariance(rows_x, rows_y, rates, i0, j0, stop, state):
    """Turn gaps into covariances."""
    k, last = rows_x.shape[0] - 1, WIDTH - 1
    for i in range(stop.shape[0]):
        a = rows_x[k, last, i0 + i]
        for j in range(stop[i]):
            b = rows_y[k, last, j0 + j]
            state[0, i, j] = a * b - 0.5 * state[0, i, j]
            if rates is not None:
                for p in range(2):
                    change = rates[0][p, k, last, i0 + i] * b + a * rates[1][p, k, last, j0 + j]
                    state[2 + p, i, j] = change - 0.5 * state[2 + p, i, j]


def _make_fill(version):
    def fill(
        codes, which, steps, stack_size, acts, left, right, rates, inner, i0, c0, symmetric, results
    ):  # fmt: skip
        version  # noqa: B018  a constant of the compiled code: the disk cache is keyed by it
        m, depth = inner.shape[0], 2 if rates is None else 6
        state = np.empty((depth, m, TILE_COLUMNS))
        stack = np.empty((stack_size, depth, m, TILE_COLUMNS))
        stop = np.empty(m, np.int64)
        rows_x, rows_y = left[2], right[2]
        for t0 in range(0, inner.shape[1], TILE_COLUMNS):
            j0 = c0 + t0
            n = min(TILE_COLUMNS, inner.shape[1] - t0)
            for i in range(m):
                stop[i] = max(0, min(n, i0 + i + 1 - j0)) if symmetric else n
            state[1:] = 0.0
            _start(left, right, inner, i0, j0, t0, stop, state[0])
            top = 0
            for k in range(codes.shape[0]):
                if codes[k] == 0:
                    _map_any(
                        acts, which[k], k, steps[k], rows_x, rows_y, rates, i0, j0, stop, state
                    )
                elif codes[k] == 1:
                    stack[top] = state
                    top += 1
                elif codes[k] == 2:
                    _exchange(state, stack[top - 1])
                else:
                    top -= 1
                    _add(k, rows_x, rows_y, rates, i0, j0, stop, state, stack[top])
            _to_covariance(rows_x, rows_y, rates, i0, j0, stop, state)
            nngp, ntk, dnngp, dntk = results
            if nngp.size > 0:
                _write(state[0], i0, j0, stop, symmetric, nngp)
            if ntk.size > 0:
                _write(state[1], i0, j0, stop, symmetric, ntk)
            if rates is not None:
                for p in range(dnngp.shape[2]):
                    _write(state[2 + p], i0, j0, stop, symmetric, dnngp[:, :, p])
                for p in range(dntk.shape[2]):
                    _write(state[4 + p], i0, j0, stop, symmetric, dntk[:, :, p])

    return fill


def _digest():
    """Digest of the sources that enter the compiled code, of which the disk cache knows only one."""
    files = (_trace.__file__, _special.__file__, activations.__file__, program.__file__, __file__)
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()


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
