"""Training of a wide network on the squared error, in closed form for every method."""

import warnings
from copy import copy

import numpy as np

from .._runtime.check import read_flag, read_gram, read_number, read_targets, read_weights
from .._runtime.device import on_host, product
from ..gram._spectrum import non_negative, spectrum_without_constant, weighted_spectrum
from ._arguments import read_method, read_outputs
from ._left_out import LeaveOneOut
from ._losses import Losses
from ._methods import FLOW
from ._trained import Trained

LARGEST = 1e100
"""Filter factors beyond this mean that training has diverged."""


class Training(Losses, LeaveOneOut, Trained):
    """Training of a wide network on the squared error, solved in closed form.

    Outputs are ``f + c``. ``f`` starts at given outputs, zero by default, and a method of training
    moves it along the negative gradient, times ``learning_rate``, of ``(sum_i w_i |y_i - f(x_i) -
    c|^2 + alpha |f - f_0|^2) / (2 n)``. Here ``n`` is the sum of the weights, and ``|f - f_0|`` is
    the distance of the parameters of the network from their initial values. ``c`` is the constant
    with the smallest loss at each time, or zero.

    Parameters
    ----------
    K : array of shape (n, n)
        Gram matrix: the NTK for a network with all layers trained, the NNGP for one with only the
        last layer trained. Eigenvectors of a matrix in the memory of a GPU, an array of CuPy, stay
        there; arrays with a few numbers for each row are of NumPy.
    weights : array of shape (n,), optional
        Positive weights of the rows, ones by default.
    alpha : float, default=0.0
        Weight decay toward the initial parameters, that is, a ridge.
    learning_rate : float, default=1.0
        Step size, or factor of the time.
    method : value, default=Flow()
        `Flow`, `Descent`, `HeavyBall`, `Nesterov` or `MomentumFlow`.
    fit_intercept : bool, default=True
        Whether to fit the constant ``c``. Without it, outputs are those of the network alone.

    Attributes
    ----------
    max_learning_rate : float
        Training is stable for learning rates below this.

    Raises
    ------
    ValueError
        If the matrix has negative eigenvalues, so that training would diverge, if it is not
        symmetric, or if a parameter, here or of a function, is not a number in its range.

    Warns
    -----
    RuntimeWarning
        If the learning rate is not less than ``max_learning_rate``.

    Notes
    -----
    With the eigenvalues ``L`` and eigenvectors ``U`` of ``W^1/2 K W^1/2``, the coefficients are
    ``W^1/2 U s / (L + alpha) U' W^1/2 (y - f_0)``, where ``s`` are the filter factors of the method
    at ``x = learning_rate (L + alpha) / n``. With the constant, eigenvectors are taken in the
    complement of ``sqrt(w)``. All times share the eigenvectors.

    ``s`` is an integral of filter factors of ridge regression along a contour in the complex plane
    (for gradient flow, the inverse Laplace transform of J. Weideman and L. Trefethen, "Parabolic
    and hyperbolic contours for computing the Bromwich integral", Mathematics of Computation 76,
    2007). As leave-one-out residuals have a closed form for each ridge, they have one at every
    time.

    References
    ----------
    J. Lee et al., "Wide neural networks of any depth evolve as linear models under gradient
    descent", NeurIPS 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.dynamics import Descent, Training
    >>> x = np.linspace(-1.0, 1.0, 5)[:, None]
    >>> K = NTKKernel(depth=1, bias_var=0.1)(x)
    >>> training = Training(K, method=Descent())
    >>> round(training.max_learning_rate, 3)
    1.773
    >>> training.predict(K, x[:, 0] ** 2, [0, 10, 50]).round(2)
    array([[ 0.5 ,  0.5 ,  0.5 ,  0.5 ,  0.5 ],
           [ 0.93,  0.35, -0.06,  0.35,  0.93],
           [ 0.97,  0.31, -0.07,  0.31,  0.97]])
    """

    def __init__(
        self, K, weights=None, alpha=0.0, learning_rate=1.0, method=FLOW, fit_intercept=True
    ):
        K = read_gram(K)
        self._n = len(K)
        weights = np.ones(self._n) if weights is None else read_weights(weights, self._n)
        self.alpha = read_number(alpha, "alpha")
        self.learning_rate = read_number(learning_rate, "learning_rate", is_positive=True)
        self.method = read_method(method)
        self.fit_intercept = read_flag(fit_intercept, "fit_intercept")
        self._root, self._total = np.sqrt(weights), weights.sum()
        self._shares = weights / self._total * self.fit_intercept  # of the rows in the constant
        self._rest = np.maximum(1.0 - weights / self._total, np.finfo(float).eps)
        self._means = product(K, self._shares)
        spectrum = spectrum_without_constant if self.fit_intercept else weighted_spectrum
        self._values, self._vectors = spectrum(K, self._root)
        scale = self._root**2 @ np.abs(on_host(K.diagonal())) / self._n
        self._values = non_negative(self._values, self.alpha, scale)
        self._x, self.max_learning_rate = self._step_sizes()
        if self.learning_rate >= self.max_learning_rate:
            end = "diverges" if self.learning_rate > self.max_learning_rate else "never settles"
            warnings.warn(
                f"learning_rate={self.learning_rate:.4g} is beyond the largest stable one for "
                f"{method!r}, {self.max_learning_rate:.4g}: training {end}; decrease it.",
                RuntimeWarning,
                stacklevel=2,
            )

    def coefficients(self, Y, times, start=None):
        """Dual coefficients and intercept at one time or several.

        Parameters
        ----------
        Y : array of shape (n,) or (n, k)
            Targets.
        times : float or array of shape (n_times,)
            Times, or numbers of steps; at least zero, possibly infinite.
        start : array of the shape of ``Y``, optional
            Initial outputs, zero by default; the result is the change from them.

        Returns
        -------
        dual : array of the shape of ``Y``, or of shape (n_times, n) or (n_times, n, k)
            Outputs are ``k(x, X) @ dual + intercept``, plus the initial ones.
        intercept : array of shape () or (k,), or of shape (n_times,) or (n_times, k)
        """
        Y, is_flat = self._targets(Y, start)
        gains = np.atleast_2d(self._gains(times))
        filtered = gains.T[:, :, None] * self._project(Y)[:, None, :]
        columns = filtered.reshape(len(self._values), len(gains) * Y.shape[1])
        dual = self._root[:, None] * product(self._vectors, columns)
        intercept = self._shares @ Y - (self._means @ dual).reshape(-1, Y.shape[1])
        dual = dual.reshape(self._n, -1, Y.shape[1]).swapaxes(0, 1)
        if is_flat:
            dual, intercept = dual[:, :, 0], intercept[:, 0]
        return (dual, intercept) if np.ndim(times) else (dual[0], intercept[0])

    def at_rate(self, learning_rate):
        """The same training at another learning rate, with the same eigenvectors.

        Parameters
        ----------
        learning_rate : float
            There is no warning if it exceeds ``max_learning_rate``.

        Returns
        -------
        Training
        """
        other = copy(self)
        other.learning_rate = read_number(learning_rate, "learning_rate", is_positive=True)
        other._x, _ = other._step_sizes()
        return other

    def learning_times(self):
        """Time, or number of steps, in which the residual of each eigenvector falls by a factor e.

        For methods with momentum this holds asymptotically. Infinite where it does not fall.

        Returns
        -------
        array of shape (n - 1,) with the constant, else (n,)
            In the order of increasing eigenvalues.
        """
        rates = np.maximum(self.method.rate(self._x), 0.0)
        with np.errstate(divide="ignore"):
            return 1.0 / rates

    def _step_sizes(self):
        """``learning_rate (L + alpha) / n`` of shape (n - 1,), and the largest stable rate."""
        values, finite = self._values + self.alpha, np.finfo(float)
        with np.errstate(over="ignore", divide="ignore"):
            x = np.clip(
                self.learning_rate / self._total * values, finite.smallest_subnormal, finite.max
            )
            largest = self._total * self.method.limit / np.max(values, initial=0.0)
        return np.where(values > 0.0, x, 0.0), float(largest)

    def _targets(self, Y, start):
        """Targets (n, k) less the initial outputs, and whether they had one axis."""
        Y, is_flat = read_targets(Y, self._n)
        if start is None:
            return Y, is_flat
        start = read_outputs(start, Y.shape[:1] if is_flat else Y.shape, "start")
        return Y - start.reshape(Y.shape), is_flat

    def _project(self, Y):
        """Targets in the coordinates of the eigenvectors, ``U' W^1/2 Y`` of shape (n - 1, k)."""
        return product(self._vectors.T, np.asarray(self._root, like=Y)[:, None] * Y)

    def _project_cross(self, cross):
        """Kernel (m, n) in these coordinates, (n - 1, m), and its means (m,) over the rows."""
        centred = cross - np.asarray(self._means, like=cross)
        return self._project(centred.T), product(cross, self._shares)

    def _gains(self, times):
        """``s / (L + alpha)`` of shape (..., n - 1), zero where ``L + alpha`` is zero."""
        shares = self.method.filter(self._x, times)
        if np.abs(shares).max(initial=0.0) > LARGEST:
            raise ValueError(
                f"training must not diverge; got learning_rate={self.learning_rate:.4g} for "
                f"{self.method!r}: make it less than {self.max_learning_rate:.4g}."
            )
        values = self._values + self.alpha
        return np.divide(shares, values, out=np.zeros_like(shares), where=values > 0.0)

    def _residuals(self, times):
        """Parts (..., n - 1) of the components of the targets that are not fitted."""
        return 1.0 - self._values * self._gains(times)

    def _reduction(self, times, noise):
        """What the variance along each eigenvector falls by, (..., n - 1), divided by ``L^2``.

        For networks that start as the Gaussian process of the kernel they are trained by, and
        targets with this noise.
        """
        gains = self._gains(times)
        return gains * (2.0 - (self._values + noise) * gains)

    def _centring(self, noise):
        """Half the variance of a constant, ``s' K s / 2``, with that of the mean noise."""
        return 0.5 * (self._shares @ self._means + noise * self._shares.sum() / self._total)

    @property
    def weights(self):
        """Weights (n,) of the rows."""
        return self._root**2

    def decays(self):
        """Whether residuals fall toward zero along each eigenvector, without changing sign."""
        return bool(np.max(self._x, initial=0.0) <= self.method.calm)
