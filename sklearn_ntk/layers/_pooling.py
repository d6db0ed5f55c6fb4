"""Pooling over windows, and readouts: global pooling and flattening."""

from typing import NamedTuple

from .. import program
from .._values import value
from ._windows import as_window, check_windows, need_positions


def _lower(layer, context, is_mean):
    """Instructions of a pooling over windows."""
    need_positions(context, type(layer).__name__)
    window = as_window(context, "window", layer.window)
    strides = window if layer.strides is None else as_window(context, "strides", layer.strides)
    windows = program.grids.Windows(context.grid, window, strides, layer.padding)
    check_windows(context, "window", windows)
    yield _pool(windows, is_mean)
    context.grid = windows.after


def _pool(windows, is_mean):
    """Instruction of a mean, or of a sum, over windows."""
    n = 1
    for size in windows.window:
        n *= size
    return program.Pool(windows, 1.0 / n**2 if is_mean else 1.0)


def _lower_global(layer, context, is_mean):
    """Instruction of a pooling over all positions."""
    need_positions(context, type(layer).__name__)
    ones = (1,) * len(context.grid)
    yield _pool(program.grids.Windows(context.grid, context.grid, ones, "valid"), is_mean)
    context.grid = ()


@value
class AvgPool(NamedTuple):
    """Mean of the signal over a window of positions.

    Parameters
    ----------
    window : int or tuple of int
        Positions that the window spans along each axis.
    strides : int or tuple of int, optional
        Steps of the window; by default, windows do not overlap.
    padding : {"valid", "same", "circular"}
        As in `Conv`. Zeros outside the grid count in the mean, and a position that the window
        covers twice counts twice.

    Examples
    --------
    >>> from sklearn_ntk.layers import AvgPool
    >>> AvgPool(2)
    AvgPool(window=2)
    """

    window: int | tuple
    strides: int | tuple | None = None
    padding: str = "valid"

    def lower(self, context):
        """Instructions of this layer."""
        return _lower(self, context, is_mean=True)


@value
class SumPool(NamedTuple):
    """Sum of the signal over a window of positions; parameters are those of `AvgPool`.

    Examples
    --------
    >>> from sklearn_ntk.layers import SumPool
    >>> SumPool((2, 1)).window
    (2, 1)
    """

    window: int | tuple
    strides: int | tuple | None = None
    padding: str = "valid"

    def lower(self, context):
        """Instructions of this layer."""
        return _lower(self, context, is_mean=False)


@value
class GlobalAvgPool(NamedTuple):
    """Mean of the signal over all positions; later layers have no positions.

    Examples
    --------
    >>> from sklearn_ntk.layers import GlobalAvgPool
    >>> GlobalAvgPool()
    GlobalAvgPool()
    """

    def lower(self, context):
        """Instructions of this layer."""
        return _lower_global(self, context, is_mean=True)


@value
class GlobalSumPool(NamedTuple):
    """Sum of the signal over all positions; later layers have no positions.

    Examples
    --------
    >>> from sklearn_ntk.layers import GlobalSumPool
    >>> GlobalSumPool()
    GlobalSumPool()
    """

    def lower(self, context):
        """Instructions of this layer."""
        return _lower_global(self, context, is_mean=False)


@value
class Flatten(NamedTuple):
    """Concatenate the channels of all positions: the next layer has weights for each of them.

    Rows without positions stay as they are.

    Examples
    --------
    >>> from sklearn_ntk.layers import Flatten
    >>> Flatten()
    Flatten()
    """

    def lower(self, context):
        """Instructions of this layer."""
        if not context.grid:  # there are no positions
            return
        yield program.Flatten(context.grid)
        context.grid = ()
        context.change(gaussian=False)  # variances differ between positions
