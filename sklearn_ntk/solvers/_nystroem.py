"""Ridge regression on the functions of some of the rows, the Nystroem approximation."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from .._runtime.check import read_count
from .._runtime.chunks import CHUNK, chunks
from .._runtime.memory import check_memory
from .._runtime.progress import Progress
from .._values import value
from ..gram._operator import fold_here
from ._moments import moments
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
from ._sums import Factored, Fit, Held, Mapped, Sums, basis_of

MOST_CENTERS = 2000
"""Number of centres by default."""

HELD, HELD_SHARE = 4000, 8
"""Rows that are no candidates for centres, at most, and one of how many."""

PIVOT_ROWS = 20_000
"""Rows among which pivots are sought, at most."""


class NewRows(NamedTuple):
    """Rows that a fit takes in, as its centres see them.

    ``blocks(rows)`` is a function without arguments that returns the kernel (b, m) of some of the n
    rows with the centres, ``diagonal`` (n,) is the kernel of the rows with themselves. ``Y`` (n, k)
    and ``weights`` (n,) are theirs, and ``apart`` the indices of those that are no centres.
    """

    blocks: Callable
    diagonal: np.ndarray
    Y: np.ndarray
    weights: np.ndarray
    apart: np.ndarray


class Centers(NamedTuple):
    """What a Nystroem fit is made of, and goes on from with more rows.

    ``rows`` (m,) are those that are centres, or None if they are other ones. ``basis`` are their
    functions, and ``fit`` has the coefficients of these, for one of the ``ridges``. ``sums`` are
    those of all rows so far, see `Sums`, with targets minus ``shift`` (k,), and ``held`` are rows
    that choose the ridge; all four are None before the first rows.
    """

    rows: np.ndarray | None
    basis: Factored | Mapped
    ridges: np.ndarray
    sums: Sums | None = None
    held: Held | None = None
    fit: Fit | None = None
    shift: np.ndarray | None = None

    def with_sums(self, new, fold=fold_here, verbose=0):
        """With the sums over `NewRows`, where `GramOperator.fold` computes them."""
        shift = moments(new.Y, new.weights)[0] if self.shift is None else self.shift
        n = len(new.Y)
        progress = Progress(n, "Nystroem sums", "take fewer centres", verbose)

        def pieces():
            for rows in chunks(n, self.basis.n_centers):
                rows = np.arange(n)[rows]
                yield new.blocks(rows), new.Y[rows] - shift, new.weights[rows]
                progress.add(len(rows))

        sums = fold(partial(Sums.over, basis=self.basis, k=new.Y.shape[1]), pieces(), Sums.joined)
        sums = sums if self.sums is None else self.sums.joined([sums])
        return self._replace(sums=sums, shift=shift)

    def with_held(self, new, rows):
        """With some of the `NewRows` among those that choose the ridge."""
        if self.held is not None and not len(rows):
            return self
        Z = self.basis.values(new.blocks(rows)())
        held = Held(
            rows,
            Z,
            new.Y[rows],
            new.weights[rows],
            unseen=new.diagonal[rows] - np.einsum("ij,ij->i", Z, Z),
            are_centers=~np.isin(rows, new.apart),
        )
        if self.held is not None:
            held = self.held.plus(held).apart(HELD_SHARE)
        return self._replace(held=held)

    def path(self, error):
        """`Path` over the ridges by an error of the held rows.

        It begins at the ridge so far, which carries over to more rows, or in the middle.
        """
        ridges, whitened = self.ridges, self.basis.whitened(self.sums)
        errors, solutions = {}, {}

        def solve(place):
            fit = Fit.solve(whitened, ridges[place], self.shift)
            solutions[place] = None if fit is None else fit.solution(self.basis, self.held)

        def try_each(places):
            for place in places:
                solve(place)
                errors[place] = np.inf
                if solutions[place] is not None:
                    solution = solutions[place]._replace(rows=None)
                    errors[place] = error(solution, self.held.Y, self.held.weights)

        best = len(ridges) // 2
        if self.fit is not None:
            best = int(np.searchsorted(ridges, self.fit.ridge))
        if len(ridges) > 1:
            best = descend(errors, try_each, len(ridges), best)
        else:
            solve(best)
        if solutions[best] is None:
            raise ValueError(
                f"The equations of the centres are singular to working precision for the ridge "
                f"{ridges[best]:.3g}: increase alpha, or take fewer centres."
            )
        tried = sorted(solutions)
        found = np.array([errors[place] for place in tried if errors])
        fit = Fit.solve(whitened, ridges[best], self.shift)  # none is kept: each has m^2 numbers
        solution = solutions[best]._replace(details=self._replace(fit=fit))
        return Path(ridges[tried], found, tried.index(best), solution)


@value
class Nystroem(NamedTuple):
    """`Ridge` on functions ``sum_j a_j k(x, c_j)`` of m centres, in time ``n m^2``.

    It takes one pass over the rows, in memory that does not grow with them. Kernels of rough
    functions, such as those of ReLU networks, need many centres: conjugate gradients and local
    models predict better if they fit into memory.

    Parameters
    ----------
    ridges : float, array-like or None, default=None
        As for `Ridge`. Several are compared by leave-one-out errors of rows that were no candidates
        for centres, because the errors of centres would favour ridges that are too large.
    n_components : int, optional
        Number of centres; by default 2000, or all rows if there are fewer.
    centers : {"uniform", "rpcholesky"} or array of int, default="uniform"
        Random rows, pivots of a randomly pivoted Cholesky factorisation, which are better for
        smooth kernels, or indices of rows.
    error : callable, optional
        The error to minimise, as for `Ridge`.
    seed : int, default=0
        Seed of centres and rows.
    verbose : int, default=0
        Whether to print progress and an estimate of the remaining time.

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
            The dual coefficients of the solution belong to the centres, ``details.rows``, and its
            residuals to its ``rows``.
        """
        operator, Y, weights = read_problem(operator, Y, weights)
        ridges, _ = read_ridges(self.ridges, operator, weights)
        n, rng = len(Y), np.random.default_rng(self.seed)
        m, held_rows, candidates = self._plan(Y, rng)
        is_all = m == n and isinstance(self.centers, str)
        what = f"A Nystroem fit with {m} centres"
        check_memory(memory_of(n, m), what, "take fewer centres")
        index = np.arange(n) if is_all else self._choose(operator, m, candidates, rng)
        basis = basis_of(operator.block(index, index), may_be_late=not is_all)
        blocks = partial(operator.between, columns=index)
        apart = np.setdiff1d(np.arange(n), index)
        new = NewRows(blocks, operator.diagonal(), Y, weights, apart)
        return self.absorb(Centers(index, basis, ridges), new, held_rows, operator.fold)

    def absorb(self, centers, new, held_rows=None, fold=fold_here):
        """The `Path` after more rows; ``centers`` stay as they are, also if an error is raised.

        Parameters
        ----------
        centers : Centers
        new : NewRows
        held_rows : array of int, optional
            The rows that also choose the ridge. By default, of those that are no centres, half of
            the places that are left.
        fold : callable, optional
            `GramOperator.fold` of where sums are computed.
        """
        if held_rows is None:
            held_rows = _rows_to_hold(centers.held, new.apart, new.Y)
        error = error_for(self.error, held_rows) if centers.held is None else self.error
        return centers.with_sums(new, fold, self.verbose).with_held(new, held_rows).path(error)

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
        rows = np.sort(rng.choice(rows, min(len(rows), max(PIVOT_ROWS, m)), replace=False))
        pivots = pivoted_cholesky(operator.take(rows), np.ones(len(rows)), m, rng)[-1]
        return rows[np.sort(pivots)]


def memory_of(n, m):
    """Bytes of a fit of n rows by m centres: kernels, sums and factors, held rows, and blocks."""
    return 8.0 * m * (5.0 * m + min(n, HELD)) + 16.0 * min(n * m, CHUNK)


def _rows_to_hold(held, apart, Y):
    """Which rows choose the ridge, too, of those that are no centres, besides `Held` ones."""
    n = len(Y)
    if held is None and len(apart) < max(1, n // HELD_SHARE):  # nearly exact: all are alike
        apart = np.arange(n)
    n_left = HELD if held is None else max(0, HELD - np.sum(~held.are_centers))
    places = np.linspace(0, len(apart) - 1, min(len(apart), (n_left + 1) // 2)).astype(int)
    rows = apart[places]
    return rows if held is not None else np.sort(varied(rows, np.delete(apart, places), Y))
