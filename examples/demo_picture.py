"""The picture of the demo: test errors, the choice of the ridge, and error bars."""

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MultipleLocator, NullFormatter, StrMethodFormatter
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ntk import NTKRegressor

STYLE = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "legend.frameon": False,
}
MARKS = {  # ours in blue, the others in colours that the colour-blind can tell apart
    "NTK": ("o", "#0b3c8c"),
    "NTK+search": ("D", "#56b4e9"),
    "SVM": ("s", "#e69f00"),
    "RandomForest": ("^", "#009e73"),
    "MLP": ("v", "#cc79a7"),
    "KernelRidge": ("P", "#8c8c8c"),
}
BLUE, ORANGE = "#0b3c8c", "#d55e00"


def draw(results, splits, file):
    """Save the picture; ``results`` are by data set and model, ``splits`` two sets to look into."""
    with matplotlib.rc_context(STYLE):
        height = max(4.6, 1.7 + 0.46 * len(results))
        figure = Figure(figsize=(15, height), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        draw_errors(left, results)
        draw_ridges(middle, splits)
        draw_bands(right)
        figure.get_layout_engine().set(wspace=0.06)
        figure.savefig(file, dpi=150)


def draw_errors(axes, results):
    """Test errors in a row for each data set, the models one below the other."""
    heights = -np.arange(len(results))
    for place, (name, (marker, colour)) in enumerate(MARKS.items()):
        errors = [max(row[name].error, 1e-3) for row in results.values()]  # no zero on a log axis
        axes.plot(errors, heights + 0.3 - 0.12 * place, marker, color=colour, label=name, ms=7)
    for height in heights[::2]:
        axes.axhspan(height - 0.5, height + 0.5, color="0.95", lw=0, zorder=0)
    axes.set(xscale="log", ylim=(heights[-1] - 0.5, 0.5), title="Test error of each model")
    axes.set_xlabel("share of wrong labels, or RMSE / standard deviation")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(heights, results)
    axes.tick_params(axis="y", length=0)
    axes.figure.legend(loc="outside lower left", ncols=6, columnspacing=1.2, handletextpad=0.2)


def draw_ridges(axes, splits):
    """Leave-one-out errors of all ridges, which come out of one fit, and errors on test rows.

    Labels of two classes are regressed as the numbers 0 and 1, and the picture says so.
    """
    for split, colour in zip(splits, (BLUE, ORANGE), strict=True):
        model = network(alpha="auto").fit(split.X, split.y)[-1]
        ridges, errors = model.alphas_, model.loo_errors_
        axes.plot(ridges, errors, color=colour)
        axes.plot(ridges, [error_on_test(split, ridge) for ridge in ridges], "--", color=colour)
        axes.plot(model.alpha_, errors.min(), "o", color=colour, ms=8)
        place = {"xytext": (0, -15), "textcoords": "offset points"}
        name = split.name + (", labels 0 and 1 as numbers" if len(np.unique(split.y)) == 2 else "")
        axes.annotate(name, (ridges[0], errors[0]), color=colour, **place)
    axes.plot([], [], "-o", color="0.3", label="leave one out, and its minimum")
    axes.plot([], [], "--", color="0.3", label="test rows")
    axes.set(xscale="log", ylim=(0, 0.9), title="How the ridge is chosen")
    axes.set(xlabel="ridge alpha", ylabel="mean squared error / variance")
    axes.yaxis.set_major_locator(MultipleLocator(0.2))
    axes.legend(loc="upper left")


def network(alpha):
    """One network, whatever the ridge; by default the fit would choose among four."""
    return make_pipeline(StandardScaler(), NTKRegressor("ntk", activation="relu", alpha=alpha))


def error_on_test(split, ridge):
    """Mean squared error on the test rows in units of the variance of the training targets."""
    model = network(alpha=ridge).fit(split.X, split.y)
    return np.mean((split.y_test - model.predict(split.X_test)) ** 2) / split.y.var()


def curve(x):
    """The curve of the right panel: steep and flat pieces that meet in kinks."""
    return np.interp(x, [-1.5, -1.3, 0.9, 1.1], [0.0, 1.5, 1.2, -0.8])


def draw_bands(axes):
    """A noisy curve with kinks: predictions with their 95 % bands.

    Kinks suit networks of ReLU, which the choice of the fit finds; curves that are equally smooth
    everywhere suit the RBF kernel better, also in gaps between rows.
    """
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, 60)
    y = curve(x) + rng.normal(0, 0.1, len(x))
    grid = np.linspace(-3.5, 3.5, 400)

    gpr = GaussianProcessRegressor(RBF() + WhiteKernel(), normalize_y=True).fit(x[:, None], y)
    mean, std = gpr.predict(grid[:, None], return_std=True)
    axes.plot(grid, mean, color=ORANGE, label="GPR(RBF)")
    axes.plot(grid, mean - 1.96 * std, ":", color=ORANGE, lw=1.4, label="band of GPR(RBF)")
    axes.plot(grid, mean + 1.96 * std, ":", color=ORANGE, lw=1.4)

    axes.plot(grid, curve(grid), "--", color="black", lw=1, label="true curve", zorder=3)
    ntk = NTKRegressor().fit(x[:, None], y)
    mean, std = ntk.predict(grid[:, None], return_std=True)
    axes.plot(grid, mean, color=BLUE, lw=1.8, label="NTKRegressor")
    style = {"color": BLUE, "alpha": 0.15, "lw": 0, "label": "band of NTKRegressor"}
    axes.fill_between(grid, mean - 1.96 * std, mean + 1.96 * std, **style)

    axes.plot(x, y, ".", color="black", ms=5)
    axes.set(xlabel="x", ylabel="y", title="95 % bands, for a curve with kinks")
    axes.margins(y=0.3)  # below the legend
    axes.legend(loc="upper left", ncols=2, fontsize="small")
