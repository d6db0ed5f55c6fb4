"""The phase diagram of deep networks, and what it means for a fit.

With little variance of the weights all rows become alike in a deep network, with much of it close
rows move apart. On the left is the number of layers in which that happens. On the right are test
errors of ridge regression along the dashed line: deep kernels work on the ordered side of the edge
of chaos and not far from it, shallow ones everywhere. The star is at the recommended variance,
which is the same for these depths. Finite networks can be trained only near the edge, where their
gradients neither vanish nor explode: the bars below are the range for each depth.
"""

import matplotlib.pyplot as plt
import numpy as np
from picture import show
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import scale

from sklearn_ntk import NTKKernel, NTKRegressor
from sklearn_ntk.plotting import PhaseDisplay
from sklearn_ntk.spectrum import critical_weight_var, recommended_weight_var, weight_var_range

ACTIVATION, BIAS_VAR = "erf", 0.05
DEPTHS = (3, 10, 30)
N_SPLITS = 5
HIGHEST, GAP = 0.685, 0.006  # where the bars are, below the errors


def draw_diagram(axes):
    """The phase diagram, and the line of the variance of the biases."""
    PhaseDisplay.from_activation(ACTIVATION, ax=axes)
    axes.axvline(BIAS_VAR, color="w", ls="--", lw=1)
    axes.text(0.3, 6.0, "chaos", color="w", size="large")
    axes.text(0.3, 0.3, "order", color="w", size="large")
    axes.set_title(f"edge of chaos of {ACTIVATION} (white line)")


def error(X, y, depth, weight_var):
    """Root mean squared test error, in units of the standard deviation."""
    kernel = NTKKernel(depth, ACTIVATION, weight_var=weight_var, bias_var=BIAS_VAR)
    squares = []
    for seed in range(N_SPLITS):
        X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=150, random_state=seed)
        model = NTKRegressor(kernel=kernel, features=None).fit(X_train, y_train)
        squares.append(np.mean((model.predict(X_test) - y_test) ** 2))
    return np.sqrt(np.mean(squares))


def draw_errors(axes, X, y):
    """Test errors by the variance of the weights; the recommended one, and the range."""
    critical = critical_weight_var(ACTIVATION, BIAS_VAR)
    weight_vars = critical * np.logspace(-1.0, 0.8, 19)
    for k, depth in enumerate(DEPTHS):
        errors = [error(X, y, depth, weight_var) for weight_var in weight_vars]
        axes.plot(weight_vars, errors, "o-", ms=3, color=f"C{k}", label=f"depth {depth}")
        low, high = weight_var_range(ACTIVATION, BIAS_VAR, depth)
        axes.hlines(HIGHEST - GAP * k, low, high, color=f"C{k}", lw=3)
    best = recommended_weight_var(ACTIVATION, BIAS_VAR, DEPTHS[-1])
    axes.plot(best, error(X, y, DEPTHS[-1], best), "*", ms=14, color="black")
    axes.annotate("recommended", (best, 0.696), color="0.2", size="small", ha="center")
    axes.axvline(critical, color="0.5", lw=1)
    axes.text(critical * 0.96, 0.94, "critical", color="0.4", ha="right")
    axes.set(xscale="log", xlabel="weight_var", ylabel="RMSE / standard deviation")
    axes.set(xlim=(0.12, 12.0), title="diabetes; bars: finite networks can be trained")
    axes.legend(loc="center left")


def draw():
    """The diagram, and errors along a line through it."""
    X, y = (scale(values) for values in load_diabetes(return_X_y=True))
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    draw_diagram(left)
    draw_errors(right, X, y)
    return figure


if __name__ == "__main__":
    show(draw, __doc__)
