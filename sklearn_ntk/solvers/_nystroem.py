"""Ridge regression on the functions of some of the rows, the Nystroem approximation."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from .._runtime.check import read_count
from .._runtime.memory import check_memory
from .._runtime.progress import Progress
from .._values import value
from ..gram._operator import chunks, fold_here
from ._factors import moments
from ._preconditioner import pivoted_cholesky
from ._ridge import read_ridges
from ._solution import (
    Path,
    descend,
    error_for,
    read_index,
    read_problem,
    relative_error,
    varied,
)
from ._sums import Basis, Fit, Held, Sums

MOST_CENTERS = 2000
"""Number of centres by default."""

HELD, HELD_SHARE = 4000, 8
"""Rows that are no candidates for centres, at most, and one of how many."""

SAMPLE = 20_000
"""Rows among which pivots are sought, at most."""


class Centers(NamedTuple):
    """What a Nystroem fit is made of, and goes on from with more rows.

    ``rows`` (m,) are those that are centres, or None if they are other ones. ``basis`` are their
    functions, and ``fit`` has the coefficients of these, for one of the ``ridges``. ``sums`` are
    those of all rows so far, see `Basis.summands`, with targets minus ``shift`` (k,), and ``held``
    are rows that choose the ridge; all four are None before the first rows.
    """

    rows: np.ndarray | None
    basis: Basis
    ridges: np.ndarray
    sums: Sums | None = None
    held: Held | None = None
    fit: Fit | None = None
    shift: np.ndarray | None = None


@value
class Nystroem(NamedTuple):
    """`Ridge` on functions ``sum_j a_j k(x, c_j)`` of m centres, in time ``n m^2``.

    One pass over the rows, in memory that does not grow with them. Kernels of rough functions, such
    as those of ReLU networks, need many centres: conjugate gradients and local models predict
    better where they fit.

    Parameters
    ----------
    ridges : float, array-like or None, default=None
        As for `Ridge`. Several are searched, by leave-one-out errors of rows that were no
        candidates for centres: those of centres would choose ridges that are too large.
    n_components : int, optional
        Number of centres; by default 2000, or all rows.
    centers : {"uniform", "rpcholesky"} or array of int, default="uniform"
        Random rows, pivots of a randomly pivoted Cholesky factorisation, which are better for
        smooth kernels, or indices of rows.
    error : callable, optional
        The error to minimise, as for `Ridge`.
    seed : int, default=0
        Of centres and rows.
    verbose : int, default=0
        Whether to print how far the computation is and how long it will take.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.gram import KernelOperator
    >>> from sklearn_ntk.solvers import Nystroem
    >>> X = np.random.default_rng(0).normal(size=(500, 2))
    >>> path = Nystroem(n_components=50).fit(KernelOperator(NTKKernel(), X), np.sin(X[:, 0]))
    >>> path.solution.dual.shape, path.solution.details.rows.shape
    ((50, 1), (50,))
    """

    ridges: float | Sequence | None = None
    n_components: int | None = None
    centers: str | Sequence = "uniform"
    error: Callable = relative_error
    seed: int = 0
    verbose: int = 0

    def fit(self, operator, Y, weights=None):
        """Fit for the given ridge, or for the best one.

        Parameters
        ----------
        operator : array of shape (n, n) or GramOperator
            Gram matrix.
        Y : array of shape (n,) or (n, k)
            Targets.
        weights : array of shape (n,), optional
            Positive weights of the rows, ones by default.

        Returns
        -------
        Path
            The dual coefficients of the solution are those of the centres, ``details.rows``.
            Residuals belong to its ``rows``.
        """
        operator, Y, weights = read_problem(operator, Y, weights)
        ridges, _ = read_ridges(self.ridges, operator, weights)
        n, rng = len(Y), np.random.default_rng(self.seed)
        m, held_rows, candidates = self._plan(Y, rng)
        is_all = m == n and isinstance(self.centers, str)
        check_memory(
            8.0 * m * (4.0 * m + len(held_rows)) + 16.0 * 2**23,
            f"A Nystroem fit with {m} centres",
            "take fewer centres",
        )
        index = np.arange(n) if is_all else self._choose(operator, m, candidates, rng)
        basis = Basis(operator.block(index, index), may_be_late=not is_all)
        empty = Centers(index, basis, ridges)
        blocks = partial(operator.between, columns=index)
        problem = blocks, operator.diagonal(), Y, weights
        rows = {"apart": np.setdiff1d(np.arange(n), index), "held_rows": held_rows}
        return self.absorb(empty, *problem, **rows, fold=operator.fold)

    def absorb(
        self, centers, blocks, diagonal, Y, weights, *, apart=None, held_rows=None, fold=fold_here
    ):
        """The `Path` after more rows; ``centers`` stay as they are, also if an error is raised.

        Parameters
        ----------
        centers : Centers
        blocks : callable
            ``blocks(rows)`` is a function without arguments that returns the kernel (b, m) of some
            of the rows with the centres.
        diagonal : array of shape (n,)
            The kernel of the rows with themselves.
        Y, weights : arrays of shape (n, k) and (n,)
        apart : array of int, optional
            The rows that are no centres, by default all.
        held_rows : array of int, optional
            The rows that also choose the ridge. By default, of those that are no centres, half of
            the places that are left.
        fold : callable, optional
            `GramOperator.fold` of where sums are computed.
        """
        basis, n = centers.basis, len(Y)
        apart = np.arange(n) if apart is None else apart
        if held_rows is None:
            held_rows = _rows_to_hold(centers.held, apart, Y)
        shift = moments(Y, weights)[0] if centers.sums is None else centers.shift
        progress = Progress(n, "Nystroem sums", "take fewer centres", self.verbose)

        def pieces():
            for rows in chunks(n, basis.n_centers):
                rows = np.arange(n)[rows]
                yield blocks(rows), Y[rows] - shift, weights[rows]
                progress.add(len(rows))

        sums = fold(partial(Sums.over, basis=basis, k=Y.shape[1]), pieces(), Sums.joined)
        sums = sums if centers.sums is None else centers.sums.joined([sums])
        held, error = centers.held, self.error
        if held is None:
            error = error_for(error, held_rows)
        if held is None or len(held_rows):
            Z = basis.values(blocks(held_rows)())
            unseen = diagonal[held_rows] - np.einsum("ij,ij->i", Z, Z)
            are_centers = ~np.isin(held_rows, apart)
            new = Held(held_rows, Z, Y[held_rows], weights[held_rows], unseen, are_centers)
            held = new if held is None else held.plus(new).apart(HELD_SHARE)
        first = len(centers.ridges) // 2  # or that of the rows before, which carries over
        if centers.fit is not None:
            first = int(np.searchsorted(centers.ridges, centers.fit.ridge))
        problem = basis.whitened(sums), shift, basis, held, error
        path, fit = _choose_ridge(centers.ridges, *problem, first)
        details = centers._replace(sums=sums, held=held, fit=fit, shift=shift)
        return path._replace(solution=path.solution._replace(details=details))

    def _plan(self, Y, rng):
        """Number of centres, rows by which to choose a ridge, and the candidates for centres."""
        if isinstance(self.centers, str) and self.centers not in ("uniform", "rpcholesky"):
            raise ValueError(
                f"centers must be 'uniform', 'rpcholesky' or rows; got {self.centers!r}."
            )
        n, is_given = len(Y), not isinstance(self.centers, str)
        n_held = min(n // HELD_SHARE, HELD)
        if is_given:
            m = len(read_index(self.centers, n, "centers"))
        elif self.n_components is None:
            m = n if n <= MOST_CENTERS else min(MOST_CENTERS, n - n_held)
        else:
            m = read_count(self.n_components, "n_components", 1)
        if m > n:
            raise ValueError(
                f"n_components must be at most the number of distinct rows, {n}; got {m}: take "
                f"fewer centres."
            )
        every = np.arange(n)
        if n - m < max(n_held, 1):  # nearly exact, so that all rows are alike
            order = every if n <= HELD else rng.permutation(n)
            return m, np.sort(varied(*np.split(order, [HELD]), Y)), every
        rows = rng.permutation(n)
        if is_given:
            rows = rows[~np.isin(rows, self.centers)]
        held_rows, spare = np.split(rows[: n - m], [max(n_held, 1)])
        held_rows = np.sort(varied(held_rows, spare, Y))
        return m, held_rows, np.setdiff1d(every, held_rows)

    def _choose(self, operator, m, rows, rng):
        """Indices (m,) of the centres, from candidates."""
        if not isinstance(self.centers, str):
            return read_index(self.centers, operator.shape[0], "centers")
        if self.centers == "uniform":
            return np.sort(rng.choice(rows, m, replace=False))
        rows = np.sort(rng.choice(rows, min(len(rows), max(SAMPLE, m)), replace=False))
        pivots = pivoted_cholesky(operator.take(rows), np.ones(len(rows)), m, rng)[-1]
        return rows[np.sort(pivots)]


def _rows_to_hold(held, apart, Y):
    """Which rows choose the ridge, too, of those that are no centres, besides `Held` ones."""
    n = len(Y)
    if held is None and len(apart) < max(1, n // HELD_SHARE):  # nearly exact: all are alike
        apart = np.arange(n)
    n_left = HELD if held is None else max(0, HELD - np.sum(~held.are_centers))
    places = np.linspace(0, len(apart) - 1, min(len(apart), (n_left + 1) // 2)).astype(int)
    rows = apart[places]
    return rows if held is not None else np.sort(varied(rows, np.delete(apart, places), Y))


def _choose_ridge(ridges, sums, shift, basis, held, error, first):
    """`Path` over ridges by the error of `Held` rows, from the first one, and the best `Fit`."""
    errors, fits, solutions = {}, {}, {}

    def solve(place):
        fit = fits[place] = Fit.solve(sums, ridges[place], shift)
        solutions[place] = None if fit is None else fit.solution(basis, held)

    def try_each(places):
        for place in places:
            solve(place)
            errors[place] = np.inf
            if solutions[place] is not None:
                solution = solutions[place]._replace(rows=None)
                errors[place] = error(solution, held.Y, held.weights)

    if len(ridges) > 1:
        best = descend(errors, try_each, len(ridges), first)
    else:
        best = 0
        solve(best)
    if fits[best] is None:
        raise ValueError(
            f"The equations of the centres are singular to working precision for the ridge "
            f"{ridges[best]:.3g}: increase alpha, or take fewer centres."
        )
    tried = sorted(fits)
    found = np.array([errors[place] for place in tried if errors])
    return Path(ridges[tried], found, tried.index(best), solutions[best]), fits[best]
