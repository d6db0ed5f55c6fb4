"""What layers with a window share: their checks, and the grid behind them."""

import numbers
import reprlib

from ..program import grids

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
