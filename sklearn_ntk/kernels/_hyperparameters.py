"""Hyperparameters as users give them: length scales, and bounds."""

import numpy as np

from .._runtime.check import read_array


def read_bounds(bounds, name, n=1):
    """Bounds of n numbers: "fixed", a pair, or n pairs; raises ValueError for others."""
    if isinstance(bounds, str) and bounds == "fixed":
        return bounds
    try:
        pairs = np.asarray(bounds, dtype=float)
    except (TypeError, ValueError):
        pairs = np.empty(0)
    is_fit = pairs.shape in ((2,), (1, 2), (n, 2))
    if not is_fit or not np.all((pairs[..., 0] > 0.0) & (pairs[..., 0] <= pairs[..., 1])):
        several = f", or {n} such pairs" if n > 1 else ""
        raise ValueError(
            f"{name}_bounds must be 'fixed' or one pair of numbers > 0, the smaller one first"
            f"{several}; got {bounds!r}."
        )
    return bounds


def read_length_scale(value):
    """Length scales (1,) or (d,), in float64."""
    values = value if np.iterable(value) and not isinstance(value, str) else [value]
    what = "None, a finite number > 0, or an array (d,) of them"
    scale = read_array(values, "length_scale", what, "give each column one", [1])
    is_flag = any(isinstance(each, (bool, np.bool_)) for each in values)
    if is_flag or not scale.size or not np.all(scale > 0.0):
        raise ValueError(f"length_scale must be {what}; got {value!r}.")
    return scale


def text_of(length_scale):
    """Short text of length scales, or the repr of what is none."""
    try:
        scale = read_length_scale(length_scale)
    except ValueError:
        return repr(length_scale)
    texts = [f"{value:.3g}" for value in scale]
    return f"[{', '.join(texts)}]" if scale.size > 1 else texts[0]
