"""Results on their way to memory: a tile of them, past the caches.

A result is larger than the caches and is written once. Ordinary stores read every line of memory
before they write it; streaming stores do not, which halves the time.
"""

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from ._compile import INNER, pointer

LINE = 16
"""Entries of a column that are written at a time: whole lines of memory."""

VECTOR = 4
"""Entries that one instruction writes."""

_inner = njit(**INNER)


def _put(builder, number, target, align=None):
    """Store a number or a vector past the cache."""
    target = builder.bitcast(target, number.type.as_pointer())
    store = builder.store(number, target, align=align)
    one = ir.Constant(ir.IntType(32), 1)
    store.set_metadata("nontemporal", builder.module.add_metadata([one]))


@intrinsic
def _stream(typing_context, array, place, value):
    """Store a number in a contiguous array, past the cache."""

    def generate(context, builder, signature, arguments):
        bits = ir.IntType(context.get_abi_sizeof(arguments[2].type) * 8)
        target = pointer(context, builder, array, *arguments[:2])
        _put(builder, builder.bitcast(arguments[2], bits), target)
        return context.get_dummy_value()

    return types.void(array, types.intp, array.dtype), generate


def _fetch(context, builder, kind, array, place):
    """Vector of the numbers from a place of a contiguous array on, and its size."""
    size = context.get_abi_sizeof(context.get_data_type(kind.dtype))
    vector = ir.VectorType(context.get_data_type(kind.dtype), VECTOR)
    target = pointer(context, builder, kind, array, place)
    return builder.load(builder.bitcast(target, vector.as_pointer()), align=size), VECTOR * size


@intrinsic
def _stream_row(typing_context, array, place, values, at):
    """Store a vector of values past the cache, where its size divides the address."""

    def generate(context, builder, signature, arguments):
        vector, size = _fetch(context, builder, values, *arguments[2:])
        _put(builder, vector, pointer(context, builder, array, *arguments[:2]), size)
        return context.get_dummy_value()

    return types.void(array, types.intp, values, types.intp), generate


@intrinsic
def _stream_square(typing_context, array, place, step, values, at, width):
    """Transpose a square of values, of rows ``width`` apart, to rows ``step`` apart, likewise."""

    def generate(context, builder, signature, arguments):
        out, place, step, numbers, at, width = arguments
        rows = []
        for _ in range(VECTOR):
            row, size = _fetch(context, builder, values, numbers, at)
            rows.append(row)
            at = builder.add(at, width)
        for column in _transposed(builder, *rows):
            _put(builder, column, pointer(context, builder, array, out, place), size)
            place = builder.add(place, step)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, values, types.intp, types.intp), generate


def _transposed(builder, a, b, c, d):
    """Columns of a square of four rows."""

    def mix(x, y, *places):
        return builder.shuffle_vector(
            x, y, ir.Constant(ir.VectorType(ir.IntType(32), VECTOR), places)
        )

    even, odd = ([mix(*pair, k, 4 + k, 2 + k, 6 + k) for pair in ((a, b), (c, d))] for k in (0, 1))
    for places in ((0, 1, 4, 5), (2, 3, 6, 7)):
        yield mix(*even, *places)
        yield mix(*odd, *places)


@intrinsic
def fence(typing_context):
    """Wait for the streaming stores: other threads may read the result afterwards."""

    def generate(context, builder, signature, arguments):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


@_inner
def _store_row(row, n, out, place, begin):
    """Copy ``n`` values to ``out``, from a place on; ``begin`` is its address in entries."""
    first = min(-(begin + place) % VECTOR, n)
    last = n - (n - first) % VECTOR
    for j in range(first):
        _stream(out, place + j, row[j])
    for j in range(first, last, VECTOR):
        _stream_row(out, place + j, row, j)
    for j in range(last, n):
        _stream(out, place + j, row[j])


@_inner
def _mirror(values, tile, out, i1, i2, begin):
    """Copy rows ``i1 .. i2`` of a tile to the upper triangle."""
    i0, j0, stop, step, width = tile.i0, tile.j0, tile.stop, out.shape[1], values.shape[1]
    is_even = step % VECTOR == 0 and (begin + i0) % VECTOR == 0 and i2 == i1 + LINE
    first = stop[i1] - stop[i1] % VECTOR if is_even else 0
    for j in range(0, first, VECTOR):
        for i in range(i1, i2, VECTOR):
            place = (j0 + j) * step + i0 + i
            _stream_square(out, place, step, values, i * width + j, width)
    for j in range(first, stop[i1]):
        target = out[j0 + j][i0:]
        for i in range(i1, i2):
            _stream(target, i, values[i, j])
    for i in range(i1, i2):
        for j in range(stop[i1], stop[i]):
            out[j0 + j, i0 + i] = values[i, j]


@_inner
def store(values, tile, out):
    """Copy values of a tile to a matrix and, if it is symmetric, to the upper triangle, too."""
    i0, j0, n = tile.i0, tile.j0, tile.stop.shape[0]
    begin = out.ctypes.data // out.itemsize
    for i in range(n):
        _store_row(values[i], tile.stop[i], out, (i0 + i) * out.shape[1] + j0, begin)
    for i in range(0, n if tile.symmetric else 0, LINE):
        _mirror(values, tile, out, i, min(i + LINE, n), begin)


@_inner
def store_both(first, second, tile, out):
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
