"""Checks of what estimators are given: parameters, kernels, weights and Gram matrices."""

import numpy as np

from .._compat import _check_sample_weight
from .._runtime.check import read_count, read_flag, skewness
from .._runtime.device import check_library, is_on_device, on_host, place_together


def check_takes(kernel, X):
    """Raise ValueError for rows of CuPy and a kernel of a kind that takes none."""
    if is_on_device(X) and not hasattr(kernel, "on_device"):
        raise ValueError(
            f"Rows of CuPy need the kernel of a network; got {kernel!r}: copy them by cupy.asnumpy."
        )


def kind_of(kernel):
    """What a fitted kernel is, for errors."""
    return "a precomputed one" if kernel is None else repr(kernel)


def check_symmetric(K):
    """Raise ValueError unless ``K`` is square and symmetric."""
    if K.shape[0] != K.shape[1]:
        raise ValueError(
            f"A precomputed kernel needs a square matrix in fit; got shape {K.shape}: pass the "
            f"Gram matrix of the training rows."
        )
    asymmetry, is_symmetric = skewness(K)
    if not is_symmetric:
        raise ValueError(
            f"A precomputed kernel must be symmetric in fit; opposite entries differ by up to "
            f"{asymmetry:.3g}: pass the Gram matrix of the training rows."
        )


def check_weights(sample_weight, X):
    """Weights (n,) of the rows, ones for None; raises ValueError if one is < 0 or all are 0."""
    check_library(sample_weight, "sample_weight")
    if sample_weight is not None and (is_on_device(X) or is_on_device(sample_weight)):
        place_together([X, sample_weight], "X and sample_weight")
    rows = np.empty((len(X), 1)) if is_on_device(X) else X
    weights = _check_sample_weight(on_host(sample_weight), rows, dtype=np.float64)
    if np.any(weights < 0):
        raise ValueError(f"sample_weight must be >= 0; got {weights.min():.3g}: leave out the row.")
    if not np.any(weights):  # before 1.9 scikit-learn lets this pass
        raise ValueError("sample_weight must not be all zero: give some row a positive weight.")
    return weights


def is_auto(value):
    """Whether a parameter is left to the fit."""
    return isinstance(value, str) and value == "auto"


def mixes_columns(kernel):
    """Whether the first layer of a network sees all columns, so that features may turn them."""
    return not getattr(kernel, "is_by_column", False)


def read_flags(return_std, return_cov, include_noise):
    """Arguments of `predict`, of which at most one asks for an uncertainty."""
    flags = {"return_std": return_std, "return_cov": return_cov, "include_noise": include_noise}
    asked = [read_flag(value, name) for name, value in flags.items()]
    if asked[0] and asked[1]:
        raise ValueError("At most one of return_std and return_cov can be requested.")
    return asked


def read_draws(n_samples, include_noise):
    """Arguments of `sample_y`."""
    return read_count(n_samples, "n_samples", 1), read_flag(include_noise, "include_noise")


def check_finite(spread, mean, advice=""):
    """Raise ValueError if an uncertainty is not finite."""
    if not np.all(np.isfinite(spread)):
        raise ValueError(
            f"The uncertainty of predictions that reach {np.max(np.abs(mean)):.3g} overflows: "
            f"scale the data{advice}."
        )


def check_normal(found, cov):
    """Raise ValueError if covariances (m, m, k) are too small, ``cov`` in standardised units."""
    largest, standard = (np.abs(each).max(axis=(0, 1), initial=0.0) for each in (found, cov))
    if np.any((largest < np.finfo(float).tiny) & (standard > 0.0)):
        raise ValueError(
            "The covariance of predictions whose standard deviations are less than 1e-153 "
            "underflows: scale the data, or take return_std=True."
        )
