"""Leave-one-out errors over ridge and time."""

import numpy as np

from .._runtime.check import read_targets
from ..solvers import RELATIVE_RIDGES, loo_errors
from ._display import Display, in_pipeline, kernel_and_rows, name_of, targets_of

N_VALUES = 40
"""Number of ridges, and of times, by default."""

NEAR = (1.01, 1.1)
"""Lines are drawn where errors are these multiples of the least one."""


class LeaveOneOutDisplay(Display):
    """Map of leave-one-out errors by ridge and training time.

    Without a ridge, the right time matters; after long times, the right ridge. A star marks the
    smallest error; the lines show where errors are 1 % and 10 % above it.

    Make one by `from_estimator` or `from_kernel`.

    Parameters
    ----------
    ridges : array of shape (n_ridges,)
        Increasing.
    times : array of shape (n_times,)
        Increasing.
    errors : array of shape (n_ridges, n_times)
        In units of the variance of the targets.
    name : str, optional
        Title.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    mesh_ : matplotlib QuadMesh
        Errors at positive ridges and positive finite times; colours end at an error of one.
    contours_ : matplotlib ContourSet
    best_ : matplotlib Line2D
        The star.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import scale
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.plotting import LeaveOneOutDisplay
    >>> X, y = (scale(values) for values in load_diabetes(return_X_y=True))
    >>> display = LeaveOneOutDisplay.from_kernel(NTKKernel(), X[:100], y[:100])
    >>> display.errors.shape, display.errors.min().round(1)
    ((40, 40), np.float64(0.6))
    >>> plt.close(display.figure_)
    """

    def __init__(self, ridges, times, errors, name=None):
        self.ridges = ridges
        self.times = times
        self.errors = errors
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        ridges=None,
        times=None,
        ax=None,
        name=None,
        **kwargs,
    ):
        """Draw errors for the kernel and the learning rate of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted estimator with a kernel ``kernel_``, such as `NTKRegressor`, or a pipeline with
            one.
        X : array of shape (n, d)
        y : array of shape (n,) or (n, k)
            Targets, or labels.
        ridges, times, ax
            As for `from_kernel`.
        name : str, optional
            By default the name of the estimator's class.
        **kwargs : dict
            Passed to ``ax.pcolormesh``.

        Returns
        -------
        LeaveOneOutDisplay
        """
        remedy = "call solvers.loo_errors with the Gram matrix"
        kernel, rows = kernel_and_rows(estimator, X, remedy)
        options = {"ridges": ridges, "times": times, "ax": ax, "name": name_of(estimator, name)}
        (last,) = in_pipeline(estimator)
        options["learning_rate"] = getattr(last, "learning_rate", 1.0)
        return cls.from_kernel(kernel, rows, targets_of(estimator, y), **options, **kwargs)

    @classmethod
    def from_kernel(
        cls,
        kernel,
        X,
        y,
        *,
        ridges=None,
        times=None,
        learning_rate=1.0,
        ax=None,
        name=None,
        **kwargs,
    ):
        """Draw leave-one-out errors for a kernel.

        Parameters
        ----------
        kernel : callable
            ``kernel(X)`` is the Gram matrix.
        X : array of shape (n, d)
        y : array of shape (n,) or (n, k)
            Targets.
        ridges : array of shape (n_ridges,), optional
            By default 40 values in the range of `solvers.RELATIVE_RIDGES`.
        times : array of shape (n_times,), optional
            By default 40 times that regularise about as much.
        learning_rate : float, default=1.0
            Factor of the times.
        ax : matplotlib Axes, optional
        name : str, optional
        **kwargs : dict
            Passed to ``ax.pcolormesh``.

        Returns
        -------
        LeaveOneOutDisplay
        """
        K = kernel(X)
        Y, _ = read_targets(y, len(K))
        scale = np.mean(np.diagonal(K)) or 1.0
        units = np.geomspace(RELATIVE_RIDGES[0], RELATIVE_RIDGES[-1], N_VALUES)
        ridges = scale * units if ridges is None else ridges
        times = len(K) / (learning_rate * scale * units) if times is None else times
        found = loo_errors(K, Y, ridges, times, learning_rate=learning_rate)
        return cls(*found, name).plot(ax, **kwargs)

    def _draw(self, name, kwargs):
        """Draw on ``ax_``."""
        rows = np.asarray(self.ridges) > 0.0
        columns = (np.asarray(self.times) > 0.0) & np.isfinite(self.times)
        if min(rows.sum(), columns.sum()) < 2:
            raise ValueError(
                f"A map needs two positive ridges and two positive finite times; got "
                f"{rows.sum()} and {columns.sum()}: pass more."
            )
        ridges, times = np.asarray(self.ridges)[rows], np.asarray(self.times)[columns]
        errors = np.asarray(self.errors)[np.ix_(rows, columns)]
        limits = {"vmin": errors.min(), "vmax": 1.0 if errors.min() < 1.0 else None}
        style = {**limits, "shading": "gouraud", "cmap": "viridis_r", **kwargs}
        self.mesh_ = self.ax_.pcolormesh(times, ridges, errors, **style)
        levels = np.unique(errors.min() * np.array(NEAR))  # one of them if errors are zero
        self.contours_ = self.ax_.contour(times, ridges, errors, levels, colors="w", linewidths=1)
        row, column = np.unravel_index(errors.argmin(), errors.shape)
        star = {"marker": "*", "ms": 12, "color": "w", "mec": "k", "ls": "", "clip_on": False}
        (self.best_,) = self.ax_.plot(times[column], ridges[row], **star)
        bar = self.figure_.colorbar(self.mesh_, ax=self.ax_)
        bar.set_label("leave-one-out error / variance")
        self.ax_.set(xscale="log", yscale="log", xlabel="time", ylabel="ridge")
        if name is not None:
            self.ax_.set_title(name)
