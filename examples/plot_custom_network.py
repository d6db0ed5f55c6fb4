"""A residual network built from layers, beside a multilayer perceptron.

In a deep perceptron all rows look alike after some layers: the correlation of any two tends to one,
and the kernel loses sight of the data. Residual blocks whose variance falls with the depth keep
rows apart. Left, the kernels of both networks; right, what that means for digits.
"""

import matplotlib.pyplot as plt
import numpy as np
from picture import show
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ntk import NNGPKernel, NTKClassifier
from sklearn_ntk.architectures import mlp
from sklearn_ntk.layers import Dense, Residual

DEPTHS = (1, 2, 4, 8, 16, 32, 64)


def perceptron(depth):
    """So many hidden layers."""
    return mlp(depth, "relu")


def residual(depth):
    """So many blocks ``x + Dense(relu(Dense(x)))``, each of which adds a share of the variance."""
    block = Residual((Dense(1.0, 0.0), "relu", Dense(2.0 / depth, 0.0)))
    return (Dense(), *[block] * depth, "relu", Dense())


NETWORKS = {"perceptron": (perceptron, "#e69f00", "--"), "residual": (residual, "#0b3c8c", "-")}


def draw_correlations(axes):
    """Correlation of the outputs at two rows against the angle between the rows."""
    angles = np.linspace(0, np.pi, 181)
    rows = np.sqrt(2) * np.column_stack([np.cos(angles), np.sin(angles)])
    for network, colour, style in NETWORKS.values():
        for depth, width in [(2, 1.0), (8, 1.8), (32, 2.6)]:
            kernel = NNGPKernel(architecture=network(depth), bias_var=0.0)
            correlation = kernel(rows[:1], rows)[0] / kernel.diag(rows)
            axes.plot(np.degrees(angles), correlation, style, color=colour, lw=width)
    axes.set(xlabel="angle between two rows, degrees", ylabel="correlation of the outputs")
    axes.set(xticks=range(0, 181, 45), ylim=(0, 1.02))
    axes.set_title("Depths 2, 8 and 32: the deeper, the thicker")


def draw_accuracies(axes):
    """Cross-validated error on digits against the depth."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:600], y[:600]
    for name, (network, colour, style) in NETWORKS.items():
        errors = []
        for depth in DEPTHS:
            classifier = NTKClassifier(architecture=network(depth), bias_var=0.1)
            model = make_pipeline(StandardScaler(), classifier)
            errors.append(100 * (1 - cross_val_score(model, X, y).mean()))
        axes.plot(DEPTHS, errors, style, marker="o", color=colour, label=name)
    axes.set_xscale("log", base=2)
    axes.set_xticks(DEPTHS, DEPTHS)
    axes.set(xlabel="depth", ylabel="wrong digits, %", title="NTKClassifier, 600 digits")
    axes.legend(frameon=False)


def draw():
    """Both panels."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    draw_correlations(left)
    draw_accuracies(right)
    return figure


if __name__ == "__main__":
    show(draw, __doc__)
