"""Base class of the estimators on a Dask cluster: the client, fits, and lazy results of methods."""

import reprlib
from copy import copy

import dask.array as da
from dask import delayed
from distributed import Client, default_client
from sklearn.utils.validation import check_is_fitted

from .._runtime.memory import check_memory, free_memory
from ..engines._tasks import on_one_thread
from ..engines._work import SHARE
from ..estimators._solvers import SOLVERS
from ..solvers._iterations import memory_of_columns
from ..solvers._trials import n_columns
from ._arrays import example_of, in_memory, is_dask, parts_of
from ._operator import (
    ClusterOperator,
    check_outside_tasks,
    check_workers,
    memory_of,
    n_threads_of,
)


class DaskEstimator:
    """Mixin: an estimator that is fitted on a cluster."""

    _learns_more = False

    def __init__(self, kernel="auto", *, client=None, **parameters):
        super().__init__(kernel, **parameters)
        self.client = client

    @classmethod
    def _get_param_names(cls):
        return sorted([*cls._local._get_param_names(), "client"])

    @property
    def client_(self):
        """The client in use."""
        client = self.client
        try:
            client = default_client() if client is None else client
        except ValueError as error:
            raise ValueError(
                f"{type(self).__name__} needs a cluster; got no client: start a "
                f"distributed.Client, or pass one."
            ) from error
        if not isinstance(client, Client):
            raise ValueError(
                f"client must be a distributed.Client; got {reprlib.repr(client)}: connect one to "
                f"the address of the scheduler."
            )
        if client.asynchronous:
            raise ValueError(
                "client must not be asynchronous, as fits wait for results; got one that is: pass "
                "a Client(asynchronous=False), from another thread."
            )
        return client

    def __getstate__(self):
        return {**super().__getstate__(), "client": None}

    def __sklearn_clone__(self):
        plain = copy(self)  # without the client, which cannot be copied
        found = super(DaskEstimator, plain).__sklearn_clone__()
        found.client = self.client
        return found

    def fit(self, X, y, sample_weight=None):
        """Fit on the cluster.

        Parameters
        ----------
        X : array-like, dask array or data frame of shape (n_samples, n_features)
        y : array-like, dask array or data frame of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like or dask array of shape (n_samples,), optional

        Returns
        -------
        self
        """
        check_outside_tasks()
        n_threads_of(self.client_)  # has workers, or an error
        with self.client_.as_current():
            return super().fit(X, y, sample_weight)

    def _read(self, X, y, sample_weight, reset=True):
        return super()._read(*self._in_memory(X, y, sample_weight), reset)

    def _in_memory(self, *parts):
        """Parts of the data, those of Dask computed by the cluster."""
        return in_memory(self.client_, *parts) if any(map(is_dask, parts)) else parts

    def score(self, X, y, sample_weight=None):
        """Score of the predictions, as by the estimator that `to_local` returns.

        Parameters
        ----------
        X : array-like, dask array or data frame of shape (n_samples, n_features)
        y : array-like, dask array or data frame of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like or dask array of shape (n_samples,), optional

        Returns
        -------
        float
        """
        y, predictions, weights = self._in_memory(y, self.predict(X), sample_weight)
        return self._metric(y, predictions, sample_weight=weights)

    def to_local(self):
        """The fitted model as an ordinary estimator.

        Returns
        -------
        NTKRegressor or NTKClassifier
        """
        check_is_fitted(self)
        parameters = self.get_params(deep=False)
        del parameters["client"]
        local = self._local(**parameters)
        vars(local).update(
            {name: each for name, each in vars(self).items() if name not in [*parameters, "client"]}
        )
        return local

    def predict(self, X):
        """Predictions, lazy for a dask array.

        Parameters
        ----------
        X : array-like, dask array or data frame of shape (n_samples, n_features)

        Returns
        -------
        array or dask array, as by the estimator that `to_local` returns
        """
        return self._apply("predict", X)

    def predict_gradient(self, X):
        """Gradients of predictions or scores, lazy for a dask array.

        Parameters
        ----------
        X : array-like, dask array or data frame of shape (n_samples, n_features)

        Returns
        -------
        array or dask array, as by the estimator that `to_local` returns
        """
        return self._apply("predict_gradient", X)

    def _apply(self, method, X):
        """Result of a method of the local estimator, lazy for a dask array."""
        local = self.to_local()
        if not is_dask(X):
            return getattr(local, method)(X)
        example = getattr(local, method)(example_of(X))
        shape, model = example.shape[1:], delayed(local, pure=False)
        blocks = [
            da.from_delayed(
                delayed(on_one_thread)(_call, model, method, block, example[:0]),
                (n, *shape),
                dtype=example.dtype,
                meta=example[:0],
            )
            for n, block in parts_of(X)
        ]
        return da.concatenate(blocks)

    def _operator(self, kernel, X):
        return ClusterOperator(kernel, X, self.client_)

    def _solver_for(self, name, size):
        reason = "kernel='precomputed'" if size.is_precomputed else self._needs_matrix()
        if name == "cholesky" or reason:
            raise ValueError(
                f"{type(self).__name__} solves without the whole Gram matrix on one machine; got "
                f"{reason or f'solver={name!r}'}: take {self._local.__name__}."
            )
        whole = SOLVERS["cg"].n_bytes(self, size)
        own = memory_of_columns(size.n, n_columns(size.n, size.k))
        if name == "auto":
            limit = self.max_memory or SHARE * memory_of(self.client_)
            fits = whole <= limit and own <= SHARE * free_memory()
            name = "cg" if fits else "local"
        solver = SOLVERS[name]
        solver.check_limit(self, size)
        if name == "cg":
            what = f"A fit of {size.n} distinct rows by conjugate gradients"
            check_workers(self.client_, whole, what)
            check_memory(own, f"{what}, on the client,", "take solver='local'")
        return solver


def _call(model, method, X, empty):
    """Result of a method for the rows of a block, of which there may be none."""
    return getattr(model, method)(X) if X.shape[0] else empty
