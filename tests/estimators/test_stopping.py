"""Stopping times in the estimators: parameter of one network, candidates of a choice."""

import numpy as np
import pytest
from memory import set_free
from numpy.testing import assert_allclose, assert_array_equal
from plain import PLAIN
from scipy.special import softmax
from sklearn.base import clone
from sklearn.datasets import load_wine, make_friedman1
from sklearn.model_selection import GridSearchCV, KFold, LeaveOneOut, cross_val_predict
from sklearn.preprocessing import scale

from sklearn_ntk import NTKClassifier, NTKClassifierCV, NTKKernel, NTKRegressor, NTKRegressorCV
from sklearn_ntk.dynamics import Descent, HeavyBall, LogLossTraining, Nesterov, Training
from sklearn_ntk.model_selection._grid import FIXED
from sklearn_ntk.solvers import RELATIVE_RIDGES

pd = pytest.importorskip("pandas")

both = pytest.mark.parametrize("cls", [NTKRegressor, NTKClassifier])
both_cv = pytest.mark.parametrize("cls", [NTKRegressorCV, NTKClassifierCV])
TIMES = [1.0, 30.0, 1000.0]


def numbers(n=40, noise=1.0, seed=0):
    X, y = make_friedman1(n, random_state=seed, noise=noise)
    return (X - 0.5) * np.sqrt(12.0), y


def data_of(cls, n=40):
    if issubclass(cls, NTKRegressor | NTKRegressorCV):
        return numbers(n)
    X, y = load_wine(return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(X))[:n]
    return scale(X)[rows], y[rows]


def scores_of(model, X):
    return model.predict(X) if hasattr(model, "amplitude_") else model.decision_function(X)


# --- One network ----------------------------------------------------------------------------------


@pytest.mark.slow
@both
def test_ends_of_time(cls):
    X, y = data_of(cls)
    times, dense = (0.0, 1e-9, 1e15), {"column_layers": 0}  # others are not without a ridge
    start, early, late = (cls(training_time=t, **dense).fit(X, y) for t in times)
    mean = np.mean(y) if cls is NTKRegressor else np.mean(y[:, None] == start.classes_, axis=0)
    for model in (start, early):
        found = scores_of(model, X)
        assert_allclose(found, np.broadcast_to(mean, found.shape), rtol=1e-6)
    assert_allclose(
        scores_of(late, X[::-1] + 0.1), scores_of(cls(alpha=0, **dense).fit(X, y), X[::-1] + 0.1)
    )
    ridge, decayed = (cls(alpha=0.5, training_time=t).fit(X, y) for t in (None, 1e15))
    assert_allclose(scores_of(decayed, X + 0.1), scores_of(ridge, X + 0.1), rtol=1e-7, atol=1e-9)
    if cls is NTKClassifier:
        assert_allclose(decayed.temperature_, ridge.temperature_, rtol=1e-4)


def test_uncertainty_tends_to_the_posterior():
    X, y = numbers()
    new = numbers(20, seed=1)[0]
    ridge, late = (NTKRegressor(alpha=0.5, training_time=t).fit(X, y) for t in (None, 1e15))
    for name in ("amplitude_", "noise_"):
        assert_allclose(getattr(late, name), getattr(ridge, name), rtol=1e-5)
    for part in ({"return_std": True}, {"return_cov": True}):
        for found, expected in zip(
            late.predict(new, **part), ridge.predict(new, **part), strict=True
        ):
            assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("time", ["auto", 0.0, 100.0])
def test_uncertainty_of_trained_networks(time):
    X, Y = numbers(80)
    Y = np.stack([Y, 100.0 * Y[::-1]], axis=1)
    model = NTKRegressor(training_time=time).fit(X, Y)
    new, y = numbers(300, seed=1)
    mean, std = model.predict(new, return_std=True)
    cov = model.predict(new, return_cov=True)[1]
    assert mean.shape == std.shape == (300, 2) and cov.shape == (300, 300, 2)
    assert_allclose(np.sqrt(np.einsum("iij->ij", cov)), std, rtol=1e-6)
    assert np.linalg.eigvalsh(cov[..., 0])[0] > -1e-9 * cov[..., 0].max()
    away = np.abs(y - mean[:, 0]) / std[:, 0]
    assert 0.85 < np.mean(away < 1.96) and 0.4 < np.mean(away < 1.0) < 0.9


@pytest.mark.slow
@both
@pytest.mark.parametrize("time", ["auto", 100.0])
def test_weights_are_repetitions(cls, time):
    X, y = data_of(cls)
    counts = np.random.default_rng(0).integers(0, 4, len(y))
    rows = np.random.default_rng(1).permutation(np.repeat(np.arange(len(y)), counts))
    weighted = cls(training_time=time).fit(X, y, sample_weight=counts)
    repeated = cls(training_time=time).fit(X[rows], y[rows])
    assert_allclose(repeated.training_time_, weighted.training_time_, rtol=1e-12)
    assert_allclose(repeated.loo_errors_, weighted.loo_errors_, rtol=1e-7)
    assert_allclose(scores_of(repeated, X), scores_of(weighted, X), rtol=1e-7, atol=1e-9)


@both
@pytest.mark.parametrize("time", ["auto", 100.0])
def test_precomputed_equals_the_kernel_route(cls, time):
    X, y = data_of(cls)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(y)) * (np.arange(len(y)) > 3)
    kernel = NTKKernel()
    direct = cls(training_time=time, **PLAIN).fit(X, y, weights)
    found = cls("precomputed", training_time=time).fit(kernel(X), y, weights)
    assert_allclose(found.training_time_, direct.training_time_, rtol=1e-10)
    K = kernel(X + 0.1, X)
    assert_allclose(scores_of(found, K), scores_of(direct, X + 0.1), rtol=1e-7, atol=1e-9)


@pytest.mark.slow
@both
def test_outputs_and_attributes(cls):
    X, y = data_of(cls)
    plain = {"features": None} if cls is NTKRegressor else {}
    model = cls(training_time="auto", learning_rate=10.0, **plain).fit(X, y)
    slow = cls(training_time="auto", **plain).fit(X, y)
    assert_allclose(10.0 * model.training_times_, slow.training_times_)
    assert_allclose(model.loo_errors_, slow.loo_errors_, rtol=1e-9)
    (chosen,) = model.loo_errors_[model.training_times_ == model.training_time_]
    assert chosen <= (1.0 + 1e-8) * model.loo_errors_.min()  # late times may be alike
    assert model.alpha_ == 0.0 and len(model.loo_errors_) == len(RELATIVE_RIDGES)
    same = cls(training_time=model.training_time_, learning_rate=10.0, **plain).fit(X, y)
    assert_allclose(scores_of(same, X), scores_of(model, X))
    assert len(same.loo_errors_) == 0
    model.set_params(training_time=None).fit(X, y)
    assert model.training_time_ is None and len(model.training_times_) == 0
    assert_allclose(scores_of(model, X), scores_of(cls(**plain).fit(X, y), X), rtol=0)


def test_outputs_are_trained_apart():
    X, y = numbers()
    Y = np.stack([y, np.sin(y), 100.0 - y], axis=1)
    model = NTKRegressor("ntk", activation="relu", training_time=50.0)
    found = model.fit(X, Y).predict(X)
    for column, target in zip(found.T, Y.T, strict=True):
        assert_allclose(column, model.fit(X, target).predict(X))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_stopping_helps_where_there_is_noise(seed):
    X, y = numbers(150, noise=5.0, seed=seed)
    new, clean = numbers(500, noise=0.0, seed=seed + 100)
    stopped, ridge, interpolated = (
        NTKRegressor("ntk", activation="relu", **given).fit(X, y).score(new, clean)
        for given in ({"training_time": "auto"}, {}, {"alpha": 1e-8})
    )
    assert stopped > interpolated + 0.05 and stopped > ridge - 0.03


@pytest.mark.parametrize("n_classes", [2, 3])
def test_log_loss_in_time(n_classes):
    X, y = data_of(NTKClassifier)
    X, y = X[y < n_classes], y[y < n_classes]
    model = NTKClassifier("ntk", loss="log_loss", training_time=20.0, learning_rate=0.5).fit(X, y)
    training = LogLossTraining(model.kernel_(model.X_fit_), learning_rate=0.5)
    new = X[:5] + 0.1
    cross = model.kernel_(model._rows(new), model.X_fit_)
    scores = training.predict(cross, np.eye(n_classes)[y], 20.0 * (1 if n_classes > 2 else 0.5))
    assert_allclose(model.predict_proba(new), softmax(scores, axis=1), rtol=1e-6)
    assert model.training_time_ == 20.0 and model.temperature_ == 1.0 and model.alpha_ == 0.0
    weights = 1 + np.arange(len(y)) % 3
    parts = {"training_time": 5.0, "alpha": 0.2}
    weighted = NTKClassifier("ntk", loss="log_loss", **parts).fit(X, y, 4.0 * weights)
    repeated = NTKClassifier("ntk", loss="log_loss", **parts | {"alpha": 0.05})
    repeated.fit(np.repeat(X, weights, axis=0), np.repeat(y, weights))
    assert_allclose(weighted.predict_proba(new), repeated.predict_proba(new), rtol=1e-6)
    ends = [NTKClassifier("ntk", loss="log_loss", alpha=0.3, training_time=t) for t in (None, 1e9)]
    P, expected = (end.fit(X, y).predict_proba(new) for end in ends)
    assert_allclose(P, expected, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_stages_of_classes_are_fits(loss, n_classes):
    X, y = data_of(NTKClassifier)
    X, y = X[y < n_classes], y[y < n_classes]
    given = {"loss": loss, "alpha": 0.3, "learning_rate": 0.5, "features": None}
    model = NTKClassifier(**given).fit(X, y, 1.0 + y)
    times = [30.0, 0.5]
    scores, labels = (
        stage(X + 0.1, times) for stage in (model.staged_decision_function, model.staged_predict)
    )
    for time, found, label in zip(times, scores, labels, strict=True):
        single = NTKClassifier(**given, training_time=time).fit(X, y, 1.0 + y)
        assert_allclose(found, single.decision_function(X + 0.1), rtol=1e-6, atol=1e-8)
        assert_array_equal(label, single.predict(X + 0.1))
    with pytest.raises(ValueError, match="need loss='squared_error' or 'log_loss'; got loss='hin"):
        NTKClassifier(loss="hinge").fit(X, y).staged_predict(X, times)


def test_losses_without_training_in_time():
    X, y = data_of(NTKClassifier)
    message = "training_time needs loss='squared_error' or 'log_loss'.* got loss='hinge': leave"
    with pytest.raises(ValueError, match=message):
        NTKClassifier("ntk", loss="hinge", training_time=1.0).fit(X, y)
    model = NTKClassifier("ntk", loss="log_loss")
    for given in ({"training_time": "auto"}, {"training_time": 3, "optimizer": "descent"}):
        with pytest.raises(ValueError, match="is trained by optimizer='flow' until a given train"):
            clone(model).set_params(**given).fit(X, y)


@pytest.mark.slow
def test_memory(monkeypatch):
    set_free(monkeypatch, 23e6)
    X = np.random.default_rng(0).standard_normal((900, 2))
    NTKRegressor("ntk", activation="relu").fit(X, X[:, 0])
    with pytest.raises(MemoryError, match=r"fit of 900 distinct rows needs 0\.0266 GB"):
        NTKRegressor("ntk", activation="relu", training_time=1.0).fit(X, X[:, 0])


# --- Candidates -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
def test_leave_one_out_is_refitting(weighted):
    X, y = numbers(12)
    weights = np.random.default_rng(0).uniform(0.3, 5.0, 12) if weighted else np.ones(12)
    search = NTKRegressorCV({"depth": [1]}, alphas=[0.1], training_times=TIMES, squash=None)
    search.fit(X, y, weights)
    scores = search.cv_results_["mean_test_score"]
    for time in TIMES:
        model, errors = NTKRegressor(depth=1, training_time=time, **PLAIN), []
        for train, test in LeaveOneOut().split(X):
            model.fit(X[train], y[train], weights[train])
            errors.append((y[test] - model.predict(X[test])) ** 2)
        expected = -np.average(np.ravel(errors), weights=weights)
        place = search.cv_results_["params"].index(FIXED | {"depth": 1, "training_time": time})
        assert_allclose(scores[place], expected, rtol=1e-8)


def test_leave_one_out_of_classes_is_refitting():
    X, y = data_of(NTKClassifierCV)
    options = {"alphas": None, "training_times": [30.0], "combine": None, "squash": None}
    model = NTKClassifier("ntk", depth=1, training_time=30.0, squash=None)
    scores = cross_val_predict(model, X, y, cv=LeaveOneOut(), method="decision_function")
    expected = {
        "accuracy": np.mean(scores.argmax(axis=1) == y),
        "neg_mean_squared_error": -np.mean((np.eye(3)[y] - scores) ** 2),
    }
    for scoring, value in expected.items():
        search = NTKClassifierCV({"depth": [1]}, scoring=scoring, **options).fit(X, y)
        assert_allclose(search.best_score_, value, rtol=1e-8)
    assert_allclose(search.temperature_, model.fit(X, y).temperature_, rtol=1e-6)


@pytest.mark.slow
@both_cv
def test_folds_are_those_of_a_grid_search(cls):
    X, y = data_of(cls)
    folds = KFold(4, shuffle=True, random_state=0)
    scoring = "r2" if cls is NTKRegressorCV else "neg_log_loss"
    options = {"alphas": None, "training_times": TIMES, "squash": None}
    mine = cls({"depth": [1, 3]}, cv=folds, scoring=scoring, **options).fit(X, y)
    grid = {"depth": [1, 3], "training_time": TIMES}
    other = GridSearchCV(mine._base(**PLAIN), grid, cv=folds, scoring=scoring).fit(X, y)
    assert mine.best_params_ == FIXED | other.best_params_
    places = [mine.cv_results_["params"].index(FIXED | one) for one in other.cv_results_["params"]]
    for name in ("split0_test_score", "mean_test_score", "std_test_score"):
        found, expected = mine.cv_results_[name][places], other.cv_results_[name]
        assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@both_cv
@pytest.mark.parametrize("cv", [None, 3])
def test_lines_are_ridges_and_times(cls, cv):
    X, y = data_of(cls)
    search = cls({"depth": [1, 2]}, alphas=[0.1, 1.0], training_times=TIMES, cv=cv).fit(X, y)
    results = pd.DataFrame(search.cv_results_)
    assert len(results) == 2 * (2 + 3)
    assert results["param_training_time"].notna().sum() == 6
    assert results["param_alpha"].notna().sum() == 4
    for params in results["params"]:
        assert ("alpha" in params) != ("training_time" in params)
    assert results["params"][search.best_index_] == search.best_params_
    assert results["mean_test_score"][search.best_index_] == search.best_score_
    assert results["rank_test_score"][search.best_index_] == 1
    ridges = cls({"depth": [1, 2]}, alphas=[0.1, 1.0], cv=cv).fit(X, y)
    kept = results["param_alpha"].notna()
    assert_array_equal(results["mean_test_score"][kept], ridges.cv_results_["mean_test_score"])


@both_cv
@pytest.mark.parametrize("combine", ["stack", "average", None])
@pytest.mark.parametrize("scoring", ["neg_mean_squared_error", "neg_gcv"])
def test_members_are_stopped(cls, combine, scoring):
    X, y = data_of(cls)
    options = {"alphas": None, "training_times": "auto", "combine": combine, "scoring": scoring}
    search = cls({"depth": [1, 2]}, **options).fit(X, y)
    assert len(search.cv_results_["params"]) == 2 * len(RELATIVE_RIDGES)
    assert all(model.training_time_ > 0.0 for model in search.estimators_)
    assert search.weights_.sum() == pytest.approx(1.0)
    parts = [scores_of(model, X) for model in search.estimators_]
    found = search.predict(X) if cls is NTKRegressorCV else search.decision_function(X)
    assert_allclose(found, np.tensordot(search.weights_, parts, 1), rtol=1e-9)
    if combine is None:
        alone = search._base(**search.best_params_).fit(X, y)
        assert_allclose(found, scores_of(alone, X), rtol=1e-9)
    if cls is NTKRegressorCV:
        assert np.all(search.predict(X, return_std=True)[1] > 0.0)


@both_cv
def test_weights_of_candidates_are_repetitions(cls):
    X, y = data_of(cls)
    counts = np.random.default_rng(1).integers(0, 3, len(y))
    rows = np.repeat(np.arange(len(y)), counts)
    weighted = cls({"depth": [1, 2]}, training_times="auto").fit(X, y, counts)
    repeated = cls({"depth": [1, 2]}, training_times="auto").fit(X[rows], y[rows])
    assert_allclose(weighted.best_score_, repeated.best_score_, rtol=1e-8)
    assert_allclose(weighted.weights_, repeated.weights_, rtol=1e-5)


@pytest.mark.parametrize("cv", [None, 5])
def test_choice_of_a_time_is_about_as_good_as_that_of_a_ridge(cv):
    X, y = numbers(150, noise=5.0)
    new, clean = numbers(500, noise=0.0, seed=1)
    times, ridges, none = (
        NTKRegressorCV({"depth": [1, 2]}, cv=cv, **options).fit(X, y).score(new, clean)
        for options in ({"alphas": None, "training_times": "auto"}, {}, {"alphas": [1e-8]})
    )
    assert times > none + 0.05 and abs(times - ridges) < 0.05


@both_cv
@pytest.mark.parametrize(
    "params, message",
    [
        ({"training_times": []}, "training_times must be finite numbers >= 0"),
        ({"training_times": [1.0, -2.0]}, "training_times must be finite numbers >= 0; got"),
        ({"training_times": [np.inf]}, "training_times must be finite numbers >= 0"),
        ({"training_times": "best"}, "'training_times' parameter"),
        ({"alphas": None}, "must not both be None"),
        ({"param_grid": {"training_time": [1.0]}}, "'training_time'.* Times are training_times"),
        (
            {"training_times": "auto", "scoring": "log_marginal_likelihood"},
            "scoring='log_marginal_likelihood' is not defined for training_times: choose another",
        ),
    ],
    ids=str,
)
def test_bad_parameters(cls, params, message):
    X, y = data_of(cls)
    with pytest.raises(ValueError, match=message):
        cls(**params).fit(X, y)


# --- Steps ----------------------------------------------------------------------------------------

steps = pytest.mark.parametrize("optimizer", ["descent", "heavy_ball", "nesterov"])


def largest_rate(model, method):
    weights = np.ones(len(model.X_fit_))
    return Training(model.kernel_(model.X_fit_), weights, method=method).max_learning_rate


@both
@steps
def test_steps_are_those_of_training(cls, optimizer):
    X, y = data_of(cls)
    plain = {"kernel": "ntk", "activation": "relu", "features": None}
    method = {"descent": Descent(), "heavy_ball": HeavyBall(0.8), "nesterov": Nesterov(0.8)}
    rate = 0.5 * largest_rate(cls(**plain).fit(X, y), method[optimizer])
    chosen = {"optimizer": optimizer, "momentum": 0.8, "learning_rate": rate}
    model = cls(**plain, **chosen, training_time=30).fit(X, y)
    training = Training(model.kernel_(model.X_fit_), learning_rate=rate, method=method[optimizer])
    Y = y if cls is NTKRegressor else np.eye(3)[np.searchsorted(model.classes_, y)]
    cross = model.kernel_(model._rows(X[:5] + 0.1), model.X_fit_)
    assert_allclose(scores_of(model, X[:5] + 0.1), training.predict(cross, Y, 30), rtol=1e-9)
    auto = cls(**plain, **chosen, training_time="auto").fit(X, y)
    assert_array_equal(auto.training_times_, np.round(auto.training_times_))
    assert (
        auto.loo_errors_.min()
        < 1.05 * cls(**plain, training_time="auto").fit(X, y).loo_errors_.min()
    )
    if cls is NTKRegressor:
        for model in (
            auto,
            cls(**plain, **chosen, training_time=30, uncertainty="ensemble").fit(X, y),
        ):
            std = model.predict(X[:5] + 0.1, return_std=True)[1]
            assert np.all((std > 0.0) & (std < 3.0 * y.std()))
            low, high = model.predict_interval(X[:5] + 0.1, method="jackknife+").T
            assert np.all(low < high)
        last = list(auto.staged_predict(X[:5], [0, auto.training_time_]))[1]
        assert_allclose(last, auto.predict(X[:5]), rtol=1e-9)


@pytest.mark.parametrize("optimizer", ["heavy_ball", "nesterov"])
def test_uncertainty_after_steps_that_overshoot(optimizer):
    """Early steps of a stable rate may leave more than there was to learn."""
    X, y = numbers()
    plain = {"kernel": "ntk", "activation": "relu", "features": None, "alpha": 0.1}
    method = {"heavy_ball": HeavyBall(), "nesterov": Nesterov()}[optimizer]
    rate = 0.9 * largest_rate(NTKRegressor(**plain).fit(X, y), method)
    model = NTKRegressor(**plain, optimizer=optimizer, learning_rate=rate, training_time=1)
    _, std = model.fit(X, y).predict(X[:5] + 0.1, return_std=True)
    _, cov = model.predict(X[:5] + 0.1, return_cov=True)
    assert_allclose(np.sqrt(cov.diagonal()), std, rtol=1e-9)


def test_stages_of_classes_do_not_depend_on_parameters_that_change_later():
    X, y = data_of(NTKClassifier)
    for given in ({"optimizer": "nesterov"}, {"loss": "log_loss"}):
        model = NTKClassifier("ntk", activation="relu", training_time=7, learning_rate=0.1, **given)
        labels_then = model.fit(X, y).predict(X)
        model.set_params(optimizer="flow", learning_rate=1e-3)
        assert_array_equal(next(model.staged_predict(X, [7])), labels_then)


def test_steps_that_are_refused():
    X, y = numbers()
    model = NTKRegressor("ntk", activation="relu", optimizer="descent", training_time=2.5)
    with pytest.raises(ValueError, match=r"whole number of steps for Descent\(\); got 2\.5"):
        model.fit(X, y)
    fast = {"learning_rate": 1e3, "optimizer": "heavy_ball"}
    with pytest.warns(RuntimeWarning, match=r"beyond the largest stable one for HeavyBall\(\)"):
        model.set_params(**fast, training_time=1).fit(X, y)
    model.predict(X, return_std=True)  # which does not say it again
    with (
        pytest.warns(RuntimeWarning, match="beyond the largest stable one"),
        pytest.raises(ValueError, match="must not diverge"),
    ):
        model.set_params(training_time="auto").fit(X, y)
    model.set_params(training_time=None).fit(X, y)  # to the end, however that is reached
    with pytest.raises(ValueError, match="'optimizer' parameter of NTKRegressor must be a str"):
        model.set_params(optimizer="adam").fit(X, y)
