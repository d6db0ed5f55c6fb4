"""Results on the way through a network."""

from typing import NamedTuple

from .. import program
from .._values import value


@value
class Output(NamedTuple):
    """The network up to here is a result of its own, beside that of the whole network.

    `sklearn_ntk.gram.gram` computes the kernels of all outputs in one pass. A network without any
    has its end as the only result, which is what kernels and estimators want.

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
            context.fail("an Output cannot be inside a branch", "Put it before or behind")
        if context.shape is not None:
            context.fail(
                "a network with an Input, whose kernels on the way are those of all pairs of "
                "positions, has its end as the only output",
                "Remove it",
            )
        yield program.Output()
