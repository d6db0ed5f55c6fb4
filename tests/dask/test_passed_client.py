"""A client that is passed and is no default one, on a worker of two threads of this process."""

import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.gaussian_process.kernels import WhiteKernel

from sklearn_ntk import NTKClassifier, NTKKernel, NTKRegressor

da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

from sklearn_ntk.dask import DaskNTKClassifier, DaskNTKRegressor, _operator  # noqa: E402
from sklearn_ntk.dask._operator import ClusterOperator, Panels, on_worker  # noqa: E402
from sklearn_ntk.engines.numba import count_threads  # noqa: E402

pytestmark = pytest.mark.slow
THREADS = []
"""Names of those that have loaded a part."""
PLAIN = {"kernel": "ntk", "activation": "relu", "features": None, "alpha": 0.1}


@pytest.fixture(scope="module")
def client():
    options = {"n_workers": 1, "threads_per_worker": 2, "dashboard_address": ":0"}
    with (
        distributed.LocalCluster(**options, processes=False) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


def data(n=120):
    X = np.random.default_rng(0).normal(size=(n, 3))
    return X, np.sin(2.0 * X[:, 0]) + X[:, 1]


def load(block):
    THREADS.append(threading.current_thread().name)
    return block


def test_all_is_computed_once_by_its_workers(client, monkeypatch):
    monkeypatch.setattr(_operator, "SMALL", 0)
    X, y = data()
    whole = da.from_array(np.column_stack([X, y]), chunks=(40, 4))
    whole = whole.map_blocks(load, dtype=float, meta=np.empty((0, 0)))
    model = DaskNTKRegressor(client=client, solver="cg", **PLAIN)
    model.fit(whole[:, :3], whole[:, 3], da.ones(120, chunks=40))
    assert len(THREADS) == 3
    assert_allclose(model.predict(X), NTKRegressor(**PLAIN).fit(X, y).predict(X), atol=1e-3)
    assert model.score(whole[:, :3], whole[:, 3]) > 0.9
    assert all("Dask-Default-Threads" in name for name in THREADS)


def test_parts_of_the_data_are_summed(client):
    X, y = data()
    model = DaskNTKRegressor(client=client, n_components=20, **PLAIN)
    local = NTKRegressor(n_components=20, **PLAIN)
    for rows in (slice(80), slice(80, 120)):
        model.partial_fit(da.from_array(X[rows]), da.from_array(y[rows]))
        local.partial_fit(X[rows], y[rows])
    assert model.solver_ == "nystroem"
    assert_allclose(model.predict(X), local.predict(X), rtol=1e-7)


def test_predictions_are_lazy_for_blocks_without_rows_too(client):
    X, y = data()
    model = DaskNTKClassifier(client=client, solver="local", **PLAIN).fit(X, np.sign(y))
    local = NTKClassifier(**PLAIN).fit(X, np.sign(y))
    lazy, few = da.from_array(X, chunks=(40, 3)), X[:, 0] > np.sort(X[:40, 0])[-1]
    for name in ("predict_log_proba", "predict_gradient"):
        found = getattr(model, name)(lazy[lazy[:, 0] > np.sort(X[:40, 0])[-1]])
        assert isinstance(found, da.Array) and np.isnan(found.shape[0])
        found = client.compute(found).result()
        assert_allclose(found, getattr(local, name)(X[few]), rtol=1e-6, atol=1e-9)


def test_a_task_takes_one_thread_and_each_thread_has_a_panel(client):
    with _operator.limit_threads(2):
        assert on_worker(count_threads) == 1
    X, _ = data()
    panels = Panels(NTKKernel(), X, np.float64, client)
    assert len(panels._panels) == 2
    assert_allclose(panels @ np.ones(120), NTKKernel()(X).sum(axis=1))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_panels_and_products_have_the_noise_of_single_rows(client, dtype, monkeypatch):
    monkeypatch.setattr(_operator, "ENTRIES", 1000)
    X, kernel = data()[0], NTKKernel() + WhiteKernel(0.5)
    expected, V = kernel(X), np.eye(120)
    panels, operator = Panels(kernel, X, dtype, client), ClusterOperator(kernel, X, client)
    assert_allclose(panels @ V.astype(dtype), expected, rtol=1e-6)
    assert_allclose(operator @ V, expected, rtol=1e-12)
