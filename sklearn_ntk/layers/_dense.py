"""The fully connected layer."""

from typing import NamedTuple

from .._values import value
from ..activations import Identity
from ..program import Pointwise


@value
class Dense(NamedTuple):
    """Fully connected layer ``y = sqrt(weight_var / n_in) W x + sqrt(bias_var) b``.

    Parameters
    ----------
    weight_var : float or None
        Variance of the weights; None takes the kernel's, so that its gradient reaches this layer.
    bias_var : float or None
        Variance of the biases; None takes the kernel's.
    frozen : bool
        A frozen layer is not trained and adds nothing to the NTK.

    Examples
    --------
    >>> from sklearn_ntk.layers import Dense
    >>> Dense(2.0, 0.1)
    Dense(weight_var=2.0, bias_var=0.1)
    """

    weight_var: float | None = None
    bias_var: float | None = None
    frozen: bool = False

    def lower(self, context):
        """Instructions of this layer."""
        weight, bias, tied = context.variances(self)
        yield Pointwise(Identity(), weight, bias, context.is_trained(self), *tied)
        context.weigh()
