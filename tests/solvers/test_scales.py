"""Results follow the unit of the targets and the zero of their scale; that of weights is free."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_ntk import NTKClassifier, NTKClassifierCV, NTKRegressor, NTKRegressorCV
from sklearn_ntk.solvers._moments import moments
from sklearn_ntk.solvers._units import normalise, safe_product, standardise

GRID = {"depth": [1, 2]}
REGRESSORS = {
    "auto": NTKRegressor(),
    "ridge": NTKRegressor(alpha=0.1),
    "noise of the ridge": NTKRegressor(noise="ridge"),
    "time": NTKRegressor(training_time="auto"),
    "given time": NTKRegressor(training_time=10.0, alpha=0.01),
    "stack": NTKRegressorCV(GRID),
    "average": NTKRegressorCV(GRID, combine="average", training_times="auto"),
    "folds": NTKRegressorCV(GRID, cv=3),
    "r2": NTKRegressorCV(GRID, scoring="r2"),
    "gcv": NTKRegressorCV(GRID, scoring="neg_gcv"),
    "likelihood": NTKRegressorCV(GRID, scoring="log_marginal_likelihood"),
}
CLASSIFIERS = {
    "auto": NTKClassifier(),
    "ridge": NTKClassifier(alpha=0.1),
    "time": NTKClassifier(training_time="auto"),
    "log loss": NTKClassifier(loss="log_loss"),
    "hinge": NTKClassifier(loss="hinge", C=np.inf),
    "stack": NTKClassifierCV(GRID),
}
each_regressor = pytest.mark.parametrize("model", REGRESSORS.values(), ids=REGRESSORS)
each_classifier = pytest.mark.parametrize("model", CLASSIFIERS.values(), ids=CLASSIFIERS)
FACTORS = {1e-305: 0.0, 1e-160: 3.0, -1e-20: 3.0, 1e160: 0.0, -1e300: 3.0}
"""By factor what is added before, so that it is multiplied, too."""
UNITS = (1e-300, 1e300)


def data(n_outputs=None):
    """Rows, of which some are equal, targets, weights, and new rows."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(24, 3))
    X[-4:] = X[:4]
    shape = (24, n_outputs) if n_outputs else 24
    y = np.sin(X[:, 0].reshape(-1, *[1] * (len(np.shape(shape)))))
    y = np.broadcast_to(y, shape) + 0.1 * rng.normal(size=shape)
    return X, y, rng.uniform(0.5, 3.0, 24), rng.normal(size=(6, 3))


@pytest.mark.slow
@each_regressor
def test_unit_of_the_targets(model):
    X, y, weights, new = data()
    mean, std = model.fit(X, y, weights).predict(new, return_std=True)
    for factor, shift in FACTORS.items():
        model.fit(X, factor * y + shift * factor, weights)
        found, spread = model.predict(new, return_std=True)
        assert_allclose((found - shift * factor) / factor, mean, rtol=1e-7, atol=1e-9)
        assert_allclose(spread / abs(factor), std, rtol=1e-5)


@pytest.mark.slow
@each_regressor
def test_zero_of_the_targets(model):
    """A large constant costs the digits that the targets themselves lose."""
    X, y, weights, new = data()
    y = np.round(y * 2.0**20) / 2.0**20
    mean, std = model.fit(X, y, weights).predict(new, return_std=True)
    found, spread = model.fit(X, y + 2.0**30, weights).predict(new, return_std=True)
    assert_allclose(found - 2.0**30, mean, atol=1e-6)
    assert_allclose(spread, std, rtol=1e-5)


@pytest.mark.slow
@each_regressor
def test_unit_of_each_output(model):
    """Predictions of each output have its unit, whichever network the largest ones choose."""
    X, y, weights, new = data(3)
    factors = np.array([1e-160, 1.0, 1e160])
    same, std = model.fit(X, y, weights).predict(new, return_std=True)
    found, spread = model.fit(X, factors * y, weights).predict(new, return_std=True)
    is_scaled = hasattr(model, "alpha") or model.scoring in ("r2", "log_marginal_likelihood")
    tolerance = 1e-6 if is_scaled else 0.3
    assert_allclose(found / factors, same, rtol=tolerance, atol=tolerance)
    assert_allclose(spread / factors, std, rtol=1e-5 if is_scaled else 2.0)


@pytest.mark.parametrize("model", [NTKRegressor(), NTKRegressorCV(GRID)], ids=str)
def test_covariance(model):
    X, y, _, new = data()
    cov = model.fit(X, y).predict(new, return_cov=True)[1]
    for factor in (1e-140, 1e140):
        found = model.fit(X, factor * y).predict(new, return_cov=True)[1]
        assert_allclose(found / factor / factor, cov, rtol=1e-6, atol=1e-12)
    model.fit(X, 1e160 * y)
    with pytest.raises(ValueError, match=r"predictions that reach \S+e\+1.. overflows: scale"):
        model.predict(new, return_cov=True)


def test_what_the_unit_of_the_targets_does_to_attributes():
    X, y, weights, _ = data(2)
    model, other = NTKRegressor().fit(X, y, weights), NTKRegressor().fit(X, 8.0 * y, weights)
    assert_array_equal(other.loo_errors_, model.loo_errors_)
    assert other.alpha_ == model.alpha_
    assert_array_equal(other.dual_coef_, 8.0 * model.dual_coef_)
    assert_array_equal(other.intercept_, 8.0 * model.intercept_)
    assert_array_equal(other.amplitude_, 64.0 * model.amplitude_)
    assert_array_equal(other.noise_, 64.0 * model.noise_)
    large = NTKRegressor().fit(X, 1e160 * y, weights)
    assert np.all(np.isposinf(large.amplitude_))
    assert_allclose(large.alpha_, model.alpha_, rtol=1e-12)  # features are rounded otherwise


@pytest.mark.parametrize("scoring", ["neg_mean_squared_error", "neg_gcv", "r2"])
def test_scores_have_the_unit_of_the_targets(scoring):
    X, y, weights, _ = data()
    first, second, huge = (
        NTKRegressorCV(GRID, scoring=scoring).fit(X, factor * y, weights)
        for factor in (1.0, 1e10, 1e160)
    )
    square = 1.0 if scoring == "r2" else 1e20
    scores = first.cv_results_["mean_test_score"]
    assert_allclose(second.cv_results_["mean_test_score"], square * scores, rtol=1e-9)
    assert huge.best_params_ == second.best_params_ == first.best_params_
    assert huge.best_score_ == (first.best_score_ if scoring == "r2" else -np.inf) or np.isclose(
        huge.best_score_, first.best_score_
    )


@pytest.mark.parametrize("scoring", ["r2", "log_marginal_likelihood"])
def test_scores_of_outputs_of_very_different_size(scoring):
    X, y, weights, _ = data(2)
    search = NTKRegressorCV({"depth": [1]}, scoring=scoring)

    def score(*units):
        found = search.fit(X, y * units, weights).best_score_
        return found if scoring == "r2" else found + 19.0 * np.log(units).sum()

    assert_allclose([score(1.0, 1e-200), score(1e-300, 1e200)], score(1.0, 1.0), rtol=1e-9)
    constant = np.column_stack([y[:, 0], np.full(24, 1e300)])
    found, alone = (search.fit(X, Y, weights).best_score_ for Y in (constant, y[:, 0]))
    assert_allclose(found, 0.5 * alone if scoring == "r2" else alone, rtol=1e-9)


@pytest.mark.parametrize("cls", [NTKRegressorCV, NTKClassifierCV])
def test_likelihood_is_a_density_of_the_targets(cls):
    X, y, weights, _ = data()
    y = y if cls is NTKRegressorCV else y > 0.0
    search = cls(GRID, scoring="log_marginal_likelihood")
    first = search.fit(X, y, weights).best_score_
    assert_allclose(search.fit(X, y, 1e100 * weights).best_score_, first, rtol=1e-9)
    if cls is NTKRegressorCV:  # of 19 differences of 20 distinct rows
        found, expected = (search.fit(X, unit * y).best_score_ for unit in (1e3, 1.0))
        assert_allclose(found + 19.0 * np.log(1e3), expected)


@pytest.mark.slow
@each_regressor
def test_unit_of_the_weights_of_regressors(model):
    X, y, weights, new = data()
    ridge = getattr(model, "alpha", "auto")
    expected = model.fit(X, y, weights).predict(new, return_std=True)
    score = getattr(model, "best_score_", 0.0)
    for unit in UNITS:
        if ridge != "auto":
            model.set_params(alpha=ridge * unit)
        found = model.fit(X, y, unit * weights).predict(new, return_std=True)
        assert_allclose(found, expected, rtol=1e-6)
        assert_allclose(getattr(model, "best_score_", 0.0), score, rtol=1e-9)
    if ridge != "auto":
        model.set_params(alpha=ridge)


@pytest.mark.slow
@each_classifier
@pytest.mark.parametrize("n_classes", [2, 3])
def test_unit_of_the_weights_of_classifiers(model, n_classes):
    X, y, weights, new = data()
    y = np.digitize(y, [0.0, 0.5][: n_classes - 1])
    ridge = getattr(model, "alpha", "auto")
    expected = model.fit(X, y, weights).decision_function(new)
    for unit in UNITS:
        if ridge != "auto":
            model.set_params(alpha=ridge * unit)
        assert_allclose(model.fit(X, y, unit * weights).decision_function(new), expected, rtol=1e-5)
    if ridge != "auto":
        model.set_params(alpha=ridge)


@each_regressor
def test_weights_of_very_different_size(model):
    """Rows of next to no weight are as good as absent."""
    X, y, _, new = data()
    light = np.where(np.arange(24) < 4, 1e-300, 1.0)
    found = model.fit(X[:20], y[:20], light[:20]).predict(new, return_std=True)
    assert np.all(np.isfinite(found))
    if getattr(model, "alpha", "auto") != "auto":  # the default depends on the number of rows
        assert_allclose(found[0], model.fit(X[4:20], y[4:20]).predict(new), rtol=1e-7)


# --- The parts ------------------------------------------------------------------------------------


def test_standardised_targets():
    Y = np.array([[3e-320, 1e308, 0.1, 0.0], [1e-320, -1e308, 0.1, 0.0], [9.0, 9.0, 9.0, 9.0]])
    weights = np.array([1.0, 1.0, 0.0])
    found, units = standardise(Y, weights)
    assert_array_equal(found[:2, 2:], 0.0)
    assert_allclose(np.abs(found[:2, :2]).max(axis=0), [0.75, 0.75], atol=0.26)
    assert_array_equal(units.values(found[:2]), Y[:2])


@pytest.mark.parametrize("k", [1, 2, 3])
def test_constant_columns_of_many_rows_are_zero(k):
    Y = np.column_stack([np.full((20_000, k), 0.1), np.arange(20_000.0)])
    for columns in (Y, Y[:, :k]):
        for weights in (np.ones(20_000), np.linspace(0.5, 2.0, 20_000)):
            means, found = moments(columns, weights)
            assert_array_equal(found[:k], 0.0)
            assert_array_equal(means[:k], 0.1)
            assert_array_equal(standardise(columns, weights)[0][:, :k], 0.0)


def test_moments_do_not_depend_on_rows_of_hardly_any_weight():
    Y, weights = np.array([[1e16], [1.0], [2.0], [3.0], [4.0]]), np.array([1e-40, 1, 1, 1, 1])
    for order in (slice(None), slice(None, None, -1)):
        assert_allclose(moments(Y[order], weights[order]), [[2.5], [1.25]])


@pytest.mark.slow
def test_extremes():
    """Targets and weights at the ends of all numbers, and with ratios beyond them."""
    X, y, _, _ = data()
    mixed = 10.0 ** np.random.default_rng(1).uniform(-300.0, 300.0, 24)
    for weights, sizes in (
        (None, (1e-323, 1e308)),
        (np.full(24, 1.7e308), (1e308,)),
        (np.full(24, 5e-324), (1e-323,)),
        (mixed, (1e308,)),
    ):
        for model in (NTKRegressor(), NTKRegressor(training_time=1.0), NTKRegressorCV(GRID)):
            for size in sizes:
                model.fit(X, size * y / np.abs(y).max(), weights)
                assert np.all(np.isfinite(model.predict(X)))
        for loss in ("squared_error", "hinge", "log_loss"):
            model = NTKClassifier(loss=loss).fit(X, y > 0.3, weights)
            assert np.all(np.isfinite(model.decision_function(X)))


def test_weights_of_classes_and_rows_that_overflow():
    X, y, _, _ = data()
    model = NTKClassifier(class_weight={0: 1.0, 1: 1e300})
    with pytest.raises(ValueError, match=r"finite; got 1e\+200 times 1e\+300: take smaller weig"):
        model.fit(X, (y > 0.0).astype(int), np.full(24, 1e200))
    balanced = NTKClassifier(class_weight="balanced").fit(X, y > 0.0, np.full(24, 1e307))
    assert np.all(np.isfinite(balanced.decision_function(X)))


def test_normalised_weights():
    assert_array_equal(normalise(np.array([1e300, 1e-300]))[0] > 0.0, [True, False])
    for exponent in (-1060, -3, 0, 1, 900):
        weights = np.ldexp([1.5, 0.75], exponent)
        found, unit = normalise(weights)
        assert unit % 2 == 0 and 0.5 <= found.max() < 2.0
        assert_array_equal(np.ldexp(found, unit), weights)


def test_product_beyond_all_numbers():
    K, one = np.ldexp([[1.0, 1.0], [0.0, 2.0], [1.0, 0.0]], [[1000], [0], [1000]]), 2.0**50
    B = np.array([[one, -one], [-one, 0.0]])
    largest = np.finfo(float).max
    assert_array_equal(
        safe_product(K, B), [[0.0, -largest], [-2.0 * one, 0.0], [largest, -largest]]
    )


@pytest.mark.slow
@pytest.mark.parametrize("how", [{}, {"alpha": 0.0}, {"training_time": "auto"}])
@pytest.mark.parametrize("exponent", [-1000, 900])
def test_kernels_of_any_size(how, exponent):
    """What is chosen for a kernel, and its uncertainty, do not depend on its unit."""
    X, noise = np.split(np.random.default_rng(0).standard_normal((30, 4)), [3], axis=1)
    y = X[:, 0] + 0.3 * noise[:, 0]
    model = NTKRegressor(depth=1, activation="relu", weight_var=2.0, bias_var=0.0, **how)
    expected = model.fit(X, y).predict(1.1 * X[:5], return_std=True)
    model.set_params(weight_var=2.0 ** (1 + exponent // 2))
    found = model.fit(X, y).predict(1.1 * X[:5], return_std=True)
    assert_allclose(found, expected, rtol=1e-8)
