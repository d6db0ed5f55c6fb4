"""An ensemble of wide networks, trained one by one, beside its closed form.

Eighty networks of one hidden layer start at random and are trained in full batches on six points.
Their outputs, of which those of 25 are drawn in grey, are normal at each step, with the mean and
the covariance of `sklearn_ntk.dynamics`: lines and bands are computed from the kernels, dashes are
means and 95 % of all networks themselves. Below are their standard deviations.
"""

import matplotlib.pyplot as plt
import numpy as np
from picture import show
from scipy.special import erf

from sklearn_ntk import NNGPKernel, NTKKernel
from sklearn_ntk.dynamics import Descent
from sklearn_ntk.plotting import FunctionDisplay

N_NETWORKS, N_SHOWN, WIDTH = 80, 25, 512
SEED = 15
NETWORK = {"depth": 1, "activation": "erf", "weight_var": 4.0, "bias_var": 0.5}
NTK, NNGP = NTKKernel(**NETWORK), NNGPKernel(**NETWORK)
X = np.array([-1.7, -1.2, -0.9, 0.2, 0.5, 1.4])[:, None]
Y = np.array([-0.9, 0.4, 0.8, -0.5, -0.1, 1.0])
GRID = np.linspace(-2.5, 2.5, 101)[:, None]
STEPS = [0, 10, 400]


class Networks:
    """The weights of all networks, with the variances of the kernels."""

    def __init__(self, rng):
        shapes = [(N_NETWORKS, 1, WIDTH), (N_NETWORKS, 1, WIDTH), (N_NETWORKS, WIDTH), N_NETWORKS]
        self.weights = [rng.standard_normal(shape) for shape in shapes]
        weight, bias = NETWORK["weight_var"] ** 0.5, NETWORK["bias_var"] ** 0.5
        self.scales = [weight, bias, weight / WIDTH**0.5, bias]

    def outputs(self, x):
        """Signals (N_NETWORKS, n, WIDTH) before the activation, and outputs (N_NETWORKS, n)."""
        first, biases, last, constants = (
            scale * weights for scale, weights in zip(self.scales, self.weights, strict=True)
        )
        signals = x * first + biases
        return signals, np.einsum("aij,aj->ai", erf(signals), last) + constants[:, None]

    def step(self, rate):
        """One step of gradient descent on half the mean squared error."""
        signals, outputs = self.outputs(X)
        residuals = (outputs - Y) / len(X)
        slopes = 2.0 / np.pi**0.5 * np.exp(-(signals**2))
        back = self.scales[2] * residuals[:, :, None] * slopes * self.weights[2][:, None]
        gradients = [
            self.scales[0] * np.sum(X * back, axis=1, keepdims=True),
            self.scales[1] * np.sum(back, axis=1, keepdims=True),
            self.scales[2] * np.einsum("ai,aij->aj", residuals, erf(signals)),
            self.scales[3] * residuals.sum(axis=1),
        ]
        for weights, gradient in zip(self.weights, gradients, strict=True):
            weights -= rate * gradient


def train(rate):
    """Yield outputs (N_NETWORKS, n_points) on the grid after each number of steps."""
    networks, done = Networks(np.random.default_rng(SEED)), 0
    for steps in STEPS:
        for _ in range(steps - done):
            networks.step(rate)
        done = steps
        yield networks.outputs(GRID)[1]


def draw():
    """One column for each number of steps: functions above, standard deviations below."""
    rate = 0.5 * Descent().limit * len(X) / np.linalg.eigvalsh(NTK(X)).max()  # half the largest
    options = {"method": Descent(), "learning_rate": rate, "fit_intercept": False, "start": NNGP}
    layout = {"sharex": True, "layout": "constrained", "height_ratios": [2, 1]}
    figure, axes = plt.subplots(2, len(STEPS), figsize=(12, 6), sharey="row", **layout)
    for (above, below), steps, outputs in zip(axes.T, STEPS, train(rate), strict=True):
        above.plot(GRID, outputs[:N_SHOWN].T, color="0.8", lw=0.6)
        display = FunctionDisplay.from_kernel(
            NTK, X, Y, [steps], x=GRID[:, 0], ax=above, color="#0b3c8c", lw=2, **options
        )
        mean, std = outputs.mean(axis=0), outputs.std(axis=0)
        ends = np.stack([mean - 1.96 * std, mean, mean + 1.96 * std], axis=1)
        above.plot(GRID, ends, "--", color="#d55e00", lw=1)
        below.plot(GRID, display.stds[0], color="#0b3c8c", label="closed form")
        below.plot(GRID, std, "--", color="#d55e00", label=f"{N_NETWORKS} networks")
        above.set(xlabel="", ylim=(-6.0, 6.0), title=f"after {steps} steps")
        above.get_legend().remove()
        below.set(xlabel="x", ylim=(0.0, 3.0))
    axes[0, 0].set_ylabel(f"outputs of networks of width {WIDTH}")
    axes[1, 0].set_ylabel("standard deviation")
    axes[1, 0].legend(loc="lower left")
    return figure


if __name__ == "__main__":
    show(draw, __doc__)
