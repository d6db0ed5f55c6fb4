"""Ridge regression by preconditioned conjugate gradients, for more rows than a factorisation."""

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .._runtime.check import read_count, read_number
from .._runtime.errors import NotConverged
from .._values import value
from ._diagonal import estimate_diagonal
from ._iterations import WRONG, Iterations, System
from ._ridge import guess_ridge, precision_of, read_ridges
from ._solution import Path, Solution, best_of, descend, read_problem, relative_error

PROBES, PROBE_TOL = 32, 1e-3
"""Random signs by which leave-one-out errors are estimated, and the tolerance of these solves."""

COLUMNS, AT_ONCE = 200, 3
"""Columns of a product, at most, of which several ridges have a part, more being no faster; and
ridges at a time."""


@value
class ConjugateGradient(NamedTuple):
    """`Ridge` without a factorisation, from about 7000 rows on the faster way.

    The Gram matrix is kept in single precision, ``4 n^2`` bytes; all else is in double precision,
    and the residual that is reported is computed anew from the kernel. All outputs share the
    products with the matrix.

    Parameters
    ----------
    ridges : float, array-like or None, default=None
        As for `Ridge`. Several are searched: from the best one for a part of the rows on, by
        leave-one-out errors whose diagonals are estimated by random signs.
    tol : float, default=1e-4
        Norm of the residual in units of that of the targets. Predictions are about as exact.
    max_iter : int, default=500
        Most iterations.
    rank : int, optional
        Of the preconditioner; by default a tenth of the rows, at most 1000.
    error : callable, optional
        The error to minimise, as for `Ridge`.
    seed : int, default=0
        Of pivots, rows and signs.
    verbose : int, default=0
        Whether to print how far the computation is and how long it will take.
    max_memory : float, optional
        Bytes up to which the Gram matrix is made in double precision, where single precision is
        not enough; by default what is free.

    Warns
    -----
    NotConverged
        If the true residual is larger than ``tol``, or a better ridge may have been missed. Targets
        for which zero coefficients are better have these.

    References
    ----------
    E. Epperly, J. Tropp and R. Webber, "Embrace rejection: kernel matrix approximation by
    accelerated randomly pivoted Cholesky", 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.gram import KernelOperator
    >>> from sklearn_ntk.solvers import ConjugateGradient, Ridge
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> operator, y = KernelOperator(NTKKernel(), X), np.sin(X[:, 0])
    >>> path = ConjugateGradient(0.1, tol=1e-8).fit(operator, y)
    >>> bool(np.allclose(path.solution.dual, Ridge(0.1).fit(operator, y).solution.dual, atol=1e-6))
    True
    """

    ridges: float | Sequence | None = None
    tol: float = 1e-4
    max_iter: int = 500
    rank: int | None = None
    error: Callable = relative_error
    seed: int = 0
    verbose: int = 0
    max_memory: float | None = None

    def fit(self, operator, Y, weights=None, start=None):
        """Fit for the given ridge, or for the best one.

        Parameters
        ----------
        operator : array of shape (n, n) or GramOperator
            Gram matrix.
        Y : array of shape (n,) or (n, k)
            Targets.
        weights : array of shape (n,), optional
            Positive weights of the rows, ones by default.
        start : Iterations, optional
            ``solution.details`` of an earlier fit to go on from, such as one that has not
            converged.

        Returns
        -------
        Path
            Residuals and precisions of the solution are estimates, good for means over rows and
            outputs; they are None if the ridge is given.
        """
        operator, Y, weights = read_problem(operator, Y, weights)
        tol = read_number(self.tol, "tol", is_positive=True)
        most = read_count(self.max_iter, "max_iter", 1)
        ridges, is_given = read_ridges(self.ridges, operator, weights)
        rank = rank_of(self.rank, len(Y))
        mean = np.average(Y, axis=0, weights=weights)
        Y = Y - mean  # the tolerance is in units of what is left
        start = None if start is None else start.columns
        if start is not None and start.shape != (shape := (len(Y), Y.shape[1] + 1)):
            raise ValueError(
                f"start must have columns of shape {shape}, as these targets; got "
                f"{start.shape}: start from a fit to the same rows."
            )
        rng = np.random.default_rng([self.seed, 1])
        best, tried, errors, first, estimates, trouble = 0, [0], [], None, {}, ""
        if not is_given:  # before there is a matrix in memory
            best = guess_ridge(ridges, operator, Y, weights, rng, self.error)
        system = System(operator, weights, rank, self.seed, self.verbose, self.max_memory)
        root = system.root
        B = np.column_stack([root[:, None] * Y, root])
        if not is_given:
            trials = _Trials(self, system, Y, B, ridges, rng, start)
            best, tried = trials.search(best, most)
            errors = [trials.errors[place] for place in tried]
            start, first, estimates = None, trials.columns[best], trials.estimates[best]
            trouble = _missed(ridges, trials.errors, best)
        every = np.full(B.shape[1], ridges[best])
        X, residuals, is_short = system.refine(B, every, tol, most, start, first)
        dual, intercept = _coefficients(X, root)
        residual = float(residuals.max())
        if residual > tol:
            trouble = _not_converged(residual, tol, most if is_short else None)
        if trouble:
            warnings.warn(trouble, NotConverged, stacklevel=2)
        if estimates:
            estimates = {**estimates, "residuals": dual / estimates["precision"][:, None]}
        details = Iterations(system.n_iter, residual, X, trouble)
        solution = Solution(dual, intercept + mean, details=details, **estimates)
        return Path(ridges[tried], np.array(errors), tried.index(best), solution)


def rank_of(rank, n):
    """Rank of the preconditioner for n rows."""
    if rank is None:
        return max(1, min(1000, n // 10))
    return min(read_count(rank, "rank", 1), n)


def columns_of(n_outputs):
    """Columns of a product, at most, in a search for a ridge."""
    width = n_outputs + 1 + PROBES
    return width * _at_once(width)


def _at_once(width):
    """How many ridges share products, for columns (n, width) of each."""
    return min(AT_ONCE, max(1, COLUMNS // width))


class _Trials:
    """Estimated leave-one-out errors and solutions of the ridges tried so far, by their index.

    An error is infinite where the solution has not converged. The random signs, the same for all
    ridges, are targets like others: they estimate the diagonal of ``(K + ridge W^-1)^-1``, in which
    rows of large weight keep their digits.
    """

    def __init__(self, solver, system, Y, B, ridges, rng, start):
        self._solver, self._system, self._Y, self._ridges = solver, system, Y, ridges
        self._signs = rng.choice([-1.0, 1.0], (len(Y), PROBES))
        self._B = np.hstack([B, system.root[:, None] * self._signs])
        self._start = start
        self.errors, self.columns, self.estimates = {}, {}, {}

    def search(self, best, most):
        """Index of the best ridge near a first guess, and those of all that were tried."""
        self._most = most
        descend(self.errors, self._try_all, len(self._ridges), best)
        return best_of(self.errors), sorted(self.errors)

    def _try_all(self, places):
        """Add errors and solutions of some ridges."""
        step = _at_once(self._B.shape[1])
        for first in range(0, len(places), step):
            self._solve(places[first : first + step])

    def _solve(self, places):
        """Solve for targets, ones and signs of some ridges, which share products."""
        n_ridges, width = len(places), self._B.shape[1]
        start, ridges = None, self._ridges[places]
        if self._start is not None:
            start = np.tile(np.hstack([self._start, np.zeros_like(self._signs)]), n_ridges)
        what = f"Conjugate gradients for {n_ridges} ridges from {ridges.min():.3g} on"
        B, every = np.tile(self._B, n_ridges), np.repeat(ridges, width)
        X, residuals = self._system.solve(B, every, PROBE_TOL, self._most, start, what)
        parts = np.split(X, n_ridges, axis=1), np.split(residuals, n_ridges)
        for place, part, left in zip(places, *parts, strict=True):
            self._add(place, part)
            if not left.max() <= WRONG:
                self.errors[place] = np.inf

    def _add(self, place, X):
        """Estimate the error of a ridge from the solutions (n, c) for it."""
        k = self._Y.shape[1] + 1
        columns, precondition = X[:, :k], self._system.precondition
        root, ridge = self._system.root, self._ridges[place]
        weights = root**2
        dual, intercept = _coefficients(columns, root)
        known = precondition(self._B[:, k:], np.full(PROBES, ridge))
        diagonal, error = estimate_diagonal(
            self._signs,
            root[:, None] * X[:, k:],
            root[:, None] * known,
            weights * precondition.diagonal(ridge),
        )
        diagonal = np.maximum(diagonal / weights, 1.0 / (self._system.diagonal + ridge))
        precision = precision_of(diagonal, columns[:, -1], root)
        gcv = float(np.mean((dual / root[:, None] / np.mean(precision / weights)) ** 2))
        # squares of residuals have the inverse square, whose mean is larger: to second order by
        precision = np.hypot(precision, np.sqrt(3.0) * error)
        solution = Solution(dual, intercept, dual / precision[:, None], gcv, precision)
        self.errors[place] = self._solver.error(solution, self._Y, weights)
        self.columns[place] = columns.copy()
        self.estimates[place] = {"precision": precision, "gcv": gcv}


def _coefficients(columns, root):
    """Dual coefficients (n, k) and intercept (k,) from ``A^-1 [W^1/2 Y, sqrt(w)]`` (n, k + 1)."""
    ones = columns[:, -1]
    total = root @ ones
    intercept = root @ columns[:, :-1] / total if total > 0.0 else np.zeros(columns.shape[1] - 1)
    return root[:, None] * (columns[:, :-1] - np.outer(ones, intercept)), intercept


def _missed(ridges, errors, best):
    """What to warn of a search that ended beside a ridge without a solution; maybe nothing."""
    lower = max(best - 1, 0)
    if np.isfinite(errors[best]) and np.isfinite(errors.get(lower, 0.0)):
        return ""
    return (
        f"The ridge may be too large, as conjugate gradients found no solution for "
        f"{ridges[lower]:.2g}: increase max_iter, or take solver='cholesky' or 'local'."
    )


def _not_converged(residual, tol, most):
    """Text of a warning for a residual above the tolerance, after all iterations if not None."""
    found = f"with a residual of {residual:.2g}, more than tol={tol:.2g}"
    if most is not None:
        return (
            f"Conjugate gradients ended after {most} iterations {found}: increase max_iter, alpha "
            f"or tol."
        )
    return (
        f"Conjugate gradients ended {found}, as rounding errors allow no less: increase alpha, or "
        f"take solver='cholesky' or 'local'."
    )
