"""Branching: the sum of two paths through a network."""

from typing import NamedTuple

from .._values import value
from ..program import Add, Save, Swap


@value
class Residual(NamedTuple):
    """Residual block ``shortcut(x) + body(x)``; an empty shortcut is the identity.

    Parameters
    ----------
    body : tuple of layers
        Layers of the residual path. The two summands must be uncorrelated: ``body`` or ``shortcut``
        must have weights, and one of them must have mean zero. ``body`` ends in a layer with
        weights, unless ``shortcut`` does.
    shortcut : tuple of layers
        Layers of the other path; the identity if empty.

    Examples
    --------
    >>> from sklearn_ntk.layers import Dense, Residual
    >>> from sklearn_ntk.activations import ReLU
    >>> Residual((ReLU(), Dense())).shortcut
    ()
    """

    body: tuple
    shortcut: tuple = ()

    def lower(self, context):
        """Instructions of both paths and of their sum."""
        start, grid = context.signal, context.grid
        context.change(fresh=False)
        yield Save()
        yield from context.walk(self.body, "body")
        body, context.signal = context.signal, start._replace(fresh=False)
        after, context.grid = context.grid, grid
        # a LayerNorm(), which has no fields, is an empty tuple, too: `walk` refuses it
        if type(self.shortcut) not in (tuple, list) or self.shortcut:
            yield Swap()
            yield from context.walk(self.shortcut, "shortcut")
        shortcut = context.signal
        _check_paths(context, body, shortcut, after)
        yield Add()
        both = type(start)(*map(min, body, shortcut))
        context.signal = both._replace(
            wide=body.wide or shortcut.wide, fresh=start.fresh or both.fresh
        )


def _check_paths(context, body, shortcut, after):
    """Fail where the paths would be correlated, or end with different positions."""
    is_fresh, is_centred = body.fresh or shortcut.fresh, body.centred or shortcut.centred
    if not (is_fresh and is_centred):
        context.fail(
            "one path of a Residual must end in a layer with weights, or the two would be "
            "correlated",
            "End the body in Dense()",
        )
    if context.grid != after:
        context.fail(
            f"the body of a Residual ends with {after} positions and the shortcut with "
            f"{context.grid}",
            "Give the shortcut layers with the same strides, such as Conv(1, strides=2)",
        )
