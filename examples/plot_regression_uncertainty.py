"""Functions that wide random networks draw, before and after they see five points.

An infinitely wide network with random weights is a Gaussian process whose covariance is
`NNGPKernel`. Scikit-learn's `GaussianProcessRegressor` draws functions from it, and conditions them
on data. The activation decides on their shape.
"""

import matplotlib.pyplot as plt
import numpy as np
from picture import show
from sklearn.gaussian_process import GaussianProcessRegressor

from sklearn_ntk import NNGPKernel
from sklearn_ntk.activations import Sin

KERNELS = {
    "relu, depth 2": NNGPKernel(2, "relu", weight_var=1.6, bias_var=1.0),
    "erf, depth 2": NNGPKernel(2, "erf", weight_var=3.0, bias_var=1.0),
    "gaussian, depth 1": NNGPKernel(1, "gaussian", weight_var=4.0, bias_var=1.0),
    "sin(2x), depth 1": NNGPKernel(1, Sin(frequency=2.0), weight_var=2.0, bias_var=0.3),
}
X = np.array([[-2.4], [-1.5], [-0.2], [0.9], [2.2]])
Y = np.array([-0.8, 0.7, 0.2, -1.0, 0.6])
GRID = np.linspace(-4, 4, 201)[:, None]


def draw_process(axes, process):
    """Mean, 95 % band and four samples of a process, before or after `fit`."""
    mean, std = process.predict(GRID, return_std=True)
    samples = process.sample_y(GRID, n_samples=4, random_state=1)
    x = GRID.ravel()
    axes.fill_between(x, mean - 1.96 * std, mean + 1.96 * std, color="#56b4e9", alpha=0.25, lw=0)
    axes.plot(x, samples, color="#56b4e9", lw=1)
    axes.plot(x, mean, color="#0b3c8c", lw=2)


def draw():
    """One column for each kernel: the prior above, the posterior below."""
    options = {"sharex": True, "sharey": True, "layout": "constrained"}
    figure, axes = plt.subplots(2, len(KERNELS), figsize=(13, 5.6), **options)
    for (title, kernel), (above, below) in zip(KERNELS.items(), axes.T, strict=True):
        process = GaussianProcessRegressor(kernel, alpha=1e-4, optimizer=None)
        draw_process(above, process)
        draw_process(below, process.fit(X, Y))
        below.plot(X, Y, "o", color="black", ms=5)
        above.set_title(title)
        below.set_xlabel("x")
    axes[0, 0].set(ylabel="prior", xlim=(-4, 4), ylim=(-5, 5))
    axes[1, 0].set(ylabel="posterior")
    return figure


if __name__ == "__main__":
    show(draw, __doc__)
