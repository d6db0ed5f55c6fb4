"""Training of a finite network beside what its linear model and the infinite width predict."""

import numpy as np

from ._display import Display

QUANTITIES = {
    "loss": (
        "half the mean squared error",
        {
            "loss": ("network", "-"),
            "linear_loss": ("linear model", "--"),
            "infinite_loss": ("infinite width", ":"),
        },
    ),
    "change": (
        "relative change",
        {
            "jacobian_change": ("Jacobian", "-"),
            "kernel_change": ("kernel", "--"),
            "weight_change": ("weights", ":"),
        },
    ),
    "distance": (
        "distance of predictions",
        {"to_linear": ("to the linear model", "--"), "to_infinite": ("to infinite width", ":")},
    ),
}
"""By quantity the label of the axis, and of each attribute of a `Checkpoint` its name and line."""


class LazyTrainingDisplay(Display):
    """Training of a finite network by steps: losses, changes, or distances of predictions.

    Make one by `from_report`.

    Parameters
    ----------
    steps : array of shape (n_checkpoints,)
    values : dict
        Arrays (n_checkpoints,) by attribute of `sklearn_ntk.finite.Checkpoint`.
    quantity : {"loss", "change", "distance"}, default="loss"
        Which quantities are drawn.
    foreseen : float, optional
        Change of the Jacobian predicted before training, drawn for "change".
    name : str, optional
        Beginning of the labels of the lines.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : dict
        Lines by attribute, without those that have no numbers. Changes and distances begin after
        step 0, where they are zero up to rounding.
    foreseen_line_ : matplotlib Line2D or None

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from sklearn_ntk.architectures import mlp
    >>> from sklearn_ntk.finite import LazyTrainingReport, sample_network
    >>> from sklearn_ntk.plotting import LazyTrainingDisplay
    >>> X = np.linspace(-1.0, 1.0, 10)[:, None]
    >>> network = sample_network(mlp(1, "erf"), 50, n_inputs=1, random_state=0)
    >>> report = LazyTrainingReport(network, n_steps=20).fit(X, np.sin(3.0 * X[:, 0]))
    >>> display = LazyTrainingDisplay.from_report(report)
    >>> list(display.lines_)
    ['loss', 'linear_loss']
    >>> plt.close(display.figure_)
    """

    def __init__(self, steps, values, quantity="loss", foreseen=None, name=None):
        self.steps = steps
        self.values = values
        self.quantity = quantity
        self.foreseen = foreseen
        self.name = name

    @classmethod
    def from_report(cls, report, quantity="loss", *, ax=None, name=None, **kwargs):
        """Draw the results of a report.

        Parameters
        ----------
        report : LazyTrainingReport
            A fitted report.
        quantity : {"loss", "change", "distance"}, default="loss"
            Losses and changes are those at the training rows; distances are at new rows, in
            standard deviations of the targets.
        ax : matplotlib Axes, optional
        name : str, optional
        **kwargs : dict
            Passed to ``ax.plot``.

        Returns
        -------
        LazyTrainingDisplay
        """
        if quantity not in QUANTITIES:
            names = ", ".join(map(repr, QUANTITIES))
            raise ValueError(f"quantity must be one of {names}; got {quantity!r}.")
        if not hasattr(report, "checkpoints_"):
            raise ValueError(
                f"report must be a fitted LazyTrainingReport; got {type(report).__name__} without "
                f"checkpoints: call its fit first."
            )
        found = report.checkpoints_
        values = {
            each: np.array([getattr(checkpoint, each) for checkpoint in found])
            for each in QUANTITIES[quantity][1]
        }
        steps = np.array([checkpoint.step for checkpoint in found])
        foreseen = report.kappa_ if quantity == "change" else None
        return cls(steps, values, quantity, foreseen, name).plot(ax, **kwargs)

    def _draw(self, name, kwargs):
        """Draw on ``ax_``; one colour for all lines of a display."""
        label, lines = QUANTITIES[self.quantity]
        start, self.lines_, self.foreseen_line_ = "" if name is None else f"{name}, ", {}, None
        steps = np.asarray(self.steps)
        shown = (steps > 0) | (self.quantity == "loss")  # others are rounding at the start
        for attribute, (text, dashes) in lines.items():
            values = np.asarray(self.values[attribute])[shown]
            if not np.any(np.isfinite(values)):
                continue
            values = np.where(np.isfinite(values) & (values > 0.0), values, np.nan)
            style = {"ls": dashes, "label": f"{start}{text}", **kwargs}
            (line,) = self.ax_.plot(steps[shown], values, **style)
            self.lines_[attribute] = line
            kwargs = {"color": line.get_color(), **kwargs}
        if self.foreseen is not None:
            style = {"lw": 1.0, "alpha": 0.5, "label": f"{start}Jacobian, foreseen", **kwargs}
            self.foreseen_line_ = self.ax_.axhline(self.foreseen, **style | {"marker": ""})
        if self.quantity == "loss":  # the only one that is drawn at step 0
            self.ax_.set_xscale("symlog", linthresh=1.0)
        else:
            self.ax_.set_xscale("log")
        self.ax_.set(yscale="log", xlabel="steps", ylabel=label)
        self.ax_.legend()
