"""The scikit-learn estimators of one network: regression and classification."""

from ._classification import NTKClassifier
from ._regression import NTKRegressor

__all__ = ["NTKClassifier", "NTKRegressor"]
