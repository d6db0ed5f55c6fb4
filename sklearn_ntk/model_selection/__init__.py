"""Choice among networks: all candidates in one fit, by closed forms or on one Gram matrix each."""

from ._estimators import NTKClassifierCV, NTKRegressorCV, precomputed

__all__ = ["NTKClassifierCV", "NTKRegressorCV", "precomputed"]
