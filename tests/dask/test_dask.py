"""Estimators on a cluster of processes, with workers that are lost; lazy arrays; refusals."""

import os
import pickle
import signal
import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.gaussian_process.kernels import WhiteKernel
from sklearn.metrics import r2_score

from sklearn_ntk import NTKClassifier, NTKKernel, NTKRegressor

da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

import dask  # noqa: E402
import joblib  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402

from sklearn_ntk.dask import (  # noqa: E402
    ClusterOperator,
    DaskNTKClassifier,
    DaskNTKRegressor,
    _operator,
    gram,
)
from sklearn_ntk.gram import KernelOperator  # noqa: E402
from sklearn_ntk.solvers import _nystroem  # noqa: E402
from sklearn_ntk.solvers._preconditioner import Preconditioner  # noqa: E402

pytestmark = pytest.mark.slow
IMPORTED = ["distributed", "sklearn_ntk.dask", "sklearn_ntk.engines.numba"]
PLAIN = {"kernel": "ntk", "activation": "relu", "features": None, "alpha": 0.1, "tol": 1e-11}
SMALL = {"leaf_size": 80, "n_components": 40}
SOLVERS = pytest.mark.parametrize("solver", ["cg", "local", "nystroem"])


@pytest.fixture(scope="module")
def client():
    """Of workers that are forked from a process that has imported what ours imports."""
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    method = {"distributed.worker.multiprocessing-method": "forkserver"}
    with dask.config.set(method):
        distributed.utils.get_mp_context().set_forkserver_preload(IMPORTED)
    with (
        dask.config.set(method),
        distributed.LocalCluster(**options, silence_logs="CRITICAL") as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(autouse=True)
def no_small_matrices(monkeypatch):
    """Gram matrices of few rows, too, are in the memory of the workers."""
    monkeypatch.setattr(_operator, "SMALL", 0)


def data(n=400):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n + 50, 3))
    y = np.sin(2.0 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.1 * rng.normal(size=n + 50)
    return X[:n], y[:n], X[n:]


def kill_one(client):
    """Kill a worker, and wait until another one has taken its place."""
    pid = next(iter(client.run(os.getpid).values()))
    os.kill(pid, signal.SIGKILL)


@SOLVERS
@pytest.mark.parametrize("alpha", [0.1, "auto"])
def test_fits_are_those_of_one_machine(client, solver, alpha, monkeypatch):
    monkeypatch.setattr(_nystroem, "chunks", lambda n, _: small_parts(n))
    X, y, new = data(200)
    given = {**PLAIN, **SMALL, "solver": solver, "alpha": alpha}
    model, local = DaskNTKRegressor(client=client, **given), NTKRegressor(**given)
    weights = 1.0 + np.arange(len(X)) % 3
    model.fit(da.from_array(X, chunks=(65, 2)), da.from_array(y, chunks=65), weights)
    local.fit(X, y, weights)
    assert model.solver_ == solver
    if solver == "cg" and alpha == "auto":  # of estimates by rounded products
        assert_allclose(model.loo_errors_.min(), local.loo_errors_.min(), rtol=0.02)
        return
    assert model.alpha_ == local.alpha_
    assert_allclose(model.predict(new), local.predict(new), rtol=1e-7, atol=1e-9)
    lazy = model.predict(da.from_array(new, chunks=(20, 3)))
    assert isinstance(lazy, da.Array) and lazy.chunks == ((20, 20, 10),)
    assert_allclose(lazy.compute(), model.predict(new), rtol=1e-9)
    copy = model.to_local()
    assert type(copy) is NTKRegressor and copy.get_params() == local.get_params()
    assert_array_equal(pickle.loads(pickle.dumps(copy)).predict(new), model.predict(new))
    for found, expected in zip(
        model.predict(new, return_std=True), local.predict(new, return_std=True), strict=True
    ):
        # with "cg" by estimates from rounded products
        assert_allclose(found, expected, rtol=1e-4 if solver == "cg" else 1e-6)


def small_parts(n):
    return [slice(start, start + 5) for start in range(0, n, 5)]


LOST = {
    "factor": ("cg", _operator.ClusterParts, "update"),
    "products": ("cg", _operator.Panels, "__matmul__"),
    "leaves": ("local", _operator, "delayed"),
    "sums": ("nystroem", _operator, "wait"),
}


@pytest.mark.parametrize("place", LOST)
def test_a_worker_is_lost(client, place, monkeypatch):
    """In the middle of the work, of which parts wait as many as there are workers."""
    monkeypatch.setattr(_nystroem, "chunks", lambda n, _: small_parts(n))
    X, y, new = data(200)
    solver, owner, name = LOST[place]
    model = DaskNTKRegressor(client=client, **PLAIN, **SMALL, solver=solver).fit(X, y)
    expected, killed, method = model.predict(new), [], getattr(owner, name)

    def then_kill(*arguments):
        killed.append(len(killed))
        if len(killed) == 2:
            kill_one(client)
        return method(*arguments)

    monkeypatch.setattr(owner, name, then_kill)
    found = clone(model).fit(X, y).predict(new)
    assert len(killed) >= 2
    assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def test_the_preconditioner_is_that_of_one_process(client):
    """Its columns are where the workers are, and rounding errors those of sums over parts."""
    X = data()[0]
    rng, kernel = np.random.default_rng(0), NTKKernel() + WhiteKernel(0.1)
    root, R = rng.uniform(0.5, 2.0, len(X)), rng.normal(size=(len(X), 3))
    here, there = (
        Preconditioner(operator, root, 50, np.random.default_rng(1))
        for operator in (KernelOperator(kernel, X), ClusterOperator(kernel, X, client))
    )
    assert [len(each._parts) for each in (here, there)] == [1, 2]
    assert (here.rank, there.rank) == (50, 50)
    assert_allclose(there.damping, here.damping, rtol=1e-9)
    assert_allclose(there(R, 0.1), here(R, 0.1), atol=1e-5 * np.abs(here(R, 0.1)).max())
    assert_allclose(there.diagonal(0.1), here.diagonal(0.1), rtol=1e-5)


def test_products_take_no_tasks(client, monkeypatch):
    X = data()[0]
    panels = _operator.Panels(ClusterOperator(NTKKernel(), X, client), np.dtype(float))
    V = np.random.default_rng(0).normal(size=(len(X), 3))
    expected = NTKKernel()(X) @ V
    assert_allclose(panels @ V, expected, rtol=1e-10)
    with monkeypatch.context() as patch:
        patch.setattr(client, "map", None)
        assert_allclose(panels @ V, expected, rtol=1e-10)
        patch.setattr(_operator, "SMALL", 1e7)  # on the client, no workers are asked
        patch.setattr(client, "run", None)
        assert_allclose(ClusterOperator(NTKKernel(), X, client).stored(False, 0, "K") @ V, expected)
    monkeypatch.setattr(_operator, "_answers", None)  # a worker does not answer
    assert_allclose(panels @ V, expected, rtol=1e-10)
    with pytest.raises(ValueError, match="matmul"):
        panels @ V[1:]


class Summing:
    """Sums of numbers, counting how often it is sent."""

    n_sent = 0

    def __call__(self, parts):
        return sum(parts)

    def __reduce__(self):
        Summing.n_sent += 1
        return getattr, (np, "sum")


def test_sums_count_nothing_twice_and_the_function_is_sent_once(client):
    X = data()[0]
    for operator in (KernelOperator(NTKKernel(), X), ClusterOperator(NTKKernel(), X, client)):
        assert operator.fold(Summing(), iter([1.0] * 40), lambda one, rest: one + sum(rest)) == 40.0
    assert Summing.n_sent < 5  # of ten tasks


def test_classes(client):
    X, y, new = data()
    labels = np.array(["low", "middle", "high"])[np.digitize(y, [-0.5, 0.5])]
    given = {**PLAIN, "solver": "cg"}
    model = DaskNTKClassifier(client=client, **given).fit(X, labels)
    local = NTKClassifier(**given).fit(X, labels)
    lazy = da.from_array(new, chunks=(25, 3))
    assert_array_equal(model.predict(lazy).compute(), local.predict(new))
    for name in ("predict_proba", "decision_function"):
        found = getattr(model, name)(lazy)
        assert found.shape == (50, 3)
        assert_allclose(found.compute(), getattr(local, name)(new), rtol=1e-6, atol=1e-8)
    assert model.score(new, local.predict(new)) == 1.0


def test_default_fit_and_client(client):
    """A choice of network and of features, on the client that was made last."""
    X, y, new = data(300)
    model = DaskNTKRegressor(alpha=0.01).fit(X, y)
    assert model.client_ is client and model.solver_ == "cg"
    clean = np.sin(2.0 * new[:, 0]) + new[:, 1] * new[:, 2]
    assert r2_score(clean, model.predict(new)) > 0.8
    assert clone(DaskNTKRegressor(client=client)).client is client


def test_gram_matrices_are_lazy(client):
    X, _, new = data()
    lazy = gram(NTKKernel(), *(da.from_array(part, chunks=(130, 2)) for part in (X, new)))
    assert lazy.shape == (400, 50) and lazy.chunks == ((130, 130, 130, 10), (50,))
    assert_allclose(lazy.compute(), NTKKernel()(X, new), rtol=1e-12)
    operator, B = ClusterOperator(NTKKernel(), X, client), np.ones((400, 2))
    assert_allclose(operator @ B, NTKKernel()(X) @ B, rtol=1e-12)


def test_searches_of_joblib(client):
    X, y, _ = data(100)
    search = GridSearchCV(NTKRegressor(**PLAIN), {"depth": [1, 2]}, cv=3)
    serial = search.fit(X, y).cv_results_["mean_test_score"]
    with joblib.parallel_config(backend="dask"):
        found = clone(search).fit(X, y).cv_results_["mean_test_score"]
    assert_allclose(found, serial, rtol=1e-9)


def test_searches_of_joblib_over_fits_on_the_cluster_are_refused(client):
    """These hung, as all threads of the workers waited for each other."""
    X, y, _ = data(100)
    search, seen = GridSearchCV(DaskNTKRegressor(**PLAIN), {"depth": [1, 2]}, cv=2), []

    def fit():
        with joblib.parallel_config(backend="dask"), pytest.raises(ValueError) as error:
            search.fit(X, y)
        seen.append(str(error.value))

    thread = threading.Thread(target=fit, daemon=True)
    thread.start()
    thread.join(60.0)
    assert "a fit on a cluster waits for its tasks" in "".join(seen).lower()


def test_refusals(client):
    X, y, _ = data(100)
    for given, named in (
        ({"solver": "cholesky"}, "solver='cholesky'"),
        ({"training_time": 1.0}, "training_time=1.0"),
    ):
        with pytest.raises(ValueError, match=f"without the whole Gram.*{named}: take NTKRegressor"):
            DaskNTKRegressor("ntk", client=client, **given).fit(X, y)
    closed = distributed.Client(client.scheduler.address, set_as_default=False)
    closed.close()
    with pytest.raises(ValueError, match="client must be connected; got one that is closed"):
        DaskNTKRegressor(client=closed).fit(X, y)
    huge = ClusterOperator(NTKKernel(), np.zeros((10**7, 1)), client)
    with pytest.raises(MemoryError, match=r"this needs 4e\+05 GB of memory, and the workers"):
        huge.stored(True, 0.0, "this")


def test_data_frames(client):
    """They keep the names of their columns, which are checked before anything is computed."""
    pytest.importorskip("pyarrow")
    pd, dd = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    X, y, new = data(100)
    frame = dd.from_pandas(pd.DataFrame(X, columns=list("abc")), npartitions=3)
    model = DaskNTKRegressor(client=client, **PLAIN, solver="cg")
    model.fit(frame, dd.from_pandas(pd.Series(y), npartitions=3))
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    found = model.predict(frame)
    assert isinstance(found, da.Array) and len(found.chunks[0]) == 3
    assert_allclose(found.compute(), model.predict(frame.compute()), rtol=1e-9)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[["c", "a", "b"]])
    with pytest.raises(ValueError, match="X has 2 features, but NTKRegressor is expecting 3"):
        DaskNTKRegressor(client=client, **PLAIN, solver="cg").fit(X, y).predict(
            da.from_array(new[:, :2], chunks=(20, 2))
        )
