"""Estimators with kernels on a GPU, or on the stand-in for CuPy."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sklearn_ntk import NTKClassifier, NTKClassifierCV, NTKRegressor, NTKRegressorCV

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 4))
Y = np.sin(X[:, 0]) + 0.1 * RNG.standard_normal(60)
NEW = RNG.standard_normal((9, 4))
GRID = {"depth": [1, 2], "n_frozen": [0, 1]}
MODELS = [
    NTKRegressor("ntk", activation="relu", features=None),
    NTKRegressor("nngp", activation="relu", features="diagonal"),
    NTKClassifier("ntk", features=None),
    NTKRegressorCV(GRID, features=None),
    NTKClassifierCV(GRID),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model)[:30])
def test_same_predictions(gpu, model):
    y = Y > 0.0 if hasattr(model, "predict_proba") else Y
    how = "predict_proba" if y.dtype == bool else "predict"
    expected = getattr(clone(model).fit(X, y), how)(NEW)
    fitted = clone(model).set_params(device="cuda").fit(X, y)
    found = getattr(pickle.loads(pickle.dumps(fitted)), how)(NEW)
    assert type(found) is np.ndarray
    assert_allclose(found, expected, rtol=1e-8, atol=1e-9)
    kernel = (fitted if hasattr(fitted, "kernel_") else fitted.estimators_[0]).kernel_
    assert kernel.device == "cuda"


def test_search(gpu):
    """Devices are parameters like others."""
    model = NTKRegressor("ntk", activation="relu", features=None)
    search = GridSearchCV(model, {"device": ["cpu", "cuda"], "depth": [1, 2]}, cv=2).fit(X, Y)
    scores = search.cv_results_["mean_test_score"]
    on_device = np.array([one["device"] == "cuda" for one in search.cv_results_["params"]])
    assert_allclose(scores[on_device], scores[~on_device], rtol=1e-9)


def test_bad_devices():
    with pytest.raises(ValueError, match="device must be None"):
        NTKRegressor("ntk", activation="relu", device="gpu").fit(X, Y)
    with pytest.raises(ValueError, match="device"):
        NTKRegressor("ntk", activation="relu", device=0).fit(X, Y)
