"""A learning rate that is stable for narrow networks and not for wide ones.

Networks of torch in their own initialisation and parametrisation learn a function of two numbers,
with ``SGD(lr=0.01)`` and ``MSELoss``. One expects the kernel to change the less the wider the
network is. Up to width 200 it does, by 0.146, 0.042 and 0.003; at width 1000 it changes by 0.139,
nearly as much as at width 10: the largest eigenvalue of the kernel has grown with the width, and
the rate is beyond what it allows. The linear model diverges, and the network escapes to where its
kernel is smaller. Titles have the rate in units of the largest stable one, and changes, as means of
five networks; curves are those of the first. Needs torch.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from picture import show

from sklearn_ntk.finite import LazyTrainingReport
from sklearn_ntk.plotting import LazyTrainingDisplay

WIDTHS = (10, 50, 200, 1000)
RATE = 2.0 * 0.01  # in the units of the report: MSELoss lacks the half
COLUMNS = {"kernel_change": "change of kernel", "weight_change": "of weights"}


def two_layers(width, seed):
    """Two linear modules with a rectifier between them."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, 1))


def draw(steps):
    """Losses of a network of each width beside those of its linear model."""
    X = np.random.default_rng(42).normal(size=(50, 2))
    y = np.sin(X[:, 0]) + 0.5 * X[:, 1]
    figure, axes = plt.subplots(2, 2, figsize=(11, 7.5), layout="constrained", sharex=True)
    for cell, width in zip(axes.ravel(), WIDTHS, strict=True):
        reports = []
        for seed in range(5):
            report = LazyTrainingReport(
                two_layers(width, seed), n_steps=steps, learning_rate=RATE, n_checkpoints=40
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # the rate: the title tells it
                reports.append(report.fit(X, y))
        lines = LazyTrainingDisplay.from_report(reports[0], ax=cell).lines_
        lines["linear_loss"].set(color="C1", ls="-", lw=5, alpha=0.5, zorder=1)  # beneath the other
        cell.legend()
        last = [report.checkpoints_[-1] for report in reports]
        ratio = np.mean([RATE / report.max_learning_rates_["linear"] for report in reports])
        means = [np.mean([getattr(each, name) for each in last]) for name in COLUMNS]
        text = ", ".join(f"{n} {mean:.3f}" for n, mean in zip(COLUMNS.values(), means, strict=True))
        cell.set(title=f"width {width}: rate / stable rate {ratio:.2f}\n{text}", ylim=(1e-3, 1e2))
        print(f"width {width}: rate / stable rate {ratio:.2f}; {text}; first: {reports[0].regime_}")
    return figure


if __name__ == "__main__":
    show(draw, __doc__, steps=100)
