"""Choice among networks: all candidates in one fit, by closed forms or on one Gram matrix each."""

from ._classification import NTKClassifierCV
from ._precomputed import precomputed
from ._regression import NTKRegressorCV

__all__ = ["NTKClassifierCV", "NTKRegressorCV", "precomputed"]
