"""Layers of infinitely wide networks: immutable values that lower themselves to a program.

Examples
--------
>>> from sklearn_ntk.layers import Dense, Residual
>>> from sklearn_ntk.activations import ReLU
>>> block = Residual((Dense(), ReLU(), Dense()))
>>> network = (Dense(), block, ReLU(), Dense(1.0, 0.0))
>>> network[-1]
Dense(weight_var=1.0, bias_var=0.0, frozen=False)
"""

from ._dense import Dense
from ._lowering import lower
from ._output import Output
from ._residual import Residual

__all__ = ["Dense", "Output", "Residual", "lower"]
