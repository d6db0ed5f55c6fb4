"""Coverage and length of prediction intervals on real sets.

    python benchmarks/intervals.py [DATA] [--n 200] [--splits 6] [--coverage 0.9] [--fixed]

``DATA`` (or the environment variable SKLEARN_NTK_DATA) holds ``uci_regression/*.npz`` with keys X
and y; without it scikit-learn's diabetes data are split. Each split draws n training rows and at
most a thousand others. Lengths are medians over the rows of a split, divided by those of the normal
intervals; columns of a set are means over splits.
"""

import argparse
import os
from pathlib import Path

import numpy as np
from gram import table_row
from sklearn.datasets import load_diabetes
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ntk import NTKRegressor

METHODS = ("conformal", "jackknife+", "gaussian")
MOST_TEST_ROWS = 1000


def read_sets(folder):
    """Yield name, X and y of each set; the first file of a name counts."""
    if folder is None:
        yield "diabetes", *load_diabetes(return_X_y=True)
        return
    seen = set()
    for file in sorted((Path(folder) / "uci_regression").glob("*.npz")):
        name = file.stem.partition("_")[2]
        if name not in seen and not (name == "wine-quality-red" and "wine" in seen):
            seen.add(name)
            with np.load(file) as stored:
                yield name, stored["X"], stored["y"]


def measure(X, y, n, seed, coverage, features):
    """Coverage and median length (2, n_methods) of a split."""
    rows = np.random.default_rng(seed).permutation(len(y))
    train, test = rows[:n], rows[n : n + MOST_TEST_ROWS]
    model = make_pipeline(StandardScaler(), NTKRegressor(features=features))
    model.fit(X[train], y[train])
    new, targets, found = model[:-1].transform(X[test]), y[test], []
    for method in METHODS:
        low, high = model[-1].predict_interval(new, coverage, method).T
        found.append((np.mean((low <= targets) & (targets <= high)), np.median(high - low)))
    return np.transpose(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="?", default=os.environ.get("SKLEARN_NTK_DATA"))
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--splits", type=int, default=6)
    parser.add_argument("--coverage", type=float, default=0.9)
    parser.add_argument("--fixed", action="store_true", help="learn no features")
    arguments = parser.parse_args()
    heads = [f"coverage, {name}" for name in METHODS] + [f"length, {name}" for name in METHODS[:2]]
    print(table_row(["set", *heads]))
    print(table_row(["---", *["---:"] * len(heads)]))
    rows = []
    for name, X, y in read_sets(arguments.data):
        options = arguments.coverage, None if arguments.fixed else "auto"
        splits = [measure(X, y, arguments.n, k, *options) for k in range(arguments.splits)]
        hits, lengths = np.swapaxes(splits, 0, 1)
        ratios = lengths[:, :-1] / lengths[:, -1:]
        rows.append(np.append(hits.mean(axis=0), ratios.mean(axis=0)))
        print(table_row([name, *(f"{value:.3f}" for value in rows[-1])]), flush=True)
    for name, function in (("mean", np.mean), ("least", np.min), ("median", np.median)):
        values = function(rows, axis=0)
        print(table_row([f"**{name}**", *(f"{value:.3f}" for value in values)]))


if __name__ == "__main__":
    main()
