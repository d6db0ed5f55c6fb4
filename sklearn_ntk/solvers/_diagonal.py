"""Diagonals of matrices of which only products are known, by random signs."""

import numpy as np

from ._moments import or_one


def estimate_diagonal(signs, images, known, diagonal):
    """Estimates (n,) of the diagonal of a matrix H, and their standard errors (n,).

    Means of ``z * H z`` over random signs ``z`` (M. Hutchinson, 1990), the columns of ``signs``
    (n, c), for which ``images`` are the products. ``known`` are those with a similar matrix whose
    ``diagonal`` (n,) is known: each row subtracts as much of its errors there as its own ones are
    explained by (a control variate).
    """
    samples, errors = signs * images, signs * known - diagonal[:, None]
    size = np.abs(samples).max() or 1.0
    samples, errors = samples / size, errors / size
    mean, error = samples.mean(axis=1), errors.mean(axis=1)
    samples -= mean[:, None]
    errors -= error[:, None]
    squares = np.einsum("ij,ij->i", errors, errors)
    products = np.einsum("ij,ij->i", samples, errors)
    slope = np.clip(products / or_one(squares), 0.0, 1.0)
    samples -= slope[:, None] * errors
    c = signs.shape[1]
    variance = np.einsum("ij,ij->i", samples, samples) / (c * (c - 2.0))
    return size * (mean - slope * error), size * np.sqrt(variance)
