"""The recurrent layer."""

from typing import NamedTuple

from .. import program
from .._values import value
from ..program import Pointwise
from ._windows import need_positions


@value
class Recurrent(NamedTuple):
    """Elman network over time, ``h_t = activation(g_t)`` with the same weights at all times.

    ``g_t = sqrt(recurrent_var / n) W h_{t-1} + sqrt(weight_var / n_in) U x_t + sqrt(bias_var) b``
    and ``h_0 = 0``. Its kernels: G. Yang, "Tensor programs I", NeurIPS 2019; S. Alemohammad et al.,
    "The recurrent neural tangent kernel", ICLR 2021.

    Parameters
    ----------
    activation : str or activation
    weight_var, recurrent_var, bias_var : float or None
        Variances of the weights of the input, of the weights of the previous state, and of the
        biases. None takes the kernel's variances: ``weight_var`` for both kinds of weights.
    return_sequences : bool
        Whether to return the states at all times, or only the last one.
    frozen : bool
        A frozen layer is not trained and adds nothing to the NTK.

    Examples
    --------
    >>> from sklearn_ntk import NNGPKernel
    >>> from sklearn_ntk.layers import Dense, Input, Recurrent
    >>> network = (Input(3, 1), Recurrent("relu", 1.0, 1.0, 0.0), Dense(1.0, 0.0))
    >>> NNGPKernel(architecture=network).diag([[1.0, 1.0, 1.0]])
    array([0.875])
    """

    activation: object = "relu"
    weight_var: float | None = None
    recurrent_var: float | None = None
    bias_var: float | None = None
    return_sequences: bool = False
    frozen: bool = False

    def lower(self, context):
        """Instructions of this layer."""
        need_positions(context, "Recurrent")
        if len(context.grid) != 1:
            context.fail(
                f"Recurrent needs positions along one axis, time; got a grid of {context.grid}",
                "Begin the network with Input(time, channels)",
            )
        weight, bias, (weight_tied, bias_tied) = context.variances(self)
        recurrent, recurrent_tied = context.variance(self, "recurrent_var", "weight_var")
        numbers = (weight, recurrent, bias, context.is_trained(self))
        yield program.Recur(context.grid, *numbers, weight_tied, recurrent_tied, bias_tied)
        yield Pointwise(context.activation(self.activation))
        if not context.flag(self, "return_sequences"):
            yield program.Convolve(program.grids.Last(context.grid))
            context.grid = ()
        context.weigh()
        context.change(gaussian=False, centred=False)
