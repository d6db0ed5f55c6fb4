"""What layers with a window share: their checks, and what a filter does along each axis."""

import numbers
import reprlib

from ..activations import Identity
from ..program import Convolve, Pointwise, grids

LARGEST = 10**6
"""Positions along an axis that a window may span or step over: more would be a mistake."""


def as_window(context, name, given):
    """One positive integer for each axis of the grid, from a number for all of them or a tuple."""
    whole = given if isinstance(given, (tuple, list)) else (given,) * len(context.grid)
    are_sizes = [isinstance(n, numbers.Integral) and not isinstance(n, bool) for n in whole]
    are_sizes = len(whole) == len(context.grid) and all(are_sizes)
    if not are_sizes or not 1 <= min(whole) <= max(whole) <= LARGEST:
        context.fail(
            f"{name} must be an integer from 1 to {LARGEST}, or one for each of the "
            f"{len(context.grid)} axes; got {reprlib.repr(given)}",
            "Correct it",
        )
    return tuple(map(int, whole))


def check_windows(context, what, windows):
    """Fail where windows have no place."""
    padding = windows.padding
    if not isinstance(padding, str) or padding not in grids.PADDINGS:
        context.fail(f"padding must be one of {grids.PADDINGS}; got {padding!r}", "Correct it")
    if 0 in windows.after:
        context.fail(
            f"a {what} of {windows.window} has no place inside a grid of {context.grid} positions, "
            "where the padding 'valid' keeps it",
            "Make it smaller, pool less before it, or take the padding 'same'",
        )


def convolve(context, layer, geometry):
    """Instructions of a layer with filters of this geometry: a sum along each axis, then a map."""
    need_positions(context, type(layer).__name__)
    window = as_window(context, "filter_size", layer.filter_size)
    strides = as_window(context, "strides", layer.strides)
    check_windows(context, "filter", geometry(context.grid, window, strides, layer.padding))
    weight, bias, tied = context.variances(layer)
    n = 1
    for axis, (size, stride) in enumerate(zip(window, strides, strict=True)):
        n *= size
        if size > 1 or stride > 1:
            ones = [1] * len(window)
            part, step = ((*ones[:axis], k, *ones[axis + 1 :]) for k in (size, stride))
            windows = geometry(context.grid, part, step, layer.padding)
            yield Convolve(windows)
            context.grid = windows.after
    yield Pointwise(Identity(), weight / n, bias, context.is_trained(layer), *tied)
    context.weigh()


def need_positions(context, layer):
    """Fail where there are no positions."""
    if context.grid is None:
        context.fail(
            f"{layer} needs rows with positions",
            "Begin the network with Input, such as Input(height, width, channels) or "
            "Input(time, channels)",
        )
    if context.grid == ():
        context.fail(
            f"{layer} needs positions, and none are left", "Move it before the pooling or Flatten"
        )
