"""Losses of training on the squared error at every time, and the time to one."""

import numpy as np

from .._runtime.check import read_number
from ._times import first_time


class Losses:
    """Mixin of `Training`: losses of the rows in time."""

    def losses(self, Y, times, start=None):
        """Half the weighted mean squared error at the rows, summed over outputs, without decay.

        Parameters
        ----------
        Y : array of shape (n,) or (n, k)
        times : float or array of shape (n_times,)
        start : array of the shape of ``Y``, optional

        Returns
        -------
        float or array of shape (n_times,)
        """
        return self._residuals(times) ** 2 @ self._losses_at_start(Y, start)

    def loss_bounds(self, times):
        """Least and greatest ratio of `losses` to their initial value, for any targets.

        For gradient flow these are ``exp(-2 learning_rate L t / n)`` for the largest and the
        smallest eigenvalue ``L``.

        Parameters
        ----------
        times : float or array of shape (n_times,)

        Returns
        -------
        least, greatest : float or array of shape (n_times,)
        """
        squares = self._residuals(times) ** 2
        squares = squares if len(self._values) else np.zeros((*squares.shape[:-1], 1))
        return squares.min(axis=-1), squares.max(axis=-1)

    def time_to(self, Y, loss, start=None):
        """First time, or step, at which `losses` are at most a given loss.

        Parameters
        ----------
        Y : array of shape (n,) or (n, k)
        loss : float
            At least zero.
        start : array of the shape of ``Y``, optional

        Returns
        -------
        float
            Infinite if the loss stays above.

        Raises
        ------
        ValueError
            If the learning rate is so close to ``max_learning_rate``, or beyond it, that losses
            rise and fall for a million steps.

        Notes
        -----
        With momentum, or large steps, losses rise and fall. All steps are examined until that has
        ended; `MomentumFlow` is examined at 16 instants in the shortest period, and a dip between
        two of them may be missed.
        """
        loss = read_number(loss, "loss")
        return first_time(self, self._losses_at_start(Y, start), loss)

    def _losses_at_start(self, Y, start):
        """Losses (n - 1,) of the components of the targets, summed over outputs."""
        Y, _ = self._targets(Y, start)
        return np.sum(self._project(Y) ** 2, axis=1) / (2.0 * self._total)
