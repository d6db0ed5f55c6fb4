"""The convolutional layer."""

from typing import NamedTuple

from .._values import value
from ..program import grids
from ._windows import convolve


@value
class Conv(NamedTuple):
    """Convolution ``y_p = sqrt(weight_var / (n |S|)) sum_{s in S} W_s x_{p+s} + sqrt(bias_var) b``.

    Kernels of infinitely wide convolutional networks: R. Novak et al., ICLR 2019; A. Garriga-Alonso
    et al., ICLR 2019; their NTK: S. Arora et al., NeurIPS 2019.

    Parameters
    ----------
    filter_size : int or tuple of int
        Positions that the filter spans along each axis; with padding, possibly more than there are.
    strides : int or tuple of int
        Steps of the filter; larger steps leave fewer positions.
    padding : {"same", "valid", "circular"}
        "same" pads with zeros outside the grid. "valid" drops outputs whose filter leaves the grid.
        "circular" wraps around to the opposite end; a filter longer than the grid then covers some
        positions more than once, with different weights.
    weight_var, bias_var : float or None
        Variances of weights and biases; None takes the kernel's.
    frozen : bool
        A frozen layer is not trained and adds nothing to the NTK.

    Examples
    --------
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.layers import Conv, Dense, Flatten, Input
    >>> network = (Input(2, 2, 1), Conv(3), "relu", Flatten(), Dense())
    >>> kernel = NTKKernel(architecture=network, bias_var=0.0)
    >>> kernel([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]).round(3)
    array([[0.444, 0.419],
           [0.419, 1.778]])
    """

    filter_size: int | tuple
    strides: int | tuple = 1
    padding: str = "same"
    weight_var: float | None = None
    bias_var: float | None = None
    frozen: bool = False

    def lower(self, context):
        """Instructions of this layer."""
        return convolve(context, self, grids.Windows)
