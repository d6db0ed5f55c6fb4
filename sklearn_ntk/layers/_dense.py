"""The fully connected layer."""

from typing import NamedTuple

from .._special import is_variance
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
    Dense(weight_var=2.0, bias_var=0.1, frozen=False)
    """

    weight_var: float | None = None
    bias_var: float | None = None
    frozen: bool = False

    def lower(self, context):
        """Instructions of this layer."""
        for name in ("weight_var", "bias_var"):
            number = getattr(self, name)
            if number is not None and not is_variance(number):
                context.fail(f"{name} must be a number >= 0 or None; got {number!r}", "Correct it")
        is_frozen = context.count_weights() <= context.n_frozen or self.frozen
        weight_tied, bias_tied = self.weight_var is None, self.bias_var is None
        yield Pointwise(
            Identity(),
            float(context.weight_var if weight_tied else self.weight_var),
            float(context.bias_var if bias_tied else self.bias_var),
            trained=not is_frozen,
            weight_tied=weight_tied,
            bias_tied=bias_tied,
        )
        context.gaussian = context.independent = True
