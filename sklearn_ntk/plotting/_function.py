"""Functions of one variable as a network learns them, with bands."""

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from ..dynamics import Flow, Training, covariance
from ._display import Display, in_pipeline, name_of

N_POINTS = 300
"""Number of points at which functions are drawn by default."""

MARGIN = 0.2
"""Share of the range of the rows that is drawn on both sides beyond it."""

REACH = 1.96
"""Standard deviations on both sides of the mean: 95 % of a normal distribution."""


class FunctionDisplay(Display):
    """Functions of one variable at several training times, with bands that hold 95 % of networks.

    Make one by `from_kernel` or `from_estimator`.

    Parameters
    ----------
    x : array of shape (n_points,)
        Where functions are drawn, increasing.
    means : array of shape (n_functions, n_points)
    stds : array of shape (n_functions, n_points), optional
        Standard deviations.
    labels : list of n_functions str, optional
    rows : tuple of two arrays of shape (n,), optional
        Training rows and their targets.
    name : str, optional
        Label of the functions, or the beginning of their ``labels``.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        The means.
    bands_ : list of matplotlib PolyCollection
        Empty without ``stds``.
    points_ : matplotlib Line2D or None
        The rows.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from sklearn_ntk import NNGPKernel, NTKKernel
    >>> from sklearn_ntk.plotting import FunctionDisplay
    >>> X = np.linspace(-1.0, 1.0, 5)[:, None]
    >>> networks = {"start": NNGPKernel(bias_var=0.1)}  # whose outputs are so at the start
    >>> display = FunctionDisplay.from_kernel(
    ...     NTKKernel(bias_var=0.1), X, np.sin(3.0 * X[:, 0]), [1.0, 10.0], **networks
    ... )
    >>> display.stds.shape
    (2, 300)
    >>> [line.get_label() for line in display.lines_]
    ['t = 1', 't = 10']
    >>> plt.close(display.figure_)
    """

    def __init__(self, x, means, stds=None, labels=None, rows=None, name=None):
        self.x = x
        self.means = means
        self.stds = stds
        self.labels = labels
        self.rows = rows
        self.name = name

    @classmethod
    def from_kernel(
        cls,
        kernel,
        X,
        y,
        times,
        *,
        start=None,
        x=None,
        alpha=0.0,
        learning_rate=1.0,
        method=None,
        fit_intercept=True,
        ax=None,
        name=None,
        **kwargs,
    ):
        """Train wide networks, and draw their functions at several times.

        Parameters
        ----------
        kernel : Kernel
            Kernel of the training, such as `NTKKernel`.
        X : array of shape (n, 1)
        y : array of shape (n,)
            Targets.
        times : array of shape (n_times,)
            Times, or numbers of steps; possibly infinite.
        start : Kernel, optional
            Kernel of networks before training, such as `NNGPKernel`; by default the kernel of the
            training. See `dynamics.covariance`.
        x : array of shape (n_points,), optional
            Where functions are drawn, by default a little beyond the rows.
        alpha, learning_rate, method, fit_intercept
            As for `dynamics.Training`.
        ax : matplotlib Axes, optional
        name : str, optional
            Beginning of the labels of the lines.
        **kwargs : dict
            Passed to ``ax.plot`` for the means.

        Returns
        -------
        FunctionDisplay
        """
        X = _column(X)
        x = _points(X) if x is None else np.ravel(np.asarray(x, dtype=float))
        times = np.atleast_1d(times)
        method = Flow() if method is None else method
        training = Training(kernel(X), None, alpha, learning_rate, method, fit_intercept)
        cross, first = kernel(x[:, None], X), kernel if start is None else start
        means = training.predict(cross, _targets(y, X), times)
        matrices = None if start is None else (start(X), start(x[:, None], X))
        variances = covariance(training, cross, first.diag(x[:, None]), times, matrices)
        labels = [f"t = {time:g}" for time in times]
        rows = X[:, 0], _targets(y, X)
        return cls(x, means, np.sqrt(variances), labels, rows, name).plot(ax, **kwargs)

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        times=None,
        x=None,
        include_noise=False,
        ax=None,
        name=None,
        **kwargs,
    ):
        """Draw the function of a fitted estimator with its band, or at several times without one.

        Parameters
        ----------
        estimator : NTKRegressor
            An estimator, or a pipeline with one, fitted to one column and one output.
        X : array of shape (n, 1)
            Training rows.
        y : array of shape (n,)
        times : array of shape (n_times,), optional
            For ``staged_predict``, which has no bands.
        x : array of shape (n_points,), optional
            Where functions are drawn, by default a little beyond the rows.
        include_noise : bool, default=False
            Whether the band is for new observations.
        ax : matplotlib Axes, optional
        name : str, optional
            Label of the line, by default the name of the estimator's class; with ``times``, the
            beginning of the labels, by default empty.
        **kwargs : dict
            Passed to ``ax.plot`` for the means.

        Returns
        -------
        FunctionDisplay
        """
        check_is_fitted(estimator)
        if is_classifier(estimator):
            raise ValueError(
                f"estimator must be a regressor, whose values are drawn; got "
                f"{type(estimator).__name__}: fit one to an indicator of a class."
            )
        X = _column(X)
        x = _points(X) if x is None else np.ravel(np.asarray(x, dtype=float))
        rows = X[:, 0], _targets(y, X)
        if times is not None:
            last, points = in_pipeline(estimator, x[:, None])
            means = np.array(list(last.staged_predict(points, times)))
            _check_outputs(means[0])
            labels = [f"t = {time:g}" for time in times]
            return cls(x, means, None, labels, rows, name).plot(ax, **kwargs)
        options = {"return_std": True, "include_noise": include_noise}
        mean, std = estimator.predict(x[:, None], **options)
        _check_outputs(mean)
        name = name_of(estimator, name)
        return cls(x, mean[None], std[None], None, rows, name).plot(ax, **kwargs)

    def _draw(self, name, kwargs):
        """Draw on ``ax_``."""
        labels = [name] * len(self.means) if self.labels is None else self.labels
        if self.labels is not None and name is not None:
            labels = [f"{name}, {label}" for label in labels]
        self.lines_, self.bands_, self.points_ = [], [], None
        for k, (mean, label) in enumerate(zip(self.means, labels, strict=True)):
            (line,) = self.ax_.plot(self.x, mean, **{"label": label, **kwargs})
            self.lines_.append(line)
            if self.stds is not None:
                ends = mean - REACH * self.stds[k], mean + REACH * self.stds[k]
                style = {"color": line.get_color(), "alpha": 0.15, "lw": 0}
                self.bands_.append(self.ax_.fill_between(self.x, *ends, **style))
        if self.rows is not None:
            (self.points_,) = self.ax_.plot(*self.rows, "o", color="black", ms=3)
        self.ax_.set(xlabel="x")
        if any(label is not None for label in labels):
            self.ax_.legend()


def _check_outputs(values):
    """Raise ValueError for functions of several outputs."""
    if values.ndim > 1:
        raise ValueError(f"estimator must have one output; got {values.shape[1]}: fit one of them.")


def _column(X):
    """Rows (n, 1) as an array."""
    X = np.asarray(X, dtype=float)
    if X.ndim != 2 or X.shape[1] != 1:
        raise ValueError(f"X must have one column to draw functions of; got shape {X.shape}.")
    return X


def _targets(y, X):
    """Targets (n,) of rows, also from a column of them."""
    y = np.asarray(y, dtype=float)
    if y.shape not in ((len(X),), (len(X), 1)):
        raise ValueError(
            f"y must have one number for each of the {len(X)} rows; got shape {y.shape}."
        )
    return y.ravel()


def _points(X):
    """Points (N_POINTS,) a little beyond rows (n, 1)."""
    reach = MARGIN * (np.ptp(X) or 1.0)
    return np.linspace(X.min() - reach, X.max() + reach, N_POINTS)
