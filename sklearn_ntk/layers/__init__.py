"""Layers of infinitely wide networks: immutable values that lower themselves to a program.

Examples
--------
>>> from sklearn_ntk.layers import Dense, Residual
>>> from sklearn_ntk.activations import ReLU
>>> block = Residual((Dense(), ReLU(), Dense()))
>>> network = (Dense(), block, ReLU(), Dense(1.0, 0.0))
>>> network[-1]
Dense(weight_var=1.0, bias_var=0.0)
"""

from .._values import publish
from ._attention import PositionalEmbedding, SelfAttention
from ._conv import Conv
from ._conv_transpose import ConvTranspose
from ._dense import Dense
from ._input import Input
from ._lowering import lower
from ._noise import Dropout, LayerNorm
from ._output import Output
from ._pooling import AvgPool, Flatten, GlobalAvgPool, GlobalSumPool, SumPool
from ._recurrent import Recurrent
from ._residual import Residual

__all__ = [
    "AvgPool",
    "Conv",
    "ConvTranspose",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAvgPool",
    "GlobalSumPool",
    "Input",
    "LayerNorm",
    "Output",
    "PositionalEmbedding",
    "Recurrent",
    "Residual",
    "SelfAttention",
    "SumPool",
    "lower",
]

publish(__name__, globals())
