"""Classification with infinitely wide networks."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from ._base import NetworkEstimator
from ._compat import _check_sample_weight, _fit_context


class NTKClassifier(ClassifierMixin, NetworkEstimator):
    """Classifier by regression on class indicators with the kernel of an infinitely wide network.

    With the NTK this is the limit of training a wide network on the squared error. By default the
    ridge is the one with the smallest leave-one-out squared error, which is known in closed form
    and chooses better than the leave-one-out accuracy. Probabilities are the softmax of the scores
    at the temperature that gives the leave-one-out scores the smallest log loss. Scale the columns
    of ``X`` beforehand.

    Parameters
    ----------
    kernel : {"ntk", "nngp", "precomputed"} or Kernel, default="ntk"
        A kernel object is used as it is, with defaults of its own; then, as with "precomputed", the
        parameters of the network are ignored.
    depth : int, default=2
        Number of hidden layers.
    activation : str or object of `sklearn_ntk.activations`, default="relu"
        Activation of all hidden layers.
    weight_var, bias_var : float, default=2.0 and 1.0
        Variances of the weights and biases.
    n_frozen : int, default=0
        So many of the first layers are not trained (NTK only).
    architecture : tuple of layers, optional
        Any network, in place of ``depth`` and ``activation``.
    alpha : "auto" or float, default="auto"
        Ridge that is added to the diagonal of the Gram matrix; "auto" chooses it among
        `solvers.RELATIVE_RIDGES` times the mean of weight times diagonal.

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
        units of the variance of the targets; the errors are empty if ``alpha`` was given.
    temperature_ : float
        Scores are divided by it before the softmax.
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

    @_fit_context(prefer_skip_nested_validation=True)
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
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
        labels = y[weights > 0] if np.any(weights > 0) else y
        self.classes_ = np.unique(labels)
        if len(self.classes_) < 2:
            raise ValueError(
                f"NTKClassifier needs at least two classes; got only one class, "
                f"{self.classes_.tolist()[0]!r}."
            )
        # +-1 for two classes, indicators for more; the labels of rows without weight do not count
        targets = (y[:, None] == self.classes_).astype(np.float64)
        if len(self.classes_) == 2:
            targets = targets[:, 1:] - targets[:, :1]
        solution, targets, weights, _ = self._fit_rows(X, targets, weights)
        self.temperature_ = _fit_temperature(targets - solution.residuals, targets, weights)
        return self

    def decision_function(self, X):
        """Scores of the classes; the largest wins.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples,) or (n_samples, n_classes)
            For two classes one score, positive for the second class. For more the scores sum to
            one.
        """
        scores = self._scores(X)
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X):
        """Predict labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples,)
        """
        scores = self._scores(X)
        if len(self.classes_) == 2:
            return self.classes_[(scores[:, 0] > 0).astype(int)]
        return self.classes_[scores.argmax(axis=1)]

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
        return softmax(_logits(self._scores(X)) / self.temperature_, axis=1)


def _logits(scores):
    """One column for each class: a single score is the difference of two."""
    return np.hstack([-0.5 * scores, 0.5 * scores]) if scores.shape[1] == 1 else scores


def _fit_temperature(scores, targets, weights):
    """Temperature at which these scores have the smallest log loss.

    One row more, whose class nobody knows, is spread over all rows: scores without a mistake would
    otherwise make probabilities certain.
    """
    logits = _logits(scores)
    shares = targets
    if targets.shape[1] == 1:
        shares = np.hstack([0.5 - 0.5 * targets, 0.5 + 0.5 * targets])
    n, n_classes = shares.shape
    shares = (n * shares + 1.0 / n_classes) / (n + 1.0)

    def loss(log_temperature):
        losses = -(shares * log_softmax(logits * np.exp(-log_temperature), axis=1)).sum(axis=1)
        return np.average(losses, weights=weights)

    return float(np.exp(minimize_scalar(loss, bounds=(-5.0, 3.0), method="bounded").x))
