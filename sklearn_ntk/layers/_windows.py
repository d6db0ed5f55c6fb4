"""What layers with a window share: their checks, and the grid behind them."""

import numbers

from ..program import grids


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


def check_window(context, what, window, strides, padding):
    """Grid of the places of a window, or the error if it does not fit."""
    if not isinstance(padding, str) or padding not in grids.PADDINGS:
        context.fail(f"padding must be one of {grids.PADDINGS}; got {padding!r}", "Correct it")
    if padding == "valid" and any(w > n for w, n in zip(window, context.grid, strict=True)):
        context.fail(
            f"a {what} of {window} has no place inside a grid of {context.grid} positions, where "
            "the padding 'valid' keeps it",
            "Make it smaller, pool less before it, or take the padding 'same'",
        )
    return grids.after(context.grid, window, strides, padding)


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
