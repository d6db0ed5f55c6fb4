"""Candidate networks: their scores over ridges or training times, and their combination."""

from itertools import chain
from typing import NamedTuple

import numpy as np

from .._runtime.device import on_host, product
from ..engines._work import active, on_device
from ..estimators._base import NetworkEstimator
from ..estimators._columns import Columns
from ..estimators._equal_rows import merge
from ..estimators._memory import is_gpu
from ..gram import ArrayOperator
from ..gram._kernel_operator import device_of_kernel
from ..solvers import RELATIVE_RIDGES, EarlyStopping, Ridge
from ..solvers._repeats import Repeats, ScoreError, left_out
from ..solvers._ridge import default_ridges, is_searched
from ..solvers._scoring import SCORES, neg_mean_squared_error
from ..solvers._stacking import by_squares
from ..solvers._stopping import default_times
from ._passes import grams, passes

MOST_MEMBERS = 10
"""Most candidates in a combination."""

LEAST_SHARE = 0.01
"""Least weight of a candidate in a combination, as a share of the largest weight."""

MEANS = ("neg_mean_squared_error", "neg_gcv", "neg_log_loss")
"""Scores that are means of losses, so that their ratio for a subset of the rows is comparable."""


class SelectionProblem(NamedTuple):
    """The data and the criterion that all candidates share.

    ``X`` (n, d) are rows, ``Y`` (n, k) targets divided by ``2**exponents`` (k,), ``weights`` (n,)
    divided by ``2**unit``, and ``group`` (n,) is the number of the distinct row of each row.
    ``alphas`` are increasing ridges, or None for those of `default_ridges`. ``folds`` are pairs of
    index arrays (train, test), or None for leave-one-out. ``times`` are decreasing training times,
    or None for those of `default_times`. Empty ridges or times are not tried. ``columns`` squash
    rows, but not those of kernel objects and of networks on positions, and ``features`` (d, m) is a
    matrix that rows are multiplied by then, those others only if ``features_of_all``. ``repeats``
    are the observations of rows that were merged, for leave-one-out.
    """

    X: np.ndarray
    Y: np.ndarray
    weights: np.ndarray
    group: np.ndarray
    alphas: np.ndarray | None
    scoring: str
    folds: list | None
    times: np.ndarray | None = ()
    exponents: np.ndarray = ()
    unit: int = 0
    columns: Columns | None = None
    features: np.ndarray | None = None
    features_of_all: bool = False
    repeats: Repeats | None = None

    def __reduce__(self):
        """Pickles have rows of NumPy, as CuPy loads arrays on whichever device is current."""
        return type(self), (on_host(self.X), *self[1:])

    @property
    def n_distinct(self):
        """Number of distinct rows."""
        return int(self.group.max()) + 1

    @property
    def is_smooth(self):
        """Whether the score is a smooth function of the ridge."""
        return self.scoring != "accuracy"

    @property
    def is_searched(self):
        """Whether a search tries only some of the ridges."""
        n_ridges = len(RELATIVE_RIDGES if self.alphas is None else self.alphas)
        return self.folds is None and is_searched(len(self.X), n_ridges, self.is_smooth)


class Outcome(NamedTuple):
    """Scores of a candidate over its ridges, or over its training times.

    ``index`` is the number of the candidate and ``name`` "alpha" or "training_time". ``values`` are
    the ridges or times that were tried, ``scores`` (n_folds, n_values) the larger the better, and
    ``best`` the index of the best value. For that value, ``error`` is the mean squared error,
    whatever the scoring, and ``predictions`` (n, k) are those of rows left out of the fit.
    """

    index: int
    values: np.ndarray
    scores: np.ndarray
    best: int
    error: float
    predictions: np.ndarray
    name: str = "alpha"

    @property
    def score(self):
        """Mean score over folds for the best value."""
        return self.scores[:, self.best].mean()


# --- Scores ---------------------------------------------------------------------------------------


def evaluate(family, problem, place=None):
    """List of `Outcome` of the members of a family, for ridges and for times.

    ``place`` is the name of the device that had the rows before they came to another process.
    Where only some ridges are tried, the search of each member starts from the `solvers.Path` of
    the member before.
    """
    problem = problem._replace(X=on_device([problem.X], place)[0])
    outcomes, like, family_passes = [], None, passes(family, len(problem.X))
    with active([problem.X], device_of(family[0][1])):
        for index, K in chain.from_iterable(grams(one, problem) for one in family_passes):
            methods = _methods(K, problem)
            if problem.folds is not None:
                pairs = methods.items()
                outcomes += [_fold(index, K, name, *pair, problem) for name, pair in pairs]
            else:
                paths = _leave_out(K, methods, problem, like)
                outcomes += [_outcome(index, name, paths[name], problem) for name in methods]
                like = paths.get("alpha", like)
            del K  # frees the matrices of a pass before the next one
    return outcomes


def device_of(settings):
    """Device of the kernel of a candidate; None for kernels of other packages."""
    return device_of_kernel(_kernel_of(settings))


def is_on_cpu(settings):
    """Whether the kernel of a candidate is one of ours, which threads may share, on the CPU."""
    kernel = _kernel_of(settings)
    return hasattr(kernel, "on_device") and not is_gpu(kernel.device)


def _kernel_of(settings):
    return NetworkEstimator(**settings)._make_kernel()


def place_of_best(outcomes):
    """Index of the outcome with the best score, the first of equal ones."""
    return max(range(len(outcomes)), key=lambda place: outcomes[place].score)


def complete(outcomes, settings, problem):
    """Replace the best outcome by a full search, if its search ended at its start.

    That is, if the ratio of errors was as in the member before (see `Ridge.fit`): then only one
    ridge has been tried.
    """
    place = place_of_best(outcomes)
    index, is_single = outcomes[place].index, len(outcomes[place].values) == 1
    if outcomes[place].name == "alpha" and is_single and np.isfinite(outcomes[place].score):
        ridges_only = problem._replace(times=np.empty(0))
        (outcomes[place],) = evaluate([(index, settings[index])], ridges_only)


def _methods(K, problem):
    """Pairs (values to try, solver that tries them) by "alpha" and "training_time"."""
    ridges, times, rows = problem.alphas, problem.times, (problem.weights, problem.n_distinct)
    ridges = default_ridges(K, *rows) if ridges is None else ridges
    times = default_times(K, *rows) if times is None else times
    error = ScoreError(SCORES[problem.scoring], problem.repeats)
    methods = {
        "alpha": (ridges, Ridge(ridges, error, problem.is_smooth)),
        "training_time": (times, EarlyStopping(times, error=error)),
    }
    return {name: pair for name, pair in methods.items() if len(pair[0])}


def _leave_out(K, methods, problem, like):
    """`solvers.Path` of each solver by leave-one-out; K is overwritten."""
    arguments, paths = (ArrayOperator(K, overwrite=True), problem.Y, problem.weights), {}
    if "training_time" in methods:
        paths["training_time"] = methods["training_time"][1].fit(*arguments)
    if "alpha" in methods:  # the last one, which overwrites K
        like = like if problem.scoring in MEANS else None
        paths["alpha"] = methods["alpha"][1].fit(*arguments, like=like)
    return paths


def _outcome(index, name, path, problem):
    """`Outcome` of a `Path` of leave-one-out."""
    found = left_out(path.solution, problem.Y, problem.weights, problem.repeats)
    predictions = found.scores
    error = -neg_mean_squared_error(predictions, found.targets, found.weights)
    return Outcome(index, path.values, -path.errors[None], path.best, error, predictions, name)


def _fold(index, K, name, values, method, problem):
    """`Outcome` of a solver that is fitted to the training rows of each fold.

    ``values`` are the ridges or times of ``method``, the solver.
    """
    score, Y, weights = SCORES[problem.scoring], problem.Y, problem.weights
    scores = np.full((len(problem.folds), len(values)), -np.inf)
    errors = np.full(scores.shape, np.inf)
    predictions, counts = np.zeros((len(values), *Y.shape)), np.zeros(len(Y))
    for place, (train, test) in enumerate(problem.folds):
        rows, merged = _merged(problem, train, problem.group[train])
        training_data = merged.Y, merged.weights
        counts[test] += 1.0
        whole = ArrayOperator(K)
        block, cross = whole.block(rows, rows), whole.block(test, rows)
        is_whole = problem.scoring == "neg_log_loss"
        operator = ArrayOperator(block, overwrite=True)
        for k, solution in enumerate(method.solutions(operator, *training_data, is_whole)):
            if solution is not None:
                predicted = product(cross, solution.dual) + solution.intercept
                test_rows = (predicted, Y[test], weights[test])
                scores[place, k] = score(*test_rows, (solution, *training_data, merged.repeats))
                errors[place, k] = -neg_mean_squared_error(*test_rows)
                predictions[k, test] += predicted
    mean = scores.mean(axis=0)
    best = int(np.flatnonzero(mean >= mean.max())[-1])
    error = errors[:, best].mean()
    with np.errstate(invalid="ignore"):  # rows that no fold leaves out have no prediction
        means = predictions[best] / counts[:, None]
    return Outcome(index, np.asarray(values), scores, best, error, means, name)


def _merged(problem, rows, kinds):
    """Indices of one of each kind of ``rows``, and the kinds as `merge` returns them.

    ``kinds`` are numbers (n,), or several for each row.
    """
    _, first, group = np.unique(kinds, axis=0, return_index=True, return_inverse=True)
    Y, weights = problem.Y[rows], problem.weights[rows]
    if len(first) == len(rows):
        return rows, merge(Y, weights, np.arange(len(rows)))
    return rows[first], merge(Y, weights, group.ravel())


def outside(predictions, problem):
    """Rows that some fold leaves out: indices (n,), predictions, targets, weights.

    Predictions of m candidates have shape (m, n, k). Rows that are equal and in the same folds,
    which have the same predictions, are merged. Without folds, observations are left out.
    """
    if problem.repeats is not None:
        pairs, rows, Y, weights = problem.repeats.single()
        return rows, predictions[:, pairs], Y, weights
    rows = np.flatnonzero(np.isfinite(predictions.sum(axis=(0, 2))))
    kinds = problem.group[rows]
    if len(np.unique(kinds)) < len(rows):
        kinds = np.column_stack([kinds, *(np.isin(rows, test) for _, test in problem.folds)])
    rows, (Y, weights, *_) = _merged(problem, rows, kinds)
    return rows, predictions[:, rows], Y, weights


# --- Several candidates ---------------------------------------------------------------------------


def combine(outcomes, problem, method, stack=by_squares):
    """Pairs (`Outcome`, weight) of the candidates that predict together; weights sum to one.

    The method None takes the best candidate, "average" and "stack" several: see `NTKRegressorCV`.
    The function ``stack`` is one of `solvers._stacking`.
    """
    outcomes = [one for one in outcomes if np.isfinite(one.score) and np.isfinite(one.error)]
    if method is None:
        return [(outcomes[place_of_best(outcomes)], 1.0)]
    if method == "average":
        shares = _average(outcomes, problem)
    else:
        shares = stack(*outside(np.array([one.predictions for one in outcomes]), problem)[1:])
    order = np.argsort(-shares, kind="stable")[:MOST_MEMBERS]
    order = order[shares[order] >= LEAST_SHARE * shares[order[0]]]
    return [(outcomes[k], shares[k] / shares[order].sum()) for k in order]


def _average(outcomes, problem):
    """Weights ``(least error / error)^sqrt(n)`` of the candidates, for n observations."""
    errors = np.array([outcome.error for outcome in outcomes])
    least = max(errors.min(), np.finfo(float).tiny)
    n = problem.n_distinct if problem.repeats is None else problem.repeats.n
    return (least / np.maximum(errors, least)) ** np.sqrt(n)
