"""Searches and cross-validation in several processes: one pool serves all tests."""

import joblib
import pytest
from both_estimators import data
from numpy.testing import assert_allclose, assert_array_equal
from searches import GRID, data_of
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ntk import NTKClassifier, NTKClassifierCV, NTKRegressor, NTKRegressorCV

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def pool():
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        yield


@pytest.mark.parametrize("cls", [NTKRegressor, NTKClassifier])
def test_parallel_cross_validation_equals_serial(cls):
    X, y = data(60)
    model = make_pipeline(StandardScaler(), cls(depth=1))
    found = cross_val_score(model, X, y, cv=2, n_jobs=2, error_score="raise")
    expected = cross_val_score(model, X, y, cv=2, n_jobs=1, error_score="raise")
    assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("cls", [NTKRegressorCV, NTKClassifierCV])
def test_parallel_and_serial_are_the_same(cls):
    X, y = data_of(cls)
    serial, parallel = (cls(GRID, n_jobs=n).fit(X, y) for n in (1, 2))
    assert serial.best_params_ == parallel.best_params_
    assert_array_equal(
        serial.cv_results_["mean_test_score"], parallel.cv_results_["mean_test_score"]
    )
