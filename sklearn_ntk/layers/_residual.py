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
        Ends in a layer with weights, so that the two summands are uncorrelated.
    shortcut : tuple of layers
        What the input passes on the other path.

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
        before, grid = (context.gaussian, context.independent), context.grid
        context.independent = False
        yield Save()
        yield from context.walk(self.body, "body")
        if not context.independent:
            context.fail(
                "the body of a Residual must end in a layer with weights, or the two paths would "
                "be correlated",
                "End it in Dense()",
            )
        is_gaussian = context.gaussian
        if type(self.shortcut) not in (tuple, list) or self.shortcut:  # LayerNorm() is empty, too
            context.gaussian, context.independent = before
            yield Swap()
            after, context.grid = context.grid, grid
            yield from context.walk(self.shortcut, "shortcut")
            before, grid = (context.gaussian, context.independent), context.grid
            context.grid = after
        if context.grid != grid:
            context.fail(
                f"the body of a Residual ends with {context.grid} positions and the shortcut with "
                f"{grid}",
                "Give the shortcut layers with the same strides, such as Conv(1, strides=2)",
            )
        yield Add()
        # The sum is Gaussian if both paths are; its parts are fresh only if the shortcut's are.
        context.gaussian, context.independent = before[0] and is_gaussian, before[1]
