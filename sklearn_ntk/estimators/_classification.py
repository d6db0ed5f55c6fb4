"""Classification with infinitely wide networks."""

import numbers
from typing import ClassVar

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from .._compat import Interval, StrOptions, _fit_context
from .._runtime.notices import one_notice
from ..gram import KernelOperator
from ..solvers._units import normalise
from ._base import NetworkEstimator, check_weights
from ._choice import kernels_of, learn_features
from ._classes import ScoreClassifier, read_classes
from ._features import project
from ._losses import LOSSES, ClassRows, loss_of


class NTKClassifier(ScoreClassifier, NetworkEstimator):
    """Classifier with the kernel of an infinitely wide network.

    By default it is regression on class indicators; with the NTK, that is the limit of training a
    wide network on the squared error. The ridge is then the one with the smallest leave-one-out
    squared error, which has a closed form and chooses better than the leave-one-out accuracy.
    Probabilities are the softmax of the scores divided by a temperature, the one of the smallest
    log loss of the leave-one-out scores. Scale the columns of ``X`` beforehand.

    Parameters
    ----------
    kernel : {"auto", "ntk", "nngp", "precomputed"} or Kernel, default="auto"
        "auto" is the NTK, with features that are learned by default, unlike those of a network that
        is named. A kernel object is used as it is, on rows that are not squashed; then, as with
        "precomputed", the parameters of the network are ignored.
    depth : int, default=2
        Number of hidden layers; 0 is a linear model.
    activation : str or object of `sklearn_ntk.activations`, default="relu"
        Activation of all hidden layers.
    weight_var : float, default=2.0
        Variance of the weights; 2 keeps the variance of a ReLU network at any depth.
    bias_var : float, default=1.0
        Variance of the biases; 0 is allowed, and Gaussian processes then do not optimise it.
    n_frozen : int, default=0
        Number of layers, counted from the input, that are not trained (NTK only).
    architecture : tuple of layers, optional
        Any network, in place of ``depth`` and ``activation``; layers that leave their variances at
        None take the ones above.
    alpha : "auto" or float, default="auto"
        Ridge. For "squared_error" it is added to the diagonal of the Gram matrix; for "log_loss",
        half of it times the squared norm of the function is added to the loss. "auto" chooses it
        among `solvers.RELATIVE_RIDGES` times the mean of weight times diagonal, by the
        leave-one-out error; for "log_loss" among every second of these, by the log loss of five
        folds. With a ``training_time``, which regularises too, "auto" is 0.
    training_time : float, "auto" or None, default=None
        How long gradient descent with infinitesimal steps trains the network on half the mean
        squared error, from zero on and with the ridge as weight decay; None trains to the end.
        "auto" chooses by leave-one-out error among the times that damp as much as the ridges above.
        Only for ``loss="squared_error"``.
    learning_rate : float, default=1.0
        Factor of the times.
    squash : float or None, default=10.0
        Columns lose heavy tails: ``z = (x - mean) / std`` of the training rows becomes
        ``z / sqrt(1 + (z / squash)^2)``, in the units of the column; None leaves rows as they are,
        and so do networks on positions, kernel objects and precomputed kernels.
    features : {"auto", "diagonal", "full"}, array or None, default="auto"
        A matrix that squashed rows are multiplied by before a network sees them: given, of shape
        (n_features, m), or learned on the kernel, as a scale of each column, "diagonal", or as one
        that also turns the columns, "full"; see the notes, also for "auto".
    n_feature_steps : int, default=2
        How often features are learned at most, each time on the kernel of those before. They are
        taken only if they lower the mean squared leave-one-out error by a fifth, or, with
        "diagonal", by about a tenth.
    loss : {"squared_error", "hinge", "log_loss"}, default="squared_error"
        What is minimised: the squared error of class indicators in closed form; the margins of a
        support vector machine, one class against another (`sklearn.svm.SVC`), without
        probabilities; or the log loss of all classes, multinomial kernel logistic regression.
    C : float, default=1.0
        Weight of the rows in a support vector machine, infinite for classes that can be separated;
        only for ``loss="hinge"``, which ignores ``alpha``.
    class_weight : dict or "balanced", optional
        Weights of the classes, factors of the weights of their rows; "balanced" gives all classes
        the same sum of weights.
    device : {None, "cpu", "cuda"} or "cuda:" and a number, default=None
        Where kernels are computed: on the CPU, or on a GPU by CuPy. None is where the rows are, and
        results are of their kind. A kernel object has a ``device`` of its own.
    verbose : int, default=0
        Whether to print how far the computation is and how long it will take.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
    kernel_ : Kernel or None
        The kernel in use; None if it is precomputed.
    X_fit_ : array of shape (n_distinct, n_features)
        Training rows as the kernel sees them, squashed, times ``features_``, and equal ones merged;
        absent if the kernel is precomputed.
    features_ : array of shape (n_features, m) or None
        Matrix that squashed rows are multiplied by; None if none is learned, or if none helps.
    feature_importances_ : array of shape (n_features,)
        Shares of the columns in the mean squared gradient of the scores, as of `NTKRegressor`.
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

    Notes
    -----
    Features are learned as by `NTKRegressor`, by regression on class indicators, whatever the loss.
    "auto" is "diagonal" where ``kernel`` is "auto", for perceptrons of at most 500 columns whose
    activation does not jump, else None.

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
    0.98
    """

    __module__ = "sklearn_ntk"  # the public module, which pickles name

    _parameter_constraints: ClassVar[dict] = {
        **NetworkEstimator._parameter_constraints,
        "loss": [StrOptions(set(LOSSES))],
        "C": [Interval(numbers.Real, 0, None, closed="right")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    _choices: ClassVar[dict] = {"kernel": ("ntk",), "activation": ("relu",)}
    _mode = "diagonal"

    def __init__(
        self,
        kernel="auto",
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
        squash=10.0,
        features="auto",
        n_feature_steps=2,
        loss="squared_error",
        C=1.0,
        class_weight=None,
        device=None,
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
            squash=squash,
            features=features,
            n_feature_steps=n_feature_steps,
            device=device,
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
        self.classes_, targets, weights = read_classes(
            y, weights, self.class_weight, type(self).__name__
        )
        for name in vars(self).pop("_of_loss", ()):  # attributes of the loss of the last fit
            delattr(self, name)
        loss = loss_of(self)
        loss.check(self)
        weights, unit = normalise(weights)
        operator, kept, group = self._gram(kernels_of(self)[0], X, weights)
        rows = ClassRows(operator, targets[kept], weights[kept], group, unit)
        X = vars(self).get("X_fit_")  # a precomputed kernel has none
        features = learn_features(self, [self.kernel_], X, *rows.merged())
        if features is not None:
            self.features_, self.X_fit_ = features, project(X, features)
            rows = rows._replace(operator=KernelOperator(self.kernel_, self.X_fit_))
        attributes = loss.fit(self, rows)
        vars(self).update(attributes, _of_loss=tuple(attributes))
        return self

    def _is_spectral(self):
        return super()._is_spectral() or loss_of(self).is_spectral

    @one_notice()
    def decision_function(self, X):
        """Scores of the classes; `predict` takes the largest, except for the hinge loss.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples,) or (n_samples, n_classes)
            For two classes one score, positive for the second class. For more, the scores of the
            squared error sum to one; those of the hinge loss are, up to a fraction, the numbers of
            classes that each wins against, as in `sklearn.svm.SVC`.
        """
        check_is_fitted(self)
        return loss_of(self).scores(self, X)

    @one_notice()
    def predict_gradient(self, X):
        """Gradients of the scores, of `decision_function`, with respect to the rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples, n_features) or (n_samples, n_classes, n_features)
            For two classes those of the one score, per unit of each column, for the networks of
            `NTKRegressor.predict_gradient`. The hinge loss has none for more than two classes,
            whose scores are counts.
        """
        check_is_fitted(self)
        found = self._gradients(X, loss_of(self).coefficients(self))
        return found[:, 0] if len(self.classes_) == 2 else found

    def _functions(self):
        """Units (k,) of the scores, ones, and their coefficients (n_distinct, k)."""
        dual = loss_of(self).coefficients(self)
        return np.ones(dual.shape[1]), dual
