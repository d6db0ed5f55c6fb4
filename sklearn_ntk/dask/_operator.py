"""Gram matrices on the workers of a cluster: panels in their memory, sums over parts of rows."""

import warnings
from asyncio import gather, get_running_loop
from contextlib import contextmanager
from itertools import islice

import numpy as np
from dask import delayed
from distributed import threadpoolexecutor, wait, worker

from .._runtime.chunks import chunks
from ..engines._tasks import on_one_thread
from ..gram import KernelOperator
from ..gram._kernel_operator import rows_of
from ..gram._operator import Parts

SMALL = 2**26
"""Bytes up to which a Gram matrix in single precision, or one of these rows in double precision,
is in the memory of the client, as is its preconditioner: products take milliseconds."""

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
        The rows, which are sent to the workers with the task graph, so that losing a worker loses
        nothing.
    client : distributed.Client
    """

    device = None  # of the workers, not of this machine

    def __init__(self, kernel, X, client):
        check_outside_tasks()
        super().__init__(kernel, X)
        self._client = client

    @property
    def _is_small(self):
        """Whether the client does what the workers would keep."""
        return 4.0 * len(self.X) ** 2 <= SMALL

    def stored(self, is_single, n_more, what):
        if self._is_small:
            return super().stored(is_single, n_more, what)
        dtype = np.dtype(np.float32 if is_single else np.float64)
        check_workers(self._client, dtype.itemsize * len(self.X) ** 2.0, what)
        return Panels(self, dtype)

    def parts(self, function, *arguments):
        if self._is_small:
            return super().parts(function, *arguments)
        n, plain = len(self.X), KernelOperator(self.kernel, self.X)
        operator, *shared = (delayed(each) for each in (plain, *arguments))
        slices = chunks(n, 1, -(-n // n_threads_of(self._client)))
        tasks = [delayed(on_one_thread)(function, operator, part, *shared) for part in slices]
        return ClusterParts(self._client, tasks)

    def times(self, B, count=None):
        rows, columns = delayed(self.X), delayed(np.asarray(B, dtype=np.float64))
        parts = chunks(len(self.X), len(self.X), ENTRIES)
        tasks = [delayed(on_one_thread)(_times, self.kernel, rows, part, columns) for part in parts]
        return np.concatenate(_gather(self._client, tasks))

    def check_task(self, n_bytes, what, remedy):
        free = memory_of_task(self._client)
        if n_bytes > free:
            raise MemoryError(
                f"{what} needs {n_bytes / 1e9:.3g} GB of memory, and a worker has {free / 1e9:.3g} "
                f"GB for each thread: {remedy}, or fewer threads."
            )

    def map(self, function, parts, tasks):
        tasks = (delayed(on_one_thread)(function, *part) for part in parts)
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
                sums.append(self._client.compute(delayed(on_one_thread)(shared, group)))
                if len(sums) > n_ahead:  # the oldest are joined as they come
                    _wait(self._client, sums[:JOINED])
                    joined = delayed(on_one_thread)(_join, join, *sums[:JOINED])
                    sums = [*sums[JOINED:], self._client.compute(joined)]
            if not sums:
                return function([])
            return self._client.compute(delayed(on_one_thread)(_join, join, *sums)).result()


class ClusterParts(Parts):
    """Values in the memory of the workers, one for each of their threads.

    Workers are asked without tasks, which would take the scheduler several times as long. If one
    of them does not answer, or has lost its values, the questions are tasks once, for which the
    scheduler computes lost values anew, from the first ones.
    """

    def __init__(self, client, tasks):
        self._client = client
        self._compute(tasks)

    def update(self, function, *arguments):
        shared = [delayed(each) for each in arguments]
        self._compute([delayed(on_one_thread)(function, each, *shared) for each in self._values])

    def _compute(self, tasks):
        with _quiet():
            super().__init__(self._client.compute(tasks))
        _wait(self._client, self._values)
        self._homes = None

    def ask(self, function, *arguments):
        keys = [value.key for value in self._values]
        try:
            if self._homes is None:
                homes = self._client.who_has(self._values)
                self._homes = sorted({home for key in keys for home in homes[key]})
            given = keys, function, *arguments
            answers = self._client.run(_answers, *given, workers=self._homes)
            found = {key: each for answer in answers.values() for key, each in answer.items()}
            return [found[key] for key in keys]
        except (
            Exception
        ):  # whatever a lost worker leads to; an error of the function is raised below
            self._homes = None
        functions, *shared = ([each] * len(keys) for each in (function, *arguments))
        with _quiet():
            found = self._client.map(on_one_thread, functions, self._values, *shared, pure=False)
            return self._client.gather(found)

    def total(self, function):
        sums = [delayed(on_one_thread)(function, value) for value in self._values]
        while len(sums) > 1:
            groups = (sums[start : start + JOINED] for start in range(0, len(sums), JOINED))
            sums = [delayed(sum)(group) for group in groups]
        with _quiet():
            return self._client.compute(sums[0]).result()


async def _answers(keys, function, *arguments, dask_worker):
    """Of the values that a worker has, ``function(value, *arguments)``, in the threads of tasks."""
    compute, executor = get_running_loop().run_in_executor, dask_worker.executors["default"]
    values = {key: dask_worker.data[key] for key in keys if key in dask_worker.data}
    found = [
        compute(executor, on_one_thread, function, each, *arguments) for each in values.values()
    ]
    return dict(zip(values, await gather(*found), strict=True))


class Panels:
    """A Gram matrix in the memory of the workers of a `ClusterOperator`, in panels of rows."""

    def __init__(self, operator, dtype):
        self.dtype, self._parts = dtype, operator.parts(_panel, dtype)

    def __matmul__(self, V):
        return np.concatenate(self._parts.ask(np.matmul, V))


def _panel(operator, part, dtype):
    """Rows of the Gram matrix, computed a block at a time where that takes less memory."""
    kernel, X = operator.kernel, operator.X
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
    # `scheduler_info` may return what the client asks for regularly, which is without workers
    workers = client.sync(client.scheduler.identity, n_workers=-1)["workers"]
    if not workers:
        raise ValueError("client must have workers; got none: start some, or wait for them.")
    return workers


def check_workers(client, n_bytes, what):
    """Raise MemoryError if all workers together have less memory; ``what`` begins the sentence."""
    free = memory_of(client)
    if n_bytes > free:
        raise MemoryError(
            f"{what} needs {n_bytes / 1e9:.3g} GB of memory, and the workers have {free / 1e9:.3g} "
            f"GB: add workers, or take solver='local'."
        )


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
