"""Conjugate gradients for many columns at once, each with its own ridge, on a stored matrix."""

from typing import NamedTuple

import numpy as np

from .._runtime.progress import Progress
from ._preconditioner import Preconditioner

SINGLE, FEW = (1e-30, 1e30), 2500
"""Least and largest diagonal of a matrix that is stored in single precision, and rows up to which
it is not: it takes little memory anyway."""

FIRST, AGAIN = 1e-4, 3
"""Residual down to which single precision is used without a look at the true one, and how often, at
most, a solution is refined by its true residual."""

STEPS = 1000
"""Units of progress from the first residual to the tolerance."""


class Iterations(NamedTuple):
    """How conjugate gradients ended.

    ``columns`` (n, k + 1) are solutions for the targets and for ones, and ``probes`` (n, p) rough
    ones for random signs, which a later fit may start from. ``n_iter`` is the number of products
    with the matrix, and ``residual`` the largest norm of a true residual of ``columns``, computed
    anew in double precision, in units of the norm of its right side.
    """

    n_iter: int
    residual: float
    columns: np.ndarray
    probes: np.ndarray


class System:
    """The matrix ``A = W^1/2 K W^1/2``, in memory in single precision, and its preconditioner.

    ``most`` is the largest number of iterations, of which ``n_iter`` counts those of all solves.
    """

    def __init__(self, operator, weights, rank, seed, verbose=0):
        n = len(weights)
        self.operator, self.root, self.verbose = operator, np.sqrt(weights), verbose
        diagonal = operator.diagonal()
        is_single = n > FEW and SINGLE[0] < diagonal.min() and diagonal.max() < SINGLE[1]
        self._least = len(weights) * np.finfo(float).eps * np.mean(weights * diagonal)
        self.n_iter = 0
        what = f"A fit of {n} rows by conjugate gradients"
        self._K = operator.stored(is_single, 12.0 * n * rank, what)
        self.precondition = Preconditioner(operator, self.root, rank, np.random.default_rng(seed))

    def exact(self, V, ridges):
        """``(A + ridge) V`` (n, c) in double precision, from blocks of K that are not kept."""
        root, n = self.root[:, None], len(self.root)
        progress = Progress(n * n, "The true residual", "take a larger tol", self.verbose)
        return root * self.operator.times(root * V, progress.add) + ridges * V

    def product(self, V):
        """``A V`` from the matrix in memory."""
        root = self.root[:, None]
        V = root * V
        size = np.abs(V).max(axis=0)
        V = (V / np.where(size > 0.0, size, 1.0)).astype(self._K.dtype)
        return root * (size * (self._K @ V))

    def solve(self, B, ridges, tol, most, start=None, what="Conjugate gradients"):
        """Solutions X (n, c) of ``(A + ridge) x = b``, and their recursive residuals (c,).

        ``ridges`` (c,) has a ridge for each column. A column is left alone when its residual is
        ``tol``, a number or one for each column, times the norm of its right side, or after
        ``most`` iterations.
        """
        if np.any(self.precondition.damping + ridges <= self._least):
            raise ValueError(
                "The Gram matrix is singular to working precision, and conjugate gradients need a "
                "ridge then; got 0: increase alpha."
            )
        norms, tol = _sizes(B), np.broadcast_to(tol, B.shape[1])
        X = np.zeros_like(B) if start is None else start.copy()
        R = B.copy() if start is None else B - self.product(X) - ridges * X
        residuals = _norms(R) / norms
        todo = np.flatnonzero(residuals > tol)
        first, told = np.max(residuals / tol, initial=0.0), 0
        progress = Progress(STEPS, what, "take a larger ridge or tol", self.verbose)
        R, D, gain = R[:, todo], 0.0, 1.0
        for _ in range(most):
            if not len(todo):
                break
            Z = self.precondition(R, ridges[todo])
            before, gain = gain, np.sum(R * Z, axis=0)
            D = Z + gain / before * D
            image = self.product(D) + ridges[todo] * D
            curvature = np.sum(D * image, axis=0)
            step = np.where(curvature > 0.0, gain / np.where(curvature > 0.0, curvature, 1.0), 0.0)
            X[:, todo] += step * D
            R = R - step * image
            self.n_iter += 1
            residuals[todo] = _norms(R) / norms[todo]
            going = (residuals[todo] > tol[todo]) & (curvature > 0.0)
            todo, R, D, gain = todo[going], R[:, going], D[:, going], gain[going]
            share = _share(first, np.max(residuals[todo] / tol[todo], initial=0.0))
            if share > told:
                progress.add(share - told)
                told = share
        return X, residuals

    def refine(self, B, ridges, tol, most, start=None, first=None):
        """Solutions (n, c), and their true residuals (c,), by solves for what is left.

        At most ``most`` iterations in all; the true residual takes one pass over the kernel. It is
        looked at before the first solve for a ``start`` that may be exact, not for a rough one,
        ``first``.
        """
        end, X = self.n_iter + most, start
        if start is None:
            X, _ = self.solve(B, ridges, max(0.5 * tol, 0.5 * FIRST), most, first)
        R = B - self.exact(X, ridges)
        residuals = _norms(R) / _sizes(B)
        for _ in range(AGAIN):
            worst = np.flatnonzero(residuals > tol)
            left = end - self.n_iter
            if not len(worst) or left <= 0:
                break
            goal = max(0.5 * tol / residuals[worst].max(), FIRST)
            step, _ = self.solve(R[:, worst], ridges[worst], goal, left)
            better = X.copy()
            better[:, worst] += step
            R_better = B - self.exact(better, ridges)
            new = _norms(R_better) / _sizes(B)
            if not new.max() < residuals.max():
                break
            is_stuck = new.max() > 0.5 * residuals.max()
            X, R, residuals = better, R_better, new
            if is_stuck:
                break
        return X, residuals


def memory_of(n, rank):
    """Bytes of a system of n rows at their peak: the matrix, and the factor of this rank."""
    return 4.0 * n * n + 12.0 * n * rank


def _norms(B):
    """Norms (c,) of columns."""
    return np.sqrt(np.sum(B * B, axis=0))


def _sizes(B):
    """Norms (c,) of columns, one for those of zeros."""
    norms = _norms(B)
    return np.where(norms > 0.0, norms, 1.0)


def _share(first, now):
    """Units of progress, by the logarithm of the residual in units of the tolerance."""
    if now <= 1.0 or first <= 1.0:
        return STEPS
    return max(0, int(STEPS * np.log(first / now) / np.log(first)))
