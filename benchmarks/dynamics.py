"""What training in time costs: many times beside one, many steps, leaving out rows, intervals.

    python benchmarks/dynamics.py [--n 2000] [--repeats 5]

Seconds of one processor (set OMP_NUM_THREADS=1), medians of repeats that take turns, and their
ratios, as a Markdown table with the bound that each is to keep. ``--n`` are the rows of training;
new rows are a quarter of these.
"""

import argparse
import time

import numpy as np
from gram import table_row

from sklearn_ntk import NTKKernel, NTKRegressor
from sklearn_ntk.dynamics import Descent, HeavyBall, Nesterov, Training, covariance
from sklearn_ntk.solvers import loo_errors

N_TIMES, N_STEPS, N_MODES, N_ROWS = 100, 1_000_000, 2000, 500


def problem(n, n_columns=8):
    """Gram matrix, kernel between new rows and these, its diagonal, and targets."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n + n // 4, n_columns))
    y = np.sin(X[:n, 0]) + X[:n, 1] * X[:n, 2] + 0.3 * rng.normal(size=n)
    kernel, new = NTKKernel(), X[n:]
    return kernel(X[:n]), kernel(new, X[:n]), kernel.diag(new), y


def medians(functions, repeats):
    """Median seconds of functions that are called in turn, after one call that is not timed."""
    seconds = np.empty((repeats, len(functions)))
    for row in [seconds[0], *seconds]:
        for place, function in enumerate(functions):
            begin = time.process_time()
            function()
            row[place] = time.process_time() - begin
    return np.median(seconds, axis=0)


def many_times(n, repeats):
    """Means and variances at one time and at many, with their eigenvectors, and these alone."""
    K, cross, new, y = problem(n)
    times = np.geomspace(0.1, 1e6, N_TIMES)
    cases = {
        "eigenvectors": lambda: Training(K),
        "means at one time": lambda: Training(K).predict(cross, y, 10.0),
        f"means at {N_TIMES}": lambda: Training(K).predict(cross, y, times),
        "variances at one time": lambda: covariance(Training(K), cross, new, 10.0),
        f"variances at {N_TIMES}": lambda: covariance(Training(K), cross, new, times),
    }
    found = medians(list(cases.values()), repeats)
    bounds = [None, None, (found[1], 2.0), None, (found[3], 2.0)]
    return zip((f"{name}, {n} rows" for name in cases), found, bounds, strict=True)


def many_steps(repeats):
    """Filters of eigenvalues at 92 numbers of steps up to a million."""
    x = np.geomspace(1e-8, 1.2, N_MODES)
    steps = np.unique(np.geomspace(1, N_STEPS, 112).round())[-92:]
    methods = Descent(), HeavyBall(0.9), Nesterov(0.9)
    found = medians([lambda method=method: method.filter(x, steps) for method in methods], repeats)
    for method, seconds in zip(methods, found, strict=True):
        name = f"{type(method).__name__}, {N_MODES} modes, up to {N_STEPS:.0e} steps"
        yield name, seconds, (1.0, 0.3)


def leaving_out(n, repeats):
    """Leave-one-out errors over ridges and times, with their eigenvectors."""
    K, _, _, y = problem(n)
    scale = K.diagonal().mean()
    ridges = scale * np.geomspace(1e-6, 10.0, 50)
    cases = lambda: Training(K), lambda: loo_errors(K, y, ridges, n / ridges)
    eigenvectors, grid = medians(cases, repeats)
    yield f"eigenvectors without the constant, {n} rows", eigenvectors, None
    yield "leave-one-out, 50 ridges at 50 times", grid, (eigenvectors, 1.5)


def intervals(repeats):
    """Ends of intervals after the fit and the first call, which factorises."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2 * N_ROWS, 8))
    y = np.sin(X[:, 0]) + 0.3 * rng.normal(size=2 * N_ROWS)
    model = NTKRegressor("ntk", activation="relu", features=None).fit(X[:N_ROWS], y[:N_ROWS])
    methods = "conformal", "jackknife+"
    cases = [lambda name=name: model.predict_interval(X[N_ROWS:], method=name) for name in methods]
    for name, seconds in zip(methods, medians(cases, repeats), strict=True):
        yield f"{name} ends, {N_ROWS} rows of {N_ROWS}", seconds, (1.0, 0.1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print(table_row(["what", "seconds", "bound, seconds", "share of the bound"]))
    print(table_row(["---", "---:", "---:", "---:"]))
    parts = (
        many_times(arguments.n, arguments.repeats),
        many_steps(arguments.repeats),
        leaving_out(arguments.n, arguments.repeats),
        intervals(arguments.repeats),
    )
    for part in parts:
        for name, seconds, bound in part:
            cells = ["", ""]
            if bound is not None:
                most = bound[0] * bound[1]
                cells = [f"{most:.3f}", f"{seconds / most:.2f}"]
            print(table_row([name, f"{seconds:.3f}", *cells]), flush=True)


if __name__ == "__main__":
    main()
