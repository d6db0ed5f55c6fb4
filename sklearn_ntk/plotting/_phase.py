"""The phase diagram of deep networks."""

import numpy as np

from ..spectrum import critical_weight_var, phase
from ._display import Display

DEEPEST = 100.0
"""Depth scales beyond this one have its colour."""


class PhaseDisplay(Display):
    """Phase diagram: layers until correlations settle, and the edge between order and chaos.

    Make one by `from_activation`.

    Parameters
    ----------
    weight_var : array of shape (n,)
        Variances of the weights, increasing.
    bias_var : array of shape (m,)
        Variances of the biases, increasing, positive.
    depths : array of shape (n, m)
        Numbers of layers until correlations settle.
    critical : array of shape (m,)
        Variances of the weights at the edge of chaos, NaN where there is none.
    name : str, optional
        Title.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    mesh_ : matplotlib QuadMesh
    line_ : matplotlib Line2D
        The edge of chaos.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn_ntk.plotting import PhaseDisplay
    >>> display = PhaseDisplay.from_activation("erf", weight_var=[0.5, 1.0, 2.0, 4.0])
    >>> display.ax_.get_title()
    'erf'
    >>> plt.close(display.figure_)
    """

    def __init__(self, weight_var, bias_var, depths, critical, name=None):
        self.weight_var = weight_var
        self.bias_var = bias_var
        self.depths = depths
        self.critical = critical
        self.name = name

    @classmethod
    def from_activation(
        cls, activation, weight_var=None, bias_var=None, *, ax=None, name=None, **kwargs
    ):
        """Draw the phase diagram of an activation.

        Parameters
        ----------
        activation : str or activation
        weight_var : array of shape (n,), optional
            By default 100 values from 0.1 to 10.
        bias_var : array of shape (m,), optional
            By default 80 values from 0.001 to 3.
        ax : matplotlib Axes, optional
        name : str, optional
            By default the name of the activation.
        **kwargs : dict
            Passed to ``ax.pcolormesh``.

        Returns
        -------
        PhaseDisplay
        """
        weight_var = np.geomspace(0.1, 10.0, 100) if weight_var is None else weight_var
        bias_var = np.geomspace(1e-3, 3.0, 80) if bias_var is None else bias_var
        weight_var, bias_var = map(np.atleast_1d, (weight_var, bias_var))
        depths = phase(activation, weight_var[:, None], bias_var).correlation_depth
        critical = critical_weight_var(activation, bias_var)
        name = str(activation) if name is None else name
        return cls(weight_var, bias_var, depths, critical, name).plot(ax, **kwargs)

    def _draw(self, name, kwargs):
        """Draw on ``ax_``."""
        colors = np.log10(np.clip(self.depths, 1.0, DEEPEST))
        limits = {"vmin": 0.0, "vmax": np.log10(DEEPEST), "shading": "gouraud"}
        self.mesh_ = self.ax_.pcolormesh(
            self.bias_var, self.weight_var, colors, **{**limits, **kwargs}
        )
        bar = self.figure_.colorbar(self.mesh_, ax=self.ax_, ticks=[0.0, 1.0, 2.0])
        bar.ax.set_yticklabels(["1", "10", f"{DEEPEST:.0f}"])
        bar.set_label("layers in which correlations settle")
        (self.line_,) = self.ax_.plot(self.bias_var, self.critical, "w", lw=2)
        self.ax_.set(xscale="log", yscale="log", xlabel="bias_var", ylabel="weight_var")
        self.ax_.set_ylim(self.weight_var[0], self.weight_var[-1])
        self.ax_.set_title(name)
