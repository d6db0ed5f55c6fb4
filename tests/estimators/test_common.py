"""scikit-learn's own checks of estimators, in full, and what both estimators share beyond them."""

import pickle
from email.message import Message

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_ntk import (
    NNGPKernel,
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

both = pytest.mark.parametrize("cls", [NTKRegressor, NTKClassifier])


@parametrize_with_checks(
    [
        NTKRegressor(),
        NTKClassifier(),
        NTKRegressorCV({"depth": [1, 2]}),
        NTKClassifierCV({"depth": [1, 2]}),
    ]
)
def test_estimator_check(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [
        NTKRegressor(alpha=0.1),
        NTKRegressor(kernel="nngp"),
        NTKRegressor(training_time="auto"),
        NTKRegressor(training_time=100.0),
        NTKClassifier(alpha=0.1),
        NTKClassifier(kernel="nngp"),
        NTKClassifier(training_time="auto"),
        NTKClassifier(training_time=100.0, alpha=0.1),
        NTKClassifier(loss="hinge"),
        NTKClassifier(loss="log_loss", alpha=0.1),
        NTKRegressorCV({"depth": [1, 2]}, cv=3, combine="average"),
        NTKRegressorCV({"depth": [1, 2]}, training_times="auto"),
        NTKClassifierCV({"depth": [1, 2]}, cv=3, scoring="accuracy", combine=None),
        NTKClassifierCV({"depth": [1, 2]}, alphas=None, training_times=[1.0, 100.0], cv=3),
    ]
)
def test_estimator_check_with_parameters(estimator, check):
    check(estimator)


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


# --- Kernels -------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    "params, kernel",
    [
        ({}, NTKKernel()),
        ({"kernel": "nngp", "depth": 1}, NNGPKernel(1)),
        (
            {"activation": "erf", "weight_var": 1.5, "bias_var": 0.3, "n_frozen": 1},
            NTKKernel(2, "erf", 1.5, 0.3, n_frozen=1),
        ),
        (
            {"architecture": (Dense(), "relu", Dense(0.5)), "depth": 9},
            NTKKernel(weight_var=2.0, bias_var=1.0, architecture=(Dense(), "relu", Dense(0.5))),
        ),
    ],
)
def test_flat_parameters_describe_the_kernel(cls, params, kernel):
    X, y = data()
    model = cls(alpha=0.1, **params).fit(X, y)
    assert_array_equal(model.kernel_(X), kernel(X))
    assert_same_model(model, cls(kernel=kernel, alpha=0.1).fit(X, y), X)


@both
@pytest.mark.parametrize("kernel", [NTKKernel(1) * ConstantKernel(0.5), RBF(0.7)], ids=str)
def test_kernel_object_is_cloned_and_left_alone(cls, kernel):
    X, y = data()
    before = clone(kernel)
    model = cls(kernel=kernel).fit(X, y)
    assert model.kernel is kernel and model.kernel_ is not kernel
    assert kernel == before and model.kernel_ == before
    assert_array_equal(model.kernel_(X), kernel(X))
    model.kernel_.theta = model.kernel_.theta + 1.0
    assert kernel == before


@both
def test_kernel_object_ignores_the_flat_parameters(cls):
    X, y = data()
    kernel = NTKKernel(1)
    model = cls(kernel=kernel, depth=7, activation="erf", weight_var=9.0, n_frozen=30).fit(X, y)
    assert_same_model(model, cls(kernel=kernel).fit(X, y), X, rtol=0)
    precomputed = cls(kernel="precomputed", n_frozen=30, activation="none").fit(kernel(X), y)
    assert_allclose(precomputed.predict(kernel(X)), model.predict(X), rtol=1e-8)


@both
@pytest.mark.parametrize("alpha", ["auto", 0.2])
@pytest.mark.parametrize("weights", [None, "even", "zero"])
def test_precomputed_equals_the_kernel_route(cls, alpha, weights):
    X, y = data()
    new = data(15, seed=1)[0]
    rng = np.random.default_rng(0)
    w = {None: None, "even": rng.uniform(0.5, 2, 40), "zero": rng.integers(0, 3, 40) * 1.0}[weights]
    kernel = NTKKernel()
    direct = cls(alpha=alpha).fit(X, y, sample_weight=w)
    precomputed = cls(kernel="precomputed", alpha=alpha).fit(kernel(X), y, sample_weight=w)
    assert precomputed.kernel_ is None and precomputed.n_features_in_ == 40
    assert_allclose(precomputed.alpha_, direct.alpha_, rtol=1e-10)
    K = kernel(new, X)
    for found, expected in zip(outputs(precomputed, K), outputs(direct, new), strict=True):
        assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@both
def test_precomputed_cross_validates(cls):
    X, y = data(60)
    K = NTKKernel()(X)
    found = cross_val_score(cls(kernel="precomputed"), K, y, error_score="raise")
    assert_allclose(found, cross_val_score(cls(), X, y, error_score="raise"), rtol=1e-6)


@both
def test_tags(cls):
    assert get_tags(cls(kernel="precomputed")).input_tags.pairwise
    for kernel in ("ntk", RBF()):
        tags = get_tags(cls(kernel=kernel))
        assert not tags.input_tags.pairwise and not tags.input_tags.sparse
    assert get_tags(NTKRegressor()).target_tags.multi_output
    assert not get_tags(NTKClassifier()).target_tags.multi_output


# --- Weights and rows ----------------------------------------------------------------------------


@both
@pytest.mark.parametrize("alpha", ["auto", 0.3])
@pytest.mark.parametrize("kernel", ["ntk", NNGPKernel(1, bias_var=0.3)], ids=str)
def test_weights_are_repetitions(cls, alpha, kernel):
    X, y = data(30)
    counts = np.random.default_rng(0).integers(0, 4, 30)
    weighted = cls(kernel=kernel, alpha=alpha).fit(X, y, sample_weight=counts)
    rows = np.random.default_rng(1).permutation(np.repeat(np.arange(30), counts))
    repeated = cls(kernel=kernel, alpha=alpha).fit(X[rows], y[rows])
    assert_allclose(repeated.alpha_, weighted.alpha_, rtol=1e-12)
    assert_allclose(repeated.loo_errors_, weighted.loo_errors_, rtol=1e-7)
    assert_same_model(weighted, repeated, data(20, seed=1)[0])
    if cls is NTKClassifier:
        assert_allclose(repeated.temperature_, weighted.temperature_, rtol=1e-4)
    else:
        for name in ("amplitude_", "noise_"):
            assert_allclose(getattr(repeated, name), getattr(weighted, name), rtol=1e-6)


@both
@pytest.mark.parametrize("alpha", ["auto", 0.3])
def test_rows_without_weight_do_not_count(cls, alpha):
    X, y = data(30)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, 30)
    weights[::3] = 0.0
    spoilt = np.where(weights > 0, y, 1 - y)
    some = cls(alpha=alpha).fit(np.where(weights[:, None] > 0, X, 1e6), spoilt, weights)
    kept = weights > 0
    only = cls(alpha=alpha).fit(X[kept], y[kept], weights[kept])
    assert_array_equal(some.X_fit_, only.X_fit_)
    assert_same_model(some, only, X, rtol=1e-12)


@both
def test_equal_weights_are_no_weights(cls):
    X, y = data()
    plain = cls(alpha=0.3).fit(X, y)
    for weights in (np.ones(40), np.ones(40, dtype=int), [1] * 40, 1.0, pd.Series(np.ones(40))):
        assert_same_model(cls(alpha=0.3).fit(X, y, sample_weight=weights), plain, X, rtol=0)
    assert_same_model(cls(alpha=0.6).fit(X, y, np.full(40, 2.0)), plain, X)  # a ridge per weight


@both
def test_selection_does_not_depend_on_the_unit_of_the_weights(cls):
    X, y = data()
    weights = np.random.default_rng(0).uniform(0.5, 2.0, 40)
    model = cls().fit(X, y, sample_weight=weights)
    for factor in (1e-4, 1e4):
        assert_same_model(cls().fit(X, y, sample_weight=factor * weights), model, X, rtol=1e-5)


@both
def test_duplicated_rows_with_conflicting_targets(cls):
    X, y = data(30)
    twice, other = np.vstack([X, X]), np.concatenate([y, 1 - y])
    model = cls().fit(twice, other)
    expected = 0.5 if cls is NTKRegressor else 0.0
    found = model.predict(X) if cls is NTKRegressor else model.decision_function(X)
    assert_allclose(found, expected, atol=1e-9)
    tiny = cls(alpha=0.0).fit(np.vstack([X, X]), np.concatenate([y, y]))
    assert_array_equal(np.round(tiny.predict(X)), y)
    assert len(tiny.X_fit_) == 30


@both
def test_signed_zeros_are_equal(cls):
    X = np.array([[0.0, 1.0], [-0.0, 1.0], [2.0, 0.0], [2.0, -0.0]])
    assert_array_equal(cls().fit(X, [0, 0, 1, 1]).X_fit_, X[::2])


@both
def test_order_of_the_rows_does_not_matter(cls):
    X, y = data()
    order = np.random.default_rng(0).permutation(40)
    assert_same_model(cls().fit(X[order], y[order]), cls().fit(X, y), X)


@both
@pytest.mark.parametrize("alpha", ["auto", 0.1])
def test_fit_is_idempotent_and_changes_no_parameter(cls, alpha):
    X, y = data()
    model = cls(alpha=alpha, architecture=(Dense(), "relu", Dense()))
    before = joblib.hash(model.get_params())
    first = outputs(model.fit(X, y), X)
    other = data(25, seed=3)
    model.fit(np.hstack(2 * [other[0]]), other[1])  # another width
    for found, expected in zip(outputs(model.fit(X, y), X), first, strict=True):
        assert_array_equal(found, expected)
    assert joblib.hash(model.get_params()) == before


FORMS = {
    "float32": lambda X: X.astype(np.float32),
    "fortran": np.asfortranarray,
    "list": np.ndarray.tolist,
    "frame": pd.DataFrame,
    "strided": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
}


@both
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_form_of_the_rows_does_not_matter(cls, form):
    X, y = data()
    X = X.astype(np.float32).astype(np.float64)
    model = cls().fit(form(X), y)
    assert_same_model(model, cls().fit(X, y), X, rtol=1e-9)
    assert_allclose(model.predict(form(X)), model.predict(X))
    assert model.predict(form(X)).dtype == cls().fit(X, y).predict(X).dtype


@both
def test_read_only_data_stay_as_they_are(cls):
    X, y = data()
    K, weights = NTKKernel(1)(X), np.arange(40.0)
    arrays = (X, y, K, weights)
    kept = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    cls().fit(X, y, weights).predict(X)
    cls(kernel="precomputed", alpha=0.1).fit(K, y, weights).predict(K)
    cls(kernel="precomputed").fit(K, y).predict(K)
    for array, copy in zip(arrays, kept, strict=True):
        assert_array_equal(array, copy)


@both
def test_writable_precomputed_matrix_stays_as_it_is(cls):
    X, y = data()
    K = NTKKernel(1)(X)
    for alpha in ("auto", 0.1):
        cls(kernel="precomputed", alpha=alpha).fit(K, y, np.arange(1.0, 41.0)).predict(K)
        assert_array_equal(K, NTKKernel(1)(X))


@both
def test_predictions_in_chunks_are_the_same(cls, monkeypatch):
    X, y = data()
    model = cls().fit(X, y)
    whole = outputs(model, X)
    monkeypatch.setattr("sklearn_ntk.gram._operator.CHUNK", 90)
    for found, expected in zip(outputs(model, X), whole, strict=True):
        assert_allclose(found, expected, rtol=1e-12)


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
@pytest.mark.parametrize("kernel", ["ntk", "precomputed", NTKKernel(1) + RBF()], ids=str)
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


@both
def test_parallel_cross_validation_equals_serial(cls):
    X, y = data(60)
    model = make_pipeline(StandardScaler(), cls(depth=1))
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        found = cross_val_score(model, X, y, cv=2, n_jobs=2, error_score="raise")
    assert_allclose(found, cross_val_score(model, X, y, cv=2, error_score="raise"), rtol=1e-9)


GRIDS = {
    "depth": (None, {"depth": [0, 1, 3], "activation": ["relu", Erf()]}),
    "kernel": (None, {"kernel": ["ntk", "nngp", RBF(), NTKKernel(1)], "alpha": ["auto", 0.1]}),
    "variances": (None, {"weight_var": [1.0, 2.0], "bias_var": [0.0, 1.0], "n_frozen": [0, 1]}),
    "time": (None, {"training_time": [None, "auto", 0.0, 10.0], "learning_rate": [1.0, 3.0]}),
    "architecture": (None, {"architecture": [None, (Dense(),), (Dense(), "relu", Dense())]}),
    "nested": (NTKKernel(), {"kernel__depth": [0, 1, 3], "kernel__bias_var": [0.1, 1.0]}),
    "sum": (NTKKernel() + RBF(), {"kernel__k1__depth": [0, 2], "kernel__k2__length_scale": [1, 2]}),
}


@both
@pytest.mark.parametrize("kernel, grid", GRIDS.values(), ids=GRIDS)
def test_grid_search_reaches_every_parameter(cls, kernel, grid):
    X, y = data(30)
    step = cls.__name__.lower()
    grid = {f"{step}__{name}": values for name, values in grid.items()}
    model = make_pipeline(StandardScaler(), cls() if kernel is None else cls(kernel=kernel))
    scoring = "r2" if cls is NTKRegressor else "neg_log_loss"
    search = GridSearchCV(model, grid, cv=2, scoring=scoring, error_score="raise").fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert len(scores) == np.prod([len(values) for values in grid.values()])
    assert len(set(scores)) > 1
    chosen = search.best_estimator_.get_params()
    assert {name: chosen[name] for name in grid} == search.best_params_


@both
def test_weights_are_routed_through_pipeline_and_search(cls):
    X, y = data(60)
    weights = np.random.default_rng(0).integers(0, 4, 60).astype(float)
    with config_context(enable_metadata_routing=True):
        estimator = cls().set_fit_request(sample_weight=True)
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


# --- Bad input -----------------------------------------------------------------------------------

BAD_PARAMETERS = [
    ({"kernel": "rbf"}, "'kernel' parameter .* must be .*'ntk'.* Got 'rbf'"),
    ({"kernel": rbf_kernel}, "'kernel' parameter .* Got <function rbf_kernel"),
    ({"kernel": NTKKernel}, "'kernel' parameter .* Got <class .*NTKKernel"),
    ({"kernel": None}, "'kernel' parameter .* Got None"),
    ({"depth": 2.5}, "'depth' parameter .* Got 2.5"),
    ({"depth": -1}, "'depth' parameter .* Got -1"),
    ({"depth": True}, "depth must be an integer|'depth' parameter .* Got True"),
    ({"activation": "rellu"}, "Unknown activation 'rellu': choose one of abs, .*relu"),
    ({"weight_var": 0.0}, "'weight_var' parameter .* Got 0.0"),
    ({"weight_var": "2"}, "'weight_var' parameter .* Got '2'"),
    ({"weight_var": np.inf}, "weight_var.* [Gg]ot inf"),
    ({"weight_var": np.nan}, "weight_var.* [Gg]ot nan"),
    ({"bias_var": -0.1}, "'bias_var' parameter .* Got -0.1"),
    ({"n_frozen": -1}, "'n_frozen' parameter .* Got -1"),
    ({"n_frozen": 3}, "n_frozen must be less than .* 3; got 3"),
    ({"architecture": "mlp"}, "'architecture' parameter .* Got 'mlp'"),
    ({"architecture": ("relu", Dense())}, "must follow a layer with weights"),
    ({"alpha": -0.5}, "'alpha' parameter .* Got -0.5"),
    ({"alpha": "best"}, "'alpha' parameter .* Got 'best'"),
    ({"alpha": None}, "'alpha' parameter .* Got None"),
    ({"alpha": np.nan}, "alpha.* [Gg]ot nan"),
    ({"training_time": -1.0}, "'training_time' parameter .* Got -1.0"),
    ({"training_time": np.inf}, "'training_time' parameter .* Got inf"),
    ({"training_time": np.nan}, "'training_time' parameter .* Got nan"),
    ({"training_time": "best"}, "'training_time' parameter .* Got 'best'"),
    ({"training_time": 1.0, "learning_rate": 0.0}, "'learning_rate' parameter .* Got 0.0"),
]


@both
@pytest.mark.parametrize("params, message", BAD_PARAMETERS, ids=[row[1] for row in BAD_PARAMETERS])
def test_bad_parameters_are_named_in_fit(cls, params, message):
    model = clone(cls(**params))
    with pytest.raises(ValueError, match=message):
        model.fit(*data())


@both
@pytest.mark.parametrize("activation", [3, None, Erf], ids=str)
def test_activation_of_another_type_is_refused(cls, activation):
    with pytest.raises(TypeError, match=r"sklearn_ntk\.activations"):
        cls(activation=activation).fit(*data())


BAD_ROWS = [
    ([["a", "b"]] * 40, ValueError, "could not convert string to float: 'a'"),
    (np.ones(40), ValueError, "Expected 2D array, got 1D array"),
    (np.ones((40, 2, 2)), ValueError, "dim 3"),
    (sparse.csr_array(np.ones((40, 2))), TypeError, "[Ss]parse"),
    (np.full((40, 2), np.nan), ValueError, "NaN"),
    (np.full((40, 2), np.inf), ValueError, "infinity"),
    (np.ones((40, 2)) * 1j, ValueError, "Complex data not supported"),
    (np.empty((0, 2)), ValueError, r"0 sample\(s\)"),
    (np.empty((40, 0)), ValueError, r"0 feature\(s\)"),
    (np.ones((39, 2)), ValueError, "inconsistent numbers of samples"),
    (np.full((40, 2), 1e200), ValueError, "overflows.* scale the data"),
]


@both
@pytest.mark.parametrize("X, error, message", BAD_ROWS, ids=[row[2] for row in BAD_ROWS])
def test_bad_rows_are_named(cls, X, error, message):
    good, y = data()
    with pytest.raises(error, match=message):
        cls().fit(X, y)
    if "inconsistent" not in message:
        model = cls().fit(good, y)
        with pytest.raises(error, match=message):
            model.predict(X)


@both
@pytest.mark.parametrize(
    "weights, message",
    [
        (np.full(40, -1.0), "sample_weight must be >= 0; got -1"),
        (np.arange(40) - 0.25, "sample_weight must be >= 0; got -0.25"),
        (np.zeros(40), "all zero: give some row a positive weight|at least one non-zero number"),
        (np.ones(39), "sample_weight.shape == .* expected"),
        (np.ones((40, 2)), "[Ss]ample.weight.* must be 1D"),
        (np.full(40, np.nan), "sample_weight contains NaN"),
        (np.full(40, np.inf), "sample_weight contains infinity"),
    ],
)
def test_bad_weights_are_named(cls, weights, message):
    X, y = data()
    for model, rows in ((cls(), X), (cls(kernel="precomputed"), np.eye(40))):
        with pytest.raises(ValueError, match=message):
            model.fit(rows, y, sample_weight=weights)


@both
def test_bad_precomputed_matrices_are_named(cls):
    X, y = data()
    model = cls(kernel="precomputed")
    with pytest.raises(ValueError, match=r"square matrix in fit; got shape \(40, 2\)"):
        model.fit(X, y)
    with pytest.raises(ValueError, match=r"must be positive definite.* eigenvalue is -2.*alpha"):
        cls(kernel="precomputed", alpha=1.0).fit(np.diag([*np.ones(39), -3.0]), y)
    with pytest.raises(ValueError, match="must be positive definite"):
        cls(kernel="precomputed", alpha=0.5).fit(-np.eye(40), y)
    with pytest.raises(ValueError, match="symmetric in fit; opposite entries differ by up to 1:"):
        model.fit(np.triu(np.ones((40, 40))), y)
    with pytest.raises(ValueError, match=r"2 features, but .* expecting 40"):
        model.fit(NTKKernel()(X), y).predict(X)
