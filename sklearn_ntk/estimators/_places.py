"""Rows in the memory of a GPU in estimators: their checks, and results that are where rows are."""

from collections.abc import Iterator
from functools import wraps

import numpy as np
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_consistent_length, validate_data

from .._runtime.check import is_missing, read_array, read_rows
from .._runtime.device import check_library, is_on_device, on_host, place_of, place_together
from ..engines._work import active
from ..gram._kernel_operator import device_of_kernel
from ..kernels._rows import check_columns, of_numpy


@of_numpy
def read_data(model, X, y, reset=True, **options):
    """Rows (n, d) in float64 and targets, as `validate_data` checks them, and sets attributes.

    Rows of CuPy stay in the memory of the GPU, and their targets are copied to arrays of NumPy.
    """
    check_library(X, "X")
    check_library(y, "y")
    check_columns(X)
    _check_targets(y, **options)
    if not (is_on_device(X) or is_on_device(y)):
        return validate_data(model, X, y, reset=reset, dtype=np.float64, order="C", **options)
    place_together([X, y], "X and y")
    y = validate_data(model, "no_validation", on_host(y), **options)
    X = _checked(model, X, reset)
    check_consistent_length(X, y)
    return X, y


def _check_targets(y, y_numeric=False, **options):
    """Raise ValueError for objects and texts that are no targets, or labels of which some miss.

    The errors of scikit-learn say enough of all else.
    """
    kind = getattr(getattr(y, "dtype", None), "kind", "O")
    if y is None or kind in "biufc" or hasattr(y, "toarray"):
        return
    if y_numeric:
        what = "numbers, one or several for each row (NTKClassifier takes labels)"
        read_array(y, "y", what, "give each row its own", [1, 2])
        return
    labels = np.asarray(y)
    if labels.dtype.kind == "O":
        _check_labels(labels.ravel())


def _check_labels(labels):
    """Raise ValueError for labels (n,), objects, of which some are missing or not to be sorted."""
    for row, label in enumerate(labels):
        if is_missing(label):
            raise ValueError(
                f"y must have a label for each row; got {label!r} for row {row}: drop the rows "
                f"whose label is missing."
            )
    try:
        np.sort(labels)
    except TypeError:
        kinds = sorted({type(label).__name__ for label in labels})
        raise ValueError(
            f"y must have labels that can be sorted, all texts or all numbers; got objects of type "
            f"{', '.join(kinds)}: make them texts, for instance."
        ) from None


@of_numpy
def read_new(model, X):
    """New rows (m, d) in float64, in whose memory they are."""
    check_library(X, "X")
    if is_on_device(X):
        return _checked(model, X, reset=False)
    check_columns(X)
    return validate_data(model, X, reset=False, dtype=np.float64)


def _checked(model, X, reset):
    """Checked rows of CuPy in C order."""
    X = read_rows(X)
    validate_data(model, X, reset=reset, skip_check_array=True)
    return X if X.flags.c_contiguous else X.copy()


def take(X, index):
    """Rows by an array of NumPy of their indices, where they are."""
    return X[np.asarray(index, like=X)]


def where_rows_are(method):
    """Decorator of a method of rows X: results for rows of CuPy are arrays of CuPy.

    While it runs, the device of the rows, of the training rows, or of the kernel is current.
    """

    @wraps(method)
    def placed(self, X, *arguments, **options):
        with active([X, vars(self).get("X_fit_")], device_of(self)):
            found = method(self, X, *arguments, **options)
            return moved(found, X)

    return placed


def device_of(model):
    """The parameter ``device`` of the kernel of a fitted estimator; None of a foreign kernel."""
    return device_of_kernel(vars(model).get("kernel_"))


def on_device_of_fit(method):
    """Decorator of ``fit``: its device is the current one while it runs."""

    @wraps(method)
    def placed(self, X, *arguments, **options):
        kernel = getattr(self, "kernel", "auto")  # a search has none
        own = isinstance(kernel, str) and kernel != "precomputed"
        with active([X], self.device if own else device_of_kernel(kernel)):
            return method(self, X, *arguments, **options)

    return placed


def check_device(model, kernel, X=None):
    """Raise ValueError if an estimator has a ``device`` on which it would not compute.

    ``kernel`` is its kernel, or None for the precomputed matrix ``X``.
    """
    if kernel is None:
        kind, _ = place_of([X], model.device)
        if kind == "cuda" and not is_on_device(X):
            raise ValueError(
                f"device={model.device!r} is for rows, but a precomputed kernel stays where it is: "
                f"pass cupy.asarray of it, or leave device at None."
            )
        return
    own = kernel.device if hasattr(kernel, "on_device") else "cpu"
    if model.device not in (None, own):
        raise ValueError(
            f"device={model.device!r} is for kernels that the estimator makes; got a "
            f"{type(kernel).__name__} with device={own!r}: set the device of the kernel, if it has "
            f"one, and leave this one at None."
        )


def moved(found, X):
    """An array, a tuple of arrays or an iterator over them, where X is; texts are of NumPy."""
    if not is_on_device(X) or found is None:
        return found
    if isinstance(found, tuple):
        return tuple(moved(each, X) for each in found)
    if isinstance(found, Iterator):
        return (moved(each, X) for each in found)
    if found.dtype.kind not in "biuf":  # labels that are texts or objects
        return found
    with X.device:
        return np.asarray(found, like=X)


class DeterminationScore:
    """Mixin of regressors: ``score``, also for arrays of CuPy."""

    _metric = staticmethod(r2_score)

    def score(self, X, y, sample_weight=None):
        """Coefficient of determination of the predictions.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), optional

        Returns
        -------
        float
            `sklearn.metrics.r2_score`, also for arrays of CuPy.
        """
        y, predictions, weights = map(on_host, (y, self.predict(X), sample_weight))
        return self._metric(y, predictions, sample_weight=weights)
