"""Leave-one-out residuals, predictions and variances of training, at every time."""

import numpy as np

from .._runtime.check import read_cross, read_targets
from .._runtime.device import on_host
from . import _contours
from ._methods import FLOW
from ._row_contours import RowContours, rows_of


class LeaveOneOut(RowContours):
    """Mixin of `Training`: what networks that are trained without one row predict.

    For a ridge in place of a time they have a closed form, and training at any time is a sum of
    solutions with complex ridges, see `_contours`.
    """

    def residuals(self, Y, time):
        """Residual of each row when the network is trained without it for the same time.

        Parameters
        ----------
        Y : array of shape (n,) or (n, k)
            Targets.
        time : float

        Returns
        -------
        array of the shape of ``Y``
        """
        Y, is_flat = read_targets(Y, self._n)
        residuals, targets = np.zeros(Y.shape), self._project(Y)
        for rows, nodes, weights in self._contours(time):
            ends = self._ends(rows, self.alpha + nodes, targets)
            residuals[rows] = ((weights / nodes)[:, None] * ends).real.sum(axis=2)
        residuals /= self._root[:, None]
        return residuals[:, 0] if is_flat else residuals

    def training_residuals(self, Y, time):
        """Residuals of the fit to all rows, and derivatives of fitted values by their own targets.

        Parameters
        ----------
        Y : array of shape (n, k)
            Targets.
        time : float

        Returns
        -------
        residuals : array of shape (n, k)
        leverages : array of shape (n,)
        """
        kept = self._residuals(self._time(time))
        residuals = _contours.product(self._vectors, kept[:, None] * self._project(Y))
        leverages = 1.0 - _contours.product(self._squares, kept[:, None])[:, 0]
        return residuals / self._root[:, None], leverages

    def left_out(self, cross, Y, time):
        """Outputs at new rows when the network is trained without one row for the same time.

        Parameters
        ----------
        cross : array of shape (m, n)
            Kernel between new rows and training rows.
        Y : array of shape (n,) or (n, k)
            Targets.
        time : float

        Returns
        -------
        array of shape (m, n) or (m, n, k)
            Entry (i, j) is the output at the new row i without the training row j.
        """
        Y, is_flat = read_targets(Y, self._n)
        cross = on_host(self._project_cross(read_cross(cross, self._n))[0])
        targets, mean = self._project(Y), self._shares @ Y
        outputs = np.zeros((cross.shape[1], *Y.shape))
        for rows, nodes, weights in self._contours(time):
            squares, vectors = rows_of(self._squares, rows), rows_of(self._vectors, rows)
            shares = (self._shares / self._root)[rows, None]
            for node, weight in zip(nodes, (weights / nodes).T, strict=True):
                filtered = 1.0 / (self._values[:, None] + self.alpha + node)
                values = mean + _contours.product(cross.T, filtered * targets)
                ratios = _contours.product(vectors, filtered * targets) / _contours.product(
                    squares, filtered
                )
                effects = _contours.product(vectors, filtered * cross) + shares
                terms = values[:, None] - effects.T[:, :, None] * ratios
                outputs[:, rows] += (weight[:, None] * terms).real
        return outputs[:, :, 0] if is_flat else outputs

    def variances(self, time):
        """Predictive variance of each target under networks trained without its row.

        The networks start as draws of the Gaussian process with this kernel and are trained for the
        same time; the noise ``alpha / w_i`` of the target is part of the variance.

        Parameters
        ----------
        time : float

        Returns
        -------
        array of shape (n,)
        """
        variances = np.ones(self._n)
        for rows, nodes, weights in self._contours(time, power=2):
            ridges, damped = self._damping(nodes)
            fitted = self._values[:, None] / (self._values[:, None] + ridges)
            squares = rows_of(self._squares, rows)
            ratio = _contours.product(squares, fitted) / _contours.product(squares, damped)
            latent = (weights / nodes * (ridges * ratio)).real.sum(axis=1)
            rest = np.maximum(1.0 - self._shares[rows], np.finfo(float).eps)
            least = 1e-10 * _contours.product(squares, self._values) / rest
            latent = np.maximum(latent, np.maximum(least, np.finfo(float).tiny))
            variances[rows] = (self.alpha + latent) / (self._root[rows] ** 2 * rest)
        return variances

    def reduction(self, cross, time):
        """Difference of prior and final covariance of the networks of `variances`, at new rows.

        Parameters
        ----------
        cross : array of shape (m, n)
            Kernel between new rows and training rows.
        time : float

        Returns
        -------
        V : array of shape (n - 1, m)
        A, B : arrays of shape (2 + p, m)
            Rows ``i`` and ``j`` have the covariance ``k(x_i, x_j) - (V'V)_ij + (A'B)_ij``. Steps
            that overshoot raise the variance along ``p`` eigenvectors.
        """
        cross = read_cross(cross, self._n)
        projected, means = self._project_cross(cross)
        reduction = self._reduction(self._time(time), self.alpha)
        roots, is_raised = np.sqrt(np.abs(reduction)), reduction < 0.0
        kept, rows = np.where(is_raised, 0.0, roots), np.flatnonzero(is_raised)
        raised = roots[rows, None] * on_host(projected[np.asarray(rows, like=projected)])
        centring = self._centring(self.alpha) - means
        ones = np.ones_like(centring)
        A, B = np.vstack([centring, ones, raised]), np.vstack([ones, centring, raised])
        return np.asarray(kept[:, None], like=projected) * projected, A, B

    def rotated(self, Y, time):
        """Leave-one-out residuals after a rotation that gives all rows the same leverage.

        The mean of their squares is generalised cross-validation, as for ridges. They are returned
        in the coordinates of the eigenvectors.

        Parameters
        ----------
        Y : array of shape (n,) or (n, k)
            Targets.
        time : float

        Returns
        -------
        array of shape (n - 1,) or (n - 1, k)

        References
        ----------
        G. Golub, M. Heath and G. Wahba, "Generalized cross-validation as a method for choosing a
        good ridge parameter", Technometrics 21, 1979.
        """
        n = self._n
        Y, is_flat = read_targets(Y, n)
        residuals = self._project(Y)
        if n > 1:
            nodes, weights = self._contour(self._time(time), np.array([(n - 1.0) / n]))
            _, damped = self._damping(nodes)
            filtered = (damped @ (weights[0] / nodes / damped.sum(axis=0))).real
            residuals *= n * filtered[:, None]
        return residuals[:, 0] if is_flat else residuals

    def residuals_of_ridges(self, Y, ridges, times):
        """Yield `residuals` for other ridges than ``alpha``, for some of the times at a time.

        All ridges share the contours. With the residuals ``F(r)`` at the end, for the ridge ``r``,
        real or complex, those at the time ``t`` are ``F(r) + exp(-r t) f(t)``, where ``f`` has the
        Laplace transform ``(F(s) - F(r)) / (s - r)``, singular on the negative real axis alone.

        Parameters
        ----------
        Y : array of shape (n, k)
            Targets.
        ridges : array of shape (n_ridges,)
        times : array of shape (n_times,)
            Increasing, possibly infinite at the end.

        Yields
        ------
        array of shape (n_some, n_ridges, n, k)
            For the next ``n_some`` of the times.
        """
        if self.method != FLOW:
            raise ValueError(
                f"Residuals of several ridges need method=Flow(); got {self.method!r}: take one "
                f"ridge at a time."
            )
        times, targets = np.asarray(times, dtype=float), self._project(Y)
        least = 1e-30 * (np.max(self._values, initial=0.0) or 1.0)
        ridges = np.maximum(ridges, max(least, np.finfo(float).smallest_subnormal))
        levels = [(rows, self._ends(rows, ridges, targets)) for rows in self._levels()]
        for part in _contours.groups(times):
            found = np.zeros((len(times[part]), len(ridges), *Y.shape))
            for rows, ends in levels:
                rest = self._rest[rows]
                rest = rest[:1] if np.all(rest == rest[0]) else rest  # all rows have these rates
                rates = self._rates(times[part, None], rest)
                nodes, weights = _contours.of_flow(rates.ravel())
                limits, poles = self._ends(rows, nodes, targets), 1.0 / (nodes[:, None] - ridges)
                weights = weights.reshape(*rates.shape, -1)
                for each, rate, weight in zip(found, rates, weights, strict=True):
                    moved = _contours.real_part(weight[:, None] * limits, poles)
                    moved -= ends * _contours.real_part(weight, poles)[:, None]
                    moved *= np.exp(-rate[:, None] * ridges)[:, None]
                    each[:, rows] = np.moveaxis(ends + moved, -1, 0)
            yield found / self._root[:, None]

    def _ends(self, rows, ridges, targets):
        """Residuals (n_rows, k, n_ridges) of some rows after infinite time, times ``sqrt(w)``."""
        damped = ridges / (self._values[:, None] + ridges)
        vectors, squares = rows_of(self._vectors, rows), rows_of(self._squares, rows)
        parts = [_contours.product(vectors, each[:, None] * damped) for each in targets.T]
        return np.stack(parts, axis=1) / _contours.product(squares, damped)[:, None]
