"""Choice of a kernel, and of features learned on it, by leaving out one observation."""

from itertools import product
from typing import NamedTuple

import numpy as np
from sklearn.base import clone

from .._runtime.memory import check_memory
from ..activations import as_activation
from ..gram import KernelOperator
from ..solvers import Ridge
from ..solvers._solution import error_for, relative_error, varied
from ._checks import is_auto, mixes_columns
from ._features import LEARNING_COPIES, learn, project
from ._features_of_many import can_learn_more, learn_from_more
from ._places import take

MOST_ROWS = 1500
"""Rows by which a choice is made, at most: of more it takes random ones."""

MOST_COLUMNS = 500
"""Columns up to which features are learned by default: their matrices are factorised each time."""

OPTIMISM = {"diagonal": 1.1, "full": 1.25}
"""By how much errors of leaving out are multiplied where features were learned on those rows, too.

On sets of a few hundred rows errors with "full" turned out too small by up to a fifth.
"""

MOST_BY_COLUMN = 5000, 100
"""Rows and columns up to which a network whose first layer has neurons of one column is tried by
default: its kernel takes about as many times longer as there are columns."""

TRIAL = 15_000_000
"""Entries of a Gram matrix times columns beyond which half as many, 500 rows of 30 columns, say
first whether such a network may be better than the best dense one; if so, all rows decide."""

RELUCTANCE = 1.06
"""By how much errors of such a network are multiplied: others are faster, and learn features of
many rows."""

LEARNERS = 2
"""Features are learned on that many of the best kernels; on more of them, no better ones come."""


class Candidate(NamedTuple):
    """A kernel on rows times a matrix of learned features (d, d), or on the rows if it is None.

    ``fit`` is what a method has returned for it, `Path` first, ``error`` the mean squared error of
    leaving out one observation in units of the variance of the targets, and ``factor`` what that
    counts: the `OPTIMISM` of learned features, or the `RELUCTANCE` to take columns one by one.
    """

    kernel: object
    features: np.ndarray | None
    fit: tuple
    error: float
    factor: float


def leaves_network(model):
    """Whether an estimator of a perceptron leaves something of its network to the fit."""
    if not isinstance(model.kernel, str) or model.kernel == "precomputed":
        return False
    is_perceptron = model.architecture is None and model.depth > 0  # linear models are the same
    return is_perceptron and (is_auto(model.kernel) or is_auto(model.activation))


def kernels_of(model):
    """Kernels of all networks that are left to the choice of an estimator, or the one it names."""
    options = {}
    for name, values in model._choices.items():
        value = getattr(model, name)
        is_open = leaves_network(model) and not (name == "kernel" and model.n_frozen)
        options[name] = [value] if not is_auto(value) else values if is_open else values[:1]
    pairs = (dict(zip(options, values, strict=True)) for values in product(*options.values()))
    return [clone(model).set_params(**pair)._make_kernel() for pair in pairs]


def tries_columns(model, n, d):
    """Whether an estimator tries a layer that takes columns one by one on n distinct rows.

    Their kernels may be singular, and so not without a ridge.
    """
    is_open = is_auto(model.column_layers) and leaves_network(model) and model.alpha != 0.0
    return is_open and are_few(n, d)


def are_few(n, d):
    """Whether layers that take columns one by one are tried by default on n rows of d columns."""
    return n <= MOST_BY_COLUMN[0] and 2 <= d <= MOST_BY_COLUMN[1]


def choose(model, kernels, fits, operator, Y, weights, error=relative_error):
    """Choose a kernel, and features on it, for the rows ``X_fit_`` of an estimator, and fit.

    Sets ``kernels_``, the kernels that were tried, and ``kernel_errors_``, the `Candidate.error` of
    each before features are learned; ``kernel_``, ``features_`` and ``X_fit_``, which become the
    rows that the kernel sees; and ``_judges``, the rows that have not taught features, if others
    have.

    Parameters
    ----------
    model : estimator
    kernels : list of Kernel
        The first one is that of ``operator``.
    fits : pair of callables
        ``fit(operator, Y, weights, error=)`` returns a tuple, `Path` first: exactly, for the
        choice, and for all rows by the solver of the model.
    operator : GramOperator
    Y, weights : arrays of shape (n, k) and (n,)
    error : callable
        What chooses, as for `Ridge`.

    Returns
    -------
    tuple
        What the second one returns for the choice.
    """
    mode = mode_of(model, kernels[0], model.n_features_in_)
    X = vars(model).get("X_fit_")  # a precomputed kernel has none
    by_column = X is not None and tries_columns(model, *X.shape)
    exact, whole = fits
    model.kernels_ = kernels
    if len(kernels) == 1 and mode is None and not by_column:
        found = whole(operator, Y, weights, error=error)
        model.kernel_errors_ = np.array([error(found[0].solution, Y, weights)])
        return found
    rows = X, Y, weights
    best, tried = best_of(exact, kernels, *rows, mode, model.n_feature_steps, by_column, error)
    model.kernels_, errors = [one.kernel for one in tried], [one.error for one in tried]
    model.kernel_errors_ = np.array(errors)
    model.kernel_, features, model._judges = _of_more_rows(model, best, tried, mode, *rows)
    if features is not None:
        model.features_, model.X_fit_ = features, project(model.X_fit_, features)
    if len(model.X_fit_) <= MOST_ROWS and model.solver_ == "cholesky":
        return best.fit
    return whole(model._operator(model.kernel_, model.X_fit_), Y, weights, error=error)


def mode_of(model, kernel, d):
    """How an estimator learns features of d columns on a kernel: "diagonal", "full" or None.

    Raises ValueError or MemoryError if it cannot learn those that it is asked for.
    """
    features = model.features
    if features is None or not isinstance(features, str):
        return None
    if features == "auto":
        is_learned = leaves_network(model) and mixes_columns(kernel) and d <= MOST_COLUMNS
        return model._mode if is_learned and not as_activation(kernel.activation).jumps else None
    if not hasattr(kernel, "gradient_x"):
        raise ValueError(
            f"features={features!r} needs the kernel of a network on rows; got kernel="
            f"{model.kernel!r}: leave features at None."
        )
    if getattr(kernel, "takes_positions", False):
        raise ValueError(
            f"features={features!r} mixes columns, but a network on positions needs pixels where "
            f"they are: leave features at None."
        )
    if features == "full" and not mixes_columns(kernel):
        raise ValueError(
            "features='full' turns columns, which column_layers take one by one: take 'diagonal', "
            "or None."
        )
    check_memory(
        8.0 * (LEARNERS * model.n_feature_steps + LEARNING_COPIES) * d * d,
        f"Learning features of {d} columns",
        "select columns, or leave features at None",
    )
    return features


def choose_by_squares(model, kernels, X, Y, weights, by_column=False, error=relative_error):
    """The kernel and the features (d, d) or None of the least squared error, and the judges.

    What `choose` does for estimators of any loss, by ridge regression. ``X`` (n, d) are distinct
    rows, ``Y`` (n, k) and ``weights`` (n,) their targets and weights, and ``by_column`` and
    ``error`` are as for `best_of`. Judges are the rows that have not taught features, or None, as
    of `learn_from_more`.
    """
    mode = None if X is None else mode_of(model, kernels[0], X.shape[1])
    if mode is None and not by_column:
        return kernels[0], None, None
    rows, is_only = (X, Y, weights), len(kernels) == 1 and not by_column
    if is_only and can_learn_more(model, kernels[0], len(X)):
        return kernels[0], *learn_from_more(model, kernels[0], mode, *rows)

    def fit(*problem, error):
        return (Ridge(error=error).fit(*problem),)

    best, tried = best_of(fit, kernels, *rows, mode, model.n_feature_steps, by_column, error)
    return _of_more_rows(model, best, tried, mode, *rows)


def _of_more_rows(model, best, tried, mode, X, Y, weights):
    """The kernel, the features and the judges of the best `Candidate`, by more rows if it learns.

    The kernel is the best one of those ``tried`` without features if these learn none.
    """
    if mode is None or not can_learn_more(model, best.kernel, len(Y)):
        return best.kernel, best.features, None
    features, judges = learn_from_more(model, best.kernel, mode, X, Y, weights)
    return (_least(tried) if features is None else best).kernel, features, judges


def best_of(fit, kernels, X, Y, weights, mode, n_steps, by_column, error=relative_error):
    """The best `Candidate`, and the list of those without learned features.

    Features are learned on the `LEARNERS` best kernels, each time on the kernel of those before.
    `MOST_ROWS` of the rows choose.

    Parameters
    ----------
    fit : callable
        ``fit(operator, Y, weights, error=)`` returns a tuple, `Path` first.
    kernels : list of Kernel
    X : array of shape (n, d)
        Distinct rows.
    Y, weights : arrays of shape (n, k) and (n,)
    mode : {"diagonal", "full", None}
    n_steps : int
        How often features are learned.
    by_column : bool
        Whether to try the network of the best kernel with a layer that takes columns one by one.
    error : callable
        What chooses, as for `Ridge`.
    """
    rows = _drawn(Y, MOST_ROWS)
    X, Y, weights = take(X, rows), Y[rows], weights[rows]
    everyone, error = np.arange(len(Y)), error_for(error, rows)

    def candidate(kernel, features=None, factor=1.0, rows=everyone):
        problem = Y[rows], weights[rows]
        operator = KernelOperator(kernel, project(take(X, rows), features))
        own = error if rows is everyone else error_for(error, rows)
        found = fit(operator, *problem, error=own)
        return Candidate(kernel, features, found, own(found[0].solution, *problem), factor)

    tried = [candidate(kernel) for kernel in kernels]
    ranked, learned = sorted(tried, key=lambda one: one.error), []
    if by_column:
        dense = _least(tried).kernel
        other, (n, d) = clone(dense).set_params(column_layers=1), X.shape
        may_be_better = n * n * d <= TRIAL
        if not may_be_better:
            few = _drawn(Y, int(np.sqrt(0.5 * TRIAL / d)))
            may_be_better = candidate(other, rows=few).error < candidate(dense, rows=few).error
        if may_be_better:
            tried.append(candidate(other, factor=RELUCTANCE))
    for learner in ranked[:LEARNERS] if mode else ():
        kernel, features, found = learner[:3]
        for _ in range(n_steps):
            features = learn(kernel, X, features, Y, weights, found[0].solution.dual, mode)
            if features is None:
                break
            learned.append(candidate(kernel, features, OPTIMISM[mode]))
            found = learned[-1].fit
    return _least(tried + learned), tried


def _drawn(Y, most):
    """Increasing indices of that many random rows, on which the targets vary."""
    order = np.random.default_rng(0).permutation(len(Y))
    return np.sort(varied(*np.split(order, [most]), Y))


def _least(candidates):
    """The candidate of the least error as it counts, the first of those that differ by rounding."""
    errors = [candidate.factor * candidate.error for candidate in candidates]
    most = (1.0 + 1e-9) * min(errors)
    return next(each for each, error in zip(candidates, errors, strict=True) if error <= most)
