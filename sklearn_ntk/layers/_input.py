"""The shape of rows that are images or sequences."""

import numbers

from .._values import value


@value
class Input(tuple):
    """Shape of the rows; the first entry of a network on images or sequences.

    Rows stay flat, as scikit-learn wants them, in the order of ``image.ravel()``.

    Parameters
    ----------
    *shape : int
        ``(height, width, channels)`` of images, ``(time, channels)`` of sequences, or
        ``(depth, height, width, channels)`` of volumes: any number of axes of positions.

    Examples
    --------
    >>> from sklearn_ntk.layers import Input
    >>> Input(28, 28, 1)
    Input(28, 28, 1)
    """

    _fields = ()  # without names skops passes the entries as positional arguments

    def __new__(cls, *shape):
        return super().__new__(cls, shape)

    def __getnewargs__(self):
        return tuple(self)

    def __repr__(self):
        return f"{type(self).__name__}{tuple(self)!r}"

    def lower(self, context):
        """Tell the context the shape; there is nothing to compute."""
        if context.path != ["architecture[0]"]:
            context.fail("Input must be the first layer", "Move it to the front")
        sizes = [n for n in self if isinstance(n, numbers.Integral) and not isinstance(n, bool)]
        if len(sizes) != len(self) or min(self, default=1) < 1:
            context.fail(
                f"Input takes positive integers; got {tuple(self)!r}",
                "Give the numbers of positions, then that of channels, as in Input(8, 8, 1)",
            )
        if len(self) < 2:
            context.fail(
                f"Input takes positions along at least one axis, and channels; got {tuple(self)!r}",
                f"Give single numbers a channel of their own: Input({(*self, 8)[0]}, 1)",
            )
        context.shape = tuple(map(int, self))
        context.grid = context.shape[:-1]
        return ()
