"""scikit-learn's own checks of estimators, in full, and what else it does with them."""

import pickle
from email.message import Message

import numpy as np
import pytest
from both_estimators import assert_same_model, both, data, outputs
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_ntk import (
    NTKClassifier,
    NTKClassifierCV,
    NTKKernel,
    NTKRegressor,
    NTKRegressorCV,
    _compat,
)
from sklearn_ntk.activations import Erf
from sklearn_ntk.layers import Dense

pd = pytest.importorskip("pandas")

ONE = {"kernel": "ntk", "activation": "relu"}
"""One network of a regressor, without learned features: a quick fit."""


@pytest.mark.slow
@parametrize_with_checks(
    [
        NTKRegressor(),
        NTKClassifier(),
        NTKRegressorCV({"depth": [1, 2]}),
        NTKClassifierCV({"depth": [1, 2]}),
        NTKRegressor("ntk", features=None, device="cuda"),
        NTKClassifier("ntk", features=None, device="cuda"),
    ]
)
def test_estimator_check(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [
        NTKRegressor(**ONE, training_time="auto"),
        NTKRegressor(**ONE, uncertainty="ensemble"),
        NTKClassifier(loss="hinge", features=None),
        NTKClassifier(loss="log_loss", alpha=0.1, features=None),
        NTKRegressor(**ONE, solver="local"),
        NTKRegressor(**ONE, solver="nystroem"),
        NTKRegressor(**ONE, solver="cg", alpha=0.1, tol=1e-9),  # so that weights are repetitions
        NTKClassifier(solver="local", features=None),
        NTKClassifier(solver="nystroem", features=None),
        NTKClassifier(solver="cg", alpha=0.1, tol=1e-9, features=None),
    ]
)
def test_estimator_check_with_parameters(estimator, check):
    check(estimator)


@pytest.mark.thorough
@parametrize_with_checks(
    [
        NTKRegressor(**ONE, alpha=0.1),
        NTKRegressor(**ONE, training_time=100.0),
        NTKRegressor("nngp", activation="gelu", features="full"),
        NTKClassifier(alpha=0.1),
        NTKClassifier(kernel="nngp"),
        NTKClassifier(training_time="auto"),
        NTKClassifier(training_time=100.0, alpha=0.1),
        NTKClassifier(loss="hinge"),
        NTKClassifier(loss="log_loss", alpha=0.1),
        NTKRegressor(solver="local"),
        NTKRegressor(solver="nystroem"),
        NTKRegressor(solver="cg", alpha=0.1, tol=1e-9),
        NTKClassifier(solver="local"),
        NTKClassifier(solver="nystroem"),
        NTKClassifier(solver="cg", alpha=0.1, tol=1e-9),
        NTKRegressorCV({"depth": [1, 2]}, cv=3, combine="average"),
        NTKRegressorCV({"depth": [1, 2]}, training_times="auto"),
        NTKClassifierCV({"depth": [1, 2]}, cv=3, scoring="accuracy", combine=None),
        NTKClassifierCV({"depth": [1, 2]}, alphas=None, training_times=[1.0, 100.0], cv=3),
    ]
)
def test_estimator_check_of_further_parameters(estimator, check):
    check(estimator)


@both
def test_tags(cls):
    assert get_tags(cls(kernel="precomputed")).input_tags.pairwise
    for kernel in ("ntk", RBF()):
        tags = get_tags(cls(kernel=kernel))
        assert not tags.input_tags.pairwise and not tags.input_tags.sparse
    assert get_tags(NTKRegressor()).target_tags.multi_output
    assert not get_tags(NTKClassifier()).target_tags.multi_output


@both
def test_feature_names(cls):
    X, y = data()
    frame = pd.DataFrame(X, columns=["width", "height"])
    model = cls().fit(frame, y)
    assert_array_equal(model.feature_names_in_, ["width", "height"])
    assert_array_equal(model.predict(frame), cls().fit(X, y).predict(X))
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame.rename(columns={"width": "depth"}))
    with pytest.raises(ValueError, match="names must be in the same order"):
        model.predict(frame[["height", "width"]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)
    with pytest.raises(ValueError, match=r"3 features, but .* expecting 2"):
        cls().fit(X, y).predict(np.ones((1, 3)))


# --- As a citizen of scikit-learn ----------------------------------------------------------------


@both
@pytest.mark.parametrize(
    "kernel", ["ntk", "precomputed", NTKKernel(1) + RBF(), NTKKernel(1, device="cuda")], ids=str
)
def test_pickle_round_trip(cls, kernel):
    X, y = data()
    X = NTKKernel(1)(X) if kernel == "precomputed" else X
    model = cls(kernel=kernel, activation=Erf(), n_frozen=1).fit(X, y)
    copy = pickle.loads(pickle.dumps(model))
    for found, expected in zip(outputs(copy, X), outputs(model, X), strict=True):
        assert_array_equal(found, expected)
    unfitted = clone(copy)
    assert unfitted.get_params() == cls(kernel=kernel, activation=Erf(), n_frozen=1).get_params()
    assert not hasattr(unfitted, "alpha_")


GRIDS = {
    "depth": (None, {"depth": [0, 1, 3], "activation": ["relu", Erf()]}),
    "kernel": (None, {"kernel": ["ntk", "nngp", RBF(), NTKKernel(1)], "alpha": ["auto", 0.1]}),
    "variances": (None, {"weight_var": [1.0, 2.0], "bias_var": [0.0, 1.0], "n_frozen": [0, 1]}),
    "time": (None, {"training_time": [None, "auto", 0.0, 10.0], "learning_rate": [1.0, 3.0]}),
    "architecture": (None, {"architecture": [None, (Dense(),), (Dense(), "relu", Dense())]}),
    "nested": (NTKKernel(), {"kernel__depth": [0, 1, 3], "kernel__bias_var": [0.1, 1.0]}),
    "sum": (NTKKernel() + RBF(), {"kernel__k1__depth": [0, 2], "kernel__k2__length_scale": [1, 2]}),
}


@pytest.mark.slow
@both
@pytest.mark.parametrize("kernel, grid", GRIDS.values(), ids=GRIDS)
def test_grid_search_reaches_every_parameter(cls, kernel, grid):
    X, y = data(30)
    step = cls.__name__.lower()
    grid = {f"{step}__{name}": values for name, values in grid.items()}
    network = {"kernel": "ntk" if kernel is None else kernel, "activation": "relu"}
    model = make_pipeline(StandardScaler(), cls(**network, features=None))
    scoring = "r2" if cls is NTKRegressor else "neg_log_loss"
    search = GridSearchCV(model, grid, cv=2, scoring=scoring, error_score="raise").fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert len(scores) == np.prod([len(values) for values in grid.values()])
    assert len(set(scores)) > 1
    chosen = search.best_estimator_.get_params()
    assert {name: chosen[name] for name in grid} == search.best_params_


@pytest.mark.slow
@both
def test_weights_are_routed_through_pipeline_and_search(cls, device):
    X, y = data(60)
    weights = np.random.default_rng(0).integers(0, 4, 60).astype(float)
    with config_context(enable_metadata_routing=True):
        estimator = cls(**ONE, features=None, device=device).set_fit_request(sample_weight=True)
        estimator = estimator.set_score_request(sample_weight=True)
        model = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), estimator)
        grid = {f"{cls.__name__.lower()}__depth": [0, 2]}
        search = GridSearchCV(model, grid, cv=3, error_score="raise")
        search.fit(X, y, sample_weight=weights)
    fitted = search.best_estimator_
    scaled = fitted[0].transform(X)
    again = clone(fitted[1]).fit(scaled, y, sample_weight=weights)
    assert_same_model(fitted[1], again, scaled, rtol=0)
    unweighted = clone(fitted[1]).fit(scaled, y)
    assert not np.allclose(outputs(unweighted, scaled)[-1], outputs(again, scaled)[-1])


@both
def test_html_and_text_representation(cls):
    model = cls(depth=3, kernel=NTKKernel(1) + RBF())
    assert "depth=3" in repr(model) and "NTKKernel(depth=1" in repr(model)
    assert repr(cls()) == f"{cls.__name__}()"
    for shown in (model, make_pipeline(StandardScaler(), model.fit(*data()))):
        html = shown._repr_html_()
        assert cls.__name__ in html and "RBF" in html


@both
def test_html_links_to_the_documentation_of_the_metadata(cls, monkeypatch):
    metadata = Message()
    metadata["Project-URL"] = "Source, scheme://source"
    monkeypatch.setattr(_compat, "metadata", lambda name: metadata)
    for address in ("", "scheme://documentation"):
        if address:
            metadata["Project-URL"] = f"Documentation, {address}"
        assert cls()._get_doc_link() == address
        assert ('href="scheme://documentation"' in cls()._repr_html_()) == bool(address)
