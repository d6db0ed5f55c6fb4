"""Are eigenfunctions of the kernel of a trained network localised on its task?

Ortiz-Jimenez et al. (NeurIPS 2023) find that those of a large pre-trained network are: first
eigenfunctions of the kernel of the rows of a task have more energy on this task than elsewhere.
Here the task are digits 0 to 4, those from 5 on the control. Lines are the share of the energy that
lies on new rows of the task, for a small perceptron of scikit-learn before training, after training
on all ten digits, and on the task alone, means and ranges over three starts; a half would be none.
In this small setting two to five functions are somewhat localised before any training, at a share
of 0.6, and training does not localise them further.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from picture import show
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from sklearn_ntk.finite import empirical_ntk
from sklearn_ntk.spectrum import Spectrum

N_ROWS = 100
NUMBERS = (1, 2, 5, 10, 20, 50, 100)
STARTS = range(3)


def halves():
    """Rows and labels for training, rows of the task for the kernel, new ones, and control ones."""
    X, y = load_digits(return_X_y=True)
    X = X / 8.0 - 1.0
    train, rest = slice(0, 600), slice(600, None)
    task, control = X[rest][y[rest] < 5], X[rest][y[rest] >= 5]
    return X[train], y[train], task[:N_ROWS], task[N_ROWS : 2 * N_ROWS], control[:N_ROWS]


def networks(X, y, seed):
    """By name a network before and after training."""
    options = {"hidden_layer_sizes": (100, 100), "random_state": seed}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # fit makes the weights: one epoch at a tiny rate leaves them as they are at the start
        start = MLPClassifier(max_iter=1, learning_rate_init=1e-12, **options)
        yield "before training", start.fit(X, y)
        for name, chosen in (("after all ten digits", y < 10), ("after the task alone", y < 5)):
            yield name, MLPClassifier(max_iter=100, **options).fit(X[chosen], y[chosen])


def shares(network, task, new, control):
    """Share of the local energy on new rows of the task, for each number of functions."""

    def kernel(X, Y=None):
        return empirical_ntk(network, X, Y)

    spectrum = Spectrum.from_kernel(kernel, task)
    found = []
    for number in NUMBERS:
        energies = [spectrum.local_energy(rows, number).sum() for rows in (new, control)]
        found.append(energies[0] / sum(energies))
    return found


def draw():
    """A line for each kind of network, the mean over starts, with the range."""
    X, y, task, new, control = halves()
    found = {}
    for seed in STARTS:
        for name, network in networks(X, y, seed):
            found.setdefault(name, []).append(shares(network, task, new, control))
    figure, axes = plt.subplots(figsize=(6.5, 4.4), layout="constrained")
    for name, values in found.items():
        mean = np.mean(values, axis=0)
        axes.plot(NUMBERS, mean, ".-", label=name)
        axes.fill_between(NUMBERS, np.min(values, axis=0), np.max(values, axis=0), alpha=0.2, lw=0)
        numbers = ", ".join(f"{n}: {share:.2f}" for n, share in zip(NUMBERS, mean, strict=True))
        print(f"{name}: {numbers}")
    axes.axhline(0.5, color="0.7", lw=1)
    axes.set(xscale="log", xlabel="number of eigenfunctions", ylabel="share of energy on the task")
    axes.legend()
    return figure


if __name__ == "__main__":
    show(draw, __doc__)
