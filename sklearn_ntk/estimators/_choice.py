"""Choice of a kernel, and of features learned on it, by leaving out one observation."""

from itertools import product

import numpy as np
from sklearn.base import clone

from .._runtime.memory import check_memory
from ..activations import as_activation
from ..solvers import Ridge
from ..solvers._solution import relative_error
from ._candidates import LEARNERS, MOST_ROWS, Problem, best_of, least
from ._checks import is_auto, mixes_columns
from ._features import LEARNING_COPIES, project
from ._features_of_many import can_learn_more, learn_from_more
from ._rivals import rivals_of
from ._solvers import solver_of

MOST_COLUMNS = 500
"""Columns up to which features are learned by default: their matrices are factorised each time."""

MOST_BY_COLUMN = 5000, 100
"""Rows and columns up to which a network whose first layer has neurons of one column is tried by
default: its kernel takes about as many times longer as there are columns."""


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
    found : tuple
        What the second one returns for the choice.
    ties : list of pairs
        The `rivals_of` the best kernel.
    """
    modes = modes_of(model, kernels[0], model.n_features_in_)
    X = None if model.kernel_ is None else model.X_fit_
    by_column = X is not None and tries_columns(model, *X.shape)
    exact, whole = fits
    model.kernels_ = kernels
    if len(kernels) == 1 and not modes and not by_column:
        found = whole(operator, Y, weights, error=error)
        model.kernel_errors_ = np.array([error(found[0].solution, Y, weights)])
        return found, []
    rows = X, Y, weights
    options = modes, model.n_feature_steps, by_column
    best, tried = best_of(Problem(exact, *rows, error), kernels, *options)
    model.kernels_, errors = [one.kernel for one in tried], [one.error for one in tried]
    model.kernel_errors_ = np.array(errors)
    _set_choice(model, *_of_more_rows(model, best, tried, modes, *rows))
    if len(model.X_fit_) <= MOST_ROWS and solver_of(model).is_exact:
        return best.fit, rivals_of(best, tried, weights)
    return whole(model._operator(model.kernel_, model.X_fit_), Y, weights, error=error), []


def modes_of(model, kernel, d):
    """Ways in which an estimator learns features of d columns on a kernel, "diagonal" and "full".

    Raises ValueError or MemoryError if it cannot learn those that it is asked for.
    """
    features = model.features
    if features is None or not isinstance(features, str):
        return ()
    if features == "auto":
        is_learned = leaves_network(model) and mixes_columns(kernel) and d <= MOST_COLUMNS
        return model._modes if is_learned and not as_activation(kernel.activation).jumps else ()
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
    return (features,)


def choose_by_squares(model, Y, weights, error):
    """Set the network and the features of the least squared error, for an estimator of any loss.

    What `choose` does, by ridge regression and without a fit, for the one kernel of the estimator
    and a layer of single columns. Returns the `Candidate.blind` of the choice.
    """
    if model.kernel_ is None:
        return ()
    kernel, X = model.kernel_, model.X_fit_
    rows, modes = (X, Y, weights), modes_of(model, kernel, X.shape[1])
    by_column = tries_columns(model, *X.shape)
    if not modes and not by_column:
        return ()
    if not by_column and can_learn_more(model, kernel, *Y.shape):
        _set_choice(model, kernel, *learn_from_more(model, kernel, modes[0], *rows))
        return ()
    options = modes, model.n_feature_steps, by_column
    best, tried = best_by_squares([kernel], *rows, error, *options)
    _set_choice(model, *_of_more_rows(model, best, tried, modes, *rows))
    return best.blind


def best_by_squares(kernels, X, Y, weights, error, *options):
    """What `best_of` returns for these options, by ridge regression on distinct rows (n, d)."""

    def fit(*problem, error, blind=()):
        return (Ridge(error=error).fit(*problem, blind=blind),)

    return best_of(Problem(fit, X, Y, weights, error), kernels, *options)


def _set_choice(model, kernel, features, judges):
    """Set what `choose` has chosen."""
    model.kernel_, model._judges = kernel, judges
    if features is not None:
        model.features_, model.X_fit_ = features, project(model.X_fit_, features)


def _of_more_rows(model, best, tried, modes, X, Y, weights):
    """The kernel, the features and the judges of the best `Candidate`, by more rows if it learns.

    The kernel is the best one of those ``tried`` without features if these learn none.
    """
    if not modes or not can_learn_more(model, best.kernel, *Y.shape):
        return best.kernel, best.features, None
    mode = modes[0] if best.way is None else best.way[0]
    features, judges = learn_from_more(model, best.kernel, mode, X, Y, weights)
    return (least(tried) if features is None else best).kernel, features, judges
