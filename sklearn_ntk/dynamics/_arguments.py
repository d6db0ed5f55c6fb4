"""Checks of what training takes: times, classes, methods, momenta, outputs and kernels."""

import numpy as np

from .._runtime.check import is_number, read_array, read_number, read_targets


def read_times(times, method=None):
    """Times in float64, a single one of shape () or an array (n_times,).

    Those of a ``method`` that takes steps are whole numbers.
    """
    values = np.asarray(times, dtype=object)
    if values.ndim > 1:
        raise ValueError(
            f"times must be a number or an array (n_times,); got shape {values.shape}: flatten it."
        )
    read = [read_number(each, "time", may_be_infinite=True) for each in values.ravel()]
    for each in read:
        if method is not None and np.isfinite(each) and each != np.floor(each):
            raise ValueError(
                f"time must be a whole number of steps for {method!r}; got {each:g}: round it."
            )
    return np.array(read, dtype=float).reshape(values.shape)


def read_momentum(momentum):
    """Momentum, a number in [0, 1), as a float."""
    if not is_number(momentum) or not 0.0 <= momentum < 1.0:
        raise ValueError(f"momentum must be a number >= 0 and < 1; got {momentum!r}.")
    return float(momentum)


def read_shaped(values, shape, name, remedy):
    """Array of a given shape."""
    what = f"an array {shape} of finite numbers"
    array = read_array(values, name, what, remedy, [len(shape)])
    if array.shape != shape:
        raise ValueError(f"{name} must be {what}; got shape {array.shape}: {remedy}.")
    return array


def read_outputs(outputs, shape, name):
    """Initial outputs of a given shape."""
    return read_shaped(outputs, shape, name, "give them the axes of Y")


def read_classes(Y, n, is_whole):
    """Shares (n, k) of classes, each one there if ``is_whole``, and whether ``Y`` had one axis."""
    Y, is_flat = read_targets(Y, n)
    sums = Y.sum(axis=1) if Y.shape[1] > 1 else np.ones(n)
    what = "Y must be shares of classes, numbers in [0, 1] that sum to one in each row"
    if np.any((Y < 0.0) | (Y > 1.0)) or np.abs(sums - 1.0).max() > 1e-8:
        seen = f"from {Y.min():.3g} to {Y.max():.3g} with sums up to {sums.max():.3g}"
        raise ValueError(f"{what}; got numbers {seen}: pass np.eye(n_classes)[labels].")
    totals = np.append(n - Y.sum(), Y.sum()) if Y.shape[1] == 1 else Y.sum(axis=0)
    if is_whole and totals.min() <= 0.0:
        raise ValueError(
            f"Y must have rows of all its classes for an intercept to be finite; got none of class "
            f"{totals.argmin()}: add some, or set fit_intercept=False."
        )
    return Y, is_flat


def read_method(method):
    """A method of training: it has a filter and a limit."""
    if isinstance(method, type) or not (hasattr(method, "filter") and hasattr(method, "limit")):
        raise ValueError(
            f"method must be a method of training such as Flow() or Descent(); got {method!r}."
        )
    read_momentum(getattr(method, "momentum", 0.0))
    return method
