"""Training in time: gradient flow on a Gram matrix, with leave-one-out residuals at every time."""

from functools import cached_property

import numpy as np

from .._runtime.check import read_array, read_gram, read_number, read_targets, read_weights
from ._factors import spectrum_without_constant

N_NODES = 16
"""Nodes of the contour integral: its error is about 1e-10."""


class GradientFlow:
    """Gradient flow of a wide network on the squared error, solved in closed form.

    Predictions are ``f + c`` with ``f = 0`` at time 0. ``f`` follows the negative gradient, times
    ``learning_rate``, of ``(sum_i w_i |y_i - f(x_i) - c|^2 + alpha |f|^2) / (2 n)``, where ``n`` is
    the sum of the weights and ``c`` the constant of the least loss at each time. The limit of
    infinite time is `solvers.Ridge`.

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

    __module__ = "sklearn_ntk.dynamics"

    def __init__(self, K, weights=None, alpha=0.0, learning_rate=1.0):
        K = read_gram(K)
        weights = np.ones(len(K)) if weights is None else read_weights(weights, len(K))
        self.alpha = read_number(alpha, "alpha")
        self.learning_rate = read_number(learning_rate, "learning_rate", is_positive=True)
        self._root, self._total = np.sqrt(weights), weights.sum()
        self._shares = weights / self._total
        self._rest = np.maximum(1.0 - self._shares, np.finfo(float).eps)
        self._means = K @ self._shares
        self._values, self._vectors = spectrum_without_constant(K, self._root)
        scale = self._root**2 @ np.abs(K.diagonal()) / len(K)
        self._values = _non_negative(self._values, alpha, scale)

    def coefficients(self, Y, time):
        """Dual coefficients and intercept at a time.

        Parameters
        ----------
        Y : array of shape (n,) or (n, k)
            Targets.
        time : float
            At least zero, maybe infinite.

        Returns
        -------
        dual : array of the shape of ``Y``
        intercept : float or array of shape (k,)
        """
        Y, is_flat = read_targets(Y, len(self._root))
        filtered = self._filter(_read_time(time))[:, None] * self._project(Y)
        dual = self._root[:, None] * (self._vectors @ filtered)
        intercept = self._shares @ Y - self._means @ dual
        return (dual[:, 0], intercept[0]) if is_flat else (dual, intercept)

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
        Y, is_flat = read_targets(Y, len(self._root))
        residuals, targets = np.zeros(Y.shape), self._project(Y)
        for rows, nodes, weights in self._contours(_read_time(time)):
            _, damped = self._damping(nodes)
            weights = weights / nodes / _product(self._squares[rows], damped)
            for column, target in zip(residuals.T, targets.T, strict=True):
                terms = _product(self._vectors[rows], target[:, None] * damped)
                column[rows] = (weights * terms).real.sum(axis=1)
        residuals /= self._root[:, None]
        return residuals[:, 0] if is_flat else residuals

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
        variances = np.ones(len(self._root))
        for rows, nodes, weights in self._contours(2.0 * _read_time(time)):
            ridges, damped = self._damping(nodes)
            fitted = self._values[:, None] / (self._values[:, None] + ridges)
            ratio = _product(self._squares[rows], fitted) / _product(self._squares[rows], damped)
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
        n = len(self._root)
        what = f"an array (m, {n}) of finite numbers"
        remedy = "pass the kernel between new rows and all training rows"
        cross = read_array(cross, "cross", what, remedy, [2])
        if cross.shape[1] != n:
            raise ValueError(f"cross must be {what}; got shape {cross.shape}: {remedy}.")
        time = _read_time(time)
        # with the kernel of the start the covariance at time t has the filter of the mean at 2 t
        projected = self._vectors.T @ (self._root * (cross - self._means)).T
        shift = 0.5 * (self._shares @ self._means + self.alpha / self._total)
        return np.sqrt(self._filter(2.0 * time))[:, None] * projected, shift - cross @ self._shares

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
        n = len(self._root)
        Y, is_flat = read_targets(Y, n)
        residuals, time = self._project(Y), _read_time(time)
        if n > 1:
            rates = self._rates(time, np.array([self._total * (n - 1.0) / n]))
            nodes, weights = _contour(rates)
            _, damped = self._damping(nodes)
            filtered = (damped @ (weights[0] / nodes / damped.sum(axis=0))).real
            residuals *= n * filtered[:, None]
        return residuals[:, 0] if is_flat else residuals

    @cached_property
    def _squares(self):
        """Squares of the entries of the eigenvectors (n, n - 1), for leave-one-out only."""
        return self._vectors**2

    def _project(self, Y):
        """Targets in the coordinates of the eigenvectors, ``U' W^1/2 Y`` of shape (n - 1, k)."""
        return self._vectors.T @ (self._root[:, None] * Y)

    def _damping(self, nodes):
        """Ridges ``r`` at the nodes of a contour, and ``r / (L + r)`` of shape (n - 1, n_nodes).

        The latter is the part of each component of the targets that remains in the residuals.
        """
        ridges = self.alpha + nodes
        return ridges, ridges / (self._values[:, None] + ridges)

    def _filter(self, time):
        """``phi(L)`` of all eigenvalues; zero where ``L + alpha`` is zero."""
        values = self._values + self.alpha
        is_moved = values > 0.0
        values = np.where(is_moved, values, 1.0)
        phi = -np.expm1(-self._rates(time, self._total) * values) / values
        return np.where(is_moved, phi, 0.0)

    def _rates(self, time, total):
        """``learning_rate t / total``, clipped so that exponentials neither overflow nor lose 0.

        Beyond the bounds nothing changes any more.
        """
        scale = np.max(self._values, initial=0.0) + self.alpha or 1.0
        with np.errstate(over="ignore"):
            return np.clip(self.learning_rate * time / total * scale, 1e-30, 1e30) / scale

    def _contours(self, time):
        """Yield groups of rows, with the nodes and weights of their contour integrals.

        The other rows have a weight, ``total`` in `_rates`, that differs by at most a factor of two
        within a group.
        """
        rest = self._rest
        if len(rest) < 2:  # without the only row there are no data
            return
        levels = np.floor(np.log2(rest))
        for level in np.unique(levels):
            rows = levels == level
            rows = slice(None) if rows.all() else rows  # a slice copies nothing
            yield rows, *_contour(self._rates(time, self._total * rest[rows]))


def _read_time(time):
    return read_number(time, "time", may_be_infinite=True)


def _non_negative(values, alpha, scale):
    """Eigenvalues, those below rounding set to zero; raises ValueError for negative ones."""
    if len(values) and values[0] + alpha < -1e-8 * scale:
        raise ValueError(
            "A Gram matrix to train on must be positive semi-definite; its smallest eigenvalue is "
            f"{values[0]:.3g}. Use a positive definite kernel, or increase alpha."
        )
    least = len(values) * np.finfo(float).eps * np.max(np.abs(values), initial=0.0)
    return np.where(values > least, values, 0.0)


def _contour(times):
    """Quadrature of the inverse Laplace transform at times, the longest at most twice the shortest.

    Nodes ``s`` (N_NODES,) and weights (n_times, N_NODES) with ``f(t_i) = Re sum_k weights_ik
    F(s_k)``, if all singularities of ``F`` are on the negative real axis. The contour is a parabola
    with the optimal step and size of Weideman and Trefethen.
    """
    step = np.sqrt(8.0 * 2.0 + 1.0) / N_NODES
    size = np.pi / (4.0 * step * 2.0 * times.min())
    root = 1.0 + 1j * step * (np.arange(N_NODES) + 0.5)
    nodes = size * root**2
    return nodes, 2.0 * step * size / np.pi * root * np.exp(np.outer(times, nodes))


def _product(A, B):
    """Product of a real and a complex matrix by real arithmetic."""
    return (A @ np.ascontiguousarray(B).view(float)).view(complex)
