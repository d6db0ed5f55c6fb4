"""The posterior at new rows: base class, and that of factors of the whole Gram matrix."""

import os
import threading
import warnings
from typing import NamedTuple

import numpy as np

from .._runtime.chunks import chunks
from .._runtime.device import is_on_device, on_host, place_together, product
from .._runtime.memory import check_memory
from ..dynamics import Training
from ..dynamics._methods import FLOW
from ..solvers._exact import precision_of, scale
from ..solvers._factors import Cholesky, cholesky, shift
from ._memory import SPECTRAL_COPIES


class Posterior:
    """Posterior covariances of new rows in units of the kernel, that is for an amplitude of one.

    Base class; ``weights`` (n,), ``ridge`` and the other attributes are those of the fit, and stand
    in pickles. Subclasses have ``variance(kernel, X_fit, X)`` and maybe ``covariance`` and
    ``influences``, as of `WholePosterior`. What these take of the training rows alone, by `_make`,
    is computed at the first call and kept, but left out of pickles and copies. Results are arrays
    of NumPy.
    """

    is_on_device = False
    """Whether it takes rows on a GPU."""

    has_likelihood = False
    """Whether there is a likelihood of the targets, of a Gaussian process."""

    def __init__(self, weights, ridge, time=None, learning_rate=1.0, method=FLOW):
        self.weights, self.ridge = weights, ridge
        self.time, self.learning_rate, self.method = time, learning_rate, method
        self.forget()

    def forget(self):
        """Forget what is kept of calls."""
        self._kept = None
        self._renew_lock()

    def _renew_lock(self):
        self._lock, self._process = threading.Lock(), os.getpid()

    def __getstate__(self):
        return {name: each for name, each in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, state):
        vars(self).update(state)
        self.forget()

    def training(self, K):
        """`Training` on the Gram matrix of the training rows."""
        return Training(K, self.weights, self.ridge, self.learning_rate, self.method)

    def disagreement(self, kernel, X_fit, X):
        """By how much models differ that predictions are a mean of, variances (m, k) or zero."""
        return 0.0

    def prepare(self, kernel, X_fit):
        """What `_make` has made of the training rows, and the kernel variance.

        The latter is the mean over draws from the prior of their weighted variance over the
        training rows.
        """
        if self._process != os.getpid():  # in a fork: a thread of the parent may hold the lock
            self._renew_lock()
        with self._lock:
            place = place_together([X_fit], "X_fit")
            if self._kept is None or self._kept[0] != place:
                with warnings.catch_warnings():  # the fit has told of its learning rate
                    warnings.filterwarnings("ignore", "learning_rate=", RuntimeWarning)
                    self._kept = place, self._make(kernel, X_fit)
            return self._kept[1]

    def _make(self, kernel, X_fit):
        """Result of `prepare`."""
        raise NotImplementedError

    def _kernel_variance(self, K):
        """Mean over draws from a prior of their weighted variance over the training rows."""
        shares = self.weights / self.weights.sum()
        return shares @ on_host(K.diagonal()) - shares @ product(K, shares.astype(K.dtype))


class WholePosterior(Posterior):
    """`Posterior` of a Gaussian process, or at a ``time`` of networks that are trained until then.

    See `Training.reduction`. It has a factor of the whole Gram matrix, a matrix (n, n) for n
    training rows. Rows may be on a GPU, where the factor and covariances of rows then are, too.
    """

    is_on_device = True

    @property
    def has_likelihood(self):
        """Whether it is that of a Gaussian process, given the targets."""
        return self.time is None

    def forget(self):
        super().forget()
        self._precision = None

    def _make(self, kernel, X_fit):
        """Function from ``cross = k(X, X_fit)`` (m, n) to ``V``, ``A`` and ``B``; kernel variance.

        The posterior covariance is ``k(X, X) - V'V + A'B``; the last term is the uncertainty of the
        intercept.
        """
        if not is_on_device(X_fit):
            check_factor(len(X_fit), 2.0 if self.time is None else SPECTRAL_COPIES)
        K = kernel(X_fit)
        variance = self._kernel_variance(K)
        make = projection if self.time is None else _flow_projection
        return make(K, self), variance

    def variance(self, kernel, X_fit, X, see=None):
        """Posterior variances (m,) of new rows, infinite on overflow, and the kernel variance.

        ``see(rows, cross)``, if given, is called with the kernel (m_rows, n) of some of the rows.
        """
        project, kernel_variance = self.prepare(kernel, X_fit)
        variance = on_host(kernel.diag(X))
        for rows in chunks(len(X), len(X_fit)):
            cross = kernel(X[rows], X_fit)
            if see is not None:
                see(rows, cross)
            V, A, B = project(cross)
            variance[rows] += (A * B).sum(axis=0) - _squares(V)
        return np.where(np.isfinite(variance), np.maximum(variance, 0.0), np.inf), kernel_variance

    def precision(self, kernel, X_fit):
        """Inverse variances (n,) of leave-one-out residuals, in units of the kernel."""
        project, _ = self.prepare(kernel, X_fit)
        if self._precision is None:
            self._precision = project.precision()
        return self._precision

    def influences(self, kernel, X_fit, X, most):
        """Yield, for blocks of new rows, the weights (m, n) of the targets, and variances (m,).

        A block has at most ``most`` weights, or one row. Not with a ``time``.
        """
        project, _ = self.prepare(kernel, X_fit)
        for rows in chunks(len(X), len(X_fit), most):
            V, r, _ = project(kernel(X[rows], X_fit))
            variance = on_host(kernel.diag(X[rows])) + r[0] ** 2 - _squares(V)
            yield project.weights(V, r[0]), np.maximum(variance, 0.0)

    def covariance(self, kernel, X_fit, X):
        """Posterior covariances (m, m) of new rows ``X``, and the kernel variance."""
        project, kernel_variance = self.prepare(kernel, X_fit)
        V, A, B = project(kernel(X, X_fit))
        return on_host(kernel(X) - V.T @ V) + A.T @ B, kernel_variance


def check_factor(n, copies):
    """Raise MemoryError if matrices (n, n) do not fit, as many as ``copies``."""
    what = f"The uncertainty of a fit of {n} rows"
    check_memory(copies * 8.0 * n * n, what, "fit by solver='local' of a smaller leaf_size")


def _squares(V):
    """Sums of the squares (m,) of the columns of V (n, m), in double precision."""
    return on_host(np.einsum("ij,ij->j", V, V, dtype=np.float64))


class Projection(NamedTuple):
    """Function of `WholePosterior` for a Gaussian process.

    ``factor`` is that of ``W^1/2 K W^1/2 + ridge I``, ``root`` is ``sqrt(w)``, and ``ones`` is
    ``L^-1 sqrt(w)`` for the lower factor ``L``.
    """

    factor: Cholesky
    root: np.ndarray
    ones: np.ndarray

    def __call__(self, cross):
        V = self.factor.half_solve((cross * np.asarray(self.root, like=cross)).T)
        r = (1.0 - product(V.T, self.ones))[None] / np.sqrt(self.ones @ self.ones)
        return V, r, r

    def weights(self, V, r):
        """Weights (m, n) of the targets in predictions at m new rows, from the parts there."""
        V = V + np.asarray(np.outer(self.ones, r / np.sqrt(self.ones @ self.ones)), like=V)
        return on_host(self.factor.back_solve(V)).T * self.root

    def precision(self):
        """`Solution.precision` (n,)."""
        ones = self.factor.back_solve(self.ones)
        return precision_of(self.factor.inverse_diagonal(), ones, self.root)


def projection(K, posterior, factorise=cholesky):
    """`Projection`, None without a factor; K is overwritten."""
    root = np.sqrt(posterior.weights)
    factor = factorise(shift(scale(K, root), posterior.ridge))
    return None if factor is None else Projection(factor, root, factor.half_solve(root))


def _flow_projection(K, posterior):
    """Function of `WholePosterior` for networks that are trained until ``posterior.time``."""
    training = posterior.training(K)

    return lambda cross: training.reduction(cross, posterior.time)
