"""The minimum of a function that is expensive to evaluate, found with gradients of a network.

Bayesian optimisation: a wide network is fitted to the points so far, and the next one is where its
prediction is smallest, which L-BFGS-B finds by `NTKRegressor.predict_gradient` from several starts.
Every third point is, of many random ones, that of the smallest mean - 2 std, a lower confidence
bound. Left, the function and the points, the later the darker; in the middle, the network that is
fitted to all of them, with arrows that point downhill, along minus its gradient; right, the
smallest value after each evaluation, and a line at the minimum.
"""

import matplotlib.pyplot as plt
import numpy as np
from picture import show
from scipy.optimize import minimize

from sklearn_ntk import NTKRegressor

N_STARTS, N_FIRST, N_STEPS = 5, 8, 12
TICKS = (1, 5, 10, 15, 20)
BOUNDS = [(-1.0, 1.0), (-1.0, 1.0)]


def branin(X):
    """Branin's function on the square, which has three equal minima of about -1.05."""
    x, y = 7.5 * X[:, 0] + 2.5, 7.5 * X[:, 1] + 7.5
    valley = y - 5.1 / (4.0 * np.pi**2) * x**2 + 5.0 / np.pi * x - 6.0
    return (valley**2 + 10.0 * (1.0 - 1.0 / (8.0 * np.pi)) * np.cos(x) - 44.81) / 51.95


def lowest(model, starts):
    """Where the prediction is smallest, by descent from several starts."""

    def value_and_gradient(x):
        return model.predict(x[None])[0], model.predict_gradient(x[None])[0]

    ends = [minimize(value_and_gradient, x, jac=True, bounds=BOUNDS) for x in starts]
    return min(ends, key=lambda end: end.fun).x


def optimise(rng):
    """Points in the order in which they were tried, and the network that is fitted to them."""
    X = rng.uniform(-1.0, 1.0, (N_FIRST, 2))
    model = NTKRegressor("nngp", activation="erf", weight_var=5.0, alpha=1e-6)  # without noise
    for step in range(N_STEPS):
        model.fit(X, branin(X))
        some = rng.uniform(-1.0, 1.0, (200, 2))
        mean, std = model.predict(some, return_std=True)
        order = np.argsort(mean - 2.0 * std)  # a lower confidence bound
        new = some[order[0]] if step % 3 == 2 else lowest(model, some[order[:N_STARTS]])
        X = np.vstack([X, new])
    return X, model.fit(X, branin(X))


def draw(X, model):
    """The function with all points, the prediction and its way downhill, and the smallest value."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14.5, 4), layout="constrained")
    numbers = np.arange(1, len(X) + 1)
    line = np.linspace(-1.0, 1.0, 81)
    grid = np.stack(np.meshgrid(line, line), axis=-1)
    for axes, function, title in ((left, branin, "function"), (middle, model.predict, "network")):
        values = function(grid.reshape(-1, 2)).reshape(grid.shape[:2])
        shades = axes.contourf(line, line, values, levels=np.linspace(-1.2, 4.0, 27), extend="both")
        axes.set(title=title, xlabel="first input", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    left.set_ylabel("second input")
    middle.set_title("network, and downhill")
    figure.colorbar(shades, ax=middle, ticks=range(-1, 5), label="value")
    points = left.scatter(*X.T, c=numbers, cmap="Reds", edgecolors="black")
    figure.colorbar(points, ax=left, ticks=TICKS, label="evaluation")
    coarse = grid[4::8, 4::8].reshape(-1, 2)
    middle.quiver(*coarse.T, *-model.predict_gradient(coarse).T, color="white")
    right.plot(numbers, np.minimum.accumulate(branin(X)), "o-")
    right.axhline(-1.0474, color="black", lw=1)
    right.set(xlabel="evaluations", ylabel="value", xticks=TICKS, title="smallest value so far")
    figure.get_layout_engine().set(wspace=0.08)  # for the labels of bars and axes
    return figure


if __name__ == "__main__":
    show(lambda: draw(*optimise(np.random.default_rng(7))), __doc__)
