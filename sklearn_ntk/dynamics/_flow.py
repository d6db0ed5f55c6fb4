"""Gradient flow on a Gram matrix, with leave-one-out residuals at every time."""

from functools import cached_property

import numpy as np

from .._runtime.check import read_cross, read_number, read_targets
from ._contours import contour, groups, product, real_product
from ._training import Training


class GradientFlow(Training):
    """Gradient flow of a wide network on the squared error, solved in closed form.

    Predictions are ``f + c`` with ``f = 0`` at time 0. ``f`` follows the negative gradient, times
    ``learning_rate``, of ``(sum_i w_i |y_i - f(x_i) - c|^2 + alpha |f|^2) / (2 n)``, where ``n`` is
    the sum of the weights and ``c`` the constant of the least loss at each time. The limit of
    infinite time is `solvers.Ridge`. This is `Training` with the method `Flow`; in addition it has
    the residuals and variances of leaving out one row.

    Parameters
    ----------
    K : array of shape (n, n)
        Gram matrix, with the NTK that of a network of which all layers are trained.
    weights : array of shape (n,), optional
        Positive weights of the rows, ones by default.
    alpha : float, default=0.0
        Ridge.
    learning_rate : float, default=1.0

    Raises
    ------
    ValueError
        If the matrix has negative eigenvalues, so that the flow would diverge, if it is not
        symmetric, or if a parameter, here or of a method, is not a finite number in its range.

    Notes
    -----
    With the eigenvalues ``L`` and eigenvectors ``U`` of ``P W^1/2 K W^1/2 P``, where ``P`` projects
    to the complement of ``sqrt(w)``, the coefficients are ``W^1/2 U phi(L) U' W^1/2 y`` with
    ``phi(L) = (1 - exp(-learning_rate t (L + alpha) / n)) / (L + alpha)``.

    ``phi`` is the inverse Laplace transform of ``1 / (s (L + alpha + s))``: the solution at a time
    is an integral of solutions with the ridges ``alpha + s`` along a contour in the complex plane.
    For each of these, leave-one-out residuals have a closed form, and thus they have one at every
    time.

    References
    ----------
    J. Lee et al., "Wide neural networks of any depth evolve as linear models under gradient
    descent", NeurIPS 2019.

    J. Weideman and L. Trefethen, "Parabolic and hyperbolic contours for computing the Bromwich
    integral", Mathematics of Computation 76, 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.dynamics import GradientFlow
    >>> x = np.linspace(-1.0, 1.0, 5)[:, None]
    >>> K = NTKKernel(depth=1, bias_var=0.1)(x)
    >>> flow = GradientFlow(K)
    >>> for time in (0.1, 10.0, 1e5):
    ...     dual, intercept = flow.coefficients(1.0 + x**2, time)
    ...     print((K @ dual + intercept).ravel().round(2))
    [1.51 1.5  1.49 1.5  1.51]
    [1.92 1.35 0.95 1.35 1.92]
    [2.   1.25 1.   1.25 2.  ]
    """

    def __init__(self, K, weights=None, alpha=0.0, learning_rate=1.0):
        super().__init__(K, weights, alpha, learning_rate)
        self._rest = np.maximum(1.0 - self._shares, np.finfo(float).eps)

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
        (found,) = self.residuals_of_ridges(Y, [self.alpha], [_read_time(time)])
        return found[0, 0, :, 0] if is_flat else found[0, 0]

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
        cross, _ = self._project_cross(read_cross(cross, self._n))
        targets, mean = self._project(Y), self._shares @ Y
        outputs = np.zeros((cross.shape[1], *Y.shape))
        for rows, nodes, weights in self._contours(_read_time(time)):
            squares, vectors = self._squares[rows], self._vectors[rows]
            shares = (self._shares / self._root)[rows, None]
            for node, weight in zip(nodes, (weights / nodes).T, strict=True):
                filtered = 1.0 / (self._values[:, None] + self.alpha + node)
                values = mean + product(cross.T, filtered * targets)
                ratios = product(vectors, filtered * targets) / product(squares, filtered)
                effects = product(vectors, filtered * cross) + shares
                terms = values[:, None] - effects.T[:, :, None] * ratios
                outputs[:, rows] += (weight[:, None] * terms).real
        return outputs[:, :, 0] if is_flat else outputs

    def variances(self, time):
        """Predictive variance of each target by networks that are trained without its row.

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
        for rows, nodes, weights in self._contours(2.0 * _read_time(time)):
            ridges, damped = self._damping(nodes)
            fitted = self._values[:, None] / (self._values[:, None] + ridges)
            ratio = product(self._squares[rows], fitted) / product(self._squares[rows], damped)
            latent = (weights / nodes * (ridges * ratio)).real.sum(axis=1)
            rest = self._rest[rows]
            least = 1e-10 * (self._squares[rows] @ self._values) / rest
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
        u : array of shape (m,)
            Rows ``i`` and ``j`` have the covariance ``k(x_i, x_j) - (V'V)_ij + u_i + u_j``.
        """
        cross = read_cross(cross, self._n)
        projected, means = self._project_cross(cross)
        reduction = self._reduction(_read_time(time), self.alpha)
        return np.sqrt(reduction)[:, None] * projected, self._centring(self.alpha) - means

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
        residuals, time = self._project(Y), _read_time(time)
        if n > 1:
            rates = self._rates(time, np.array([self._total * (n - 1.0) / n]))
            nodes, weights = contour(rates)
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
            Increasing, maybe infinite at the end.

        Yields
        ------
        array of shape (n_some, n_ridges, n, k)
            For the next ``n_some`` of the times.
        """
        times, targets = np.asarray(times, dtype=float), self._project(Y)
        least = 1e-30 * (np.max(self._values, initial=0.0) or 1.0)
        ridges = np.maximum(ridges, max(least, np.finfo(float).smallest_subnormal))
        levels = [(rows, self._ends(rows, ridges, targets)) for rows in self._levels()]
        for part in groups(times):
            found = np.zeros((len(times[part]), len(ridges), *Y.shape))
            for rows, ends in levels:
                rest = self._rest[rows]
                rest = rest[:1] if np.all(rest == rest[0]) else rest  # all rows have these rates
                rates = self._rates(times[part, None], self._total * rest)
                nodes, weights = contour(rates.ravel())
                limits, poles = self._ends(rows, nodes, targets), 1.0 / (nodes[:, None] - ridges)
                weights = weights.reshape(*rates.shape, -1)
                for each, rate, weight in zip(found, rates, weights, strict=True):
                    moved = real_product(weight[:, None] * limits, poles)
                    moved -= ends * real_product(weight, poles)[:, None]
                    moved *= np.exp(-rate[:, None] * ridges)[:, None]
                    each[:, rows] = np.moveaxis(ends + moved, -1, 0)
            yield found / self._root[:, None]

    def _ends(self, rows, ridges, targets):
        """Residuals (n_rows, k, n_ridges) of some rows after infinite time, times ``sqrt(w)``."""
        damped = ridges / (self._values[:, None] + ridges)
        parts = [product(self._vectors[rows], each[:, None] * damped) for each in targets.T]
        return np.stack(parts, axis=1) / product(self._squares[rows], damped)[:, None]

    @cached_property
    def _squares(self):
        """Squares of the entries of the eigenvectors (n, n - 1), for leave-one-out only."""
        return self._vectors**2

    def _damping(self, nodes):
        """Ridges ``r`` at the nodes of a contour, and ``r / (L + r)`` of shape (n - 1, n_nodes).

        The latter is the part of each component of the targets that remains in the residuals.
        """
        ridges = self.alpha + nodes
        return ridges, ridges / (self._values[:, None] + ridges)

    def _rates(self, time, total):
        """``learning_rate t / total``, clipped so that exponentials neither overflow nor lose 0.

        Beyond the bounds nothing changes any more.
        """
        scale = np.max(self._values, initial=0.0) + self.alpha or 1.0
        with np.errstate(over="ignore"):
            return np.clip(self.learning_rate * time / total * scale, 1e-30, 1e30) / scale

    def _contours(self, time):
        """Yield groups of rows, with the nodes and weights of their contour integrals."""
        for rows in self._levels():
            yield rows, *contour(self._rates(time, self._total * self._rest[rows]))

    def _levels(self):
        """Yield groups of rows, the rest of the weights without each within a factor of two."""
        if self._n > 1:  # without the only row there are no data
            levels = np.floor(np.log2(self._rest))
            for level in np.unique(levels):
                rows = levels == level
                yield slice(None) if rows.all() else rows  # a slice copies nothing


def _read_time(time):
    return read_number(time, "time", may_be_infinite=True)
