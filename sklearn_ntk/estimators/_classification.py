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

    By default, this is regression on class indicators; with the NTK, that is the limit of training
    a wide network on the squared error. The ridge minimises the leave-one-out squared error, which
    has a closed form and chooses better than the leave-one-out accuracy. Probabilities are the
    softmax of the scores divided by a temperature, which minimises the log loss of the
    leave-one-out scores. Scale the columns of ``X`` beforehand.

    Parameters
    ----------
    kernel : {"auto", "ntk", "nngp", "precomputed"} or Kernel, default="auto"
        "auto" is the NTK. Unlike a network that is named, it comes with learned features and a
        choice of the first layer by default. A kernel object is used as it is, on rows that are not
        squashed. With a kernel object or "precomputed", the parameters of the network are ignored.
    depth : int, default=2
        Number of hidden layers; 0 is a linear model.
    activation : str or object of `sklearn_ntk.activations`, default="relu"
        Activation of all hidden layers.
    weight_var : float, default=2.0
        Variance of the weights; 2 preserves the variance of signals in a ReLU network of any depth.
    bias_var : float, default=1.0
        Variance of the biases; 0 is allowed.
    n_frozen : int, default=0
        Number of layers, counted from the input, that are not trained; only for the NTK.
    column_layers : "auto" or int, default="auto"
        Number of hidden layers, counted from the input, that take columns one by one: each of their
        neurons sees a single column (see `architectures.column_mlp`). The time of the kernel is
        multiplied by the number of columns. "auto" is 0, except where ``kernel`` or ``activation``
        is also "auto", and ``alpha`` is not 0: then 1 is tried for the best network, with 2 to 100
        columns and at most 5000 distinct rows, and kept if it lowers the leave-one-out error by 6
        percent. With many rows and columns, a sample of the rows first decides whether to try it.
    architecture : tuple of layers, optional
        Any network, in place of ``depth``, ``activation`` and ``column_layers``. Layers whose
        variances are None take ``weight_var`` and ``bias_var``.
    alpha : "auto" or float, default="auto"
        Ridge. For "squared_error" it is added to the diagonal of the Gram matrix; for "log_loss",
        half of it times the squared norm of the function is added to the loss. "auto" chooses among
        `solvers.RELATIVE_RIDGES` times the mean of weight times diagonal, by the leave-one-out
        error; for "log_loss", among every second of these, by the log loss in five folds. With a
        ``training_time``, which regularises too, it is 0.
    training_time : float, "auto" or None, default=None
        How long the ``optimizer`` trains the network on half the mean squared error, or on the mean
        log loss, starting from zero output and with the ridge as weight decay. None trains to the
        end. "auto" chooses, by leave-one-out error, among times that regularise about as much as
        the ridges above. The log loss needs a number and gradient flow; the hinge loss cannot stop
        early.
    learning_rate : float, default=1.0
        Step size of the ``optimizer``; for "flow", a factor of the times. Steps too large for
        stable training give a warning.
    optimizer : {"flow", "descent", "heavy_ball", "nesterov"}, default="flow"
        How the network is trained until ``training_time``: by gradient flow, or by a whole number
        of steps of gradient descent, plain or with ``momentum`` (see `dynamics.HeavyBall` and
        `dynamics.Nesterov`). All have the same limit.
    momentum : float, default=0.9
        Momentum of "heavy_ball" and "nesterov".
    squash : float or None, default=10.0
        Limits heavy tails of columns: ``z = (x - mean) / std``, with the mean and standard
        deviation of the training rows, becomes ``z / sqrt(1 + (z / squash)^2)``, which is then
        scaled back to the units of the column. None leaves rows unchanged. Images and sequences,
        and rows for kernel objects and precomputed kernels, are never squashed.
    features : {"auto", "diagonal", "full"}, array or None, default="auto"
        Matrix by which squashed rows are multiplied before the network sees them. An array of shape
        (n_features, m) is used as given; "diagonal" learns a scale for each column, "full" learns a
        full matrix. See the notes, also for "auto".
    n_feature_steps : int, default=2
        Maximum number of steps in which features are learned, each with the kernel on the features
        of the step before. They are kept only if they lower the mean squared leave-one-out error;
        see the notes.
    loss : {"squared_error", "hinge", "log_loss"}, default="squared_error"
        "squared_error" regresses on class indicators, in closed form. "hinge" is a support vector
        machine, one class against another (`sklearn.svm.SVC`), without probabilities. "log_loss" is
        multinomial kernel logistic regression. The last two copy the Gram matrix from a GPU once,
        and compute on the CPU.
    C : float, default=1.0
        Weight of the rows in a support vector machine; infinite for classes that can be separated.
        Only for ``loss="hinge"``, which ignores ``alpha``.
    class_weight : dict or "balanced", optional
        Weights of the classes, by which the weights of their rows are multiplied. "balanced" gives
        all classes the same sum of weights.
    solver : {"auto", "cholesky", "cg", "local", "nystroem"}, default="auto"
        How the equations are solved. "cholesky" is exact. "cg", conjugate gradients on the Gram
        matrix in single precision, is faster for many rows. "local" fits an exact model in each
        leaf of a tree, and needs the memory of one leaf for each processor. "nystroem" fits a
        function of a subset of the rows, the centres, and can learn from streams, see
        `partial_fit`. "auto" is "cholesky" for up to 5000 distinct rows, or where another parameter
        needs the whole matrix; else it is the first of "cg" and "local" that fits into
        ``max_memory``.
    tol : float, default=0.0001
        Residual, in units of the targets, at which "cg" stops. Errors of predictions are about as
        large.
    max_iter : int, default=500
        Maximum number of iterations of "cg", with a warning if these are not enough.
    max_memory : float, optional
        Bytes that a fit may use. By default, "auto", and leaves that are fitted side by side, may
        use half of the free memory.
    leaf_size : int, default=5000
        Maximum number of rows in a leaf of "local".
    overlap : float, default=0.1
        "local" splits each branch of the tree at a median; this fraction of its rows, on either
        side of the median, goes to both sides. All leaves together may hold at most 20 times the
        number of rows.
    n_components : int, optional
        Number of centres of "nystroem"; by default 2000, or all rows if there are fewer.
    centers : {"uniform", "rpcholesky"} or array (m, n_features), default="uniform"
        Centres of "nystroem": random rows, pivots of a Cholesky factorisation, which are better for
        smooth kernels, or given rows.
    warm_start : bool, default=False
        Whether "cg" continues from the last fit, which must be to the same rows, for instance after
        a warning.
    random_state : int, RandomState instance or None, default=0
        Seed or generator of the rows that solvers draw.
    device : {None, "cpu", "cuda"} or "cuda:" and a number, default=None
        Where the kernel is computed: on the CPU, or on a GPU by CuPy. Gram matrices of fits stay
        there. With None it is computed where the rows are. Arrays of NumPy give arrays of NumPy,
        arrays of CuPy arrays of CuPy. A kernel object has its own ``device``.
    verbose : int, default=0
        Whether to print progress and an estimate of the remaining time.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
    kernel_ : Kernel or None
        The kernel in use; None if it is precomputed.
    X_fit_ : array of shape (n_distinct, n_features)
        Distinct training rows as the kernel sees them, squashed and multiplied by ``features_``;
        absent if the kernel is precomputed.
    features_ : array of shape (n_features, m) or None
        Matrix by which squashed rows are multiplied; None if none was learned, or if none helped.
    feature_importances_ : array of shape (n_features,)
        Share of each column in the mean squared gradient of the scores, as for `NTKRegressor`.
    dual_coef_ : array of shape (n_distinct, n_outputs)
        Coefficients; one output for two classes, else one for each class.
    intercept_ : array of shape (n_outputs,)
        Intercept. It and ``dual_coef_`` are None for "local".
    alpha_ : float
        The ridge in use.
    alphas_, loo_errors_ : arrays
        The ridges that were tried, and the mean squared leave-one-out error of each, in units of
        the variance of the targets, or for "log_loss" the log loss in folds. Observations are left
        out as by `NTKRegressor`. Errors are empty if ``alpha`` was given. They are estimates with
        "cg", and with "local" of many leaves, except for the best ridge; with "nystroem" they are
        those of a subset of the rows.
    training_time_, training_times_ : float or None, array
        The training time in use, None for the end of training, and all times that were tried, to
        which ``loo_errors_`` then refer.
    temperature_ : float
        Number by which scores are divided before the softmax; 1 for the log loss.
    svc_ : sklearn.svm.SVC
        Only for ``loss="hinge"``, where it replaces the coefficients and ridges. Its Gram matrix is
        centred, and scaled to a mean diagonal of about one.
    solver_ : str
        The solver in use.
    n_iter_, residual_ : int, float or None
        Total number of iterations of "cg", 1 for other solvers, and the true residual of "cg", in
        units of the targets.
    leaves_ : list of arrays or None
        For "local": indices of the rows of ``X_fit_`` in each leaf.
    centers_ : array or None
        For "nystroem": centres as the kernel sees them, or their indices for a precomputed kernel.
        ``X_fit_`` and ``dual_coef_`` then belong to the centres.
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features_in_,)

    See Also
    --------
    NTKRegressor : Regression with one network.
    NTKClassifierCV : Choice among many networks, and combinations of several.

    Notes
    -----
    Features are learned as by `NTKRegressor`, by regression on class indicators, whatever the loss.
    "auto" is "diagonal" where ``kernel`` is "auto", for perceptrons of at most 500 columns whose
    activation does not jump; otherwise it is None. With up to 500 distinct rows, features are
    judged by folds; with the squared error and the solver "cholesky", ``alpha_``, ``loo_errors_``
    and the temperature then follow from residuals of rows from which no features were learned. With
    4000 distinct rows or more (6000 for other losses than the squared error), "auto" is "full" if
    the matrix has at most as many entries as there are rows to learn it from, and other rows judge.

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
            Weights of the rows.

        Returns
        -------
        self

        Notes
        -----
        A weight of k equals k copies of a row, unless rows are categories, each copy of which is an
        observation (see the notes of `NTKRegressor`). A precomputed kernel does not tell which rows
        are equal, so that leave-one-out errors leave out one copy: scores and labels are the same
        for a weight and for copies only if ``alpha`` is given, and the temperature of probabilities
        differs.
        """
        return self._fit(X, y, sample_weight)
