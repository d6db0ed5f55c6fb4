"""What columns are centred and divided by: weighted means and variances, sizes and norms."""

import numpy as np


def variances(Y, weights):
    """Weighted variances (k,) of columns, exactly zero if they are constant but for rounding."""
    return moments(Y, weights)[1]


def moments(Y, weights):
    """Weighted means (k,) of columns, and their `variances`."""
    shares, first = np.asarray(weights / weights.sum(), like=Y), Y[int(weights.argmax())]
    Y = Y - first  # sums over many equal entries would have rounding errors
    shift = np.einsum("i,i...->...", shares, Y)
    variance = np.einsum("i,i...->...", shares, (Y - shift) ** 2)
    mean = first + shift
    return mean, np.where(variance <= (1e-13 * mean) ** 2, 0.0, variance)


def sizes(Y):
    """Largest absolute value (k,) of each column, one where that is zero."""
    return or_one(np.abs(Y).max(axis=0))


def norms(Y):
    """Euclidean norms (k,) of columns."""
    return np.sqrt(np.sum(Y * Y, axis=0))


def norms_or_one(Y):
    """`norms` (k,) of columns, one for those of zeros."""
    return or_one(norms(Y))


def or_one(sizes):
    """Sizes to divide by: those above zero, and ones in place of the others."""
    return np.where(sizes > 0.0, sizes, 1.0)
