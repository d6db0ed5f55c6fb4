"""Classification with infinitely wide networks."""

import numbers
from typing import ClassVar

from .._compat import Interval, StrOptions, _fit_context
from .._runtime.notices import one_notice
from ._base import NetworkEstimator
from ._classes import ScoreClassifier
from ._fits import ClassifierFits
from ._fitting import all_or_nothing, with_blas_for_rows
from ._gradients import ClassifierGradients
from ._influence import ClassifierInfluence
from ._losses import LOSSES
from ._places import on_device_of_fit
from ._scores import Scores


class NTKClassifier(
    ClassifierInfluence,
    ScoreClassifier,
    Scores,
    ClassifierGradients,
    ClassifierFits,
    NetworkEstimator,
):
    """Classifier with the kernel of an infinitely wide network.

    By default it is regression on class indicators; with the NTK, that is the limit of training a
    wide network on the squared error. The ridge is then the one with the smallest leave-one-out
    squared error, which has a closed form and chooses better than the leave-one-out accuracy.
    Probabilities are the softmax of the scores divided by a temperature, the one of the smallest
    log loss of the leave-one-out scores. Scale the columns of ``X`` beforehand.

    Parameters
    ----------
    kernel : {"auto", "ntk", "nngp", "precomputed"} or Kernel, default="auto"
        "auto" is the NTK, with features and a first layer that are chosen by default, unlike those
        of a network that is named. A kernel object is used as it is, on rows that are not squashed;
        then, as with "precomputed", the parameters of the network are ignored.
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
    column_layers : "auto" or int, default="auto"
        Number of hidden layers, counted from the input, that take columns one by one: their neurons
        see one column each (see `architectures.column_mlp`), and the kernel takes as many times
        longer as there are columns. "auto" is 0, but where ``kernel`` or ``activation`` is "auto",
        too, and ``alpha`` is not 0, 1 is tried for the best network, of 2 to 100 columns and at
        most 5000 distinct rows, and taken if the leave-one-out error is 6 percent smaller; of many
        rows and columns, a part of the rows says first whether it may be better.
    architecture : tuple of layers, optional
        Any network, in place of ``depth``, ``activation`` and ``column_layers``; layers that leave
        their variances at None take the ones above.
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
        taken only if they lower the mean squared leave-one-out error; see the notes of
        `NTKRegressor`.
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
        leaf of a tree, and takes the memory of a leaf for each processor. "nystroem" has a function
        of some of the rows, the centres, and learns from streams, see `partial_fit`. "auto"
        factorises up to 5000 distinct rows, and then takes the first of "cg" and "local" that fits
        ``max_memory``. Where a parameter needs the whole matrix, "auto" is "cholesky".
    tol : float, default=0.0001
        Conjugate gradients end at residuals of this size, in units of the targets, which is about
        the error of predictions.
    max_iter : int, default=500
        Iterations after which they end with a warning.
    max_memory : float, optional
        Bytes that a fit may take; None lets "auto", and leaves side by side, use half of the free
        memory.
    leaf_size : int, default=5000
        Most rows of a leaf of "local".
    overlap : float, default=0.1
        Share of the rows of a branch, on either side of its median, that both sides have. All
        leaves together may have at most 20 times the rows.
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
        The ridges that were tried, and the mean squared error of leaving out one observation for
        each, in units of the variance of the targets, or the log loss of the folds; the errors are
        empty if ``alpha`` was given. They are estimates with "cg" and, but for the best one, with
        "local" of many leaves, and those of some rows with "nystroem". Observations are those of
        `NTKRegressor`.
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
    activation does not jump, else None. Those of up to 500 distinct rows are judged by folds; with
    the squared error and the solver "cholesky" ``alpha_``, ``loo_errors_`` and the temperature are
    then by residuals of rows that have taught nothing. From 4000 distinct rows on, 6000 with other
    losses than the squared error, it is "full" if the matrix has at most as many entries as rows
    teach it, and other rows judge.

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
    _modes = ("diagonal",)

    def __init__(
        self,
        kernel="auto",
        *,
        depth=2,
        activation="relu",
        weight_var=2.0,
        bias_var=1.0,
        n_frozen=0,
        column_layers="auto",
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
            column_layers=column_layers,
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
    @with_blas_for_rows
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
            Weights; an integer weight is the same as a repetition of the row, of one that comes
            less than ten times (more are categories, and each an observation by itself; with a
            precomputed kernel, whose equal rows cannot be told, only in scores and labels, if
            ``alpha`` is given; the temperature of probabilities is by leaving out one copy).

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight)
