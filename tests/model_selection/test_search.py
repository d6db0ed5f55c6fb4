"""The choice is the best of the candidates, and what a search refuses."""

import numpy as np
import pytest
from memory import set_free
from numpy.testing import assert_allclose, assert_array_equal
from searches import GRID, both, classes, data_of, numbers
from sklearn.model_selection import KFold
from sklearn.utils.class_weight import compute_sample_weight

from sklearn_ntk import (
    NNGPKernel,
    NTKClassifier,
    NTKClassifierCV,
    NTKRegressor,
    NTKRegressorCV,
)
from sklearn_ntk.architectures import resmlp
from sklearn_ntk.estimators import _choice_of_solver
from sklearn_ntk.model_selection import _search
from sklearn_ntk.solvers import _exact
from sklearn_ntk.solvers import _ridge as solvers
from sklearn_ntk.solvers._scoring import SCORES

pd = pytest.importorskip("pandas")


@both
def test_choice_is_the_best_line(cls):
    X, y = data_of(cls)
    search = cls(GRID, combine=None).fit(X, y)
    results = search.cv_results_
    k = search.best_index_
    assert results["params"][k] == search.best_params_
    assert search.best_score_ == results["mean_test_score"][k] == results["mean_test_score"].max()
    assert results["rank_test_score"][k] == 1
    assert len(results["params"]) == 12 * len(solvers.RELATIVE_RIDGES)
    assert_array_equal(results["param_depth"].data, [p["depth"] for p in results["params"]])
    (model,) = search.estimators_
    assert_array_equal(search.weights_, [1.0])
    alone = search._base(**search.best_params_).fit(X, y)
    assert_allclose(search.predict(X), alone.predict(X))
    assert_allclose(model.dual_coef_, alone.dual_coef_)


@both
@pytest.mark.parametrize(
    "grid, names",
    [
        ({"depth": [1, 2]}, ["kernel", "activation", "column_layers"]),
        ({"depth": [2], "column_layers": [1]}, ["kernel", "activation"]),
        ({"architecture": [resmlp(1)]}, []),
        ({"kernel": [NNGPKernel(1)]}, []),
    ],
    ids=["dense", "by column", "architecture", "object"],
)
def test_the_best_line_is_the_best_network(cls, grid, names):
    """Nothing is left to the choice of an estimator of one network that has these parameters."""
    X, y = data_of(cls)
    search = cls(grid, combine=None, squash=3.0, features=np.diag(1.0 + np.arange(X.shape[1])))
    best = search.fit(X, y).best_params_
    assert best.keys() == {*grid, *names, "alpha"}
    assert {f"param_{name}" for name in best} <= search.cv_results_.keys()
    alone = search._base(**best, squash=3.0, features=search.features_).fit(X, y)
    assert_allclose(search.predict(X), alone.predict(X))


@pytest.mark.slow
@both
@pytest.mark.parametrize("cv", [None, 3])
def test_default_grid(cls, cv):
    X, y = data_of(cls)
    search = cls(cv=cv).fit(X, y)
    assert 1 <= len(search.estimators_) <= 10
    assert search.score(X, y) > 0.9


def test_many_rows_are_searched(monkeypatch):
    """Beyond the limit only ridges near the best are tried, and the choice is the same."""
    X, y = numbers(60)
    whole = NTKRegressorCV(GRID).fit(X, y)
    monkeypatch.setattr(_exact, "SPECTRAL_LIMIT", 20)
    some = NTKRegressorCV(GRID).fit(X, y)
    assert len(some.cv_results_["params"]) < 0.5 * len(whole.cv_results_["params"])
    assert some.best_params_ == whole.best_params_
    assert_allclose(some.best_score_, whole.best_score_, rtol=1e-8)


def best_of_each(results):
    """Best scores of all networks."""
    found = {}
    for params, score in zip(results["params"], results["mean_test_score"], strict=True):
        point = tuple(sorted((key, value) for key, value in params.items() if key != "alpha"))
        found[point] = max(score, found.get(point, -np.inf))
    return found


MIXED = [{"depth": [0, 1, 3]}, {"depth": [1, 2, 3], "kernel": ["nngp", "ntk"]}]


@pytest.mark.parametrize(
    "scoring, seed",
    [
        pytest.param(scoring, seed, marks=[pytest.mark.thorough] * (seed != place))
        for place, scoring in enumerate(["neg_mean_squared_error", "neg_gcv", "r2"])
        for seed in range(3)
    ],
)
def test_few_ridges_are_enough_for_members_that_differ(monkeypatch, seed, scoring):
    """The best score of each network is nearly that of all ridges."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(300, 4))
    y = np.sin(X[:, 0]) + rng.normal(size=300)
    whole = NTKRegressorCV(MIXED, scoring=scoring).fit(X, y).cv_results_
    monkeypatch.setattr(_exact, "SPECTRAL_LIMIT", 100)
    monkeypatch.setattr(solvers, "SUBSET_ROWS", 50)
    search = NTKRegressorCV(MIXED, scoring=scoring).fit(X, y)
    best, found = (best_of_each(results) for results in (whole, search.cv_results_))
    assert best.keys() == found.keys() and len(best) == 7
    for point, score in best.items():
        assert score - found[point] <= 0.06 * abs(score)
    behind = whole["mean_test_score"].max() - search.best_score_
    assert 0.0 <= behind + 1e-9 <= 0.011 * abs(search.best_score_)


def test_search_of_one_ridge_is_no_search(monkeypatch):
    X, y = numbers(60)
    monkeypatch.setattr(_exact, "SPECTRAL_LIMIT", 20)
    count, factorise = [], _exact.try_cholesky
    monkeypatch.setattr(_exact, "try_cholesky", lambda A: count.append(len(A)) or factorise(A))
    NTKRegressorCV({"depth": [1, 2, 3]}, alphas=[0.1], combine=None).fit(X, y)
    assert count == [60] * 3


@both
def test_verbose(cls, capsys):
    X, y = data_of(cls)
    cls({"depth": [1, 2]}, verbose=1).fit(X, y)
    assert "Choice among 2 networks: 100 %, done in " in capsys.readouterr().out


# --- Errors ---------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    "params, message",
    [
        ({"param_grid": []}, "param_grid has no candidates"),
        ({"param_grid": {"depth": []}}, "non-empty"),
        ({"param_grid": {"layers": [1]}}, "unknown parameter 'layers': choose among kernel, depth"),
        ({"param_grid": {"alpha": [1.0]}}, "unknown parameter 'alpha'.*Ridges are alphas"),
        ({"param_grid": {"depth": [-1]}}, "'depth' parameter"),
        ({"param_grid": {"kernel": ["precomputed"]}}, "is nothing to choose from"),
        ({"param_grid": {"depth": [1], "n_frozen": [2]}}, "n_frozen > depth"),
        ({"param_grid": {"activation": ["rleu"]}}, "Unknown activation 'rleu'"),
        ({"alphas": []}, "alphas must be finite numbers >= 0"),
        ({"alphas": [-1.0]}, "alphas must be finite numbers >= 0"),
        ({"scoring": "f1"}, "'scoring' parameter"),
        ({"scoring": "neg_gcv", "cv": 3}, "leave cv at None"),
        ({"combine": "vote"}, "'combine' parameter"),
    ],
    ids=str,
)
def test_bad_parameters(cls, params, message):
    X, y = data_of(cls)
    with pytest.raises(ValueError, match=message):
        cls(**params).fit(X, y)


def test_methods_of_one_network_say_so():
    search = NTKRegressorCV({"depth": [1]})
    for model in (search, search.fit(*numbers())):
        with pytest.raises(AttributeError, match=r"'predict_interval', .*NTKRegressor\(\*\*search"):
            model.predict_interval(numbers()[0])
        with pytest.raises(AttributeError, match=r"no attribute 'predict_proba'$"):
            model.predict_proba(numbers()[0])
        assert not hasattr(model, "alphas_")
    X, y = numbers()
    assert NTKRegressor(**search.best_params_).fit(X, y).predict_interval(X).shape == (30, 2)
    with pytest.raises(AttributeError, match=r"NTKClassifier\(\*\*search"):
        NTKClassifierCV().partial_fit(X, y > 0.0)


@pytest.mark.parametrize("cv", [[], KFold(4)], ids=["none", "without weight"])
def test_folds_without_rows(cv):
    X, y = numbers()
    with pytest.raises(ValueError, match="folds that have training and test rows of positive wei"):
        NTKRegressorCV({"depth": [1]}, cv=cv).fit(X, y, np.arange(30) > 9.0)


@pytest.mark.parametrize("test", [[30], [0.5]], ids=["beyond", "no indices"])
def test_folds_of_other_rows(test):
    X, y = numbers()
    with pytest.raises(ValueError, match="cv must give indices of the 30 rows"):
        NTKRegressorCV({"depth": [1]}, cv=[(np.arange(20), np.array(test))]).fit(X, y)


class ByFrame:
    """Splitter that finds its folds in a column of X, and by the name of y."""

    def get_n_splits(self, X=None, y=None, groups=None):
        return 2

    def split(self, X, y, groups=None):
        assert y.name == "target"
        for year in (1.0, 2.0):
            yield np.flatnonzero(X["year"] != year), np.flatnonzero(X["year"] == year)


@both
def test_splitters_see_the_data_as_they_are(cls):
    X, y = data_of(cls)
    years = 1.0 + np.arange(len(y)) % 2
    frame = pd.DataFrame(X).rename(columns=str).assign(year=years)
    search = cls({"depth": [1]}, alphas=[0.1], cv=ByFrame())
    found = search.fit(frame, pd.Series(y, name="target")).best_score_
    folds = [(np.flatnonzero(years != year), np.flatnonzero(years == year)) for year in (1, 2)]
    assert found == search.set_params(cv=folds).fit(frame, y).best_score_


def test_errors_of_splitters_are_theirs():
    class Broken(ByFrame):
        def split(self, X, y, groups=None):
            raise IndexError("of the splitter")

    with pytest.raises(IndexError, match="of the splitter"):
        NTKRegressorCV({"depth": [1]}, cv=Broken()).fit(*numbers())


def test_columns_of_a_frame_must_be_those_of_the_fit():
    X, y = numbers()
    frame = pd.DataFrame(X, columns=list("abcdefghij"))
    search = NTKRegressorCV({"depth": [1, 2]}).fit(frame, y)
    mean, std = search.predict(frame, return_std=True)
    assert mean.shape == std.shape == (30,)
    with pytest.raises(ValueError, match="feature names"):
        search.predict(frame[list("jihgfedcba")], return_std=True)
    results = pd.DataFrame(search.cv_results_)
    assert results["param_depth"].dtype.kind == "i" and results["param_alpha"].dtype.kind == "f"
    grid = {"depth": np.arange(1, 3), "bias_var": [0, 0.5]}
    results = pd.DataFrame(NTKRegressorCV(grid).fit(frame, y).cv_results_)
    assert results["param_depth"].dtype.kind == "i" and results["param_bias_var"].dtype.kind == "f"


def test_class_weight():
    X, y = classes()
    search, balanced = (
        NTKClassifierCV({"depth": [1]}, alphas=[0.1], combine=None, class_weight=weight).fit(X, y)
        for weight in (None, "balanced")
    )
    alone = NTKClassifier("ntk", depth=1, alpha=0.1, class_weight="balanced").fit(X, y)
    assert_allclose(balanced.decision_function(X), alone.decision_function(X))
    assert search.best_score_ != balanced.best_score_


@pytest.mark.parametrize("cv", [None, 3])
def test_scores_have_the_weights_of_classes(cv):
    """Those of all rows, whatever the folds."""
    X, y = classes()
    X, options = X[:, 1:3], {"alphas": [0.1], "cv": cv, "scoring": "accuracy"}
    search = NTKClassifierCV({"depth": [1]}, class_weight="balanced", **options).fit(X, y)
    weights = compute_sample_weight("balanced", y)
    weighted, plain = (
        NTKClassifierCV({"depth": [1]}, **options).fit(X, y, w) for w in (weights, None)
    )
    assert_allclose(search.best_score_, weighted.best_score_)
    assert abs(search.best_score_ - plain.best_score_) > 1e-3


@pytest.mark.parametrize(
    "cls, others", [(NTKRegressorCV, ["accuracy", "neg_log_loss"]), (NTKClassifierCV, ["r2"])]
)
def test_scores_of_the_other_kind(cls, others):
    """They are refused, and not offered either."""
    for scoring in ("f1", *others):
        with pytest.raises(ValueError, match="'scoring' parameter") as error:
            cls(scoring=scoring).fit(*data_of(cls))
        offered = str(error.value).split("Got")[0]
        assert [name for name in SCORES if f"'{name}'" not in offered] == others


@both
def test_what_does_not_fit_is_refused(cls, monkeypatch):
    set_free(monkeypatch, 1e6)
    with pytest.raises(MemoryError, match="A fit of 1000 distinct rows needs"):
        cls().fit(np.random.default_rng(0).normal(size=(1000, 2)), np.arange(1000) % 2)


@pytest.mark.parametrize("cv", [None, 3])
def test_odd_targets(cv):
    X = numbers(9)[0]
    constant = NTKRegressorCV({"depth": [1, 2]}, cv=cv).fit(X, np.ones(9))
    assert_allclose(constant.predict(X), 1.0)
    wide = np.random.default_rng(0).normal(size=(9, 20))
    assert NTKRegressorCV({"depth": [1, 2]}, cv=cv).fit(X, wide).predict(X).shape == (9, 20)


def test_a_class_with_one_member():
    X, y = classes()
    y = np.where(np.arange(len(y)) == 3, 7, y)
    search = NTKClassifierCV({"depth": [1, 2]}).fit(X, y)
    assert_array_equal(search.classes_, [0, 1, 2, 7])
    assert search.predict_proba(X).shape == (len(y), 4)
    with pytest.warns(UserWarning, match="least populated class"):
        NTKClassifierCV({"depth": [1, 2]}, cv=3).fit(X, y)


@both
def test_a_fit_that_fails_changes_nothing(cls):
    X, y = data_of(cls)
    search = cls({"depth": [1]}, alphas=[0.1]).fit(X, y)
    search.set_params(param_grid={"depth": [0]}, alphas=[0.0], cv=3)
    before = dict(vars(search))
    with pytest.raises(ValueError, match="No candidate has a finite score"):
        search.fit(X[:, :3], 1 - (y > 1.0))
    assert vars(search) == before


@both
def test_members_of_many_rows_are_exact_too(cls, monkeypatch):
    """As their scores are; else their influence would ask for a solver that a search lacks."""
    X, y = data_of(cls)
    monkeypatch.setattr(_choice_of_solver, "FEW_ROWS", 10)
    search = cls({"depth": [1]}, combine=None).fit(X, y)
    assert search.estimators_[0].solver_ == "cholesky"
    assert search.influence(X).shape[:2] == (30, 30)


def test_features_are_learned_on_the_device_of_the_search(monkeypatch):
    seen, learn = [], _search.best_by_squares

    def spy(kernels, *arguments):
        seen.extend(kernel.device for kernel in kernels)
        return learn(kernels, *arguments)

    monkeypatch.setattr(_search, "best_by_squares", spy)
    NTKRegressorCV({"depth": [1]}, features="diagonal", device="cpu").fit(*numbers())
    assert set(seen) == {"cpu"}
