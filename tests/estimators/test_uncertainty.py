"""The posterior of `NTKRegressor`: made once, kept while the model lives, left out of pickles."""

import copy
import io
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from sklearn_ntk import NTKRegressor, NTKRegressorCV
from sklearn_ntk.estimators import _posterior

MODELS = pytest.mark.parametrize(
    "model",
    [NTKRegressor(), NTKRegressor(training_time=10.0, alpha=0.1)],
    ids=["posterior", "trained"],
)


def data(n=60, seed=0):
    X = np.random.default_rng(seed).normal(size=(n, 3))
    return X, np.stack([np.sin(X[:, 0]), X[:, 1]], axis=1)


@pytest.fixture
def made(monkeypatch):
    """Sizes of the matrices that were factorised for a posterior."""
    sizes = []
    for name in ("projection", "_flow_projection"):
        make = getattr(_posterior, name)
        monkeypatch.setattr(
            _posterior, name, lambda K, *rest, make=make: sizes.append(len(K)) or make(K, *rest)
        )
    return sizes


@MODELS
def test_what_was_factorised_is_not_factorised_again(model, made):
    X, Y = data()
    model = clone(model).fit(X, Y)
    model.predict(X)
    assert made == []  # nobody has asked for it
    first = model.predict(X[:2], return_std=True)[1]
    assert_allclose(model.predict(X, return_std=True)[1][:2], first, rtol=1e-9)
    cov = model.predict(X[:2], return_cov=True)[1]
    assert_allclose(np.sqrt(np.einsum("iij->ij", cov)), first, rtol=1e-6)
    assert made == [60]


def test_intervals_and_deviations_share_a_factor(made):
    X, Y = data()
    model = NTKRegressor(alpha=0.1).fit(X, Y)
    for method in ("conformal", "gaussian", "jackknife+"):
        model.predict_interval(X, method=method)
    assert made == [60]


@pytest.mark.slow
@MODELS
def test_another_fit_has_another_posterior(model, made):
    model = clone(model)
    new = data(5, seed=1)[0]
    for n in (60, 40):
        X, Y = data(n)
        std = model.fit(X, Y).predict(new, return_std=True)[1]
        assert_array_equal(clone(model).fit(X, Y).predict(new, return_std=True)[1], std)
    assert made == [60, 60, 40, 40]
    model.set_params(learning_rate=2.0).predict(new, return_std=True)  # counts from the next fit on
    assert_array_equal(model.predict(new, return_std=True)[1], std)


@MODELS
def test_saved_models_have_no_posterior(model, made):
    X, Y = data()
    model = clone(model).fit(X, Y)

    def by_joblib(model):
        file = io.BytesIO()
        joblib.dump(model, file)
        return file.getvalue()

    before = [len(save(model)) for save in (pickle.dumps, by_joblib)]
    std = model.predict(X, return_std=True)[1]
    assert [len(save(model)) for save in (pickle.dumps, by_joblib)] == before
    for twin in (
        pickle.loads(pickle.dumps(model)),
        joblib.load(io.BytesIO(by_joblib(model))),
        copy.deepcopy(model),
    ):
        made.clear()
        assert_array_equal(twin.predict(X, return_std=True)[1], std)
        assert made == [60]
    made.clear()
    assert_array_equal(copy.copy(model).predict(X, return_std=True)[1], std)
    assert made == []  # it shares all that was fitted


@MODELS
def test_prediction_changes_no_attribute(model):
    X, Y = data()
    model = clone(model).fit(X, Y)
    before = dict(vars(model))
    model.predict(X, return_std=True)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())


def test_threads_share_one_posterior(made):
    X, Y = data()
    model = NTKRegressor().fit(X, Y)
    start = threading.Barrier(4)

    def ask(_):
        start.wait()
        return model.predict(X, return_std=True)[1]

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(ask, range(4))
    assert made == [60]
    for other in others:
        assert_array_equal(other, first)


def test_child_does_not_wait_for_threads_of_its_parent():
    """A lock that is held when a process forks is held for ever in the child."""
    X, Y = data()
    posterior = NTKRegressor().fit(X, Y)._posterior
    posterior._lock.acquire()
    posterior._process = -1
    model = NTKRegressor().fit(X, Y)
    project, _ = posterior.prepare(model.kernel_, model.X_fit_)
    assert project(model.kernel_(X[:2], model.X_fit_))[0].shape == (60, 2)


def test_members_of_a_stack_keep_theirs(made):
    X, Y = data()
    model = NTKRegressorCV({"depth": [1, 2], "bias_var": [0.1, 1.0]}).fit(X, Y)
    stds = [model.predict(X[:3], return_std=True)[1] for _ in range(3)]
    assert made == [60] * len(model.estimators_) and len(made) > 1
    assert_array_equal(stds[0], stds[2])


@pytest.mark.slow
def test_second_call_takes_little_time():
    """Linear in the entries of the matrix, while the first one is cubic in its rows."""
    X, Y = data(2500)
    model, seconds = NTKRegressor("ntk", activation="relu", alpha=0.1).fit(X, Y), []
    for _ in range(6):
        start = time.process_time()
        model.predict(X[:1], return_std=True)
        seconds.append(time.process_time() - start)
    assert min(seconds[1:]) < 0.25 * seconds[0]


@pytest.mark.parametrize("how", ["return_std", "return_cov"])
def test_overflow_is_told(how):
    """Squares of the kernel between rows of different size overflow before the kernel does."""
    X, y = data()
    model = NTKRegressor(activation="identity", bias_var=0.0).fit(1e-60 * X, y)
    assert np.all(np.isfinite(model.predict(1e60 * X, **{how: True})[1]))
    with pytest.raises(ValueError, match=r"uncertainty of predictions that reach .* overflows"):
        model.predict(1e152 * X, **{how: True})
