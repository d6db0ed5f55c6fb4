"""Regression with the best network of a grid, or a combination of several."""

from typing import ClassVar

import numpy as np
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._compat import StrOptions, _fit_context
from .._runtime.device import on_host
from .._runtime.notices import one_notice
from ..estimators._checks import check_finite, check_weights, read_draws, read_flags
from ..estimators._fitting import all_or_nothing, with_blas_for_rows
from ..estimators._places import (
    DeterminationScore,
    on_device_of_fit,
    read_data,
    read_new,
    where_rows_are,
)
from ..estimators._regression import NTKRegressor
from ..solvers._scoring import OF_CLASSES, SCORES
from ..solvers._units import in_common_units, standardise
from ._search import NetworkCV

BOTH = ["ntk", "nngp"]


class NTKRegressorCV(DeterminationScore, MultiOutputMixin, RegressorMixin, NetworkCV):
    """Regression with infinitely wide networks that leave-one-out errors choose.

    All candidates are scored in one fit: the kernels of several depths and numbers of frozen layers
    come out of one pass over pairs of rows, and leaving out one row has a closed form for each
    ridge. Scale the columns of ``X`` beforehand.

    Parameters
    ----------
    param_grid : dict, or list of dicts, optional
        Values to try of the parameters ``kernel``, ``depth``, ``activation``, ``weight_var``,
        ``bias_var``, ``n_frozen``, ``column_layers`` and ``architecture`` of `NTKRegressor`, as
        for `sklearn.model_selection.GridSearchCV`; the default is in the notes. What it does not
        name is ``kernel="ntk"``, ``activation="relu"``, ``column_layers=0``, and the default of
        `NTKRegressor` otherwise. Perceptrons with fewer hidden layers than ``n_frozen`` or
        ``column_layers``, and those that are the same, are left out.
    alphas : "auto", array-like or None, default="auto"
        Ridges to try; "auto" are `solvers.RELATIVE_RIDGES` times the mean of weight times diagonal
        of each Gram matrix; None tries only ``training_times``.
    training_times : "auto", array-like or None, default=None
        Times to try beside the ridges, without a ridge: see ``training_time`` of `NTKRegressor`.
    scoring : str, default="neg_mean_squared_error"
        By what to choose, the larger the better: "neg_mean_squared_error", "r2",
        "neg_gcv" (generalised cross-validation) or "log_marginal_likelihood" (restricted, of the
        Gaussian process at its best amplitude); the last two are scores of all rows, without
        ``cv``.
    cv : int, splitter or iterable, optional
        Folds in the manner of scikit-learn; by default each observation is left out. Either way
        each Gram matrix is computed once.
    combine : {"stack", "average"} or None, default="stack"
        What predicts: the best candidate (None); or several, each with its best ridge, with the
        weights for which their joint predictions of the rows left out have the smallest squared
        error (L. Breiman, "Stacked regressions", 1996), or with the weights
        ``(least error / error) ** sqrt(n_samples)`` of their squared errors. At most ten have more
        than a hundredth of the largest weight and count.
    squash : float or None, default=10.0
        Columns lose heavy tails: ``z = (x - mean) / std`` of the training rows becomes
        ``z / sqrt(1 + (z / squash)^2)``, in the units of the column; None leaves rows as they are,
        and so do networks on positions, kernel objects and precomputed kernels.
    features : {"auto", "diagonal", "full"}, array or None, default="auto"
        A matrix that squashed rows are multiplied by before a network sees them: given, of shape
        (n_features, m), or learned on the kernel, as a scale of each column, "diagonal", or as one
        that also turns the columns, "full"; see the notes, also for "auto".
    n_feature_steps : int, default=2
        How often features are learned at most, each time with the kernel on the features before.
        They are kept only if they lower the mean squared leave-one-out error; see the notes of
        `NTKRegressor`.
    n_jobs : int, optional
        Processes, as of joblib, that share the candidates; those that differ in depth, frozen
        layers or kernel only stay together. With None and no context of joblib, threads of this
        process do.
    device : {None, "cpu", "cuda"} or "cuda:" and a number, default=None
        Where the kernel is computed: on the CPU, or on a GPU by CuPy. Gram matrices of fits stay
        there. With None it is computed where the rows are. Arrays of NumPy give arrays of NumPy,
        arrays of CuPy arrays of CuPy. A kernel object has its own ``device``.
    verbose : int, default=0
        Whether to print how far the computation is and how long it will take.

    Attributes
    ----------
    cv_results_ : dict
        A column of a data frame each: ``params``, ``param_...``, ``mean_test_score``,
        ``rank_test_score``, and with ``cv`` also ``split0_test_score`` ... and ``std_test_score``.
        A line is a candidate with a ridge, of many rows only ridges near the best, or a time.
    best_index_, best_params_, best_score_ : int, dict and float
        The line with the largest score, its parameters and its score. Perceptrons have their
        ``kernel``, ``activation`` and ``column_layers`` there in any case, so that
        ``NTKRegressor(**best_params_, squash=squash, features=features_)`` is the best
        network; one that takes no learned features (see the notes) has
        ``features=None``.
    estimators_ : list of `NTKRegressor`
        What predicts, fitted to all rows.
    features_ : array of shape (n_features, m) or None
        Matrix that squashed rows are multiplied by; None if none is learned, or if none helps.
    feature_importances_ : array of shape (n_features,)
        Weighted mean of those of ``estimators_``, see `NTKRegressor`.
    weights_ : array of shape (n_estimators,)
        Their weights, in decreasing order, which sum to one.
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features_in_,)

    See Also
    --------
    NTKRegressor : One network, the best of a few, with learned features.

    Notes
    -----
    By default both kernels of rectifiers, without and with biases, of erf networks from smooth to
    rough, and of GELU and sine networks, up to three hidden layers; for 2 to 100 columns and at
    most 5000 rows also those of rectifiers and GELU whose first layers, up to five, take columns
    one by one.

    Features are learned first, as by `NTKRegressor()` of few rows, and all networks on columns but
    those with ``column_layers`` are then scored on them: scores are of features learned on all
    rows, and too good, the more so the fewer rows there are for each column. ``features="auto"`` is
    "full" for the default grid and leave-one-out, up to 500 columns, else None.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_ntk import NTKRegressorCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> search = NTKRegressorCV({"depth": [1, 2], "activation": ["relu", "erf"]})
    >>> model = make_pipeline(StandardScaler(), search).fit(X, y)
    >>> search.best_score_ > -3000.0
    np.True_
    """

    _base = NTKRegressor
    _grid = (
        {"kernel": BOTH, "depth": [1, 2, 3], "bias_var": [0.0, 0.1, 1.0]},
        {
            "kernel": BOTH,
            "depth": [1, 2, 3],
            "activation": ["erf"],
            "weight_var": [3.0, 10.0, 30.0],
        },
        {"kernel": BOTH, "depth": [1, 2], "activation": ["gelu"], "bias_var": [0.1, 1.0]},
        {"depth": [1, 2], "activation": ["sin"], "weight_var": [1.0], "bias_var": [0.1]},
    )
    _grid_of_columns = (
        {"kernel": BOTH, "depth": [1], "column_layers": [1]},
        *({"kernel": BOTH, "depth": [n + 1], "column_layers": [n]} for n in (1, 2, 3, 4, 5)),
        *(
            {"kernel": BOTH, "depth": [n + 1], "activation": ["gelu"], "column_layers": [n]}
            for n in (1, 2, 3, 4)
        ),
    )
    _parameter_constraints: ClassVar[dict] = {
        **NetworkCV._parameter_constraints,
        "scoring": [StrOptions(set(SCORES).difference(OF_CLASSES))],
    }

    @_fit_context(prefer_skip_nested_validation=True)
    @one_notice()
    @all_or_nothing
    @with_blas_for_rows
    @on_device_of_fit
    def fit(self, X, y, sample_weight=None, groups=None):
        """Score all candidates, and fit the best one or those that are combined.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), optional
            Weights, also of the errors; without ``cv`` an integer weight is the same as a
            repetition of a row that comes less than ten times, but for precomputed kernels, whose
            equal rows cannot be told.
        groups : array-like of shape (n_samples,), optional
            Groups of rows, for a splitter that takes them.

        Returns
        -------
        self
        """
        data = X, y, groups
        X, y = read_data(self, X, y, multi_output=True, y_numeric=True)
        weights = check_weights(sample_weight, X)
        Y = y.reshape(len(y), -1).astype(np.float64, copy=False)
        Y, exponents = in_common_units(*standardise(Y, weights))
        settings, outcomes, problem = self._choose(X, Y, weights, data, exponents)
        self._fit_members(X, y, sample_weight, settings, outcomes, problem)
        return self

    @one_notice()
    @where_rows_are
    def predict(self, X, return_std=False, return_cov=False, include_noise=True):
        """Predict targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        return_std, return_cov : bool
            Also return the standard deviation or the covariance of new observations: of the mixture
            of the Gaussian processes of ``estimators_``, each of which keeps a matrix, see
            `NTKRegressor.predict`.
        include_noise : bool
            Whether these are uncertain by the noise of an observation, too; without, they are those
            of the function.

        Returns
        -------
        mean : array of shape (n_samples,) or (n_samples, n_outputs)
        std or cov : array, if asked for, of the shapes that `NTKRegressor.predict` has
        """
        asked = read_flags(return_std, return_cov, include_noise)
        if not (return_std or return_cov):
            return self._mean("predict", X)
        check_is_fitted(self)
        X = read_new(self, X)
        results = [model.predict(X, *asked) for model in self.estimators_]
        results = [map(on_host, result) for result in results]
        means, spreads = (np.array(arrays) for arrays in zip(*results, strict=True))
        mean = np.tensordot(self.weights_, means, 1)
        deviations = means - mean
        if return_std:
            roots = np.sqrt(self.weights_).reshape(-1, *[1] * mean.ndim)
            return mean, np.hypot.reduce(np.concatenate([roots * spreads, roots * deviations]))
        with np.errstate(over="ignore"):
            covariances = spreads + deviations[:, :, None] * deviations[:, None]
        check_finite(covariances, mean, ", or take return_std=True")
        return mean, np.tensordot(self.weights_, covariances, 1)

    @one_notice()
    @where_rows_are
    def sample_y(self, X, n_samples=1, random_state=None, include_noise=True):
        """Draw targets of new rows, or functions, from the mixture of `predict`.

        Parameters
        ----------
        X : array-like of shape (n_samples_X, n_features)
        n_samples : int
            Number of draws, each from one of ``estimators_``, by ``weights_``.
        random_state : int, RandomState instance or None
            None draws others at each call.
        include_noise : bool
            Whether to draw new observations; without, functions.

        Returns
        -------
        array of shape (n_samples_X, n_samples) or (n_samples_X, n_outputs, n_samples)
        """
        n_samples, include_noise = read_draws(n_samples, include_noise)
        check_is_fitted(self)
        random = check_random_state(random_state)
        draws = [
            on_host(model.sample_y(X, count, random, include_noise))
            for model, count in zip(
                self.estimators_, random.multinomial(n_samples, self.weights_), strict=True
            )
            if count
        ]
        return np.concatenate(draws, axis=-1)[..., random.permutation(n_samples)]

    @one_notice()
    @where_rows_are
    def predict_gradient(self, X):
        """Gradients of the predictions with respect to the rows, see `NTKRegressor`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples, n_features) or (n_samples, n_outputs, n_features)
        """
        return self._mean("predict_gradient", X)
