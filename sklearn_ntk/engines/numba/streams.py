"""Storing tiles to results by streaming stores: vectors of a whole cache line, past the caches.

A result is larger than the caches and is written once. An ordinary store reads a cache line from
memory before it writes it; a streaming store of a whole line does not. Lines that a tile fills only
partly are written by ordinary stores: the next tile finds them in cache.
"""

# With ordinary stores, Gram matrices in float64 (4000 and 8000 rows, depth 3; NTK, both kernels,
# and both derivatives) took 1.07 to 1.28 times as long, 1.14 times in the median.

from functools import partial

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from ..._runtime.memory import LINE_BYTES
from ..packing.tile import TILE_COLUMNS, TILE_ROWS
from ._private import pointer
from .compiling import INNER, load, store

_inner = njit(**INNER, forceinline=True)


def _size(context, array):
    """Bytes of an entry."""
    return context.get_abi_sizeof(context.get_data_type(array.dtype))


def _line(context, builder, array, *place):
    """Pointer to an entry, as a vector as long as a cache line."""
    target = pointer(context, builder, array, *place)
    kind = ir.VectorType(target.type.pointee, LINE_BYTES // _size(context, array))
    return builder.bitcast(target, kind.as_pointer())


@intrinsic
def _entries(typing_context, array):
    """Number of entries of a cache line, a constant for the compiler."""

    def generate(context, builder, signature, arguments):
        return context.get_constant(types.intp, LINE_BYTES // _size(context, signature.args[0]))

    return types.intp(array), generate


@intrinsic
def _before(typing_context, array, place):
    """Number of entries from a place of a contiguous array to the next start of a cache line."""

    def generate(context, builder, signature, arguments):
        kind, number = signature.args[0], partial(context.get_constant, types.intp)
        target = pointer(context, builder, kind, *arguments)
        address = builder.ptrtoint(target, context.get_value_type(types.intp))
        n_bytes = builder.and_(builder.neg(address), number(LINE_BYTES - 1))
        return builder.udiv(n_bytes, number(_size(context, kind)))

    return types.intp(array, types.intp), generate


@intrinsic
def _stream(typing_context, out, place, values, start):
    """Copy a cache line by a streaming store: entries from ``start``, to an aligned ``place``."""

    def generate(context, builder, signature, arguments):
        target = _line(context, builder, signature.args[0], *arguments[:2])
        source = _line(context, builder, signature.args[2], *arguments[2:])
        line = builder.load(source, align=_size(context, signature.args[2]))
        store = builder.store(line, target, align=LINE_BYTES)
        one = ir.Constant(ir.IntType(32), 1)
        store.set_metadata("nontemporal", builder.module.add_metadata([one]))
        return context.get_dummy_value()

    return types.void(out, types.intp, values, types.intp), generate


@intrinsic
def fence(typing_context):
    """Wait for all streaming stores, so that other threads may read the result."""

    def generate(context, builder, signature, arguments):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


@_inner
def _copy(out, place, values, start, n):
    """Copy ``n`` entries, from ``start`` of an array to ``place`` of a result, counted flat."""
    size = _entries(out)
    head = min(n, _before(out, place))
    end = n - (n - head) % size
    for j in range(head):
        store(out, place + j, load(values, start + j))
    for j in range(head, end, size):
        _stream(out, place + j, values, start + j)
    for j in range(end, n):
        store(out, place + j, load(values, start + j))


def _tile_store(unit):
    """Function that copies ``values``, ``unit`` numbers for each pair of a tile, to a matrix.

    If the matrix is symmetric, they are copied to the upper triangle, too, by way of the last part
    of ``tile.duals``, where ``values`` must not be.
    """

    @_inner
    def store_tile(values, tile, out):
        i0, j0, stop, turned = tile.i0, tile.j0, tile.stop, tile.duals
        n_rows, width, m = stop.shape[0], stop[stop.shape[0] - 1], out.shape[1]
        for i in range(n_rows):
            place = (i0 + i) * m + j0
            _copy(out, unit * place, values, unit * TILE_COLUMNS * i, unit * stop[i])
        side, free = _entries(out) // unit, turned.size - TILE_ROWS * TILE_COLUMNS
        for j in range(0, width if tile.symmetric else 0, side):  # as many columns as fill a line
            for i in range(n_rows):
                start = unit * (TILE_COLUMNS * i + j)
                for k in range(side):
                    for p in range(unit):
                        number = load(values, start + unit * k + p)
                        store(turned, free + unit * (TILE_ROWS * k + i) + p, number)
            for k in range(min(side, width - j)):
                first = max(0, j0 + j + k - i0)
                place, start = (j0 + j + k) * m + i0 + first, TILE_ROWS * k + first
                _copy(out, unit * place, turned, free + unit * start, unit * (n_rows - first))

    return store_tile


store_tile, store_rates = _tile_store(1), _tile_store(2)
