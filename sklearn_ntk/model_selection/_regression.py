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
    """Regression with infinitely wide networks, chosen by leave-one-out errors.

    All candidates are scored in one fit: one pass over pairs of rows gives the kernels of several
    depths and numbers of frozen layers, and leave-one-out errors have a closed form for each ridge.
    Scale the columns of ``X`` beforehand.

    Parameters
    ----------
    param_grid : dict, or list of dicts, optional
        Values to try for the parameters ``kernel``, ``depth``, ``activation``, ``weight_var``,
        ``bias_var``, ``n_frozen``, ``column_layers`` and ``architecture`` of `NTKRegressor`, in the
        format of `sklearn.model_selection.GridSearchCV`. The default is in the notes. Parameters
        that the grid does not name are ``kernel="ntk"``, ``activation="relu"``,
        ``column_layers=0``, and otherwise the defaults of `NTKRegressor`. Duplicates, and
        perceptrons with fewer hidden layers than ``n_frozen`` or ``column_layers``, are left out.
    alphas : "auto", array-like or None, default="auto"
        Ridges to try. "auto" takes `solvers.RELATIVE_RIDGES` times the mean of weight times
        diagonal of each Gram matrix; None tries only ``training_times``.
    training_times : "auto", array-like or None, default=None
        Training times to try besides the ridges, each without a ridge; see ``training_time`` of
        `NTKRegressor`.
    scoring : str, default="neg_mean_squared_error"
        Score by which to choose; larger is better: "neg_mean_squared_error", "r2", "neg_gcv"
        (generalised cross-validation) or "log_marginal_likelihood" (restricted, of the Gaussian
        process at its best amplitude). The last two are scores of all rows and need ``cv=None``.
    cv : int, splitter or iterable, optional
        Folds, as in scikit-learn; by default, each observation is left out in turn. Either way,
        each Gram matrix is computed once.
    combine : {"stack", "average"} or None, default="stack"
        What predicts: the best candidate (None), or a weighted mean of several, each with its best
        ridge. "stack" takes the weights for which the mean of their predictions for left-out rows
        has the smallest squared error (L. Breiman, "Stacked regressions", 1996); "average" takes
        weights of ``(least error / error) ** sqrt(n_samples)``. At most ten candidates are kept,
        those with more than a hundredth of the largest weight.
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
        see the notes of `NTKRegressor`.
    n_jobs : int, optional
        Number of processes, as in joblib, that share the candidates; candidates that differ only in
        depth, frozen layers or kernel stay together. With None, outside a context of joblib,
        threads of this process share them.
    device : {None, "cpu", "cuda"} or "cuda:" and a number, default=None
        Where the kernel is computed: on the CPU, or on a GPU by CuPy. Gram matrices of fits stay
        there. With None it is computed where the rows are. Arrays of NumPy give arrays of NumPy,
        arrays of CuPy arrays of CuPy. A kernel object has its own ``device``.
    verbose : int, default=0
        Whether to print progress and an estimate of the remaining time.

    Attributes
    ----------
    cv_results_ : dict
        A dictionary that converts to a data frame, with the columns ``params``, ``param_...``,
        ``mean_test_score``, ``rank_test_score``, and with ``cv`` also ``split0_test_score`` ... and
        ``std_test_score``. Each line is a candidate with one ridge or time; with many rows, only
        ridges near the best one are tried.
    best_index_, best_params_, best_score_ : int, dict and float
        The line with the largest score, its parameters and its score. For perceptrons, the
        parameters always include ``kernel``, ``activation`` and ``column_layers``, so that
        ``NTKRegressor(**best_params_, squash=squash, features=features_)`` is the best network; if
        it takes no learned features (see the notes), ``features`` is None.
    estimators_ : list of `NTKRegressor`
        The estimators that predict, fitted to all rows.
    features_ : array of shape (n_features, m) or None
        Matrix by which squashed rows are multiplied; None if none was learned, or if none helped.
    feature_importances_ : array of shape (n_features,)
        Weighted mean of the importances of ``estimators_``, see `NTKRegressor`.
    weights_ : array of shape (n_estimators,)
        Weights of ``estimators_``, in decreasing order; they sum to one.
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features_in_,)

    See Also
    --------
    NTKRegressor : The best one of a few networks, with learned features.

    Notes
    -----
    The default grid has both kernels of ReLU networks with and without biases, of erf networks from
    smooth to rough, and of GELU networks, and the NTK of sine networks, with up to three hidden
    layers. For 2 to 100 columns and at most 5000 rows, it also has ReLU and GELU networks whose
    first layers, up to five, take columns one by one.

    Features are learned first, as by `NTKRegressor()` with few rows. All networks on columns,
    except those with ``column_layers``, are then scored on these features. Because the features
    were learned from all rows, scores are too good, the more so the fewer rows there are for each
    column. ``features="auto"`` is "full" for the default grid without ``cv``, up to 500 columns;
    otherwise it is None.

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
            Weights of the rows, which count in fits and in errors. Without ``cv``, a weight of k
            equals k copies of a row, except for categories (see the notes of `NTKRegressor`) and
            for precomputed kernels, which do not tell which rows are equal.
        groups : array-like of shape (n_samples,), optional
            Groups of rows, for a splitter that uses them.

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
            Also return the standard deviation or the covariance of new observations, under the
            mixture of the Gaussian processes of ``estimators_``. Each of these keeps a matrix, see
            `NTKRegressor.predict`.
        include_noise : bool
            Whether uncertainties include the noise of a new observation; if not, they are those of
            the function alone.

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
        """Draw targets, or functions, at new rows from the mixture of `predict`.

        Parameters
        ----------
        X : array-like of shape (n_samples_X, n_features)
        n_samples : int
            Number of draws, each from one of ``estimators_``, chosen with the probabilities
            ``weights_``.
        random_state : int, RandomState instance or None
            None gives different draws at each call.
        include_noise : bool
            Whether to draw new observations; if not, functions are drawn.

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
