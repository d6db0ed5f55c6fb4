"""The regressor and the classifier, data that serve both, and all that they predict."""

import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import make_blobs

from sklearn_ntk import NTKClassifier, NTKRegressor

both = pytest.mark.parametrize("cls", [NTKRegressor, NTKClassifier])


# --- Data that serve both ------------------------------------------------------------------------


def data(n=40, seed=0):
    """Two noisy blobs; the labels 0 and 1 serve as numbers, too."""
    X, y = make_blobs(n, centers=[[-1.0, 0.0], [1.0, 0.5]], cluster_std=1.0, random_state=seed)
    return X, y


def outputs(model, X):
    """Everything that a fitted model says about rows."""
    names = ("predict", "decision_function", "predict_proba")
    return [getattr(model, name)(X) for name in names if hasattr(model, name)]


def assert_same_model(model, other, X, rtol=1e-7):
    for found, expected in zip(outputs(model, X), outputs(other, X), strict=True):
        assert_allclose(found, expected, rtol=rtol, atol=1e-9)
