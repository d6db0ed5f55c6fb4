"""Wider networks move their weights less, and train as their linear models do.

Three networks of different widths are drawn in the NTK parametrisation and learn to tell two
handwritten digits by gradient descent with all rows, beside their linear models (dashed) and the
infinitely wide network (dotted), which start at the same outputs. Left, losses; in the middle, by
how much weights, kernel and Jacobian have changed, with a thin line at the change of the Jacobian
that the linear model foresees, which at width 10 is too small; right, how far predictions for new
images are from both models. Takes up to 40 seconds.
"""

import matplotlib.pyplot as plt
import numpy as np
from picture import show
from sklearn.datasets import load_digits
from sklearn.preprocessing import normalize

from sklearn_ntk import NTKKernel
from sklearn_ntk.architectures import mlp
from sklearn_ntk.finite import LazyTrainingReport, sample_network
from sklearn_ntk.plotting import LazyTrainingDisplay

WIDTHS = (10, 100, 1000)
N_TRAIN, N_NEW = 64, 128


def images():
    """Training rows, targets and new rows: threes and eights; the mean square of pixels is one."""
    X, y = load_digits(return_X_y=True)
    chosen = np.flatnonzero((y == 3) | (y == 8))[: N_TRAIN + N_NEW]
    X = 8.0 * normalize(X[chosen] - X[chosen].mean(axis=0))
    targets = np.where(y[chosen] == 3, 1.0, -1.0)
    return X[:N_TRAIN], targets[:N_TRAIN], X[N_TRAIN:]


def draw(steps):
    """Three panels with a colour for each width."""
    X, y, X_new = images()
    kernel = NTKKernel(depth=2, bias_var=0.1)
    figure, axes = plt.subplots(
        1, 3, figsize=(17, 4.8), width_ratios=[1, 1.35, 1], layout="constrained"
    )
    for number, width in enumerate(WIDTHS):
        network = sample_network(mlp(2), width, n_inputs=64, random_state=2)
        report = LazyTrainingReport(network, kernel, n_steps=steps, n_checkpoints=12)
        report.fit(X, y, X_new)
        print(f"width {width}: {report.verdict_}")
        for cell, quantity in zip(axes, ("loss", "change", "distance"), strict=True):
            options = {"ax": cell, "name": f"width {width}", "color": f"C{number}"}
            LazyTrainingDisplay.from_report(report, quantity, **options)
    layout = {"ncols": len(WIDTHS), "columnspacing": 1.0, "handlelength": 1.5}
    for cell, options in zip(axes, ({}, layout, {}), strict=True):
        cell.legend(fontsize="x-small", loc="lower left", **options)
    axes[1].set_ylim(bottom=5e-5)  # below the lines
    axes[2].set_ylim(bottom=5e-5)
    return figure


if __name__ == "__main__":
    show(draw, __doc__, steps=200)
