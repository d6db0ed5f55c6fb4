"""Coverage of prediction intervals, asked for and seen, and their widths."""

import numpy as np

from .._runtime.check import read_array, read_targets
from ._display import Display, in_pipeline, twin_of

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Coverages that are asked for by default."""

LEVELS_ARE = "an array of numbers", "pass a list", [1]
"""What `read_array` says of coverages, and their number of axes."""


class CoverageDisplay(Display):
    """Share of targets inside prediction intervals against the nominal coverage, and widths.

    Above the diagonal, intervals are too wide; below, too narrow. A second display on the same
    axes shares the scale of the widths. For the probabilities of classifiers, use
    `sklearn.calibration.CalibrationDisplay`.

    Make one by `from_estimator` or `from_predictions`.

    Parameters
    ----------
    levels : array of shape (n_levels,)
        Nominal coverages, between 0 and 1.
    coverage : array of shape (n_levels,)
        Shares of targets inside.
    widths : array of shape (n_levels,), optional
        Widths of the intervals.
    name : str, optional
        Label of the lines.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the coverage.
    width_ax_ : matplotlib Axes or None
        Axes of the widths, with the scale on the right.
    figure_ : matplotlib Figure
    line_ : matplotlib Line2D
        The coverage, solid.
    width_line_ : matplotlib Line2D or None
        Widths, dotted.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_ntk import NTKRegressor
    >>> from sklearn_ntk.plotting import CoverageDisplay
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = NTKRegressor("ntk", activation="relu", features=None).fit(X[:150], y[:150])
    >>> display = CoverageDisplay.from_estimator(model, X[150:], y[150:], levels=[0.5, 0.9])
    >>> display.coverage.round(1)
    array([0.5, 0.9])
    >>> plt.close(display.figure_)
    """

    def __init__(self, levels, coverage, widths=None, name=None):
        self.levels = levels
        self.coverage = coverage
        self.widths = widths
        self.name = name

    @classmethod
    def from_estimator(
        cls, estimator, X, y, *, levels=LEVELS, method="conformal", ax=None, name=None, **kwargs
    ):
        """Draw the coverage of the intervals of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted estimator with ``predict_interval(X, coverage, method)``, such as
            `NTKRegressor`, or a pipeline with one.
        X : array of shape (m, d)
            Rows to which it was not fitted.
        y : array of shape (m,) or (m, k)
            Their targets.
        levels : array of shape (n_levels,), default=(0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
            Nominal coverages.
        method : str, default="conformal"
            Method of the intervals.
        ax : matplotlib Axes, optional
        name : str, optional
            By default the method.
        **kwargs : dict
            Passed to ``ax.plot``.

        Returns
        -------
        CoverageDisplay
        """
        estimator, X = in_pipeline(estimator, X)
        if not hasattr(estimator, "predict_interval"):
            raise ValueError(
                f"estimator must have predict_interval; got {type(estimator).__name__}: call "
                f"CoverageDisplay.from_predictions."
            )
        levels = read_array(levels, "levels", *LEVELS_ARE)
        intervals = [estimator.predict_interval(X, level, method) for level in levels]
        name = method if name is None else name
        return cls.from_predictions(y, intervals, levels, ax=ax, name=name, **kwargs)

    @classmethod
    def from_predictions(cls, y, intervals, levels=LEVELS, *, ax=None, name=None, **kwargs):
        """Draw the coverage of intervals.

        Parameters
        ----------
        y : array of shape (m,) or (m, k)
            Targets.
        intervals : array of shape (n_levels, m, 2) or (n_levels, m, 2, k)
            Lower and upper ends.
        levels : array of shape (n_levels,), default=(0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
            Nominal coverages.
        ax : matplotlib Axes, optional
        name : str, optional
        **kwargs : dict
            Passed to ``ax.plot``.

        Returns
        -------
        CoverageDisplay
            Widths are medians over rows, averaged over outputs.
        """
        y, intervals = np.asarray(y), np.asarray(intervals, dtype=float)
        levels = read_array(levels, "levels", *LEVELS_ARE)
        expected = len(levels), len(y), 2, *y.shape[1:]
        if intervals.shape != expected:
            raise ValueError(
                f"intervals must have shape {expected}; got {intervals.shape}: pass the ends at "
                f"each level for each target."
            )
        Y, _ = read_targets(y, len(y))
        low, high = np.moveaxis(intervals.reshape(len(levels), len(Y), 2, -1), 2, 0)
        coverage = np.mean((low <= Y) & (Y <= high), axis=(1, 2))
        widths = np.median(high - low, axis=1).mean(axis=1)
        return cls(levels, coverage, widths, name).plot(ax, **kwargs)

    def _draw(self, name, kwargs):
        """Draw on ``ax_``."""
        self.ax_.axline((0.0, 0.0), slope=1.0, color="0.6", lw=1)
        style = {"marker": "o", "ms": 4, "label": name, **kwargs}
        (self.line_,) = self.ax_.plot(self.levels, self.coverage, **style)
        self.ax_.set(xlim=(0.0, 1.0), ylim=(0.0, 1.0))
        self.ax_.set(xlabel="coverage asked for", ylabel="share of targets inside")
        self.width_ax_ = self.width_line_ = None
        if self.widths is not None:
            self.width_ax_ = twin_of(self.ax_)
            style = {"ls": ":", **kwargs, "color": self.line_.get_color()}
            (self.width_line_,) = self.width_ax_.plot(self.levels, self.widths, **style)
            self.width_ax_.set_ylim(0.0, None)
            self.width_ax_.set_ylabel("median width (dotted)")
        if name is not None:
            self.ax_.legend(loc="upper left")
