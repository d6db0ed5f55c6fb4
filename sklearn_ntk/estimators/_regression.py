"""Regression with infinitely wide networks."""

from typing import ClassVar

from sklearn.base import MultiOutputMixin, RegressorMixin

from .._compat import StrOptions, _fit_context
from .._runtime.notices import one_notice
from ._base import NetworkEstimator
from ._fits import RegressorFits
from ._fitting import all_or_nothing, with_blas_for_rows
from ._gradients import RegressorGradients
from ._influence import RegressorInfluence
from ._intervals import Intervals
from ._places import on_device_of_fit
from ._predictions import Predictions


class NTKRegressor(
    Intervals,
    RegressorInfluence,
    Predictions,
    RegressorGradients,
    RegressorFits,
    MultiOutputMixin,
    RegressorMixin,
    NetworkEstimator,
):
    """Kernel ridge regression with the kernel of an infinitely wide network.

    With the NTK, this is the limit of gradient descent on a wide network; with the NNGP, it is the
    posterior mean of a wide Bayesian network. The intercept is not penalised. By default, the
    kernel, the activation and the ridge minimise the leave-one-out error, which has a closed form.
    Scale the columns of ``X`` beforehand.

    Parameters
    ----------
    kernel : {"auto", "ntk", "nngp", "precomputed"} or Kernel, default="auto"
        "auto" tries the NTK and the NNGP and keeps the one with the smaller leave-one-out error;
        with an ``architecture``, frozen layers or ``depth=0`` it is the NTK. A kernel object is
        used as it is, on rows that are not squashed. With a kernel object or "precomputed", the
        parameters of the network are ignored.
    depth : int, default=2
        Number of hidden layers; 0 is a linear model.
    activation : str or object of `sklearn_ntk.activations`, default="auto"
        Activation of all hidden layers. "auto" tries "relu", for functions with kinks, and "gelu",
        for smooth ones, and keeps the one with the smaller leave-one-out error. If ``kernel`` is
        also "auto", all four pairs are tried, which takes about four times as long as one network,
        or 10 to 15 times as long with learned features and ``column_layers="auto"``.
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
        Ridge, which is added to the diagonal of the Gram matrix. "auto" chooses among
        `solvers.RELATIVE_RIDGES` times the mean of weight times diagonal; with a ``training_time``,
        which regularises too, it is 0.
    training_time : float, "auto" or None, default=None
        How long the ``optimizer`` trains the network on half the mean squared error, starting from
        zero output and with the ridge as weight decay. None trains to the end. "auto" chooses, by
        leave-one-out error, among times that regularise about as much as the ridges above.
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
    noise : {"auto", "ridge"}, default="auto"
        Noise of the observations, for the uncertainty of `predict`. With "ridge" its variance is
        ``alpha_`` times the amplitude. "auto" adds the noise that makes the leave-one-out residuals
        most likely, because the ridge that predicts best is often smaller than the noise.
    uncertainty : {"posterior", "ensemble"}, default="posterior"
        "posterior" is the uncertainty of the Gaussian process with this kernel; where the kernel
        was chosen, it is a mixture with the kernels that are about as good. "ensemble" is the
        spread of wide networks that start at random and are trained on the same targets. It needs
        the kernel of a network, copies two Gram matrices from a GPU once, and computes on the CPU.
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
    kernel_ : Kernel or None
        The kernel in use; None if it is precomputed.
    kernels_, kernel_errors_ : list of Kernel, array of shape (n_kernels,)
        The kernels that were tried, and the mean squared leave-one-out error of each at its best
        ridge or time, in units of the variance of the targets. These errors are without learned
        features, which are tried afterwards on the two best kernels that mix columns.
    X_fit_ : array of shape (n_distinct, n_features)
        Distinct training rows as the kernel sees them, squashed and multiplied by ``features_``;
        absent if the kernel is precomputed.
    features_ : array of shape (n_features, m) or None
        Matrix by which squashed rows are multiplied; None if none was learned, or if none helped.
    feature_importances_ : array of shape (n_features,)
        Share of each column in the mean squared gradient of the fitted function at the training
        rows, in units of the standard deviations of the columns. The shares sum to one, or are zero
        if nothing depends on any column. They need a kernel that has gradients, see
        `predict_gradient`, on rows that are not images or sequences. They are computed at each
        access; with ``column_layers``, from 100 of all rows, or of the rows of each leaf.
    dual_coef_ : array of shape (n_distinct, n_outputs)
    intercept_ : array of shape (n_outputs,)
        Intercept. It and ``dual_coef_`` are None for "local".
    alpha_ : float
        The ridge in use.
    alphas_, loo_errors_ : arrays
        The ridges that were tried, and the mean squared leave-one-out error of each (see the
        notes), in units of the variance of the targets. Errors are empty if ``alpha`` was given.
        They are estimates with "cg", and with "local" of many leaves, except for the best ridge;
        with "nystroem" they are those of a subset of the rows.
    training_time_, training_times_ : float or None, array
        The training time in use, None for the end of training, and all times that were tried, to
        which ``loo_errors_`` then refer.
    amplitude_, noise_ : arrays of shape (n_outputs,)
        The Gaussian process behind the uncertainty of `predict` has the covariance ``amplitude_
        k(x, y)``, and observations have the noise variance ``amplitude_ alpha_ + noise_``. Both are
        infinite for targets beyond 1e154 and zero for targets below 1e-162; standard deviations and
        draws are right even then.
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
    NTKClassifier : Classification with one network.
    NTKRegressorCV : Choice among more networks, and weighted means of several.
    NTKKernel : The kernel, for scikit-learn's Gaussian processes.

    Notes
    -----
    In the limit of infinite width, features are fixed, and all columns count alike. Features are
    therefore learned as by A. Radhakrishnan, D. Beaglehole, P. Pandit and M. Belkin ("Mechanism for
    feature learning in neural networks and backpropagation-free machine learning models", Science,
    2024): the matrix is the root of the average outer product of the gradients of the fitted
    function, in units of the standard deviations of the columns. "auto" is "full" where ``kernel``
    or ``activation`` is "auto", for perceptrons of at most 500 columns whose activation does not
    jump and whose first layer mixes columns; otherwise it is None. If the matrix has more numbers
    than an eighth of the rows, "diagonal" is tried, too.

    Leave-one-out errors are too small on the rows from which features are learned. With p numbers
    in their matrix and n rows, features must therefore lower the error by the factor ``1 + p / n``,
    and at least by 1.25, or 1.1 for "diagonal". With up to 500 distinct rows, features are also
    judged by four folds, each with features learned from the other rows; ``alpha_``,
    ``loo_errors_``, the uncertainty and the intervals follow from these residuals (with the solver
    "cholesky"; intervals not with a ``training_time``). With more than 1500 distinct rows, 1500 of
    them, drawn with a fixed seed, choose the network and its features; then all rows are fitted.
    With 4000 or more, features are learned anew from up to 12,000 rows, and kept if they lower the
    squared error of up to 2000 other rows by 3 percent; not with ``solver="nystroem"`` or a
    ``training_time``. The ridge, ``loo_errors_`` and the uncertainty then come from the rows from
    which no features were learned. With ``uncertainty="ensemble"`` they come from all rows, and
    features are learned from at most half of these, and at most 5000.

    Equal rows are merged. Leave-one-out leaves out one observation: all copies of a row with the
    same targets together, or a single copy if rows are categories. They are if a row occurs ten
    times or more, or if a tenth of the rows that occur several times have different targets, with
    at least five rows for each value of the targets.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_ntk import NTKRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> X, X_test, y, y_test = train_test_split(X, y, random_state=0)
    >>> model = make_pipeline(StandardScaler(), NTKRegressor()).fit(X, y)
    >>> round(model.score(X_test, y_test), 1)
    0.4
    """

    _parameter_constraints: ClassVar[dict] = {
        **NetworkEstimator._parameter_constraints,
        "noise": [StrOptions({"auto", "ridge"})],
        "uncertainty": [StrOptions({"posterior", "ensemble"})],
    }

    def __init__(
        self,
        kernel="auto",
        *,
        depth=2,
        activation="auto",
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
        noise="auto",
        uncertainty="posterior",
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
        self.noise = noise
        self.uncertainty = uncertainty

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
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows.

        Returns
        -------
        self

        Notes
        -----
        A weight of k equals k copies of a row, unless rows are categories, each copy of which is an
        observation (see the notes of the class). A precomputed kernel does not tell which rows are
        equal, so that leave-one-out errors leave out one copy: predictions are the same for a
        weight and for copies only if ``alpha`` is given.
        """
        return self._fit(X, y, sample_weight)
