"""Accuracy of kernels of sequences on generated sets, beside models that see mere columns.

Each set is drawn from the process that its function states; all sequences of a set have one length.
"""

import argparse
import time

import numpy as np
from gram import table_row
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sklearn_ntk import NTKClassifier
from sklearn_ntk.architectures import cnn, mlp, recurrent, transformer

# --- Processes: sequences (n, time, channels) and their classes -----------------------------------


def oscillations(n, rng, time=48):
    """Noise that swings: autoregressions of order two; the class is the period.

    The four periods, 6, 8, 11 and 16 steps, vary by ten per cent, the phase is random, and noise is
    added, so that the means of all columns are zero in all classes.
    """
    y = rng.integers(4, size=n)
    angle = 2 * np.pi / (np.array([6, 8, 11, 16])[y] * rng.uniform(0.9, 1.1, n))
    noise = rng.standard_normal((n, time + 50))
    x = np.zeros((n, time + 50))
    for t in range(2, time + 50):
        x[:, t] = 1.9 * np.cos(angle) * x[:, t - 1] - 0.9025 * x[:, t - 2] + noise[:, t]
    x = x[:, 50:] / x[:, 50:].std(axis=1, keepdims=True)
    return (x + 0.3 * rng.standard_normal(x.shape))[..., None], y


def events(n, rng, time=48):
    """Two bumps in noise; the class is the sign of the first and of the second.

    When they come, and how wide they are, is random.
    """
    y = rng.integers(4, size=n)
    signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])[y]
    slots = np.array([np.sort(rng.choice(np.arange(4, time - 4, 8), 2, False)) for _ in range(n)])
    centres = slots + rng.uniform(-2, 2, (n, 2))
    widths = rng.uniform(1.0, 2.5, (n, 2))
    away = (np.arange(time) - centres[..., None]) / widths[..., None]
    bumps = 2 * signs[..., None] * np.exp(-0.5 * away**2)
    return (bumps.sum(axis=1) + 0.5 * rng.standard_normal((n, time)))[..., None], y


def letters(n, rng, time=30):
    """Words of four letters, indicators; the class is the Markov chain that wrote the word.

    Each of the three chains visits all letters equally often.
    """
    chains = np.random.default_rng(1).dirichlet(np.ones(4), size=(3, 4))
    for _ in range(200):
        for axis in (1, 2):
            chains /= chains.sum(axis=axis, keepdims=True)
    y = rng.integers(3, size=n)
    word = np.empty((n, time), dtype=int)
    word[:, 0] = rng.integers(4, size=n)
    for t in range(1, time):
        steps = chains[y, word[:, t - 1]].cumsum(axis=1)
        word[:, t] = (rng.uniform(size=(n, 1)) * steps[:, -1:] > steps).sum(axis=1)
    return np.eye(4)[word], y


def pairs(n, rng, time=12):
    """Random directions in four dimensions; in one of the two classes three of them come twice."""
    y = rng.integers(2, size=n)
    X = rng.standard_normal((n, time, 4))
    X /= np.linalg.norm(X, axis=2, keepdims=True)
    for i in np.flatnonzero(y):
        places = rng.permutation(time)[:6].reshape(2, 3)
        X[i, places[1]] = X[i, places[0]]
    return X, y


SETS = {make.__name__: make for make in (oscillations, events, letters, pairs)}
NETWORKS = {
    "NTK, perceptron": lambda shape: mlp(3),
    "NTK, convolutions": lambda shape: cnn(shape, 3, filter_size=5),
    "NTK, recurrent, last state": lambda shape: recurrent(shape),
    "NTK, recurrent, mean": lambda shape: recurrent(shape, readout="mean"),
    "NTK, attention": lambda shape: transformer(
        shape, mechanism="relu", position_var=0.1, length_scale=2.0
    ),
}
BASELINES = {
    "LogisticRegression": lambda: LogisticRegression(max_iter=1000),
    "SVC, RBF, C=10": lambda: SVC(C=10),
    "RandomForest": lambda: RandomForestClassifier(random_state=0),
}

# --- Runs -----------------------------------------------------------------------------------------


def score(name, shape, train, test):
    """Accuracy of one model; kernels of networks see standardised sequences, the others columns."""
    if name in BASELINES:
        model = make_pipeline(StandardScaler(), BASELINES[name]())
    else:
        model = NTKClassifier(architecture=NETWORKS[name](shape), bias_var=0.1)
    return model.fit(*train).score(*test)


def run(name, make, options):
    """Accuracies on draws of a set, and the mean seconds of a fit and a test."""
    scores, start = [], time.perf_counter()
    for seed in range(options.draws):
        X, y = make(options.train + options.test, np.random.default_rng(seed))
        shape, X = X.shape[1:], X.reshape(len(X), -1)
        X = (X - X[: options.train].mean()) / X[: options.train].std()
        train, test = ((X[part], y[part]) for part in np.split(np.arange(len(X)), [options.train]))
        scores.append(score(name, shape, train, test))
    return 100 * np.array(scores), (time.perf_counter() - start) / options.draws


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--train", type=int, default=300, help="training sequences")
    parser.add_argument("--test", type=int, default=500, help="test sequences")
    parser.add_argument("--draws", type=int, default=3, help="draws of each set")
    parser.add_argument("--quick", action="store_true", help="one small draw")
    options = parser.parse_args()
    if options.quick:
        options.train, options.test, options.draws = 100, 100, 1
    return options


def main():
    options = parse()
    print(f"{options.train} training and {options.test} test sequences, {options.draws} draws")
    print("Accuracy in %, +- its standard deviation over draws, and seconds of a fit and a test\n")
    print(table_row(["model", *options.sets]))
    print(table_row(["---", *["---:"] * len(options.sets)]), flush=True)
    for name in (*BASELINES, *NETWORKS):
        cells = []
        for chosen in options.sets:
            scores, seconds = run(name, SETS[chosen], options)
            cells.append(f"{scores.mean():.1f} +- {scores.std():.1f} ({seconds:.1f} s)")
        print(table_row([name, *cells]), flush=True)


if __name__ == "__main__":
    main()
