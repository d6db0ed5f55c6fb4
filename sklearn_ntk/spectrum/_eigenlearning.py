"""Learning curves of kernel ridge regression, predicted from eigenvalues and targets."""

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq

from .._runtime.check import read_array, read_number


class LearningCurve(NamedTuple):
    """Predicted errors of kernel ridge regression by the number of training rows.

    Attributes
    ----------
    sizes : array of shape (n_sizes,)
        Numbers of training rows.
    test : array of shape (n_sizes,)
        Mean squared errors at new rows.
    train : array of shape (n_sizes,)
        Mean squared errors at the training rows.
    effective_ridge : array of shape (n_sizes,)
        The ridge, including the effect of unlearned modes, with which the eigenvalues of the kernel
        operator compete.
    learned : array of shape (n_sizes, n_modes)
        Share of each component of the target that is learned on average, from 0 to 1.
    """

    sizes: Any
    test: Any
    train: Any
    effective_ridge: Any
    learned: Any


def learning_curve(eigenvalues, powers, sizes, alpha=0.0, noise=0.0):
    """Errors of kernel ridge regression, without a constant, on random rows of a population.

    Parameters
    ----------
    eigenvalues : array of shape (n_modes,)
        Eigenvalues of the kernel as an operator over the population, ``L phi(x) = E[k(x, x')
        phi(x')]``, repeated by multiplicity. The sum of omitted eigenvalues adds to ``alpha``.
    powers : array of shape (n_modes,)
        Mean squares of the components of the target along the eigenfunctions. What lies outside
        their span adds to ``noise``.
    sizes : array of shape (n_sizes,)
        Numbers of training rows.
    alpha : float, default=0.0
        Ridge, added to the diagonal of the Gram matrix.
    noise : float, default=0.0
        Variance of the noise of observations; it is part of the errors.

    Returns
    -------
    LearningCurve

    Raises
    ------
    ValueError
        If arrays have other shapes or negative entries.

    Notes
    -----
    With eigenvalues ``m`` and powers ``p``, the effective ridge ``r`` solves ``n = sum m / (m + r)
    + alpha / r``. The share ``s = m / (m + r)`` of a component is learned. The error is ``n / (n -
    sum s^2) (sum (1 - s)^2 p + noise)`` at new rows, times ``(alpha / (n r))^2`` at training rows.
    These are means for Gaussian eigenfunctions; on spheres they hold within about 10 %.

    References
    ----------
    J. Simon, M. Dickens, D. Karkada and M. DeWeese, "The eigenlearning framework: a conservation
    law perspective on kernel regression and wide neural networks", arXiv:2110.03922.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ntk.spectrum import learning_curve
    >>> curve = learning_curve(1.0 / np.arange(1, 200) ** 2, np.eye(199)[1], [2, 5, 20], alpha=0.01)
    >>> curve.test.round(3)
    array([0.602, 0.112, 0.001])
    """
    what, remedy = "an array (n_modes,) of numbers >= 0", "pass one number for each eigenvalue"
    eigenvalues = _read_positive(eigenvalues, "eigenvalues", what, remedy)
    powers = _read_positive(powers, "powers", what, remedy, len(eigenvalues))
    sizes = read_sizes(sizes)
    alpha, noise = read_number(alpha, "alpha"), read_number(noise, "noise")
    ridges = np.array([effective_ridge(eigenvalues, n, alpha) for n in sizes])
    scale = eigenvalues + ridges[:, None]
    learned = np.divide(eigenvalues, scale, out=np.zeros_like(scale), where=eigenvalues > 0.0)
    missed = (1.0 - learned) ** 2 @ powers + noise
    freedom = sizes - np.sum(learned**2, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        test = np.where(missed > 0.0, sizes * missed / freedom, 0.0)
    rest = np.maximum(sizes - learned.sum(axis=1), 0.0)  # without a ridge, and else if r is zero
    rest = np.divide(alpha, ridges, out=rest, where=ridges > 0.0)
    share = rest / sizes
    train = np.where(share > 0.0, share**2 * np.where(share > 0.0, test, 0.0), 0.0)
    return LearningCurve(sizes, test, train, ridges, learned)


def effective_ridge(eigenvalues, n, alpha):
    """Solution ``r`` of ``n = sum m / (m + r) + alpha / r``, zero if even that leaves rows over."""
    positive = eigenvalues[eigenvalues > 0.0]
    largest, rank = (positive.sum() + alpha) / n, len(positive)
    if largest == 0.0 or (alpha == 0.0 and n >= rank):
        return 0.0
    least = max(alpha / n, positive.min(initial=np.inf) * (rank - n) / n if n < rank else 0.0)

    def excess(log_ridge):
        ridge = np.exp(log_ridge)
        return np.sum(positive / (positive + ridge)) + alpha / ridge - n

    margin = 1e-6  # for rounding, where both bounds agree
    return float(np.exp(brentq(excess, np.log(least) - margin, np.log(largest) + margin)))


def read_sizes(sizes, most=np.inf):
    """Numbers of training rows (n_sizes,) in float64, from 1 to less than ``most``."""
    what = "an array (n_sizes,) of whole numbers > 0"
    what += "" if most == np.inf else f", less than the {most} rows of the spectrum"
    sizes = read_array(sizes, "sizes", what, "pass a list of numbers of rows", [1])
    wrong = (sizes < 1.0) | (sizes != np.floor(sizes)) | (sizes >= most)
    if wrong.any():
        raise ValueError(f"sizes must be {what}; got {sizes[wrong][0]:g}: leave it out.")
    return sizes


def _read_positive(values, name, what, remedy, length=None):
    """Array (n_modes,) of numbers >= 0."""
    values = read_array(values, name, what, remedy, [1], length)
    if np.any(values < 0.0):
        raise ValueError(f"{name} must be {what}; got {values.min():.3g}: set it to zero.")
    return values
