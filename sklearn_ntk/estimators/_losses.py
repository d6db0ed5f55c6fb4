"""The losses of classification: for each, the fit, scores, labels and fitted attributes."""

from typing import NamedTuple

import numpy as np

from .._runtime.device import is_on_device, on_host
from .._runtime.memory import check_memory
from ..dynamics import LogLossTraining, Training
from ..gram import GramOperator
from ..solvers import Path, Solution
from ..solvers._repeats import error_of, left_out
from ..solvers._ridge import default_ridges
from ..solvers._scoring import fit_temperature, ranks_of, rounded, scored, shares_of
from ..solvers._units import scaled
from . import _logistic
from ._equal_rows import merge
from ._solvers import solver_of
from ._squares import fitted_ridges, given_alpha, method_of
from ._support_vectors import fit_svc, standardise


class ClassRows(NamedTuple):
    """The n training rows of positive weight.

    ``operator`` is the Gram matrix of the distinct rows, ``group`` (n,) the index of each row among
    them, ``targets`` (n, k) those of `solvers._scoring`, and ``weights`` (n,) are divided by
    ``2**unit``. ``blind`` is as for `Ridge.fit`.
    """

    operator: GramOperator
    targets: np.ndarray
    weights: np.ndarray
    group: np.ndarray
    unit: int
    blind: list | tuple = ()

    def merged(self):
        """The distinct rows, as `merge` returns them."""
        return merge(self.targets, self.weights, self.group)

    def matrix(self):
        """The Gram matrix as an array of NumPy."""
        return _copied(self.operator.dense())


class Loss:
    """Base class of losses; its scores are ``k(x, X_fit) @ dual_coef_ + intercept_``."""

    is_spectral = False
    """Whether a fit computes eigenvectors."""

    is_squares = False
    """Whether it is the squared error, for which there are several solvers."""

    is_curved = False
    """Whether it has second derivatives, by which Newton's method finds scores without a row."""

    refusal = None
    """Error message of ``predict_proba``; None if there are probabilities."""

    def check(self, model):
        """Raise ValueError for parameters of the model that do not apply to the loss."""
        if model.training_time is not None:
            raise ValueError(
                f"training_time needs loss='squared_error' or 'log_loss', which have gradients "
                f"everywhere; got loss={model.loss!r}: leave training_time at None."
            )

    def fit(self, model, rows):
        """Fit to `ClassRows`: the dictionary of fitted attributes of the model."""
        raise NotImplementedError

    def training(self, model, K):
        """What trains on the Gram matrix of the training rows, and the targets (n, k)."""
        raise ValueError(
            f"Stages of the training need loss='squared_error' or 'log_loss'; got "
            f"loss={model._loss!r}."
        )

    def scores(self, model, X):
        """Scores (n,) or (n, k) of the classes that have weight."""
        scores = model._values(X, model.dual_coef_, model.intercept_)
        return scores[:, 0] if model._n_scores == 1 else scores

    def coefficients(self, model):
        """Coefficients (n_distinct, k) of the scores as functions of the kernel."""
        return model.dual_coef_

    def labels(self, model, X):
        """Result of ``predict``."""
        return self.best(model, on_host(model.decision_function(X)))

    def best(self, model, scores):
        """Labels of scores as of ``decision_function``, of the classes that have weight."""
        scores = model._of_known(scores)
        places = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        return model._labels[places]


class SquaredError(Loss):
    """Regression on the targets of classes, in closed form, also at finite training times."""

    is_squares = True

    def check(self, model):
        """All parameters apply."""

    def fit(self, model, rows):
        Y, weights, _, repeats = rows.merged()
        whole = rows.operator, Y, weights, rows.unit, error_of(repeats)
        path, ridge, attributes = solver_of(model).fit(model, *whole, rows.blind)
        problem = Y, weights, ridge, model.learning_rate, method_of(model)
        path = path._replace(solution=path.solution.among(model._judges))
        return fitted_scores(path, attributes, Y, weights, repeats) | {"_problem": problem}

    def training(self, model, K):
        Y, *problem = model._problem
        return Training(K, *problem), Y


def fitted_scores(path, attributes, Y, weights, repeats=None):
    """Fitted attributes of the squared error, with the temperature of the left-out scores."""
    solution = path.solution
    found = left_out(solution, Y, weights, repeats)
    return attributes | {
        "dual_coef_": solution.dual,
        "intercept_": solution.intercept,
        "temperature_": fit_temperature(found.scores, found.targets, found.weights, found.n),
    }


class LogLoss(Loss):
    """Multinomial kernel logistic regression; the ridge has the least log loss in folds.

    With a training time it is the state of gradient flow there.
    """

    is_spectral = is_curved = True

    def check(self, model):
        if model.training_time == "auto" or (
            model.training_time is not None and model.optimizer != "flow"
        ):
            raise ValueError(
                f"loss='log_loss' is trained by optimizer='flow' until a given training_time; got "
                f"optimizer={model.optimizer!r} and training_time={model.training_time!r}: change "
                f"these, or take loss='squared_error'."
            )
        if model.alpha == 0 and model.training_time is None:
            raise ValueError(
                "loss='log_loss' needs alpha > 0, since classes that can be separated have no "
                "finite solution without a ridge; got 0: increase alpha."
            )

    def fit(self, model, rows):
        Y, weights, _, repeats = rows.merged()
        K, alpha = rows.matrix(), given_alpha(model.alpha, rows.unit)
        shares, time = shares_of(Y), model.training_time
        Y = scored(shares)
        ridges, errors, best = np.array([alpha or 0.0]), np.empty(0), 0
        if time is not None:
            training = LogLossTraining(K, weights, ridges[0], model.learning_rate)
            dual, constant = training.coefficients(Y, time)
        else:
            root = _logistic.make_root(K, shares, weights)
            if alpha is None:
                ridges = default_ridges(K, weights, len(K))[::2]
                ridges, errors = _logistic.losses_of_folds(root, ridges, _ranks(K), repeats)
                best = errors.argmin()
            coefficients = _logistic.solve(root, ridges[best])
            dual, constant = _logistic.dual_of(root, coefficients, ridges[best])
        path = Path(ridges, errors, best, Solution(dual, constant))
        times = (
            {} if time is None else {"training_time_": time, "training_times_": np.array([time])}
        )
        fitted = {
            "dual_coef_": dual,
            "intercept_": constant,
            "temperature_": 1.0,
            "_problem": (Y, weights, path.value, model.learning_rate),
        }
        return fitted_ridges(model, path, alpha, rows.unit) | times | fitted

    def training(self, model, K):
        Y, *problem = model._problem
        return LogLossTraining(_copied(K), *problem), Y


class Hinge(Loss):
    """Support vector machine of scikit-learn, one against one for several classes."""

    refusal = (
        "loss='hinge' gives no probabilities: wrap the classifier in "
        "sklearn.calibration.CalibratedClassifierCV, or take another loss."
    )

    def fit(self, model, rows):
        K, codes = rows.matrix(), shares_of(rows.targets).argmax(axis=1)
        # equal rows of one class are merged, in an order that does not depend on that of the rows
        ranks = _ranks(K)
        pairs = [ranks[rows.group], codes]
        (pair_ranks, pair_codes), inverse = np.unique(pairs, axis=1, return_inverse=True)
        group = np.argsort(ranks)[pair_ranks]
        K, means, exponent = standardise(K[np.ix_(group, group)])
        total = np.bincount(inverse.ravel(), rows.weights)
        C = scaled(float(model.C), exponent + rows.unit)
        svc = fit_svc(K, model._labels[pair_codes], C, total)
        return {"svc_": svc, "_group": group, "_means": means, "_exponent": exponent}

    def scores(self, model, X):
        return self._apply(model, model.svc_.decision_function, X)

    def coefficients(self, model):
        if model._n_scores > 1:
            raise ValueError(
                f"Scores of loss='hinge' for more than two classes are counts, without gradients; "
                f"got {len(model._labels)} classes: take another loss."
            )
        group, svc = model._group, model.svc_
        dual = np.bincount(group[svc.support_], svc.dual_coef_[0], group.max() + 1)
        return scaled(dual[:, None], -model._exponent)

    def labels(self, model, X):
        return self._apply(model, model.svc_.predict, X)

    def _apply(self, model, method, X):
        """Result of a method of the support vector machine for new rows."""
        blocks = (
            scaled(on_host(K)[:, model._group] - model._means, -model._exponent)
            for K in model._gram_blocks(X)
        )
        return np.concatenate([method(K) for K in blocks])


LOSSES = {"squared_error": SquaredError(), "hinge": Hinge(), "log_loss": LogLoss()}


def loss_of(model):
    """Loss of a classifier; the squared error if it has no parameter ``loss`` or an invalid one."""
    name = getattr(model, "loss", None)
    return LOSSES.get(name if isinstance(name, str) else None, LOSSES["squared_error"])


def fitted_loss(model):
    """Loss that a classifier was fitted by, whatever its parameter is by now."""
    return LOSSES.get(getattr(model, "_loss", None)) or loss_of(model)


def _copied(K):
    """A Gram matrix as an array of NumPy, a copy if it is on a GPU."""
    if is_on_device(K):
        what = f"A copy of the Gram matrix of {len(K)} rows, which this loss takes to the CPU,"
        check_memory(K.nbytes, what, "take fewer rows, or loss='squared_error'")
    return on_host(K)


def _ranks(K):
    """Ranks (n,) of the rows of a Gram matrix, whatever their order and that of the columns of X.

    Rows of equal variance that are as close to all others stay in their order.
    """
    sides = np.column_stack([K.sum(axis=1), K.diagonal()])
    return ranks_of(rounded(sides))
