"""The transposed convolution."""

from typing import NamedTuple

from .._values import value
from ..program import grids
from ._windows import convolve


@value
class ConvTranspose(NamedTuple):
    """Transposed convolution, the adjoint of a `Conv`: it multiplies positions by its strides.

    ``y_p = sqrt(weight_var / (n |S|)) sum W_s x_q + sqrt(bias_var) b``, summed over all ``q`` and
    ``s`` with ``strides q + s = p``, up to an offset that the padding sets. The divisor is the size
    of the filter for all outputs, however many inputs contribute; as at the borders of a `Conv`,
    variances of outputs therefore differ.

    Parameters
    ----------
    filter_size : int or tuple of int
        Positions that the filter spans along each axis of the output.
    strides : int or tuple of int
        Number of outputs for each input along each axis.
    padding : {"same", "valid", "circular"}
        What happens to the ``filter_size - strides`` outputs beyond ``strides`` times the number of
        inputs: "same" cuts half of them off at each end, "valid" keeps them, and "circular" adds
        them to the outputs at the opposite end.
    weight_var, bias_var : float or None
        Variances of weights and biases; None takes the kernel's.
    frozen : bool
        A frozen layer is not trained and adds nothing to the NTK.

    Examples
    --------
    >>> from sklearn_ntk import NNGPKernel
    >>> from sklearn_ntk.layers import ConvTranspose, Dense, Flatten, Input
    >>> network = (Input(2, 1), ConvTranspose(3, strides=2), "relu", Flatten(), Dense())
    >>> kernel = NNGPKernel(architecture=network, bias_var=0.0)
    >>> kernel([[1.0, 0.0], [1.0, 2.0]]).round(3)
    array([[0.5  , 0.547],
           [0.547, 1.833]])
    """

    filter_size: int | tuple
    strides: int | tuple = 1
    padding: str = "same"
    weight_var: float | None = None
    bias_var: float | None = None
    frozen: bool = False

    def lower(self, context):
        """Instructions of this layer."""
        return convolve(context, self, grids.Transposed)
