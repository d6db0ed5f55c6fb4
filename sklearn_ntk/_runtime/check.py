"""Checks of arguments: arrays of real numbers, and single numbers.

Each ``read_...`` returns its argument in the type that the package computes with, or raises a
ValueError that says in one sentence what was expected, what was seen, and what to do.
"""

import math
import numbers
import reprlib

import numpy as np

from .device import check_library, is_on_device


def read_array(values, name, what, remedy, axes, length=None):
    """Array in float64 of finite real numbers; strings, masked and missing entries are refused.

    ``axes`` are the numbers of axes that are allowed, ``length`` is that of the first axis. The
    message says that ``name`` must be ``what``; for a wrong shape, ``remedy`` is what to do.
    """
    check_library(values, name)
    array, problem = _read(values)
    if problem is None and (array.ndim not in axes or length not in (None, *array.shape[:1])):
        problem = f"shape {array.shape}: {remedy}"
    if problem is not None:
        raise ValueError(f"{name} must be {what}; got {problem}.")
    return array


_ROWS = "an array (n, d) of finite numbers, d > 0", "pass a row of d numbers for each sample"


def read_rows(X, name="X"):
    """Rows (n, d) with at least one column."""
    rows = read_array(X, name, *_ROWS, axes=[2])
    check_shape_of_rows(rows.shape, name)
    return rows


def check_shape_of_rows(shape, name="X"):
    """Raise ValueError unless it is (n, d) with d > 0."""
    if len(shape) != 2 or shape[1] == 0:
        what, remedy = _ROWS
        raise ValueError(f"{name} must be {what}; got shape {shape}: {remedy}.")


def read_gram(K):
    """Gram matrix (n, n), symmetric up to rounding, n > 0."""
    what = "a symmetric array (n, n) of finite numbers"
    remedy = "pass the Gram matrix of the training rows"
    K = read_array(K, "K", what, remedy, [2])
    problem = f"shape {K.shape}"
    is_gram = K.shape[0] == K.shape[1] > 0
    if is_gram:
        asymmetry, is_gram = skewness(K)
        problem = f"entries K[i, j] and K[j, i] that differ by up to {asymmetry:.3g}"
    if not is_gram:
        raise ValueError(f"K must be {what}; got {problem}: {remedy}.")
    return K


def skewness(K, step=1024):
    """Largest ``|K[i, j] - K[j, i]|``, and whether it is at most 1e-8 of the largest entry."""
    blocks = [slice(start, start + step) for start in range(0, len(K), step)]
    asymmetry = max(np.abs(K[rows] - K[:, rows].T).max() for rows in blocks)
    largest = max(np.abs(K[rows]).max() for rows in blocks)
    return float(asymmetry), bool(asymmetry <= 1e-8 * largest)


def read_targets(Y, n):
    """Targets (n, k), and whether ``Y`` had one axis."""
    what = f"an array ({n},) or ({n}, k) of finite numbers"
    Y = read_array(Y, "Y", what, "give each row a target", [1, 2], n)
    return Y.reshape(n, -1), Y.ndim == 1


def read_cross(cross, n, name="cross"):
    """Kernel (m, n) between new rows and training rows."""
    what = f"an array (m, {n}) of finite numbers"
    remedy = "pass the kernel between new rows and all training rows"
    cross = read_array(cross, name, what, remedy, [2])
    if cross.shape[1] != n:
        raise ValueError(f"{name} must be {what}; got shape {cross.shape}: {remedy}.")
    return cross


def read_weights(weights, n):
    """Positive weights (n,) of rows."""
    what = f"an array ({n},) of positive numbers"
    weights = read_array(weights, "weights", what, "give each row a weight", [1], n)
    if not np.all(weights > 0.0):
        raise ValueError(
            f"weights must be {what}; got {weights.min():.3g}: leave out the rows of weight zero."
        )
    return weights


def is_number(value):
    """Whether this is a finite real number; True and False are none."""
    if not isinstance(value, numbers.Real) or isinstance(value, (bool, np.bool_)):
        return False
    try:
        return math.isfinite(value)
    except (OverflowError, TypeError):  # an integer beyond float64, or a NumPy timedelta
        return False


def is_missing(value):
    """Whether this is None, NaN, or what pandas has for them."""
    try:
        return value is None or bool(value != value)
    except (TypeError, ValueError):  # NA, whose truth is ambiguous
        return True


def read_number(value, name, is_positive=False, may_be_infinite=False):
    """A real number >= 0, or > 0, as a float."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    is_infinite = may_be_infinite and isinstance(value, float) and value > 0.0
    if not (is_number(value) or is_infinite) or value < 0.0 or (is_positive and value == 0.0):
        what = f"a {'' if may_be_infinite else 'finite '}number {'>' if is_positive else '>='} 0"
        raise ValueError(f"{name} must be {what}; got {reprlib.repr(value)}.")
    return float(value)


def read_count(value, name, least=0):
    """A whole number >= ``least``, as an int."""
    is_whole = isinstance(value, numbers.Integral) and is_number(value)
    if not is_whole or value < least:
        what = f"at least {least}" if is_whole else "a whole number"
        raise ValueError(f"{name} must be {what}; got {reprlib.repr(value)}.")
    return int(value)


def is_flag(value):
    """Whether this is True or False, or the integer 0 or 1."""
    return isinstance(value, (numbers.Integral, np.bool_)) and value in (True, False)


def read_flag(value, name):
    """True or False, as a bool."""
    if not is_flag(value):
        raise ValueError(f"{name} must be True or False; got {reprlib.repr(value)}.")
    return bool(value)


def read_dtype(value):
    """NumPy dtype float64 or float32."""
    try:
        dtype = None if value is None else np.dtype(value)
    except (TypeError, ValueError):
        dtype = None
    if dtype not in (np.float64, np.float32):
        raise ValueError(f"dtype must be 'float64' or 'float32'; got {reprlib.repr(value)}.")
    return dtype


def _read(values):
    """``(array, None)``, or ``(None, problem)``: the value seen and what to do, for the message."""
    if hasattr(values, "toarray"):
        return None, f"a sparse {type(values).__name__}: call its toarray()"
    if np.ma.is_masked(values):
        return None, "masked numbers: fill them in"
    try:
        array = values if is_on_device(values) else np.asarray(values)
    except (TypeError, ValueError, RuntimeError):
        return None, f"{reprlib.repr(values)}, which makes no array: make all rows equally long"
    if array.dtype.kind in "OUS":
        return _read_objects(array.astype(object))
    if array.dtype.kind not in "biuf":
        return None, f"values of type {array.dtype}: make them real numbers"
    with np.errstate(over="ignore"):
        array = array.astype(np.float64, copy=False)
    finite = np.isfinite(array)
    return (array, None) if finite.all() else (None, f"{float(array[~finite][0])}: replace it")


def _read_objects(values):
    """`_read` of an array of Python objects, one by one."""
    array = np.empty(values.shape)
    for index, value in np.ndenumerate(values):
        try:
            if value is None or isinstance(value, (str, bytes)):
                raise TypeError
            array[index] = value
        except (TypeError, ValueError, OverflowError):
            return None, f"{reprlib.repr(value)}: make it a number"
    return _read(array)
