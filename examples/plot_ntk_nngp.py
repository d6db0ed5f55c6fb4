"""How sure a wide network is: NTK against NNGP.

Three distributions of functions through the same points, each a Gaussian process. A Bayesian
network, or one of which only the last layer is trained, has the NNGP; an ensemble of networks of
which all layers are trained starts with the NNGP and learns with the NTK; with a random function
added to each of its networks it is the posterior of the NTK. The ensemble is a little less
confident than the NNGP, and much more than that posterior (B. He et al., NeurIPS 2020).
"""

import matplotlib.pyplot as plt
import numpy as np
from picture import show

from sklearn_ntk import NNGPKernel, NTKKernel
from sklearn_ntk.dynamics import Training, covariance
from sklearn_ntk.plotting import FunctionDisplay

NETWORK = {"depth": 2, "activation": "erf", "weight_var": 3.0, "bias_var": 0.3}
NTK, NNGP = NTKKernel(**NETWORK), NNGPKernel(**NETWORK)
DISTRIBUTIONS = {  # by which kernel networks learn, and with which they start
    "last layer, or Bayesian (NNGP)": (NNGP, NNGP, "#0b3c8c"),
    "ensemble, all layers": (NTK, NNGP, "#009e73"),
    "with random functions (NTK)": (NTK, NTK, "#d55e00"),
}
X = np.array([-2.2, -1.6, -1.3, 0.1, 0.4, 1.5])[:, None]
Y = np.array([-0.6, 0.5, 0.9, -0.7, -0.9, 0.6])
GRID = np.linspace(-4.0, 4.0, 161)


def draws(kernel, start, mean, n_draws=4):
    """Functions (n_points, n_draws) of the distribution after training."""
    new = GRID[:, None]
    training, matrices = Training(kernel(X), fit_intercept=False), (start(X), start(new, X))
    values, vectors = np.linalg.eigh(
        covariance(training, kernel(new, X), start(new), np.inf, matrices)
    )
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    normal = np.random.default_rng(0).standard_normal((len(GRID), n_draws))
    return mean[:, None] + root @ normal


def draw():
    """A panel for each distribution, and one with all standard deviations."""
    figure, axes = plt.subplots(1, 4, figsize=(15, 3.9), layout="constrained")
    for axis, (name, (kernel, start, color)) in zip(axes, DISTRIBUTIONS.items(), strict=False):
        options = {"start": start, "x": GRID, "fit_intercept": False, "color": color, "lw": 2}
        display = FunctionDisplay.from_kernel(kernel, X, Y, np.inf, ax=axis, **options)
        axis.plot(GRID, draws(kernel, start, display.means[0]), color=color, lw=0.6)
        axis.set(ylim=(-4.0, 4.0), title=name)
        axis.get_legend().remove()
        axes[3].plot(GRID, display.stds[0], color=color, label=name)
    axes[3].plot(X, 0.0 * X, "o", color="black", ms=3)
    axes[3].set(xlabel="x", title="standard deviation")
    axes[3].legend(fontsize="small", loc="upper center")
    return figure


if __name__ == "__main__":
    show(draw, __doc__)
