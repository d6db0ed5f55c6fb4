"""The regressor and the classifier, data for both, and comparison of their predictions."""

import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import make_blobs

from sklearn_ntk import NTKClassifier, NTKRegressor

both = pytest.mark.parametrize("cls", [NTKRegressor, NTKClassifier])


# --- Data that serve both ------------------------------------------------------------------------


def data(n=40, seed=0):
    """Rows (n, 2) of two overlapping Gaussian blobs and labels 0 or 1, which are also targets."""
    X, y = make_blobs(n, centers=[[-1.0, 0.0], [1.0, 0.5]], cluster_std=1.0, random_state=seed)
    return X, y


def outputs(model, X):
    """List of the predictions of a fitted model, with scores and probabilities if it has them."""
    names = ("predict", "decision_function", "predict_proba")
    return [getattr(model, name)(X) for name in names if hasattr(model, name)]


def assert_same_model(model, other, X, rtol=1e-7):
    for actual, expected in zip(outputs(model, X), outputs(other, X), strict=True):
        assert_allclose(actual, expected, rtol=rtol, atol=1e-9)
