"""Classification with the best network of a grid, or a combination of several."""

from typing import ClassVar

import numpy as np
from sklearn.utils.multiclass import check_classification_targets

from .._compat import StrOptions, _fit_context
from .._runtime.device import on_host
from .._runtime.notices import one_notice
from ..estimators._checks import check_weights
from ..estimators._classes import ScoreClassifier, read_classes
from ..estimators._classification import NTKClassifier
from ..estimators._fitting import all_or_nothing, with_blas_for_rows
from ..estimators._places import on_device_of_fit, read_data, take, where_rows_are
from ..solvers._scoring import OF_NUMBERS, SCORES, fit_temperature
from ..solvers._stacking import by_log_loss, mix_classes
from ._candidates import outside
from ._search import NetworkCV


class NTKClassifierCV(ScoreClassifier, NetworkCV):
    """Classification with infinitely wide networks, chosen by leave-one-out errors.

    All candidates are scored in one fit: one pass over pairs of rows gives the kernels of several
    depths and numbers of frozen layers, and leave-one-out errors have a closed form for each ridge.
    As in `NTKClassifier`, this is regression on class indicators. Scale the columns of ``X``
    beforehand.

    Parameters
    ----------
    param_grid : dict, or list of dicts, optional
        Values to try for the parameters ``kernel``, ``depth``, ``activation``, ``weight_var``,
        ``bias_var``, ``n_frozen``, ``column_layers`` and ``architecture`` of `NTKClassifier`, in
        the format of `sklearn.model_selection.GridSearchCV`. The default is in the notes.
        Parameters that the grid does not name are ``kernel="ntk"``, ``activation="relu"``,
        ``column_layers=0``, and otherwise the defaults of `NTKClassifier`. Duplicates, and
        perceptrons with fewer hidden layers than ``n_frozen`` or ``column_layers``, are left out.
    alphas : "auto", array-like or None, default="auto"
        Ridges to try. "auto" takes `solvers.RELATIVE_RIDGES` times the mean of weight times
        diagonal of each Gram matrix; None tries only ``training_times``.
    training_times : "auto", array-like or None, default=None
        Training times to try besides the ridges, each without a ridge; see ``training_time`` of
        `NTKClassifier`.
    scoring : str, default="neg_mean_squared_error"
        Score by which to choose; larger is better: "neg_mean_squared_error", "accuracy",
        "neg_log_loss", "neg_gcv" (generalised cross-validation) or "log_marginal_likelihood"
        (restricted, of the Gaussian process at its best amplitude). The last two are scores of all
        rows and need ``cv=None``.
    cv : int, splitter or iterable, optional
        Folds, as in scikit-learn; by default, each observation is left out in turn. Either way,
        each Gram matrix is computed once.
    combine : {"stack", "average"} or None, default="stack"
        What predicts: the best candidate (None), or a weighted mean of several, each with its best
        ridge. "stack" takes the weights for which the mean of their scores for left-out rows has
        the smallest log loss; "average" takes weights of ``(least error / error) **
        sqrt(n_samples)``, of squared errors. At most ten candidates are kept, those with more than
        a hundredth of the largest weight.
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
    class_weight : dict or "balanced", optional
        Weights of the classes, by which the weights of their rows are multiplied. They count in
        fits and in scores. "balanced" gives all classes the same sum of weights over all rows; the
        accuracy is then the balanced accuracy.
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
        ``NTKClassifier(**best_params_, squash=squash, features=features_)`` is the best network,
        with the same ``class_weight``; if it takes no learned features (see the notes),
        ``features`` is None.
    estimators_ : list of `NTKClassifier`
        The estimators that predict, fitted to all rows.
    features_ : array of shape (n_features, m) or None
        Matrix by which squashed rows are multiplied; None if none was learned, or if none helped.
    feature_importances_ : array of shape (n_features,)
        Weighted mean of the importances of ``estimators_``, see `NTKClassifier`.
    weights_ : array of shape (n_estimators,)
        Weights of ``estimators_``, in decreasing order; they sum to one.
    classes_ : array of shape (n_classes,)
    temperature_ : float
        Number by which scores are divided before the softmax; it minimises the log loss of the
        combined scores of left-out rows.
    class_map_ : array of shape (n_classes, n_classes) or None
        Matrix by which the scores of a stack of more than two classes are multiplied, see the
        notes.
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features_in_,)

    See Also
    --------
    NTKClassifier : One network; only its ridge, first layer and features are chosen.

    Notes
    -----
    The default grid has the NTK of ReLU networks, with and without biases and with the first layer
    frozen or not, and of erf networks, with up to four hidden layers. For 2 to 100 columns and at
    most 5000 rows, it also has ReLU networks whose first layer takes columns one by one. Squared
    errors choose better than accuracies, in which many candidates tie. Regression on indicators
    hides classes that lie between others; a stack recovers them by logistic regression on the
    scores of left-out rows, if that helps in five folds.

    If ``features`` asks for it, features are learned first, as by `NTKClassifier`; "auto" learns
    none. All networks on columns, except those with ``column_layers``, are then scored on these
    features, which were learned from all rows.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_ntk import NTKClassifierCV
    >>> X, y = load_wine(return_X_y=True)
    >>> search = NTKClassifierCV({"depth": [1, 2, 3], "n_frozen": [0, 1]})
    >>> model = make_pipeline(StandardScaler(), search).fit(X, y)
    >>> round(search.weights_.sum(), 3)
    np.float64(1.0)
    """

    _base = NTKClassifier
    _grid = (
        {"depth": [1, 2, 4], "bias_var": [0.0, 1.0], "n_frozen": [0, 1]},
        {"depth": [1, 2, 4], "activation": ["erf"], "weight_var": [0.5, 2.0, 8.0]},
    )
    _grid_of_columns = ({"depth": [1, 2], "column_layers": [1]},)
    _parameter_constraints: ClassVar[dict] = {
        **NetworkCV._parameter_constraints,
        "scoring": [StrOptions(set(SCORES).difference(OF_NUMBERS))],
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }
    _stack = staticmethod(by_log_loss)
    _learns = False

    def __init__(
        self,
        param_grid=None,
        *,
        alphas="auto",
        training_times=None,
        scoring="neg_mean_squared_error",
        cv=None,
        combine="stack",
        squash=10.0,
        features="auto",
        n_feature_steps=2,
        class_weight=None,
        n_jobs=None,
        device=None,
        verbose=0,
    ):
        super().__init__(
            param_grid,
            alphas=alphas,
            training_times=training_times,
            scoring=scoring,
            cv=cv,
            combine=combine,
            squash=squash,
            features=features,
            n_feature_steps=n_feature_steps,
            n_jobs=n_jobs,
            device=device,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def _member(self, **settings):
        return super()._member(**settings, class_weight=self.class_weight)

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
        y : array-like of shape (n_samples,)
            Labels, numbers or strings.
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
        X, y = read_data(self, X, y)
        check_classification_targets(y)
        weights = check_weights(sample_weight, X)
        name = type(self).__name__
        classes, known, Y, weights = read_classes(y, weights, self.class_weight, name)
        self._set_classes(classes, known)
        exponents = np.zeros(Y.shape[1], dtype=int)
        settings, outcomes, problem = self._choose(X, Y, weights, data, exponents)
        members = self._fit_members(X, y, sample_weight, settings, outcomes, problem)
        scores = sum(weight * outcome.predictions for outcome, weight in members)
        rows, (scores,), Y, weights = outside(scores[None], problem)
        self.temperature_ = fit_temperature(scores, Y, weights)
        self.class_map_ = None
        if self.combine == "stack" and len(known) > 2:
            X = on_host(take(problem.X, rows))
            class_map = mix_classes(scores, Y, weights, self.temperature_, X)
            self.class_map_ = self._of_all(self._of_all(class_map), axis=0)
        return self

    @one_notice()
    @where_rows_are
    def decision_function(self, X):
        """Scores of the classes, the largest of which wins.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples,) or (n_samples, n_classes)
            For two classes one score, positive for the second class.
        """
        scores = self._mean("decision_function", X)
        return scores if self.class_map_ is None else scores @ self.class_map_

    @one_notice()
    @where_rows_are
    def predict_gradient(self, X):
        """Gradients of the scores with respect to the rows, see `NTKClassifier`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples, n_features) or (n_samples, n_classes, n_features)
        """
        gradient = self._mean("predict_gradient", X)
        return gradient if self.class_map_ is None else self.class_map_.T @ gradient

    @one_notice()
    @where_rows_are
    def influence(self, X):
        effects = self._mean("influence", X)
        return effects if self.class_map_ is None else effects @ self.class_map_

    influence.__doc__ = NetworkCV.influence.__doc__
