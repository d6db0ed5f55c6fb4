"""Time of a choice among networks, next to scikit-learn's grid search over the same candidates.

    python benchmarks/search.py [--n 1000] [--d 20] [--classes 5]

Both get the depths, frozen layers, variances of biases and ridges of one grid; the ridges are those
that `NTKClassifierCV` tries by default for a perceptron of depth 2. The grid search fits each
candidate on five folds. "accuracy" is that of the chosen network, fitted again, on new rows.
"""

import argparse
import time

import numpy as np
from gram import table_row
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.preprocessing import scale

from sklearn_ntk import NTKClassifier, NTKClassifierCV, NTKKernel
from sklearn_ntk.solvers import RELATIVE_RIDGES

GRID = {"depth": [1, 2, 3, 4], "n_frozen": [0, 1], "bias_var": [0.0, 1.0]}


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--d", type=int, default=20)
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="150 rows, one seed")
    options = parser.parse_args()
    if options.quick:
        options.n, options.seeds = 150, 1
    return options


def data(options, seed):
    """Training and test rows."""
    X, y = make_classification(
        options.n + 2000,
        options.d,
        n_informative=options.d // 2,
        n_classes=options.classes,
        n_clusters_per_class=2,
        random_state=seed,
    )
    return train_test_split(scale(X), y, train_size=options.n, random_state=seed)


def searches(X):
    """The two ways to choose, and ours without the closed form."""
    alphas = RELATIVE_RIDGES * NTKKernel().diag(X).mean()
    return {
        "NTKClassifierCV": NTKClassifierCV(GRID, alphas=alphas, combine=None),
        "NTKClassifierCV(cv=5)": NTKClassifierCV(GRID, alphas=alphas, combine=None, cv=5),
        "GridSearchCV(NTKClassifier())": GridSearchCV(
            NTKClassifier(), GRID | {"alpha": alphas}, cv=5
        ),
    }


def run(options, seed):
    """Seconds and accuracy of each search."""
    X, X_test, y, y_test = data(options, seed)
    found = {}
    for name, search in searches(X).items():
        start = time.perf_counter()
        search.fit(X, y)
        found[name] = (time.perf_counter() - start, search.score(X_test, y_test))
    return found


def main():
    options = parse()
    for search in list(searches(np.eye(2)).values())[:2]:  # compiles or loads
        search.fit(*data(argparse.Namespace(n=60, d=options.d, classes=2), 0)[::2])
    runs = [run(options, seed) for seed in range(options.seeds)]
    n_candidates = np.prod([len(values) for values in GRID.values()])
    print(f"\n{options.n} rows, {options.d} columns, {options.classes} classes")
    print(f"{n_candidates} networks and {len(RELATIVE_RIDGES)} ridges")
    print(f"Medians of {options.seeds} sets\n")
    print(table_row(["search", "seconds", "times ours", "accuracy, %"]))
    print(table_row(["---", "---:", "---:", "---:"]))
    for name in runs[0]:
        seconds = np.median([found[name][0] for found in runs])
        ratio = np.median([found[name][0] / found["NTKClassifierCV"][0] for found in runs])
        accuracy = 100 * np.mean([found[name][1] for found in runs])
        print(table_row([name, f"{seconds:.2f}", f"{ratio:.1f}", f"{accuracy:.2f}"]))


if __name__ == "__main__":
    main()
