"""What both estimators share: kernels, weights and rows."""

import joblib
import numpy as np
import pytest
from both_estimators import assert_same_model, both, data, outputs
from numpy.testing import assert_allclose, assert_array_equal
from plain import PLAIN
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.model_selection import cross_val_score

from sklearn_ntk import NNGPKernel, NTKClassifier, NTKKernel, NTKRegressor
from sklearn_ntk.layers import Dense

pd = pytest.importorskip("pandas")

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
    model = cls(alpha=0.1, **(PLAIN | params)).fit(X, y)
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
    direct = cls(alpha=alpha, **PLAIN).fit(X, y, sample_weight=w)
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
    expected = cross_val_score(cls(**PLAIN), X, y, error_score="raise")
    assert_allclose(found, expected, rtol=1e-6)


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
    assert_array_equal(cls(squash=None).fit(X, [0, 0, 1, 1]).X_fit_, X[::2])
    assert cls().fit(X, [0, 0, 1, 1]).X_fit_.shape == (2, 2)


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


@pytest.mark.slow
@both
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_form_of_the_rows_does_not_matter(cls, form, device):
    X, y = data()
    X = X.astype(np.float32).astype(np.float64)
    network = {"kernel": "ntk", "activation": "relu", "features": None, "device": device}
    model, other = (cls(**network).fit(rows, y) for rows in (form(X), X))
    assert_same_model(model, other, X, rtol=1e-9)
    assert_allclose(model.predict(form(X)), model.predict(X))
    assert model.predict(form(X)).dtype == other.predict(X).dtype


@both
def test_read_only_data_stay_as_they_are(cls, device):
    X, y = data()
    K, weights = NTKKernel(1)(X), np.arange(40.0)
    arrays = (X, y, K, weights)
    kept = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    cls(device=device).fit(X, y, weights).predict(X)
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
    monkeypatch.setattr("sklearn_ntk._runtime.chunks.CHUNK", 90)
    for found, expected in zip(outputs(model, X), whole, strict=True):
        assert_allclose(found, expected, rtol=1e-12)
