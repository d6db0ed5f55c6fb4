"""Solvers of many rows beside each other, and beside what one would take instead.

    python benchmarks/large_n.py [DATA] [--sets kin40k letter] [--rows 5000] [--models cg local]
    python benchmarks/large_n.py --stream 1000000

``DATA`` (or the environment variable SKLEARN_NTK_DATA) holds ``uci_regression/evans_*.npz`` with
keys X, y and test_mask (n, n_splits), and ``uci_classification/*.npz`` with X, y, fold0_train,
fold0_test. Without it, rows are made: a sum of waves with noise. The first split is taken, of which
``--rows`` training rows are drawn at random. Columns are scaled on the training rows, targets of
regression, too, and the error is the root mean squared error in these units.

Each model is fitted in a process of its own: seconds of processors and of the clock for fit and
predictions, the growth of the peak memory of the process, and how many of 1000 test targets are in
intervals for 90 percent by the standard deviation. "auto" models choose their network,
features and ridge; the others have the NTK of two ReLU layers, and "fixed" a ridge of 0.001 times
the mean diagonal, too. LightGBM and xRFM take part if they are installed; xRFM chooses by a fifth
of the rows. ``--check`` prints by how much predictions differ from those of a factorisation.

``--stream`` learns from so many rows, which are in a file, in parts, and prints seconds and memory.
"""

import argparse
import os
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from defaults import Validated
from gram import table_row
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_ntk import NNGPKernel, NTKClassifier, NTKKernel, NTKRandomFeatures, NTKRegressor

SETS = ("kin40k", "protein", "pol", "letter", "magic")
TREES = {"max_leaf_nodes": 63, "learning_rate": 0.1}
GAMMAS = (0.3, 1.0, 3.0)
HEAD = (
    "set|rows|model|error|fit, CPU s|fit, s|predict, s|GB|in 90 % intervals|std, s|solver"
).split("|")


# --- Data -----------------------------------------------------------------------------------------


def stored(folder, name, n_rows):
    """Scaled rows and targets for training and testing, and whether these are classes."""
    path = Path(folder) / "uci_regression" / f"evans_{name}.npz"
    is_regression = path.exists()
    if not is_regression:
        path = Path(folder) / "uci_classification" / f"{name}.npz"
    with np.load(path) as data:
        X, y = data["X"].astype(float), data["y"]
        if is_regression:
            test = data["test_mask"][:, 0]
            train, test = np.flatnonzero(~test), np.flatnonzero(test)
        else:
            train, test = data["fold0_train"], data["fold0_test"]
    return scaled(X, y, train, test, n_rows, is_regression)


def made(n_rows, d=8, n_test=4000):
    """Waves of some directions, with noise, in the form of `stored`."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows + n_test, d))
    y = np.sin(0.5 * X @ rng.normal(size=(d, 5))).sum(axis=1) + 0.3 * rng.normal(size=len(X))
    return scaled(X, y, np.arange(n_rows), np.arange(n_rows, len(X)), n_rows, True)


def scaled(X, y, train, test, n_rows, is_regression):
    train = np.random.default_rng(0).permutation(train)[:n_rows]
    mean, std = X[train].mean(axis=0), X[train].std(axis=0)
    X = (X - mean) / np.where(std > 0.0, std, 1.0)
    if is_regression:
        y = (y - y[train].mean()) / y[train].std()
    return X[train], y[train], X[test], y[test], not is_regression


# --- Models ---------------------------------------------------------------------------------------


def ours(is_class, solver, X, is_open=False, **parameters):
    """An estimator of ours, with the NTK of two ReLU layers unless it is open."""
    fixed = {} if is_open else {"kernel": "ntk", "activation": "relu", "features": None}
    cls = NTKClassifier if is_class else NTKRegressor
    return cls(solver=solver, **fixed, **parameters)


def fixed_ridge(X):
    return 1e-3 * NTKKernel().diag(X).mean()


def linear(is_class):
    return (RidgeClassifierCV if is_class else RidgeCV)(np.logspace(-6, 1, 8))


def of_features(is_class, features):
    """A linear model of features of the network."""
    return make_pipeline(features.set_params(random_state=0), linear(is_class))


def peer_nystroem(is_class, X):
    """scikit-learn's functions of 1000 rows, of the best of three widths, and a linear model."""
    model = make_pipeline(Nystroem("rbf", n_components=1000, random_state=0), linear(is_class))
    return GridSearchCV(model, {"nystroem__gamma": np.array(GAMMAS) / X.shape[1]}, cv=3)


def kernel_ridge(is_class, X):
    grid = {"gamma": np.array(GAMMAS) / X.shape[1], "alpha": [1e-3, 1e-2, 1e-1]}
    return GridSearchCV(KernelRidge(kernel="rbf"), grid, cv=3)


def boosting(is_class, X):
    cls = HistGradientBoostingClassifier if is_class else HistGradientBoostingRegressor
    return cls(max_iter=100 if is_class else 1000, early_stopping=False, random_state=0, **TREES)


def light(is_class, X):
    import lightgbm

    cls = lightgbm.LGBMClassifier if is_class else lightgbm.LGBMRegressor
    return cls(n_estimators=1000, num_leaves=63, learning_rate=0.1, random_state=0, verbosity=-1)


MODELS = {
    "cholesky fixed": lambda c, X: ours(c, "cholesky", X, alpha=fixed_ridge(X)),
    "cg fixed": lambda c, X: ours(c, "cg", X, alpha=fixed_ridge(X)),
    "cg fixed 1e-6": lambda c, X: ours(c, "cg", X, alpha=fixed_ridge(X), tol=1e-6),
    "cholesky": lambda c, X: ours(c, "cholesky", X),
    "cg": lambda c, X: ours(c, "cg", X),
    "local": lambda c, X: ours(c, "local", X),
    "nystroem 1000": lambda c, X: ours(c, "nystroem", X, n_components=min(1000, len(X))),
    "nystroem 2000": lambda c, X: ours(c, "nystroem", X, n_components=min(2000, len(X))),
    "1000 random features, NNGP": lambda c, X: of_features(c, NTKRandomFeatures()),
    "1000 random features, NTK": lambda c, X: of_features(c, NTKRandomFeatures(kernel="ntk")),
    "300 centres, NNGP": lambda c, X: of_features(c, Nystroem(NNGPKernel(), n_components=300)),
    "300 centres, NTK": lambda c, X: of_features(c, Nystroem(NTKKernel(), n_components=300)),
    "cg auto": lambda c, X: ours(c, "cg", X, True),
    "local auto": lambda c, X: ours(c, "local", X, True),
    "HistGradientBoosting": boosting,
    "LightGBM": light,
    "xRFM": lambda c, X: Validated("classification" if c else "regression"),
    "Nystroem + ridge (scikit-learn)": peer_nystroem,
    "KernelRidge (scikit-learn)": kernel_ridge,
}
EXTRAS = {"LightGBM": "lightgbm", "xRFM": "xrfm"}
EXACT = ("cholesky", "KernelRidge")


def wanted(options, n, is_class):
    """Names of the models that take part."""
    for name in MODELS:
        is_named = not options.models or name in options.models
        is_there = name not in EXTRAS or find_spec(EXTRAS[name])
        is_small = not name.startswith(EXACT) or n <= options.most_exact
        if is_named and is_there and is_small and not (is_class and "KernelRidge" in name):
            yield name


# --- Measurements ---------------------------------------------------------------------------------


def peak():
    """Peak memory of this process in bytes."""
    unit = 1 if os.uname().sysname == "Darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(name, data):
    """Fit a model, and predict: scores, seconds, memory, and what the solver says of itself."""
    X, y, X_test, y_test, is_class = data
    small = slice(0, 300)
    model = MODELS[name](is_class, X)
    if hasattr(model, "solver"):  # loads the compiled loops
        kernels = {"kernel": model.kernel, "activation": model.activation}
        type(model)(**kernels, features=model.features).fit(X[small], y[small]).predict(X[small])
    before, start, clock = peak(), time.process_time(), time.perf_counter()
    model.fit(X, y)
    fit, fit_clock = time.process_time() - start, time.perf_counter() - clock
    memory, clock = peak() - before, time.perf_counter()
    values = model.predict(X_test)
    seconds = time.perf_counter() - clock
    some = slice(0, 1000)
    share, clock = np.nan, time.perf_counter()
    if hasattr(model, "predict_interval"):
        low, high = model.predict_interval(X_test[some], 0.9, "gaussian").T
        share = np.mean((low <= y_test[some]) & (y_test[some] <= high))
    more = share, time.perf_counter() - clock
    error = np.mean(values != y_test) if is_class else np.sqrt(np.mean((values - y_test) ** 2))
    return error, fit, fit_clock, seconds, memory / 1e9, *more, told(model, X), values


def told(model, X):
    """What a solver of ours says: ridge in units of the mean diagonal, iterations, leaves."""
    if not hasattr(model, "solver_"):
        return ""
    text = f"{model.solver_}, alpha {model.alpha_ / NTKKernel().diag(X).mean():.2g}"
    if model.residual_ is not None:
        text += f", {model.n_iter_} iterations, residual {model.residual_:.1g}"
    if model.leaves_ is not None:
        text += f", {len(model.leaves_)} leaves"
    return text


def apart(function, *arguments):
    """Result of a function in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def stream(n_rows, n_components, d=20, part=20_000):
    """Seconds and memory of learning from rows in a file, in parts."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        rows = np.lib.format.open_memmap(f"{folder}/rows.npy", "w+", shape=(n_rows, d + 1))
        for start in range(0, n_rows, part):
            X = rng.normal(size=(min(part, n_rows - start), d))
            rows[start : start + part, :d] = X
            rows[start : start + part, d] = np.sin(2.0 * X[:, :3]).sum(axis=1)
        model = NTKRegressor("ntk", activation="relu", n_components=n_components)
        for start in range(0, n_rows, part):
            if start == part:  # the first part has set up everything
                before, first, clock = peak(), time.process_time(), time.perf_counter()
            X = np.array(rows[start : start + part])
            model.partial_fit(X[:, :d], X[:, d])
        found = time.process_time() - first, time.perf_counter() - clock, (peak() - before) / 1e6
    print(f"{n_rows} rows, {n_components} centres: {found[0]:.1f} CPU s, {found[1]:.1f} s, "
          f"{found[2]:.0f} MB more at the end than after the first part", flush=True)  # fmt: skip


def compare(name, data, options):
    """Print a row for each model, and with ``--check`` differences to exact predictions."""
    exact = {}
    for model in wanted(options, len(data[0]), data[-1]):
        *numbers, text, values = apart(measure, model, data)
        cells = [f"{numbers[0]:.4f}", *(f"{number:.3g}" for number in numbers[1:])]
        if options.check and not data[-1]:
            kind = "fixed" if "fixed" in model else "free"
            if model.startswith("cholesky"):
                exact[kind] = values
            elif kind in exact and model.startswith("cg"):
                text += f", largest difference {np.abs(values - exact[kind]).max():.1g}"
        print(table_row([name, len(data[0]), model, *cells, text]), flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = os.environ.get("SKLEARN_NTK_DATA")
    parser.add_argument("data", nargs="?", default=folder, help="folder; or SKLEARN_NTK_DATA")
    parser.add_argument("--sets", nargs="+", default=SETS, help="their names")
    parser.add_argument("--models", nargs="+", choices=MODELS, help="all if not given")
    parser.add_argument("--rows", type=int, default=5000, help="training rows at most")
    parser.add_argument("--most-exact", type=int, default=10_000, help="rows of factorisations")
    parser.add_argument("--check", action="store_true", help="differences to exact predictions")
    parser.add_argument("--stream", type=int, help="rows to learn from in parts")
    parser.add_argument("--centres", type=int, nargs="+", default=[1000], help="of the stream")
    parser.add_argument("--quick", action="store_true", help="600 rows that are made")
    return parser.parse_args()


def main():
    options = parse()
    for n_components in options.centres if options.stream else ():
        apart(stream, options.stream, n_components)
    if options.stream:
        return
    if options.quick:
        options.data, options.rows = None, 600
    print(table_row(HEAD), table_row(["---"] * len(HEAD)), sep="\n", flush=True)
    for name in options.sets if options.data else ["made"]:
        data = stored(options.data, name, options.rows) if options.data else made(options.rows)
        compare(name, data, options)


if __name__ == "__main__":
    main()
