"""Classification with infinitely wide networks."""

import numbers
import warnings
from functools import update_wrapper
from typing import ClassVar

import numpy as np
from scipy.special import log_softmax
from sklearn.base import ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import SVC
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from .._compat import Interval, StrOptions, _fit_context
from .._runtime.notices import one_notice
from .._runtime.threads import run_apart
from ..solvers.ridge import default_ridges
from ..solvers.scoring import fit_temperature, logits, ranks_of, shares_of
from ..solvers.units import normalise, scaled
from . import _logistic
from ._base import NetworkEstimator, check_weights, merge

FITTED = (
    "svc_",
    "_dual",
    "_constant",
    "dual_coef_",
    "intercept_",
    "alpha_",
    "alphas_",
    "training_time_",
    "training_times_",
    "loo_errors_",
)
"""Attributes that only some losses set."""

MOST_STEPS = 1_000_000
"""Of a support vector machine, which takes about ten times as many as there are rows."""

LARGEST_C = 1e100
"""What is infinite for rows whose kernel is about one: libsvm needs a number."""


def read_classes(y, weights, class_weight, name):
    """`class_targets`, and the weights of the rows times those of their classes."""
    classes = class_targets(y, weights, name)[0]
    weights = weigh_classes(class_weight, classes, y, weights)
    return *class_targets(y, weights, name), weights  # a class may have lost its weight


def class_targets(y, weights, name):
    """Classes, and targets of shape (n, k): +-1 for two classes, indicators for more.

    The labels of rows without weight do not count.
    """
    classes = np.unique(y[weights > 0])
    if len(classes) < 2:
        raise ValueError(
            f"{name} needs at least two classes; got only one class, {classes.tolist()[0]!r}."
        )
    targets = (y[:, None] == classes).astype(np.float64)
    return classes, targets[:, 1:] - targets[:, :1] if len(classes) == 2 else targets


def weigh_classes(class_weight, classes, y, weights):
    """Weights of the rows times those of their classes; two classes must keep some weight."""
    if class_weight is None:
        return weights
    if isinstance(class_weight, dict):
        factors = np.array(list(class_weight.values()), dtype=float)
        if not np.all(np.isfinite(factors)) or np.any(factors < 0.0):
            raise ValueError(f"class_weight must have finite weights >= 0; got {class_weight}.")
    if class_weight == "balanced":  # by weight: each class has the same sum
        shares = normalise(weights)[0]
        sums = [shares[y == label].sum() for label in classes]
        factors = shares.sum() / (len(classes) * np.array(sums))
    else:
        kept = y[weights > 0]
        factors = compute_class_weight(class_weight, classes=classes, y=kept)
    if np.count_nonzero(factors) < 2:
        raise ValueError(f"class_weight must leave at least two classes; got {class_weight}.")
    places = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
    with np.errstate(over="ignore"):
        found = weights * factors[places]
    if not np.all(np.isfinite(found)):
        raise ValueError(
            f"sample_weight times class_weight must be finite; got {weights.max():.3g} times "
            f"{factors.max():.3g}: take smaller weights."
        )
    return found


def _has_probabilities(model):
    if getattr(model, "loss", None) == "hinge":
        raise AttributeError(
            "loss='hinge' gives no probabilities: wrap the classifier in "
            "sklearn.calibration.CalibratedClassifierCV, or take another loss."
        )
    return True


class _OfProbabilities:
    """A method that `available_if` there are probabilities, whose absence comes with its reason."""

    def __init__(self, method):
        self._method = available_if(_has_probabilities)(method)
        update_wrapper(self, method)

    def __get__(self, model, owner=None):
        try:
            return self._method.__get__(model, owner)
        except AttributeError as error:
            raise AttributeError(f"{error}: {error.__cause__}") from error.__cause__


class ScoreClassifier(ClassifierMixin):
    """Labels and probabilities from `decision_function`, ``classes_`` and ``temperature_``."""

    def predict(self, X):
        """Predict labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples,)
        """
        return self._labels(X)

    def _labels(self, X):
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return self.classes_[(scores > 0).astype(int)]
        return self.classes_[scores.argmax(axis=1)]

    @_OfProbabilities
    def predict_proba(self, X):
        """Predict probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples, n_classes)
            Columns in the order of ``classes_``.
        """
        return np.exp(self.predict_log_proba(X))

    @_OfProbabilities
    def predict_log_proba(self, X):
        """Predict logarithms of the probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples, n_classes)
            Columns in the order of ``classes_``.
        """
        scores = self.decision_function(X)
        scores = logits(scores[:, None] if scores.ndim == 1 else scores)
        with np.errstate(over="ignore"):  # scores of rows far away
            behind = (scores - scores.max(axis=1, keepdims=True)) / self.temperature_
        return log_softmax(np.maximum(behind, -np.finfo(float).max), axis=1)


class NTKClassifier(ScoreClassifier, NetworkEstimator):
    """Classifier with the kernel of an infinitely wide network.

    By default regression on class indicators, with the NTK the limit of training a wide network on
    the squared error. Then the ridge is the one with the smallest leave-one-out squared error,
    which is known in closed form and chooses better than the leave-one-out accuracy, and
    probabilities are the softmax of the scores at the temperature that gives the leave-one-out
    scores the smallest log loss. Scale the columns of ``X`` beforehand.

    Parameters
    ----------
    kernel : {"ntk", "nngp", "precomputed"} or Kernel, default="ntk"
        A kernel object is used as it is; then, as with "precomputed", the parameters of the network
        are ignored.
    depth : int, default=2
        Number of hidden layers; 0 is a linear model.
    activation : str or object of `sklearn_ntk.activations`, default="relu"
        Activation of all hidden layers.
    weight_var : float, default=2.0
        Variance of the weights; 2 keeps the variance of a ReLU network at any depth.
    bias_var : float, default=1.0
        Variance of the biases; 0 is allowed, and Gaussian processes then do not optimise it.
    n_frozen : int, default=0
        So many of the first layers are not trained (NTK only).
    architecture : tuple of layers, optional
        Any network, in place of ``depth`` and ``activation``; layers that leave their variances at
        None take the ones above.
    alpha : "auto" or float, default="auto"
        Ridge: half of it times the squared norm of the function is added to the loss ("log_loss"),
        or all of it to the diagonal of the Gram matrix ("squared_error"). "auto" chooses it among
        `solvers.RELATIVE_RIDGES` times the mean of weight times diagonal, by leaving out one row,
        or for "log_loss" among every other of them by the log loss of five folds, or is none with a
        ``training_time``, which then is what regularises.
    training_time : float, "auto" or None, default=None
        How long gradient descent with infinitesimal steps trains the network on half the mean
        squared error, from zero on and with the ridge as weight decay; None trains to the end.
        "auto" chooses by leave-one-out error among the times that damp as much as the ridges above.
        Only for ``loss="squared_error"``.
    learning_rate : float, default=1.0
        By which times are multiplied.
    loss : {"squared_error", "hinge", "log_loss"}, default="squared_error"
        What is minimised: the squared error of class indicators in closed form; the margins of a
        support vector machine, one class against another (`sklearn.svm.SVC`), without
        probabilities; or the log loss of all classes, multinomial kernel logistic regression.
    C : float, default=1.0
        Weight of the rows in a support vector machine, infinite for classes that can be separated;
        only for ``loss="hinge"``, which ignores ``alpha``.
    class_weight : dict or "balanced", optional
        Weights of the classes, by which those of the rows are multiplied; "balanced" gives all
        classes the same sum of weights.
    verbose : int, default=0
        Whether to print how far the computation is and how long it will take.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
    kernel_ : Kernel or None
        The kernel in use; None if it is precomputed.
    X_fit_ : array of shape (n_distinct, n_features)
        Training rows, equal ones merged; absent if the kernel is precomputed.
    dual_coef_ : array of shape (n_distinct, n_outputs)
        One output for two classes, else one for each.
    intercept_ : array of shape (n_outputs,)
    alpha_ : float
        The ridge in use.
    alphas_, loo_errors_ : arrays
        The ridges that were tried, and the mean squared error of leaving out one row for each, in
        units of the variance of the targets, or the log loss of the folds; the errors are empty if
        ``alpha`` was given.
    training_time_, training_times_ : float or None, array
        The time in use, None to the end, and those that were tried, to which ``loo_errors_`` then
        belong.
    temperature_ : float
        Scores are divided by it before the softmax; 1 for the log loss.
    svc_ : sklearn.svm.SVC
        Only for ``loss="hinge"``, which then takes the place of the coefficients and ridges; its
        Gram matrix is centred and scaled to a mean diagonal of about one.
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features_in_,)

    See Also
    --------
    NTKRegressor : The same for numbers.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_ntk import NTKClassifier
    >>> X, y = load_wine(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), NTKClassifier())
    >>> print(f"{cross_val_score(model, X, y).mean():.2f}")
    0.99
    """

    __module__ = "sklearn_ntk"  # where users find it, and pickles of later versions

    _parameter_constraints: ClassVar[dict] = {
        **NetworkEstimator._parameter_constraints,
        "loss": [StrOptions({"squared_error", "hinge", "log_loss"})],
        "C": [Interval(numbers.Real, 0, None, closed="right")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        kernel="ntk",
        *,
        depth=2,
        activation="relu",
        weight_var=2.0,
        bias_var=1.0,
        n_frozen=0,
        architecture=None,
        alpha="auto",
        training_time=None,
        learning_rate=1.0,
        loss="squared_error",
        C=1.0,
        class_weight=None,
        verbose=0,
    ):
        super().__init__(
            kernel,
            depth=depth,
            activation=activation,
            weight_var=weight_var,
            bias_var=bias_var,
            n_frozen=n_frozen,
            architecture=architecture,
            alpha=alpha,
            training_time=training_time,
            learning_rate=learning_rate,
            verbose=verbose,
        )
        self.loss = loss
        self.C = C
        self.class_weight = class_weight

    @_fit_context(prefer_skip_nested_validation=True)
    @one_notice()
    def fit(self, X, y, sample_weight=None):
        """Fit the network to data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows, or their Gram matrix if the kernel is precomputed.
        y : array-like of shape (n_samples,)
            Labels, numbers or strings.
        sample_weight : array-like of shape (n_samples,), optional
            Weights; an integer weight is the same as a repetition of the row (with a precomputed
            kernel, whose equal rows cannot be told, only if ``alpha`` is given).

        Returns
        -------
        self
        """
        X, y = validate_data(self, X, y, dtype=np.float64, order="C")
        check_classification_targets(y)
        weights = check_weights(sample_weight, X)
        found = read_classes(y, weights, self.class_weight, type(self).__name__)
        self.classes_, targets, weights = found
        for name in FITTED:
            self.__dict__.pop(name, None)  # of a fit with another loss
        if self.training_time is not None and self.loss != "squared_error":
            raise ValueError(
                f"training_time needs loss='squared_error', which has a closed form at all times; "
                f"got loss={self.loss!r}: leave training_time at None."
            )
        if self.loss == "hinge":
            self._fit_margins(X, y, weights)
        elif self.loss == "log_loss":
            self._fit_log_loss(X, targets, weights)
        else:
            solution, targets, weights, _ = self._fit_rows(X, targets, weights)
            scores = targets - solution.residuals
            self.temperature_ = fit_temperature(scores, targets, weights)
        if self.loss != "hinge":
            self.dual_coef_, self.intercept_ = self._dual, self._constant
        return self

    def _is_spectral(self):
        return super()._is_spectral() or self.loss == "log_loss"

    def _fit_margins(self, X, y, weights):
        """Support vector machine."""
        weights, unit = normalise(weights)
        K, kept, group = self._gram(X, weights)
        codes, weights = np.searchsorted(self.classes_, y[kept]), weights[kept]
        # equal rows of one class are merged, in an order that does not depend on that of the rows
        ranks = self._ranks(len(K))
        found, merged = np.unique([ranks[group], codes], axis=1, return_inverse=True)
        self._group = np.argsort(ranks)[found[0]]
        K, self._means, self._exponent = _standardise(K[np.ix_(self._group, self._group)])
        total = np.bincount(merged.ravel(), weights)
        C = scaled(float(self.C), self._exponent + unit)
        self.svc_ = _fit_svc(K, self.classes_[found[1]], C, total)

    def _fit_log_loss(self, X, targets, weights):
        """Multinomial logistic regression; sets the attributes that `_scores` needs."""
        if self.alpha == 0:
            raise ValueError(
                "loss='log_loss' needs alpha > 0: without a ridge classes that can be separated "
                "have no finite solution."
            )
        weights, unit = normalise(weights)
        K, kept, group = self._gram(X, weights)
        targets, weights, _ = merge(targets[kept], weights[kept], group)
        problem = _logistic.make_problem(K, shares_of(targets), weights)
        ridge, self.loo_errors_, self.alpha_ = self._given_alpha(unit), np.empty(0), self.alpha
        self.alphas_ = np.array([self.alpha])
        if ridge is None:
            ridges = default_ridges(K, weights, len(K))[::2]
            found = _logistic.losses_of_folds(problem, ridges, self._ranks(len(K)))
            ridges, self.loo_errors_ = found
            ridge, self.alphas_ = ridges[self.loo_errors_.argmin()], scaled(ridges, unit)
            self.alpha_ = scaled(ridge, unit)
        coefficients = _logistic.solve(problem, ridge)
        self._dual, self._constant = _logistic.dual_of(problem, coefficients)
        self.temperature_ = 1.0

    def _ranks(self, n):
        """Places of distinct rows by `ranks_of`; those of a Gram matrix are in their order."""
        return np.arange(n) if self.kernel_ is None else ranks_of(self.X_fit_)

    def _margins(self, method, X):
        """What the support vector machine says of new rows."""
        blocks = (
            scaled(K[:, self._group] - self._means, -self._exponent) for K in self._gram_blocks(X)
        )
        return np.concatenate([getattr(self.svc_, method)(K) for K in blocks])

    @one_notice()
    def decision_function(self, X):
        """Scores of the classes; but for the hinge loss the largest wins.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples,) or (n_samples, n_classes)
            For two classes one score, positive for the second class. For more, the scores of the
            squared error sum to one, and those of the hinge loss count the classes that lose to
            this one, as `sklearn.svm.SVC` does.
        """
        if self.loss == "hinge":
            check_is_fitted(self)
            return self._margins("decision_function", X)
        scores = self._scores(X)
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def _labels(self, X):
        if self.loss != "hinge":
            return super()._labels(X)
        check_is_fitted(self)
        return self._margins("predict", X)


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
