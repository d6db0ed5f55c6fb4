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

    With the NTK this is the limit of gradient descent on a wide network, with the NNGP the mean of
    the posterior of a wide Bayesian network. The model has an intercept, which is not penalised. By
    default, the kernel, the activation and the ridge are those with the smallest leave-one-out
    error, which has a closed form. Scale the columns of ``X`` beforehand.

    Parameters
    ----------
    kernel : {"auto", "ntk", "nngp", "precomputed"} or Kernel, default="auto"
        "auto" takes the one of the NTK and the NNGP whose leave-one-out error is least, and the NTK
        for an ``architecture``, frozen layers or a linear model. A kernel object is used as it is,
        on rows that are not squashed; then, as with "precomputed", the parameters of the network
        are ignored.
    depth : int, default=2
        Number of hidden layers; 0 is a linear model.
    activation : str or object of `sklearn_ntk.activations`, default="auto"
        Activation of all hidden layers; "auto" takes the one of "relu" and "gelu" whose
        leave-one-out error is least: functions with kinks, or smooth ones. With a ``kernel`` of
        "auto", too, all four pairs are tried, at about four times the time of one, or 10 to 15
        times with learned features and ``column_layers`` of "auto".
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
        Ridge that is added to the diagonal of the Gram matrix; "auto" chooses it among
        `solvers.RELATIVE_RIDGES` times the mean of weight times diagonal; with a ``training_time``,
        which regularises too, "auto" is 0.
    training_time : float, "auto" or None, default=None
        How long the ``optimizer`` trains the network on half the mean squared error, from zero on
        and with the ridge as weight decay; None trains to the end. "auto" chooses by leave-one-out
        error among the times that damp as much as the ridges above.
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
    noise : {"auto", "ridge"}, default="auto"
        Noise of the observations, for the uncertainty of `predict`. "ridge" is ``alpha_`` times the
        amplitude. "auto" adds the noise at which the leave-one-out residuals are most likely, since
        the ridge that predicts best is often smaller than the noise.
    uncertainty : {"posterior", "ensemble"}, default="posterior"
        That of the Gaussian process with this kernel, mixed with those of the kernels that are
        about as good where it was chosen, or of an "ensemble" of wide networks that start at random
        and are trained to the same targets, for the kernels of networks; it takes two Gram matrices
        from a GPU once, and computes on the CPU.
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
    kernel_ : Kernel or None
        The kernel in use; None if it is precomputed.
    kernels_, kernel_errors_ : list of Kernel, array of shape (n_kernels,)
        The kernels that were tried, and for each the mean squared error of leaving out one
        observation at its best ridge or time, in units of the variance of the targets, before
        features are learned on the two best ones that mix columns.
    X_fit_ : array of shape (n_distinct, n_features)
        Training rows as the kernel sees them, squashed, times ``features_``, and equal ones merged;
        absent if the kernel is precomputed.
    features_ : array of shape (n_features, m) or None
        Matrix that squashed rows are multiplied by; None if none is learned, or if none helps.
    feature_importances_ : array of shape (n_features,)
        Shares of the columns in the mean squared gradient of the fitted function at the training
        rows, in units of the standard deviations of the columns. They sum to one, or are zero if
        nothing depends on any column. For kernels on rows without positions that have gradients,
        see `predict_gradient`; computed at each access, with ``column_layers`` at 100 rows of all,
        or of each leaf.
    dual_coef_ : array of shape (n_distinct, n_outputs)
    intercept_ : array of shape (n_outputs,)
        Both are None for local models.
    alpha_ : float
        The ridge in use.
    alphas_, loo_errors_ : arrays
        The ridges that were tried, and the mean squared error of leaving out one observation for
        each (see the notes), in units of the variance of the targets; the errors are empty if
        ``alpha`` was given. They are estimates with "cg" and, but for the best one, with "local" of
        many leaves, and those of some rows with "nystroem".
    training_time_, training_times_ : float or None, array
        The time in use, None to the end, and those that were tried, to which ``loo_errors_`` then
        belong.
    amplitude_, noise_ : arrays of shape (n_outputs,)
        Of the uncertainty of `predict`: the Gaussian process has the covariance ``amplitude_ k(x,
        y)``, and observations the noise variance ``amplitude_ alpha_ + noise_``. Both are infinite
        for targets beyond 1e154, and zero for those below 1e-162, whose standard deviations and
        draws are right all the same.
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
    NTKClassifier : The same for classes, with one network.
    NTKRegressorCV : A choice among more networks, and a mean of several.
    NTKKernel : The kernel, for scikit-learn's Gaussian processes.

    Notes
    -----
    Features are fixed in the limit of infinite width, where all columns count alike. They are
    learned as by A. Radhakrishnan, D. Beaglehole, P. Pandit and M. Belkin ("Mechanism for feature
    learning in neural networks and backpropagation-free machine learning models", Science, 2024):
    the matrix is the root of the average outer product of the gradients of the fitted function, in
    units of the standard deviations of the columns. "auto" is "full" where ``kernel`` or
    ``activation`` is "auto", for perceptrons of at most 500 columns whose activation does not jump
    and whose first layer mixes columns, else None; "diagonal" is tried, too, where the matrix has
    more numbers than an eighth of the rows.

    Errors of leaving out rows that teach features are too small. With p numbers in their matrix, n
    rows must find them smaller by the factor ``1 + p / n``, and by 1.25, or 1.1 for "diagonal".
    Features of up to 500 distinct rows are judged by four folds besides, in each by features that
    the other rows teach: ``alpha_``, ``loo_errors_``, the uncertainty and intervals are by these
    residuals (with the solver "cholesky"; intervals not with a ``training_time``). Of more than
    1500 distinct rows, so many, drawn with a fixed seed, choose the network and its features, for
    which all rows are fitted then. From 4000 on, up to 12,000 rows teach features anew, which are
    taken if they lower the squared error of up to 2000 others by 3 percent; not with
    ``solver="nystroem"`` or a ``training_time``. The ridge, ``loo_errors_`` and the uncertainty are
    then by rows that have taught nothing (with ``uncertainty="ensemble"`` by all, of which at most
    half, and at most 5000, teach).

    Equal rows are merged. What is left out of a fit is one observation: copies of a row with the
    same targets together, but each of them where the row comes ten times or more, as categories do.

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

    __module__ = "sklearn_ntk"  # the public module, which pickles name

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
            Weights; an integer weight is the same as a repetition of the row, of one that comes
            less than ten times (more are categories, and each an observation by itself; with a
            precomputed kernel, whose equal rows cannot be told, only if ``alpha`` is given).

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight)
