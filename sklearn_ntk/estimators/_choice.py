"""Choice of a kernel, and of features learned on it, by the error of leaving out one row."""

from itertools import product
from typing import NamedTuple

import numpy as np
from sklearn.base import clone

from .._runtime.memory import check_memory
from ..activations import as_activation
from ..gram import KernelOperator
from ..solvers import Ridge
from ..solvers._solution import error_for, relative_error, varied
from ._checks import is_auto
from ._features import LEARNING_COPIES, learn, project
from ._features_of_many import can_learn_more, learn_from_more
from ._places import take

MOST_ROWS = 1500
"""Rows by which a choice is made, at most: of more it takes random ones."""

MOST_COLUMNS = 500
"""Columns up to which features are learned by default: their matrices are factorised each time."""

OPTIMISM = {"diagonal": 1.1, "full": 1.25}
"""By how much errors of leaving out one row are multiplied where features were learned on it, too.

On sets of a few hundred rows errors with "full" turned out too small by up to a fifth.
"""

LEARNERS = 2
"""Features are learned on that many of the best kernels; on more of them, no better ones come."""


class Candidate(NamedTuple):
    """A kernel on rows times a matrix of learned features (d, d), or on the rows if it is None.

    ``fit`` is what a method has returned for it, `Path` first, and ``error`` the mean squared error
    of leaving out one row in units of the variance of the targets, times `OPTIMISM` of learned
    features.
    """

    kernel: object
    features: np.ndarray | None
    fit: tuple
    error: float


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


def choose(model, kernels, fits, operator, Y, weights, error=relative_error):
    """Choose a kernel, and features on it, for the rows ``X_fit_`` of an estimator, and fit.

    Sets ``kernel_``, ``features_`` and ``X_fit_``, which become the rows that the kernel sees, and
    ``_judges``, the rows that have not taught features, if others have.

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
    errors : array of shape (n_kernels,)
        `Candidate.error` of each kernel, before features are learned.
    """
    mode = mode_of(model, kernels[0], model.n_features_in_)
    exact, whole = fits
    if len(kernels) == 1 and mode is None:
        found = whole(operator, Y, weights, error=error)
        return found, np.array([error(found[0].solution, Y, weights)])
    problem = model.X_fit_, Y, weights, mode, model.n_feature_steps, error
    best, errors = best_of(exact, kernels, *problem)
    kernel, features = best.kernel, best.features
    if mode is not None and can_learn_more(model, len(Y)):
        features, model._judges = learn_from_more(model, kernel, mode, model.X_fit_, Y, weights)
        if features is None:
            kernel = kernels[int(np.argmin(errors))]
    model.kernel_ = kernel
    if features is not None:
        model.features_, model.X_fit_ = features, project(model.X_fit_, features)
    if len(model.X_fit_) <= MOST_ROWS and model.solver_ == "cholesky":
        return best.fit, errors
    return whole(model._operator(model.kernel_, model.X_fit_), Y, weights, error=error), errors


def mode_of(model, kernel, d):
    """How an estimator learns features of d columns on a kernel: "diagonal", "full" or None.

    Raises ValueError or MemoryError if it cannot learn those that it is asked for.
    """
    features = model.features
    if features is None or not isinstance(features, str):
        return None
    if features == "auto":
        is_learned = leaves_network(model) and d <= MOST_COLUMNS
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
    check_memory(
        8.0 * (LEARNERS * model.n_feature_steps + LEARNING_COPIES) * d * d,
        f"Learning features of {d} columns",
        "select columns, or leave features at None",
    )
    return features


def learn_features(model, kernels, X, Y, weights, error=relative_error):
    """Features (d, d) that an estimator learns by ridge regression, or None, and the judges.

    ``X`` (n, d) are distinct rows, ``Y`` (n, k) and ``weights`` (n,) their targets and weights, and
    ``error`` is what chooses, as for `Ridge`. Judges are the rows that have not taught them, or
    None, as of `learn_from_more`.
    """
    mode = None if X is None else mode_of(model, kernels[0], X.shape[1])
    if mode is None:
        return None, None

    def fit(*problem, error):
        return (Ridge(error=error).fit(*problem),)

    if len(kernels) == 1 and can_learn_more(model, len(X)):  # there is no network to choose
        return learn_from_more(model, kernels[0], mode, X, Y, weights)
    problem = X, Y, weights, mode, model.n_feature_steps, error
    return best_of(fit, kernels, *problem)[0].features, None


def best_of(fit, kernels, X, Y, weights, mode, n_steps, error=relative_error):
    """The best `Candidate`, and the errors (n_kernels,) of kernels before features are learned.

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
    error : callable
        What chooses, as for `Ridge`.
    """
    order = np.random.default_rng(0).permutation(len(X))
    rows = np.sort(varied(*np.split(order, [MOST_ROWS]), Y))
    X, Y, weights = take(X, rows), Y[rows], weights[rows]
    error_of_rows = error_for(error, rows)

    def candidate(kernel, features=None, optimism=1.0):
        operator = KernelOperator(kernel, project(X, features))
        found = fit(operator, Y, weights, error=error_of_rows)
        error = optimism * error_of_rows(found[0].solution, Y, weights)
        return Candidate(kernel, features, found, error)

    tried = [candidate(kernel) for kernel in kernels]
    errors = np.array([one.error for one in tried])
    for learner in sorted(tried, key=lambda one: one.error)[:LEARNERS] if mode else ():
        kernel, features, found, _ = learner
        for _ in range(n_steps):
            features = learn(kernel, X, features, Y, weights, found[0].solution.dual, mode)
            if features is None:
                break
            tried.append(candidate(kernel, features, OPTIMISM[mode]))
            found = tried[-1].fit
    return _least(tried), errors


def _least(candidates):
    """The candidate of the least error, the first of those that differ by rounding."""
    most = (1.0 + 1e-9) * min(candidate.error for candidate in candidates)
    return next(candidate for candidate in candidates if candidate.error <= most)
