"""Layers without weights that act on each position: normalisation and dropout."""

import numbers
from typing import NamedTuple

from .. import program
from .._values import value


@value
class LayerNorm(NamedTuple):
    """Layer normalisation over the channels of each position (J. Ba et al., 2016).

    In the limit of infinite width, it divides by the standard deviation: all variances become one.

    Examples
    --------
    >>> from sklearn_ntk import NNGPKernel
    >>> from sklearn_ntk.layers import Dense, LayerNorm
    >>> network = (Dense(), LayerNorm(), "erf", Dense(1.0, 0.0))
    >>> NNGPKernel(architecture=network).diag([[1.0], [100.0]]).round(4)
    array([0.4646, 0.4646])
    """

    def lower(self, context):
        """Instructions of this layer."""
        if not context.signal.centred:
            context.fail(
                "LayerNorm must follow a layer with weights, whose output has mean zero",
                "Put it behind Dense() or Conv(), before the activation",
            )
        yield program.Normalize()


@value
class Dropout(NamedTuple):
    """Dropout: each entry is zero with probability ``rate``, else it is divided by ``1 - rate``.

    The noise of different rows is independent, so it only adds to the diagonal of a Gram matrix (S.
    Schoenholz et al., ICLR 2017). In a Gram matrix between two sets of rows, all noise is
    independent, even for equal rows. Dropout of the rows themselves is treated as if they had
    infinitely many entries, although noise does not average out over a few.

    Parameters
    ----------
    rate : float
        Probability of zeros, at least 0 and less than 1.

    Examples
    --------
    >>> from sklearn_ntk import NNGPKernel
    >>> from sklearn_ntk.layers import Dense, Dropout
    >>> network = (Dense(), "relu", Dropout(0.2), Dense(1.0, 0.0))
    >>> kernel = NNGPKernel(architecture=network, bias_var=0.0)
    >>> kernel([[1.0], [2.0]])
    array([[1.25, 2.  ],
           [2.  , 5.  ]])
    """

    rate: float

    def lower(self, context):
        """Instructions of this layer."""
        is_real = isinstance(self.rate, numbers.Real) and not isinstance(self.rate, bool)
        if not is_real or not 0.0 <= self.rate < 1.0:
            context.fail(
                f"rate must be a number from 0 to less than 1; got {self.rate!r}", "Correct it"
            )
        context.change(gaussian=False)
        yield program.Drop(1.0 - float(self.rate))
