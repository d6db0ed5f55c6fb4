"""What the estimators that choose among networks have in common."""

import numbers
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.gaussian_process.kernels import Kernel
from sklearn.model_selection import ParameterGrid, check_cv
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted, validate_data

from .._compat import DocumentationLink, StrOptions
from .._runtime.memory import check_memory
from .._runtime.notices import heard, notice
from .._runtime.progress import Progress
from ..activations import as_activation
from ..estimators._base import NetworkEstimator, check_solve, distinct, merge
from ..solvers._scoring import IN_CLOSED_FORM, SCORES, restore
from ..solvers._stacking import by_squares
from ..solvers._units import normalise, scaled
from ._candidates import SelectionProblem, combine, complete, evaluate, families, place_of_best

NETWORK = ("kernel", "depth", "activation", "weight_var", "bias_var", "n_frozen", "architecture")
"""Parameters that a grid may have."""

REMEDIES = {"alpha": " Ridges are alphas.", "training_time": " Times are training_times."}
"""Where to put those that it may not have."""


def _column(name, params):
    """Values of a parameter, masked where there is none; numbers if all are."""
    values = [line[name] for line in params if name in line]
    are_numbers = all(type(value) in (int, float) for value in values)
    column = np.ma.masked_all(len(params), np.array(values).dtype if are_numbers else object)
    for k, line in enumerate(params):
        if name in line:
            column[k] = line[name]
    return column


def _numbers(name, values):
    """Increasing numbers, or None for the default."""
    if values is None:
        return np.empty(0)
    if isinstance(values, str):
        return None
    try:
        found = np.unique(np.asarray(values, dtype=np.float64).ravel())
    except (TypeError, ValueError):
        found = np.empty(0)
    if not len(found) or not np.all(np.isfinite(found)) or found[0] < 0.0:
        raise ValueError(f"{name} must be finite numbers >= 0; got {values!r}.")
    return found


class NetworkCV(DocumentationLink, BaseEstimator):
    """Choice among candidate networks, and a fit of the best one or of several."""

    _parameter_constraints: ClassVar[dict] = {
        "param_grid": [dict, list, None],
        "alphas": [StrOptions({"auto"}), "array-like", None],
        "training_times": [StrOptions({"auto"}), "array-like", None],
        "scoring": [StrOptions(set(SCORES))],
        "cv": ["cv_object"],
        "combine": [StrOptions({"stack", "average"}), None],
        "squash": NetworkEstimator._parameter_constraints["squash"],
        "n_jobs": [numbers.Integral, None],
        "verbose": ["verbose"],
    }
    _stack = staticmethod(by_squares)

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
        n_jobs=None,
        verbose=0,
    ):
        self.param_grid = param_grid
        self.alphas = alphas
        self.training_times = training_times
        self.scoring = scoring
        self.cv = cv
        self.combine = combine
        self.squash = squash
        self.n_jobs = n_jobs
        self.verbose = verbose

    # --- The grid ---------------------------------------------------------------------------------

    def _candidates(self):
        """Points of the grid, and the settings that each stands for."""
        points = list(
            ParameterGrid(list(self._grid) if self.param_grid is None else self.param_grid)
        )
        if not points:
            raise ValueError(
                "param_grid has no candidates: give it values, or None for the default."
            )
        found, seen = [], set()
        for point in points:
            unknown = sorted(set(point).difference(NETWORK))
            if unknown:
                remedy = REMEDIES.get(unknown[0], "")
                raise ValueError(
                    f"param_grid has the unknown parameter {unknown[0]!r}: choose among "
                    f"{', '.join(NETWORK)}.{remedy}"
                )
            settings = self._settings(point)
            if isinstance(settings["kernel"], str) and settings["architecture"] is None:
                settings["activation"] = as_activation(settings["activation"])
                key = tuple(settings[name] for name in NETWORK[:-1])
                if settings["n_frozen"] > settings["depth"] or key in seen:
                    continue
                seen.add(key)
            found.append((point, settings))
        if not found:
            raise ValueError("All candidates of param_grid have n_frozen > depth: freeze less.")
        return found

    def _settings(self, point):
        """Valid values of all parameters of a network."""
        model = self._base(**({"kernel": "ntk", "activation": "relu"} | point))
        model._validate_params()
        for name in ("kernel", "activation"):
            if isinstance(getattr(model, name), str) and getattr(model, name) == "auto":
                raise ValueError(f"param_grid names what to choose from; got {name}='auto'.")
        if isinstance(model.kernel, str) and model.kernel == "precomputed":
            raise ValueError(
                "kernel='precomputed' is nothing to choose from: use "
                f"{self._base.__name__}(kernel='precomputed')."
            )
        settings = {name: getattr(model, name) for name in NETWORK}
        return settings if settings["kernel"] == "ntk" else settings | {"n_frozen": 0}

    def _paths(self):
        """Increasing ridges and decreasing times; None for the default, and none for None."""
        ridges, times = (
            _numbers("alphas", self.alphas),
            _numbers("training_times", self.training_times),
        )
        if self.alphas is None and self.training_times is None:
            raise ValueError("alphas and training_times must not both be None: give one of them.")
        if self.training_times is not None and self.scoring == "log_marginal_likelihood":
            raise ValueError(
                "scoring='log_marginal_likelihood' is not defined for training_times: choose "
                "another one, or leave training_times at None."
            )
        return ridges, times if times is None else times[::-1]

    # --- The choice -------------------------------------------------------------------------------

    def _choose(self, X, y, Y, weights, groups, exponent=0):
        """Score all candidates; sets the attributes of the choice.

        Targets ``Y`` are in units of a power of two with this exponent.
        """
        candidates, (ridges, times), folds = self._candidates(), self._paths(), None
        weights, unit = normalise(weights)
        ridges = None if ridges is None else scaled(ridges, -unit)
        kept = np.flatnonzero(weights)
        if self.cv is None:
            first, group = distinct(X[kept])
            X = X[kept[first]] + 0.0
            Y, weights, _ = merge(Y[kept], weights[kept], group)
            group = np.arange(len(X))
        else:
            if self.scoring in IN_CLOSED_FORM:
                raise ValueError(
                    f"scoring={self.scoring!r} is a score of all rows at once: leave cv at None."
                )
            splitter = check_cv(self.cv, y, classifier=isinstance(self, ClassifierMixin))
            places = np.full(len(X), -1)
            places[kept] = np.arange(len(kept))
            folds = [[places[part] for part in parts] for parts in splitter.split(X, y, groups)]
            folds = [tuple(part[part >= 0] for part in parts) for parts in folds]
            if not folds or not all(len(part) for parts in folds for part in parts):
                raise ValueError(
                    "cv must give folds that have training and test rows of positive weight: take "
                    "fewer folds."
                )
            X, Y, weights = X[kept] + 0.0, Y[kept], weights[kept]
            group = distinct(X)[1]
        n = len(X)
        rows = "distinct rows" if folds is None else "rows"
        check_solve(n, rows, self.training_times is not None)
        check_memory(
            8.0 * Y.size * len(candidates),
            f"Predictions of {n} rows by {len(candidates)} candidates",
            "take a smaller param_grid",
        )
        ends = {"exponent": exponent, "unit": unit, "squash": self.squash}
        problem = SelectionProblem(X, Y, weights, group, ridges, self.scoring, folds, times, **ends)
        points, settings = zip(*candidates, strict=True)
        outcomes = self._run(settings, problem)
        self._report(points, outcomes, problem)
        return settings, outcomes, problem

    def _run(self, settings, problem):
        """`Outcome` of every candidate, in their order."""
        total = len(settings)
        progress = Progress(
            total, f"Choice among {total} networks", "take a smaller param_grid", self.verbose
        )
        found = []
        parallel = Parallel(n_jobs=self.n_jobs, return_as="generator")
        tasks = (delayed(heard)(evaluate, f, problem) for f in families(settings))
        for outcomes, noticed in parallel(tasks):
            found += outcomes
            for what in noticed:
                notice(*what)
            progress.add(len({outcome.index for outcome in outcomes}))
        if problem.is_searched:
            complete(found, settings, problem)
        units = {"alpha": problem.unit, "training_time": 0}
        found = [one._replace(values=scaled(one.values, units[one.name])) for one in found]
        return sorted(found, key=lambda outcome: outcome.index)

    def _report(self, points, outcomes, problem):
        """Set ``cv_results_`` and the best candidate."""
        lines = [
            (points[outcome.index] | {outcome.name: float(value)}, outcome.scores[:, k])
            for outcome in outcomes
            for k, value in enumerate(outcome.values)
        ]
        scores = np.array([line for _, line in lines])
        mean = scores.mean(axis=1)
        params = [line for line, _ in lines]
        results = {"params": params}
        for name in dict.fromkeys(name for line in params for name in line):
            results[f"param_{name}"] = _column(name, params)
        ends = (problem.exponent, problem.n_distinct, problem.Y.shape[1])
        if self.cv is not None:
            parts = restore(self.scoring, scores, *ends)
            results |= {f"split{k}_test_score": part for k, part in enumerate(parts.T)}
            with np.errstate(invalid="ignore"):
                results["std_test_score"] = restore(self.scoring, scores.std(axis=1), *ends)
        results["mean_test_score"] = restore(self.scoring, mean, *ends)
        behind = mean[:, None] < mean - 1e-9 * np.abs(mean)  # but for rounding
        results["rank_test_score"] = 1 + behind.sum(axis=1).astype(np.int32)
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
        """Fit the best candidate, or those that are combined."""
        members = combine(outcomes, problem, self.combine, self._stack)
        self.weights_ = np.array([share for _, share in members])
        self.estimators_ = []
        for outcome, _ in members:
            value = {outcome.name: outcome.values[outcome.best]}
            model = self._member(**settings[outcome.index], **value)
            if isinstance(model.kernel, Kernel):
                model.set_params(kernel=clone(model.kernel))
            self.estimators_.append(model.fit(X, y, sample_weight))
        return members

    def _member(self, **settings):
        """Estimator with these settings."""
        return self._base(**settings, squash=self.squash)

    def _mean(self, method, X):
        """Weighted mean of what the members say of new rows."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        parts = (getattr(model, method)(X) for model in self.estimators_)
        return sum(w * part for w, part in zip(self.weights_, parts, strict=True))
