"""Errors of training and of new rows in time."""

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from .._runtime.check import read_targets
from ..solvers import RELATIVE_RIDGES
from ._display import Display, in_pipeline, labels_of, name_of

N_TIMES = 80
"""Number of times at which errors are drawn by default."""

LONGEST = 1e8
"""Ratio of the last default time to the first one, at most."""

DEEPEST = 1e-3
"""Errors of training below this share of those at new rows are not shown."""

SQUARES = "mean squared error"


class TrainingDisplay(Display):
    """Errors over time, at training and new rows, with the learning times of eigenvectors.

    Make one by `from_training` or `from_estimator`.

    Parameters
    ----------
    times : array of shape (n_times,)
        Times, or numbers of steps.
    train : array of shape (n_times,)
        Errors at the training rows.
    test : array of shape (n_times,), optional
        Errors at new rows.
    learning_times : array of shape (n_modes,), optional
        Times in which residuals along eigenvectors fall by a factor e, marked below the curves.
    name : str, optional
        Label of the lines.
    labels : tuple of two str, default=("time", "mean squared error")
        Labels of the axes.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    line_ : matplotlib Line2D
        Errors at the training rows, dashed.
    test_line_ : matplotlib Line2D or None
        Errors at new rows, solid.
    marks_ : matplotlib Line2D or None
        The learning times.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.dynamics import Descent, Training
    >>> from sklearn_ntk.plotting import TrainingDisplay
    >>> X = np.linspace(-1.0, 1.0, 20)[:, None]
    >>> training = Training(NTKKernel(bias_var=0.1)(X), method=Descent())
    >>> display = TrainingDisplay.from_training(training, np.sin(4.0 * X[:, 0]), [1, 10, 100])
    >>> display.train.round(3)
    array([0.401, 0.199, 0.001])
    >>> display.ax_.get_xlabel()
    'steps (learning rate 1, stable below 1.85)'
    >>> plt.close(display.figure_)
    """

    def __init__(
        self, times, train, test=None, learning_times=None, name=None, labels=("time", SQUARES)
    ):
        self.times = times
        self.train = train
        self.test = test
        self.learning_times = learning_times
        self.name = name
        self.labels = labels

    @classmethod
    def from_training(
        cls,
        training,
        Y,
        times=None,
        *,
        cross=None,
        Y_test=None,
        ax=None,
        name=None,
        **kwargs,
    ):
        """Draw the training of a wide network on the squared error.

        Parameters
        ----------
        training : dynamics.Training
        Y : array of shape (n,) or (n, k)
            Targets.
        times : array of shape (n_times,), optional
            By default from a tenth of the shortest learning time to ten times the longest, but at
            most ``1e8`` times the start.
        cross : array of shape (m, n), optional
            Kernel between new rows and training rows.
        Y_test : array of shape (m,) or (m, k), optional
            Targets of the new rows.
        ax : matplotlib Axes, optional
        name : str, optional
        **kwargs : dict
            Passed to ``ax.plot``.

        Returns
        -------
        TrainingDisplay
            Errors are summed over outputs.
        """
        if not hasattr(training, "losses"):
            raise ValueError(
                f"training must be a Training on the squared error; got {type(training).__name__}."
            )
        if (cross is None) != (Y_test is None):
            raise ValueError("cross and Y_test must be given together; got one of them.")
        learning, is_flow = training.learning_times(), training.method.is_flow
        if times is None:
            known = learning[np.isfinite(learning) & (learning > 0.0)]
            least, most = np.min(known, initial=1e300), np.max(known, initial=0.0)
            ends = (0.1 * least, 10.0 * most) if len(known) else (0.1, 10.0)
            times = _between(*ends, not is_flow)
        test = None
        if cross is not None:
            test = _squares(training.predict(cross, Y, times), Y_test, len(cross), np.size(times))
        rate = f"learning rate {training.learning_rate:.3g}"
        bound = f"steps ({rate}, stable below {training.max_learning_rate:.3g})"
        labels = "time" if is_flow else bound, SQUARES
        train = 2.0 * training.losses(Y, times)
        return cls(times, train, test, learning, name, labels).plot(ax, **kwargs)

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        X_test=None,
        y_test=None,
        *,
        times=None,
        ax=None,
        name=None,
        **kwargs,
    ):
        """Draw errors of a fitted estimator over its training time.

        Parameters
        ----------
        estimator : estimator
            A fitted estimator with ``staged_predict(X, times)``, such as `NTKRegressor`, or a
            pipeline with one.
        X : array of shape (n, d)
            Training rows.
        y : array of shape (n,) or (n, k)
            Their targets, or labels.
        X_test : array of shape (m, d), optional
            New rows.
        y_test : array of shape (m,) or (m, k), optional
        times : array of shape (n_times,), optional
            By default times that regularise about as much as the default ridges.
        ax : matplotlib Axes, optional
        name : str, optional
            By default the name of the estimator's class.
        **kwargs : dict
            Passed to ``ax.plot``.

        Returns
        -------
        TrainingDisplay
            Mean squared errors summed over outputs, or shares of wrong labels.
        """
        estimator, X, X_test = in_pipeline(estimator, X, X_test)
        check_is_fitted(estimator)
        if not hasattr(estimator, "staged_predict"):
            raise ValueError(
                f"estimator must have staged_predict; got {type(estimator).__name__}: take "
                f"TrainingDisplay.from_training."
            )
        if (X_test is None) != (y_test is None):
            raise ValueError("X_test and y_test must be given together; got one of them.")
        is_steps = "flow" not in getattr(estimator, "optimizer", "flow")
        times = _times_of(estimator, is_steps) if times is None else np.asarray(times)

        def errors(rows, targets):
            stages = list(estimator.staged_predict(rows, times))
            if is_classifier(estimator):
                targets = labels_of(targets, len(stages[0]))
                return np.array([np.mean(stage != targets) for stage in stages])
            return _squares(stages, targets, len(stages[0]), len(stages))

        train = errors(X, y)
        test = None if X_test is None else errors(X_test, y_test)
        ylabel = "share of wrong labels" if is_classifier(estimator) else SQUARES
        labels, name = ("steps" if is_steps else "time", ylabel), name_of(estimator, name)
        return cls(times, train, test, None, name, labels).plot(ax, **kwargs)

    def _draw(self, name, kwargs):
        """Draw on ``ax_``."""
        start = "" if name is None else f"{name}, "
        style = {"ls": "--", "label": f"{start}training rows", **kwargs}
        (self.line_,) = self.ax_.plot(self.times, self.train, **style)
        self.test_line_ = self.marks_ = None
        if self.test is not None:
            style = {"label": f"{start}new rows", **kwargs, "color": self.line_.get_color()}
            (self.test_line_,) = self.ax_.plot(self.times, self.test, **style)
        if self.learning_times is not None:
            shown = np.asarray(self.learning_times)
            shown = shown[(shown >= np.min(self.times)) & (shown <= np.max(self.times))]
            style = {"marker": "|", "ms": 14, "ls": "", "alpha": 0.4, "color": "black"}
            (self.marks_,) = self.ax_.plot(
                shown, 0.0 * shown, transform=self.ax_.get_xaxis_transform(), **style
            )
        is_square = self.labels[1] == SQUARES
        self.ax_.set(xscale="log", yscale="log" if is_square else "linear")
        if is_square and self.test is not None:  # small errors of training hide all others
            lowest = max(np.min(self.train), DEEPEST * np.min(self.test))
            self.ax_.set_ylim(bottom=0.8 * lowest if lowest > 0.0 else None)
        self.ax_.set(xlabel=self.labels[0], ylabel=self.labels[1])
        self.ax_.legend()


def _squares(outputs, targets, m, n_times):
    """Mean squared errors (n_times,), summed over the k outputs, of n_times m k outputs."""
    (Y, _), outputs = read_targets(targets, m), np.reshape(outputs, (n_times, m, -1))
    if outputs.shape[2] != Y.shape[1]:
        raise ValueError(
            f"Targets must have as many outputs as those of the fit, {outputs.shape[2]}; got "
            f"{Y.shape[1]}."
        )
    return np.sum((outputs - Y) ** 2, axis=2).mean(axis=1)


def _between(first, last, is_steps):
    """Times between two, evenly on a logarithmic axis."""
    times = np.geomspace(first, min(last, LONGEST * first), N_TIMES)
    return np.unique(np.ceil(times)) if is_steps else times


def _times_of(estimator, is_steps):
    """Default times of an estimator with a kernel."""
    if getattr(estimator, "kernel_", None) is None:
        raise ValueError("times must be given for an estimator without a kernel; got None.")
    rows = estimator.X_fit_
    scale = estimator.kernel_.diag(rows).mean() * getattr(estimator, "learning_rate", 1.0)
    first, last = len(rows) / scale / RELATIVE_RIDGES[[-1, 0]]
    return _between(first, last, is_steps)
