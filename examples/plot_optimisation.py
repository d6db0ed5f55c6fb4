"""The minimum of a function that is expensive to evaluate, found with gradients of a network.

Bayesian optimisation: a wide network is fitted to the points so far, and the next one is where its
prediction is smallest, which L-BFGS-B finds by `NTKRegressor.predict_gradient` from several starts.
Every third point is one of many random ones, at which the function may be low as it is not known.
"""

import matplotlib.pyplot as plt
import numpy as np
from picture import show
from scipy.optimize import minimize

from sklearn_ntk import NTKRegressor

N_STARTS, N_FIRST, N_STEPS = 5, 8, 12
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
    """Points in the order in which they were tried: in turn where it is low, and not yet known."""
    X = rng.uniform(-1.0, 1.0, (N_FIRST, 2))
    for step in range(N_STEPS):
        model = NTKRegressor("nngp", activation="erf", weight_var=5.0).fit(X, branin(X))
        some = rng.uniform(-1.0, 1.0, (200, 2))
        mean, std = model.predict(some, return_std=True)
        order = np.argsort(mean - 2.0 * std)
        new = some[order[0]] if step % 3 == 2 else lowest(model, some[order[:N_STARTS]])
        X = np.vstack([X, new])
    return X, model


def draw(X, model):
    """The function with all points, the prediction with its gradient, and the best value so far."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    line = np.linspace(-1.0, 1.0, 81)
    grid = np.stack(np.meshgrid(line, line), axis=-1)
    for axes, function, title in ((left, branin, "function"), (middle, model.predict, "network")):
        values = function(grid.reshape(-1, 2)).reshape(grid.shape[:2])
        axes.contourf(line, line, values, levels=np.linspace(-1.2, 4.0, 27), extend="both")
        axes.set_title(title)
    left.scatter(*X.T, c=np.arange(len(X)), cmap="Reds", edgecolors="black")
    coarse = grid[4::8, 4::8].reshape(-1, 2)
    middle.quiver(*coarse.T, *-model.predict_gradient(coarse).T, color="white")
    right.plot(np.minimum.accumulate(branin(X)), "o-")
    right.axhline(-1.0474, color="black", lw=1)
    right.set(xlabel="evaluations", title="smallest value")
    return figure


if __name__ == "__main__":
    show(lambda: draw(*optimise(np.random.default_rng(0))), __doc__)
