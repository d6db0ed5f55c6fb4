"""`NTKRegressor` chooses among kernels and activations by the error of leaving out one row."""

import pickle
from itertools import product

import numpy as np
import pytest
from joblib import parallel_config
from large_problems import rare
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import LinAlgWarning
from sklearn import config_context, get_config
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF
from sklearn.model_selection import GridSearchCV

from sklearn_ntk import NNGPKernel, NTKClassifierCV, NTKKernel, NTKRegressor, NTKRegressorCV
from sklearn_ntk.activations import ReLU
from sklearn_ntk.architectures import resmlp
from sklearn_ntk.engines import _tasks
from sklearn_ntk.estimators import _candidates, _choice
from sklearn_ntk.estimators._candidates import OPTIMISM, RELUCTANCE
from sklearn_ntk.model_selection import _search, precomputed

PAIRS = list(product(("ntk", "nngp"), ("relu", "gelu")))
FOUR = [kind(2, activation) for kind in (NTKKernel, NNGPKernel) for activation in ("relu", "gelu")]

TARGETS = {
    "smooth": lambda X: np.sin(2.0 * X[:, 0]) + X[:, 1] ** 2,
    "kinks": lambda X: np.abs(X[:, 0]) - np.maximum(X[:, 1], 0.3),
    "several": lambda X: np.stack([np.sin(2.0 * X[:, 0]), 100.0 * np.abs(X[:, 1])], axis=1),
}

OPTIONS = {
    "defaults": {},
    "ridge": {"alpha": 0.1},
    "time": {"training_time": 50.0},
    "times": {"training_time": "auto", "learning_rate": 3.0},
    "one layer": {"depth": 1, "weight_var": 1.5, "bias_var": 0.1, "squash": None, "noise": "ridge"},
}
each_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)

COVERING = {
    *(("smooth", "defaults"), ("several", "defaults"), ("kinks", "ridge"), ("smooth", "time")),
    *(("several", "times"), ("kinks", "one layer")),
}
"""Pairs that have each target and each option."""
each_pair = pytest.mark.parametrize(
    "target, options",
    [
        pytest.param(
            target,
            options,
            id=f"{name}-{target}",
            marks=[] if (target, name) in COVERING else pytest.mark.thorough,
        )
        for name, options in OPTIONS.items()
        for target in TARGETS
    ],
)


def data(target="smooth", n=50, noise=0.05, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2.0, 2.0, (n, 2))
    y = TARGETS[target](X)
    return X, y + noise * rng.standard_normal(y.shape)


def singles(model, *arguments, features=None, pairs=PAIRS):
    """Fits of the four networks, or of some of them, by name."""
    named = (
        clone(model).set_params(kernel=kernel, activation=f, features=features)
        for kernel, f in pairs
    )
    return [one.fit(*arguments) for one in named]


def by_column(model, plain, *arguments):
    """Fit of the best of four networks with a first layer by column."""
    best = min(plain, key=lambda other: other.kernel_errors_[0])
    named = {"kernel": best.kernel, "activation": best.activation, "features": None}
    return clone(model).set_params(**named, column_layers=1).fit(*arguments)


def error_of(model, *arguments):
    """Error of leaving out one row with the features of a model, as it counts."""
    if model.features_ is None:
        is_dense = model.kernel_.column_layers == 0
        return (1.0 if is_dense else RELUCTANCE) * model.kernel_errors_[0]
    same = clone(model).set_params(features=model.features_).fit(*arguments)
    return OPTIMISM["full"] * same.kernel_errors_[0]


def assert_same_fit(model, other, X, rtol=1e-9):
    """Equal kernels, coefficients, attributes, predictions and, without rivals, uncertainty."""
    assert model.kernel_ == other.kernel_
    names = ("dual_coef_", "intercept_", "alpha_", "alphas_", "loo_errors_", "training_times_")
    for name in (*names, "amplitude_", "noise_", "X_fit_"):
        found, expected = getattr(model, name), getattr(other, name)
        assert_allclose(found, expected, rtol=rtol, atol=1e-12, err_msg=name)
    assert model.training_time_ == other.training_time_
    assert_allclose(model.predict(X), other.predict(X), rtol=rtol, atol=1e-12)
    for how in ({"return_std": True}, {"return_cov": True}) if not model._rivals else ():
        for found, expected in zip(model.predict(X, **how), other.predict(X, **how), strict=True):
            assert_allclose(found, expected, rtol=rtol, atol=1e-12)


# --- What is chosen ------------------------------------------------------------------------------


@pytest.mark.slow
@each_pair
@pytest.mark.parametrize("weighted", [False, True])
def test_choice_has_the_least_error(target, options, weighted):
    """The fit is that of the estimator that names the kernel."""
    X, y = data(target, n=30)
    weights = np.random.default_rng(1).uniform(0.3, 3.0, len(X)) if weighted else None
    model = NTKRegressor(**options).fit(X, y, weights)
    plain = singles(model, X, y, weights)
    plain.append(by_column(model, plain, X, y, weights))
    assert model.kernels_ == [other.kernel_ for other in plain]
    errors = np.concatenate([other.kernel_errors_ for other in plain])
    assert_allclose(model.kernel_errors_, errors, rtol=1e-12)
    pairs = [PAIRS[k] for k in errors[:4].argsort()[:2]]
    others = [*plain, *singles(model, X, y, weights, features="full", pairs=pairs)]
    best = min(others, key=lambda other: error_of(other, X, y, weights))
    assert_same_fit(model, best, data(n=9, seed=1)[0])


def test_errors_are_those_of_refitting():
    X, y = data(n=9)
    model = NTKRegressor(alpha=0.05, squash=None, features=None).fit(X, y)
    plain, squares = NTKRegressor(alpha=0.05, squash=None), np.zeros(5)
    last = {"kernel": model.kernels_[4]}
    for i in range(9):
        rest = np.arange(9) != i
        fits = singles(plain, X[rest], y[rest])
        fits.append(clone(plain).set_params(**last).fit(X[rest], y[rest]))
        squares += [(one.predict(X[[i]])[0] - y[i]) ** 2 for one in fits]
    assert_allclose(model.kernel_errors_, squares / 9 / y.var(), rtol=1e-7)


@pytest.mark.parametrize("target, activation", [("smooth", "gelu"), ("kinks", "relu")])
def test_smooth_functions_and_kinks(target, activation):
    X, y = data(target, n=150, noise=0.0)
    model = NTKRegressor().fit(X, y)
    assert model.kernel_.activation == activation
    new, truth = data(target, n=300, noise=0.0, seed=1)
    scores = [one.score(new, truth) for one in singles(NTKRegressor(), X, y)]
    assert model.score(new, truth) > 1.0 - 2.0 * (1.0 - max(scores))


@pytest.mark.parametrize(
    "options, kernels",
    [
        ({}, FOUR),
        ({"kernel": "ntk"}, FOUR[:2]),
        ({"kernel": "nngp"}, FOUR[2:]),
        ({"activation": "erf"}, [NTKKernel(2, "erf"), NNGPKernel(2, "erf")]),
        ({"kernel": "nngp", "activation": "gelu"}, FOUR[3:]),
        ({"n_frozen": 1}, [NTKKernel(2, f, n_frozen=1) for f in ("relu", "gelu")]),
        ({"n_frozen": 1, "activation": "erf"}, [NTKKernel(2, "erf", n_frozen=1)]),
        ({"architecture": resmlp(2)}, [NTKKernel(2, architecture=resmlp(2))]),
        (
            {"architecture": resmlp(2), "kernel": "nngp"},
            [NNGPKernel(2, architecture=resmlp(2))],
        ),
        ({"depth": 0}, [NTKKernel(0)]),
        ({"depth": 0, "kernel": "nngp", "activation": "gelu"}, [NNGPKernel(0, "gelu")]),
        ({"kernel": NTKKernel(1, "erf")}, [NTKKernel(1, "erf")]),
        ({"kernel": NTKKernel(1, "erf"), "activation": "gelu"}, [NTKKernel(1, "erf")]),
    ],
    ids=str,
)
def test_what_is_named_narrows_the_choice(options, kernels):
    X, y = data()
    model = NTKRegressor(alpha=0.1, **options).fit(X, y)
    errors = model.kernel_errors_
    is_perceptron = isinstance(model.kernel, str) and model.architecture is None and model.depth > 0
    if is_perceptron and "auto" in (model.kernel, model.activation):
        best = clone(kernels[int(np.argmin(errors[:-1]))])
        kernels = [*kernels, best.set_params(column_layers=1)]
    assert model.kernels_ == kernels and model.kernel_ in kernels
    assert len(errors) == len(kernels)
    counted = errors * [1.0 if kernel.column_layers == 0 else RELUCTANCE for kernel in kernels]
    assert_allclose(counted.min(), counted[kernels.index(model.kernel_)])


def test_precomputed_kernel_leaves_no_choice():
    X, y = data()
    model = NTKRegressor("precomputed").fit(NTKKernel()(X), y)
    assert model.kernels_ == [None] and model.kernel_ is None
    assert_allclose(model.kernel_errors_, model.loo_errors_.min(), rtol=1e-12)


@pytest.mark.parametrize("y", [np.full(50, 7.0), np.zeros((50, 2))], ids=["number", "columns"])
def test_first_of_equals_is_chosen(y):
    model = NTKRegressor().fit(data()[0], y)
    assert_array_equal(model.kernel_errors_, 0.0)
    assert model.kernel_ == FOUR[0]


# --- Rows, weights and outputs -------------------------------------------------------------------


@pytest.mark.slow
@each_pair
def test_weights_are_repetitions(target, options):
    X, y = data(target, n=30)
    counts = np.random.default_rng(0).integers(0, 4, len(X))
    rows = np.random.default_rng(1).permutation(np.repeat(np.arange(len(X)), counts))
    weighted = NTKRegressor(**options).fit(X, y, counts)
    repeated = NTKRegressor(**options).fit(X[rows], y[rows])
    assert_allclose(repeated.kernel_errors_, weighted.kernel_errors_, rtol=1e-7)
    assert repeated.kernel_ == weighted.kernel_
    new = data(n=9, seed=1)[0]
    spreads = (model.predict(new, return_std=True) for model in (repeated, weighted))
    for found, expected in zip(*spreads, strict=True):
        assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_outputs_share_a_network():
    """The error is the mean over outputs, each in units of its variance."""
    X, Y = data("several", noise=0.2)
    plain = NTKRegressor(alpha=0.1, features=None)
    model = clone(plain).fit(X, Y)
    parts = [clone(plain).fit(X, y).kernel_errors_ for y in Y.T]
    assert_allclose(model.kernel_errors_, np.mean(parts, axis=0), rtol=1e-9)
    scaled = clone(plain).fit(X, Y * [1e6, -1e-6] + [3.0, 5.0])
    assert_allclose(scaled.kernel_errors_, model.kernel_errors_, rtol=1e-6)


# --- Inside scikit-learn -------------------------------------------------------------------------


def test_parameters_stay():
    model = NTKRegressor()
    before = model.get_params()
    assert before["kernel"] == before["activation"] == "auto"
    other = clone(model.fit(*data()))
    assert model.get_params() == other.get_params() == before
    assert not hasattr(other, "kernel_")


@pytest.mark.slow
@each_option
def test_pickles(options):
    X, y = data()
    model = NTKRegressor(**options).fit(X, y)
    other = pickle.loads(pickle.dumps(model))
    assert other.kernels_ == model.kernels_
    assert_array_equal(other.kernel_errors_, model.kernel_errors_)
    assert_same_fit(other, model, X[:5], rtol=1e-12)


def test_second_fit_chooses_again():
    model = NTKRegressor().fit(*data("kinks", 150, 0.0))
    first = model.kernel_
    X, y = data("smooth", 150, 0.0)
    assert model.fit(X, y).kernel_ != first
    assert_same_fit(model, NTKRegressor().fit(X, y), X[:5])


@pytest.mark.slow
def test_search_over_choices():
    X, y = data(n=30)
    grid = {"kernel": ["auto", NNGPKernel(1)], "activation": ["auto", "erf"]}
    search = GridSearchCV(NTKRegressor(), grid, cv=2).fit(X, y)
    assert np.all(np.isfinite(search.cv_results_["mean_test_score"]))
    best = NTKRegressor(**search.best_params_).fit(X, y)
    assert_same_fit(search.best_estimator_, best, X[:5])


# --- Where a network needs a name ----------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"kernel": "ntk"}, {"activation": "relu"}], ids=str)
def test_precomputed_needs_a_name(options):
    message = r"^precomputed takes .* one kernel; got NTKRegressor\(.* name the kernel and the act"
    with pytest.raises(ValueError, match=message):
        precomputed(NTKRegressor(**options), data()[0])


@pytest.mark.parametrize(
    "options",
    [
        {"kernel": "nngp", "activation": "gelu"},
        {"n_frozen": 1, "kernel": "ntk", "activation": "erf"},
        {"architecture": resmlp(2)},
        {"depth": 0},
        {"kernel": NTKKernel(1)},
    ],
    ids=str,
)
def test_precomputed_without_a_choice(options):
    X, y = data()
    model = NTKRegressor(**options)
    other, K = precomputed(model, X)
    assert_allclose(other.fit(K, y).predict(K), model.fit(X, y).predict(X), rtol=1e-6, atol=1e-9)


def test_precomputed_learns_no_features():
    model = NTKRegressor("nngp", activation="gelu", features="full")
    with pytest.raises(ValueError, match=r"that learns no features; got .* features=None\.$"):
        precomputed(model, data()[0])


@pytest.mark.parametrize("name", ["kernel", "activation"])
def test_grids_name_what_to_choose_from(name):
    X, y = data()
    grid = {"depth": [1], name: ["auto"]}
    with pytest.raises(ValueError, match=f"^param_grid has {name}='auto': name what to choose"):
        NTKRegressorCV(grid).fit(X, y)
    with pytest.raises(ValueError, match=f"{name}|activation 'auto'"):
        NTKClassifierCV(grid).fit(X, y > 0.0)


def test_members_of_a_search_choose_nothing():
    X, y = data()
    search = NTKRegressorCV({"depth": [1, 2], "kernel": ["ntk", "nngp"]}).fit(X, y)
    for member in search.estimators_:
        assert len(member.kernels_) == 1 and member.kernel_.activation == ReLU()
    found = NTKRegressorCV({"depth": [2]}, combine=None).fit(X, y).predict(X)
    named = NTKRegressor("ntk", activation="relu").fit(X, y)
    assert_allclose(found, named.predict(X), rtol=1e-9)


def test_nets_are_chosen_by_rows_whose_targets_vary(monkeypatch):
    for module in (_candidates, _choice):
        monkeypatch.setattr(module, "MOST_ROWS", 100)
    order = np.random.default_rng(0).permutation(160)
    X, y = rare(160, order[150:])
    errors = NTKRegressor(features=None).fit(X, y[:, 0]).kernel_errors_
    assert np.all(errors > 1e-6)  # they were rounding errors


@pytest.mark.parametrize(
    "model",
    [NTKRegressor(), NTKRegressorCV({"depth": [1, 2], "activation": ["relu", "erf", "gelu"]})],
    ids=["fit", "search"],
)
def test_candidates_side_by_side_are_those_one_by_one(model, monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(240, 4))
    y = np.sin(2.0 * X[:, 0]) + 0.3 * rng.normal(size=240)
    at_a_time, run = [], _tasks.map_apart
    monkeypatch.setattr(_tasks, "map_apart", lambda *args: at_a_time.append(args[2]) or run(*args))
    found = {}
    for n_tasks in (1, 3):
        monkeypatch.setattr(_tasks.Tasks, "at_a_time", lambda _, n=n_tasks: n)
        found[n_tasks] = clone(model).fit(X, y)
        assert set(at_a_time) == {n_tasks}
        at_a_time.clear()
    one, many = found.values()
    assert_allclose(many.predict(X), one.predict(X), rtol=1e-6, atol=1e-8)
    if isinstance(model, NTKRegressor):
        assert_allclose(many.kernel_errors_, one.kernel_errors_, rtol=1e-8)
        assert many.kernels_ == one.kernels_
    else:
        scores = (each.cv_results_["mean_test_score"] for each in (many, one))
        assert_allclose(*scores, rtol=1e-7)
        assert many.best_params_ == one.best_params_


def test_tasks_at_a_time(monkeypatch):
    monkeypatch.setattr(_tasks, "host_threads", lambda: 4)
    monkeypatch.setattr(_tasks, "free_memory", lambda: 8e9)
    for tasks, expected in (
        (_tasks.Tasks(9, 1000), 4),
        (_tasks.Tasks(3, 1000), 3),
        (_tasks.Tasks(9, 100), 1),  # few rows are not worth a thread
        (_tasks.Tasks(9, 1000, 1e9), 4),
        (_tasks.Tasks(9, 1000, 2e9), 2),
        (_tasks.Tasks(9, 1000, 9e9), 1),
        (_tasks.Tasks(9, 1000, 1e9, 3e9), 3),
        (_tasks.Tasks(9, 1000, 3e9, 1e12), 2),  # there is no more than what is free
        (_tasks.Tasks(9, 1000, 1e6, np.inf), 4),
        (_tasks.Tasks(9, 1000, 1e9, 1.0), 1),
        (_tasks.Tasks(0, 1000), 1),
    ):
        assert tasks.at_a_time() == expected


@pytest.mark.parametrize("n_tasks", [1, 3])
def test_the_configuration_of_scikit_learn_reaches_all_tasks(n_tasks, monkeypatch):
    monkeypatch.setattr(_tasks.Tasks, "at_a_time", lambda _: n_tasks)
    found, evaluate = [], _search.evaluate

    def ask(*arguments):
        found.append(get_config()["assume_finite"])
        return evaluate(*arguments)

    monkeypatch.setattr(_search, "evaluate", ask)
    X = np.random.default_rng(0).normal(size=(60, 2))
    with config_context(assume_finite=True):
        NTKRegressorCV({"activation": ["relu", "erf", "gelu"]}).fit(X, X[:, 0])
    assert found == [True] * 3


def test_a_context_of_joblib_is_asked(monkeypatch):
    asked, run = [], _search.Parallel
    monkeypatch.setattr(_search, "Parallel", lambda **how: asked.append(how) or run(**how))
    X = np.random.default_rng(0).normal(size=(60, 2))
    search = NTKRegressorCV({"activation": ["relu", "erf"]})
    search.fit(X, X[:, 0])
    assert not asked
    with parallel_config("threading", n_jobs=2):
        search.fit(X, X[:, 0])
    assert len(asked) == 1


def test_kernels_of_others_are_not_shared_by_threads(monkeypatch):
    asked, run = [], _search.Parallel
    monkeypatch.setattr(_search, "Parallel", lambda **how: asked.append(how) or run(**how))
    grid = {"kernel": [RBF(0.5), RBF(2.0)], "activation": ["relu"]}
    X = np.random.default_rng(0).normal(size=(60, 2))
    NTKRegressorCV(grid).fit(X, X[:, 0])
    assert len(asked) == 1


def test_warnings_of_candidates_are_heard(monkeypatch):
    monkeypatch.setattr(_tasks.Tasks, "at_a_time", lambda _: 3)
    x = np.random.default_rng(0).normal(size=(300, 1))
    with pytest.warns(LinAlgWarning, match="was added to its diagonal"):
        NTKRegressor(alpha=0.0, features=None).fit(np.hstack([x, x, x]), np.sin(x[:, 0]))
