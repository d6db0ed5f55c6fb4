"""Digits by kernels of a perceptron and of convolutional networks.

A perceptron does not know that pixels have neighbours. Convolutions do, and a mean over all
positions makes the answer almost independent of where the digit is. Left, the error on new images
against the number of training images; right, what happens to it when the new images are moved by a
pixel or two. Two empty columns on the right of each image keep all of the ink in the frame.
Takes about a minute.
"""

import matplotlib.pyplot as plt
import numpy as np
from picture import show
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_ntk import NTKClassifier, NTKKernel
from sklearn_ntk.architectures import cnn, mlp

SIZES = (20, 40, 80, 160, 320)
MOVES = (0, 1, 2)
N_TEST = 300
SHAPE = (8, 8 + MOVES[-1], 1)
NETWORKS = {
    "perceptron": (mlp(3), "#999999", ":"),
    "convolutions, flattened": (cnn(SHAPE, readout="flatten"), "#e69f00", "--"),
    "convolutions, pooled": (cnn(SHAPE, readout="pool"), "#0b3c8c", "-"),
}


def moved(X, n):
    """Images moved to the right by ``n`` pixels, which are empty at their end."""
    return np.roll(X.reshape(-1, *SHAPE), n, axis=2).reshape(len(X), -1)


def errors_of(network, X, y, X_test, y_test):
    """Percentage of wrong digits for each number of training images, and for each move."""
    kernel = NTKKernel(architecture=network, bias_var=0.1)
    K, K_test = kernel(X), kernel(X_test, X)
    by_size = []
    for n in SIZES:
        model = NTKClassifier("precomputed").fit(K[:n, :n], y[:n])
        by_size.append(100 * (1 - model.score(K_test[:, :n], y_test)))
    by_move = [by_size[-1]]
    for n in MOVES[1:]:
        by_move.append(100 * (1 - model.score(kernel(moved(X_test, n), X), y_test)))
    return by_size, by_move


def draw():
    """Both panels."""
    images, digits = load_digits(return_X_y=True)
    X = np.pad(images.reshape(-1, 8, 8) / 16, ((0, 0), (0, 0), (0, MOVES[-1])))
    X, X_test, y, y_test = train_test_split(
        X.reshape(len(X), -1), digits, train_size=SIZES[-1], test_size=N_TEST, random_state=0
    )
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for place, (name, (network, colour, style)) in enumerate(NETWORKS.items()):
        by_size, by_move = errors_of(network, X, y, X_test, y_test)
        wrong = ", ".join(f"{n}: {e:.1f} %" for n, e in zip(MOVES, by_move, strict=True))
        print(f"{name}: wrong when moved by so many pixels, {wrong}")
        left.plot(SIZES, by_size, style, marker="o", color=colour, label=name)
        right.bar(np.arange(len(MOVES)) + 0.27 * (place - 1), by_move, 0.25, color=colour)
    left.set(xscale="log", xlabel="training images", ylabel="wrong digits, %", ylim=(0, None))
    left.set_xticks(SIZES, SIZES)
    left.minorticks_off()
    left.set_title("new images in their places")
    left.legend(frameon=False)
    right.set(xlabel="shift (pixels)", ylabel="wrong digits, %")
    right.set_xticks(range(len(MOVES)), MOVES)
    right.set_title(f"new images moved, {SIZES[-1]} training images")
    return figure


if __name__ == "__main__":
    show(draw, __doc__)
