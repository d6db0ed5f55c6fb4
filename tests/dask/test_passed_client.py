"""A client that is passed and is no default one, on a worker of two threads of this process."""

import asyncio
import threading
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.gaussian_process.kernels import WhiteKernel

from sklearn_ntk import NTKClassifier, NTKKernel, NTKRegressor
from sklearn_ntk._runtime import memory

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

from sklearn_ntk.dask import (  # noqa: E402
    DaskNTKClassifier,
    DaskNTKRegressor,
    _base,
    _operator,
    gram,
)
from sklearn_ntk.dask._arrays import in_memory  # noqa: E402
from sklearn_ntk.dask._operator import ClusterOperator, Panels  # noqa: E402
from sklearn_ntk.engines._tasks import limit_threads, on_one_thread  # noqa: E402
from sklearn_ntk.engines.numba import count_threads  # noqa: E402
from sklearn_ntk.estimators._solvers import Size  # noqa: E402

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


def weighted_data():
    X, y = data()
    return X, 4.0 + y, np.linspace(0.5, 2.0, len(X))


def arrays_of(*parts):
    return [da.from_array(part, chunks=50) for part in parts]


def frames_of(X, y, weights):
    pytest.importorskip("pyarrow")
    pd, dd = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    frame = dd.from_pandas(pd.DataFrame(np.column_stack([X, y, weights])), npartitions=2)
    return frame[[0, 1, 2]], frame[3], frame[4]


def delayed_of(*parts):
    return [dask.delayed(part) for part in parts]


@pytest.mark.parametrize("others_of", [delayed_of, frames_of])
def test_parts_of_all_kinds_keep_their_places(client, others_of):
    expected = weighted_data()
    kinds = expected, arrays_of(*expected), others_of(*expected)
    for chosen in product(range(3), repeat=3):
        found = in_memory(client, *(kinds[kind][place] for place, kind in enumerate(chosen)))
        for part, other in zip(found, expected, strict=True):
            assert_array_equal(part, other, err_msg=chosen)


def test_fits_and_scores_to_series_with_weights(client):
    given = weighted_data()
    (X, _, weights), (_, y, others) = arrays_of(*given), frames_of(*given)
    model = DaskNTKRegressor(client=client, solver="local", **PLAIN).fit(X, y, weights)
    local = NTKRegressor(**PLAIN).fit(*given)
    assert_allclose(model.predict(given[0]), local.predict(given[0]), rtol=1e-7)
    assert_allclose(model.score(X, y, others), local.score(*given), rtol=1e-7)


def test_uncertainty_of_lazy_rows_is_by_its_workers_too(client):
    """Each block is loaded once, whatever is asked for."""
    X, y = data()
    model = DaskNTKRegressor(client=client, solver="cg", **PLAIN).fit(X, y)
    lazy = da.from_array(X, chunks=(40, 3)).map_blocks(load, dtype=float, meta=np.empty((0, 0)))
    for call in (
        lambda X: model.predict_interval(X),
        lambda X: model.predict_interval(X, 0.8, method="jackknife+"),
        lambda X: model.predict_interval(X, method="gaussian"),
        lambda X: model.sample_y(X, random_state=0),
        lambda X: model.predict(X, return_std=True)[1],
    ):
        THREADS.clear()
        assert_allclose(call(lazy), call(X), rtol=1e-9)
        assert len(THREADS) == 3
        assert all("Dask-Default-Threads" in name for name in THREADS)


def test_gram_matrices_in_the_precision_of_the_kernel(client):
    X, _ = data()
    lazy, single = da.from_array(X, chunks=(40, 3)), NTKKernel(dtype="float32")
    for pair in ((lazy, X[:5]), (X[:5], lazy), (lazy,)):
        found = gram(single, *pair)
        assert found.dtype == np.float32
        expected = single(*(np.asarray(rows) for rows in pair))
        computed = client.compute(found).result()
        assert computed.dtype == np.float32
        assert_allclose(computed, expected, rtol=1e-5)
    assert gram(single, lazy, X[:5]).chunks == ((40, 40, 40), (5,))
    assert client.compute(gram(single + single, lazy)).result().dtype == np.float64


def test_memory_of_workers_and_client_counts(client, monkeypatch):
    """Workers have the matrix and its preconditioner, the client the columns of targets."""
    model = DaskNTKRegressor(client=client, **PLAIN)
    for place in (_base, _operator):
        monkeypatch.setattr(place, "memory_of", lambda _: 1e9)
    assert [model._solver_for("auto", Size(n, 1)).name for n in (5000, 10_000)] == ["cg", "local"]
    with pytest.raises(MemoryError, match=r"20000 distinct rows .* needs 2\.0\d GB .* have 1 GB"):
        model._solver_for("cg", Size(20_000, 1))
    for place in (_base, _operator):
        monkeypatch.setattr(place, "memory_of", lambda _: np.inf)
    monkeypatch.setattr(_base, "free_memory", lambda: 1e9)
    monkeypatch.setattr(memory, "free_memory", lambda: 1e9)
    with pytest.raises(MemoryError, match=r"on the client, needs 2\.2\d GB .* and 1 GB are free"):
        model._solver_for("cg", Size(1_000_000, 1))
    names = [model._solver_for("auto", Size(n, 1)).name for n in (10_000, 1_000_000)]
    assert names == ["cg", "local"]


def test_workers_are_known_whatever_the_client_asks_for_regularly(client, monkeypatch):
    async def regular(n_workers=0):
        client._scheduler_identity = {"workers": {}}

    monkeypatch.setattr(client, "_update_scheduler_info", regular)
    assert len(_operator.workers_of(client)) == 1


def test_clients_that_are_none(client):
    X, y = data()
    for fit in (DaskNTKRegressor.fit, DaskNTKRegressor.partial_fit):
        with pytest.raises(ValueError, match=r"must be a distributed\.Client; got 'tcp://here'"):
            fit(DaskNTKRegressor(client="tcp://here", n_components=9), X, y)

    async def fit_to_asynchronous():
        options = {"asynchronous": True, "set_as_default": False}
        async with distributed.Client(client.scheduler.address, **options) as other:
            DaskNTKRegressor(client=other).fit(X, y)

    with pytest.raises(ValueError, match="client must not be asynchronous"):
        asyncio.run(fit_to_asynchronous())


def test_a_client_is_closed_after_the_fit(client):
    X, y = data()
    with distributed.Client(client.scheduler.address, set_as_default=False) as other:
        model = DaskNTKRegressor(client=other, solver="local", **PLAIN).fit(X, y)
    lazy = da.from_array(X, chunks=(40, 3))
    assert model.score(X, y) > 0.9
    for call in (
        lambda: model.score(lazy, y),
        lambda: model.predict(lazy, return_std=True),
        lambda: model.predict_interval(lazy),
    ):
        with pytest.raises(ValueError, match="client must be connected; got one that is closed"):
            call()


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


def test_sparse_blocks_are_refused(client):
    X, y = data()
    model = DaskNTKRegressor(client=client, solver="local", **PLAIN).fit(X, y)
    lazy = model.predict(da.from_array(X, chunks=(40, 3)).map_blocks(csr_matrix))
    with pytest.raises(TypeError, match="Sparse data was passed for X, but dense data is required"):
        client.compute(lazy).result()


def fit_in_a_task(model, X, y, leaves=False):
    if leaves:
        distributed.secede()
    return model.set_params(client=distributed.get_client()).fit(X, y).predict(X)


class Fitting:
    """An actor."""

    def fit(self, *arguments):
        return fit_in_a_task(*arguments)


def test_fits_inside_tasks_need_these_to_leave_their_thread(client):
    X, y = data()
    model = DaskNTKRegressor(solver="local", **PLAIN)
    task = client.submit(fit_in_a_task, model, X, y)
    with pytest.raises(ValueError, match="cannot run inside one of them: search over NTKRegressor"):
        task.result(timeout=60)
    with pytest.raises(ValueError, match="cannot run inside one of them"):
        client.submit(ClusterOperator, NTKKernel(), X, None).result(timeout=60)
    expected = NTKRegressor(**PLAIN).fit(X, y).predict(X)
    found = client.submit(fit_in_a_task, model, X, y, leaves=True).result(timeout=60)
    assert_allclose(found, expected, rtol=1e-7)
    actor = client.submit(Fitting, actor=True)  # lives as long as this future
    found = actor.result().fit(model, X, y).result(timeout=60)
    assert_allclose(found, expected, rtol=1e-7)


def test_unknown_numbers_of_columns_are_refused(client):
    X, y = data()
    model = DaskNTKRegressor(client=client, solver="local", **PLAIN).fit(X, y)
    lazy = da.from_array(X, chunks=(40, 3))[:, da.from_array(np.array([True] * 3))]
    with pytest.raises(ValueError, match=r"known number of columns.*call its compute_chunk_sizes"):
        model.predict(lazy)
    with client.as_current():
        known = lazy.compute_chunk_sizes()
        assert_allclose(model.predict(known).compute(), model.predict(X), rtol=1e-9)


def test_a_task_takes_one_thread_and_each_thread_has_a_panel(client, monkeypatch):
    monkeypatch.setattr(_operator, "SMALL", 0)
    with limit_threads(2):
        assert on_one_thread(count_threads) == 1
    X, _ = data()
    panels = Panels(ClusterOperator(NTKKernel(), X, client), np.dtype(float))
    assert len(panels._parts) == 2
    assert_allclose(panels @ np.ones(120), NTKKernel()(X).sum(axis=1))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_panels_and_products_have_the_noise_of_single_rows(client, dtype, monkeypatch):
    monkeypatch.setattr(_operator, "ENTRIES", 1000)
    monkeypatch.setattr(_operator, "SMALL", 0)
    X, kernel = data()[0], NTKKernel() + WhiteKernel(0.5)
    expected, V = kernel(X), np.eye(120)
    operator = ClusterOperator(kernel, X, client)
    panels = Panels(operator, np.dtype(dtype))
    assert_allclose(panels @ V.astype(dtype), expected, rtol=1e-6)
    assert_allclose(operator @ V, expected, rtol=1e-12)
