"""Cross-validation on a Gram matrix that is computed once."""

import numpy as np
from sklearn.base import clone

from .._runtime.check import read_rows
from ..estimators._base import NetworkEstimator, squashed
from ..estimators._choice import kernels_of, modes_of, tries_columns
from ..estimators._equal_rows import distinct
from ..estimators._features import given_features, project


def precomputed(estimator, X):
    """An estimator for a precomputed kernel, and the Gram matrix that takes the place of ``X``.

    Functions of scikit-learn that fit the same rows again and again, such as `cross_validate` and
    `cross_val_predict`, then compute no kernel. Scale the columns beforehand, using all rows;
    squashing uses all rows, too.

    Parameters
    ----------
    estimator : NTKRegressor or NTKClassifier
        An estimator that has no choice among kernels and learns no features: its kernel, and for an
        NTKRegressor its activation, is named; or ``column_layers`` is set if one of these is
        "auto".
    X : array-like of shape (n_samples, n_features)

    Returns
    -------
    estimator : the same with ``kernel="precomputed"``
    K : array of shape (n_samples, n_samples)

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.model_selection import cross_validate
    >>> from sklearn.preprocessing import scale
    >>> from sklearn_ntk import NTKClassifier
    >>> from sklearn_ntk.model_selection import precomputed
    >>> X, y = load_wine(return_X_y=True)
    >>> model, K = precomputed(NTKClassifier("ntk", depth=3), scale(X))
    >>> print(f"{cross_validate(model, K, y, cv=5)['test_score'].mean():.1f}")
    1.0
    """
    if not isinstance(estimator, NetworkEstimator):
        raise TypeError(
            f"precomputed takes an NTKRegressor or an NTKClassifier; got {estimator!r}."
        )
    estimator._validate_params()
    kernel, *others = kernels_of(estimator)
    if kernel is None:
        raise ValueError("The kernel of the estimator is precomputed already.")
    X = read_rows(X)
    if others or tries_columns(estimator, len(distinct(X)[0]), X.shape[1]):
        remedy = "name the kernel and the activation" if others else "set column_layers"
        raise ValueError(
            f"precomputed takes an estimator with one kernel; got {estimator!r}, which chooses "
            f"among several: {remedy}."
        )
    if modes_of(estimator, kernel, X.shape[1]):
        raise ValueError(
            f"precomputed takes an estimator that learns no features; got {estimator!r}: set "
            f"features=None."
        )
    rows = squashed(estimator, kernel, X, np.ones(len(X)))
    rows = project(rows, given_features(estimator.features, X.shape[1]))
    other = {"kernel": "precomputed", "features": None, "device": None}  # it is where its matrix is
    return clone(estimator).set_params(**other), kernel(rows)
