"""Checks of filters and windows, and the instructions of layers with filters."""

import numbers
import reprlib

from ..activations import Identity
from ..program import Convolve, Pointwise, grids

LARGEST = 10**6
"""Largest size and stride of a window along an axis."""


def as_window(context, name, size):
    """Tuple of positive integers, one for each axis, from a number for all axes or a tuple."""
    sizes = size if isinstance(size, (tuple, list)) else (size,) * len(context.grid)
    are_sizes = [isinstance(n, numbers.Integral) and not isinstance(n, bool) for n in sizes]
    are_sizes = len(sizes) == len(context.grid) and all(are_sizes)
    if not are_sizes or not 1 <= min(sizes) <= max(sizes) <= LARGEST:
        context.fail(
            f"{name} must be an integer from 1 to {LARGEST}, or one for each of the "
            f"{len(context.grid)} axes; got {reprlib.repr(size)}",
            "Correct it",
        )
    return tuple(map(int, sizes))


def check_windows(context, what, windows):
    """Fail if the padding is unknown, or no window fits into the grid."""
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
    """Instructions of a layer with filters: sums over the filter, axis by axis, then weights.

    ``geometry`` is a class of `program.grids`: `Windows` or `Transposed`.
    """
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
            one_size, one_stride = ((*ones[:axis], k, *ones[axis + 1 :]) for k in (size, stride))
            windows = geometry(context.grid, one_size, one_stride, layer.padding)
            yield Convolve(windows)
            context.grid = windows.after
    yield Pointwise(Identity(), weight / n, bias, context.is_trained(layer), *tied)
    context.weigh()


def need_positions(context, layer):
    """Fail for a layer that needs positions where there are none."""
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
