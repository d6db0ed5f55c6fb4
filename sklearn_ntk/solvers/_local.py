"""Ridge regression by local models, an exact one in each leaf of a tree, blended between them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from .._runtime.check import read_count, read_number
from .._runtime.progress import Progress
from .._values import value
from ..gram._operator import chunks
from ._ridge import Ridge, guess_ridge, read_ridges
from ._solution import Path, Solution, descend, read_judges, read_problem, relative_error
from ._tree import check_overlap, directions_of, grow, shares, slopes
from ._units import product

SAMPLE = 1500
"""Rows of a node by whose model its direction is found, at most."""

CHOOSING = 10_000
"""Rows by which a ridge is chosen, at least, if there are so many."""

COPIES = 4.2
"""Peak memory of the fit of a leaf in units of its Gram matrix."""


class Leaf(NamedTuple):
    """Rows of a leaf, by their indices (n_leaf,), and the `Solution` there.

    ``dual`` (n_leaf, k), ``intercept`` (k,) and ``precision`` (n_leaf,) are those of the solution,
    and ``shares`` (n_leaf,) those of the leaf in the predictions at its own rows.
    """

    rows: np.ndarray
    dual: np.ndarray
    intercept: np.ndarray
    precision: np.ndarray
    shares: np.ndarray


class Leaves(NamedTuple):
    """Local models: the tree, see `_tree.Split`, and its leaves in the order of their numbers."""

    tree: object
    leaves: tuple

    def blocks(self, X, most=None):
        """Yield parts of new rows: the `Leaf`, its number, row indices, shares of the leaf there.

        A part has at most ``most`` entries of the kernel with the leaf, or one row.
        """
        for number, rows, share in shares(self.tree, X):
            leaf = self.leaves[number]
            for some in chunks(len(rows), len(leaf.rows), most):
                yield leaf, number, rows[some], share[some]

    def moments(self, kernel, X_fit, X):
        """Values (m, k) at new rows, blended, and the blended squares of those of the leaves."""
        found = np.zeros((2, len(X), len(self.leaves[0].intercept)))
        for leaf, _, rows, share in self.blocks(X):
            local = product(kernel(X[rows], X_fit[leaf.rows]), leaf.dual) + leaf.intercept
            found[0, rows] += share[:, None] * local
            found[1, rows] += share[:, None] * local**2
        return found

    def values(self, kernel, X_fit, X):
        """Values (m, k) at new rows, blended."""
        return self.moments(kernel, X_fit, X)[0]

    def gradients(self, kernel, X_fit, X):
        """Gradients (m, k, d) at new rows, of the leaves and of their shares."""
        found = np.zeros((len(X), len(self.leaves[0].intercept), X.shape[1]))
        for leaf, _, rows, share in self.blocks(X):
            local = kernel.gradient_x(X[rows], X_fit[leaf.rows], leaf.dual)
            found[rows] += share[:, None, None] * local
        for number, rows, slope in slopes(self.tree, X):
            leaf, moving = self.leaves[number], slope.any(axis=1)
            rows, slope = rows[moving], slope[moving]
            for some in chunks(len(rows), len(leaf.rows)):
                local = product(kernel(X[rows[some]], X_fit[leaf.rows]), leaf.dual)
                found[rows[some]] += (local + leaf.intercept)[..., None] * slope[some, None]
        return found


@value
class Local(NamedTuple):
    """Kernel ridge regression in each leaf of a tree, for any number of rows.

    Rows are split at medians, across the direction in which targets change most: the leading
    eigenvector of the mean outer product of the gradients of a model of some of the rows, or, for
    kernels without gradients, the first principal component. Leaves overlap, and predictions are
    blended linearly there, so that they are continuous. Each leaf has an exact solution; memory is
    that of one leaf.

    Parameters
    ----------
    ridges : float, array-like or None, default=None
        As for `Ridge`; all leaves have the same one. Several are searched by the leave-one-out
        errors of the blended predictions, which are exact for the given tree, at 10,000 rows: those
        of some leaves, drawn by chance, if there are more.
    leaf_size : int, default=5000
        Most rows of a leaf.
    overlap : float, default=0.1
        Share of the rows of a node, on either side of its median, that both sides have; at most
        0.4, and so that all leaves together have at most 20 times the rows.
    error : callable, optional
        The error to minimise, as for `Ridge`.
    seed : int, default=0
        Of the rows that split.
    verbose : int, default=0
        Whether to print how far the computation is and how long it will take.

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
            The solution has no dual coefficients and intercept: ``details``, `Leaves`, have them.
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
        rng, guess = np.random.default_rng(self.seed), 0
        if len(ridges) > 1:
            guess = guess_ridge(ridges, *problem, rng, self.error, judges)

        def directions(rows):
            if len(rows) > SAMPLE:
                rows = np.sort(rng.choice(rows, SAMPLE, replace=False))
            return directions_of(operator.take(rows), Y[rows], weights[rows], ridges[guess])

        tree, leaves = grow(operator.X, leaf_size, self.overlap, directions)
        most = max(map(len, leaves))
        what, remedy = f"A leaf of {most} rows", "take a smaller leaf_size"
        operator.check_task(COPIES * 8.0 * most**2, what, remedy)
        own = _shares_of(tree, operator.X, leaves)
        trials = _Trials(problem, self, leaves, own)
        if is_given:
            best, errors = 0, {}
            trials.fit([best], ridges, is_given)
        else:
            sample = _Trials(problem, self, *_choose_leaves(leaves, own, len(Y), judges, rng))
            if len(leaves) > 1:  # its best ridge tells more than that of rows from everywhere
                leaf = sample.leaves[len(sample.leaves) // 2]
                guess = guess_ridge(ridges, *problem, rng, self.error, judges, leaf)
            best = descend(sample.errors, partial(sample.fit, ridges=ridges), len(ridges), guess)
            errors = sample.errors
            trials.go_on(sample, best, ridges)
        tried = sorted(errors) or [best]
        residuals, precision, fitted = trials.solutions[best]
        found = zip(leaves, fitted, own, strict=True)
        details = Leaves(tree, tuple(Leaf(rows, *local, share) for rows, local, share in found))
        solution = Solution(None, None, residuals, None, precision, details=details)
        errors = np.array([errors[place] for place in tried if errors])
        return Path(ridges[tried], errors, tried.index(best), solution)


class _Trials:
    """Blended leave-one-out residuals, and errors, of the ridges tried so far, by their index.

    A solution is residuals (n, k), precisions (n,), and of each leaf dual coefficients, intercept
    and precisions. The residual of a row is the mean of those of its leaves, with their shares.
    """

    def __init__(self, problem, solver, leaves, leaf_shares, judges=None):
        self._operator, self._Y, self._weights = problem
        self._solver, self._judges = solver, judges
        self.leaves, self._shares = leaves, leaf_shares
        self.errors, self.solutions = {}, {}

    def go_on(self, sample, place, ridges):
        """Fit all leaves for the best ridge of a ``sample``, unless it has all of them."""
        if len(sample.leaves) == len(self.leaves):
            self.errors, self.solutions = sample.errors, sample.solutions
        else:
            self.fit([place], ridges)
        if not np.isfinite(self.errors[place]):
            self.fit([place], ridges, is_given=True)

    def fit(self, places, ridges, is_given=False):
        """Fit all leaves for some of the ridges; to one that is given, a jitter may be added."""
        shape = self._Y.shape
        blends = [(np.zeros(shape), np.zeros(shape[0]), []) for _ in places]
        work = [len(rows) ** 3 // 1000 + 1 for rows in self.leaves]
        what = f"{len(self.leaves)} local models"
        progress = Progress(sum(work), what, "take a smaller leaf_size", self._solver.verbose)
        fit = partial(_fit_leaf, ridges=ridges[places], is_given=is_given)
        fits = self._operator.map(fit, map(self._part, self.leaves))
        for rows, share, units, found in zip(self.leaves, self._shares, work, fits, strict=True):
            for blend, solution in zip(blends, found, strict=True):
                _add(blend, rows, share, solution)
            progress.add(units)
        for place, (residuals, variance, fitted) in zip(places, blends, strict=True):
            precision = 1.0 / np.maximum(variance, np.finfo(float).tiny)
            self.solutions[place] = residuals, precision, fitted
            if is_given:
                continue
            solution = Solution(None, None, residuals, None, precision).among(self._judges)
            is_finite = np.all(np.isfinite(residuals))
            error = self._solver.error(solution, self._Y, self._weights) if is_finite else np.inf
            self.errors[place] = error

    def _part(self, rows):
        """Operator, targets and weights of a leaf."""
        return self._operator.take(rows), self._Y[rows], self._weights[rows]


def _fit_leaf(*problem, ridges, is_given):
    """`Solution` of a leaf for each ridge, None where its matrix is not positive definite."""
    if is_given:
        return [Ridge(float(ridge)).fit(*problem).solution for ridge in ridges]
    return list(Ridge(ridges).solutions(*problem, is_whole=True))


def _add(blend, rows, share, solution):
    """Add a leaf to blended residuals and variances, in place, and to the list of fits."""
    residuals, variance, fitted = blend
    if solution is None:
        residuals[rows] = np.inf
        fitted.append(None)
        return
    residuals[rows] += share[:, None] * solution.residuals
    variance[rows] += share / solution.precision
    fitted.append((solution.dual, solution.intercept, solution.precision))


def _choose_leaves(leaves, own, n, judges, rng):
    """Leaves by which a ridge is chosen, drawn by chance, their shares, and rows that they serve.

    These are `CHOOSING` or more, of the ``judges``, if there are so many, with half of their shares
    in these leaves, or more; shares are scaled so that they sum to one.
    """
    chooses = np.zeros(n, dtype=bool)
    chooses[slice(None) if judges is None else judges] = True
    some, rows, total = [], [], np.zeros(n)
    for number in rng.permutation(len(leaves)):
        if len(rows) >= min(CHOOSING, np.sum(chooses)):
            break
        total[leaves[number]] += own[number]
        some.append(number)
        rows = np.flatnonzero(chooses & (total >= 0.5))
    some, total = [(leaves[number], own[number]) for number in sorted(some)], _or_one(total)
    return [leaf for leaf, _ in some], [share / total[leaf] for leaf, share in some], rows


def _shares_of(tree, X, leaves):
    """For each leaf its shares (n_leaf,) in the predictions at its own rows, which sum to one."""
    found, total = [np.zeros(len(rows)) for rows in leaves], np.zeros(len(X))
    for number, rows, share in shares(tree, X):
        places = np.minimum(np.searchsorted(leaves[number], rows), len(leaves[number]) - 1)
        own = leaves[number][places] == rows  # where rows tie, a leaf lacks some of those it serves
        found[number][places[own]] = share[own]
        total[rows[own]] += share[own]
    total = _or_one(total)
    return [share / total[rows] for share, rows in zip(found, leaves, strict=True)]


def _or_one(total):
    """Sums of shares by which to divide, where there are any."""
    return np.where(total > 0.0, total, 1.0)
