"""From tiles to results, past the cache.

A result is larger than the caches and is written once. Ordinary stores read every line of memory
before they write it; streaming stores do not, which halves the time.
"""

from llvmlite import ir
from numba import njit, types
from numba.core.cgutils import get_item_pointer
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
INNER = {**OPTIONS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}

LINE = 16
"""Entries of a column that are written at a time: whole lines of memory."""

_inner = njit(**INNER)


@intrinsic
def _stream(typing_context, array, index, value):
    """Store a number in a one-dimensional array, past the cache if its entries are neighbours."""

    def generate(context, builder, signature, arguments):
        view = make_array(signature.args[0])(context, builder, arguments[0])
        place = get_item_pointer(
            context, builder, signature.args[0], view, [arguments[1]], wraparound=False
        )
        bits = ir.IntType(context.get_abi_sizeof(arguments[2].type) * 8)
        place = builder.bitcast(place, bits.as_pointer())
        store = builder.store(builder.bitcast(arguments[2], bits), place)
        if array.layout == "C":
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
def _to_covariances(stds, i0, j0, stop, gaps, out):
    half, columns = gaps.dtype.type(0.5), stds[1][j0:]
    for i in range(stop.shape[0]):
        std, gap, row = stds[0][i0 + i], gaps[i], out[i]
        for j in range(stop[i]):
            row[j] = std * columns[j] - half * gap[j]


@_inner
def _to_covariance_rates(stds, dstds, i0, j0, stop, gap_rates, out):
    columns, dcolumns = stds[1][j0:], dstds[1][j0:]
    for i in range(stop.shape[0]):
        std, dstd, rates, row = stds[0][i0 + i], dstds[0][i0 + i], gap_rates[i], out[i]
        for j in range(stop[i]):
            row[j] = dstd * columns[j] + std * dcolumns[j] - 0.5 * rates[j]


@_inner
def _write(values, i0, j0, stop, out):
    for i in range(stop.shape[0]):
        row, target = values[i], out[i0 + i][j0:]
        for j in range(stop[i]):
            _stream(target, j, row[j])


@_inner
def _mirror(values, i0, j0, stop, out):
    """Write a tile of the lower triangle to the upper one."""
    for i1 in range(0, stop.shape[0], LINE):
        i2 = min(i1 + LINE, stop.shape[0])
        for j in range(stop[i1]):
            target = out[j0 + j][i0:]
            for i in range(i1, i2):
                _stream(target, i, values[i, j])
        for i in range(i1, i2):
            for j in range(stop[i1], stop[i]):
                out[j0 + j, i0 + i] = values[i, j]


@_inner
def _store(values, i0, j0, stop, symmetric, out):
    """Copy a tile to the result."""
    _write(values, i0, j0, stop, out)
    if symmetric:
        _mirror(values, i0, j0, stop, out)


@_inner
def put_out(number, k, x, y, dx, dy, i0, j0, stop, symmetric, state, spare, results):
    """Store what is wanted of the state as result of that number."""
    nngp, ntk, dnngp, dntk = results
    stds = x[k, 2], y[k, 2]
    if nngp.size > 0:
        _to_covariances(stds, i0, j0, stop, state[0], spare)
        _store(spare, i0, j0, stop, symmetric, nngp[number])
    if ntk.size > 0:
        _store(state[1], i0, j0, stop, symmetric, ntk[number])
    if dx is not None:
        for p in range(dnngp.shape[3]):
            dstds = dx[p, k, 2], dy[p, k, 2]
            _to_covariance_rates(stds, dstds, i0, j0, stop, state[2 + p], spare)
            _store(spare, i0, j0, stop, symmetric, dnngp[number, :, :, p])
        for p in range(dntk.shape[3]):
            _store(state[4 + p], i0, j0, stop, symmetric, dntk[number, :, :, p])
