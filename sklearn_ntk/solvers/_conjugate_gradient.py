"""Ridge regression by preconditioned conjugate gradients, for more rows than a factorisation."""

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .._runtime.check import read_count, read_number
from .._runtime.errors import NotConverged
from .._values import value
from ._iterations import FIRST, Iterations, System
from ._ridge import fit_part, part_of, read_ridges
from ._solution import Path, Solution, read_problem, relative_error
from ._trials import PROBE_TOL, Trials, coefficients


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
            outputs, or the exact ones of some of the rows where estimates would be too rough.
        """
        operator, Y, weights = read_problem(operator, Y, weights)
        tol = read_number(self.tol, "tol", is_positive=True)
        most = read_count(self.max_iter, "max_iter", 1)
        ridges, is_given = read_ridges(self.ridges, operator, weights)
        n, rank = len(Y), rank_of(self.rank, len(Y))
        mean = np.average(Y, axis=0, weights=weights)
        Y = Y - mean  # the tolerance is in units of what is left
        if start is not None and start.columns.shape != (n, Y.shape[1] + 1):
            raise ValueError(
                f"start must have columns of shape {(n, Y.shape[1] + 1)}, as these targets; got "
                f"{start.columns.shape}: start from a fit to the same rows."
            )
        rng = np.random.default_rng([self.seed, 1])
        part = operator, Y, weights, (rows := part_of(n, rng))
        guess = None if is_given else fit_part(ridges, *part, self.error)  # while there is room
        system = System(operator, weights, rank, self.seed, self.verbose, self.max_memory)
        B = np.column_stack([system.root[:, None] * Y, system.root])
        trials = Trials(self.error, system, Y, B, ridges, rng, start, most)
        left, trouble, first = most, "", None
        start = None if start is None else start.columns
        is_whole = len(rows) == n
        if is_given:
            place, path = 0, Path(ridges, np.empty(0), 0, None)
            if not is_whole:
                # a start may be exact beyond what products in single precision know
                goal = 0.5 * max(tol, FIRST) if start is None else np.inf
                trials.solve([0], goal, PROBE_TOL)
                left = most if start is not None else most - system.n_last
                start = trials.columns[0]
        else:
            place, path, trouble = _choose(ridges, trials, guess, is_whole)
            if place in trials.columns:
                start, first = None, trials.columns[place]
        every = np.full(B.shape[1], ridges[place])
        X, residuals, is_short = system.refine(B, every, tol, left, start, first)
        residual = float(residuals.max())
        if residual > tol:
            is_short &= not system.is_limited
            trouble = _not_converged(residual, tol, most if is_short else None)
        if trouble:
            warnings.warn(trouble, NotConverged, stacklevel=2)
        details = Iterations(system.n_iter, residual, X, trials.probes.get(place), trouble)
        dual, intercept = coefficients(X, system.root)
        solution = Solution(dual, intercept + mean, details=details)
        if path is not guess and trials.is_sure.get(place):
            gcv, precision = trials.estimates[place]
            left_out = dual / precision[:, None]
            solution = solution._replace(residuals=left_out, gcv=gcv, precision=precision)
        else:
            del trials, system  # room for the exact ones
            of_part = guess if path is guess else fit_part(ridges[place], *part)
            known = of_part.solution._replace(log_determinant=None)
            rows = None if is_whole else rows
            solution = known._replace(
                dual=dual, intercept=solution.intercept, rows=rows, details=details
            )
        return path._replace(solution=solution, guess=None, shift=None, ratio=None)


def rank_of(rank, n):
    """Rank of the preconditioner for n rows."""
    if rank is None:
        return max(1, min(1000, n // 10))
    return min(read_count(rank, "rank", 1), n)


def _choose(ridges, trials, guess, is_whole):
    """Index of the best ridge, the `Path` of all that were tried, and what is wrong; maybe nothing.

    The exact choice of some rows, the ``guess``, stays if these are the whole, or if errors of all
    rows cannot be told.
    """
    begin = int(np.flatnonzero(ridges == guess.value)[0])
    if is_whole:
        return begin, guess, ""
    trials.solve([begin])
    trouble = ""
    if np.isfinite(trials.errors[begin]):
        if not trials.is_sure[begin]:
            return begin, guess, ""
    else:
        trouble = (
            f"The ridge may be too large, as conjugate gradients found no solution for "
            f"{ridges[begin]:.2g}: increase max_iter, or take solver='cholesky' or 'local'."
        )
    place = trials.search(begin)
    tried = sorted(trials.errors)
    errors = np.array([trials.errors[each] for each in tried])
    return place, Path(ridges[tried], errors, tried.index(place), None), trouble


def _not_converged(residual, tol, most):
    """Text of a warning for a residual above the tolerance, after all iterations if not None."""
    found = f"with a residual of {residual:.3g}, more than tol={tol:.2g}"
    if most is not None:
        return (
            f"Conjugate gradients ended after {most} iterations {found}: increase max_iter, alpha "
            f"or tol."
        )
    return (
        f"Conjugate gradients ended {found}, as rounding errors allow no less: increase alpha, or "
        f"take solver='cholesky' or 'local'."
    )
