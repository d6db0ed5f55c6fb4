"""Spectra of kernels, and what they hold of targets."""

import numpy as np

from ..spectrum import Spectrum
from ._display import Display, kernel_and_rows, name_of, targets_of, twin_of


class SpectrumDisplay(Display):
    """Eigenvalues of a kernel, and the share of the targets along the first eigenvectors.

    A second display on the same axes shares the scale of the alignment.

    Make one by `from_estimator`, `from_kernel` or `from_spectrum`.

    Parameters
    ----------
    eigenvalues : array of shape (n,)
        In decreasing order.
    alignment : array of shape (n,), optional
        Share of the squared centred targets along the first eigenvectors.
    name : str, optional
        Label of the lines.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the eigenvalues.
    alignment_ax_ : matplotlib Axes or None
        Axes of the alignment, with the scale on the right.
    figure_ : matplotlib Figure
    line_ : matplotlib Line2D
        Eigenvalues as shares of their sum, dotted.
    alignment_line_ : matplotlib Line2D or None
        The alignment, solid.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_ntk import NTKRegressor
    >>> from sklearn_ntk.plotting import SpectrumDisplay
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = NTKRegressor(kernel="ntk", activation="relu", features=None).fit(X[:50], y[:50])
    >>> display = SpectrumDisplay.from_estimator(model, X[:50], y[:50])
    >>> display.ax_.get_xlabel()
    'number of eigenvectors'
    >>> plt.close(display.figure_)
    """

    def __init__(self, eigenvalues, alignment=None, name=None):
        self.eigenvalues = eigenvalues
        self.alignment = alignment
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, X, y=None, *, ax=None, name=None, **kwargs):
        """Draw the spectrum of a fitted estimator's kernel on some rows.

        Parameters
        ----------
        estimator : estimator
            A fitted estimator with a kernel ``kernel_``, such as `NTKRegressor`, or a pipeline with
            one.
        X : array of shape (n, d)
        y : array of shape (n,) or (n, k), optional
            Targets, or classes.
        ax : matplotlib Axes, optional
        name : str, optional
            By default the name of the estimator's class.
        **kwargs : dict
            Passed to ``ax.plot``.

        Returns
        -------
        SpectrumDisplay
        """
        remedy = "call SpectrumDisplay.from_spectrum(Spectrum(K), y)"
        kernel, rows = kernel_and_rows(estimator, X, remedy)
        y = None if y is None else targets_of(estimator, y)
        name = name_of(estimator, name)
        return cls.from_kernel(kernel, rows, y, ax=ax, name=name, **kwargs)

    @classmethod
    def from_kernel(cls, kernel, X, y=None, *, ax=None, name=None, **kwargs):
        """Draw the spectrum of a kernel on some rows.

        Parameters
        ----------
        kernel : callable
            As for `spectrum.Spectrum.from_kernel`.
        X : array of shape (n, d)
        y : array of shape (n,) or (n, k), optional
            Targets.
        ax : matplotlib Axes, optional
        name : str, optional
        **kwargs : dict
            Passed to ``ax.plot``.

        Returns
        -------
        SpectrumDisplay
        """
        spectrum = Spectrum.from_kernel(kernel, X)
        return cls.from_spectrum(spectrum, y, ax=ax, name=name, **kwargs)

    @classmethod
    def from_spectrum(cls, spectrum, y=None, *, ax=None, name=None, **kwargs):
        """Draw a given spectrum.

        Parameters
        ----------
        spectrum : Spectrum
        y : array of shape (n,) or (n, k), optional
            Targets.
        ax : matplotlib Axes, optional
        name : str, optional
        **kwargs : dict
            Passed to ``ax.plot``.

        Returns
        -------
        SpectrumDisplay
        """
        alignment = None
        if y is not None:
            y = np.asarray(y, dtype=float)
            alignment = spectrum.cumulative_alignment(y - y.mean(axis=0))
        return cls(spectrum.eigenvalues, alignment, name).plot(ax, **kwargs)

    def _draw(self, name, kwargs):
        """Draw on ``ax_``."""
        number = np.arange(1, len(self.eigenvalues) + 1)
        shares = self.eigenvalues / (np.sum(self.eigenvalues) or 1.0)
        (self.line_,) = self.ax_.plot(number, shares, **{"ls": ":", "label": name, **kwargs})
        self.ax_.set(xscale="log", yscale="log", xlabel="number of eigenvectors")
        self.ax_.set_ylabel("share of an eigenvalue (dotted)")
        self.alignment_ax_ = self.alignment_line_ = None
        if self.alignment is not None:
            self.alignment_ax_ = twin_of(self.ax_)
            style = {"label": name, **kwargs, "color": self.line_.get_color()}
            (self.alignment_line_,) = self.alignment_ax_.plot(number, self.alignment, **style)
            self.alignment_ax_.set(ylim=(0.0, 1.02), ylabel="share of the targets (solid)")
        if name is not None:
            (self.alignment_ax_ or self.ax_).legend(loc="lower left")
