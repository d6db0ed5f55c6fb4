"""Checks of what users pass: arrays of real numbers, and single numbers.

An error says in one sentence what was expected, what was seen, and what to do.
"""

import math
import numbers
import reprlib

import numpy as np


def read_array(values, name, what, remedy, axes, length=None):
    """Finite real numbers in double precision.

    Strings do not count as numbers, nor do masked and missing ones. Raises ValueError, also if the
    number of axes is not among ``axes``, or the length not the one that is given; ``remedy`` is
    what to do then.
    """
    found, seen = _read(values)
    if seen is None and (found.ndim not in axes or length not in (None, len(found))):
        seen = f"shape {found.shape}: {remedy}"
    if seen is not None:
        raise ValueError(f"{name} must be {what}; got {seen}.")
    return found


def read_rows(X, name="X"):
    """Rows (n, d) with at least one column."""
    what, remedy = "an array (n, d) of finite numbers, d > 0", "give each row its numbers"
    found = read_array(X, name, what, remedy, [2])
    if found.shape[1] == 0:
        raise ValueError(f"{name} must be {what}; got shape {found.shape}: {remedy}.")
    return found


def read_gram(K):
    """A Gram matrix: square and symmetric, with at least one row."""
    what, remedy = "a symmetric array (n, n) of finite numbers", "pass a kernel of some rows"
    K = read_array(K, "K", what, remedy, [2])
    seen = f"shape {K.shape}"
    is_gram = K.shape[0] == K.shape[1] > 0
    if is_gram:
        gap, is_gram = skewness(K)
        seen = f"opposite entries that differ by up to {gap:.3g}"
    if not is_gram:
        raise ValueError(f"K must be {what}; got {seen}: {remedy}.")
    return K


def skewness(K, step=1024):
    """Largest difference of opposite entries, and whether it is no more than rounding."""
    blocks = [slice(start, start + step) for start in range(0, len(K), step)]
    gap = max(np.abs(K[rows] - K[:, rows].T).max() for rows in blocks)
    return gap, gap <= 1e-8 * max(np.abs(K[rows]).max() for rows in blocks)


def read_targets(Y, n):
    """Targets (n, k), and whether they had one axis."""
    what = f"an array ({n},) or ({n}, k) of finite numbers"
    Y = read_array(Y, "Y", what, "give each row a target", [1, 2], n)
    return Y.reshape(n, -1), Y.ndim == 1


def read_weights(weights, n):
    """Positive weights of rows."""
    what = f"an array ({n},) of positive numbers"
    weights = read_array(weights, "weights", what, "give each row one", [1], n)
    if not np.all(weights > 0.0):
        raise ValueError(
            f"weights must be {what}; got {weights.min():.3g}: leave out the rows without weight."
        )
    return weights


def is_number(value):
    """Whether this is a finite real number, and no truth value."""
    if not isinstance(value, numbers.Real) or isinstance(value, (bool, np.bool_)):
        return False
    try:
        return math.isfinite(value)
    except (OverflowError, TypeError):  # of a large whole number, or of a duration
        return False


def read_number(value, name, is_positive=False, may_be_infinite=False):
    """A real number >= 0, or > 0."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    is_known = is_number(value) or (may_be_infinite and isinstance(value, float) and value > 0.0)
    if not is_known or value < 0.0 or (is_positive and value == 0.0):
        what = f"a {'' if may_be_infinite else 'finite '}number {'>' if is_positive else '>='} 0"
        raise ValueError(f"{name} must be {what}; got {reprlib.repr(value)}.")
    return float(value)


def read_count(value, name, least=0):
    """A whole number, not less than ``least``."""
    is_whole = isinstance(value, numbers.Integral) and is_number(value)
    if not is_whole or value < least:
        what = f"at least {least}" if is_whole else "a whole number"
        raise ValueError(f"{name} must be {what}; got {reprlib.repr(value)}.")
    return int(value)


def is_flag(value):
    """Whether this is a truth value, or a whole number in its place."""
    return isinstance(value, (numbers.Integral, np.bool_)) and value in (True, False)


def read_flag(value, name):
    """True or False."""
    if not is_flag(value):
        raise ValueError(f"{name} must be True or False; got {reprlib.repr(value)}.")
    return bool(value)


def read_dtype(value):
    """The type "float64" or "float32"."""
    try:
        found = None if value is None else np.dtype(value)
    except (TypeError, ValueError):
        found = None
    if found not in (np.float64, np.float32):
        raise ValueError(f"dtype must be 'float64' or 'float32'; got {reprlib.repr(value)}.")
    return found


def _read(values):
    """Array, and None; or what is wrong with the values in its place, and what to do."""
    if hasattr(values, "toarray"):
        return None, f"a sparse {type(values).__name__}: call its toarray()"
    if np.ma.is_masked(values):
        return None, "masked numbers: fill them in"
    try:
        found = np.asarray(values)
    except (TypeError, ValueError, RuntimeError):
        return None, f"{reprlib.repr(values)}, which makes no array: make all rows equally long"
    if found.dtype.kind == "O":
        return _read_objects(found)
    if found.dtype.kind not in "biuf":
        return None, f"values of type {found.dtype}: make them real numbers"
    with np.errstate(over="ignore"):
        found = found.astype(np.float64, copy=False)
    finite = np.isfinite(found)
    return (found, None) if finite.all() else (None, f"{found[~finite][0]}: replace it")


def _read_objects(values):
    """The same for an array of objects."""
    found = np.empty(values.shape)
    for place, value in np.ndenumerate(values):
        try:
            if value is None or isinstance(value, (str, bytes)):
                raise TypeError
            found[place] = value
        except (TypeError, ValueError, OverflowError):
            return None, f"{reprlib.repr(value)}: make it a number"
    return _read(found)
