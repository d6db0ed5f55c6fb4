"""Axes to draw on, and the error where matplotlib is missing."""


def axes_for(ax):
    """The given axes, or new ones; raises ImportError if matplotlib is not installed."""
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            'Displays need matplotlib; install it by pip install "sklearn-ntk[plot]".'
        ) from error
    return plt.subplots(layout="constrained")[1]
