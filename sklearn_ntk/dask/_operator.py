"""Gram matrices on the workers of a cluster: panels in their memory, sums over parts of rows."""

import warnings
from asyncio import gather, get_running_loop
from contextlib import contextmanager
from itertools import islice

import numpy as np
from dask import delayed
from distributed import threadpoolexecutor, wait, worker

from .._runtime.blas import single_threaded_blas
from ..engines._work import limit_threads
from ..gram import KernelOperator
from ..gram._operator import chunks, rows_of

SMALL = 2**26
"""Bytes up to which a Gram matrix is in the memory of the client: products take milliseconds."""

ENTRIES = 2**26
"""Entries of a kernel that a task computes, at least, where these are not kept."""

AHEAD = 2
"""Tasks for each thread of the workers that are sent before the first results are back."""

JOINED = 4
"""Partial sums that a task joins."""


class ClusterOperator(KernelOperator):
    """The Gram matrix of a kernel on rows, computed by the workers of a cluster.

    Parameters
    ----------
    kernel : callable
    X : array of shape (n, d)
        The rows go to the workers, with the graph of the tasks, so that a worker that is lost takes
        nothing with it.
    client : distributed.Client
    """

    device = None  # of the workers, not of this machine

    def __init__(self, kernel, X, client):
        check_outside_tasks()
        super().__init__(kernel, X)
        self._client = client

    def stored(self, is_single, n_more, what):
        n_bytes, free = (4.0 if is_single else 8.0) * len(self.X) ** 2, memory_of(self._client)
        if n_bytes <= SMALL:
            return super().stored(is_single, n_more, what)
        if n_bytes > free:
            raise MemoryError(
                f"{what} needs {n_bytes / 1e9:.3g} GB of memory, and the workers have "
                f"{free / 1e9:.3g} GB: add workers, or take solver='local'."
            )
        dtype = np.float32 if is_single else np.float64
        return Panels(self.kernel, self.X, dtype, self._client)

    def times(self, B, count=None):
        rows, columns = delayed(self.X), delayed(np.asarray(B, dtype=np.float64))
        parts = chunks(len(self.X), len(self.X), ENTRIES)
        tasks = [delayed(on_worker)(_times, self.kernel, rows, part, columns) for part in parts]
        return np.concatenate(_gather(self._client, tasks))

    def check_task(self, n_bytes, what, remedy):
        free = memory_of_task(self._client)
        if n_bytes > free:
            raise MemoryError(
                f"{what} needs {n_bytes / 1e9:.3g} GB of memory, and a worker has {free / 1e9:.3g} "
                f"GB for each thread: {remedy}, or fewer threads."
            )

    def map(self, function, parts):
        tasks = (delayed(on_worker)(function, *part) for part in parts)
        n_ahead, running = AHEAD * n_threads_of(self._client), []
        for task in tasks:
            with _quiet():
                running.append(self._client.compute(task))
            if len(running) > n_ahead:
                yield running.pop(0).result()
        yield from (future.result() for future in running)

    def fold(self, function, parts, join):
        n_ahead = AHEAD * n_threads_of(self._client)
        parts, sums = iter(parts), []
        with _quiet():
            shared = self._client.submit(_itself, function, pure=False)  # is sent once
            while group := list(islice(parts, JOINED)):
                sums.append(self._client.compute(delayed(on_worker)(shared, group)))
                if len(sums) > n_ahead:  # the oldest are joined as they come
                    _wait(self._client, sums[:JOINED])
                    joined = delayed(on_worker)(_join, join, *sums[:JOINED])
                    sums = [*sums[JOINED:], self._client.compute(joined)]
            if not sums:
                return function([])
            return self._client.compute(delayed(on_worker)(_join, join, *sums)).result()


class Panels:
    """A Gram matrix in the memory of the workers, in panels of whole rows, one for each thread.

    Workers are asked for products without tasks, which would take the scheduler several times as
    long. If one of them does not answer, or has lost its panel, the products are tasks once, for
    which the scheduler computes lost panels anew.
    """

    def __init__(self, kernel, X, dtype, client):
        self.dtype, self._client, self._homes = np.dtype(dtype), client, None
        n, rows = len(X), delayed(X)
        with _quiet():
            self._panels = client.compute(
                [
                    delayed(on_worker)(_panel, kernel, rows, part, self.dtype)
                    for part in chunks(n, 1, -(-n // n_threads_of(client)))
                ]
            )
        _wait(client, self._panels)

    def __matmul__(self, V):
        keys = [panel.key for panel in self._panels]
        try:
            if self._homes is None:
                homes = self._client.who_has(self._panels)
                self._homes = sorted({home for key in keys for home in homes[key]})
            answers = self._client.run(_products, keys, V, workers=self._homes)
            found = {key: part for answer in answers.values() for key, part in answer.items()}
            return np.concatenate([found[key] for key in keys])
        except (
            Exception
        ):  # whatever a lost worker leads to; an error of the product is raised below
            self._homes = None
        with _quiet():
            product, columns = ([each] * len(keys) for each in (np.matmul, V))
            parts = self._client.map(on_worker, product, self._panels, columns, pure=False)
            return np.concatenate(self._client.gather(parts))


async def _products(keys, V, dask_worker):
    """Products of the panels that a worker has, by their keys, computed in the threads of tasks."""
    compute, executor = get_running_loop().run_in_executor, dask_worker.executors["default"]
    panels = {key: dask_worker.data[key] for key in keys if key in dask_worker.data}
    parts = [compute(executor, on_worker, np.matmul, panel, V) for panel in panels.values()]
    return dict(zip(panels, await gather(*parts), strict=True))


def _panel(kernel, X, part, dtype):
    """Rows of the Gram matrix, computed a block at a time where that takes less memory."""
    kernel = kernel.in_single() if dtype == np.float32 and hasattr(kernel, "in_single") else kernel
    index = np.arange(len(X))[part]
    panel = np.empty((len(index), len(X)), dtype)
    for block in chunks(*panel.shape):
        panel[block] = rows_of(kernel, X, index[block])
    return panel


def _times(kernel, X, part, B):
    """Rows of ``K @ B``."""
    index = np.arange(len(X))[part]
    blocks = chunks(len(index), len(X))
    return np.concatenate([rows_of(kernel, X, index[block]) @ B for block in blocks])


def _itself(value):
    return value


def _join(join, first, *others):
    return join(first, others)


def on_worker(function, *arguments):
    """``function(*arguments)`` on one thread: a worker runs as many tasks at a time as it has."""
    with limit_threads(1), single_threaded_blas:
        return function(*arguments)


def _wait(client, futures):
    """Wait for futures of this client, which need not be the default one."""
    with client.as_current():
        wait(futures)


def _gather(client, tasks):
    """Results of tasks."""
    with _quiet():
        return client.gather(client.compute(tasks))


@contextmanager
def _quiet():
    """Without the warning that a graph holds data: that is so, lest a lost worker takes them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
        yield


def check_outside_tasks():
    """Raise ValueError in a task, which would wait for others and hold a thread that they need."""
    holds = getattr(threadpoolexecutor.thread_state, "proceed", False)  # not after a secede()
    if holds and not getattr(worker.thread_state, "actor", False):  # these have their own thread
        raise ValueError(
            "A fit on a cluster waits for its tasks, so that it cannot run inside one of them: "
            "search over NTKRegressor or NTKClassifier, or without joblib's backend='dask'."
        )


def check_connected(client):
    """Raise ValueError if the client is closed."""
    if client.status != "running":
        raise ValueError(
            f"client must be connected; got one that is {client.status}: pass another."
        )


def workers_of(client):
    """Dictionary of what is known of each worker.

    Raises ValueError if the client is closed or has none.
    """
    check_connected(client)
    workers = client.scheduler_info(n_workers=-1)["workers"]
    if not workers:
        raise ValueError("client must have workers; got none: start some, or wait for them.")
    return workers


def memory_of(client):
    """Bytes that all workers have together."""
    return float(sum(each["memory_limit"] or np.inf for each in workers_of(client).values()))


def memory_of_task(client):
    """Bytes that each task has where all threads of the workers are busy."""
    workers = workers_of(client).values()
    return min((each["memory_limit"] or np.inf) / each["nthreads"] for each in workers)


def n_threads_of(client):
    """Number of threads of all workers, which is that of the tasks that they run at a time."""
    return sum(each["nthreads"] for each in workers_of(client).values())
