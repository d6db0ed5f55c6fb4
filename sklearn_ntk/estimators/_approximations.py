"""Posterior variances by solver, where fits make no factor of the whole Gram matrix."""

from functools import partial

import numpy as np

from .._runtime.chunks import chunks
from .._runtime.device import on_host
from .._runtime.memory import check_memory
from .._runtime.progress import Progress
from ..gram import KernelOperator
from ..solvers._factors import try_cholesky, work
from ._posterior import Posterior, WholePosterior, projection

LEAST = 1e-5
"""Least pivot of a factor in single precision, in units of the mean diagonal of the kernel."""

SAMPLE = 3500
"""Rows by which the variance of draws from the prior is measured, at most."""

WHOLE = 2**62
"""No limit of entries: a leaf has all of its rows at once, so that its factor is made once."""

KEPT = 2**30
"""Bytes of the factors of leaves that a model keeps after the first call, at most."""


class SinglePosterior(WholePosterior):
    """`WholePosterior` by a factor in single precision, ``4 n^2`` bytes, made in half the time.

    Variances are exact to a few 1e-6 of the kernel's diagonal. Where the factor shows that this is
    too little, or does not exist, it is made anew in double precision.
    """

    is_on_device = False

    def __init__(self, weights, ridge, verbose):
        super().__init__(weights, ridge)
        self.verbose = verbose

    def _make(self, kernel, X_fit):
        n = len(X_fit)
        what = f"The uncertainty of a fit of {n} rows"
        check_memory(4.0 * n * n, what, "take solver='local'")
        K = on_host(KernelOperator(kernel, X_fit).single())
        variance, size = self._kernel_variance(K), K.diagonal().mean()
        progress = Progress(work(n), what, "take solver='local'", self.verbose)
        found = projection(K, self, partial(try_cholesky, progress=progress))
        if found is not None and found.factor.factor.diagonal().min() ** 2 >= LEAST * size:
            return found, variance
        del K, found
        check_memory(16.0 * n * n, f"{what} in double precision", "increase alpha")
        return super()._make(kernel, X_fit)


class ApproximatePosterior(Posterior):
    """Base class: the variance of draws from the prior is that over some of the rows."""

    def _kernel_variance_of(self, kernel, X_fit):
        rows = np.linspace(0, len(X_fit) - 1, min(len(X_fit), SAMPLE)).astype(int)
        shares = self.weights[rows] / self.weights[rows].sum()
        K = kernel(X_fit[rows])
        return shares @ K.diagonal() - shares @ K @ shares


class CentersPosterior(ApproximatePosterior):
    """`Posterior` of functions of the centres, and of those that the centres do not reach."""

    def __init__(self, weights, ridge, centers):
        super().__init__(weights, ridge)
        self.centers = centers

    def _make(self, kernel, X_fit):
        """Values (m, n_held) of `Fit.half` at the held rows, and the kernel variance."""
        return self.centers.fit.half(self.centers.held.Z), self._kernel_variance_of(kernel, X_fit)

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

    def influences(self, kernel, X_fit, X, most):
        """As of `WholePosterior`, for the targets of the held rows and functions of the centres."""
        half_held, _ = self.prepare(kernel, X_fit)
        fit, weights = self.centers.fit, self.centers.held.weights
        for rows in chunks(len(X), len(X_fit), most):
            half = fit.half(self.centers.basis.values(kernel(X[rows], X_fit)))
            variance = fit.ridge * (1.0 / fit.weight + np.einsum("ij,ij->j", half, half))
            yield weights * (1.0 / fit.weight + half.T @ half_held), variance


class LeavesPosterior(ApproximatePosterior):
    """Posterior variances of local models, blended with their shares.

    Factors of leaves are kept if they are small together, and else made anew in each call.
    """

    def __init__(self, weights, ridge, leaves):
        super().__init__(weights, ridge)
        self.leaves = leaves

    def _make(self, kernel, X_fit):
        """List of the posteriors of leaves, and the kernel variance."""
        of_leaves = [
            WholePosterior(self.weights[leaf.rows], self.ridge) for leaf in self.leaves.leaves
        ]
        return of_leaves, self._kernel_variance_of(kernel, X_fit)

    def variance(self, kernel, X_fit, X):
        _, kernel_variance = self.prepare(kernel, X_fit)
        found = np.zeros(len(X))
        for _, leaf, rows, share, posterior in self._parts(kernel, X_fit, X):
            found[rows] += share * posterior.variance(kernel, X_fit[leaf.rows], X[rows])[0]
        return found, kernel_variance

    def influences_in_leaves(self, kernel, X_fit, X):
        """Yield for each leaf its number, new rows (m,), and the weights (m, n_leaf) there."""
        for number, leaf, rows, share, posterior in self._parts(kernel, X_fit, X):
            for weights, _ in posterior.influences(kernel, X_fit[leaf.rows], X[rows], WHOLE):
                yield number, rows, share[:, None] * weights

    def _parts(self, kernel, X_fit, X):
        """Yield number, `Leaf`, new rows and shares there of each leaf, and its posterior."""
        of_leaves, _ = self.prepare(kernel, X_fit)
        is_kept = sum(8.0 * len(leaf.rows) ** 2 for leaf in self.leaves.leaves) <= KEPT
        for leaf, number, rows, share in self.leaves.blocks(X, WHOLE):
            yield number, leaf, rows, share, of_leaves[number]
            if not is_kept:
                of_leaves[number].forget()

    def disagreement(self, kernel, X_fit, X):
        mean, squares = self.leaves.moments(kernel, X_fit, X)
        return np.maximum(squares - mean**2, 0.0)
