"""Learning curves, predicted from a spectrum and seen in fits."""

import numpy as np
from sklearn.utils import check_random_state

from .._runtime.check import read_count, read_targets
from ..spectrum import Spectrum
from ._display import Display

N_SIZES = 60
"""Most sizes at which the prediction is drawn."""


class LearningCurveDisplay(Display):
    """Test errors of ridge regression by number of rows: the prediction, and fits to subsets.

    Make one by `from_kernel`.

    Parameters
    ----------
    curve : LearningCurve
        The prediction, as from `spectrum.Spectrum.learning_curve`.
    sizes : array of shape (n_sizes,), optional
        Numbers of rows of fits.
    errors : array of shape (n_sizes, n_splits), optional
        Mean squared errors of fits.
    name : str, optional
        Label of the line.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    line_ : matplotlib Line2D
        The prediction.
    errorbar_ : matplotlib ErrorbarContainer or None
        Means of the errors of fits, with their standard errors.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import scale
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.plotting import LearningCurveDisplay
    >>> X, y = (scale(values) for values in load_diabetes(return_X_y=True))
    >>> options = {"alpha": 10.0, "random_state": 0}
    >>> display = LearningCurveDisplay.from_kernel(NTKKernel(), X, y, [20, 40, 80], **options)
    >>> display.errors.mean(axis=1).round(1)
    array([0.7, 0.6, 0.5])
    >>> plt.close(display.figure_)
    """

    def __init__(self, curve, sizes=None, errors=None, name=None):
        self.curve = curve
        self.sizes = sizes
        self.errors = errors
        self.name = name

    @classmethod
    def from_kernel(
        cls,
        kernel,
        X,
        y,
        sizes=None,
        *,
        alpha=1.0,
        n_splits=20,
        random_state=None,
        ax=None,
        name=None,
        **kwargs,
    ):
        """Predict errors from the spectrum of all rows, and fit random subsets of them.

        Fits have no constant; the mean of all targets is subtracted first.

        Parameters
        ----------
        kernel : callable
            As for `spectrum.Spectrum.from_kernel`.
        X : array of shape (n, d)
        y : array of shape (n,) or (n, k)
            Targets.
        sizes : array of shape (n_sizes,), optional
            Numbers of training rows, by default five up to a quarter of the rows.
        alpha : float, default=1.0
            Ridge.
        n_splits : int, default=20
            Number of subsets of each size.
        random_state : int, RandomState instance or None, default=None
            Controls the random subsets.
        ax : matplotlib Axes, optional
        name : str, optional
        **kwargs : dict
            Passed to ``ax.plot`` for the prediction.

        Returns
        -------
        LearningCurveDisplay
        """
        K = np.asarray(kernel(X), dtype=float)
        Y, _ = read_targets(y, len(K))
        Y, n_splits = Y - Y.mean(axis=0), read_count(n_splits, "n_splits", 1)
        if sizes is None:
            sizes = np.unique(
                np.geomspace(max(1, len(K) // 30), max(1, len(K) // 4), 5).astype(int)
            )
        sizes = np.atleast_1d(sizes)
        if not len(sizes):
            raise ValueError("sizes must have a number of rows; got none: leave it at None.")
        between = np.geomspace(np.min(sizes), np.max(sizes), N_SIZES).round()
        curve = Spectrum(K).learning_curve(Y, np.union1d(sizes, between), alpha)
        rng = check_random_state(random_state)
        errors = [[_error(K, Y, n, alpha, rng) for _ in range(n_splits)] for n in map(int, sizes)]
        return cls(curve, sizes, np.array(errors), name).plot(ax, **kwargs)

    def _draw(self, name, kwargs):
        """Draw on ``ax_``."""
        (self.line_,) = self.ax_.plot(
            self.curve.sizes, self.curve.test, **{"label": name, **kwargs}
        )
        self.errorbar_ = None
        if self.errors is not None:
            spread = self.errors.std(axis=1) / np.sqrt(self.errors.shape[1])
            means, color = self.errors.mean(axis=1), self.line_.get_color()
            self.errorbar_ = self.ax_.errorbar(
                self.sizes, means, spread, fmt="o", ms=4, color=color
            )
        self.ax_.set(xlabel="training rows", ylabel="mean squared error")
        if name is not None:
            self.ax_.legend()


def _error(K, Y, n, alpha, rng):
    """Mean squared error, summed over outputs, of a fit to ``n`` random rows, at the others."""
    train, test = np.split(rng.permutation(len(K)), [n])
    ridge = K[np.ix_(train, train)] + alpha * np.eye(n)
    dual = np.linalg.pinv(ridge, hermitian=True) @ Y[train]
    return np.sum((Y[test] - K[np.ix_(test, train)] @ dual) ** 2) / len(test)
