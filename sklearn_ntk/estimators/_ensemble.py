"""Uncertainty of regression: how much wide networks differ that start at random and are trained."""

import numpy as np
from sklearn.base import clone

from .._runtime.chunks import chunks
from .._runtime.device import on_host
from ..dynamics import Training, covariance
from ..dynamics._covariance import influences
from ..gram._kernel_operator import placed
from ..kernels import NNGPKernel, NTKKernel
from ._memory import SPECTRAL_COPIES
from ._posterior import Posterior, WholePosterior, check_factor
from ._squares import method_of


def start_of(kernel):
    """Kernel of the outputs of the networks before training, of an NTK or NNGP.

    Raises ValueError for other kernels.
    """
    if isinstance(kernel, NNGPKernel):
        return clone(kernel)
    if not isinstance(kernel, NTKKernel):
        what = "a precomputed one" if kernel is None else repr(kernel)
        raise ValueError(
            f"uncertainty='ensemble' needs the kernel of a network, NTKKernel or NNGPKernel, which "
            f"says how it starts; got {what}: take uncertainty='posterior'."
        )
    parameters = kernel.get_params()
    del parameters["n_frozen"]
    return NNGPKernel(**parameters)


def posterior_of(model, weights, ridge, solution):
    """The posterior of a fitted estimator, and inverse variances (n,) of leave-one-out residuals.

    ``solution`` is the `Solution` for these weights and this ridge.
    """
    parameters = weights, ridge, model.training_time_, model.learning_rate, method_of(model)
    if model.uncertainty == "posterior":
        return WholePosterior(*parameters), solution.precision
    start_of(model.kernel_)  # before the work, if it has none
    ensemble = Ensemble(*parameters)
    rows = placed(model.kernel_, model.X_fit_)
    return ensemble, ensemble.residual_precision(model.kernel_, *rows, solution)


class Ensemble(Posterior):
    """`Posterior` of networks that are trained by one kernel and start by another, `start_of` it.

    Variances are in units of the kernel of the start. What is kept are the eigenvectors of the one
    Gram matrix, and the other, in the memory of the machine, where those of a GPU are copied.
    """

    is_on_device = True

    def residual_precision(self, kernel, X_fit, solution):
        """Inverse variances (n,) of leave-one-out residuals, with the noise of the ridge.

        Without its row, a network predicts the residual ``r = R f_0`` of its own initial outputs
        ``f_0`` at the training rows: the variances are the diagonal of ``R K R'``.
        """
        if len(X_fit) < 2:
            return solution.precision
        (training, K), _ = self.prepare(kernel, X_fit)
        if self.time is None:
            R = training.coefficients(np.eye(len(K)), np.inf)[0]
            R /= R.diagonal()[:, None]  # that of the solution may be of the kernels of folds
        else:
            R = training.residuals(np.eye(len(K)), self.time)
        latent = np.einsum("ij,ij->i", R @ K, R)
        return 1.0 / (np.maximum(latent, np.finfo(float).tiny) + self.ridge / self.weights)

    def variance(self, kernel, X_fit, X):
        (training, K), kernel_variance = self.prepare(kernel, X_fit)
        found, start = np.empty(len(X)), start_of(kernel)
        for rows in chunks(len(X), len(X_fit)):
            cross, pair = on_host(kernel(X[rows], X_fit)), (K, on_host(start(X[rows], X_fit)))
            new = on_host(start.diag(X[rows]))
            found[rows] = covariance(training, cross, new, self._end, pair)
        return found, kernel_variance

    def covariance(self, kernel, X_fit, X):
        (training, K), kernel_variance = self.prepare(kernel, X_fit)
        start = start_of(kernel)
        pair, cross = (K, on_host(start(X, X_fit))), on_host(kernel(X, X_fit))
        found = covariance(training, cross, on_host(start(X)), self._end, pair)
        return found, kernel_variance

    def influences(self, kernel, X_fit, X, most):
        """As of `WholePosterior`, of the Gaussian process of the kernel that trains."""
        (training, _), _ = self.prepare(kernel, X_fit)
        for rows in chunks(len(X), len(X_fit), most):
            cross, new = on_host(kernel(X[rows], X_fit)), on_host(kernel.diag(X[rows]))
            variance = covariance(training, cross, new, np.inf, noise=self.ridge)
            yield next(influences(training, cross, np.inf)), variance

    @property
    def _end(self):
        return np.inf if self.time is None else self.time

    def _make(self, kernel, X_fit):
        """`Training` by the kernel that trains, and the Gram matrix (n, n) of the start."""
        check_factor(len(X_fit), 1.0 + SPECTRAL_COPIES)
        K = on_host(start_of(kernel)(X_fit))
        T = on_host(kernel(X_fit))
        to_end = self.time is None  # whatever the method
        training = Training(T, self.weights, self.ridge) if to_end else self.training(T)
        return (training, K), self._kernel_variance(K)
