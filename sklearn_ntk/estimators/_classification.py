"""Classification with infinitely wide networks."""

import numbers
from functools import partial
from typing import ClassVar

import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from .._compat import Interval, StrOptions, _fit_context
from .._runtime.device import check_host, on_host
from .._runtime.notices import one_notice
from ..solvers._units import normalise, scaled
from ._base import NetworkEstimator, all_or_nothing, check_weights, fitted_ridges
from ._choice import kernels_of, learn_features
from ._choice_of_solver import can_stream, is_streaming
from ._classes import ScoreClassifier, read_classes, targets_of
from ._features import project
from ._influence import Influence, Samples
from ._losses import LOSSES, ClassRows, fitted_scores, loss_of
from ._many_rows import absorb
from ._places import on_device_of_fit, read_data, where_rows_are
from ._stages import stages


class NTKClassifier(Influence, ScoreClassifier, NetworkEstimator):
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
        How long the ``optimizer`` trains the network on half the mean squared error, or on the mean
        log loss, from zero on and with the ridge as weight decay; None trains to the end. "auto"
        chooses by leave-one-out error among the times that damp as much as the ridges above. Not
        for the hinge loss; a number, and gradient flow, for the log loss.
    learning_rate : float, default=1.0
        Factor of the times, or size of the steps, with a warning where these are too large for
        training to be stable.
    optimizer : {"flow", "descent", "heavy_ball", "nesterov"}, default="flow"
        What trains until the ``training_time``: gradient flow; or a whole number of steps of
        gradient descent, without or with ``momentum`` (see `dynamics.HeavyBall` and
        `dynamics.Nesterov`). The end of training is the same.
    momentum : float, default=0.9
        Of "heavy_ball" and "nesterov".
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
        probabilities; or the log loss of all classes, multinomial kernel logistic regression. The
        last two take the Gram matrix from a GPU once, and compute on the CPU.
    C : float, default=1.0
        Weight of the rows in a support vector machine, infinite for classes that can be separated;
        only for ``loss="hinge"``, which ignores ``alpha``.
    class_weight : dict or "balanced", optional
        Weights of the classes, factors of the weights of their rows; "balanced" gives all classes
        the same sum of weights.
    solver : {"auto", "cholesky", "cg", "local", "nystroem"}, default="auto"
        How the equations are solved. "cholesky" is exact. "cg", conjugate gradients on the Gram
        matrix in single precision, is faster for more rows. "local" has an exact model in each
        leaf of a tree, and takes the memory of one leaf. "nystroem" has a function of some of the
        rows, the centres, and learns from streams, see `partial_fit`. "auto" factorises up to 5000
        distinct rows, and then takes the first of "cg" and "local" that fits ``max_memory``. Where
        a parameter needs the whole matrix, "auto" is "cholesky".
    tol : float, default=0.0001
        Conjugate gradients end at residuals of this size, in units of the targets, which is about
        the error of predictions.
    max_iter : int, default=500
        Iterations after which they end with a warning.
    max_memory : float, optional
        Bytes that a fit may take; None lets "auto" use half of the free memory.
    leaf_size : int, default=5000
        Most rows of a leaf of "local".
    overlap : float, default=0.1
        Share of the rows of a branch, on either side of its median, that both sides have.
    n_components : int, optional
        Number of centres of "nystroem"; by default 2000, or all rows if there are fewer.
    centers : {"uniform", "rpcholesky"} or array (m, n_features), default="uniform"
        The centres: random rows, pivots of a Cholesky factorisation, which serve smooth kernels, or
        rows that are given.
    warm_start : bool, default=False
        Whether "cg" goes on from the last fit, of the same rows, as after a warning.
    random_state : int, RandomState instance or None, default=0
        Of rows that solvers draw.
    device : {None, "cpu", "cuda"} or "cuda:" and a number, default=None
        Where kernels are computed: on the CPU, or on a GPU by CuPy, where the Gram matrices of fits
        stay. None is where the rows are, and results are of their kind. A kernel object has a
        ``device`` of its own.
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
        Both are None for local models.
    alpha_ : float
        The ridge in use.
    alphas_, loo_errors_ : arrays
        The ridges that were tried, and the mean squared error of leaving out one row for each, in
        units of the variance of the targets, or the log loss of the folds; the errors are empty if
        ``alpha`` was given. They are estimates with "cg", and those of some rows with "nystroem".
    training_time_, training_times_ : float or None, array
        The time in use, None to the end, and those that were tried, to which ``loo_errors_`` then
        belong.
    temperature_ : float
        Scores are divided by it before the softmax; 1 for the log loss.
    svc_ : sklearn.svm.SVC
        Only for ``loss="hinge"``, which then takes the place of the coefficients and ridges; its
        Gram matrix is centred and scaled to a mean diagonal of about one.
    solver_ : str
        The solver in use.
    n_iter_, residual_ : int, float or None
        Iterations of "cg", in all, 1 for others, and its true residual, in units of the targets.
    leaves_ : list of arrays or None
        Indices of the rows of ``X_fit_`` in each leaf of "local".
    centers_ : array or None
        Centres of "nystroem" as the kernel sees them, which ``X_fit_`` and ``dual_coef_`` then
        belong to; for a precomputed kernel their indices.
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
        optimizer="flow",
        momentum=0.9,
        squash=10.0,
        features="auto",
        n_feature_steps=2,
        loss="squared_error",
        C=1.0,
        class_weight=None,
        solver="auto",
        tol=1e-4,
        max_iter=500,
        max_memory=None,
        leaf_size=5000,
        overlap=0.1,
        n_components=None,
        centers="uniform",
        warm_start=False,
        random_state=0,
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
            optimizer=optimizer,
            momentum=momentum,
            squash=squash,
            features=features,
            n_feature_steps=n_feature_steps,
            solver=solver,
            tol=tol,
            max_iter=max_iter,
            max_memory=max_memory,
            leaf_size=leaf_size,
            overlap=overlap,
            n_components=n_components,
            centers=centers,
            warm_start=warm_start,
            random_state=random_state,
            device=device,
            verbose=verbose,
        )
        self.loss = loss
        self.C = C
        self.class_weight = class_weight

    @_fit_context(prefer_skip_nested_validation=True)
    @one_notice()
    @all_or_nothing
    @on_device_of_fit
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
        self._is_stream = False
        return self._fit(X, y, sample_weight)

    @available_if(can_stream)
    @_fit_context(prefer_skip_nested_validation=True)
    @one_notice()
    @all_or_nothing
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Fit the network to a part of the data, and to all parts before.

        As `NTKRegressor.partial_fit`, for ``loss="squared_error"``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows; the first ones should be a sample of all, from which the centres are drawn.
        y : array-like of shape (n_samples,)
            Labels.
        classes : array-like of shape (n_classes,), optional
            All classes, if not all of them are in the first part; for the first call.
        sample_weight : array-like of shape (n_samples,), optional
            Weights.

        Returns
        -------
        self
        """
        check_host([X, y, sample_weight], "Fits to parts of the data")
        if isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight='balanced' needs all rows at once: give partial_fit a dictionary of "
                "the weights of the classes."
            )
        if not is_streaming(self):
            self._is_stream = True
            return self._fit(X, y, sample_weight, classes)
        X, y, weights = self._read(X, y, sample_weight, reset=False)
        if classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes must be those of the first part, {self.classes_.tolist()}; got "
                f"{np.unique(classes).tolist()}."
            )
        targets, weights = targets_of(y, weights, self.classes_, self.class_weight)
        weights = scaled(weights, -self._unit)
        kept = np.flatnonzero(weights)
        path = absorb(self, self._rows(X[kept]), targets[kept], weights[kept])
        self._centers, held = path.solution.details, path.solution.details.held
        path = path._replace(solution=path.solution._replace(rows=None))
        attributes = fitted_ridges(self, path, None, self._unit)
        vars(self).update(fitted_scores(path, attributes, held.Y, held.weights))
        return self

    def _read(self, X, y, sample_weight, reset=True):
        """Checked rows, labels and weights."""
        X, y = read_data(self, X, y, reset=reset)
        check_classification_targets(y)
        return X, y, check_weights(sample_weight, X)

    def _fit(self, X, y, sample_weight, classes=None):
        """Fit to data, or to the first part of them."""
        X, y, weights = self._read(X, y, sample_weight)
        if classes is None:
            name = type(self).__name__
            self.classes_, targets, weights = read_classes(y, weights, self.class_weight, name)
        else:
            self.classes_ = np.unique(classes)
            targets, weights = targets_of(y, weights, self.classes_, self.class_weight)
        for name in vars(self).pop("_of_loss", ()):  # attributes of the loss of the last fit
            delattr(self, name)
        loss = loss_of(self)
        loss.check(self)
        weights, unit = normalise(weights)
        self._unit = unit
        operator, kept, group = self._gram(kernels_of(self)[0], X, weights)
        self._check_leaves()
        rows = ClassRows(operator, targets[kept], weights[kept], group, unit)
        self._samples = Samples(len(y), kept, group, weights[kept], targets[kept])
        X = vars(self).get("X_fit_")  # a precomputed kernel has none
        features = learn_features(self, [self.kernel_], X, *rows.merged())
        if features is not None:
            self.features_, self.X_fit_ = features, project(X, features)
            rows = rows._replace(operator=self._operator(self.kernel_, self.X_fit_))
        attributes = loss.fit(self, rows)
        vars(self).update(attributes, _of_loss=tuple(attributes))
        return self

    def _is_spectral(self):
        return super()._is_spectral() or loss_of(self).is_spectral

    def _needs_matrix(self):
        is_other = not loss_of(self).is_squares
        return super()._needs_matrix() or (f"loss={self.loss!r}" if is_other else None)

    def _check_leaves(self):
        """Raise ValueError for leaves that cannot hold rows of all classes."""
        least = 2 * len(self.classes_)
        if self.solver_ == "local" and self.leaf_size < least:
            raise ValueError(
                f"leaf_size must be at least {least}, two rows for each of the classes; got "
                f"{self.leaf_size}: increase it."
            )

    @one_notice()
    @where_rows_are
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
    @where_rows_are
    def staged_decision_function(self, X, times):
        """Scores of the classes at several times of the training.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        times : array-like of shape (n_times,)
            Times as ``training_time``, in any order; ``np.inf`` is the end, which the log loss has
            only with a ridge.

        Yields
        ------
        array of shape (n_samples,) or (n_samples, n_classes)
            What `decision_function` returns for each time, with the kernel and ``alpha_`` of the
            fit. Not for the hinge loss.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.preprocessing import scale
        >>> from sklearn_ntk import NTKClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = NTKClassifier(alpha=0.0).fit(scale(X), y)
        >>> for labels in model.staged_predict(scale(X), times=[0.0, 10.0, 10000.0]):
        ...     print(np.mean(labels == y) > 0.9)
        False
        True
        True
        """
        loss = loss_of(self)
        found = stages(self, X, times, "staged_decision_function", partial(loss.training, self))
        return (stage[:, 0] if stage.shape[1] == 1 else stage for stage in found)

    @where_rows_are
    def staged_predict(self, X, times):
        """Predict labels at several times of the training.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        times : array-like of shape (n_times,)
            As for `staged_decision_function`.

        Yields
        ------
        array of shape (n_samples,)
        """
        found = map(on_host, self.staged_decision_function(X, times))
        return (loss_of(self).best(self, scores) for scores in found)

    @one_notice()
    @where_rows_are
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

    def _squares(self):
        if not loss_of(self).is_squares:
            raise ValueError(
                f"influence needs loss='squared_error', which has a closed form; got "
                f"loss={self.loss!r}."
            )
        Y, weights, ridge, *method = self._problem
        return Y, weights, ridge, self.training_time_, *method

    def _differences(self, values):
        return values

    def _has_one_output(self):
        return len(self.classes_) == 2

    def _functions(self):
        """Units (k,) of the scores, ones, and their coefficients (n_distinct, k)."""
        n_scores = 1 if len(self.classes_) == 2 else len(self.classes_)
        return np.ones(n_scores), loss_of(self).coefficients(self)
