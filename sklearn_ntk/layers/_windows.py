"""What layers with a window share: their checks, and what a filter does along each axis."""

import numbers

from ..activations import Identity
from ..program import Convolve, Pointwise, grids


def as_window(context, name, given):
    """One positive integer for each axis of the grid, from a number for all of them or a tuple."""
    whole = given if isinstance(given, (tuple, list)) else (given,) * len(context.grid)
    are_sizes = [isinstance(n, numbers.Integral) and not isinstance(n, bool) for n in whole]
    if len(whole) != len(context.grid) or not all(are_sizes) or min(whole) < 1:
        context.fail(
            f"{name} must be a positive integer, or one for each of the {len(context.grid)} axes; "
            f"got {given!r}",
            "Correct it",
        )
    return tuple(map(int, whole))


def check_windows(context, what, windows):
    """Fail where windows have no place."""
    if windows.padding not in grids.PADDINGS:
        context.fail(
            f"padding must be one of {grids.PADDINGS}; got {windows.padding!r}", "Correct it"
        )
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
