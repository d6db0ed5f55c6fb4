"""The estimators of scikit-learn: regression and classification."""

from ._classification import NTKClassifier
from ._regression import NTKRegressor

__all__ = ["NTKClassifier", "NTKRegressor"]
