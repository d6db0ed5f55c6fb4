"""Solvers of many rows beside each other, and beside what one would take instead.

    python benchmarks/large_n.py [DATA] [--sets kin40k letter] [--rows 5000] [--models cg local]
    python benchmarks/large_n.py --stream 1000000

``DATA`` (or the environment variable SKLEARN_NTK_DATA) holds ``uci_regression/evans_*.npz`` with
keys X, y and test_mask (n, n_splits), and ``uci_classification/*.npz`` with X, y, fold0_train,
fold0_test. Without it, rows are made: a sum of waves with noise. The first split is taken, of which
at most ``--rows`` training rows are drawn at random. Columns are scaled on the training rows,
targets of regression, too, and the root mean squared error is in these units; of classes it is the
accuracy.

Each model is fitted in a process of its own, and printed when it is done, with seconds of the clock
and of processors, the growth of the peak memory of the process, and, of regressions that have
intervals, how many of 1000 test targets are in those for 90 percent by ``--interval``, which need a
factor and are left out for conjugate gradients beyond ``--most-factor`` rows. A model that
takes more than ``--seconds`` or ``--memory`` gigabytes is ended, which its row says. By default the
models are ``COMPARED`` of ``large_n_models.py``: "auto" is the estimator as it is, and "local auto"
and the like choose their network, features and ridge, too, while the others have the NTK of two
ReLU layers, and "fixed" a ridge of 0.001 times the mean diagonal, too. LightGBM and xRFM take part
if they are installed; xRFM chooses by a fifth of the rows. ``--check`` compares our solvers, by
default, and prints by how much predictions differ from those of a factorisation.

``--stream`` learns from so many rows, which are in a file, in parts of ``--part`` rows, and prints
seconds and memory.
"""

import argparse
import os
import resource
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from gram import table_row
from large_n_models import MODELS, wanted

from sklearn_ntk import NTKRegressor

SETS = ("kin40k", "protein", "pol", "letter", "magic")
HEAD = (
    "set|rows|model|RMSE or accuracy|fit, s|predict, s|% in intervals|intervals, s|CPU s|GB|notes"
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


# --- Measurements ---------------------------------------------------------------------------------


def peak():
    """Peak memory of this process in bytes."""
    unit = 1 if os.uname().sysname == "Darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(name, data, interval, most_rows):
    """Fit a model, and predict: cells of the table, and predictions.

    Of more than ``most_rows`` rows, models of conjugate gradients give no intervals.
    """
    X, y, X_test, y_test, is_class = data
    small = slice(0, 300)
    model = MODELS[name](is_class, X)
    if hasattr(model, "solver"):  # loads the compiled loops
        kernels = {"kernel": model.kernel, "activation": model.activation}
        type(model)(**kernels, features=model.features).fit(X[small], y[small]).predict(X[small])
    before, processors, clock = peak(), time.process_time(), time.perf_counter()
    model.fit(X, y)
    fit, clock = time.perf_counter() - clock, time.perf_counter()
    values = model.predict(X_test)
    predict, clock = time.perf_counter() - clock, time.perf_counter()
    processors, memory = time.process_time() - processors, (peak() - before) / 1e9
    share, intervals, some = "", "", slice(0, 1000)
    is_dear = getattr(model, "solver_", None) == "cg" and len(X) > most_rows
    if hasattr(model, "predict_interval") and not is_dear:
        low, high = model.predict_interval(X_test[some], 0.9, interval).T
        share = f"{100.0 * np.mean((low <= y_test[some]) & (y_test[some] <= high)):.1f}"
        intervals = f"{time.perf_counter() - clock:.1f}"
    score = np.mean(values == y_test) if is_class else np.sqrt(np.mean((values - y_test) ** 2))
    seconds = f"{fit:.1f}", f"{predict:.1f}", share, intervals, f"{processors:.1f}"
    return [f"{score:.4f}", *seconds, f"{memory:.2f}", told(model)], values


def told(model):
    """What an estimator of ours says: ridge in units of the mean diagonal, iterations, leaves."""
    if not hasattr(model, "solver_"):
        return ""
    ridge = model.alpha_ / model.kernel_.diag(model.X_fit_).mean()
    text = f"{model.solver_}, {type(model.kernel_).__name__} of {model.kernel_.activation}"
    text += f", alpha {ridge:.2g}, {'no' if model.features_ is None else 'learned'} features"
    if model.residual_ is not None:
        text += f", {model.n_iter_} iterations, residual {model.residual_:.1g}"
    if model.leaves_ is not None:
        text += f", {len(model.leaves_)} leaves"
    return text


def apart(options, function, *arguments):
    """Result of a function in a process of its own, or a text that says why there is none."""
    context = get_context("spawn")
    result, send = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(send, options.memory, function, arguments))
    process.start()
    send.close()
    try:
        if result.poll(options.seconds):
            return result.recv()
        return f"ended after {options.seconds:.0f} seconds"
    except EOFError:
        return "ended by the system"
    finally:
        process.kill()
        process.join()


def _answer(send, memory, function, arguments):
    """Send the result of a function that may take so many gigabytes, or the text of its error."""
    if memory:
        resource.setrlimit(resource.RLIMIT_DATA, 2 * (int(1e9 * memory),))
    try:
        found = function(*arguments)
    except Exception as error:
        found = f"{type(error).__name__}: {error}".splitlines()[0]
    send.send(found)


def stream(n_rows, n_components, part, d=20):
    """Seconds and memory of learning from rows in a file, in parts."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        rows = np.lib.format.open_memmap(f"{folder}/rows.npy", "w+", shape=(n_rows, d + 1))
        for start in range(0, n_rows, part):
            X = rng.normal(size=(min(part, n_rows - start), d))
            rows[start : start + part, :d] = X
            rows[start : start + part, d] = np.sin(2.0 * X[:, :3]).sum(axis=1)
        model = NTKRegressor("ntk", activation="relu", n_components=n_components)
        first, clock = time.process_time(), time.perf_counter()
        for start in range(0, n_rows, part):
            if start <= part:  # the first part sets up everything, if there are others
                before = peak()
            X = np.array(rows[start : start + part])
            model.partial_fit(X[:, :d], X[:, d])
        found = time.process_time() - first, time.perf_counter() - clock, (peak() - before) / 1e6
    return (
        f"{n_rows} rows in parts of {part}, {n_components} centres: {found[0]:.1f} CPU s, "
        f"{found[1]:.1f} s, {found[2]:.0f} MB more at the end than after the first part"
    )


def compare(name, data, options):
    """Print a row for each model, and with ``--check`` differences to exact predictions."""
    exact = {}
    for model in wanted(options, len(data[0]), data[-1]):
        found = apart(options, measure, model, data, options.interval, options.most_factor)
        if isinstance(found, str):
            cells = [*[""] * (len(HEAD) - 4), found]
        else:
            cells, values = found
            kind = "fixed" if "fixed" in model else "free"
            if model.startswith("cholesky"):
                exact[kind] = values
            elif kind in exact and model.startswith("cg") and not data[-1]:
                cells[-1] += f", largest difference {np.abs(values - exact[kind]).max():.1g}"
        print(table_row([name, len(data[0]), model, *cells]), flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = os.environ.get("SKLEARN_NTK_DATA")
    parser.add_argument("data", nargs="?", default=folder, help="folder; or SKLEARN_NTK_DATA")
    parser.add_argument("--sets", nargs="+", default=SETS, help="their names")
    parser.add_argument("--models", nargs="+", choices=MODELS, help="COMPARED if not given")
    parser.add_argument("--rows", type=int, help="training rows at most, by default all")
    parser.add_argument("--interval", default="gaussian", help="method of predict_interval")
    parser.add_argument("--seconds", type=float, default=900.0, help="of a model, at most")
    parser.add_argument("--memory", type=float, help="gigabytes of a model, at most")
    parser.add_argument("--most-exact", type=int, default=10_000, help="rows of factorisations")
    parser.add_argument("--most-factor", type=int, default=20_000, help="rows of intervals by cg")
    parser.add_argument("--check", action="store_true", help="differences to exact predictions")
    parser.add_argument("--stream", type=int, help="rows to learn from in parts")
    parser.add_argument("--centres", type=int, nargs="+", default=[1000], help="of the stream")
    parser.add_argument("--part", type=int, default=100_000, help="rows of a part of the stream")
    parser.add_argument("--quick", action="store_true", help="600 rows that are made")
    return parser.parse_args()


def main():
    options = parse()
    if options.stream:
        for n_components in options.centres:
            print(apart(options, stream, options.stream, n_components, options.part), flush=True)
        return
    if options.quick:
        options.data, options.rows = None, 600
    print(table_row(HEAD), table_row(["---"] * len(HEAD)), sep="\n", flush=True)
    for name in options.sets if options.data else ["made"]:
        data = (
            stored(options.data, name, options.rows) if options.data else made(options.rows or 5000)
        )
        compare(name, data, options)


if __name__ == "__main__":
    main()
