"""Steps that no formula describes: where tiles come from, the stack, and where they go."""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from ._compile import INNER, pointer

LINE = 16
"""Entries of a column that are written at a time: whole lines of memory."""

_inner = njit(**INNER)


# --- Beginning ------------------------------------------------------------------------------------


@njit(**{**INNER, "fastmath": {"contract", "nsz", "reassoc"}})
def _squared_distance(x, y, inverse, ratio, sign):
    """Squared distance of the directions of ``x`` and ``sign y``, as `_numpy.initial_gap` has it.

    ``inverse`` is one over the norm of ``x``, ``ratio`` the norm of ``y`` over that of ``x``.
    """
    scale = np.exp2(-np.rint(np.log2(ratio)))
    factor, ratio = sign * scale, ratio * scale
    longer = 0.0
    for k in range(x.shape[0]):
        other = factor * y[k]
        longer += ((x[k] - other) * inverse) * ((x[k] + other) * inverse)
    share = longer / ((1.0 + ratio) * ratio)
    total = 0.0
    for k in range(x.shape[0]):
        other = factor * y[k]
        apart = (x[k] - other) * inverse - share * (other * inverse)
        total += apart * apart
    return total


def begin(k, tile):
    """Gaps of the inputs: from inner products, and from differences where directions are close."""
    left, right, stop, i0, j0 = tile.left, tile.right, tile.stop, tile.i0, tile.j0
    norms, scales, squares = right.norms[j0:], right.scales[j0:], right.squares[j0:]
    number = tile.inner.dtype.type
    zero, half, far = number(0.0), number(0.5) * tile.near, number(4.0) - tile.near
    for i in range(stop.shape[0]):
        norm, square = left.norms[i0 + i], left.squares[i0 + i]
        twice = number(2.0) * left.scales[i0 + i]  # times each product, for the range of both
        products, out, ntk = tile.inner[tile.r0 + i][tile.c0 :], tile.state[0, i], tile.state[1, i]
        n_near = 0
        for j in range(stop[i]):
            size = square + squares[j]
            value = max(size - (products[j] * twice) * scales[j], zero)
            out[j] = norm * norms[j] * value
            ntk[j] = zero
            n_near += (value <= half * size) | (value >= far)
        if n_near > 0:
            for j in range(stop[i]):
                product = norm * norms[j]
                is_near = out[j] <= half * (square + squares[j]) * product
                if (is_near or out[j] >= far * product) and product > zero:
                    inverse, sign = left.inverse[i0 + i], 1.0 if is_near else -1.0
                    ratio = inverse / right.inverse[j0 + j]
                    total = _squared_distance(left.X[i0 + i], right.X[j0 + j], inverse, ratio, sign)
                    out[j] = product * number(total if is_near else 4.0 - total)
        for part in range(2, tile.state.shape[0]):
            rates = tile.state[part, i]
            for j in range(stop[i]):
                rates[j] = zero


# --- Stack ----------------------------------------------------------------------------------------


def save(k, tile):
    """Push a copy of the state."""
    # by loops: an array assignment compiles the formatting of its error message, for seconds
    for part in range(tile.state.shape[0]):
        for i in range(tile.stop.shape[0]):
            row, out = tile.state[part, i], tile.stack[tile.counters[0], part, i]
            for j in range(tile.stop[i]):
                out[j] = row[j]
    tile.counters[0] += 1


def swap(k, tile):
    """Exchange the state with the top of the stack."""
    for part in range(tile.state.shape[0]):
        for i in range(tile.stop.shape[0]):
            row, other = tile.state[part, i], tile.stack[tile.counters[0] - 1, part, i]
            for j in range(tile.stop[i]):
                row[j], other[j] = other[j], row[j]


# --- Further NTKs ---------------------------------------------------------------------------------


def follow(k, tile):
    """Carry further NTKs through the step just made, by the factor in ``duals[0]``."""
    state, stop, half = tile.state, tile.stop, tile.state.dtype.type(0.5)
    n_more = state.shape[0] - 2
    flags = tile.numbers[k][tile.numbers.shape[1] - n_more :]
    columns = tile.right.heads[k, 2][tile.j0 :]
    for i in range(stop.shape[0]):
        std, gap, factor = tile.left.heads[k, 2][tile.i0 + i], state[0, i], tile.duals[0, i]
        for part in range(n_more):
            trained, ntk = flags[part], state[2 + part, i]
            for j in range(stop[i]):
                ntk[j] = factor[j] * ntk[j] + trained * (std * columns[j] - half * gap[j])


def add_others(k, tile):
    """Add further NTKs of the state that an `Add` has just taken from the stack."""
    for part in range(2, tile.state.shape[0]):
        for i in range(tile.stop.shape[0]):
            ntk, saved = tile.state[part, i], tile.stack[tile.counters[0], part, i]
            for j in range(tile.stop[i]):
                ntk[j] += saved[j]


def put_out_others(k, tile):
    """Store further NTKs, if any is wanted, behind those of all outputs before them."""
    n_ntks = tile.state.shape[0] - 1
    if tile.results.ntk.size > 0:
        n_outputs = tile.results.ntk.shape[0] // n_ntks
        for part in range(1, n_ntks):
            number = tile.counters[1] + part * n_outputs
            _store(tile.state[1 + part], tile, tile.results.ntk[number])


# --- Results --------------------------------------------------------------------------------------
#
# A result is larger than the caches and is written once. Ordinary stores read every line of memory
# before they write it; streaming stores do not, which halves the time.


@intrinsic
def _stream(typing_context, array, place, value):
    """Store a number in a contiguous array, past the cache."""

    def generate(context, builder, signature, arguments):
        target = pointer(context, builder, array, *arguments[:2])
        bits = ir.IntType(context.get_abi_sizeof(arguments[2].type) * 8)
        target = builder.bitcast(target, bits.as_pointer())
        store = builder.store(builder.bitcast(arguments[2], bits), target)
        one = ir.Constant(ir.IntType(32), 1)
        store.set_metadata("nontemporal", builder.module.add_metadata([one]))
        return context.get_dummy_value()

    return types.void(array, types.intp, array.dtype), generate


@intrinsic
def fence(typing_context):
    """Wait for the streaming stores: other threads may read the result afterwards."""

    def generate(context, builder, signature, arguments):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


@_inner
def _store(values, tile, out):
    """Copy values of a tile to a matrix and, if it is symmetric, to the upper triangle, too."""
    i0, j0, stop = tile.i0, tile.j0, tile.stop
    for i in range(stop.shape[0]):
        row, target = values[i], out[i0 + i][j0:]
        for j in range(stop[i]):
            _stream(target, j, row[j])
    for i1 in range(0, stop.shape[0] if tile.symmetric else 0, LINE):
        i2 = min(i1 + LINE, stop.shape[0])
        for j in range(stop[i1]):
            target = out[j0 + j][i0:]
            for i in range(i1, i2):
                _stream(target, i, values[i, j])
        for i in range(i1, i2):
            for j in range(stop[i1], stop[i]):
                out[j0 + j, i0 + i] = values[i, j]


def put_out(k, tile):
    """Store what is wanted of the state as the next result."""
    number, stop, half = tile.counters[1], tile.stop, tile.state.dtype.type(0.5)
    if tile.results.nngp.size > 0:
        columns = tile.right.heads[k, 2][tile.j0 :]
        for i in range(stop.shape[0]):
            std, gap, row = tile.left.heads[k, 2][tile.i0 + i], tile.state[0, i], tile.duals[0, i]
            for j in range(stop[i]):
                row[j] = std * columns[j] - half * gap[j]
        _store(tile.duals[0], tile, tile.results.nngp[number])
    if tile.results.ntk.size > 0:
        _store(tile.state[1], tile, tile.results.ntk[number])
    tile.counters[1] += 1


@_inner
def _store_both(first, second, tile, out):
    """Copy the rates along both directions to an array (n, m, 2), and mirror them likewise."""
    i0, j0, stop = tile.i0, tile.j0, tile.stop
    for i in range(stop.shape[0]):
        row, other, target = first[i], second[i], out[i0 + i][j0:]
        for j in range(stop[i]):
            _stream(target, 2 * j, row[j])
            _stream(target, 2 * j + 1, other[j])
    for i1 in range(0, stop.shape[0] if tile.symmetric else 0, LINE):
        i2 = min(i1 + LINE, stop.shape[0])
        for j in range(stop[i1]):
            target = out[j0 + j][i0:]
            for i in range(i1, i2):
                _stream(target, 2 * i, first[i, j])
                _stream(target, 2 * i + 1, second[i, j])
        for i in range(i1, i2):
            for j in range(stop[i1], stop[i]):
                out[j0 + j, i0 + i, 0] = first[i, j]
                out[j0 + j, i0 + i, 1] = second[i, j]


def put_out_rates(k, tile):
    """Store what is wanted of the rates as those of the next result."""
    number, stop, half = tile.counters[1], tile.stop, tile.state.dtype.type(0.5)
    if tile.results.dnngp.size > 0:
        columns = tile.right.heads[k, 2][tile.j0 :]
        for p in range(2):
            dcolumns = tile.right.head_rates[p, k, 2][tile.j0 :]
            for i in range(stop.shape[0]):
                std = tile.left.heads[k, 2][tile.i0 + i]
                dstd = tile.left.head_rates[p, k, 2][tile.i0 + i]
                rates, row = tile.state[2 + p, i], tile.duals[p, i]
                for j in range(stop[i]):
                    row[j] = dstd * columns[j] + std * dcolumns[j] - half * rates[j]
        _store_both(tile.duals[0], tile.duals[1], tile, tile.results.dnngp[number])
    if tile.results.dntk.size > 0:
        _store_both(tile.state[4], tile.state[5], tile, tile.results.dntk[number])
