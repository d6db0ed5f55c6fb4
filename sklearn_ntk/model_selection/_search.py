"""Base class of the estimators that choose among networks: grid, scores, report, members."""

import numbers
from typing import ClassVar

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator, clone
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from .._compat import DocumentationLink, StrOptions
from .._runtime.device import device_name, is_on_device, on_host
from .._runtime.memory import check_memory
from .._runtime.notices import heard, notice, one_notice
from .._runtime.progress import Progress
from ..engines._tasks import Tasks
from ..estimators._base import NetworkEstimator, is_on_columns, takes_learned
from ..estimators._checks import is_auto
from ..estimators._choice import best_by_squares, kernels_of, modes_of
from ..estimators._columns import Columns
from ..estimators._equal_rows import distinct, merge
from ..estimators._features import distinct_behind, given_features
from ..estimators._fitting import at_the_same_time
from ..estimators._memory import OF_CUPY, check_solve, memory_of_solve
from ..estimators._places import moved, read_new, take, where_rows_are
from ..solvers._repeats import error_of
from ..solvers._scoring import outputs_that_vary, restore
from ..solvers._stacking import by_squares
from ..solvers._units import normalise, scaled
from ._candidates import (
    SelectionProblem,
    combine,
    complete,
    device_of,
    evaluate,
    is_on_cpu,
    place_of_best,
)
from ._folds import folds_of
from ._grid import COLUMNS, candidates_of, column, paths_of
from ._passes import PASS_BYTES, families


class NetworkCV(DocumentationLink, BaseEstimator):
    """Choice among candidate networks, and a fit of the best one or of a combination of several.

    Subclasses have ``_base``, the estimator of one network, ``_grid``, the default grid,
    ``_grid_of_columns``, what it also has for few rows and columns, ``_stack``, the function that
    weighs candidates for ``combine="stack"``, and the constraint of ``scoring``.
    """

    _parameter_constraints: ClassVar[dict] = {
        "param_grid": [dict, list, None],
        "alphas": [StrOptions({"auto"}), "array-like", None],
        "training_times": [StrOptions({"auto"}), "array-like", None],
        "cv": ["cv_object"],
        "combine": [StrOptions({"stack", "average"}), None],
        **{name: NetworkEstimator._parameter_constraints[name] for name in COLUMNS},
        "n_jobs": [numbers.Integral, None],
        "device": NetworkEstimator._parameter_constraints["device"],
        "verbose": ["verbose"],
    }
    _grid_of_columns = ()
    _stack = staticmethod(by_squares)
    _learns = True
    """Whether features are learned by default."""

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
        n_jobs=None,
        device=None,
        verbose=0,
    ):
        self.param_grid = param_grid
        self.alphas = alphas
        self.training_times = training_times
        self.scoring = scoring
        self.cv = cv
        self.combine = combine
        self.squash = squash
        self.features = features
        self.n_feature_steps = n_feature_steps
        self.n_jobs = n_jobs
        self.device = device
        self.verbose = verbose

    def __getattr__(self, name):
        """Raise AttributeError, with a way out for the methods that only one network has."""
        try:
            return super().__getattribute__(name)
        except AttributeError as error:
            is_known = name.startswith("_") or hasattr(type(self), name)
            if is_known or not callable(getattr(self._base, name, None)):
                raise
            one = self._base.__name__
            raise AttributeError(
                f"{error}, a method of one network: fit {one}(), or the best one of a fitted "
                f"search, {one}(**search.best_params_, squash=search.squash, "
                f"features=search.features_)."
            ) from None

    # --- The choice -------------------------------------------------------------------------------

    def _choose(self, X, Y, weights, data, exponents):
        """Score all candidates and set ``cv_results_`` and the ``best_...`` attributes.

        Targets ``Y`` (n, k) are divided by ``2**exponents``, and ``data`` are X, y and groups as
        ``fit`` was given them, for a splitter. Returns the settings of the candidates, their
        `Outcome`, and the `SelectionProblem`.
        """
        weights, unit = normalise(weights)
        kept = np.flatnonzero(weights)
        rows, own_weights = take(X, kept) + 0.0, weights[kept]
        ridges, times = paths_of(self)
        ridges = None if ridges is None else scaled(ridges, -unit)
        given = given_features(self.features, X.shape[1])
        d = X.shape[1] if given is None else given.shape[1]
        candidates = candidates_of(self, len(distinct(rows)[0]), d)
        learns = {self._asked(takes_learned, settings) for _, settings in candidates}
        kinds = {self._asked(is_on_columns, settings) for _, settings in candidates}
        columns = None if self.squash is None else Columns.fit(rows, own_weights, self.squash)
        first, group = _distinct(rows, columns, given, kinds)
        folds, repeats = folds_of(self, len(X), kept, *data), None
        if folds is None:
            Y, weights, _, repeats = merge(Y[kept], own_weights, group)
            X = take(rows, first)
            group = np.arange(len(X))
        else:
            X, Y, weights = rows, Y[kept], own_weights
        n, what = len(X), "distinct rows" if folds is None else "rows"
        is_spectral, is_cupy = self.training_times is not None, is_on_device(X)
        for device in {device_name(X) or device_of(settings) for _, settings in candidates}:
            check_solve(n, what, is_spectral, device, OF_CUPY if is_cupy else None)
        check_memory(
            8.0 * (Y.size if repeats is None else repeats.n * Y.shape[1]) * len(candidates),
            f"Predictions of {n} rows by {len(candidates)} candidates",
            "take a smaller param_grid",
        )
        learned = self._learn(learns, X, columns, Y, weights, group, repeats)
        self.features_ = given if learned is None else learned
        ends = {"exponents": exponents, "unit": unit, "columns": columns, "repeats": repeats}
        ends |= {"features": self.features_, "features_of_all": given is not None}
        problem = SelectionProblem(X, Y, weights, group, ridges, self.scoring, folds, times, **ends)
        points, settings = zip(*candidates, strict=True)
        outcomes = self._run(settings, problem)
        self._report(points, outcomes, problem)
        return settings, outcomes, problem

    def _learn(self, learns, X, columns, Y, weights, group, repeats):
        """Features (d, d) for all candidates on columns, learned on the distinct rows, or None.

        ``repeats`` are those of rows that were merged before, else None.
        """
        is_default = self._learns and self.param_grid is None and self.cv is None
        if True not in learns or (is_auto(self.features) and not is_default):
            return None
        first = np.unique(group, return_index=True)[1]
        Y, weights, _, own = merge(Y, weights, group)
        error, X = error_of(own if repeats is None else repeats), take(X, first)
        X = X if columns is None else columns.apply(X)
        model = self._base(device=self.device, **{name: getattr(self, name) for name in COLUMNS})
        kernels = kernels_of(model)
        modes = modes_of(model, kernels[0], X.shape[1])
        if not modes:
            return None
        options = modes, self.n_feature_steps, False
        return best_by_squares(kernels, X, Y, weights, error, *options)[0].features

    def _run(self, settings, problem):
        """`Outcome` of every candidate, in their order."""
        total = len(settings)
        progress = Progress(
            total, f"Choice among {total} networks", "take a smaller param_grid", self.verbose
        )
        outcomes, n, place = [], len(problem.X), device_name(problem.X)
        tasks = [(evaluate, family, problem, place) for family in families(settings)]
        is_free = self.n_jobs is None and effective_n_jobs(None) == 1  # nor a context of joblib
        if is_free and place is None and all(map(is_on_cpu, settings)):
            needs = Tasks(len(tasks), n, PASS_BYTES + memory_of_solve(n, False))
            found = at_the_same_time(heard, tasks, needs)
        else:
            parallel = Parallel(n_jobs=self.n_jobs, return_as="generator")
            found = parallel(delayed(heard)(*task) for task in tasks)
        for family_outcomes, notices in found:
            outcomes += family_outcomes
            for size, text in notices:
                notice(size, text)
            progress.add(len({outcome.index for outcome in family_outcomes}))
        if problem.is_searched:
            complete(outcomes, settings, problem)
        units = {"alpha": problem.unit, "training_time": 0}
        outcomes = [one._replace(values=scaled(one.values, units[one.name])) for one in outcomes]
        return sorted(outcomes, key=lambda outcome: outcome.index)

    def _report(self, points, outcomes, problem):
        """Set ``cv_results_``, one entry for each candidate and ridge or time, and ``best_...``."""
        params = [
            points[outcome.index] | {outcome.name: float(value)}
            for outcome in outcomes
            for value in outcome.values
        ]
        scores = np.concatenate([outcome.scores.T for outcome in outcomes])
        mean = scores.mean(axis=1)
        results = {"params": params}
        for name in dict.fromkeys(name for point in params for name in point):
            results[f"param_{name}"] = column(name, params)
        varies = outputs_that_vary(problem.Y, problem.weights)
        units = (problem.exponents, problem.n_distinct, varies)
        if self.cv is not None:
            by_fold = restore(self.scoring, scores, *units).T
            results |= {f"split{k}_test_score": fold for k, fold in enumerate(by_fold)}
            with np.errstate(invalid="ignore"):
                results["std_test_score"] = restore(self.scoring, scores.std(axis=1), *units)
        results["mean_test_score"] = restore(self.scoring, mean, *units)
        is_worse = mean[:, None] < mean - 1e-9 * np.abs(mean)  # beyond rounding
        results["rank_test_score"] = 1 + is_worse.sum(axis=1).astype(np.int32)
        self.cv_results_ = results
        place = place_of_best(outcomes)
        best = outcomes[place]
        if not np.isfinite(best.score):
            raise ValueError(
                "No candidate has a finite score: scale the targets, or, if the Gram matrices are "
                "not positive definite in all folds, increase alphas."
            )
        starts = np.cumsum([0, *(len(outcome.values) for outcome in outcomes)])
        self.best_index_ = int(starts[place] + best.best)
        self.best_score_ = results["mean_test_score"][self.best_index_]
        self.best_params_ = params[self.best_index_]

    def _fit_members(self, X, y, sample_weight, settings, outcomes, problem):
        """Fit the best candidate, or those that are combined, on all rows.

        Sets ``estimators_`` and ``weights_``, and returns pairs (`Outcome`, weight).
        """
        members = combine(outcomes, problem, self.combine, self._stack)
        self.weights_ = np.array([share for _, share in members])
        self.estimators_ = []
        for outcome, _ in members:
            value = {outcome.name: outcome.values[outcome.best]}
            model = self._member(**settings[outcome.index], **value)
            self.estimators_.append(model.fit(X, moved(y, X), sample_weight))
        return members

    @one_notice()
    @where_rows_are
    def influence(self, X):
        """How much each training row moves each prediction, see `NTKRegressor.influence`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows at which predictions are made.

        Returns
        -------
        array of shape (n_samples, n_train) or (n_samples, n_train, n_outputs)
            Entry (i, j) is the prediction at row i (of `predict` for regression, of
            `decision_function` for classification), minus the prediction of the model without
            training row j.

        Notes
        -----
        Exact if everything that the fit chose stays: the networks of ``estimators_``, their ridges
        or times, the features, the means and standard deviations that ``squash`` uses, the weights
        of classes, ``weights_``, and the ``class_map_`` of a stack.
        """
        return self._mean("influence", X)

    def _asked(self, question, settings):
        """`is_on_columns` or the like of the estimator and the kernel of a candidate."""
        model = self._base(**settings)
        return question(model, model._make_kernel())

    def _member(self, kernel, **settings):
        """Estimator of one network with these parameters, on rows as its candidate saw them.

        Matrices that are given are for all networks, learned ones for some.
        """
        settings |= {"kernel": clone(kernel, safe=False), "squash": self.squash}
        is_given = not isinstance(self.features, str)
        takes = is_given or self._asked(takes_learned, settings)
        settings["features"] = self.features_ if takes else None
        return self._base(**settings, solver="cholesky")

    @property
    def feature_importances_(self):
        """Weighted mean of those of ``estimators_``, see the attributes."""
        check_is_fitted(self)
        members = zip(self.weights_, self.estimators_, strict=True)
        return sum(weight * model.feature_importances_ for weight, model in members)

    def _mean(self, method, X):
        """Weighted mean over ``estimators_`` of the results of a method for new rows."""
        check_is_fitted(self)
        X = read_new(self, X)
        results = (on_host(getattr(model, method)(X)) for model in self.estimators_)
        return sum(w * result for w, result in zip(self.weights_, results, strict=True))


def _distinct(X, columns, features, kinds):
    """`distinct` rows of those that differ for any candidate, squashed or not, by their ``kinds``.

    Of kernels on squashed columns and on others, True and False.
    """
    seen = [columns.apply(X) if kind and columns is not None else X for kind in kinds]
    groups = [distinct_behind(features, rows)[1] for rows in seen]
    return distinct(np.column_stack(groups))
