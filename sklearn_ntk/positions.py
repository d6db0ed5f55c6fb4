"""What pairs of images or sequences need to know of their rows, and how they are computed."""

import numpy as np

from .engines import _positions
from .engines._schedule import schedule

SCAN_NUMBERS = 2**23
"""Numbers of the lines of single rows that are held at a time."""


def check_shape(X, shape):
    """Rows (n, features) as arrays (n, positions, channels), if they fill the shape."""
    n_features = int(np.prod(shape))
    if X.shape[1] != n_features:
        raise ValueError(
            f"Input{tuple(shape)} takes rows of {n_features} columns, in the order of ravel(); got "
            f"{X.shape[1]}."
        )
    return X.reshape(len(X), -1, shape[-1])


def scan(program, rows, gradient=False, dtype=np.float64):
    """Carry single rows, from `check_rows`, through a program by the reference engine.

    Raises ValueError if a kernel overflows in the precision of the pairs.
    """
    X = np.concatenate([check_shape(Z, program.shape) for Z, _ in rows])
    n_numbers = schedule(program, None, True).n_lines * (6 if gradient else 2)
    step = max(1, SCAN_NUMBERS // n_numbers)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        parts = [
            _positions.scan_rows(program, X[i : i + step], gradient) for i in range(0, len(X), step)
        ]
    scanned = _joined(parts)
    ends = [scanned.variance, scanned.ntk, scanned.largest, scanned.dvariance, scanned.dntk]
    largest = max(float(np.abs(part).max(initial=0.0)) for part in ends if part is not None)
    if not 4.0 * largest <= np.finfo(dtype).max:
        other = "" if dtype == np.float64 else f", or take dtype='float64' (now {dtype})"
        raise ValueError(
            f"The kernel of this network overflows on rows whose largest entry is "
            f"{np.abs(X).max():.3g}: scale the data, or lower weight_var or the depth{other}."
        )
    return scanned


def _joined(parts):
    """Rows from those of blocks of rows."""
    if len(parts) == 1:
        return parts[0]

    def join(*items):
        if isinstance(items[0], (list, tuple)):
            return type(items[0])(map(join, *items))
        return None if items[0] is None else np.concatenate(items, axis=-1)

    first = parts[0]
    lists = [join(*(part[i] for part in parts)) for i in range(3)]
    ends = [join(*(part[i] for part in parts)) for i in (3, 4)]
    moves = [
        None if first[i] is None else np.concatenate([part[i] for part in parts]) for i in (5, 6)
    ]
    return _positions.Rows(*lists, *ends, *moves, max(part.largest for part in parts))
