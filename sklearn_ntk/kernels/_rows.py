"""Rows as the kernels take them: checked, and divided by the length scales of their columns."""

import reprlib
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
def check_rows(X, name="X"):
    """Rows in float64; raises errors of scikit-learn, or of `read_rows` where these say more."""
    if is_on_device(X) or np.ma.is_masked(X):
        return read_rows(X, name)
    check_columns(X, name)
    try:
        return check_array(X, dtype=np.float64, input_name=name)
    except (TypeError, OverflowError):  # raised for entries such as pandas' NA
        if hasattr(X, "toarray"):
            raise
        return read_rows(X, name)  # names the entry


def check_columns(X, name="X"):
    """Raise ValueError for columns of an array or data frame that have texts, or times."""
    if hasattr(X, "columns") and hasattr(X, "dtypes"):
        kinds = [getattr(dtype, "kind", "O") for dtype in X.dtypes]
        columns = [(key, X[key], kind) for key, kind in zip(X.columns, kinds, strict=True)]
    elif isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "OUS":
        columns = [(j, X[:, j], "O") for j in range(X.shape[1])]
    else:
        return
    wrong = [key for key, *column in columns if not _is_of_numbers(*column)]
    if wrong:
        shown = reprlib.repr(wrong)
        raise ValueError(
            f"{name} must have columns of numbers; got texts, categories or times in the columns "
            f"{shown}: encode them, for instance by make_column_transformer((OneHotEncoder(), "
            f"{shown}), remainder='passthrough')."
        )


def _is_of_numbers(column, kind):
    """Whether a column of this kind has no times, and no texts but those of numbers."""
    if kind in "biufcmM":
        return kind in "biufc"
    present = getattr(column, "dropna", getattr(column, "drop_nulls", lambda: column))
    values = np.asarray(present())
    try:
        values.astype(np.float64)
    except ValueError:
        return not any(isinstance(value, (str, bytes)) for value in values)
    except (TypeError, OverflowError):  # of objects, which later errors name
        return True
    return values.dtype.kind not in "mM"


def divided(X, length_scale, name="X"):
    """Rows (n, d) divided by their length scales; raises `OutOfRange` if they overflow."""
    if length_scale is None:
        return X
    scale, d = read_length_scale(length_scale), X.shape[1]
    if scale.size not in (1, d):
        raise ValueError(
            f"length_scale must be one number, or one for each of the {d} columns of {name}; got "
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
