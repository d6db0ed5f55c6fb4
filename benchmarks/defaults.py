"""Compare the estimators out of the box with others, over folders of data sets.

    python benchmarks/defaults.py DATA [--folds 2] [--train 2000] [--task classification] [--search]

``DATA`` (or the environment variable SKLEARN_NTK_DATA) holds ``uci_classification/*.npz`` with keys
X, y, fold0_train, fold0_test ..., and ``uci_regression/*.npz`` with X, y and split0_train,
split0_test ... or test_mask. Without it scikit-learn's own sets are split at random. Every model
stands behind a StandardScaler with its default parameters; large training parts are cut to
``--train`` rows at random, test parts to twice as many. Regression targets are scaled by the
training part; the error is the root mean squared error in these units, and the table has its
geometric mean over the sets. CatBoost and xRFM (which gets a fifth of the rows to choose by, as it
needs) take part if they are installed, and with ``--search`` the estimators that choose among many
networks. Test rows of classes that no training row has are left out.
"""

import argparse
import os
import time
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy.stats import rankdata
from sklearn import datasets
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.metrics import log_loss
from sklearn.model_selection import ShuffleSplit, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from sklearn_ntk import NTKClassifier, NTKClassifierCV, NTKRegressor, NTKRegressorCV


class Validated(BaseEstimator):
    """xRFM, which needs rows to choose by: a fifth of the training rows, at random."""

    def __init__(self, task):
        self.task = task

    def fit(self, X, y):
        """Fit to four fifths of the rows."""
        from xrfm import xRFM

        rows, others = train_test_split(np.arange(len(y)), test_size=0.2, random_state=0)
        X, y = X.astype(np.float32), y if self.task == "classification" else y.astype(np.float32)
        metric = "accuracy" if self.task == "classification" else "mse"
        self.model_ = xRFM(device="cpu", tuning_metric=metric, random_state=0, verbose=False)
        self.model_.fit(X[rows], y[rows], X[others], y[others])
        return self

    def predict(self, X):
        """Labels or numbers."""
        return np.ravel(self.model_.predict(X.astype(np.float32)))

    def predict_proba(self, X):
        """Probabilities of the classes."""
        return self.model_.predict_proba(X.astype(np.float32))


MODELS = {
    "classification": {
        "NTKClassifier()": NTKClassifier(),
        "RandomForestClassifier()": RandomForestClassifier(random_state=0),
        "HistGradientBoostingClassifier()": HistGradientBoostingClassifier(random_state=0),
        "SVC()": SVC(),
        "MLPClassifier()": MLPClassifier(random_state=0),
    },
    "regression": {
        "NTKRegressor()": NTKRegressor(),
        "RandomForestRegressor()": RandomForestRegressor(random_state=0),
        "HistGradientBoostingRegressor()": HistGradientBoostingRegressor(random_state=0),
        "SVR()": SVR(),
        "GaussianProcessRegressor(RBF() + WhiteKernel())": GaussianProcessRegressor(
            RBF() + WhiteKernel(), normalize_y=True
        ),
    },
}
SEARCHES = {"classification": NTKClassifierCV(), "regression": NTKRegressorCV()}
BUNDLED = {
    "classification": ("load_breast_cancer", "load_digits", "load_iris", "load_wine"),
    "regression": ("load_diabetes",),
}


def bundled_sets(task, n_splits):
    """Scikit-learn's own sets, split at random."""
    for loader in BUNDLED[task]:
        X, y = getattr(datasets, loader)(return_X_y=True)
        splitter = ShuffleSplit(n_splits, test_size=0.25, random_state=0)
        yield loader.removeprefix("load_"), X, y, list(splitter.split(X))


def stored_sets(folder, n_splits):
    """Sets of a folder of npz files with their own splits."""
    for path in sorted(folder.glob("*.npz")):
        content = np.load(path)
        X, y = content["X"].astype(float), content["y"]
        if "test_mask" in content:
            masks = content["test_mask"].T.astype(bool)
            splits = [(np.flatnonzero(~mask), np.flatnonzero(mask)) for mask in masks]
        else:
            word = "fold" if "fold0_train" in content else "split"
            numbers = range(sum(name.endswith("_test") for name in content if word in name))
            splits = [(content[f"{word}{i}_train"], content[f"{word}{i}_test"]) for i in numbers]
        yield path.stem, X, y, splits[:n_splits]


def peers(task):
    """Models of packages that are installed."""
    found = {}
    if find_spec("catboost"):
        import catboost

        name = {"classification": "CatBoostClassifier", "regression": "CatBoostRegressor"}[task]
        options = {"verbose": False, "random_seed": 0, "allow_writing_files": False}
        found[f"{name}()"] = getattr(catboost, name)(**options)
    if find_spec("xrfm"):
        found["xRFM()"] = Validated(task)
    return found


def score(model, task, train, test):
    """Accuracy or standardised error, log loss, and seconds for fit and prediction."""
    (X, y), (X_test, y_test) = train, test
    if task == "regression":
        mean, scale = y.mean(), y.std() or 1.0
        y, y_test = (y - mean) / scale, (y_test - mean) / scale
    else:
        classes = np.unique(y)  # those that can be known
        X_test, y_test = X_test[np.isin(y_test, classes)], y_test[np.isin(y_test, classes)]
        y, y_test = np.searchsorted(classes, y), np.searchsorted(classes, y_test)
    model = make_pipeline(StandardScaler(), clone(model))
    start = time.perf_counter()
    with warnings.catch_warnings():  # of the peers' optimisers
        warnings.simplefilter("ignore")
        predicted = np.ravel(model.fit(X, y).predict(X_test))
    seconds = time.perf_counter() - start
    if task == "regression":
        return np.sqrt(np.mean((predicted - y_test) ** 2)), np.nan, seconds
    loss = np.nan
    if hasattr(model, "predict_proba"):
        loss = log_loss(y_test, model.predict_proba(X_test), labels=np.arange(len(classes)))
    return np.mean(predicted == y_test), loss, seconds


def measure(task, models, sets, n_train):
    """Results (n_sets, n_models, 3) of `score`, means over the splits."""
    results = []
    for name, X, y, splits in sets:
        rows = []
        for split, (train, test) in enumerate(splits):
            rng = np.random.default_rng(split)
            train, test = rng.permutation(train)[:n_train], rng.permutation(test)[: 2 * n_train]
            data = (X[train], y[train].ravel()), (X[test], y[test].ravel())
            rows.append([score(model, task, *data) for model in models.values()])
        results.append(np.mean(rows, axis=0))
        texts = "  ".join(f"{value:8.4f}" for value in results[-1][:, 0])
        print(f"{name:30s} {len(splits[0][0]):6d} rows  {texts}", flush=True)
    return np.array(results)


def report(task, models, results):
    """Print the table of means, ranks and paired differences."""
    scores, losses, seconds = np.moveaxis(results, 2, 0)
    sign = 1.0 if task == "classification" else -1.0
    ranks = rankdata(-sign * scores, axis=1)  # ties share their mean rank
    scale = scores if sign > 0 else np.log(scores)
    means = scale.mean(axis=0) if sign > 0 else np.exp(scale.mean(axis=0))
    unit = "mean accuracy" if sign > 0 else "geometric mean of standardised RMSE"
    title = "difference from" if sign > 0 else "log RMSE ratio to"
    title += f" `{next(iter(models))}`"
    print(f"\n| {len(scores)} sets | {unit} | {title} | log loss | mean rank | seconds a set |")
    print("|---|---|---|---|---|---|")
    for k, name in enumerate(models):
        change = scale[:, k] - scale[:, 0]
        error = change.std(ddof=1) / np.sqrt(len(change)) if len(change) > 1 else np.nan
        text = f"{change.mean():+.4f} +- {error:.4f}" if k else ""
        loss = "" if np.isnan(losses[:, k]).any() else f"{losses[:, k].mean():.3f}"
        print(
            f"| `{name}` | {means[k]:.4f} | {text} | {loss} | {ranks[:, k].mean():.2f} "
            f"| {seconds[:, k].mean():.2f} |"
        )
    print(flush=True)


def main():
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", default=os.environ.get("SKLEARN_NTK_DATA"))
    parser.add_argument("--task", choices=list(MODELS), action="append")
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--train", type=int, default=2000)
    parser.add_argument("--search", action="store_true")
    options = parser.parse_args()
    for task in options.task or MODELS:
        if options.data:
            sets = stored_sets(Path(options.data) / f"uci_{task}", options.folds)
        else:
            sets = bundled_sets(task, options.folds)
        models = MODELS[task] | peers(task)
        if options.search:
            models[f"{type(SEARCHES[task]).__name__}()"] = SEARCHES[task]
        report(task, models, measure(task, models, sets, options.train))


if __name__ == "__main__":
    main()
