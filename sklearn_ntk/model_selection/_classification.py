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
    """Classification with infinitely wide networks that leave-one-out errors choose.

    All candidates are scored in one fit: the kernels of several depths and numbers of frozen layers
    come out of one pass over pairs of rows, and leaving out one row has a closed form for each
    ridge. Classes are regressed on as by `NTKClassifier`. Scale the columns of ``X`` beforehand.

    Parameters
    ----------
    param_grid : dict, or list of dicts, optional
        Values to try of the parameters ``kernel``, ``depth``, ``activation``, ``weight_var``,
        ``bias_var``, ``n_frozen``, ``column_layers`` and ``architecture`` of `NTKClassifier`, as
        for `sklearn.model_selection.GridSearchCV`; the default is in the notes. What it does not
        name is ``kernel="ntk"``, ``activation="relu"``, ``column_layers=0``, and the default of
        `NTKClassifier` otherwise. Perceptrons with fewer hidden layers than ``n_frozen`` or
        ``column_layers``, and those that are the same, are left out.
    alphas : "auto", array-like or None, default="auto"
        Ridges to try; "auto" are `solvers.RELATIVE_RIDGES` times the mean of weight times diagonal
        of each Gram matrix; None tries only ``training_times``.
    training_times : "auto", array-like or None, default=None
        Times to try beside the ridges, without a ridge: see ``training_time`` of `NTKClassifier`.
    scoring : str, default="neg_mean_squared_error"
        By what to choose, the larger the better: "neg_mean_squared_error", "accuracy",
        "neg_log_loss", "neg_gcv" (generalised cross-validation) or "log_marginal_likelihood"
        (restricted, of the Gaussian process at its best amplitude); the last two are scores of all
        rows, without ``cv``.
    cv : int, splitter or iterable, optional
        Folds in the manner of scikit-learn; by default each observation is left out. Either way
        each Gram matrix is computed once.
    combine : {"stack", "average"} or None, default="stack"
        What predicts: the best candidate (None); or several, each with its best ridge, with the
        weights for which their joint scores of the rows left out have the smallest log loss, or
        with the weights ``(least error / error) ** sqrt(n_samples)`` of their squared errors. At
        most ten have more than a hundredth of the largest weight and count.
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
    class_weight : dict or "balanced", optional
        Weights of the classes, by which the weights of their rows are multiplied. They count in
        fits and in scores. "balanced" gives all classes the same sum of weights over all rows; the
        accuracy is then the balanced accuracy.
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
        ``NTKClassifier(**best_params_, squash=squash, features=features_)`` is the best
        network, with the same ``class_weight``; one that takes no learned features (see the notes)
        has ``features=None``.
    estimators_ : list of `NTKClassifier`
        What predicts, fitted to all rows.
    features_ : array of shape (n_features, m) or None
        Matrix that squashed rows are multiplied by; None if none is learned, or if none helps.
    feature_importances_ : array of shape (n_features,)
        Weighted mean of those of ``estimators_``, see `NTKClassifier`.
    weights_ : array of shape (n_estimators,)
        Their weights, in decreasing order, which sum to one.
    classes_ : array of shape (n_classes,)
    temperature_ : float
        Scores are divided by it before the softmax: it gives the joint scores of the rows left out
        the smallest log loss.
    class_map_ : array of shape (n_classes, n_classes) or None
        Scores of a stack of more than two classes are multiplied by it, see the notes.
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features_in_,)

    See Also
    --------
    NTKClassifier : One network, of which the ridge and the first layer are chosen.

    Notes
    -----
    By default the NTK of rectifiers, without and with biases, the first layer frozen or not, and
    of erf networks, up to four hidden layers; for 2 to 100 columns and at most 5000 rows also those
    of rectifiers whose first layer takes columns one by one. Squared errors choose better than
    accuracies, which many candidates share. Regression on indicators hides classes that lie between
    others: a stack finds them by logistic regression on the scores of rows left out, if that helps
    in five folds.

    Features are learned first, as by `NTKClassifier`, and all networks on columns but those with
    ``column_layers`` are then scored on them: scores are of features learned on all rows.
    ``features="auto"`` learns none.

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
