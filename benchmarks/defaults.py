"""Compare the estimators out of the box with scikit-learn's, over folders of data sets.

    python benchmarks/defaults.py DATA [--folds 2] [--train 2000] [--task classification]

``DATA`` (or the environment variable SKLEARN_NTK_DATA) holds ``uci_classification/*.npz`` with keys
X, y, fold0_train, fold0_test ..., and ``uci_regression/*.npz`` with X, y and split0_train,
split0_test ... or test_mask. Without it scikit-learn's own sets are split at random. Every model
stands behind a StandardScaler with its default parameters; large training parts are cut to
``--train`` rows at random, test parts to twice as many. Regression targets are scaled by the
training part, and the score is the root mean squared error in these units.
"""

import argparse
import os
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn import datasets
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.model_selection import ShuffleSplit
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from sklearn_ntk import NTKClassifier, NTKRegressor

MODELS = {
    "classification": {
        "NTKClassifier()": NTKClassifier(),
        "RandomForestClassifier()": RandomForestClassifier(random_state=0),
        "SVC()": SVC(),
        "MLPClassifier()": MLPClassifier(random_state=0),
    },
    "regression": {
        "NTKRegressor()": NTKRegressor(),
        "RandomForestRegressor()": RandomForestRegressor(random_state=0),
        "SVR()": SVR(),
        "GaussianProcessRegressor(RBF() + WhiteKernel())": GaussianProcessRegressor(
            RBF() + WhiteKernel(), normalize_y=True
        ),
    },
}
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


def score(model, task, train, test):
    """Accuracy or standardised error, and seconds for fit and prediction."""
    (X, y), (X_test, y_test) = train, test
    if task == "regression":
        mean, scale = y.mean(), y.std() or 1.0
        y, y_test = (y - mean) / scale, (y_test - mean) / scale
    start = time.perf_counter()
    with warnings.catch_warnings():  # of the peers' optimisers
        warnings.simplefilter("ignore", ConvergenceWarning)
        predicted = make_pipeline(StandardScaler(), model).fit(X, y).predict(X_test)
    seconds = time.perf_counter() - start
    if task == "classification":
        return np.mean(predicted == y_test), seconds
    return np.sqrt(np.mean((predicted - y_test) ** 2)), seconds


def measure(task, sets, n_train):
    """Scores and seconds of all models on all sets, mean over the splits."""
    scores, seconds, names = [], [], []
    for name, X, y, splits in sets:
        rows = []
        for split, (train, test) in enumerate(splits):
            rng = np.random.default_rng(split)
            train, test = rng.permutation(train)[:n_train], rng.permutation(test)[: 2 * n_train]
            data = (X[train], y[train].ravel()), (X[test], y[test].ravel())
            rows.append([score(model, task, *data) for model in MODELS[task].values()])
        mean = np.mean(rows, axis=0)
        scores.append(mean[:, 0])
        seconds.append(mean[:, 1])
        names.append(name)
        texts = "  ".join(f"{value:8.4f}" for value in mean[:, 0])
        print(f"{name:30s} {len(splits[0][0]):6d} rows  {texts}", flush=True)
    return names, np.array(scores), np.array(seconds)


def report(task, scores, seconds):
    """Print the table of means, ranks and paired differences."""
    sign = 1.0 if task == "classification" else -1.0
    ranks = (-sign * scores).argsort(axis=1).argsort(axis=1) + 1.0
    unit = "mean accuracy" if sign > 0 else "mean standardised RMSE"
    print(f"\n| {len(scores)} sets | {unit} | advantage of ours | mean rank | seconds a set |")
    print("|---|---|---|---|---|")
    for k, name in enumerate(MODELS[task]):
        gain = sign * (scores[:, 0] - scores[:, k])
        error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.nan
        advantage = f"{gain.mean():+.4f} +- {error:.4f}" if k else ""
        print(
            f"| `{name}` | {scores[:, k].mean():.4f} | {advantage} | {ranks[:, k].mean():.2f} "
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
    options = parser.parse_args()
    for task in options.task or MODELS:
        if options.data:
            sets = stored_sets(Path(options.data) / f"uci_{task}", options.folds)
        else:
            sets = bundled_sets(task, options.folds)
        _, scores, seconds = measure(task, sets, options.train)
        report(task, scores, seconds)


if __name__ == "__main__":
    main()
