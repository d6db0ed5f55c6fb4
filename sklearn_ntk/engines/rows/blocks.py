"""Single rows that have positions: their blocks, and whether their kernels are finite."""

from itertools import zip_longest

import numpy as np

from ..._runtime.memory import check_memory
from ..packing.lines import pack_numbers
from ..reference import lines as reference
from ..schedule.writer import schedule
from .lines import LineRows, cut
from .tiles import check_overflow

SCAN_NUMBERS = 2**23
"""Numbers of the lines of single rows that a thread holds at a time."""


def check_shape(X, shape):
    """Rows (n, features) as arrays (n, positions, channels), if they fill the shape."""
    n_features = int(np.prod(shape))
    if X.shape[1] != n_features:
        raise ValueError(
            f"Input{tuple(shape)} takes rows of {n_features} columns, in the order of ravel(); got "
            f"{X.shape[1]}."
        )
    return X.reshape(len(X), n_features // shape[-1], shape[-1])


def scan_blocks(program, X, gradient):
    """`LineRows` of rows (n, positions, channels), a block at a time by the reference engine."""
    n_numbers = (6 if gradient else 2) * schedule(program, None, True).n_lines
    step = max(1, SCAN_NUMBERS // n_numbers)
    for start in range(0, max(1, len(X)), step):
        found = quiet(reference.scan_rows, program, X[start : start + step], gradient)
        if start == 0:
            check_records(found, len(X))
        yield found


def scan(program, rows, gradient=False, dtype=np.float64, scan_blocks=scan_blocks):
    """Carry single rows, from `check_rows`, through a program.

    An engine may have a function of its own, ``scan_blocks(program, X, gradient)``, that yields the
    `LineRows` of some rows after the other. Raises ValueError if a kernel overflows in the
    precision of the pairs.
    """
    X = np.concatenate([check_shape(Z, program.shape) for Z, _ in rows])
    scanned = _joined(list(scan_blocks(program, X, gradient)))
    ends = [scanned.variance, scanned.ntk, scanned.largest, scanned.dvariance, scanned.dntk]
    with np.errstate(over="ignore"):  # as of rows without positions
        ends += [scanned.rates, [record[1] ** 2 for record in _normalized(program, scanned)]]
    if dtype != np.float64:
        ends.append(pack_numbers(program, np.float64))
    check_overflow(ends, rows, dtype)
    return scanned


def _normalized(program, scanned):
    """Records of normalisations: pairs take a product of two inverses of deviations."""
    for step, record in zip(program.steps, scanned.records, strict=True):
        if step.rule == "normalize":
            yield record


def quiet(scan_rows, *arguments):
    """Scan of rows by an engine, in any thread; what overflows is found later."""
    with np.errstate(all="ignore"):
        return scan_rows(*arguments)


def check_records(some, n):
    """Refuse so many rows if what is kept of them would not fit, judged by some of them."""
    check_memory(
        _bytes(some[:3]) * (n / max(1, len(some.variance)) - 1.0),
        f"What a network with positions keeps of {n} rows",
        "take fewer rows, fewer positions, or activations without a series",
    )


def _bytes(item):
    """Memory of nested lists or tuples of arrays."""
    return sum(map(_bytes, item)) if isinstance(item, (list, tuple)) else item.nbytes


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
    return LineRows(*lists, *ends, np.max([part.largest for part in parts]))


def some(scanned, rows):
    """What is known of some rows."""
    *lists, variance, ntk, dvariance, dntk, largest = scanned
    ends = [None if part is None else part[rows] for part in (variance, ntk, dvariance, dntk)]
    return LineRows(*(cut(part, rows) for part in lists), *ends, largest)
