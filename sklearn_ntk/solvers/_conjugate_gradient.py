"""Ridge regression by preconditioned conjugate gradients, for more rows than a factorisation."""

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .._runtime.check import read_count, read_number
from .._runtime.errors import NotConverged
from .._values import value
from ._iterations import FIRST, Iterations, System
from ._part import fit_part, part_of
from ._ridge import read_ridges
from ._solution import Path, Solution, read_judges, read_problem, relative_error
from ._trials import Trials, coefficients

RANKS, MANY = (2000, 1000), 100_000
"""Largest rank of a preconditioner, of less than `MANY` rows and of more. Smooth kernels need less
than half of the iterations for twice the rank; rough ones take the same time."""

FINE = 1e-4
"""Residual up to which solutions for neighbouring ridges are told apart."""


@value
class ConjugateGradient(NamedTuple):
    """`Ridge` without a factorisation, which is faster from about 7000 rows on.

    The Gram matrix is kept in single precision, in ``4 n^2`` bytes. Everything else is in double
    precision, and the reported residual is computed anew from the kernel. All outputs share the
    products with the matrix.

    Parameters
    ----------
    ridges : float, array-like or None, default=None
        As for `Ridge`. Several are compared on a sample of the rows, and the best is used for all,
        unscaled. Where it is cheap (few outputs, a ridge well above rounding in single precision),
        its better neighbour is solved at the same time, and the errors of all rows decide.
    tol : float, default=1e-4
        Norm of the residual relative to the norm of the targets. Predictions are about as exact.
    max_iter : int, default=500
        Maximum number of iterations.
    rank : int, optional
        Rank of the preconditioner; by default a tenth of the rows, but at most 2000, or 1000 for
        100,000 or more rows.
    error : callable, optional
        The error to minimise, as for `Ridge`.
    seed : int, default=0
        Seed of pivots, rows and signs.
    verbose : int, default=0
        Whether to print progress and an estimate of the remaining time.
    max_memory : float, optional
        Bytes that the Gram matrix may take in double precision, which is used where single
        precision is not enough; by default the free memory.

    Warns
    -----
    NotConverged
        If the true residual is larger than ``tol``, or a better ridge may have been missed. Where
        zero coefficients are better, the solution has these.

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

    def fit(self, operator, Y, weights=None, start=None, judges=None):
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
            ``solution.details`` of an earlier fit from which to continue, for instance one that has
            not converged.
        judges : array of shape (m,), optional
            The rows that choose, as for `Ridge.fit`.

        Returns
        -------
        Path
            Residuals and precisions of the solution are estimates, good for means over rows and
            outputs; where these would be too rough, they are exact, for a subset of the rows.
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
        judges = read_judges(judges, n)
        part = operator, Y, weights, (rows := part_of(Y, rng, judges))
        if is_given:
            path = Path(ridges, np.empty(0), 0, None)
        else:
            path = fit_part(ridges, *part, self.error, judges)  # while there is room
        system = System(operator, weights, rank, self.seed, self.verbose, self.max_memory)
        B = np.column_stack([system.root[:, None] * Y, system.root])
        left, trouble, trial = most, "", None
        columns = None if start is None else start.columns
        if len(rows) < n:
            trials = Trials(self.error, system, Y, B, rng, judges)
            goal = 0.5 * max(tol, FIRST)
            trial, path, trouble = _try(trials, path, ridges, is_given, (goal, most, start))
            columns = trial.columns
            left -= system.n_last if start is None else 0
            del trials
        X, residuals, is_short = system.refine(B, path.value, tol, left, columns)
        residual = float(residuals.max())
        if residual > tol:
            is_short &= not system.is_limited
            trouble = _not_converged(residual, tol, most if is_short else None)
        if trouble:
            warnings.warn(trouble, NotConverged, stacklevel=2)
        probes = None if trial is None else trial.probes
        details = Iterations(system.n_iter, residual, X, probes, trouble)
        dual, intercept = coefficients(X, system.root)
        solution = Solution(dual, intercept + mean, details=details)
        if trial is not None and trial.is_sure:
            residuals = dual / trial.precision[:, None]
            left_out = {"residuals": residuals, "gcv": trial.gcv, "precision": trial.precision}
            left_out |= trial.training
        else:
            del system  # room for the exact ones
            exact = path.solution or fit_part(path.value, *part).solution
            names = "residuals", "gcv", "precision", "training_residuals", "leverages"
            left_out = {name: getattr(exact, name) for name in names}
            left_out["rows"] = rows if len(rows) < n else None
        solution = solution._replace(**left_out)
        return path._replace(solution=solution, guess=None, shift=None, ratio=None)


def _try(trials, path, ridges, is_given, arguments):
    """The `Trial` of the best ridge, the `Path` of those tried, and what is wrong; maybe nothing.

    Begins at the best ridge of ``path``, of some rows, which carries over unscaled, and at the
    better one of its neighbours, by the same products. The errors of ``path`` stay where those of
    all rows cannot be told. Where there is no solution, larger ridges are tried. ``arguments`` are
    the further ones of `Trials.solve`.
    """
    best, tried = int(np.searchsorted(ridges, path.value)), {}

    def solve(*places):
        found = _solve(trials, ridges[list(places)], *arguments)
        tried.update(zip(places, found, strict=True))

    if is_given:
        solve(best)
        return tried[best], path, ""
    solve(best, *_neighbour(trials, path, ridges, best, *arguments))
    trouble = ""
    if np.isfinite(tried[best].error):
        if not tried[best].is_sure:
            return tried[best], path, trouble
        sure = (place for place, trial in tried.items() if trial.is_sure)
        best = min(sure, key=lambda place: tried[place].error)
    else:
        trouble = _no_solution(path.value)
    while not np.isfinite(tried[best].error) and best + 1 < len(ridges):
        best += 1
        if best not in tried:
            solve(best)
    places = sorted(tried)
    errors = np.array([tried[place].error for place in places])
    return tried[best], Path(ridges[places], errors, places.index(best), None), trouble


def _neighbour(trials, path, ridges, place, goal, most, start):
    """List of the place of a neighbour of a ridge, the better one on a path, if it costs little.

    Rough solutions do not tell them apart.
    """
    near = (place - 1, place + 1) if start is None and goal <= FINE else ()
    near = [each for each in near if trials.is_cheap(ridges, each, place)]
    errors = dict(zip(path.values, path.errors, strict=True))
    return sorted(near, key=lambda each: errors.get(ridges[each], np.inf))[:1]


def _solve(trials, ridges, goal, most, start):
    """List of the `Trial` of each ridge.

    A start may be exact beyond what products in single precision know, or that of another problem.
    """
    if start is not None:
        found = trials.solve(ridges, np.inf, most, start)
        if np.isfinite(found[0].error):
            return found
    return trials.solve(ridges, goal, most, start)


def rank_of(rank, n):
    """Rank of the preconditioner for n rows."""
    if rank is None:
        return max(1, min(n // 10, RANKS[0] if n < MANY else RANKS[1]))
    return min(read_count(rank, "rank", 1), n)


def _no_solution(ridge):
    """Text of a warning that there is none for the best ridge of some rows."""
    return (
        f"The ridge may be too large, as conjugate gradients found no solution for {ridge:.2g}: "
        f"increase max_iter, or take solver='cholesky' or 'local'."
    )


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
