"""Candidates of a choice: kernels, and features learned on them, with errors of leaving out one."""

from itertools import chain, islice
from typing import NamedTuple

import numpy as np
from sklearn.base import clone

from .._runtime.device import on_host
from ..engines._tasks import Tasks
from ..gram import KernelOperator
from ..solvers._scoring import dealt, ranks_of, rounded
from ..solvers._solution import error_for, relative_error, varied
from ._features import learn, project
from ._fitting import at_the_same_time
from ._places import take

MOST_ROWS = 1500
"""Rows by which a choice is made, at most: of more it takes random ones."""

OPTIMISM = {"diagonal": 1.1, "full": 1.25}
"""By how much errors of leaving out are multiplied, at least, where features were learned on those
rows, too: see `_optimism`."""

BLIND_ROWS, FOLDS = 500, 4
"""Rows up to which learned features are judged by folds, in each by features that the other rows
teach: where rows are few, errors of leaving out rows that teach are too small by far. More rows
than `SPECTRAL_LIMIT` of the solver would begin the search of a ridge without folds."""

TRIAL = 15_000_000
"""Entries of a Gram matrix times columns beyond which half as many, 500 rows of 30 columns, say
first whether a network that takes columns one by one may be better than the best dense one; if so,
all rows decide."""

RELUCTANCE = 1.06
"""By how much errors of such a network are multiplied: others are faster, and learn features of
many rows."""

LEARNERS, SURE = 2, 1.125
"""The first mode of features is tried on the `LEARNERS` best kernels; more find no better ones. If
it has more than n/8 numbers for n rows (`SURE`), all modes are tried on the best kernel instead."""


class Candidate(NamedTuple):
    """A kernel on rows times a matrix of learned features (d, d), or on the rows if it is None.

    ``fit`` is what a method has returned for it, `Path` first, ``error`` the mean squared error of
    leaving out one observation in units of the variance of the targets, and ``factor`` what that
    counts: the `_optimism` of learned features, or the `RELUCTANCE` to take columns one by one.
    Features were learned in ``way``, a mode and a number of steps. ``blind`` is the argument of
    `Ridge.fit` by which they were judged, if they were.
    """

    kernel: object
    features: np.ndarray | None
    fit: tuple
    error: float
    factor: float
    way: tuple | None = None
    blind: list | tuple = ()

    @property
    def dual(self):
        """Dual coefficients (n, k)."""
        return self.fit[0].solution.dual


class Problem(NamedTuple):
    """Rows (n, d), targets (n, k) and weights (n,) that candidates are fitted to.

    ``fit(operator, Y, weights, error=, blind=)`` returns a tuple, `Path` first; the last argument,
    that of `Ridge.fit`, is empty unless features are judged by folds. ``error`` is what
    chooses, as for `Ridge`.
    """

    fit: object
    X: object
    Y: np.ndarray
    weights: np.ndarray
    error: object = relative_error

    def take(self, rows):
        """The problem of some of the rows."""
        parts = take(self.X, rows), self.Y[rows], self.weights[rows]
        return Problem(self.fit, *parts, error_for(self.error, rows))

    def operator(self, kernel, features):
        """Gram matrix of the rows with features."""
        return KernelOperator(kernel, project(self.X, features))

    def candidate(self, kernel, features=None, factor=1.0, way=None, blind=()):
        """A kernel with features, fitted."""
        problem = self.Y, self.weights
        found = self.fit(self.operator(kernel, features), *problem, error=self.error, blind=blind)
        error = self.error(found[0].solution, *problem)
        return Candidate(kernel, features, found, error, factor, way, blind)

    def learned(self, first, mode):
        """Yield candidates whose features have been learned in one step, two steps, and so on.

        The ``first`` one has none.
        """
        factor, one = _optimism(mode, *self.X.shape), first
        while True:
            problem = one.features, self.Y, self.weights, one.dual
            features = learn(one.kernel, self.X, *problem, mode)
            if features is None:
                return
            way = mode, 1 if one.way is None else one.way[1] + 1
            yield (one := self.candidate(one.kernel, features, factor, way))

    def judged(self, one):
        """A candidate with learned features, whose errors are those of folds."""
        (mode, n_steps), everyone, X = one.way, np.arange(len(self.Y)), on_host(self.X)
        sums = X.sum(axis=1)[:, None]  # the same in any order of the columns, but for rounding
        ranks = ranks_of(np.column_stack([X, rounded(sums)]))
        folds = dealt(self.Y, ranks, FOLDS)

        def operator(rows):
            others = self.take(np.setdiff1d(everyone, rows))
            first = others.candidate(one.kernel)
            last = [first, *islice(others.learned(first, mode), n_steps)][-1]
            return self.operator(one.kernel, last.features)

        operators = self.at_a_time(one.kernel, operator, [(rows,) for rows in folds])
        blind = list(zip(operators, folds, strict=True))
        return self.candidate(one.kernel, one.features, blind=blind)

    def at_a_time(self, kernel, function, parts):
        """List of ``function(*part)``, side by side if the kernel is computed on the CPU."""
        if self.operator(kernel, None).device is not None:
            return [function(*part) for part in parts]
        return list(at_the_same_time(function, parts, Tasks(len(parts), len(self.Y))))


def best_of(problem, kernels, modes, n_steps, by_column):
    """The best `Candidate`, and the list of those without learned features.

    Features are learned on the `LEARNERS` best kernels, each time on the kernel of those before.
    `MOST_ROWS` of the rows choose. The best features of few rows are judged once more, by folds,
    and taken if they are better than none then, too.

    Parameters
    ----------
    problem : Problem
        Of distinct rows.
    kernels : list of Kernel
    modes : tuple of {"diagonal", "full"}
        Ways to learn features.
    n_steps : int
        How often they are learned.
    by_column : bool
        Whether to try the network of the best kernel with a layer that takes columns one by one.
    """
    problem = problem.take(_drawn(problem.Y, MOST_ROWS))
    tried = problem.at_a_time(kernels[0], problem.candidate, [(kernel,) for kernel in kernels])
    ranked, (n, d) = sorted(tried, key=lambda one: one.error), problem.X.shape
    tasks = [(_by_column, problem, least(tried).kernel)] if by_column else []
    tasks += [(_steps, problem, *each, n_steps) for each in _learners(ranked, modes, n, d)]
    found = problem.at_a_time(kernels[0], lambda task, *arguments: task(*arguments), tasks)
    if by_column:
        tried += found.pop(0)
    best = least([*tried, *chain(*found)])
    if best.way is not None and n <= BLIND_ROWS:
        best = least([*tried, problem.judged(best)])
    return best, tried


def _steps(problem, one, mode, n_steps):
    """List of candidates whose features were learned on one without."""
    return list(islice(problem.learned(one, mode), n_steps))


def _by_column(problem, dense):
    """List of the candidate that takes columns one by one, and is a dense kernel otherwise.

    Empty if some of many rows say that it is no better.
    """
    other, (n, d) = clone(dense).set_params(column_layers=1), problem.X.shape
    if n * n * d <= TRIAL or _may_be_better(problem, other, dense):
        return [problem.candidate(other, factor=RELUCTANCE)]
    return []


def _may_be_better(problem, other, dense):
    """Whether a kernel is better than a dense one on some rows, about `TRIAL` entries times d."""
    few = problem.take(_drawn(problem.Y, int(np.sqrt(0.5 * TRIAL / problem.X.shape[1]))))
    return few.candidate(other).error < few.candidate(dense).error


def _learners(ranked, modes, n, d):
    """Pairs of a candidate and of a way to learn features on it, for n rows of d columns."""
    if len(modes) > 1 and _optimism(modes[0], n, d, 1.0) > SURE:
        return [(ranked[0], mode) for mode in modes]
    return [(one, mode) for one in ranked[:LEARNERS] for mode in modes[:1]]


def _optimism(mode, n, d, least=None):
    """By how much errors of leaving out one of n rows are too small with features of d columns.

    One plus the numbers that are learned for each row, which is about what other rows say on tables
    of 60 to 1000 rows, and ``least``, by default that of `OPTIMISM`, or more.
    """
    numbers = d if mode == "diagonal" else d * (d + 1) // 2
    return max(OPTIMISM[mode] if least is None else least, 1.0 + numbers / n)


def _drawn(Y, most):
    """Increasing indices of that many random rows, on which the targets vary."""
    order = np.random.default_rng(0).permutation(len(Y))
    return np.sort(varied(*np.split(order, [most]), Y))


def least(candidates):
    """The candidate of the least error as it counts, the first of those that differ by rounding."""
    errors = [candidate.factor * candidate.error for candidate in candidates]
    most = (1.0 + 1e-9) * min(errors)
    return next(each for each, error in zip(candidates, errors, strict=True) if error <= most)
