"""Candidate networks: which kernels come out of one pass, and how each scores over its ridges."""

from itertools import chain
from typing import NamedTuple

import numpy as np

from ..estimators._base import NetworkEstimator, fit_columns, merge
from ..gram import ArrayOperator, gram
from ..layers import Dense, Output, lower
from ..solvers import RELATIVE_RIDGES, EarlyStopping, Ridge
from ..solvers._ridge import default_ridges, is_searched
from ..solvers._scoring import SCORES, neg_mean_squared_error
from ..solvers._stacking import by_squares
from ..solvers._stopping import default_times

PASS_BYTES = 2**28
"""Memory of the Gram matrices of one pass, about, if it has several."""

MOST_MEMBERS = 10
LEAST_SHARE = 0.01
"""How many candidates an average has at most, and their weight in units of the best one's."""


MEANS = ("neg_mean_squared_error", "neg_gcv", "neg_log_loss")
"""Scores that are means of losses: those of all rows and of some may be compared."""


class SelectionProblem(NamedTuple):
    """What all candidates have in common: rows, targets (n, k), weights, and how to choose.

    ``group`` tells which rows are equal, by the numbers from zero of distinct rows. ``alphas`` are
    the increasing ridges, or None for `solvers.RELATIVE_RIDGES` in units of the mean of weight
    times diagonal; ``folds`` are pairs of rows, or None for leaving out one row. ``times`` are the
    decreasing times of training, or None for the default of `solvers.EarlyStopping`. Targets and
    weights are in units of powers of two, with the exponents ``exponent`` and ``unit``. ``squash``
    is the limit of columns, or None.
    """

    X: np.ndarray
    Y: np.ndarray
    weights: np.ndarray
    group: np.ndarray
    alphas: np.ndarray | None
    scoring: str
    folds: list | None
    times: np.ndarray | None = ()
    exponent: int = 0
    unit: int = 0
    squash: float | None = None

    def rows(self, model, kernel):
        """Rows as the kernel of an estimator sees them."""
        columns = fit_columns(model, kernel, self.X, self.weights)
        return self.X if columns is None else columns.apply(self.X)

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
        """Whether not all ridges of a candidate are tried."""
        n_ridges = len(RELATIVE_RIDGES if self.alphas is None else self.alphas)
        return self.folds is None and is_searched(len(self.X), n_ridges, self.is_smooth)


class Outcome(NamedTuple):
    """Scores of a candidate: its number, its ridges, scores (folds, ridges), and the best ridge.

    ``error`` is the mean squared error for that ridge, whatever the scoring. ``predictions`` are
    those of the rows left out. If ``name`` is "training_time", times are in the place of ridges.
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
        """The best mean over folds."""
        return self.scores[:, self.best].mean()


# --- Passes ---------------------------------------------------------------------------------------


def families(settings):
    """Lists of candidates, as numbers and settings, whose kernels have a recursion in common.

    Settings are parameters of `NTKRegressor`. Members of a family are perceptrons that differ in
    depth or frozen layers, or are the NTK and the NNGP of the same network.
    """
    groups = {}
    for index, one in enumerate(settings):
        if isinstance(one["kernel"], str) and one["architecture"] is None:
            key = tuple(one[name] for name in ("activation", "weight_var", "bias_var"))
        else:
            key = index
        groups.setdefault(key, []).append((index, one))
    return list(groups.values())


def passes(family, n):
    """Parts of a family that come out of one pass each: all, if ``n`` rows take little memory."""
    most, part = max(1, int(PASS_BYTES // (8.0 * n * n))), []
    for item in sorted(family, key=lambda item: (item[1]["n_frozen"], item[1]["depth"])):
        if part and _count_matrices([*part, item]) > most:
            yield part
            part = []
        part.append(item)
    yield part


def _axes(group):
    """Depths, numbers of frozen layers of NTKs, and kernels of the members of a family."""
    depths, names = (sorted({one[name] for _, one in group}) for name in ("depth", "kernel"))
    frozen = sorted({one["n_frozen"] for _, one in group if one["kernel"] == "ntk"})
    return depths, tuple(frozen) or (0,), tuple(names)


def _count_matrices(group):
    """Number of Gram matrices that a pass for these members makes."""
    depths, frozen, names = _axes(group)
    return len(depths) * (len(frozen) * ("ntk" in names) + ("nngp" in names))


def _grams(group, problem):
    """Gram matrices of the members of a family that share a pass, one after the other."""
    first = group[0][1]
    model = NetworkEstimator(**first, squash=problem.squash)
    kernel = model._make_kernel()
    X = problem.rows(model, kernel)
    if not isinstance(first["kernel"], str) or first["architecture"] is not None:
        yield group[0][0], kernel(X)
        return
    depths, frozen, names = _axes(group)
    layers = [Dense()]
    for depth in range(depths[-1]):
        layers += [Output()] * (depth in depths) + [first["activation"], Dense()]
    program = lower(tuple(layers), first["weight_var"], first["bias_var"], frozen)
    found, n = dict(zip(names, gram(program, X, get=names), strict=True)), len(X)
    for index, one in group:
        matrices, place = found[one["kernel"]], depths.index(one["depth"])
        if one["kernel"] == "ntk":
            place += len(depths) * frozen.index(one["n_frozen"])
        yield index, matrices.reshape(-1, n, n)[place]


# --- Scores ---------------------------------------------------------------------------------------


def evaluate(family, problem):
    """`Outcome` of each member of a family.

    Where not all ridges are tried, each member begins with the `solvers.Path` of those before it.
    """
    found, like, parts = [], None, passes(family, len(problem.X))
    for index, K in chain.from_iterable(_grams(part, problem) for part in parts):
        methods = _methods(K, problem)
        if problem.folds is not None:
            found += [_fold(index, K, name, *pair, problem) for name, pair in methods.items()]
        else:
            paths = _leave_out(K, methods, problem, like)
            found += [_outcome(index, name, paths[name], problem) for name in methods]
            like = paths.get("alpha", like)
        del K  # of the last pass, before the next one takes memory
    return found


def place_of_best(outcomes):
    """Place of the outcome with the best score, the first one of several."""
    return max(range(len(outcomes)), key=lambda place: outcomes[place].score)


def complete(outcomes, settings, problem):
    """Walk downhill among the ridges of the best candidate, if that has not been done yet."""
    place = place_of_best(outcomes)
    index, is_single = outcomes[place].index, len(outcomes[place].values) == 1
    if outcomes[place].name == "alpha" and is_single and np.isfinite(outcomes[place].score):
        only = problem._replace(times=np.empty(0))
        (outcomes[place],) = evaluate([(index, settings[index])], only)


def _methods(K, problem):
    """Values to try and the method that tries them, by the names of parameters."""
    ridges, times, ends = problem.alphas, problem.times, (problem.weights, problem.n_distinct)
    ridges = default_ridges(K, *ends) if ridges is None else ridges
    times = default_times(K, *ends) if times is None else times
    score = SCORES[problem.scoring]

    def error(solution, Y, weights):
        return -score(Y - solution.residuals, Y, weights, (solution, Y, weights))

    methods = {
        "alpha": (ridges, Ridge(ridges, error, problem.is_smooth)),
        "training_time": (times, EarlyStopping(times, error=error)),
    }
    return {name: pair for name, pair in methods.items() if len(pair[0])}


def _leave_out(K, methods, problem, like):
    """`solvers.Path` of each method; K is overwritten."""
    ends, paths = (ArrayOperator(K, overwrite=True), problem.Y, problem.weights), {}
    if "training_time" in methods:
        paths["training_time"] = methods["training_time"][1].fit(*ends)
    if "alpha" in methods:  # the last one, which overwrites K
        like = like if problem.scoring in MEANS else None
        paths["alpha"] = methods["alpha"][1].fit(*ends, like=like)
    return paths


def _outcome(index, name, path, problem):
    """`Outcome` of leaving out one row."""
    predictions = problem.Y - path.solution.residuals
    error = -neg_mean_squared_error(predictions, problem.Y, problem.weights)
    return Outcome(index, path.values, -path.errors[None], path.best, error, predictions, name)


def _fold(index, K, name, values, method, problem):
    """`Outcome` of leaving out one fold after the other."""
    score, Y, weights = SCORES[problem.scoring], problem.Y, problem.weights
    scores = np.full((len(problem.folds), len(values)), -np.inf)
    errors = np.full(scores.shape, np.inf)
    predictions, counts = np.zeros((len(values), *Y.shape)), np.zeros(len(Y))
    for place, (train, test) in enumerate(problem.folds):
        rows, fit = _merged(problem, train)
        counts[test] += 1.0
        block, cross = K[np.ix_(rows, rows)], K[np.ix_(test, rows)]
        is_whole = problem.scoring == "neg_log_loss"
        operator = ArrayOperator(block, overwrite=True)
        for k, solution in enumerate(method.solutions(operator, *fit, is_whole)):
            if solution is not None:
                found = cross @ solution.dual + solution.intercept
                fitted = (solution, *fit)
                ends = (found, Y[test], weights[test])
                scores[place, k] = score(*ends, fitted)
                errors[place, k] = -neg_mean_squared_error(*ends)
                predictions[k, test] += found
    mean = scores.mean(axis=0)
    best = int(np.flatnonzero(mean >= mean.max())[-1])
    with np.errstate(invalid="ignore"):  # rows that no fold leaves out have no prediction
        ends = (errors[:, best].mean(), predictions[best] / counts[:, None])
    return Outcome(index, np.asarray(values), scores, best, *ends, name)


def _merged(problem, rows):
    """The distinct ones of some rows, and their targets and weights."""
    _, first, group = np.unique(problem.group[rows], return_index=True, return_inverse=True)
    Y, weights = problem.Y[rows], problem.weights[rows]
    if len(first) == len(rows):
        return rows, (Y, weights)
    return rows[first], merge(Y, weights, group)[:2]


def left_out(predictions, problem):
    """Distinct rows that some fold leaves out, predictions (m, n, k) of them, targets, weights."""
    known = np.flatnonzero(np.isfinite(predictions.sum(axis=(0, 2))))
    rows, ends = _merged(problem, known)
    return rows, predictions[:, rows], *ends


# --- Several candidates ---------------------------------------------------------------------------


def combine(outcomes, problem, method, stack=by_squares):
    """The candidates that a prediction takes, and their weights, which sum to one.

    ``None`` takes the best one, "average" and "stack" several: see `NTKRegressorCV`. The function
    ``stack`` is one of `solvers._stacking`.
    """
    outcomes = [one for one in outcomes if np.isfinite(one.score) and np.isfinite(one.error)]
    if method is None:
        return [(outcomes[place_of_best(outcomes)], 1.0)]
    if method == "average":
        shares = _average(outcomes, problem)
    else:
        shares = stack(*left_out(np.array([one.predictions for one in outcomes]), problem)[1:])
    order = np.argsort(-shares, kind="stable")[:MOST_MEMBERS]
    order = order[shares[order] >= LEAST_SHARE * shares[order[0]]]
    return [(outcomes[k], shares[k] / shares[order].sum()) for k in order]


def _average(outcomes, problem):
    """Weights that fall with the error, the faster the more rows there are to tell it."""
    errors = np.array([outcome.error for outcome in outcomes])
    least = max(errors.min(), np.finfo(float).tiny)
    return (least / np.maximum(errors, least)) ** np.sqrt(problem.n_distinct)
