"""Early stopping against ridge: two ways to keep a wide network from learning the noise.

On the left is the error of leaving out one row, for every pair of a ridge and a time of training,
from one eigendecomposition. A ridge without an end of the training, and an end without a ridge, are
its edges: in the middle they are drawn over each other, with the errors at other rows. On the right
is the share of each component of the targets that both learn, at their best, by the eigenvalue of
the centred kernel, as the constant is fitted apart: the time cuts more sharply.
"""

import matplotlib.pyplot as plt
import numpy as np
from picture import show
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import KernelCenterer, scale

from sklearn_ntk import NTKKernel
from sklearn_ntk.dynamics import Flow, Training
from sklearn_ntk.plotting import LeaveOneOutDisplay
from sklearn_ntk.solvers import Ridge, loo_errors
from sklearn_ntk.spectrum import Spectrum

KERNEL, N = NTKKernel(depth=3), 250
RIDGES = np.geomspace(1e-2, 1e3, 41)
BLUE, ORANGE = "#0b3c8c", "#d55e00"


def errors_on(X, y, cross, expected):
    """Errors at other rows by ridges, and by the times ``n / ridge``, in units of the variance."""
    fits = [Ridge(ridge).fit(KERNEL(X), y).solution for ridge in RIDGES]
    by_ridge = [cross @ fit.dual[:, 0] + fit.intercept for fit in fits]
    by_time = Training(KERNEL(X)).predict(cross, y, N / RIDGES)
    return (np.mean((np.array(each) - expected) ** 2, axis=1) for each in (by_ridge, by_time))


def draw():
    """The map, its edges, and what is learned."""
    X, y = (scale(values) for values in load_diabetes(return_X_y=True))
    order = np.random.default_rng(0).permutation(len(X))
    X, X_test, y, y_test = X[order[:N]], X[order[N:]], y[order[:N]], y[order[N:]]
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4.4), layout="constrained")
    options = {"ridges": RIDGES, "times": N / RIDGES, "ax": left, "vmax": 0.8}
    LeaveOneOutDisplay.from_kernel(KERNEL, X, y, name="leaving out one row", **options)

    times = np.append(N / RIDGES[::-1], np.inf)
    errors = loo_errors(KERNEL(X), y, np.append(0.0, RIDGES), times)[2]
    edges = {"ridge": errors[1:, -1], "early stopping": errors[0, -2::-1]}
    tested = errors_on(X, y, KERNEL(X_test, X), y_test)
    for (name, edge), test, color in zip(edges.items(), tested, (BLUE, ORANGE), strict=True):
        middle.plot(RIDGES, edge, color=color, label=name)
        middle.plot(RIDGES, test, "--", color=color)
        middle.plot(RIDGES[edge.argmin()], edge.min(), "o", color=color)
    middle.plot([], [], "--", color="0.4", label="other rows")
    middle.set(xscale="log", xlabel="ridge, or n / time", ylabel="error / variance")
    middle.set_title("the edges of the map")
    middle.legend()

    centred = KernelCenterer().fit_transform(KERNEL(X))
    values = Spectrum(centred).eigenvalues[:-1]  # without the zero
    line = np.geomspace(values[-1], values[0], 201)
    ridge, time = RIDGES[edges["ridge"].argmin()], N / RIDGES[edges["early stopping"].argmin()]
    right.plot(line, line / (line + ridge), color=BLUE, label=f"ridge {ridge:.3g}")
    learned = Flow().filter(line / N, time)
    right.plot(line, learned, color=ORANGE, label=f"time {time:.3g}")
    right.plot(values, 0.0 * values, "|", color="black", ms=12, alpha=0.4)
    right.set(xscale="log", xlabel="eigenvalue", ylabel="share that is learned")
    right.set_title("what is learned of each eigenvector")
    right.legend()
    figure.get_layout_engine().set(wspace=0.08)  # for the labels of bar and axis
    return figure


if __name__ == "__main__":
    show(draw, __doc__)
