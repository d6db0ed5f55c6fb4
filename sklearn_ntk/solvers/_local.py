"""Ridge regression by local models, an exact one in each leaf of a tree, blended between them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from .._runtime.blas import single_threaded_blas
from .._runtime.check import read_count, read_number
from .._runtime.progress import Progress
from .._values import value
from ..engines._tasks import Tasks
from ._leaves import Leaf, Leaves
from ._moments import or_one
from ._part import guess_ridge, part_of
from ._ridge import Ridge, read_ridges
from ._solution import (
    Path,
    Solution,
    best_tried,
    descend,
    places,
    read_judges,
    read_problem,
    relative_error,
)
from ._tree import check_overlap, directions_of, grow, shares

SPLITTING_ROWS = 1000
"""Rows of a node by whose model its direction is found, at most."""

CHOOSING_LEAVES, CHOOSING_ROWS, LEAST_CHOOSING = 8, 10_000, 300
"""Leaves in the sample that chooses the ridge (or a third of all, if less); rows in it (or a
quarter of all, if less), but never fewer than the last number."""

CLOSE = 1.5
"""The sample is trusted if its error and that of all rows differ by at most this factor."""

COPIES = 4.2
"""Peak memory of the fit of a leaf in units of its Gram matrix."""


@value
class Local(NamedTuple):
    """Kernel ridge regression in each leaf of a tree, for any number of rows.

    Rows are split at medians, along the direction in which targets change most: the leading
    eigenvector of the mean outer product of the gradients of a model of some of the rows, or, for
    kernels without gradients, the first principal component. Leaves overlap, and predictions are
    blended linearly there, so that they are continuous. Leaves are solved exactly, several at a
    time; each processor needs the memory of one leaf.

    Leaves of 1000 or more rows are factorised in single precision, wherever the solution by the
    factor alone is accurate to half a hundredth. Solutions are refined to nine digits;
    leave-one-out quantities are accurate to about a thousandth, and for single rows to a few
    hundredths.

    Parameters
    ----------
    ridges : float, array-like or None, default=None
        As for `Ridge`; all leaves have the same one. Several are compared by the leave-one-out
        errors of the blended predictions, which are exact for the given tree. With six or more
        leaves, a random sample chooses: 3 to 8 leaves (a third of all), or more until they hold a
        quarter of the rows or 10,000. It is trusted if its error is within a factor of 1.5 of that
        of all rows, and errors of other ridges are then estimates; else all leaves search on.
    leaf_size : int, default=5000
        Maximum number of rows in a leaf.
    overlap : float, default=0.1
        Share of the rows of a node, on either side of its median, that goes to both sides; at most
        0.4. All leaves together may hold at most 20 times the number of rows.
    error : callable, optional
        The error to minimise, as for `Ridge`.
    seed : int, default=0
        Seed of the rows by which splits are found.
    verbose : int, default=0
        Whether to print progress and an estimate of the remaining time.
    max_memory : float, optional
        Bytes that leaves fitted at the same time may take together, by default half of the free
        memory. On a cluster, one leaf is fitted by each thread.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.gram import KernelOperator
    >>> from sklearn_ntk.solvers import Local
    >>> X = np.random.default_rng(0).normal(size=(400, 2))
    >>> path = Local(leaf_size=150).fit(KernelOperator(NTKKernel(), X), np.sin(X[:, 0]))
    >>> len(path.solution.details.leaves)
    4
    """

    ridges: float | Sequence | None = None
    leaf_size: int = 5000
    overlap: float = 0.1
    error: Callable = relative_error
    seed: int = 0
    verbose: int = 0
    max_memory: float | None = None

    def fit(self, operator, Y, weights=None, judges=None):
        """Fit for the given ridge, or for the best one.

        Parameters
        ----------
        operator : KernelOperator
            Kernel and rows.
        Y : array of shape (n,) or (n, k)
            Targets.
        weights : array of shape (n,), optional
            Positive weights of the rows, ones by default.
        judges : array of shape (m,), optional
            The rows that choose, as for `Ridge.fit`.

        Returns
        -------
        Path
            The solution has no dual coefficients and no intercept; its ``details``, `Leaves`, have
            those of each leaf.
        """
        operator, Y, weights = read_problem(operator, Y, weights)
        if not hasattr(operator, "X"):
            raise ValueError(
                "Local models split rows; got a Gram matrix without them: pass a KernelOperator, "
                "or take another solver."
            )
        leaf_size = read_count(self.leaf_size, "leaf_size", 2)
        if read_number(self.overlap, "overlap") > 0.4:
            raise ValueError(f"overlap must be at most 0.4; got {self.overlap:.3g}.")
        check_overlap(len(Y), leaf_size, self.overlap)
        ridges, is_given = read_ridges(self.ridges, operator, weights)
        judges = read_judges(judges, len(Y))
        problem = operator, Y, weights
        rng, rng_of_tree = (np.random.default_rng([self.seed, part]) for part in range(2))
        guess = 0
        if len(ridges) > 1:
            guess = guess_ridge(ridges, *problem, part_of(Y, rng, judges), self.error, judges)

        def directions(rows):
            if len(rows) > SPLITTING_ROWS:
                rows = np.sort(rng_of_tree.choice(rows, SPLITTING_ROWS, replace=False))
            with single_threaded_blas:  # whose threads would slow down the loops of the next node
                return directions_of(operator.take(rows), Y[rows], weights[rows], ridges[guess])

        tree, leaves = grow(operator.X, leaf_size, self.overlap, directions)
        most = max(map(len, leaves))
        what, remedy = f"A leaf of {most} rows", "take a smaller leaf_size"
        operator.check_task(memory_of(most), what, remedy)
        own = _shares_of(tree, operator.X, leaves)
        trials = _BlendedTrials(problem, self, leaves, own, judges)
        if is_given:
            best = 0
            trials.fit([best], ridges, is_given)
        else:
            best = trials.search(ridges, guess, rng)
        tried = sorted(trials.errors) or [best]
        solution, fitted = trials.solutions[best]
        found = zip(leaves, fitted, own, strict=True)
        details = Leaves(tree, tuple(Leaf(rows, *local, share) for rows, local, share in found))
        solution = solution._replace(details=details)
        errors = np.array([trials.errors[place] for place in tried if trials.errors])
        return Path(ridges[tried], errors, tried.index(best), solution)


class _BlendedTrials:
    """Blended leave-one-out residuals, and errors of the judges, of ridges by their index.

    A solution is a `Solution` without coefficients, and of each leaf dual coefficients, intercept
    and precisions. The residual of a row is the mean of those of its leaves, with their shares, and
    so are its training residual and its leverage.
    """

    def __init__(self, problem, solver, leaves, leaf_shares, judges=None):
        self._problem = self._operator, self._Y, self._weights = problem
        self._solver, self._judges = solver, judges
        self.leaves, self._shares = leaves, leaf_shares
        self.errors, self.solutions = {}, {}
        self._refused = set()  # leaves are alike

    def search(self, ridges, start, rng):
        """Index of the best ridge, with errors of those that were tried.

        ``start`` is a guess by rows from everywhere; that of a leaf may be 10^4 times as large.
        """
        sample = self._some(rng)
        if len(ridges) > 1 and len(self.leaves) > 1:
            guess = sample._guess(ridges, rng)
            if guess != start:
                sample.fit(sorted([guess, start]), ridges)
                start = best_tried(sample.errors)
        best = sample._descend(ridges, start)
        if sample is not self:
            self.fit([best], ridges)
            error, some = self.errors[best], sample.errors
            own = self._error(best, sample._judges)
            are_close = own <= CLOSE * error and error <= CLOSE * own
            if are_close and np.isfinite(error):
                ratio = error / some[best] if some[best] > 0.0 else 1.0
                self.errors = {place: ratio * each for place, each in some.items()}
                return best
            best = self._descend(ridges, best)
        if not np.isfinite(self.errors[best]):
            self.fit([best], ridges, is_given=True)
        return best

    def _some(self, rng):
        """Trials of leaves drawn by chance; `CHOOSING_LEAVES` says of how many, and their judges.

        These have half of their shares in these leaves, or more; shares are scaled so that they sum
        to one. If it took more than half of the leaves, trials of all.
        """
        is_judge = np.zeros(len(self._Y), dtype=bool)
        is_judge[slice(None) if self._judges is None else self._judges] = True
        few = max(3, min(CHOOSING_LEAVES, len(self.leaves) // 3))
        enough = min(CHOOSING_ROWS, max(LEAST_CHOOSING, np.count_nonzero(is_judge) // 4))
        some, total, rows = [], np.zeros(len(self._Y)), []
        for number in rng.permutation(len(self.leaves))[: len(self.leaves) // 2]:
            some.append(number)
            total[self.leaves[number]] += self._shares[number]
            rows = np.flatnonzero(is_judge & (total >= 0.5))
            if len(some) >= few and len(rows) >= enough:
                break
        else:
            return self
        leaves = [self.leaves[number] for number in some]
        own = [self._shares[number] / or_one(total[self.leaves[number]]) for number in some]
        return _BlendedTrials(self._problem, self._solver, leaves, own, rows)

    def _guess(self, ridges, rng):
        """Index of the best ridge for rows of one of the leaves."""
        leaf, judges = self.leaves[len(self.leaves) // 2], self._judges
        rows = leaf[part_of(self._Y[leaf], rng, places(leaf, judges))]
        return guess_ridge(ridges, *self._problem, rows, self._solver.error, judges)

    def _descend(self, ridges, start):
        """Index of the ridge whose neighbours are both worse."""
        return descend(self.errors, lambda places: self.fit(places, ridges), len(ridges), start)

    def fit(self, places, ridges, is_given=False):
        """Fit all leaves for some of the ridges; to one that is given, a jitter may be added."""
        shape = self._Y.shape
        shapes = shape, shape[:1], shape, shape[:1]
        blends = [([np.zeros(each) for each in shapes], []) for _ in places]
        work = [len(rows) ** 3 // 1000 + 1 for rows in self.leaves]
        what = f"{len(self.leaves)} local models"
        progress = Progress(sum(work), what, "take a smaller leaf_size", self._solver.verbose)
        how = {"is_given": is_given, "refused": self._refused}
        fit = partial(_fit_leaf, ridges=ridges[places], **how)
        fits = self._operator.map(fit, map(self._part, self.leaves), self._tasks())
        for rows, share, units, found in zip(self.leaves, self._shares, work, fits, strict=True):
            for blend, solution in zip(blends, found, strict=True):
                _add(blend, rows, share, solution)
            progress.add(units)
        for place, (sums, fitted) in zip(places, blends, strict=True):
            residuals, variance, training, leverages = sums
            solution = Solution(
                dual=None,
                intercept=None,
                residuals=residuals,
                precision=1.0 / np.maximum(variance, np.finfo(float).tiny),
                training_residuals=training,
                leverages=leverages,
            )
            self.solutions[place] = solution, fitted
            if not is_given:
                self.errors[place] = self._error(place, self._judges)

    def _tasks(self):
        """What the fits of the leaves need."""
        most = max(map(len, self.leaves))
        return Tasks(len(self.leaves), most, memory_of(most), self._solver.max_memory)

    def _error(self, place, judges):
        """Error of the judges for a ridge that was tried; infinite if not all rows have one."""
        solution = self.solutions[place][0]
        if not np.all(np.isfinite(solution.residuals)):
            return np.inf
        return self._solver.error(solution.among(judges), self._Y, self._weights)

    def _part(self, rows):
        """Operator, targets and weights of a leaf."""
        return self._operator.take(rows), self._Y[rows], self._weights[rows]


def memory_of(n):
    """Bytes that the fit of a leaf of n rows takes at its peak."""
    return COPIES * 8.0 * n * n


def _fit_leaf(*problem, ridges, is_given, refused):
    """`Solution` of a leaf for each ridge, None where its matrix is not positive definite.

    ``refused`` is the set of `factorisations`.
    """
    found = list(Ridge(ridges).solutions(*problem, is_whole=True, refused=refused))
    if is_given and found[0] is None:
        return [Ridge(float(ridge)).fit(*problem).solution for ridge in ridges]
    return found


def _add(blend, rows, share, solution):
    """Add a leaf to what is blended, in place, and to the list of fits."""
    (residuals, variance, training, leverages), fitted = blend
    if solution is None:
        residuals[rows] = np.inf
        fitted.append(None)
        return
    residuals[rows] += share[:, None] * solution.residuals
    variance[rows] += share / solution.precision
    training[rows] += share[:, None] * solution.training_residuals
    leverages[rows] += share * solution.leverages
    fitted.append((solution.dual, solution.intercept, solution.precision))


def _shares_of(tree, X, leaves):
    """For each leaf its shares (n_leaf,) in the predictions at its own rows, which sum to one."""
    found, total = [np.zeros(len(rows)) for rows in leaves], np.zeros(len(X))
    for number, rows, share in shares(tree, X):
        places = np.minimum(np.searchsorted(leaves[number], rows), len(leaves[number]) - 1)
        own = leaves[number][places] == rows  # where rows tie, a leaf lacks some of those it serves
        found[number][places[own]] = share[own]
        total[rows[own]] += share[own]
    total = or_one(total)
    return [share / total[rows] for share, rows in zip(found, leaves, strict=True)]
