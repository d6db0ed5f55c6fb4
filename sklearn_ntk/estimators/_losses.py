"""The losses of classification: how each is fitted, and what it says of new rows."""

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import SVC

from .._runtime.threads import run_apart
from ..gram import GramOperator
from ..solvers._ridge import default_ridges
from ..solvers._scoring import fit_temperature, ranks_of, shares_of
from ..solvers._units import scaled
from . import _logistic
from ._base import fit_squares, given_alpha, merge

MOST_STEPS = 1_000_000
"""Of a support vector machine, which takes about ten times as many as there are rows."""

LARGEST_C = 1e100
"""What is infinite for rows whose kernel is about one: libsvm needs a number."""


class ClassRows(NamedTuple):
    """Rows of positive weight: the Gram matrix of the distinct ones, and which one each row is.

    Targets (n, k) are those of `solvers._scoring`, weights are over the power ``unit`` of two.
    """

    operator: GramOperator
    targets: np.ndarray
    weights: np.ndarray
    group: np.ndarray
    unit: int

    def merged(self):
        """Targets and weights of the distinct rows."""
        return merge(self.targets, self.weights, self.group)[:2]


class Loss:
    """A loss of classifiers whose scores are functions of the kernel, and its labels."""

    is_spectral = False
    """Whether a fit takes eigenvectors."""

    refusal = None
    """Why there are no probabilities; None if there are."""

    def check(self, model):
        """Raise ValueError for parameters that the loss does not have."""
        if model.training_time is not None:
            raise ValueError(
                f"training_time needs loss='squared_error', which has a closed form at all times; "
                f"got loss={model.loss!r}: leave training_time at None."
            )

    def fit(self, model, rows):
        """Attributes of a model that is fitted to `ClassRows`."""
        raise NotImplementedError

    def scores(self, model, X):
        """Result of ``decision_function``."""
        scores = model._values(X, model.dual_coef_, model.intercept_)
        return scores[:, 0] if len(model.classes_) == 2 else scores

    def coefficients(self, model):
        """Coefficients (n_distinct, k) of the scores as functions of the kernel."""
        return model.dual_coef_

    def labels(self, model, X):
        """Result of ``predict``."""
        scores = model.decision_function(X)
        places = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        return model.classes_[places]


class SquaredError(Loss):
    """Regression on the targets of classes, in closed form and at all times of training."""

    def check(self, model):
        """There is nothing that this loss does not have."""

    def fit(self, model, rows):
        Y, weights = rows.merged()
        path, _, attributes = fit_squares(model, rows.operator, Y, weights, rows.unit)
        solution = path.solution
        return attributes | {
            "dual_coef_": solution.dual,
            "intercept_": solution.intercept,
            "temperature_": fit_temperature(Y - solution.residuals, Y, weights),
        }


class LogLoss(Loss):
    """Multinomial kernel logistic regression, with the ridge of the least log loss of folds."""

    is_spectral = True

    def check(self, model):
        super().check(model)
        if model.alpha == 0:
            raise ValueError(
                "loss='log_loss' needs alpha > 0: without a ridge classes that can be separated "
                "have no finite solution."
            )

    def fit(self, model, rows):
        Y, weights = rows.merged()
        K, ridge = rows.operator.dense(), given_alpha(model.alpha, rows.unit)
        problem = _logistic.make_problem(K, shares_of(Y), weights)
        alpha, alphas, errors = model.alpha, np.array([model.alpha]), np.empty(0)
        if ridge is None:
            ridges = default_ridges(K, weights, len(K))[::2]
            ridges, errors = _logistic.losses_of_folds(problem, ridges, _ranks(model, len(K)))
            ridge = ridges[errors.argmin()]
            alpha, alphas = scaled(ridge, rows.unit), scaled(ridges, rows.unit)
        dual, constant = _logistic.dual_of(problem, _logistic.solve(problem, ridge))
        return {
            "dual_coef_": dual,
            "intercept_": constant,
            "alpha_": alpha,
            "alphas_": alphas,
            "loo_errors_": errors,
            "temperature_": 1.0,
        }


class Hinge(Loss):
    """Support vector machine of scikit-learn, one class against another."""

    refusal = (
        "loss='hinge' gives no probabilities: wrap the classifier in "
        "sklearn.calibration.CalibratedClassifierCV, or take another loss."
    )

    def fit(self, model, rows):
        K, codes = rows.operator.dense(), shares_of(rows.targets).argmax(axis=1)
        # equal rows of one class are merged, in an order that does not depend on that of the rows
        ranks = _ranks(model, len(K))
        found, merged = np.unique([ranks[rows.group], codes], axis=1, return_inverse=True)
        group = np.argsort(ranks)[found[0]]
        K, means, exponent = _standardise(K[np.ix_(group, group)])
        total = np.bincount(merged.ravel(), rows.weights)
        C = scaled(float(model.C), exponent + rows.unit)
        svc = _fit_svc(K, model.classes_[found[1]], C, total)
        return {"svc_": svc, "_group": group, "_means": means, "_exponent": exponent}

    def scores(self, model, X):
        return self._ask(model, model.svc_.decision_function, X)

    def coefficients(self, model):
        if len(model.classes_) > 2:
            raise ValueError(
                f"Scores of loss='hinge' for more than two classes are counts, without gradients; "
                f"got {len(model.classes_)} classes: take another loss."
            )
        group, svc = model._group, model.svc_
        dual = np.bincount(group[svc.support_], svc.dual_coef_[0], group.max() + 1)
        return scaled(dual[:, None], -model._exponent)

    def labels(self, model, X):
        return self._ask(model, model.svc_.predict, X)

    def _ask(self, model, method, X):
        """What a method of the support vector machine says of new rows."""
        blocks = (
            scaled(K[:, model._group] - model._means, -model._exponent)
            for K in model._gram_blocks(X)
        )
        return np.concatenate([method(K) for K in blocks])


LOSSES = {"squared_error": SquaredError(), "hinge": Hinge(), "log_loss": LogLoss()}


def loss_of(model):
    """Loss of a classifier, the squared error if it has no choice or an unknown one."""
    name = getattr(model, "loss", None)
    return LOSSES.get(name if isinstance(name, str) else None, LOSSES["squared_error"])


def _ranks(model, n):
    """Places of n distinct rows by `ranks_of`; those of a Gram matrix are in their order."""
    return np.arange(n) if model.kernel_ is None else ranks_of(model.X_fit_)


def _standardise(K):
    """A Gram matrix, centred and over a power of two: its means, and the exponent.

    A support vector machine with a constant is the same for it, if C grows by this power, while
    libsvm never comes to an end on entries that are large and nearly equal. K is overwritten.
    """
    shares = np.full(len(K), 1.0 / len(K))
    means = shares @ K
    K -= means
    K -= (K @ shares)[:, None]
    exponent = int(np.frexp(shares @ np.abs(K.diagonal()))[1])
    return np.ldexp(K, -exponent, out=K), means, exponent


def _fit_svc(K, y, C, weights):
    """Support vector machine, with a warning if it comes to no end.

    It is fitted in another thread, since libsvm does not listen to Ctrl-C.
    """
    C = float(np.clip(C, np.finfo(float).tiny, LARGEST_C))
    model = SVC(kernel="precomputed", C=C, max_iter=MOST_STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it does not know of C
        run_apart(lambda: model.fit(K, y, sample_weight=weights))
    if model.fit_status_:
        warnings.warn(
            f"The hinge loss has not converged after {MOST_STEPS} steps: take a smaller C, or "
            f"scale the data.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return model
