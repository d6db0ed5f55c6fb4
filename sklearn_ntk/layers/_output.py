"""Kernels of hidden layers as results of their own."""

from typing import NamedTuple

from .. import program
from .._values import value


@value
class Output(NamedTuple):
    """Return the kernels of the network up to here, in addition to those of the whole network.

    `sklearn_ntk.gram.gram` computes the kernels of all outputs in one pass. Kernels and estimators
    need networks without `Output`, which have a single result.

    Examples
    --------
    >>> from sklearn_ntk.gram import gram
    >>> from sklearn_ntk.layers import Dense, Output, lower
    >>> network = (Dense(), "relu", Dense(), Output(), "relu", Dense())
    >>> gram(lower(network), [[1.0, 2.0], [0.0, 1.0]]).shape
    (2, 2, 2)
    """

    def lower(self, context):
        """Instructions of this layer."""
        if len(context.path) > 1:
            context.fail(
                "an Output cannot be inside a branch", "Put it before or behind the Residual"
            )
        if context.shape is not None:
            context.fail(
                "a network with an Input, whose hidden layers have kernels of all pairs of "
                "positions, has its end as the only output",
                "Remove the Output",
            )
        yield program.Output()
