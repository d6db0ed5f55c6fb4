"""Accuracy of convolutional kernels on images, beside that of a perceptron and published figures.

Without a folder of data the program uses the digits that scikit-learn ships; with one also
``fashion_mnist.npz`` (``X_train``, ``y_train``, ``X_test``, ``y_test``) and
``cifar10_lossless_first4000.npz`` (``X``, ``y``). README.md says how to read the tables.
"""

import argparse
import os
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from gram import table_row
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_ntk import NTKClassifier, NTKKernel
from sklearn_ntk.architectures import cnn, mlp, myrtle
from sklearn_ntk.layers import Dense, Flatten

COLUMNS = (
    "network",
    "pixels",
    "train",
    "test",
    "accuracy, %",
    "without ridge, %",
    "Gram, s",
    "solve, s",
    "published, %",
)


class Images(NamedTuple):
    """Images (n, height, width, channels) and their classes."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


class Network(NamedTuple):
    """A function of the shape, and by how much images are made smaller for it."""

    make: object
    shrink: int = 1


def flattened_myrtle(shape):
    """Myrtle network whose last layer weighs each position on its own."""
    return (*myrtle(shape)[:-2], Flatten(), Dense())


NETWORKS = {
    "MLP, depth 3": Network(lambda shape: mlp(3)),
    "CNN, 2 convolutions, flattened": Network(lambda shape: cnn(shape, 2, "flatten")),
    "CNN, 3 convolutions, flattened": Network(lambda shape: cnn(shape, 3, "flatten")),
    "Myrtle-5, flattened": Network(flattened_myrtle),
    "CNN, 3 convolutions, pooled": Network(lambda shape: cnn(shape, 3, "pool"), 2),
    "Myrtle-5": Network(myrtle, 2),
}
PUBLISHED = {  # S. Arora et al., NeurIPS 2019, table 1: 2,000 training images, no ridge, no biases
    ("cifar", "CNN, 2 convolutions, flattened", 2000): "40.94",
    ("cifar", "CNN, 3 convolutions, flattened", 2000): "42.54",
}

# --- Data -----------------------------------------------------------------------------------------


def digits(folder):
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=0)
    return Images(X.reshape(-1, 8, 8, 1), y, X_test.reshape(-1, 8, 8, 1), y_test)


def fashion(folder):
    with np.load(Path(folder, "fashion_mnist.npz")) as data:
        X, X_test = data["X_train"][..., None], data["X_test"][..., None]
        return Images(X, data["y_train"], X_test, data["y_test"])


def cifar(folder):
    with np.load(Path(folder, "cifar10_lossless_first4000.npz")) as data:
        X, y = data["X"], data["y"].ravel()
    return Images(X[:2000], y[:2000], X[2000:], y[2000:])


SETS = {"digits": digits, "fashion": fashion, "cifar": cifar}


def prepare(images, n_train, n_test):
    """The first images of both parts, standardised by the mean and deviation of each channel."""
    X, X_test = (
        part[:n].astype(float) for part, n in ((images.X, n_train), (images.X_test, n_test))
    )
    mean, std = X.mean(axis=(0, 1, 2)), X.std(axis=(0, 1, 2))
    scaled = ((part - mean) / std for part in (X, X_test))
    return Images(next(scaled), images.y[:n_train], next(scaled), images.y_test[:n_test])


def shrunk(X, factor):
    """Means over squares of pixels."""
    n, height, width, channels = X.shape
    shape = (n, height // factor, factor, width // factor, factor, channels)
    return X.reshape(shape).mean(axis=(2, 4))


# --- Runs -----------------------------------------------------------------------------------------


def run(images, network, options):
    """Accuracies with and without a ridge, and seconds of the Gram matrix and of the solve."""
    X, X_test = (shrunk(part, network.shrink) for part in (images.X, images.X_test))
    shape = X.shape[1:]
    rows, rows_test = (part.reshape(len(part), -1) for part in (X, X_test))
    kernel = NTKKernel(
        architecture=network.make(shape), bias_var=options.bias_var, dtype=options.dtype
    )
    kernel(rows[:8])  # compiles or loads
    start = time.perf_counter()
    K = kernel(rows).astype(float)
    computed = time.perf_counter()
    model = NTKClassifier("precomputed").fit(K, images.y)
    solved = time.perf_counter()
    K_test = kernel(rows_test, rows).astype(float)
    plain = "" if options.dtype == "float32" else percent(solve(K, K_test, images))
    return [
        f"{shape[0]} x {shape[1]}",
        len(X),
        len(X_test),
        percent(model.score(K_test, images.y_test)),
        plain,
        f"{computed - start:.1f}",
        f"{solved - computed:.2f}",
    ]


def solve(K, K_test, images):
    """Accuracy of kernel regression on centred indicators without a ridge, as published."""
    classes = np.unique(images.y)
    targets = (images.y[:, None] == classes) - 1.0 / len(classes)
    scores = K_test @ np.linalg.solve(K, targets)
    return np.mean(classes[scores.argmax(axis=1)] == images.y_test)


def percent(share):
    return f"{100 * share:.2f}"


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = os.environ.get("SKLEARN_NTK_DATA")
    parser.add_argument("data", nargs="?", default=folder, help="folder; or SKLEARN_NTK_DATA")
    parser.add_argument("--sets", nargs="+", choices=SETS)
    parser.add_argument("--networks", nargs="+", default=["all"], help="parts of their names")
    parser.add_argument("--train", type=int, default=2000, help="training images at most")
    parser.add_argument("--test", type=int, default=2000, help="test images at most")
    parser.add_argument("--bias-var", type=float, default=0.1)
    parser.add_argument("--dtype", default="float64", choices=["float64", "float32"])
    parser.add_argument("--quick", action="store_true", help="300 images of digits")
    options = parser.parse_args()
    options.sets = options.sets or (list(SETS) if options.data else ["digits"])
    if options.quick:
        options.sets, options.train, options.test = ["digits"], 300, 300
    return options


def wanted(name, options):
    return options.networks == ["all"] or any(part in name for part in options.networks)


def main():
    options = parse()
    for name in options.sets:
        images = prepare(SETS[name](options.data), options.train, options.test)
        print(f"\n{name}, {options.dtype}\n\n{table_row(COLUMNS)}")
        print(table_row(["---", *["---:"] * (len(COLUMNS) - 1)]), flush=True)
        for title, network in NETWORKS.items():
            if wanted(title, options):
                network = network._replace(shrink=1) if name == "digits" else network
                published = PUBLISHED.get((name, title, len(images.X)), "")
                print(table_row([title, *run(images, network, options), published]), flush=True)


if __name__ == "__main__":
    main()
