"""The pass over single rows with positions: checks, blocks of rows, joined results."""

from itertools import zip_longest

import numpy as np

from ..._runtime.memory import check_memory
from ..packing.lines import pack_numbers
from ..reference import lines as reference
from ..schedule.writer import schedule
from .lines import LineRows, cut
from .tiles import check_overflow

SCAN_NUMBERS = 2**23
"""Numbers in the lines of single rows that a thread holds at a time."""


def check_shape(X, shape):
    """Rows (n, d) reshaped to (n, positions, channels); raises ValueError if they do not fit."""
    n_features = int(np.prod(shape))
    if X.shape[1] != n_features:
        raise ValueError(
            f"Input{tuple(shape)} takes rows of {n_features} columns, in the order of ravel(); got "
            f"{X.shape[1]}: correct the shape of Input, or the rows."
        )
    return X.reshape(len(X), n_features // shape[-1], shape[-1])


def scan_blocks(program, X, gradient):
    """Yield `LineRows` of blocks of rows (n, positions, channels), by the reference engine."""
    n_numbers = (6 if gradient else 2) * schedule(program, None, True).n_lines
    step = max(1, SCAN_NUMBERS // n_numbers)
    for start in range(0, max(1, len(X)), step):
        block = quiet(reference.scan_rows, program, X[start : start + step], gradient)
        if start == 0:
            check_records(block, len(X))
        yield block


def scan(program, rows, gradient=False, dtype=np.float64, scan_blocks=scan_blocks):
    """Run a program on single rows: `LineRows` of the rows of all sides, left ones first.

    ``rows`` are pairs (rows, norms) from `check_rows`. An engine may pass its own ``scan_blocks``.
    Raises ValueError if a kernel overflows in the precision of the pairs, ``dtype``.
    """
    X = np.concatenate([check_shape(Z, program.shape) for Z, _ in rows])
    scanned = _joined(list(scan_blocks(program, X, gradient)))
    numbers = [scanned.variance, scanned.ntk, scanned.largest, scanned.dvariance, scanned.dntk]
    with np.errstate(over="ignore"):  # what overflows is found below
        numbers += [scanned.rates, [inverse**2 for inverse in _inverses(program, scanned)]]
    if dtype != np.float64:
        numbers.append(pack_numbers(program, np.float64))
    check_overflow(numbers, rows, dtype)
    return scanned


def _inverses(program, scanned):
    """Yield inverse standard deviations that must not overflow: as in `tiles`, see there."""
    for step, record in zip(program.steps, scanned.records, strict=True):
        if step.rule == "normalize":
            yield record[1]
        if step.rule == "pointwise" and step.activation.jumps:
            yield 2.0 * record[3]


def quiet(scan_rows, *arguments):
    """``scan_rows(*arguments)`` without warnings of NumPy: overflow is checked afterwards."""
    with np.errstate(all="ignore"):
        return scan_rows(*arguments)


def check_records(block, n):
    """Raise MemoryError if the records of n rows would not fit, estimated from a block of them."""
    check_memory(
        _bytes((block.records, block.rates, block.outside))
        * (n / max(1, len(block.variance)) - 1.0),
        f"What a network with positions keeps of {n} rows",
        "take fewer rows, fewer positions, or activations without a series",
    )


def _bytes(item):
    """Bytes of nested lists or tuples of arrays."""
    return sum(map(_bytes, item)) if isinstance(item, (list, tuple)) else item.nbytes


def _joined(blocks):
    """`LineRows` of all rows from those of blocks; shorter series are filled with zeros."""
    if len(blocks) == 1:
        return blocks[0]

    def join(*items):
        """Concatenate arrays (..., n) at the same place of nested lists; None stands for zeros."""
        if isinstance(items[0], (list, tuple)):
            return type(items[0])(join(*entries) for entries in zip_longest(*items))
        like = next(item for item in items if item is not None)
        filled = (np.zeros_like(like[..., :1]) if item is None else item for item in items)
        sizes = (block.variance.shape for block in blocks)
        filled = [
            np.broadcast_to(item, (*like.shape[:-1], *n))
            for item, n in zip(filled, sizes, strict=True)
        ]
        return np.concatenate(filled, axis=-1)

    lists = {name: join(*(getattr(block, name) for block in blocks)) for name in LineRows.LISTS}
    diagonals = {}
    for name in LineRows.DIAGONALS:
        values = [getattr(block, name) for block in blocks]
        diagonals[name] = None if values[0] is None else np.concatenate(values)
    return LineRows(**lists, **diagonals, largest=np.max([block.largest for block in blocks]))


def take_rows(scanned, rows):
    """`LineRows` of a subset of the rows, a slice."""
    lists = {name: cut(getattr(scanned, name), rows) for name in LineRows.LISTS}
    diagonals = {name: getattr(scanned, name) for name in LineRows.DIAGONALS}
    diagonals = {name: x if x is None else x[rows] for name, x in diagonals.items()}
    return scanned._replace(**lists, **diagonals)
