"""Rows as the kernels take them: checked, and divided by the length scales of their columns."""

from functools import wraps

import numpy as np
from sklearn import config_context
from sklearn.utils import check_array

from .._runtime.check import read_rows
from .._runtime.device import is_on_device
from .._runtime.errors import OutOfRange
from ..engines._work import active
from ._hyperparameters import read_length_scale

of_numpy = config_context(array_api_dispatch=False)
"""Decorator of functions in which scikit-learn makes arrays of NumPy of tensors, whatever the user
has configured."""


def where_rows_are(method):
    """Decorator of a method of rows ``X``, and maybe ``Y``: their device is the current one.

    For rows of NumPy it is the ``device`` of the kernel.
    """

    @wraps(method)
    def placed(self, X, *arguments, **options):
        with active([X, options.get("Y", *arguments[:1])], self.device):
            return method(self, X, *arguments, **options)

    return placed


@of_numpy
def check_rows(X):
    """Rows in float64; raises errors of scikit-learn, or of `read_rows` where these say more."""
    if is_on_device(X) or np.ma.is_masked(X):
        return read_rows(X)
    try:
        return check_array(X, dtype=np.float64, input_name="X")
    except (TypeError, OverflowError):  # raised for entries such as pandas' NA
        if hasattr(X, "toarray"):
            raise
        return read_rows(X)  # names the entry


def divided(X, length_scale):
    """Rows (n, d) divided by their length scales; raises `OutOfRange` if they overflow."""
    if length_scale is None:
        return X
    scale, d = read_length_scale(length_scale), X.shape[1]
    if scale.size not in (1, d):
        raise ValueError(
            f"length_scale must be one number, or one for each of the {d} columns of X; got "
            f"{scale.size} numbers."
        )
    with np.errstate(over="ignore"):
        X = X / np.asarray(scale, like=X)
    if not np.isfinite(X).all():
        raise OutOfRange(
            f"Rows divided by length_scale overflow; the least is {scale.min():.3g}: raise it, or "
            f"scale the data."
        )
    return X
