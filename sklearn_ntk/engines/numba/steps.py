"""Steps on tiles that are not written from formulas: initial gaps, the stack, storing results."""

import numpy as np
from numba import njit

from ..packing.tile import TILE_COLUMNS
from .compiling import INNER, store
from .streams import store_rates, store_tile

# --- Beginning ------------------------------------------------------------------------------------


@njit(**{**INNER, "fastmath": {"contract", "nsz", "reassoc"}})
def _squared_distance(x, y, inverse, ratio, sign):
    """Squared distance of the directions of ``x`` and ``sign y``, as in `reference.tiles`.

    ``inverse`` is ``1 / |x|`` and ``ratio`` is ``|y| / |x|``.
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
    """Set the state to that of the inputs: gaps ``|x| |y| / d |u - v|^2``, zero NTKs and rates.

    Gaps come from inner products; where directions ``u``, ``v`` are close or nearly opposite
    (`Tile.near`), from differences of entries.
    """
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


def move_gaps(k, tile):
    """Rates of the gaps of the inputs along themselves: the second direction."""
    for i in range(tile.stop.shape[0]):
        rates = tile.state[3, i]
        for j in range(tile.stop[i]):
            rates[j] = 1.0


def scale_gaps(k, tile):
    """Add rates of the gaps of the inputs along the logarithm of a factor of one row: the first."""
    for i in range(tile.stop.shape[0]):
        gaps, rates = tile.state[0, i], tile.state[2, i]
        for j in range(tile.stop[i]):
            rates[j] += gaps[j]


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
    """Apply step ``k``, which has just run, to further NTKs: ``T <- duals[0] T + trained K``."""
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
    """Add to further NTKs those of the state that an `Add` has just popped from the stack."""
    for part in range(2, tile.state.shape[0]):
        for i in range(tile.stop.shape[0]):
            ntk, saved = tile.state[part, i], tile.stack[tile.counters[0], part, i]
            for j in range(tile.stop[i]):
                ntk[j] += saved[j]


def put_out_others(k, tile):
    """Store further NTKs, if NTKs are wanted, behind the results of the one before."""
    n_ntks = tile.state.shape[0] - 1
    if tile.results.ntk.size > 0:
        n_outputs = tile.results.ntk.shape[0] // n_ntks
        for part in range(1, n_ntks):
            number = tile.counters[1] + part * n_outputs
            store_tile(tile.state[1 + part], tile, tile.results.ntk[number])


# --- Results --------------------------------------------------------------------------------------


def put_out(k, tile):
    """Store NNGP and NTK, if wanted, as those of the next output."""
    number, stop, half = tile.counters[1], tile.stop, tile.state.dtype.type(0.5)
    if tile.results.nngp.size > 0:
        columns = tile.right.heads[k, 2][tile.j0 :]
        for i in range(stop.shape[0]):
            std, gap, row = tile.left.heads[k, 2][tile.i0 + i], tile.state[0, i], tile.duals[0, i]
            for j in range(stop[i]):
                row[j] = std * columns[j] - half * gap[j]
        store_tile(tile.duals[0], tile, tile.results.nngp[number])
    if tile.results.ntk.size > 0:
        store_tile(tile.state[1], tile, tile.results.ntk[number])
    tile.counters[1] += 1


def put_out_rates(k, tile):
    """Store the derivatives of NNGP and NTK, if wanted, as those of the next output.

    Both derivatives of a pair are adjacent.
    """
    number, stop, half = tile.counters[1], tile.stop, tile.state.dtype.type(0.5)
    state, duals = tile.state, tile.duals
    if tile.results.dnngp.size > 0:
        x, columns = tile.left.heads[k, 2], tile.right.heads[k, 2][tile.j0 :]
        dx, dy = tile.left.head_rates[:, k, 2], tile.right.head_rates[:, k, 2]
        for i in range(stop.shape[0]):
            std, place = x[tile.i0 + i], 2 * TILE_COLUMNS * i
            for p in range(2):
                dstd, dcolumns, rates = dx[p][tile.i0 + i], dy[p][tile.j0 :], state[2 + p, i]
                for j in range(stop[i]):
                    rate = dstd * columns[j] + std * dcolumns[j] - half * rates[j]
                    store(duals, place + 2 * j + p, rate)
        store_rates(duals, tile, tile.results.dnngp[number])
    if tile.results.dntk.size > 0:
        for i in range(stop.shape[0]):
            first, second, place = state[4, i], state[5, i], 2 * TILE_COLUMNS * i
            for j in range(stop[i]):
                store(duals, place + 2 * j, first[j])
                store(duals, place + 2 * j + 1, second[j])
        store_rates(duals, tile, tile.results.dntk[number])
