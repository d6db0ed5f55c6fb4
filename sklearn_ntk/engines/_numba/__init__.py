"""The compiled engine: an interpreter that carries a tile of pairs through a program in cache.

The only module that imports numba. Activations are values; the loop that they stand for is found by
their type, so that one compiled function serves every network with the same set of activations,
and numba's disk cache serves the next process.
"""

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
from numba import get_num_threads, literal_unroll, njit, types
from numba.extending import overload, overload_method

from ... import _special, _trace, activations, formulas
from ..._trace import build
from .. import _loops, _packing
from .._packing import ADD, MAP, OUTPUT, SAVE, SERIES, TERMS
from . import _results
from ._results import INNER, OPTIONS, fence, put_out

__all__ = ["BLOCK_ROWS", "fill", "get_num_threads", "make_plan"]

TILE_ROWS = 32
TILE_COLUMNS = 256
BLOCK_ROWS = 128

_inner = njit(**INNER)


# --- Loops over the pairs of a tile ---------------------------------------------------------------
#
# A tile pairs rows i0 .. i0 + m with columns j0 .. j0 + n. ``state[0]`` holds its gaps,
# ``state[1]`` its NTKs and, with derivatives, ``state[2:4]`` the rates of the gaps and
# ``state[4:6]`` those of the NTKs. ``stop[i]`` is the number of columns of row i that are wanted:
# of a symmetric matrix, the lower triangle. ``x`` and ``y`` are the records of rows and columns,
# ``dx`` and ``dy`` their rates or None.


@cache
def _built(make, *arguments):
    return build(make(*arguments), F=np.float32 if arguments[-1] else np.float64)


def _kind(rates, state):
    """Whether derivatives are wanted, and whether in single precision."""
    return not isinstance(rates, types.NoneType), state.dtype == types.float32


for _value in (types.NamedTuple, types.NamedUniTuple):

    @overload_method(_value, "carry", jit_options=INNER)
    def _carry(self, k, numbers, x, y, dx, dy, i0, j0, stop, state):
        return _built(_loops.pointwise, self.instance_class, *_kind(dx, state))


def _add(k, x, y, dx, dy, i0, j0, stop, saved, state):
    """Sum of two branches."""


def _series(k, first, length, x, y, dx, dy, u, v, du, dv, i0, j0, stop, state, work, duals):
    """From gaps to gaps and slopes behind an activation that is a series, in ``duals``."""


def _affine(k, numbers, x, y, dx, dy, i0, j0, stop, duals, state):
    """What follows the activation in a pointwise step, from ``duals``."""


def _map_series(k, span, numbers, left, right, dx, dy, i0, j0, stop, work, duals, state):
    """Pointwise step with a series."""


@overload(_add, jit_options=INNER)
def _add_loop(k, x, y, dx, dy, i0, j0, stop, saved, state):
    return _built(_loops.add, *_kind(dx, state))


@overload(_series, jit_options=INNER)
def _series_loop(k, first, length, x, y, dx, dy, u, v, du, dv, i0, j0, stop, state, work, duals):
    gradient, single = _kind(dx, state)
    return _built(_loops.series, gradient, TERMS, single)


@overload(_affine, jit_options=INNER)
def _affine_loop(k, numbers, x, y, dx, dy, i0, j0, stop, duals, state):
    return _built(_loops.affine, *_kind(dx, state))


@overload(_map_series, jit_options=INNER)
def _map_series_loop(k, span, numbers, left, right, dx, dy, i0, j0, stop, work, duals, state):
    def both(k, span, numbers, left, right, dx, dy, i0, j0, stop, work, duals, state):
        (x, u, du), (y, v, dv) = left[5:8], right[5:8]
        _series(
            k, span[0], span[1], x, y, dx, dy, u, v, du, dv, i0, j0, stop, state, work, duals
        )  # fmt: skip
        _affine(k, numbers, x, y, dx, dy, i0, j0, stop, duals, state)

    def none(k, span, numbers, left, right, dx, dy, i0, j0, stop, work, duals, state):
        pass  # networks without series need not compile the loops

    return none if isinstance(left[6], types.NoneType) else both


@njit(**{**INNER, "fastmath": {"contract", "nsz", "reassoc"}})
def _squared_distance(x, y, scale_x, scale_y):
    total = 0.0
    for k in range(x.shape[0]):
        apart = x[k] * scale_x - y[k] * scale_y
        total += apart * apart
    return total


@_inner
def _start(left, right, inner, near, i0, j0, c0, stop, gap):
    """Gaps of the inputs: from inner products, and from differences where directions are close."""
    X, inverse_x, norms_x, scales_x, squares_x = left[0], left[1], left[2], left[3], left[4]
    Y, inverse_y = right[0], right[1]
    norms_y, scales_y, squares_y = right[2][j0:], right[3][j0:], right[4][j0:]
    number = inner.dtype.type
    zero, half, far = number(0.0), number(0.5) * near, number(4.0) - near
    for i in range(stop.shape[0]):
        norm, twice, square = norms_x[i0 + i], number(2.0) * scales_x[i0 + i], squares_x[i0 + i]
        products, out = inner[i][c0:], gap[i]
        n_near = 0
        for j in range(stop[i]):
            size = square + squares_y[j]
            value = max(size - products[j] * (twice * scales_y[j]), zero)
            out[j] = norm * norms_y[j] * value
            n_near += (value <= half * size) | (value >= far)
        if n_near > 0:
            for j in range(stop[i]):
                product = norm * norms_y[j]
                is_near = out[j] <= half * (square + squares_y[j]) * product
                if (is_near or out[j] >= far * product) and product > zero:
                    sign = 1.0 if is_near else -1.0
                    a, b = inverse_x[i0 + i], sign * inverse_y[j0 + j]
                    total = _squared_distance(X[i0 + i], Y[j0 + j], a, b)
                    out[j] = product * number(total if is_near else 4.0 - total)


@_inner
def _copy(source, target):
    # by loops: an array assignment compiles the formatting of its error message, for seconds
    for part in range(source.shape[0]):
        for i in range(source.shape[1]):
            row, out = source[part, i], target[part, i]
            for j in range(source.shape[2]):
                out[j] = row[j]


@_inner
def _exchange(x, y):
    for part in range(x.shape[0]):
        for i in range(x.shape[1]):
            for j in range(x.shape[2]):
                x[part, i, j], y[part, i, j] = y[part, i, j], x[part, i, j]


# --- The interpreter ------------------------------------------------------------------------------


@_inner
def _map(acts, index, k, numbers, x, y, dx, dy, i0, j0, stop, state):
    position = 0
    for act in literal_unroll(acts):
        if position == index:
            act.carry(k, numbers, x, y, dx, dy, i0, j0, stop, state)
        position += 1


@_inner
def _interpret(
    plan, acts, left, right, dx, dy, i0, j0, stop, symmetric, state, stack, spares, results
):  # fmt: skip
    """Carry a tile through the program."""
    codes, which, numbers, spans = plan[:4]
    x, y = left[5], right[5]
    duals, work, spare = spares
    top = number = np.int64(0)  # a literal would be a type of its own, and compile twice
    for k in range(codes.shape[0]):
        code = codes[k]
        if code == MAP:
            _map(acts, which[k], k, numbers, x, y, dx, dy, i0, j0, stop, state)
        elif code == SERIES:
            _map_series(k, spans[k], numbers, left, right, dx, dy, i0, j0, stop, work, duals, state)
        elif code == SAVE:
            _copy(state, stack[top])
            top += 1
        elif code == ADD:
            top -= 1
            _add(k, x, y, dx, dy, i0, j0, stop, stack[top], state)
        elif code == OUTPUT:
            put_out(number, k, x, y, dx, dy, i0, j0, stop, symmetric, state, spare, results)
            number += 1
        else:
            _exchange(state, stack[top - 1])


def _make_fill(version):
    def fill(plan, acts, left, right, dx, dy, near, i0, j0, symmetric, inner, results):
        version  # noqa: B018  a constant of the compiled code: the disk cache is keyed by it
        stack_size, n_lines = plan[4:]
        depth, n_rows, n_columns = 2 if dx is None else 6, inner.shape[0], inner.shape[1]
        shape = (TILE_ROWS, TILE_COLUMNS)
        state = np.empty((depth, *shape), inner.dtype)
        stack = np.empty((stack_size, depth, *shape), inner.dtype)
        duals = np.empty((depth if n_lines > 0 else 0, *shape), inner.dtype)
        work = np.empty((n_lines, TILE_COLUMNS), inner.dtype)
        spares = duals, work, np.empty(shape, inner.dtype)
        stops = np.empty(TILE_ROWS, np.int64)
        for c in range(0, n_columns, TILE_COLUMNS):
            last = min(TILE_COLUMNS, n_columns - c)
            for r in range(0, n_rows, TILE_ROWS):
                i, j, stop = i0 + r, j0 + c, stops[: min(TILE_ROWS, n_rows - r)]
                for t in range(stop.shape[0]):
                    stop[t] = max(0, min(last, i + t + 1 - j)) if symmetric else last
                if stop[-1] > 0:
                    state[1:] = 0.0
                    _start(left, right, inner[r:], near, i, j, c, stop, state[0])
                    _interpret(
                        plan, acts, left, right, dx, dy, i, j, stop, symmetric, state, stack,
                        spares, results,
                    )  # fmt: skip
        fence()

    return fill


def _digest():
    """Digest of all sources that enter the compiled code: the disk cache knows only this file."""
    files = [Path(module.__file__) for module in (_trace, _special, formulas, _loops, _packing)]
    for module in (_results, activations):
        files += sorted(Path(module.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@cache
def _compiled(cached):
    function = _make_fill(_digest() if cached else "")
    if cached:
        try:
            return njit(cache=True, **OPTIONS)(function)
        except RuntimeError:  # no directory for the cache
            pass
    return njit(**OPTIONS)(function)


def fill(plan, acts, left, right, dx, dy, near, i0, j0, symmetric, inner, results):
    """Compute one block of the matrices: rows ``i0`` on, columns ``c0`` on, as many as ``inner``.

    Parameters
    ----------
    plan : tuple
        From `make_plan`.
    acts : tuple of activations
        Those of the program with closed duals.
    left, right : tuples of arrays
        Rows and columns: the rows in double precision and their inverse norms; their norms over
        the root of their length; factors that turn ``inner`` into inner products of directions and
        the squares of these; then records, coefficients of series and their rates, from
        `_packing.pack_rows`.
    dx, dy : arrays or None
        Rates of the records of both sides, if derivatives are wanted.
    near : float
        Squared distance of directions, or of opposite ones, up to which differences are summed.
    i0, j0 : int
        Where the block begins.
    symmetric : bool
        Compute the lower triangle and mirror it.
    inner : array of shape (n_rows, n_columns)
        Inner products of the rows and columns of this block.
    results : tuple of arrays
        NNGP, NTK and their rates, with one axis for the outputs in front; an array without entries
        is not wanted.
    """
    own = all(type(act).__module__ == activations.__name__ for act in acts)
    _compiled(own)(plan, acts, left, right, dx, dy, near, i0, j0, symmetric, inner, results)


def make_plan(program, spans, gradient, dtype):
    """Plan and activations of a program for `fill`; ``spans`` tells where its series are."""
    codes, which, numbers, acts = _packing.pack_program(program, dtype)
    n_lines = _loops.count_lines(gradient) if spans.any() else 0
    return (codes, which, numbers, spans, program.stack_size, n_lines), acts
