"""Folds of a search, among the rows of positive weight."""

import warnings

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.model_selection import check_cv

from .._runtime.device import is_on_device, on_host
from ..solvers._scoring import IN_CLOSED_FORM


def folds_of(search, n, kept, X, y, groups):
    """Pairs of indices (train, test) among the rows of positive weight, or None without ``cv``.

    ``kept`` are the indices of these rows among n. The splitter sees ``X``, ``y`` and ``groups`` as
    ``fit`` was given them, but nothing of CuPy: no columns then, and the targets as an array of
    NumPy.
    """
    if search.cv is None:
        if groups is not None:
            warnings.warn(
                "groups are for a splitter, and cv=None leaves out single rows: pass one as "
                "cv, such as GroupKFold().",
                UserWarning,
                stacklevel=2,
            )
        return None
    if search.scoring in IN_CLOSED_FORM:
        raise ValueError(
            f"scoring={search.scoring!r} is a score of all rows at once: leave cv at None."
        )
    X, y = np.empty((n, 0)) if is_on_device(X) else X, on_host(y)
    splitter = check_cv(search.cv, y, classifier=isinstance(search, ClassifierMixin))
    folds = list(splitter.split(X, y, groups))
    index = np.full(n, -1)  # of each row among those of positive weight
    index[kept] = np.arange(len(kept))
    try:
        folds = [(index[train], index[test]) for train, test in folds]
    except IndexError as error:
        raise ValueError(
            f"cv must give indices of the {n} rows: {error}; take a splitter for these rows."
        ) from None
    folds = [(train[train >= 0], test[test >= 0]) for train, test in folds]
    if not folds or not all(len(train) and len(test) for train, test in folds):
        raise ValueError(
            "cv must give folds that have training and test rows of positive weight: take "
            "fewer folds."
        )
    return folds
