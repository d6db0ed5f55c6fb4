"""Solvers of many rows in the estimators, next to the exact one."""

import pickle
from functools import cache

import numpy as np
import pytest
from both_estimators import assert_same_model, both
from large_problems import data, labels
from memory import set_free
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import RBF

from sklearn_ntk import NTKClassifier, NTKKernel, NTKRegressor
from sklearn_ntk.estimators import _approximations, _choice_of_solver, _memory, _solvers
from sklearn_ntk.solvers import _iterations

SOLVERS = {
    "cg": {"tol": 1e-7},
    "local": {"leaf_size": 150},
    "nystroem": {"n_components": 150},
}
PLAIN = {"kernel": "ntk", "activation": "relu"}
each = pytest.mark.parametrize("solver", SOLVERS)


def fitted(cls, solver, **parameters):
    X, y, *_ = data()
    y = y if cls is NTKRegressor else labels(y)
    return cls(**PLAIN, solver=solver, **SOLVERS.get(solver, {}), **parameters).fit(X, y)


kept = cache(fitted)
"""The same for models that no test changes, fitted once."""


# --- Fits -----------------------------------------------------------------------------------------


@each
def test_predictions_are_close_to_exact_ones(solver):
    X_test, y_test = data()[2:]
    exact, model = (kept(NTKRegressor, name) for name in ("cholesky", solver))
    assert (exact.solver_, model.solver_) == ("cholesky", solver)
    errors = [np.sqrt(np.mean((one.predict(X_test) - y_test) ** 2)) for one in (exact, model)]
    assert errors[1] < (1.0001 if solver == "cg" else 1.3) * errors[0] < 0.3
    assert_allclose(model.loo_errors_.min(), exact.loo_errors_.min(), rtol=0.4)
    assert model.alphas_[model.loo_errors_.argmin()] == model.alpha_
    if solver == "cg":
        same = NTKRegressor(**PLAIN, alpha=model.alpha_).fit(*data()[:2])
        assert_allclose(model.predict(X_test), same.predict(X_test), atol=1e-5)


@each
def test_probabilities_are_close_to_exact_ones(solver):
    X_test, y_test = data()[2:]
    y_test = labels(y_test)
    exact, model = (kept(NTKClassifier, name) for name in ("cholesky", solver))
    assert model.score(X_test, y_test) > exact.score(X_test, y_test) - 0.05 > 0.8
    assert_allclose(model.temperature_, exact.temperature_, rtol=0.3)
    difference = model.predict_proba(X_test) - exact.predict_proba(X_test)
    assert np.sqrt(np.mean(difference**2)) < (0.15 if solver == "nystroem" else 0.06)


@pytest.mark.slow
@both
def test_attributes_tell_of_the_solver(cls):
    cg, local, nystroem, exact = (kept(cls, name) for name in (*SOLVERS, "cholesky"))
    assert cg.n_iter_ > 1 and 0.0 < cg.residual_ <= 1e-7
    assert sorted(set(np.concatenate(local.leaves_))) == list(range(400))
    assert len(local.leaves_) > 2 and max(map(len, local.leaves_)) <= 150
    assert local.dual_coef_ is None and local.intercept_ is None
    assert_array_equal(nystroem.centers_, nystroem.X_fit_)
    assert nystroem.X_fit_.shape == (150, 3) and len(nystroem.dual_coef_) == 150
    for model in (cg, exact):
        assert model.leaves_ is model.centers_ is None
    assert (exact.n_iter_, exact.residual_, local.residual_) == (1, None, None)


@cache
def chosen(cls, solver):
    """A fit that chooses its network, on rows with columns that do not matter and one far away."""
    X, y, *_ = data(250)
    X = np.column_stack([X, np.random.default_rng(1).normal(size=(len(X), 5))])
    X[0] *= 30.0
    return cls(solver=solver, **SOLVERS.get(solver, {})).fit(
        X, y if cls is NTKRegressor else labels(y)
    )


@pytest.mark.slow
@both
@each
def test_networks_columns_and_features_are_chosen_as_for_exact_fits(cls, solver):
    exact, model = chosen(cls, "cholesky"), chosen(cls, solver)
    assert repr(model.kernel_) == repr(exact.kernel_)
    assert exact.features_ is not None
    assert_allclose(model.features_, exact.features_)
    assert_allclose(model.feature_importances_, exact.feature_importances_, atol=0.15)


@pytest.mark.slow
@both
@each
def test_gradients_are_those_of_predictions(cls, solver):
    model, X = kept(cls, solver), data()[2][:20]
    values = model.predict if cls is NTKRegressor else model.decision_function
    found, step = model.predict_gradient(X), 1e-6
    for j in range(3):
        shift = step * np.eye(3)[j]
        expected = (values(X + shift) - values(X - shift)) / (2.0 * step)
        assert_allclose(found[..., j], expected, atol=1e-4)


@pytest.mark.slow
@both
@each
def test_pickles_and_equal_fits(cls, solver):
    model, again = kept(cls, solver), fitted(cls, solver)
    X = data()[2][:100]
    assert_same_model(model, again, X, rtol=1e-6)
    assert_same_model(model, pickle.loads(pickle.dumps(model)), X, rtol=1e-12)


@each
def test_several_outputs_and_weights(solver):
    X, y, X_test, _ = data()
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(y))
    weights[:50] = 0.0
    Y = np.column_stack([y, 100.0 * np.cos(y)])
    model = NTKRegressor(**PLAIN, alpha=0.1, solver=solver, **SOLVERS[solver])
    exact = NTKRegressor(**PLAIN, alpha=0.1).fit(X, Y, weights)
    found = model.fit(X, Y, weights).predict(X_test)
    error = np.std(found - exact.predict(X_test), axis=0) / np.std(Y, axis=0)
    assert found.shape == (400, 2) and np.all(error < (1e-6 if solver == "cg" else 0.3))


# --- Uncertainty ----------------------------------------------------------------------------------


@pytest.mark.slow
@each
def test_standard_deviations_cover(solver):
    X, y, X_test, y_test = data(n=600)
    y_test = y_test + 0.2 * np.random.default_rng(9).normal(size=600)
    model = NTKRegressor(**PLAIN, solver=solver, **SOLVERS[solver]).fit(X, y)
    mean, std = model.predict(X_test, return_std=True)
    assert 0.86 < np.mean(np.abs(mean - y_test) < 1.645 * std) < 0.97
    far = model.predict(X_test[:1] + 100.0, return_std=True)[1]
    assert far[0] > 5.0 * std.mean()


@pytest.mark.parametrize("least", [_approximations.LEAST, np.inf], ids=["single", "double"])
def test_factor_in_single_precision(least, monkeypatch):
    monkeypatch.setattr(_solvers, "FACTORISED", 0)
    monkeypatch.setattr(_approximations, "LEAST", least)
    X, y, X_test, _ = data()
    X_test, rtol = X_test[:100], 1e-4 if least < 1.0 else 1e-9
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(y))
    exact = NTKRegressor(**PLAIN, alpha=0.1).fit(X, y, weights)
    model = NTKRegressor(**PLAIN, alpha=0.1, solver="cg", tol=1e-9).fit(X, y, weights)
    for one in (exact, model):  # that of conjugate gradients has seen some rows only
        one._spread = exact._spread
    for keywords in ({"return_std": True}, {"return_cov": True}):
        found, expected = (one.predict(X_test, **keywords)[1] for one in (model, exact))
        assert_allclose(found, expected, rtol=0, atol=rtol * np.abs(expected).max())
    for method in ("conformal", "jackknife+"):
        found, expected = (one.predict_interval(X_test, 0.8, method) for one in (model, exact))
        assert_allclose(found, expected, atol=10.0 * rtol)
    precision = model._posterior._kept[1][0].factor.factor.dtype
    assert precision == (np.float32 if least < 1.0 else np.float64)


@pytest.mark.parametrize(
    "solver, call, message",
    [
        ("local", lambda m, X: m.predict(X, return_cov=True), "return_cov needs one model"),
        ("local", lambda m, X: m.sample_y(X), "sample_y needs one model"),
        (
            "local",
            lambda m, X: m.predict_interval(X, method="conformal"),
            "solver='local'.*take method='jackknife",
        ),
        ("cg", lambda m, X: m.staged_predict(X, [1.0]), "staged_predict needs the whole Gram"),
        ("cg", lambda m, X: m.log_marginal_likelihood(), "needs the whole Gram matrix.*'cg'"),
    ],
)
def test_what_a_solver_does_not_give_is_refused(solver, call, message):
    with pytest.raises(ValueError, match=message):
        call(kept(NTKRegressor, solver), data()[2][:3])


@each
def test_intervals_by_default(solver):
    model, new = kept(NTKRegressor, solver), data()[2]
    method = "jackknife+" if solver == "local" else "conformal"
    assert_allclose(model.predict_interval(new), model.predict_interval(new, method=method))


@each
def test_normal_intervals(solver):
    low, high = kept(NTKRegressor, solver).predict_interval(data()[2], method="gaussian").T
    assert np.all(low < high)


def copies():
    """Rows that occur up to twice, with other targets, and new rows."""
    X, y, X_test, _ = data(n=40)
    return np.vstack([X, X[:9]]), np.append(y, y[:9] + 0.3), X_test


def test_jackknife_of_all_rows_as_centres_is_exact():
    X, y, X_test = copies()
    exact = NTKRegressor(**PLAIN, alpha=0.1).fit(X, y)
    model = NTKRegressor(**PLAIN, alpha=0.1, solver="nystroem").fit(X, y)
    found, expected = (one.predict_interval(X_test, 0.8, "jackknife+") for one in (model, exact))
    assert_allclose(found, expected, rtol=1e-7)


def test_conformal_intervals_of_centres_are_those_of_refits():
    X, y, X_test, _ = data(n=200)
    alpha, rank = 0.1, 21  # of 25 rows that are no candidates for centres
    model = NTKRegressor(**PLAIN, alpha=alpha, solver="nystroem", n_components=30).fit(X, y)
    held = model._centers.held.rows
    for x, ends in zip(X_test[:5], model.predict_interval(X_test[:5], 0.8), strict=True):
        points = model._rows(np.vstack([X, x]))
        Z = model._centers.basis.values(model.kernel_(points, model.X_fit_))
        G = np.linalg.inv(Z @ Z.T + alpha * np.eye(len(Z)))
        M = G - np.outer(G.sum(axis=0), G.sum(axis=0)) / G.sum()
        for end in ends:
            sizes = np.abs(M @ np.append(y, end)) / np.sqrt(M.diagonal())
            order = np.sort(sizes[held])
            assert len(held) == 25
            assert_allclose(sizes[-1], order[rank - 1], rtol=1e-6)


@pytest.mark.slow
def test_jackknife_of_leaves_is_that_of_refits():
    X, y, X_test = copies()
    model = NTKRegressor(**PLAIN, alpha=0.1, solver="local", leaf_size=28).fit(X, y)
    Y, leaves, kernel = model._targets, model._leaves, model.kernel_
    rows, n = model._samples.group, len(y)

    @cache
    def refit(kept):
        return NTKRegressor(kernel, alpha=0.1).fit(model.X_fit_[rows[[*kept]]], y[[*kept]])

    assert len(leaves.leaves) == 2

    def without(i):
        """Blended predictions at the new rows, and at the row i, without that row."""
        points, left = np.vstack([X_test, X[i]]), np.flatnonzero(np.arange(n) != i)
        points, values = model._rows(points), np.zeros(len(points))
        for leaf, _, some, share in leaves.blocks(points):
            kept = left[np.isin(rows[left], leaf.rows)]
            values[some] += share * refit(tuple(kept)).predict(points[some])
        return values[:-1], abs(y[i] - values[-1])

    values, sizes = map(np.array, zip(*map(without, range(n)), strict=True))
    rank = int(np.ceil(0.8 * (n + 1)))
    high = np.sort(values + sizes[:, None], axis=0)[rank - 1]
    low = -np.sort(sizes[:, None] - values, axis=0)[rank - 1]
    found = model.predict_interval(X_test, 0.8, "jackknife+")
    assert_allclose(found, np.stack([low, high], axis=1), rtol=1e-6)
    assert Y.shape[0] == 40


@pytest.mark.parametrize("solver, method", [("local", "jackknife+"), ("nystroem", "conformal")])
def test_intervals_of_approximations_cover(solver, method):
    X, y, X_test, y_test = data(n=600)
    y_test = y_test + 0.2 * np.random.default_rng(9).normal(size=600)
    model = NTKRegressor(**PLAIN, solver=solver, **SOLVERS[solver]).fit(X, y)
    low, high = model.predict_interval(X_test, 0.9, method).T
    low_share, high_share = (0.86, 0.95) if solver == "local" else (0.82, 0.98)  # 75 rows decide
    assert low_share < np.mean((low < y_test) & (y_test < high)) < high_share


# --- The choice -----------------------------------------------------------------------------------


def test_automatic_choice_tells_why(capsys, monkeypatch):
    monkeypatch.setattr(_iterations, "DOUBLE_ROWS", 0)
    monkeypatch.setattr(_choice_of_solver, "FEW_ROWS", 300)
    assert fitted(NTKRegressor, "auto", verbose=1).solver_ == "cg"
    printed = capsys.readouterr().out
    assert "solver='cg' for 400 distinct rows: conjugate gradients need" in printed
    for what in ("Gram matrix of 400 x 400 rows", "The true residual"):
        assert printed.count(f"{what}: 100 %, done in") == 1
    model = fitted(NTKRegressor, "auto", max_memory=5e5, leaf_size=100, verbose=1)
    assert model.solver_ == "local"
    assert "solver='local' for 400 distinct rows: one matrix would" in capsys.readouterr().out
    monkeypatch.setattr(_choice_of_solver, "FEW_ROWS", 400)
    assert fitted(NTKRegressor, "auto").solver_ == "cholesky"
    assert fitted(NTKClassifier, "auto", loss="hinge").solver_ == "cholesky"


@both
@pytest.mark.parametrize("solver", ["cholesky", "cg", "nystroem"])
def test_what_does_not_fit_is_not_started(cls, solver, monkeypatch):
    message = rf"400 distinct rows by solver='{solver}' needs .* GB.*max_memory is 1e-05 GB"
    with pytest.raises(MemoryError, match=message):
        fitted(cls, solver, max_memory=1e4)
    for place in (_memory, _solvers):
        monkeypatch.setattr(place, "check_memory_of", refuse)
    with pytest.raises(MemoryError, match="400 distinct rows"):
        fitted(cls, solver)


def test_what_to_do_about_memory_can_be_done():
    X, y, *_ = data()
    K = NTKKernel()(X)
    for model, rows, remedy in (
        (NTKRegressor(**PLAIN, max_memory=1e4, leaf_size=100), X, "'local' .* a smaller leaf_size"),
        (NTKRegressor(**PLAIN, max_memory=1e4, training_time=1.0), X, "take fewer rows, or incr"),
        (NTKRegressor("precomputed", max_memory=1e4), K, "'cg' .* take solver='nystroem', or incr"),
        (NTKRegressor("precomputed", max_memory=1e4, solver="cholesky"), K, "solver='nystroem'"),
    ):
        with pytest.raises(MemoryError, match=remedy):
            model.fit(rows, y)


@pytest.mark.parametrize("solver", ["cholesky", "cg"])
def test_factors_of_uncertainty_that_do_not_fit_are_not_made(solver, monkeypatch):
    model, X = fitted(NTKRegressor, solver, alpha=0.1), data()[2]
    set_free(monkeypatch, 1e5)
    with pytest.raises(MemoryError, match=r"uncertainty of a fit of .* rows needs .* leaf_size"):
        model.predict(X[:5], return_std=True)


def refuse(device, n_bytes, what, remedy):
    raise MemoryError(what)


@both
@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"solver": "cg", "training_time": 1.0}, "got training_time=1.0, which needs the whole"),
        ({"solver": "local", "leaf_size": 1}, "'leaf_size' parameter .* must be an int"),
        ({"solver": "nystroem", "n_components": 401}, "distinct rows, 400; got 401"),
        ({"solver": "nystroem", "centers": np.ones((3, 2))}, r"array \(m, 3\) .* shape \(3, 2\)"),
        ({"solver": "nystroem", "centers": np.ones((3, 3))}, "1 of 3 do: drop the others"),
        ({"solver": "nystroem", "centers": np.full((1, 3), np.nan)}, "centers must be .* got nan"),
    ],
)
def test_bad_parameters_leave_nothing_behind(cls, parameters, message):
    X, y, *_ = data()
    y = y if cls is NTKRegressor else labels(y)
    model = cls(**{**PLAIN, **parameters})
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert not [name for name in vars(model) if name.endswith("_")]


def test_parameters_of_one_estimator_only():
    X, y, *_ = data()
    for parameters, message in (
        ({"loss": "log_loss", "solver": "local"}, "got loss='log_loss', which needs the whole"),
        ({"solver": "local", "leaf_size": 5}, "leaf_size must be at least 6, two rows for each"),
    ):
        with pytest.raises(ValueError, match=message):
            NTKClassifier(**parameters).fit(X, labels(y))
    with pytest.raises(ValueError, match="got uncertainty='ensemble', which needs the whole"):
        NTKRegressor(uncertainty="ensemble", solver="nystroem").fit(X, y)


def test_precomputed_kernels():
    X, y, X_test, _ = data()
    kernel = NTKKernel()
    K, K_test = kernel(X), kernel(X_test, X)
    for solver in ("cg", "nystroem"):
        parameters = {"alpha": 0.1, "solver": solver, "squash": None, **SOLVERS[solver]}
        found = NTKRegressor("precomputed", **parameters).fit(K, y).predict(K_test)
        expected = NTKRegressor(kernel, **parameters).fit(X, y).predict(X_test)
        assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(ValueError, match="which kernel='precomputed' lacks"):
        NTKRegressor("precomputed", solver="local").fit(K, y)
    with pytest.raises(ValueError, match="centers must be 'uniform' or 'rpcholesky' for kernel="):
        NTKRegressor("precomputed", solver="nystroem", centers=K[:3]).fit(K, y)


@each
def test_kernels_of_scikit_learn(solver):
    X, y, X_test, y_test = data()
    model = NTKRegressor(RBF(2.0), solver=solver, **SOLVERS[solver]).fit(X, y)
    mean, std = model.predict(X_test, return_std=True)
    assert np.sqrt(np.mean((mean - y_test) ** 2)) < 0.3 and np.all(std > 0.0)


# --- Warnings, and going on -----------------------------------------------------------------------


def test_fit_that_has_not_converged_warns_and_goes_on():
    X, y, *_ = data()
    model = NTKRegressor(**PLAIN, alpha=1e-3, solver="cg", tol=1e-7, max_iter=20)
    with pytest.warns(ConvergenceWarning, match="after 20 iterations with a residual of"):
        model.fit(X, y)
    first = model.residual_
    assert model.n_iter_ == 20 and first > 1e-6
    model.set_params(warm_start=True)  # as the warning made one think of it
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    assert model.residual_ < first
    model.set_params(max_iter=500).fit(X, y)
    assert model.residual_ <= 1e-6
    whole = NTKRegressor(**PLAIN, alpha=1e-3, solver="cg", tol=1e-7).fit(X, y)
    assert model.n_iter_ < whole.n_iter_
    assert_allclose(model.predict(X), whole.predict(X), atol=1e-5)
    model.fit(X[:300], y[:300])  # other rows: from the start
    assert model.residual_ <= 1e-6


def test_other_solvers_forget_the_iterations():
    X, y, *_ = data(n=60)
    model = NTKRegressor(**PLAIN, alpha=0.1, solver="cg", warm_start=True).fit(X, y)
    n_iter = model.n_iter_
    model.set_params(solver="cholesky").fit(X, y)
    assert model.set_params(solver="cg").fit(X, y).n_iter_ == n_iter  # from the start


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.1, 0.3, 1.0])
def test_two_rows_have_the_same_uncertainty_by_all_solvers(alpha):
    """Their residuals are alike, so that the likelihood of noise is flat but for rounding."""
    for seed in range(3):
        X, y, X_test, _ = data(n=2, seed=seed)
        models = [
            NTKRegressor(**PLAIN, alpha=alpha, solver=solver).fit(X, y)
            for solver in ("cholesky", *SOLVERS)
        ]
        assert_allclose([model.noise_ for model in models], 0.0)
        stds = [model.predict(X_test, return_std=True)[1] for model in models]
        assert_allclose(stds, [stds[0]] * 4, rtol=1e-4)


@pytest.mark.parametrize("kernel, activation", [("nngp", "erf"), ("ntk", "gelu")])
def test_smooth_targets_without_noise(kernel, activation, monkeypatch):
    """Single precision is not enough for the ridge, and is not used."""
    monkeypatch.setattr(_iterations, "DOUBLE_ROWS", 600)
    X = np.random.default_rng(0).normal(size=(750, 2))
    y = np.sin(X[:, 0]) + 0.5 * X[:, 1]
    model = NTKRegressor(kernel, activation=activation, features=None, solver="cg")
    model.fit(X[:-50], y[:-50])
    assert model.residual_ <= 1e-4
    assert np.sqrt(np.mean((model.predict(X[-50:]) - y[-50:]) ** 2)) < 0.02


def test_constant_rows_and_targets():
    X, y = np.ones((30, 2)), np.full(30, 2.0)
    X[:, 0] = np.arange(30)
    for solver in SOLVERS:
        model = NTKRegressor(**PLAIN, solver=solver).fit(X, y)
        assert_allclose(model.predict(X), 2.0)


def test_importances_of_leaves_are_by_weight():
    """Rows of hardly any weight depend on another column than the rest."""
    X = np.random.default_rng(0).normal(size=(400, 3))
    is_light = X[:, 0] > 0.0
    y = 5.0 * X[:, 0] + np.sin(2.0 * np.where(is_light, X[:, 1], X[:, 2]))
    weights = np.where(is_light, 1e-3, 1.0)
    options = {"alpha": 1e-4, "solver": "local", "leaf_size": 100}
    model = NTKRegressor("ntk", activation="erf", **options).fit(X, y, weights)
    shares = model.feature_importances_
    assert shares.sum() == pytest.approx(1.0)
    assert shares[2] > 10.0 * shares[1]
