"""Training in time: gradient flow on a Gram matrix, with leave-one-out residuals at every time."""

from functools import cached_property

import numpy as np

from .._runtime.check import read_array, read_gram, read_number, read_targets, read_weights
from ._factors import spectrum_without_constant

N_NODES = 16
"""Nodes of the contour integral: its error is about 1e-10."""


class GradientFlow:
    """Gradient flow of a wide network on the squared error, solved in closed form.

    The function ``f + c`` starts with ``f = 0``, and ``f`` descends at ``learning_rate`` on
    ``(sum_i w_i |y_i - f(x_i) - c|^2 + alpha |f|^2) / (2 n)``, where ``n`` is the sum of weights
    and ``c`` is the best constant at all times. After infinite time it is `solvers.Ridge`.

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
        symmetric, or if something is no finite number in its bounds, also in the methods.

    Notes
    -----
    With the eigenvalues ``L`` and eigenvectors ``U`` of ``P W^1/2 K W^1/2 P``, where ``P`` takes
    away the component along ``sqrt(w)``, the coefficients are ``W^1/2 U phi(L) U' W^1/2 y`` with
    ``phi(L) = (1 - exp(-learning_rate t (L + alpha) / n)) / (L + alpha)``.

    ``phi`` is the inverse Laplace transform of ``1 / (s (L + alpha + s))``, a mixture of ridges
    ``alpha + s`` on a contour in the complex plane. For each of them leaving out one row has a
    closed form, and so it has at every time.

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
            At least zero; infinite at the end.

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
        found, targets = np.zeros(Y.shape), self._project(Y)
        for rows, nodes, weights in self._contours(_read_time(time)):
            _, damped = self._damping(nodes)
            weights = weights / nodes / _product(self._squares[rows], damped)
            for column, target in zip(found.T, targets.T, strict=True):
                parts = _product(self._vectors[rows], target[:, None] * damped)
                column[rows] = (weights * parts).real.sum(axis=1)
        found /= self._root[:, None]
        return found[:, 0] if is_flat else found

    def variances(self, time):
        """Variance of each row when networks are trained without it for the same time.

        They start as draws of the Gaussian process with this kernel, and targets have the noise
        ``alpha / w_i``, which is part of the variance.

        Parameters
        ----------
        time : float

        Returns
        -------
        array of shape (n,)
        """
        found = np.ones(len(self._root))
        for rows, nodes, weights in self._contours(2.0 * _read_time(time)):
            ridges, damped = self._damping(nodes)
            kept = self._values[:, None] / (self._values[:, None] + ridges)
            parts = _product(self._squares[rows], kept) / _product(self._squares[rows], damped)
            spread = (weights / nodes * (ridges * parts)).real.sum(axis=1)
            rest = self._rest[rows]
            least = 1e-10 * (self._squares[rows] @ self._values) / rest
            spread = np.maximum(spread, np.maximum(least, np.finfo(float).tiny))
            found[rows] = (self.alpha + spread) / (self._root[rows] ** 2 * rest)
        return found

    def reduction(self, cross, time):
        """How the data change the covariance of the networks that `variances` speaks of.

        Parameters
        ----------
        cross : array of shape (m, n)
            Kernel between new rows and those of the data.
        time : float

        Returns
        -------
        V : array of shape (n - 1, m)
        u : array of shape (m,)
            Rows ``i`` and ``j`` have the prior covariance less ``(V'V)_ij`` plus ``u_i + u_j``.
        """
        n = len(self._root)
        what, remedy = f"an array (m, {n}) of finite numbers", "give a column to each row"
        cross = read_array(cross, "cross", what, remedy, [2])
        if cross.shape[1] != n:
            raise ValueError(f"cross must be {what}; got shape {cross.shape}: {remedy}.")
        time = _read_time(time)
        # with the kernel of the start the covariance at time t has the filter of the mean at 2 t
        parts = self._vectors.T @ (self._root * (cross - self._means)).T
        shift = 0.5 * (self._shares @ self._means + self.alpha / self._total)
        return np.sqrt(self._filter(2.0 * time))[:, None] * parts, shift - cross @ self._shares

    def rotated(self, Y, time):
        """Residuals of leaving out one row, in coordinates in which all rows are alike.

        They make generalised cross-validation what it is for ridges: leaving out one row after a
        rotation that gives all rows the same share in the fit.

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
        found, time = self._project(Y), _read_time(time)
        if n > 1:
            rates = self._rates(time, np.array([self._total * (n - 1.0) / n]))
            nodes, weights = _contour(rates)
            _, damped = self._damping(nodes)
            filtered = (damped @ (weights[0] / nodes / damped.sum(axis=0))).real
            found *= n * filtered[:, None]
        return found[:, 0] if is_flat else found

    @cached_property
    def _squares(self):
        """Squares of the eigenvectors, which only leaving out one row needs."""
        return self._vectors**2

    def _project(self, Y):
        """Targets in the coordinates of the eigenvectors."""
        return self._vectors.T @ (self._root[:, None] * Y)

    def _damping(self, nodes):
        """Ridges of the nodes of a contour, and what they leave of each eigenvector."""
        ridges = self.alpha + nodes
        return ridges, ridges / (self._values[:, None] + ridges)

    def _filter(self, time):
        """``phi`` of all eigenvalues; zero along functions that are zero in all rows."""
        values = self._values + self.alpha
        is_moved = values > 0.0
        values = np.where(is_moved, values, 1.0)
        phi = -np.expm1(-self._rates(time, self._total) * values) / values
        return np.where(is_moved, phi, 0.0)

    def _rates(self, time, total):
        """``learning_rate t / n``, in the bounds beyond which nothing changes any more."""
        scale = np.max(self._values, initial=0.0) + self.alpha or 1.0
        with np.errstate(over="ignore"):
            return np.clip(self.learning_rate * time / total * scale, 1e-30, 1e30) / scale

    def _contours(self, time):
        """Rows whose rest have about the same weight, and the contour integral for each."""
        rest = self._rest
        if len(rest) < 2:  # there is nothing to learn from without the row
            return
        levels = np.floor(np.log2(rest))
        for level in np.unique(levels):
            rows = levels == level
            rows = slice(None) if rows.all() else rows  # a slice copies nothing
            yield rows, *_contour(self._rates(time, self._total * rest[rows]))


def _read_time(time):
    return read_number(time, "time", may_be_infinite=True)


def _non_negative(values, alpha, scale):
    """Eigenvalues, zero where rounding hides them."""
    if len(values) and values[0] + alpha < -1e-8 * scale:
        raise ValueError(
            "A Gram matrix to train on must be positive semi-definite; its smallest eigenvalue is "
            f"{values[0]:.3g}. Use a positive definite kernel, or increase alpha."
        )
    least = len(values) * np.finfo(float).eps * np.max(np.abs(values), initial=0.0)
    return np.where(values > least, values, 0.0)


def _contour(times):
    """Inverse Laplace transform at some times, the longest at most twice the shortest.

    Nodes ``s`` and weights with ``f(t_i) = Re sum_k weights_ik F(s_k)``, if all singularities of
    ``F`` are on the negative real axis: a parabola with the step and the size that Weideman and
    Trefethen found the best.
    """
    step = np.sqrt(8.0 * 2.0 + 1.0) / N_NODES
    size = np.pi / (4.0 * step * 2.0 * times.min())
    root = 1.0 + 1j * step * (np.arange(N_NODES) + 0.5)
    nodes = size * root**2
    return nodes, 2.0 * step * size / np.pi * root * np.exp(np.outer(times, nodes))


def _product(A, B):
    """Product of a real and a complex matrix by real arithmetic."""
    return (A @ np.ascontiguousarray(B).view(float)).view(complex)
