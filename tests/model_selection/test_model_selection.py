"""Choice among networks: the scores are those of refitting, and the choice is the best of them."""

import tracemalloc

import numpy as np
import pytest
from memory import set_free
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from sklearn.datasets import load_iris, load_wine, make_friedman1
from sklearn.gaussian_process.kernels import RBF
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneOut,
    ShuffleSplit,
    cross_val_predict,
)
from sklearn.preprocessing import scale

from sklearn_ntk import (
    NNGPKernel,
    NTKClassifier,
    NTKClassifierCV,
    NTKKernel,
    NTKRegressor,
    NTKRegressorCV,
)
from sklearn_ntk.architectures import resmlp
from sklearn_ntk.model_selection import _candidates
from sklearn_ntk.model_selection._search import NETWORK
from sklearn_ntk.solvers import _ridge as solvers

pd = pytest.importorskip("pandas")

GRID = {"depth": [0, 1, 3], "kernel": ["ntk", "nngp"], "activation": ["relu", "erf"]}
ALPHAS = [0.01, 0.1, 1.0]

both = pytest.mark.parametrize("cls", [NTKRegressorCV, NTKClassifierCV])


def numbers(n=30, noise=1.0):
    X, y = make_friedman1(n, random_state=0, noise=noise)
    return scale(X), y


def classes(n=40, load=load_wine):
    X, y = load(return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(X))[:n]
    return scale(X)[rows], y[rows]


def data_of(cls, n=30):
    return numbers(n) if cls is NTKRegressorCV else classes(n)


def line(search, **params):
    """Number of the line of these parameters."""
    return next(k for k, found in enumerate(search.cv_results_["params"]) if found == params)


# --- Scores ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("params", [{}, {"kernel": "nngp", "depth": 3, "activation": "erf"}])
def test_leave_one_out_is_refitting(params):
    X, y = numbers()
    search = NTKRegressorCV({name: [value] for name, value in params.items()}, alphas=ALPHAS)
    found = search.fit(X, y).cv_results_["mean_test_score"]
    for alpha, score in zip(ALPHAS, found, strict=True):
        predictions = cross_val_predict(NTKRegressor(**params, alpha=alpha), X, y, cv=LeaveOneOut())
        assert_allclose(score, -np.mean((y - predictions) ** 2), rtol=1e-8)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("scoring", ["neg_mean_squared_error", "accuracy", "neg_log_loss"])
def test_leave_one_out_of_classes_is_refitting(scoring, n_classes):
    X, y = classes()
    y = np.minimum(y, n_classes - 1)
    model = NTKClassifier(depth=1, alpha=0.3)
    search = NTKClassifierCV({"depth": [1]}, alphas=[0.3], scoring=scoring, combine=None).fit(X, y)
    scores = cross_val_predict(model, X, y, cv=LeaveOneOut(), method="decision_function")
    if n_classes == 2:
        hits, errors = (scores > 0) == y, (2 * y - 1 - scores) ** 2
        logits = np.stack([-scores / 2, scores / 2], axis=1)
    else:
        hits, errors = scores.argmax(axis=1) == y, ((np.eye(3)[y] - scores) ** 2).mean(axis=1)
        logits = scores
    temperature = model.fit(X, y).temperature_
    P = np.exp(logits / temperature)
    expected = {
        "accuracy": hits.mean(),
        "neg_mean_squared_error": -errors.mean(),
        "neg_log_loss": -log_loss(y, P / P.sum(axis=1, keepdims=True)),
    }
    assert_allclose(search.best_score_, expected[scoring], rtol=1e-8)
    assert_allclose(search.temperature_, temperature, rtol=1e-6)


def test_r2_and_gcv_and_likelihood():
    """Against their definitions, with the matrices written out."""
    X, y = numbers()
    K = NTKKernel(1)(X)
    n, ridge = len(y), 0.7
    ones = np.ones((n, 1))
    V = K + ridge * np.eye(n)
    G = np.linalg.inv(V)
    M = G - G @ ones @ ones.T @ G / (ones.T @ G @ ones)
    smoother = np.eye(n) - ridge * M
    rest = y - smoother @ y
    spread = y @ M @ y / (n - 1)
    determinant = np.linalg.slogdet(V)[1] + np.log(G.sum())
    expected = {
        "r2": 1.0 - np.mean((M @ y / M.diagonal()) ** 2) / y.var(),
        "neg_gcv": -np.mean(rest**2) / np.mean(1.0 - smoother.diagonal()) ** 2,
        "log_marginal_likelihood": -0.5
        * ((n - 1) * (np.log(2 * np.pi * spread) + 1.0) + determinant),
    }
    for scoring, value in expected.items():
        search = NTKRegressorCV({"depth": [1]}, alphas=[ridge], scoring=scoring).fit(X, y)
        assert_allclose(search.best_score_, value, rtol=1e-8, err_msg=scoring)


@pytest.mark.parametrize("scoring", ["neg_mean_squared_error", "r2"])
def test_folds_are_those_of_a_grid_search(scoring):
    X, y = numbers()
    folds = KFold(4, shuffle=True, random_state=0)
    mine = NTKRegressorCV(GRID, alphas=ALPHAS, cv=folds, scoring=scoring).fit(X, y)
    grid = {**GRID, "alpha": ALPHAS}
    other = GridSearchCV(NTKRegressor(), grid, cv=folds, scoring=scoring).fit(X, y)
    assert mine.best_params_ == other.best_params_
    assert_allclose(mine.best_score_, other.best_score_, rtol=1e-8)
    for k, params in enumerate(other.cv_results_["params"]):
        for name in ("split0_test_score", "split3_test_score", "mean_test_score", "std_test_score"):
            found = mine.cv_results_[name][line(mine, **params)]
            assert_allclose(found, other.cv_results_[name][k], rtol=1e-7)


@pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss"])
def test_folds_of_classes_are_those_of_a_grid_search(scoring):
    X, y = classes()
    mine = NTKClassifierCV({"depth": [1, 2]}, alphas=ALPHAS, cv=3, scoring=scoring).fit(X, y)
    grid = {"depth": [1, 2], "alpha": ALPHAS}
    other = GridSearchCV(NTKClassifier(), grid, cv=3, scoring=scoring).fit(X, y)
    for k, params in enumerate(other.cv_results_["params"]):
        found = mine.cv_results_["mean_test_score"][line(mine, **params)]
        assert_allclose(found, other.cv_results_["mean_test_score"][k], rtol=1e-6)


def test_folds_may_be_masks_and_overlap():
    X, y = numbers()
    rows = np.arange(30)
    masks = [(rows < 20, rows >= 20), (rows >= 15, rows < 15)]
    places = [tuple(map(np.flatnonzero, parts)) for parts in masks]
    one, other = (NTKRegressorCV(GRID, alphas=ALPHAS, cv=cv).fit(X, y) for cv in (masks, places))
    grid = {**GRID, "alpha": ALPHAS}
    third = GridSearchCV(NTKRegressor(), grid, cv=masks, scoring="neg_mean_squared_error").fit(X, y)
    assert one.best_score_ == other.best_score_
    assert_allclose(one.best_score_, third.best_score_, rtol=1e-8)
    overlapping = NTKRegressorCV(GRID, cv=ShuffleSplit(5, random_state=0)).fit(X, y)
    assert np.all(np.isfinite(overlapping.predict(X)))


@both
def test_groups_reach_the_splitter(cls):
    X, y = data_of(cls)
    groups = np.arange(len(y)) % 5
    search = cls({"depth": [1, 2]}, alphas=[0.1], cv=GroupKFold(5)).fit(X, y, groups=groups)
    splits = list(GroupKFold(5).split(X, y, groups))
    other = cls({"depth": [1, 2]}, alphas=[0.1], cv=splits).fit(X, y)
    assert search.best_score_ == other.best_score_


def test_outputs_are_averaged():
    X, y = numbers()
    Y = np.stack([y, y[::-1] ** 2], axis=1)
    search = NTKRegressorCV({"depth": [1]}, alphas=[0.5], combine=None).fit(X, Y)
    alone = [NTKRegressorCV({"depth": [1]}, alphas=[0.5]).fit(X, part).best_score_ for part in Y.T]
    assert_allclose(search.best_score_, np.mean(alone), rtol=1e-9)
    assert search.predict(X).shape == Y.shape
    mean, std = search.predict(X, return_std=True)
    assert mean.shape == std.shape == Y.shape
    assert search.predict(X, return_cov=True)[1].shape == (30, 30, 2)


# --- Candidates -----------------------------------------------------------------------------------


def test_one_pass_gives_what_single_kernels_give(monkeypatch):
    X = numbers(12)[0]
    grid = {**GRID, "n_frozen": [0, 1], "bias_var": [0.1, 0.5]}
    grids = [grid, {"architecture": [resmlp(2)]}, {"kernel": [RBF(2.0), NNGPKernel(1)]}]
    search = NTKRegressorCV(grids)
    points = search._candidates()
    calls = []
    gram = _candidates.gram
    monkeypatch.setattr(_candidates, "gram", lambda *a, **k: calls.append(a) or gram(*a, **k))
    found = 0
    for family in _candidates.families([settings for _, settings in points]):
        (group,) = _candidates.passes(family, len(X))
        for index, K in _candidates._grams(group, X):
            model = NTKRegressor(**points[index][0])
            assert_allclose(K, model._make_kernel()(X), rtol=1e-12)
            found += 1
    assert found == len(points)
    assert len(calls) == 4  # activation, bias: neither depth nor frozen layers nor kernel
    # freezing more layers than there are, or any of the NNGP, is nothing new
    assert len(points) == 2 * 2 * (3 + 2 + 3) + 3


def test_memory_of_a_pass_is_bounded():
    common = {"kernel": "ntk", "activation": "relu", "weight_var": 2.0, "bias_var": 0.0}
    settings = [
        dict.fromkeys(NETWORK) | common | {"depth": depth, "n_frozen": n_frozen}
        for depth, n_frozen in [(0, 0), (1, 0), (1, 1), (2, 0), (2, 2), (4, 0)]
    ]

    (family,) = _candidates.families(settings)

    def sizes(n):
        return [len(part) for part in _candidates.passes(family, n)]

    assert sizes(100) == [6]
    assert sizes(2000) == [5, 1]  # 8 matrices: of four depths and two numbers of frozen layers
    assert sizes(4000) == [2, 2, 1, 1]
    assert sizes(10**5) == [1] * 6


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
def test_parallel_and_serial_are_the_same(cls):
    X, y = data_of(cls)
    serial, parallel = (cls(GRID, n_jobs=n).fit(X, y) for n in (None, 2))
    assert serial.best_params_ == parallel.best_params_
    assert_array_equal(
        serial.cv_results_["mean_test_score"], parallel.cv_results_["mean_test_score"]
    )


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
    monkeypatch.setattr(solvers, "SPECTRAL_LIMIT", 20)
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


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("scoring", ["neg_mean_squared_error", "neg_gcv", "r2"])
def test_few_ridges_are_enough_for_members_that_differ(monkeypatch, seed, scoring):
    """The best score of each network is nearly that of all ridges."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(300, 4))
    y = np.sin(X[:, 0]) + rng.normal(size=300)
    whole = NTKRegressorCV(MIXED, scoring=scoring).fit(X, y).cv_results_
    monkeypatch.setattr(solvers, "SPECTRAL_LIMIT", 100)
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
    monkeypatch.setattr(solvers, "SPECTRAL_LIMIT", 20)
    count, factorise = [], solvers.try_cholesky
    monkeypatch.setattr(solvers, "try_cholesky", lambda A: count.append(len(A)) or factorise(A))
    NTKRegressorCV({"depth": [1, 2, 3]}, alphas=[0.1], combine=None).fit(X, y)
    assert count == [60] * 3


def test_memory_of_passes(monkeypatch):
    """One pass is gone before the next one takes memory."""
    X, y = numbers(300)
    monkeypatch.setattr(_candidates, "PASS_BYTES", 4 * 8 * 300**2)
    search = NTKRegressorCV({"depth": list(range(12))}, alphas=[0.1], combine=None)
    search.fit(X, y)
    tracemalloc.start()
    try:
        search.fit(X, y)
        assert tracemalloc.get_traced_memory()[1] < 7.5 * 8 * 300**2
    finally:
        tracemalloc.stop()


@both
def test_verbose(cls, capsys):
    X, y = data_of(cls)
    cls({"depth": [1, 2]}, verbose=1).fit(X, y)
    assert "Choice among 2 networks: 100 %, done in " in capsys.readouterr().out


# --- Several candidates ---------------------------------------------------------------------------


def outcomes_of(predictions, Y):
    errors = [np.mean((P - Y) ** 2) for P in predictions]
    zero = np.zeros(1)
    return [
        _candidates.Outcome(k, zero, np.array([[-error]]), 0, error, P)
        for k, (error, P) in enumerate(zip(errors, predictions, strict=True))
    ]


def problem_of(Y, weights):
    n = len(Y)
    return _candidates.SelectionProblem(np.zeros((n, 1)), Y, weights, np.arange(n), None, "", None)


def test_stack_is_the_best_mixture():
    rng = np.random.default_rng(0)
    Y = rng.normal(size=(50, 2)) * [1.0, 100.0]
    predictions = Y + rng.normal(size=(6, 50, 2)) * np.array([0.3, 0.4, 0.5, 0.6, 2.0, 0.5])[
        :, None, None
    ] * [1.0, 100.0]
    weights = rng.uniform(0.5, 2.0, 50)
    found = _candidates.combine(outcomes_of(predictions, Y), problem_of(Y, weights), "stack")
    shares = np.zeros(6)
    for outcome, share in found:
        shares[outcome.index] = share
    spread = np.average((Y - np.average(Y, axis=0, weights=weights)) ** 2, axis=0, weights=weights)

    def error(shares):
        away = np.tensordot(shares, predictions, 1) - Y
        return np.average((away**2 / spread).mean(axis=1), weights=weights)

    best = minimize(
        error,
        np.full(6, 1 / 6),
        bounds=[(0, 1)] * 6,
        constraints={"type": "eq", "fun": lambda shares: shares.sum() - 1.0},
        tol=1e-14,
    )
    assert_allclose(shares, best.x, atol=1e-5)
    assert shares.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1234.567])
def test_constant_outputs_do_not_stack(constant):
    X, y = numbers(40)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, 40)
    alone = NTKRegressorCV(GRID).fit(X, y, weights)
    both = NTKRegressorCV(GRID).fit(X, np.stack([y, np.full(40, constant)], axis=1), weights)
    assert_allclose(both.weights_, alone.weights_, atol=1e-3)  # of candidates that are much alike
    assert_allclose(both.predict(X)[:, 0], alone.predict(X), rtol=1e-5)


def test_candidates_without_a_score_do_not_predict():
    """A linear kernel of many rows is not positive definite without a ridge."""
    X, y = numbers()
    search = NTKRegressorCV({"depth": [0, 1]}, alphas=[0.0], cv=3).fit(X, y)
    assert search.best_params_["depth"] == 1 and len(search.estimators_) == 1
    with pytest.raises(ValueError, match="No candidate has a finite score"):
        NTKRegressorCV({"depth": [0]}, alphas=[0.0], cv=3).fit(X, y)


def test_average_falls_with_the_error():
    Y = np.zeros((25, 1))
    predictions = [np.full((25, 1), size) for size in (1.0, 1.1, 5.0)]
    found = _candidates.combine(outcomes_of(predictions, Y), problem_of(Y, np.ones(25)), "average")
    assert [outcome.index for outcome, _ in found] == [0, 1]  # the third counts nothing
    assert_allclose(found[0][1] / found[1][1], 1.21**5)


def test_mixture_predicts_the_mean():
    X, y = numbers()
    search = NTKRegressorCV(GRID, combine="average").fit(X, y)
    assert len(search.estimators_) > 1 and search.weights_.sum() == pytest.approx(1.0)
    mean, std = search.predict(X, return_std=True)
    parts = [model.predict(X, return_std=True) for model in search.estimators_]
    means, stds = (np.array(items) for items in zip(*parts, strict=True))
    assert_allclose(mean, search.weights_ @ means)
    assert_allclose(std**2 + mean**2, search.weights_ @ (stds**2 + means**2))
    assert_allclose(np.sqrt(search.predict(X, return_cov=True)[1].diagonal()), std, rtol=1e-6)
    assert_allclose(search.predict(X), mean)


def test_mixture_of_classifiers():
    X, y = classes(60, load_iris)
    search = NTKClassifierCV(GRID, combine="average").fit(X, y)
    scores = sum(
        w * m.decision_function(X) for w, m in zip(search.weights_, search.estimators_, strict=True)
    )
    assert_allclose(search.decision_function(X), scores)
    P = np.exp(scores / search.temperature_)
    assert_allclose(search.predict_proba(X), P / P.sum(axis=1, keepdims=True))
    assert_array_equal(search.predict(X), search.classes_[scores.argmax(axis=1)])


@both
@pytest.mark.parametrize("combine", ["stack", "average", None])
def test_weights_are_repetitions(cls, combine):
    X, y = data_of(cls)
    counts = np.random.default_rng(1).integers(0, 3, len(y))
    weighted = cls(GRID, combine=combine).fit(X, y, counts)
    rows = np.repeat(np.arange(len(y)), counts)
    repeated = cls(GRID, combine=combine).fit(X[rows], y[rows])
    assert_allclose(weighted.best_score_, repeated.best_score_, rtol=1e-8)
    assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-6)


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


@pytest.mark.parametrize("cv", [[], KFold(4)], ids=["none", "without weight"])
def test_folds_without_rows(cv):
    X, y = numbers()
    with pytest.raises(ValueError, match="folds that have training and test rows of positive wei"):
        NTKRegressorCV({"depth": [1]}, cv=cv).fit(X, y, np.arange(30) > 9.0)


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


def test_class_weight():
    X, y = classes()
    search, balanced = (
        NTKClassifierCV({"depth": [1]}, alphas=[0.1], combine=None, class_weight=weight).fit(X, y)
        for weight in (None, "balanced")
    )
    alone = NTKClassifier(depth=1, alpha=0.1, class_weight="balanced").fit(X, y)
    assert_allclose(balanced.decision_function(X), alone.decision_function(X))
    assert search.best_score_ != balanced.best_score_


def test_scores_of_the_other_kind():
    with pytest.raises(ValueError, match="is for classes"):
        NTKRegressorCV(scoring="accuracy").fit(*numbers())
    with pytest.raises(ValueError, match="is for numbers"):
        NTKClassifierCV(scoring="r2").fit(*classes())


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
