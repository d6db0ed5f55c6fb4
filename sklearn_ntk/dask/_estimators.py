"""Regression and classification on a Dask cluster."""

from ..estimators import NTKClassifier, NTKRegressor
from ..estimators._checks import read_flags
from ._base import DaskEstimator


class DaskNTKRegressor(DaskEstimator, NTKRegressor):
    """`NTKRegressor` on a Dask cluster.

    The workers hold the Gram matrix and its preconditioner ("cg"), the Gram matrix of one leaf at a
    time ("local"), or sums over it ("nystroem"). The machine of the client holds the rows. If a
    worker is lost, its part is computed again elsewhere.

    Parameters
    ----------
    kernel : {"auto", "ntk", "nngp"} or Kernel, default="auto"
    client : distributed.Client, optional
        The cluster; by default that of the client created last.
    **parameters
        All other parameters of `NTKRegressor`, except ``solver="cholesky"`` and options that need
        the whole Gram matrix, such as a ``training_time``.

    Attributes
    ----------
    client_ : distributed.Client

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from sklearn_ntk.dask import DaskNTKRegressor
    >>> X = da.random.default_rng(0).normal(size=(300, 2), chunks=(100, 2))
    >>> with Client(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None):
    ...     model = DaskNTKRegressor("ntk", activation="relu", solver="local").fit(X, X[:, 0])
    ...     prediction = model.predict(X)
    ...     prediction.chunks, model.to_local()
    (((100, 100, 100),), NTKRegressor(activation='relu', kernel='ntk', solver='local'))
    """

    _local = NTKRegressor

    def predict(self, X, return_std=False, return_cov=False, include_noise=True):
        """Predictions, lazy for a dask array; uncertainty for arrays in memory.

        Parameters
        ----------
        X : array-like, dask array or data frame of shape (n_samples, n_features)
        return_std, return_cov, include_noise : bool
            As for `NTKRegressor`, computed on the machine of the client.

        Returns
        -------
        array or dask array, or a tuple of arrays
        """
        asked = read_flags(return_std, return_cov, include_noise)
        if return_std or return_cov:
            X = self._in_memory(X)[0]
            return self.to_local().predict(X, *asked)
        return self._apply("predict", X)

    def predict_interval(self, X, coverage=0.9, method="auto"):
        """Predict intervals on the machine of the client, see `NTKRegressor.predict_interval`.

        Parameters
        ----------
        X : array-like, dask array or data frame of shape (n_samples, n_features)
            Dask arrays are loaded by the cluster.
        coverage, method
            As for `NTKRegressor.predict_interval`.

        Returns
        -------
        array of shape (n_samples, 2) or (n_samples, 2, n_outputs)
        """
        return self.to_local().predict_interval(self._in_memory(X)[0], coverage, method)

    def sample_y(self, X, n_samples=1, random_state=None, include_noise=True):
        """Draw targets on the machine of the client, see `NTKRegressor.sample_y`.

        Parameters
        ----------
        X : array-like, dask array or data frame of shape (n_samples_X, n_features)
            Dask arrays are loaded by the cluster.
        n_samples, random_state, include_noise
            As for `NTKRegressor.sample_y`.

        Returns
        -------
        array of shape (n_samples_X, n_samples) or (n_samples_X, n_outputs, n_samples)
        """
        X = self._in_memory(X)[0]
        return self.to_local().sample_y(X, n_samples, random_state, include_noise)


class DaskNTKClassifier(DaskEstimator, NTKClassifier):
    """`NTKClassifier` on a Dask cluster, see `DaskNTKRegressor`.

    Parameters
    ----------
    kernel : {"auto", "ntk", "nngp"} or Kernel, default="auto"
    client : distributed.Client, optional
        The cluster; by default that of the client created last.
    **parameters
        All other parameters of `NTKClassifier`, with the squared error.

    Attributes
    ----------
    client_ : distributed.Client
    """

    _local = NTKClassifier

    def predict_proba(self, X):
        """Probabilities of the classes, lazy for a dask array.

        Parameters
        ----------
        X : array-like, dask array or data frame of shape (n_samples, n_features)

        Returns
        -------
        array or dask array of shape (n_samples, n_classes)
        """
        return self._apply("predict_proba", X)

    def predict_log_proba(self, X):
        """Logarithms of the probabilities of the classes, lazy for a dask array.

        Parameters
        ----------
        X : array-like, dask array or data frame of shape (n_samples, n_features)

        Returns
        -------
        array or dask array of shape (n_samples, n_classes)
        """
        return self._apply("predict_log_proba", X)

    def decision_function(self, X):
        """Scores of the classes, lazy for a dask array.

        Parameters
        ----------
        X : array-like, dask array or data frame of shape (n_samples, n_features)

        Returns
        -------
        array or dask array of shape (n_samples,) or (n_samples, n_classes)
        """
        return self._apply("decision_function", X)
