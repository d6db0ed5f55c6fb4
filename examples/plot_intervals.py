"""Intervals that keep their promise: conformal ones beside normal ones, under noise with outliers.

Normal intervals take the noise for normal: outliers widen them all, and at most levels more targets
are inside than asked for. Conformal intervals rank residuals: as many are inside as asked for,
whatever the noise.
"""

import matplotlib.pyplot as plt
import numpy as np
from picture import show

from sklearn_ntk import NTKRegressor
from sklearn_ntk.plotting import CoverageDisplay

N_ROWS, N_NEW, N_DRAWS = 60, 1000, 25
LEVELS = np.array([0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95])
COLOURS = {"gaussian": "#d55e00", "jackknife+": "#009e73", "conformal": "#0b3c8c"}
LINES = {"jackknife+": {"marker": "s", "ms": 7}, "conformal": {"ls": "--"}}
GRID = np.linspace(-2.5, 2.5, 201)[:, None]


def data(n, seed):
    """Rows and targets: a sine, with noise of which every tenth value is ten times larger."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2.0, 2.0, (n, 1))
    sizes = np.where(rng.random(n) < 0.1, 1.5, 0.15)
    return X, np.sin(2.0 * X[:, 0]) + sizes * rng.normal(size=n)


def fit(seed):
    return NTKRegressor("ntk", activation="erf", features=None).fit(*data(N_ROWS, seed))


def shares_inside():
    """Share of new targets inside (n_methods, n_levels), the mean over draws of the rows."""
    hits = np.zeros((len(COLOURS), len(LEVELS)))
    X, y = data(N_NEW, 1000)
    for seed in range(N_DRAWS):
        model = fit(seed)
        for i, method in enumerate(COLOURS):
            for j, level in enumerate(LEVELS):
                low, high = model.predict_interval(X, level, method).T
                hits[i, j] += np.mean((low <= y) & (y <= high)) / N_DRAWS
    return hits


def draw():
    """Intervals of one fit on the left, coverage of many on the right."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    X, y = data(N_ROWS, 3)
    model = fit(3)
    for method in ("gaussian", "conformal"):
        low, high = model.predict_interval(GRID, 0.8, method).T
        style = {"color": COLOURS[method], "label": f"80 %, {method}"}
        left.fill_between(GRID[:, 0], low, high, alpha=0.2, lw=0, **style)
        left.plot(GRID, np.column_stack([low, high]), color=COLOURS[method], lw=1)
    left.plot(GRID, model.predict(GRID), color="black", lw=1.5, label="prediction")
    left.plot(X, y, "o", color="black", ms=3, label="rows")
    left.set(xlabel="x", ylim=(-3.0, 3.0), title=f"{N_ROWS} rows, outliers among them")
    left.legend(loc="upper left", ncols=2)
    for (method, colour), hits in zip(COLOURS.items(), shares_inside(), strict=True):
        display = CoverageDisplay(LEVELS, hits, name=method)
        display.plot(right, color=colour, **LINES.get(method, {}))
    right.set(aspect="equal", title=f"new targets, mean over {N_DRAWS} draws")
    return figure


if __name__ == "__main__":
    show(draw, __doc__)
