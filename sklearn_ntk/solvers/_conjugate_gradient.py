"""Ridge regression by preconditioned conjugate gradients, for more rows than a factorisation."""

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .._runtime.check import read_count, read_number
from .._runtime.errors import NotConverged
from .._values import value
from ._exact import split_constant, with_constant
from ._iterations import FIRST, Iterations, System
from ._part import fit_part, part_of
from ._ridge import read_ridges
from ._solution import Path, read_judges, read_problem, relative_error
from ._trials import Trials

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
        B, trial, trouble, left = with_constant(Y, system.root), None, "", most
        if len(rows) < n:
            trials = Trials(self.error, system, Y, B, rng, judges)
            search = _Search(trials, ridges, 0.5 * max(tol, FIRST), most, start)
            trial, path, trouble = search.best(path, is_given)
            left -= system.n_last if start is None else 0
            del trials, search
        details = _refined(system, B, path.value, tol, most, left, trial or start)
        probes = None if trial is None else trial.probes
        details = details._replace(probes=probes, trouble=details.trouble or trouble)
        if details.trouble:
            warnings.warn(details.trouble, NotConverged, stacklevel=2)
        dual, intercept = split_constant(details.columns, system.root)
        del system  # room for the exact ones of some rows
        solution = _left_out(trial, dual, path, part)
        solution = solution._replace(dual=dual, intercept=intercept + mean, details=details)
        return path._replace(solution=solution, guess=None, shift=None, ratio=None)


class _Search(NamedTuple):
    """A search among ridges by `Trials`; the other fields are those of `Trials.solve`."""

    trials: Trials
    ridges: np.ndarray
    goal: float
    most: int
    start: Iterations | None

    def best(self, path, is_given):
        """The `Trial` of the best ridge, the `Path` of those tried, and what is wrong, or "".

        Begins at the best ridge of ``path``, of some rows, which carries over unscaled, and at the
        better one of its neighbours, by the same products. The errors of ``path`` stay where those
        of all rows cannot be told. Where there is no solution, larger ridges are tried.
        """
        best, trouble = int(np.searchsorted(self.ridges, path.value)), ""
        places = [best] if is_given else [best, *self.neighbour(path, best)]
        tried = dict(zip(places, self.solve(places), strict=True))
        if is_given:
            return tried[best], path, trouble
        if not np.isfinite(tried[best].error):
            trouble = _no_solution(path.value)
            while not np.isfinite(tried[best].error) and best + 1 < len(self.ridges):
                best += 1
                if best not in tried:
                    (tried[best],) = self.solve([best])
        elif not tried[best].is_sure:
            return tried[best], path, trouble
        else:
            sure = (place for place, trial in tried.items() if trial.is_sure)
            best = min(sure, key=lambda place: tried[place].error)
        places = sorted(tried)
        errors = np.array([tried[place].error for place in places])
        return tried[best], Path(self.ridges[places], errors, places.index(best), None), trouble

    def neighbour(self, path, place):
        """List of the place of one neighbour, the better one on a path, if it costs little.

        Rough solutions do not tell it from the ridge itself.
        """
        is_exact = self.start is None and self.goal <= FINE
        near = (place - 1, place + 1) if is_exact else ()
        near = [each for each in near if self.trials.is_cheap(self.ridges, each, place)]
        errors = dict(zip(path.values, path.errors, strict=True))
        return sorted(near, key=lambda each: errors.get(self.ridges[each], np.inf))[:1]

    def solve(self, places):
        """List of the `Trial` of the ridge at each place.

        A start may be exact beyond what products in single precision know, or that of another
        problem.
        """
        ridges = self.ridges[places]
        if self.start is not None:
            found = self.trials.solve(ridges, np.inf, self.most, self.start)
            if np.isfinite(found[0].error):
                return found
        return self.trials.solve(ridges, self.goal, self.most, self.start)


def _left_out(trial, dual, path, part):
    """`Solution` with what leaving out one row does: estimates, or the exact one of some rows.

    ``trial`` may be None, and ``part`` are the arguments of `fit_part` for these rows.
    """
    if trial is not None and trial.is_sure:
        return trial.solution._replace(residuals=dual / trial.solution.precision[:, None])
    exact = path.solution or fit_part(path.value, *part).solution
    rows = part[-1] if len(part[-1]) < len(dual) else None
    return exact._replace(log_determinant=None, rows=rows)


def _refined(system, B, ridge, tol, most, left, start):
    """`Iterations` to the true residual ``tol``, or until none of ``most`` iterations is ``left``.

    ``start`` has ``columns``, or is None.
    """
    columns = None if start is None else start.columns
    X, residuals, is_short = system.refine(B, ridge, tol, left, columns)
    residual, trouble = float(residuals.max()), ""
    if residual > tol:
        is_short &= not system.is_limited
        trouble = _not_converged(residual, tol, most if is_short else None)
    return Iterations(system.n_iter, residual, X, trouble=trouble)


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
