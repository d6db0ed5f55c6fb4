"""What pairs of images or sequences need to know of their rows, and how they are computed."""

from collections import deque
from itertools import product, zip_longest

import numpy as np

from ._memory import check_memory
from ._threads import run
from .engines import _positions
from .engines._position_rows import Rows, cut
from .engines._schedule import schedule
from .program import Normalize
from .rows import check_overflow

SCAN_NUMBERS = 2**23
"""Numbers of the lines of single rows that a thread holds at a time."""

SCAN_SECONDS = 0.5
"""How long a block of single rows takes, about; an interrupt waits for its end."""

COMPILED_LINES = 100_000
"""Lines of single rows above which compiled loops are worth the time that it takes to load them."""

BLOCK_ROWS = 64
BLOCK_SECONDS = 0.05
"""How long a block of pairs takes, about, at most."""

N_BLOCKS = 32
"""Blocks that even a small matrix is cut into, so that threads end at the same time."""

SECONDS = 5e-9
"""What a line costs for each pair that an operation maps, about."""


def check_shape(X, shape):
    """Rows (n, features) as arrays (n, positions, channels), if they fill the shape."""
    n_features = int(np.prod(shape))
    if X.shape[1] != n_features:
        raise ValueError(
            f"Input{tuple(shape)} takes rows of {n_features} columns, in the order of ravel(); got "
            f"{X.shape[1]}."
        )
    return X.reshape(len(X), n_features // shape[-1], shape[-1])


def scan(program, rows, gradient=False, dtype=np.float64):
    """Carry single rows, from `check_rows`, through a program.

    Raises ValueError if a kernel overflows in the precision of the pairs.
    """
    X = np.concatenate([check_shape(Z, program.shape) for Z, _ in rows])
    scanned = _joined(_scan_blocks(program, X, gradient))
    ends = [scanned.variance, scanned.ntk, scanned.largest, scanned.dvariance, scanned.dntk]
    ends += [scanned.rates, [record[1] ** 2 for record in _normalized(program, scanned)]]
    check_overflow(ends, rows, dtype)
    return scanned


def _normalized(program, scanned):
    """Records of normalisations: pairs take a product of two inverses of deviations."""
    for step, record in zip(program.steps, scanned.records, strict=True):
        if isinstance(step, Normalize):
            yield record


def _scan_blocks(program, X, gradient):
    """Scans of blocks of rows: a few by the reference engine, many by compiled loops."""
    n_parts = 6 if gradient else 2
    plan = schedule(program, diagonal=True)
    if plan.cost * len(X) <= COMPILED_LINES:
        step = max(1, SCAN_NUMBERS // (n_parts * schedule(program, None, True).n_lines))
        starts = range(0, len(X), step)
        found = [_scan(_positions, program, X[:step], gradient)]
        _check_records(found[0], len(X))
        more = (X[i : i + step] for i in starts[1:])
        return found + [_scan(_positions, program, part, gradient) for part in more]
    from .engines._numba import _positions as engine
    from .engines._numba import get_num_threads

    compiled = engine.plan_of_rows(program, plan, gradient)
    step = min(SCAN_NUMBERS // (n_parts * plan.n_lines), int(SCAN_SECONDS / _seconds(plan)))
    step = min(step, -(-len(X) // get_num_threads()))
    step = max(1, -(-step // compiled.n_lanes)) * compiled.n_lanes
    found = {}

    def compute(i):
        found[i] = _scan(engine, program, plan, compiled, X[i : i + step], gradient)

    compute(0)
    _check_records(found[0], len(X))
    run(compute, deque(range(step, len(X), step)), get_num_threads())
    return [found[i] for i in sorted(found)]


def _scan(engine, *arguments):
    """Scan of rows by an engine, in any thread; what overflows is found later."""
    with np.errstate(all="ignore"):
        return engine.scan_rows(*arguments)


def _check_records(some, n):
    """Refuse so many rows if what is kept of them would not fit, judged by some of them."""
    check_memory(
        _bytes(some[:3]) * (n / max(1, len(some.variance)) - 1.0),
        f"What a network with positions keeps of {n} rows",
        "take fewer rows, fewer positions, or activations without a series",
    )


def _bytes(item):
    """Memory of nested lists or tuples of arrays."""
    return sum(map(_bytes, item)) if isinstance(item, (list, tuple)) else item.nbytes


def _seconds(plan):
    """How long a pair of rows takes, about."""
    return SECONDS * plan.cost


def _joined(parts):
    """Rows from those of blocks of rows; series may have more terms in some than in others."""
    if len(parts) == 1:
        return parts[0]

    def join(*items):
        if isinstance(items[0], (list, tuple)):
            return type(items[0])(join(*some) for some in zip_longest(*items))
        like = next(item for item in items if item is not None)
        filled = (np.zeros_like(like[..., :1]) if item is None else item for item in items)
        sizes = (part.variance.shape for part in parts)
        filled = [
            np.broadcast_to(item, (*like.shape[:-1], *n))
            for item, n in zip(filled, sizes, strict=True)
        ]
        return np.concatenate(filled, axis=-1)

    lists = [join(*(part[i] for part in parts)) for i in range(3)]
    ends = [
        None if parts[0][i] is None else np.concatenate([part[i] for part in parts])
        for i in range(3, 7)
    ]
    return Rows(*lists, *ends, np.max([part.largest for part in parts]))


def _some(scanned, rows):
    *lists, variance, ntk, dvariance, dntk, largest = scanned
    ends = [None if part is None else part[rows] for part in (variance, ntk, dvariance, dntk)]
    return Rows(*(cut(part, rows) for part in lists), *ends, largest)


class Pairs:
    """Pairs of rows that have positions; they are the same if only one set of rows is given.

    Of a symmetric matrix each row is then paired with the half of the others that follow it, the
    first row being the one behind the last: so all lines but the last of a row are full, and all
    blocks alike.
    """

    def __init__(self, program, rows, gradient, dtype):
        from .engines._numba import _positions as engine  # compiles or loads code

        self._engine = engine
        whole = scan(program, rows, gradient, dtype)  # series get as many terms on both sides
        n = len(rows[0][0])
        self.scan = whole if len(rows) == 1 else _some(whole, slice(None, n))
        other = whole if len(rows) == 1 else _some(whole, slice(n, None))
        self._gradient, self._dtype, self.is_symmetric = gradient, dtype, len(rows) == 1
        self.scans = (self.scan, other)
        X, Y = (check_shape(rows[i][0], program.shape) for i in (0, -1))
        self.shape = len(X), len(X) // 2 if self.is_symmetric else len(Y)
        plan = schedule(program, diagonal=True)
        self._seconds = _seconds(plan)
        self._plan = engine.make_plan(program, plan, self.scan, gradient, dtype)
        self._left = engine.pack_side(self.scan, X, True, dtype)
        self._right = engine.pack_side(other, Y, False, dtype)

    def blocks(self):
        """Blocks of rows and columns."""
        n_pairs = int(min(BLOCK_SECONDS / self._seconds, np.prod(self.shape) / N_BLOCKS)) + 1
        n_lanes, (n, m) = self._plan.n_lanes, self.shape
        n_rows = min(BLOCK_ROWS, 1 + n_pairs // n_lanes)
        n_columns = n_lanes * max(1, n_pairs // (n_lanes * n_rows))
        corners = product(range(0, n, n_rows), range(0, m, n_columns))
        return deque((i, min(i + n_rows, n), j, min(j + n_columns, m)) for i, j in corners)

    def compute(self, block, results):
        """Compute one block of the results."""
        i0, i1, j0, j1 = block
        # some of a symmetric matrix are not computed, and must be numbers all the same
        out = np.zeros((6 if self._gradient else 2, i1 - i0, j1 - j0), self._dtype)
        ring, first = (self.shape[0], 1) if self.is_symmetric else (0, 0)  # a row follows one apart
        columns = j0 + first, j1 + first
        self._engine.fill(self._plan, self._left, self._right, i0, i1, *columns, ring, out)
        places = slice(i0, i1), slice(*columns)
        if self.is_symmetric:
            rows, apart = np.arange(i0, i1)[:, None], np.arange(*columns)
            once = (2 * apart < ring) | (2 * rows < ring)
            places = places[0], (rows + apart) % ring
            left, right = np.broadcast_to(rows, once.shape)[once], places[1][once]
        ends = (
            (side.variance[place], side.dvariance[place] if self._gradient else None)
            for side, place in zip(self.scans, places, strict=True)
        )
        found = _positions.kernels(out, *ends)
        for result, part in zip(results, found, strict=False):
            if result.size and self.is_symmetric:
                result[0, left, right] = result[0, right, left] = part[once]
            elif result.size:
                result[(0, *places)] = part
