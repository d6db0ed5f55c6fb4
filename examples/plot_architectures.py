"""Networks of one's own on digits: pixels as an image, as a sequence of rows, and in between.

A network is a tuple of layers, so that parts of others can be joined. Left, the errors on new
digits of some that are written here, the light ones without a picture; right, what their kernels
say of digits without a label: how alike each two of them are, sorted by class. Negative
correlations are white, as zero is.
"""

import matplotlib.pyplot as plt
import numpy as np
from picture import show
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import KernelCenterer

from sklearn_ntk import NTKClassifier, NTKKernel
from sklearn_ntk.architectures import mlp
from sklearn_ntk.layers import (
    AvgPool,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    Input,
    LayerNorm,
    PositionalEmbedding,
    Recurrent,
    Residual,
    SelfAttention,
)

N_TRAIN, N_TEST, N_SHOWN = 200, 500, 10
IMAGE = Input(8, 8, 1)
ROWS = Input(8, 8)  # eight rows, one after the other, of eight pixels each

convolution = (Conv(3), "relu")
block = Residual(("relu", Conv(3), "relu", Conv(3, weight_var=0.5)))
attention = (Residual((SelfAttention(),)), LayerNorm())
NETWORKS = {
    "perceptron": mlp(3),
    "rows, one read after the other": (ROWS, Recurrent("relu"), Dense()),
    "rows that attend to each other": (
        *(ROWS, Dense(), PositionalEmbedding(0.5), LayerNorm(), *attention),
        *("relu", Flatten(), Dense()),
    ),
    "convolutions, pooled by quarters": (
        *(IMAGE, *convolution, *convolution, AvgPool(4), Flatten(), Dense()),
    ),
    "residual convolutions, pooled": (
        *(IMAGE, Conv(3), block, block, "relu", GlobalAvgPool(), Dense()),
    ),
    "convolutions and attention, pooled": (
        *(IMAGE, *convolution, AvgPool(2), Conv(3), LayerNorm(), *attention),
        *("relu", GlobalAvgPool(), Dense()),
    ),
}
SHOWN = ("perceptron", "rows, one read after the other", *list(NETWORKS)[3:5])


def error(network, X, X_test, y, y_test):
    """Percentage of wrong digits."""
    model = NTKClassifier(architecture=network, bias_var=0.1).fit(X, y)
    return 100 * (1 - model.score(X_test, y_test))


def draw_errors(axes, split):
    """A bar for each network."""
    errors = [error(network, *split) for network in NETWORKS.values()]
    for name, percent in zip(NETWORKS, errors, strict=True):
        print(f"{name}: {percent:.1f} % wrong")
    colours = ["#0b3c8c" if name in SHOWN else "#7f9ccb" for name in NETWORKS]
    bars = axes.barh(list(NETWORKS), errors, color=colours)
    axes.bar_label(bars, fmt="%.1f", padding=3)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel="wrong digits, %", title=f"{N_TRAIN} training digits")


def draw_kernel(axes, name, X, y):
    """Correlations of the digits, about their mean, the ten classes one after the other."""
    order = np.concatenate([np.flatnonzero(y == digit)[:N_SHOWN] for digit in range(10)])
    K = NTKKernel(architecture=NETWORKS[name], bias_var=0.1)(X[order])
    K = KernelCenterer().fit_transform(K)
    scale = np.sqrt(K.diagonal())
    image = axes.imshow(K / np.outer(scale, scale), cmap="Blues", vmin=0, vmax=0.8)
    axes.set_title(name, fontsize=10)
    middles = np.arange(10) * N_SHOWN + (N_SHOWN - 1) / 2
    axes.set_xticks(middles, range(10))
    axes.set_yticks(middles, range(10))
    axes.tick_params(length=0, labelsize=8)
    return image


def draw():
    """Bars, and four kernels."""
    X, y = load_digits(return_X_y=True)
    X = (X - X.mean()) / X.std()
    split = train_test_split(X, y, train_size=N_TRAIN, test_size=N_TEST, stratify=y, random_state=0)
    figure = plt.figure(figsize=(13, 6.4), layout="constrained")
    left, right = figure.subfigures(1, 2)
    draw_errors(left.subplots(), split)
    cells = right.subplots(2, 2)
    for axes, name in zip(cells.flat, SHOWN, strict=True):
        image = draw_kernel(axes, name, split[1], split[3])
    right.colorbar(image, ax=cells, shrink=0.6, extend="both", label="correlation")
    return figure


if __name__ == "__main__":
    show(draw, __doc__)
