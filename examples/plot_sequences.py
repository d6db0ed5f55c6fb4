"""Two tasks on sequences: one for a recurrent kernel, one for a kernel of attention.

Above, series of two bumps in noise; the class is the sign of the first and of the second, whenever
they come. A recurrent network sees the order of events without a fixed place for them. Below, sets
of directions; in one class four of them come twice. Attention compares all positions with each
other, which nothing else here does. Left, sequences of each class; right, errors on new sequences
against the number of those to learn from.
"""

import matplotlib.pyplot as plt
import numpy as np
from picture import show

from sklearn_ntk import NTKClassifier, NTKKernel
from sklearn_ntk.architectures import cnn, mlp, recurrent, transformer

SIZES = (20, 40, 80, 160, 320)
N_TEST = 300
NETWORKS = {
    "perceptron": (lambda shape: mlp(3), "#999999", ":"),
    "convolutions": (lambda shape: cnn(shape, 3, filter_size=5), "#e69f00", "--"),
    "recurrent": (lambda shape: recurrent(shape, readout="mean"), "#0b3c8c", "-"),
    "attention": (
        lambda shape: transformer(shape, mechanism="relu", position_var=0.1, length_scale=2.0),
        "#009e73",
        "-.",
    ),
}


def bumps(n, rng, time=44):
    """Series of shape (n, time, 1) and the classes 0 to 3: ++, +-, -+ and --."""
    y = rng.integers(4, size=n)
    signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])[y]
    slots = np.array([np.sort(rng.choice(np.arange(4, time - 4, 8), 2, False)) for _ in range(n)])
    centres = slots + rng.uniform(-2, 2, (n, 2))
    away = (np.arange(time) - centres[..., None]) / rng.uniform(1.0, 2.5, (n, 2, 1))
    series = (2 * signs[..., None] * np.exp(-0.5 * away**2)).sum(axis=1)
    return (series + 0.5 * rng.standard_normal(series.shape))[..., None], y


def directions(n, rng, time=12):
    """Unit vectors of shape (n, time, 4); in class 1 four of them come twice."""
    y = rng.integers(2, size=n)
    X = rng.standard_normal((n, time, 4))
    X /= np.linalg.norm(X, axis=2, keepdims=True)
    for i in np.flatnonzero(y):
        places = rng.permutation(time)[:8].reshape(2, 4)
        X[i, places[1]] = X[i, places[0]]
    return X, y


def draw_errors(axes, X, y):
    """Errors of all kernels against the number of training sequences."""
    rows = X.reshape(len(X), -1)
    for name, (make, colour, style) in NETWORKS.items():
        K = NTKKernel(architecture=make(X.shape[1:]), bias_var=0.1)(rows, rows[: SIZES[-1]])
        errors = []
        for n in SIZES:
            model = NTKClassifier("precomputed").fit(K[:n, :n], y[:n])
            errors.append(100 * (1 - model.score(K[SIZES[-1] :, :n], y[SIZES[-1] :])))
        print(f"{name}: {errors[-1]:.1f} % wrong")
        axes.plot(SIZES, errors, style, marker="o", color=colour, label=name)
    axes.set(xscale="log", xlabel="training sequences", ylabel="wrong classes, %", ylim=(0, None))
    axes.set_xticks(SIZES, SIZES)
    axes.minorticks_off()


def draw_bumps(axes, X, y):
    """Two series of each class, one class below the other."""
    for label, name in enumerate(("+ +", "+ \u2212", "\u2212 +", "\u2212 \u2212")):
        for i, colour in zip(np.flatnonzero(y == label), ("#0b3c8c", "#56b4e9"), strict=False):
            axes.plot(X[i, :, 0] - 6 * label, color=colour, lw=1.2)
        axes.text(-2, -6 * label, name, ha="right", va="center")
    axes.set(xlabel="time", yticks=[], title="Two series of each class")
    axes.spines[["left", "top", "right"]].set_visible(False)


def draw_directions(axes, X, y):
    """Inner products of all positions with each other, for a sequence of each class."""
    for place, label in zip(axes, (0, 1), strict=True):
        tokens = X[np.flatnonzero(y == label)[0]]
        image = place.imshow(tokens @ tokens.T, cmap="RdBu_r", vmin=-1, vmax=1)
        place.set(xticks=[], yticks=[], xlabel="position")
        place.set_title("four come twice" if label else "all differ")
    axes[0].set_ylabel("position")
    axes[0].figure.colorbar(
        image, ax=axes, location="bottom", shrink=0.6, aspect=30, label="inner product"
    )


def draw():
    """A row for each task."""
    figure = plt.figure(figsize=(10, 7), layout="constrained")
    left, right = figure.subfigures(1, 2)
    grid = left.add_gridspec(2, 2)
    above, below = right.subplots(2, 1)
    rng = np.random.default_rng(0)
    X, y = bumps(SIZES[-1] + N_TEST, rng)
    draw_bumps(left.add_subplot(grid[0, :]), X, y)
    draw_errors(above, X, y)
    above.legend(frameon=False)
    above.set_title("Bumps")
    X, y = directions(SIZES[-1] + N_TEST, rng)
    draw_directions([left.add_subplot(grid[1, i]) for i in (0, 1)], X, y)
    draw_errors(below, X, y)
    below.set(ylim=(0, 60), title="Directions")
    return figure


if __name__ == "__main__":
    show(draw, __doc__)
