"""What displays share: axes to draw on, labels, and the kernel and rows of an estimator."""

import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_is_fitted


class Display:
    """Base class of displays, which are drawn by ``_draw(name, options)`` on ``ax_``."""

    name = None

    def plot(self, ax=None, *, name=None, **kwargs):
        """Draw it on given axes, or on new ones.

        Parameters
        ----------
        ax : matplotlib Axes, optional
        name : str, optional
            By default that of the display.
        **kwargs : dict
            For the lines, or for the map.

        Returns
        -------
        Display
            Itself.
        """
        self.ax_ = axes_for(ax)
        self.figure_ = self.ax_.figure
        self._draw(self.name if name is None else name, kwargs)
        return self


def axes_for(ax):
    """The given axes, or new ones; raises ImportError if matplotlib is not installed."""
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            'Displays need matplotlib; run pip install ".[plot]" in the checkout.'
        ) from error
    return plt.subplots(layout="constrained")[1]


def twin_of(ax):
    """The axes over these that share their x axis, with a scale on the right; maybe new ones."""
    for other in ax.get_shared_x_axes().get_siblings(ax):
        if other is not ax and other.bbox.bounds == ax.bbox.bounds:
            return other
    return ax.twinx()


def name_of(estimator, name):
    """The given name, or that of the class, in a pipeline of the last estimator."""
    (estimator,) = in_pipeline(estimator)
    return type(estimator).__name__ if name is None else name


def in_pipeline(estimator, *rows):
    """The last estimator of a pipeline, and arrays of rows, or None, as it sees them."""
    while isinstance(estimator, Pipeline):
        for _, step in estimator.steps[:-1]:
            if hasattr(step, "transform"):  # not "passthrough"
                rows = [X if X is None else step.transform(X) for X in rows]
        estimator = estimator[-1]
    return estimator, *rows


def kernel_and_rows(estimator, X, remedy):
    """Kernel of a fitted estimator, or pipeline, and rows as the kernel sees them.

    Raises ValueError, with what to do, for estimators without a kernel.
    """
    estimator, X = in_pipeline(estimator, X)
    check_is_fitted(estimator)
    kernel = getattr(estimator, "kernel_", None)
    if kernel is None:
        raise ValueError(
            f"estimator must have a kernel; got {type(estimator).__name__} with a precomputed "
            f"one, or without: {remedy}."
        )
    return kernel, getattr(estimator, "_rows", np.asarray)(np.asarray(X, dtype=float))


def targets_of(estimator, y):
    """Targets, or indicators (n, n_classes) of the classes."""
    if not is_classifier(estimator):
        return np.asarray(y)
    y = labels_of(y)
    return y[:, None] == np.unique(y)


def labels_of(y, n=None):
    """Labels (n,), also of a column of them; raises ValueError if there are not so many."""
    y = column_or_1d(y)
    if n not in (None, len(y)):
        raise ValueError(f"There must be one label for each of the {n} rows; got {len(y)}.")
    return y
