"""Ridge regression by preconditioned conjugate gradients, for more rows than a factorisation."""

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .._runtime.check import read_count, read_number
from .._runtime.errors import NotConverged
from .._values import value
from ._iterations import FIRST, Iterations, System
from ._ridge import guess_ridge, read_ridges
from ._solution import Path, Solution, best_of, descend, read_problem, relative_error

PROBES = 32
"""Random signs by which leave-one-out errors are estimated."""

TRIAL_TOL, PROBE_TOL = 1e-3, 1e-2
"""Tolerances of solves by which ridges are compared, and of those for signs if one is given, which
is far below what so few signs leave uncertain."""

COLUMNS = 200
"""Columns of a product, at most, of which several ridges have a part: more are no faster."""

FLOOR = 1e-3
"""Least estimate of an entry of the inverse's diagonal, in units of their mean."""


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
        leave-one-out errors whose diagonals are estimated by random signs (M. Hutchinson, 1990),
        about 1 to 2 percent.
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

    Warns
    -----
    NotConverged
        If the true residual is larger than ``tol``.

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
            outputs.
        """
        operator, Y, weights = read_problem(operator, Y, weights)
        tol = read_number(self.tol, "tol", is_positive=True)
        most = read_count(self.max_iter, "max_iter", 1)
        ridges, is_given = read_ridges(self.ridges, operator, weights)
        system = System(operator, weights, rank_of(self.rank, len(Y)), self.seed, self.verbose)
        root = system.root
        B = np.column_stack([root[:, None] * Y, root])
        if start is not None and start.columns.shape != B.shape:
            raise ValueError(
                f"start must have columns of shape {B.shape}, as these targets; got "
                f"{start.columns.shape}: start from a fit to the same rows."
            )
        trials = _Trials(self, system, Y, B, ridges, start, most)
        if is_given:
            # a start may be exact beyond what products in single precision know
            goal = 0.5 * max(tol, FIRST) if start is None else np.inf
            trials.solve([0], goal, PROBE_TOL)
            best, tried, errors = 0, [0], []
            start, first, most = trials.columns[0], None, most - system.n_iter
        else:
            best, tried = trials.search(operator, weights)
            errors = [trials.errors[place] for place in tried]
            start, first = None, trials.columns[best]
        every = np.full(B.shape[1], ridges[best])
        X, residuals = system.refine(B, every, tol, most, start, first)
        dual, intercept = _coefficients(X, root)
        details = Iterations(system.n_iter, float(residuals.max()), X, trials.probes[best])
        if details.residual > tol:
            warnings.warn(not_converged(details, tol), NotConverged, stacklevel=2)
        estimates = trials.estimates[best]
        left_out = dual / estimates["precision"][:, None]
        solution = Solution(dual, intercept, left_out, details=details, **estimates)
        place = tried.index(best)
        return Path(ridges[tried], np.array(errors), place, solution)


def rank_of(rank, n):
    """Rank of the preconditioner for n rows."""
    if rank is None:
        return max(1, min(1000, n // 10))
    return min(read_count(rank, "rank", 1), n)


class _Trials:
    """Estimated leave-one-out errors and solutions of the ridges tried so far, by their index."""

    def __init__(self, solver, system, Y, B, ridges, start, most):
        self._solver, self._system, self._Y, self._ridges = solver, system, Y, ridges
        self._rng = np.random.default_rng([solver.seed, 1])
        self._probes = self._rng.choice([-1.0, 1.0], (len(Y), PROBES))  # the same for all ridges
        self._B = np.hstack([B, self._probes])
        self._start, self._most = start, most
        self.errors, self.columns, self.probes, self.estimates = {}, {}, {}, {}

    def search(self, operator, weights):
        """Index of the best ridge, and those of all that were tried."""
        problem = operator, self._Y, weights
        best = guess_ridge(self._ridges, *problem, self._rng, self._solver.error)
        descend(self.errors, self._try_all, len(self._ridges), best)
        return best_of(self.errors), sorted(self.errors)

    def _try_all(self, places):
        """Add errors and solutions of some ridges."""
        step = max(1, COLUMNS // self._B.shape[1])
        for first in range(0, len(places), step):
            self.solve(places[first : first + step])

    def solve(self, places, tol=TRIAL_TOL, probe_tol=TRIAL_TOL):
        """Solve for targets and ones, and for probes, of some ridges, which share products."""
        n_ridges, width = len(places), self._B.shape[1]
        start, ridges = None, self._ridges[places]
        if self._start is not None:
            start = np.tile(np.hstack([self._start.columns, self._start.probes]), n_ridges)
        what = f"Conjugate gradients for {n_ridges} ridges from {ridges.min():.3g} on"
        what = what if n_ridges > 1 else "Conjugate gradients"
        tols = np.where(np.arange(width) < width - PROBES, tol, probe_tol)
        B, every = np.tile(self._B, n_ridges), np.repeat(ridges, width)
        X, _ = self._system.solve(B, every, np.tile(tols, n_ridges), self._most, start, what)
        for place, part in zip(places, np.split(X, n_ridges, axis=1), strict=True):
            self._add(place, part)

    def _add(self, place, X):
        """Estimate the error of a ridge from the solutions (n, c) for it."""
        k = self._Y.shape[1] + 1
        root, columns = self._system.root, X[:, :k]
        dual, intercept = _coefficients(columns, root)
        diagonal = np.mean(self._probes * X[:, k:], axis=1)
        ones = columns[:, -1]
        precision = np.maximum(diagonal, FLOOR * diagonal.mean()) - ones * (ones / (root @ ones))
        precision = root**2 * np.maximum(precision, FLOOR * diagonal.mean())
        gcv = float(np.mean((dual / root[:, None] / np.mean(precision / root**2)) ** 2))
        solution = Solution(dual, intercept, dual / precision[:, None], gcv, precision)
        self.errors[place] = self._solver.error(solution, self._Y, root**2)
        self.columns[place], self.probes[place] = columns.copy(), X[:, k:].copy()
        self.estimates[place] = {"precision": precision, "gcv": gcv}


def _coefficients(columns, root):
    """Dual coefficients (n, k) and intercept (k,) from ``A^-1 [W^1/2 Y, sqrt(w)]`` (n, k + 1)."""
    ones = columns[:, -1]
    intercept = root @ columns[:, :-1] / (root @ ones)
    return root[:, None] * (columns[:, :-1] - np.outer(ones, intercept)), intercept


def not_converged(details, tol):
    """Text of the warning for `Iterations` that ended above the tolerance."""
    return (
        f"Conjugate gradients ended after {details.n_iter} iterations with a residual of "
        f"{details.residual:.2g}, more than tol={tol:.2g}: increase max_iter, alpha or tol."
    )
