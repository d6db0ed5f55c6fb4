"""The estimators inside scikit-learn's own machinery."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from processes import run
from sklearn import config_context
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_wine, make_friedman1
from sklearn.ensemble import BaggingClassifier, StackingRegressor, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, scale

from sklearn_ntk import NTKClassifier, NTKClassifierCV, NTKKernel, NTKRegressor, NTKRegressorCV
from sklearn_ntk.kernels import _network as kernels
from sklearn_ntk.model_selection import precomputed

pd = pytest.importorskip("pandas")

GRID = {"depth": [1, 2]}
classifiers = pytest.mark.parametrize(
    "model",
    [NTKClassifier("ntk"), NTKClassifier("ntk", loss="log_loss", alpha=0.1), NTKClassifierCV(GRID)],
    ids=["squares", "log loss", "CV"],
)
regressors = pytest.mark.parametrize("model", [NTKRegressor(), NTKRegressorCV(GRID)], ids=str)


def classes():
    X, y = load_wine(return_X_y=True)
    return scale(X)[::2], y[::2]


def numbers(n=80):
    return make_friedman1(n, random_state=0, noise=0.5)


# --- Ensembles and wrappers -----------------------------------------------------------------------


@classifiers
@pytest.mark.parametrize("ensemble", [False, True])
def test_calibrated(model, ensemble):
    X, y = classes()
    found = CalibratedClassifierCV(model, ensemble=ensemble, cv=3).fit(X[::2], y[::2])
    assert log_loss(y[1::2], found.predict_proba(X[1::2])) < 0.3


@classifiers
def test_voting(model):
    X, y = classes()
    members = [("ntk", model), ("linear", LogisticRegression())]
    found = VotingClassifier(members, voting="soft").fit(X[::2], y[::2])
    assert found.score(X[1::2], y[1::2]) > 0.9


@regressors
def test_stacking(model):
    X, y = numbers(200)
    found = StackingRegressor([("ntk", model), ("linear", RidgeCV())], cv=3).fit(X[::2], y[::2])
    assert found.score(X[1::2], y[1::2]) > 0.6


@pytest.mark.slow
@classifiers
@pytest.mark.parametrize("wrap", [OneVsRestClassifier, BaggingClassifier], ids=lambda c: c.__name__)
def test_wrapped(model, wrap):
    X, y = classes()
    assert wrap(model).fit(X[::2], y[::2]).score(X[1::2], y[1::2]) > 0.9


@classifiers
def test_several_labels(model):
    X, y = classes()
    Y = np.stack([y, y == 1], axis=1)
    assert MultiOutputClassifier(model).fit(X, Y).score(X, Y) > 0.9


# --- Searches and folds ---------------------------------------------------------------------------


@pytest.mark.slow
def test_halving():
    X, y = classes()
    grid = {"depth": [1, 2], "activation": ["relu", "erf"], "loss": ["hinge", "squared_error"]}
    search = HalvingGridSearchCV(NTKClassifier("ntk"), grid, cv=3, random_state=0).fit(X, y)
    assert search.best_score_ > 0.9


def test_search_over_searches():
    X, y = numbers(40)
    grid = {"combine": ["stack", None], "scoring": ["r2", "log_marginal_likelihood"]}
    search = GridSearchCV(NTKRegressorCV(GRID), grid, cv=2).fit(X, y)
    assert set(search.best_params_) == set(grid)


@regressors
def test_predictions_of_folds(model):
    X, y = numbers()
    found = cross_val_predict(make_pipeline(StandardScaler(), model), X, y, cv=4)
    assert np.corrcoef(found, y)[0, 1] > 0.8


@pytest.mark.parametrize(
    "model",
    [
        NTKClassifier("ntk", depth=3, alpha=0.1),
        NTKClassifier("ntk", loss="hinge"),
        NTKClassifier(NTKKernel(1)),
    ],
    ids=["ridge", "hinge", "kernel"],
)
def test_precomputed_folds_compute_no_kernel(model, monkeypatch):
    X, y = classes()
    expected = cross_val_score(model, X, y, cv=5)
    other, K = precomputed(model, X)
    monkeypatch.setattr(kernels, "gram", None)
    found = cross_validate(other, K, y, cv=5)["test_score"]
    assert_allclose(found, expected, atol=0.06 if model.loss == "hinge" else 1e-12)
    assert model.kernel != "precomputed"


def test_precomputed_takes_estimators_with_a_kernel():
    X = classes()[0]
    with pytest.raises(TypeError, match="NTKRegressor or an NTKClassifier; got LogisticReg"):
        precomputed(LogisticRegression(), X)
    with pytest.raises(ValueError, match="precomputed already"):
        precomputed(NTKRegressor("precomputed"), X)


# --- Metadata -------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [NTKRegressor(alpha=0.1), NTKRegressorCV(GRID)], ids=str)
def test_weights_are_routed(model):
    X, y = numbers(40)
    weights = np.where(np.arange(40) < 30, 1.0, 0.0)
    with config_context(enable_metadata_routing=True):
        plain = model.set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), plain)
        pipeline.fit(X, y, sample_weight=weights)
        found = cross_validate(plain, X, y, cv=3, params={"sample_weight": weights})
    other = model.fit(StandardScaler().fit_transform(X)[:30], y[:30])
    assert_allclose(pipeline.predict(X), other.predict(StandardScaler().fit_transform(X)))
    assert np.all(np.isfinite(found["test_score"]))


@regressors
def test_mixed_columns(model):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({
        "size": rng.normal(50.0, 10.0, 90),
        "age": rng.integers(0, 40, 90),
        "town": rng.choice(["Aarau", "Basel", "Chur"], 90),
    })  # fmt: skip
    y = frame["size"] * frame["town"].map({"Aarau": 1.0, "Basel": 2.0, "Chur": 1.5}) - frame["age"]
    columns = ColumnTransformer([
        ("numbers", StandardScaler(), ["size", "age"]),
        ("names", OneHotEncoder(sparse_output=False), ["town"]),
    ]).set_output(transform="pandas")  # fmt: skip
    pipeline = make_pipeline(columns, model).fit(frame[:60], y[:60])
    assert pipeline.score(frame[60:], y[60:]) > 0.9
    assert pipeline[-1].feature_names_in_[-1] == "names__town_Chur"


# --- Inspection -----------------------------------------------------------------------------------


@regressors
def test_inspection(model):
    """Of the ten columns, the last five say nothing."""
    X, y = numbers(100)
    model = make_pipeline(StandardScaler(), model).fit(X, y)
    found = permutation_importance(model, X, y, n_repeats=3, random_state=0).importances_mean
    assert found[:5].min() > found[5:].max()
    curve = partial_dependence(model, X, [3], grid_resolution=5)  # a line of slope ten
    assert_allclose(np.gradient(curve["average"][0], curve["grid_values"][0]), 10.0, rtol=0.5)


TENSORS = """
import numpy as np, torch
from sklearn import config_context
from sklearn_ntk import NTKClassifier, NTKKernel, NTKRandomFeatures, NTKRegressor
X = np.random.default_rng(0).standard_normal((30, 3))
rows, weights = torch.asarray(X), torch.ones(30)
with config_context(array_api_dispatch=True):
    for cls, y in ((NTKRegressor, X[:, 0]), (NTKClassifier, (X[:, 0] > 0.0).astype(int))):
        model = cls("ntk", alpha=0.1).fit(rows, torch.asarray(y), weights)
        expected = cls("ntk", alpha=0.1).fit(X, y)
        assert np.allclose(model.predict(rows), expected.predict(X))
        assert model.score(rows, torch.asarray(y), weights) == expected.score(X, y)
    assert np.array_equal(NTKKernel()(rows), NTKKernel()(X))
    features = NTKRandomFeatures(random_state=0)
    assert np.array_equal(features.fit(rows).transform(rows), features.fit(X).transform(X))
print("done")
"""


@pytest.mark.thorough
def test_tensors_under_dispatch_of_the_array_api():
    """They become arrays of NumPy, as they do without it."""
    pytest.importorskip("torch")
    assert "done" in run(TENSORS, SCIPY_ARRAY_API=1)
