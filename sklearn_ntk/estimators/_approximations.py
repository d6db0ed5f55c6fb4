"""Posterior variances where no factor of the whole Gram matrix exists: by solver."""

import numpy as np

from ..gram import KernelOperator
from ..gram._operator import chunks
from ..solvers._conjugate_gradient import rank_of
from ..solvers._iterations import System
from ._ensemble import posterior_of
from ._uncertainty import Posterior

FACTORISED = 10_000
"""Rows of a fit by conjugate gradients up to which variances are exact, by a factor of the matrix:
it is made in seconds, and then each new row costs a product."""

COLUMNS = 64
"""New rows whose equations are solved at a time by conjugate gradients, which share products."""

SAMPLE = 3500
"""Rows by which the variance of draws from the prior is measured, at most."""

WHOLE = 2**62
"""No limit of entries: a leaf has all of its rows at once, so that its factor is made once."""

KEPT = 2**30
"""Bytes of the factors of leaves that a model keeps after the first call, at most."""


def posterior_for(model, weights, ridge, solution):
    """The posterior of a fitted regressor, and inverse variances of leave-one-out residuals.

    The latter belong to the rows of the `Solution`.
    """
    if model.solver_ == "cholesky":
        return posterior_of(model, weights, ridge, solution)
    if model.solver_ == "cg" and len(weights) <= FACTORISED:
        posterior = Posterior(weights, ridge)
    elif model.solver_ == "cg":
        posterior = IterativePosterior(weights, ridge, model.tol, model.max_iter)
    elif model.solver_ == "local":
        posterior = LeavesPosterior(weights, ridge, model._leaves)
    else:
        posterior = CentersPosterior(model._weights, ridge, model._centers)
    return posterior, solution.precision


class ApproximatePosterior(Posterior):
    """Base class: the variance of draws from the prior is that over some of the rows."""

    is_on_device = False

    def _kernel_variance_of(self, kernel, X_fit):
        rows = np.linspace(0, len(X_fit) - 1, min(len(X_fit), SAMPLE)).astype(int)
        shares = self.weights[rows] / self.weights[rows].sum()
        K = kernel(X_fit[rows])
        return shares @ K.diagonal() - shares @ K @ shares


class IterativePosterior(ApproximatePosterior):
    """`Posterior` by conjugate gradients: exact up to their tolerance.

    What is kept is the Gram matrix in single precision.
    """

    _names = ("weights", "ridge", "tol", "max_iter")
    time = None

    def __init__(self, weights, ridge, tol, max_iter):
        self.weights, self.ridge, self.tol, self.max_iter = weights, ridge, tol, max_iter
        self.__setstate__({})

    def _make(self, kernel, X_fit):
        n = len(X_fit)
        system = System(KernelOperator(kernel, X_fit), self.weights, rank_of(None, n), 0)
        ones = self._solve(system, system.root[:, None])[:, 0]
        return (system, ones, system.root @ ones), self._kernel_variance_of(kernel, X_fit)

    def _solve(self, system, B):
        """``A^-1 B`` (n, c)."""
        return system.solve(B, np.full(B.shape[1], self.ridge), self.tol, self.max_iter)[0]

    def _parts(self, kernel, X_fit, X, most):
        """Yield for blocks of new rows u (n, m), ``A^-1 u`` and the doubt of the intercept (m,)."""
        (system, ones, total), _ = self.prepare(kernel, X_fit)
        for rows in chunks(len(X), len(X_fit), most):
            u = system.root[:, None] * kernel(X[rows], X_fit).T
            yield rows, u, self._solve(system, u), (1.0 - ones @ u) / np.sqrt(total)

    def variance(self, kernel, X_fit, X):
        _, kernel_variance = self.prepare(kernel, X_fit)
        variance = kernel.diag(X)
        for rows, u, S, doubt in self._parts(kernel, X_fit, X, COLUMNS * len(X_fit)):
            variance[rows] += doubt**2 - np.einsum("ij,ij->j", u, S)
        return np.maximum(variance, 0.0), kernel_variance

    def covariance(self, kernel, X_fit, X):
        _, kernel_variance = self.prepare(kernel, X_fit)
        parts = list(self._parts(kernel, X_fit, X, COLUMNS * len(X_fit)))
        u, S = (np.concatenate([part[i] for part in parts], axis=1) for i in (1, 2))
        doubt = np.concatenate([part[3] for part in parts])
        product = u.T @ S
        return kernel(X) - 0.5 * (product + product.T) + np.outer(doubt, doubt), kernel_variance

    def influences(self, kernel, X_fit, X, most):
        (system, ones, total), _ = self.prepare(kernel, X_fit)
        most = min(most, COLUMNS * len(X_fit))
        for rows, u, S, doubt in self._parts(kernel, X_fit, X, most):
            variance = kernel.diag(X[rows]) + doubt**2 - np.einsum("ij,ij->j", u, S)
            weights = (S + np.outer(ones, doubt / np.sqrt(total))).T * system.root
            yield weights, np.maximum(variance, 0.0)


class CentersPosterior(ApproximatePosterior):
    """`Posterior` of functions of the centres, and of those that the centres do not reach."""

    _names = ("weights", "ridge", "centers")
    time = None

    def __init__(self, weights, ridge, centers):
        self.weights, self.ridge, self.centers = weights, ridge, centers
        self.__setstate__({})

    def _make(self, kernel, X_fit):
        return None, self._kernel_variance_of(kernel, X_fit)

    def variance(self, kernel, X_fit, X):
        _, kernel_variance = self.prepare(kernel, X_fit)
        variance = kernel.diag(X)
        for rows in chunks(len(X), len(X_fit)):
            Z = self.centers.basis.values(kernel(X[rows], X_fit))
            unseen = variance[rows] - np.einsum("ij,ij->i", Z, Z)
            variance[rows] = self.centers.fit.variance(Z, unseen)
        return variance, kernel_variance

    def covariance(self, kernel, X_fit, X):
        _, kernel_variance = self.prepare(kernel, X_fit)
        Z = self.centers.basis.values(kernel(X, X_fit))
        return kernel(X) - Z @ Z.T + self.centers.fit.covariance(Z), kernel_variance


class LeavesPosterior(ApproximatePosterior):
    """Posterior variances of local models, blended with their shares.

    Factors of leaves are kept if they are small together, and else made anew in each call.
    """

    _names = ("weights", "ridge", "leaves")
    time = None

    def __init__(self, weights, ridge, leaves):
        self.weights, self.ridge, self.leaves = weights, ridge, leaves
        self.__setstate__({})

    def _make(self, kernel, X_fit):
        of_leaves = [Posterior(self.weights[leaf.rows], self.ridge) for leaf in self.leaves.leaves]
        return of_leaves, self._kernel_variance_of(kernel, X_fit)

    def variance(self, kernel, X_fit, X):
        of_leaves, kernel_variance = self.prepare(kernel, X_fit)
        found = np.zeros(len(X))
        is_kept = sum(8.0 * len(leaf.rows) ** 2 for leaf in self.leaves.leaves) <= KEPT
        for leaf, number, rows, share in self.leaves.blocks(X, WHOLE):
            posterior = of_leaves[number]
            found[rows] += share * posterior.variance(kernel, X_fit[leaf.rows], X[rows])[0]
            if not is_kept:
                posterior.__setstate__({})  # forgets the factor
        return found, kernel_variance

    def disagreement(self, kernel, X_fit, X):
        mean, squares = self.leaves.moments(kernel, X_fit, X)
        return np.maximum(squares - mean**2, 0.0)
