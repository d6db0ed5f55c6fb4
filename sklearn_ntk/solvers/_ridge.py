"""Ridge regression on a Gram matrix, with leave-one-out residuals in closed form."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .._runtime.check import read_flag, read_number
from .._runtime.device import on_host
from .._values import value
from ..gram import ArrayOperator
from ._exact import factorisations, is_spectral, scale, solve, split_constant, with_constant
from ._factors import Spectrum, cholesky, shift, try_cholesky
from ._solution import (
    Path,
    Solution,
    best_tried,
    descend,
    error_for,
    places,
    read_judges,
    read_problem,
    read_values,
    relative_error,
    varied,
)

RELATIVE_RIDGES = 10.0 ** np.arange(-6.0, 1.01, 0.5)
"""Default ridges, in units of the mean of weight times diagonal of the Gram matrix."""

SUBSET_ROWS, SUBSET_SHARE = 250, 0.5
"""Least number, and share, of the rows in the subset whose best ridge is the start of a search."""

SLACK = 0.01
"""A search ends at the start taken from a similar problem if the ratio of errors (`Path.ratio`)
exceeds that of the similar problem by at most this share."""


@value
class Ridge(NamedTuple):
    """Kernel ridge regression with an intercept that is not penalised.

    Minimises ``sum_i w_i |y_i - f(x_i) - c|^2 + ridge |f|^2`` over functions of the kernel and
    constants.

    Parameters
    ----------
    ridges : float, array-like or None, default=None
        The ridge, or several from which the one with the smallest error is chosen. None takes
        `RELATIVE_RIDGES` times the mean of weight times diagonal.
    error : callable, optional
        The error to minimise, a function ``error(solution, Y, weights)`` of a `Solution`, targets
        (n, k) and weights. The default is the mean squared leave-one-out error, divided by the
        variance of each output. If it has a method ``take``, ``take(rows)`` is the error for a
        subset of the rows.
    is_smooth : bool, default=True
        Whether the error is a smooth function of the ridge. If so, only some ridges are tried for
        more than 500 rows, by a descent from the best one for a subset of the rows.

    References
    ----------
    G. Wahba, "Spline models for observational data", 1990, chapters 1 and 4.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.solvers import Ridge
    >>> x = np.linspace(-1.0, 1.0, 5)[:, None]
    >>> path = Ridge([1e-6, 1e-2, 1.0]).fit(NTKKernel(depth=1)(x), x**2)
    >>> path.value, path.solution.dual.shape
    (np.float64(0.01), (5, 1))
    """

    ridges: float | Sequence | None = None
    error: Callable = relative_error
    is_smooth: bool = True

    def fit(self, operator, Y, weights=None, like=None, judges=None, blind=()):
        """Fit for the given ridge, or for the best one.

        Parameters
        ----------
        operator : array of shape (n, n) or GramOperator
            Gram matrix. A matrix in the memory of a GPU, an array of CuPy, is factorised there;
            targets and the solution are arrays of NumPy.
        Y : array of shape (n,) or (n, k)
            Targets.
        weights : array of shape (n,), optional
            Positive weights of the rows, ones by default.
        like : Path, optional
            Result for a similar problem with as many ridges. The search begins near its best ridge,
            and ends there if the error is as expected from its ``ratio``.
        judges : array of shape (m,), optional
            Indices of the rows whose leave-one-out residuals choose the ridge, by default all. The
            kernel may have been learned from the others, whose residuals are then too small.
        blind : list of pairs (array of shape (n, n) or GramOperator, array of shape (m,))
            Kernels learned without the rows of these indices. Leave-one-out residuals of these
            rows, and what belongs to them, come from the fit with this kernel.

        Returns
        -------
        Path
        """
        operator, Y, weights = read_problem(operator, Y, weights)
        judges, is_smooth = read_judges(judges, len(Y)), read_flag(self.is_smooth, "is_smooth")
        K, root = operator.dense(), np.sqrt(weights)
        others = [_Blind(read_problem(each, Y, None)[0], root, rows) for each, rows in blind]
        ridges, is_given = read_ridges(self.ridges, K, weights)
        if is_given:
            ridge = float(ridges[0])
            solution = solve(cholesky(shift(scale(K, root), ridge)), Y, root, ridge)
            for other in others:
                solution = other.judge(solution, cholesky(other.shifted(ridge)), Y, ridge)
            return Path(ridges, np.empty(0), 0, solution)
        trials = _ExactTrials(scale(K, root), Y, root, ridges, self.error, judges, others)
        if is_searched(len(K), len(ridges), is_smooth):
            best, *start = trials.search(like)  # start: guess, shift, ratio
        else:
            best, start = trials.try_all(), []
        tried = sorted(trials.errors)
        solution = trials.solutions[best]
        if solution is None:  # no ridge makes the matrix positive definite
            best = tried[-1]
            solution = solve(cholesky(shift(K, ridges[best])), Y, root, ridges[best])
        errors = np.array([trials.errors[place] for place in tried])
        return Path(ridges[tried], errors, tried.index(best), solution, *start)

    def solutions(self, operator, Y, weights, is_whole, refused=None):
        """Yield the `Solution` for each ridge, None where the matrix is not positive definite.

        Ridges increase. Unless ``is_whole``, solutions have dual coefficients and intercept only,
        which need no inverse. With the set of `factorisations`, what belongs to leaving out a row
        may be wrong by a thousandth, and a few hundredths for single rows.
        """
        K, root = operator.dense(), np.sqrt(weights)
        ridges, _ = read_ridges(self.ridges, K, weights)
        factors = factorisations(scale(K, root), ridges, refused)
        for ridge, factor in zip(ridges, factors, strict=True):
            if factor is None:
                yield None
            elif is_whole:
                yield solve(factor, Y, root, ridge)
            else:
                yield Solution(*split_constant(factor.solve(with_constant(Y, root)), root))


def default_ridges(K, weights, n):
    """`RELATIVE_RIDGES` times ``sum_i w_i K_ii / n``, for ``n`` distinct rows.

    ``K`` is an array or an operator.
    """
    return RELATIVE_RIDGES * (np.sum(weights * np.abs(on_host(K.diagonal()))) / n or 1.0)


def read_ridges(ridges, operator, weights):
    """Increasing ridges to try, the `default_ridges` for None, and whether one was given."""
    if ridges is None:
        return default_ridges(operator, weights, len(weights)), False
    if np.ndim(ridges) == 0:
        return np.array([read_number(ridges, "ridges")]), True
    return read_values(ridges, "ridges"), False


def is_searched(n, n_ridges, is_smooth):
    """Whether a search tries only some of the ridges for ``n`` rows."""
    return is_smooth and not is_spectral(n) and n_ridges > 1


class _ExactTrials:
    """Errors and solutions of the ridges tried so far, dictionaries by the index of the ridge.

    ``K`` is ``W^1/2 K W^1/2``, ``root`` is ``sqrt(w)``, errors are those of the ``judges``, and
    ``blind`` is a list of `_Blind`.
    """

    def __init__(self, K, Y, root, ridges, error, judges=None, blind=()):
        self._K, self._Y, self._root, self._judges, self._blind = K, Y, root, judges, blind
        self._ridges, self._error = ridges, error
        self.errors, self.solutions = {}, {}

    def try_all(self):
        """Try all ridges; index of the best one."""
        for place, factor in enumerate(factorisations(self._K, self._ridges)):
            self._add(place, factor)
        return best_tried(self.errors)

    def search(self, like):
        """Try some ridges; index of the best, `Path.guess`, `Path.shift` and `Path.ratio`."""
        has_like = like is not None and like.ratio is not None
        guess, subset_error = self._guess(like.guess if has_like else None)
        best = guess
        if has_like:
            best = min(max(guess + like.shift, 0), len(self._ridges) - 1)
            self._try_one(best)
            if 0.0 < self.errors[best] <= (1.0 + SLACK) * like.ratio * subset_error:
                return best, guess, like.shift, like.ratio
        best = self._descend(best)
        ratio = self.errors[best] / subset_error if subset_error > 0.0 else 0.0
        return best, guess, best - guess, min(ratio, like.ratio) if has_like else ratio

    def _guess(self, start):
        """Index of the best ridge for a subset of the rows, by descent from ``start``; its error.

        Without a start, the descent begins at the best ridge of a subset of the subset.
        """
        n = len(self._K)
        n_rows = min(n, max(SUBSET_ROWS, round(SUBSET_SHARE * n)))
        rows = np.linspace(0, n - 1, n_rows).astype(int)
        rows = np.sort(varied(rows, np.setdiff1d(np.arange(n), rows), self._Y))
        K = ArrayOperator(self._K).block(rows, rows)
        block = (K, self._Y[rows], self._root[rows])
        error = error_for(self._error, rows)
        subset = _ExactTrials(*block, self._ridges, error, places(rows, self._judges))
        if start is None and n_rows <= SUBSET_ROWS:
            best = subset.try_all()
        else:
            best = subset._descend(subset._guess(None)[0] if start is None else start)
        return best, subset.errors[best]

    def _descend(self, best):
        """Index of the local minimum to which a descent leads."""
        return descend(self.errors, self._try_each, len(self._ridges), best)

    def _try_each(self, places):
        for place in places:
            self._try_one(place)

    def _try_one(self, place):
        """Try the ridge of this index by a Cholesky factorisation."""
        self._add(place, try_cholesky(shift(self._K.copy(), self._ridges[place])))

    def _add(self, place, factor):
        """Record error and solution of a ridge; inf and None without a factorisation."""
        self.errors[place], self.solutions[place] = np.inf, None
        ridge = self._ridges[place]
        if factor is not None:
            solution = solve(factor, self._Y, self._root, ridge)
            for other in self._blind:
                solution = other.judge(solution, other.factor(ridge), self._Y, ridge)
                if solution is None:
                    return
            self.solutions[place] = solution
            judged = solution.among(self._judges)
            self.errors[place] = self._error(judged, self._Y, self._root**2)


class _Blind:
    """A Gram matrix by which some of the ``rows`` are judged, those of an ``operator``."""

    def __init__(self, operator, root, rows):
        self._K, self._root, self._rows = scale(operator.dense(), root), root, rows
        self._spectrum = None

    def shifted(self, ridge):
        """The matrix ``W^1/2 K W^1/2 + ridge I``."""
        return shift(self._K.copy(), ridge)

    def factor(self, ridge):
        """A factorisation of it, None if it is not positive definite."""
        if not is_spectral(len(self._K)):
            return try_cholesky(self.shifted(ridge))
        self._spectrum = self._spectrum or Spectrum(self._K)
        return self._spectrum.shifted(ridge)

    def judge(self, solution, factor, Y, ridge):
        """A solution with what belongs to the rows from this one, or None without a factor."""
        if factor is None:
            return None
        return solution.judged(solve(factor, Y, self._root, ridge), self._rows)
