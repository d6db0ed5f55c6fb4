"""Predictions of networks after training, whatever their loss."""

import numpy as np

from .._runtime.check import read_cross
from ._arguments import read_outputs


class Trained:
    """Base class of what trains: predictions from the ``coefficients(Y, times, start)``."""

    def predict(self, cross, Y, times, start=None, start_new=None):
        """Outputs of the network, at new rows or at the training rows.

        Parameters
        ----------
        cross : array of shape (m, n)
            Kernel between these rows and the training rows; ``K`` itself for the training rows.
        Y : array of shape (n,) or (n, k)
            Targets.
        times : float or array of shape (n_times,)
            Times, or numbers of steps.
        start : array of the shape of ``Y``, optional
            Initial outputs at the training rows, zero by default.
        start_new : array of shape (m,) or (m, k), optional
            Initial outputs at the rows of ``cross``.

        Returns
        -------
        array of shape (m,) or (m, k), or of shape (n_times, m) or (n_times, m, k)
        """
        cross = read_cross(cross, self._n)
        if (start is None) != (start_new is None):
            given, other = ("start", "start_new") if start_new is None else ("start_new", "start")
            raise ValueError(f"{other} must be given with {given}; got None.")
        dual, intercept = self.coefficients(Y, times, start)
        has_columns = np.ndim(intercept) > np.ndim(times)
        rows = np.swapaxes(dual, -1, -2) if has_columns else dual
        values = np.tensordot(rows, cross, (-1, 1)) + np.expand_dims(intercept, -1)
        values = np.swapaxes(values, -1, -2) if has_columns else values
        if start_new is None:
            return values
        shape = (len(cross), *np.shape(start)[1:])
        return values + read_outputs(start_new, shape, "start_new")
