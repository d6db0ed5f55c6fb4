"""Classes and their weights, and ``predict`` and ``predict_proba`` of all classifiers."""

from functools import update_wrapper

import numpy as np
from scipy.special import log_softmax
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._runtime.check import is_number
from .._runtime.device import on_host
from ..solvers._scoring import logits
from ..solvers._units import normalise
from ._losses import fitted_loss
from ._places import where_rows_are


def read_classes(y, weights, class_weight, name):
    """All classes, those with weight, targets (n, k) of these, and weights (n,).

    Targets are +-1 with k = 1 for two classes, indicators for more. Weights are multiplied by those
    of the classes. ``name`` is that of the estimator, for errors.
    """
    weights = weigh_classes(class_weight, _weighted(y, weights, name), y, weights)
    known = _weighted(y, weights, name)
    return np.unique(y), known, indicators(y, known), weights


def _weighted(y, weights, name):
    """Classes of the rows of positive weight; raises ValueError if there is only one."""
    classes = np.unique(y[weights > 0])
    if len(classes) < 2:
        raise ValueError(
            f"{name} needs at least two classes; got only one class, {classes.tolist()[0]!r}: add "
            f"rows of another one."
        )
    return classes


def given_classes(classes):
    """Increasing classes of a first part; raises ValueError if they are no labels."""
    try:
        found = np.unique(classes)
        is_missing = np.any(found != found)
    except TypeError:  # of labels that have no order
        is_missing = True
    if is_missing:
        raise ValueError(
            f"classes must be numbers or strings, none of them missing; got {classes!r}: drop what "
            f"is missing."
        )
    return found


def targets_of(y, weights, classes, class_weight):
    """Targets (n, k) of labels for classes that are known, and weights times those of the classes.

    Raises ValueError for other labels.
    """
    if len(classes) < 2:
        raise ValueError(f"classes must be at least two; got {classes.tolist()}.")
    known = classes
    if isinstance(class_weight, dict):  # classes of weight zero may have been left out
        known = np.unique([*classes.tolist(), *(c for c, w in class_weight.items() if w == 0.0)])
    others = np.setdiff1d(y[weights > 0], known)
    if len(others):
        raise ValueError(
            f"y must have labels of the classes {classes.tolist()}; got {others.tolist()[0]!r}: "
            f"give all classes to the first partial_fit."
        )
    return indicators(y, classes), weigh_classes(class_weight, known, y, weights)


def indicators(y, classes):
    """Targets (n, k) of labels: +-1 with k = 1 for two classes, indicators for more."""
    targets = (y[:, None] == classes).astype(np.float64)
    return targets[:, 1:] - targets[:, :1] if len(classes) == 2 else targets


def weigh_classes(class_weight, classes, y, weights):
    """Weights of the rows times those of their classes; at least two must be positive."""
    if class_weight is None:
        return weights
    if isinstance(class_weight, dict):
        if not all(is_number(factor) and factor >= 0.0 for factor in class_weight.values()):
            raise ValueError(f"class_weight must have finite weights >= 0; got {class_weight}.")
    if class_weight == "balanced":  # the weights of each class get the same sum
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
        products = weights * factors[places]
    if not np.all(np.isfinite(products)):
        raise ValueError(
            f"sample_weight times class_weight must be finite; got {weights.max():.3g} times "
            f"{factors.max():.3g}: take smaller weights."
        )
    return products


def _has_probabilities(model):
    """True, or AttributeError if the loss of a classifier gives no probabilities."""
    refusal = fitted_loss(model).refusal
    if refusal:
        raise AttributeError(refusal)
    return True


class _OfProbabilities:
    """Decorator like `available_if`, for methods that need probabilities.

    The message of the AttributeError contains the reason.
    """

    def __init__(self, method):
        self._method = available_if(_has_probabilities)(method)
        update_wrapper(self, method)

    def __get__(self, model, owner=None):
        try:
            return self._method.__get__(model, owner)
        except AttributeError as error:
            raise AttributeError(f"{error}: {error.__cause__}") from error.__cause__


class ScoreClassifier(ClassifierMixin):
    """Mixin: labels and probabilities from `decision_function`, ``classes_``, ``temperature_``.

    What is fitted knows the classes that have weight; ``_known`` are their places among
    ``classes_``, or None for all.
    """

    _metric = staticmethod(accuracy_score)
    _known = None

    @property
    def _labels(self):
        """Labels of the classes that have weight."""
        return self.classes_ if self._known is None else self.classes_[self._known]

    @property
    def _n_scores(self):
        """Number of scores that the fit has for a row: one for two classes."""
        n = len(self._labels)
        return 1 if n == 2 else n

    def _of_known(self, scores):
        """Scores as of `decision_function`, those of the classes that have weight."""
        return scores if self._known is None else scores[:, self._known]

    def _set_classes(self, classes, known):
        """Set ``classes_``, and which of them have weight."""
        is_whole = len(known) == len(classes)
        self.classes_ = classes
        self._known = None if is_whole else np.searchsorted(classes, known)

    def _of_all(self, values, axis=-1):
        """Scores of the classes that have weight, or derivatives, and zeros for the other classes.

        ``axis`` is that of the classes; values for two classes are without.
        """
        if self._known is None:
            return values
        if len(self._known) == 2:
            values = np.stack([-0.5 * values, 0.5 * values], axis=axis)
        values = np.moveaxis(values, axis, -1)
        found = np.zeros((*values.shape[:-1], len(self.classes_)), like=values)
        found[..., self._known] = values
        return np.moveaxis(found, -1, axis)

    @where_rows_are
    def predict(self, X):
        """Predict labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples,)
        """
        check_is_fitted(self)
        return fitted_loss(self).labels(self, X)

    def score(self, X, y, sample_weight=None):
        """Share of the rows that `predict` labels correctly, by weight.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), optional

        Returns
        -------
        float
            `sklearn.metrics.accuracy_score`, also for arrays of CuPy.
        """
        y, labels, weights = map(on_host, (y, self.predict(X), sample_weight))
        return self._metric(y, labels, sample_weight=weights)

    @_OfProbabilities
    @where_rows_are
    def predict_proba(self, X):
        """Predict probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples, n_classes)
            Columns in the order of ``classes_``; after ``fit``, zeros for a class whose rows
            all have weight zero.
        """
        return np.exp(self.predict_log_proba(X))

    @_OfProbabilities
    @where_rows_are
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
        scores = self._of_known(on_host(self.decision_function(X)))
        scores = logits(scores[:, None] if scores.ndim == 1 else scores)
        with np.errstate(over="ignore"):  # scores may be huge far from the training rows
            logits_ = (scores - scores.max(axis=1, keepdims=True)) / self.temperature_
        found = log_softmax(np.maximum(logits_, -np.finfo(float).max), axis=1)
        if self._known is None:
            return found
        of_all = np.full((len(found), len(self.classes_)), -np.inf)
        of_all[:, self._known] = found
        return of_all
