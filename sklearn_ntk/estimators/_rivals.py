"""Kernels that explain the targets of regression about as well as the one that was chosen.

In gaps between rows they may differ by more than each knows of itself, which a deviation by the
chosen one alone would not tell.
"""

from typing import NamedTuple

import numpy as np

from .._runtime.device import on_host, product
from ..gram._operator import chunks
from ._uncertainty import Posterior, Spread

LEAST = 1e-3
"""Least share of a kernel that counts."""


class Belief(NamedTuple):
    """A fit by a kernel, with its share in the mixture of all that are believed.

    ``dual`` (n, k) and ``intercept`` (k,) are for standardised targets.
    """

    share: float
    kernel: object
    dual: np.ndarray
    intercept: np.ndarray
    posterior: Posterior
    spread: Spread

    def values(self, X_fit, X):
        """Predictions (m, k) at new rows."""
        blocks = (self.kernel(X[rows], X_fit) for rows in chunks(len(X), len(X_fit)))
        return np.concatenate([on_host(product(K, self.dual)) for K in blocks]) + self.intercept

    def variances(self, X_fit, X, lengthening, include_noise):
        """Variances (m, k) of new observations, or of the function, whose scale is lengthened."""
        latent, kernel_variance = self.posterior.variance(self.kernel, X_fit, X)
        latent = latent * lengthening**2
        found = latent[:, None] * self.spread.scale(latent, kernel_variance)
        found += self.posterior.disagreement(self.kernel, X_fit, X)
        return found + include_noise * self.spread.observed

    def covariances(self, X_fit, X, lengthening, include_noise):
        """Covariances (m, m, k) of new observations, or of the function."""
        latent, kernel_variance = self.posterior.covariance(self.kernel, X_fit, X)
        latent = latent * lengthening[:, None] * lengthening
        root = np.sqrt(self.spread.scale(latent.diagonal(), kernel_variance))
        noise = np.eye(len(X))[..., None] * (include_noise * self.spread.observed)
        return latent[..., None] * root[:, None] * root + noise


def rivals_of(best, tried, n):
    """Pairs of a share and a `Candidate` for those beside the best one that are about as good.

    By independent Gaussian residuals of leaving out, a kernel whose mean square is larger by a
    factor ``c`` is less likely by ``c^(-n / 2)`` for n rows. Where features were learned there are
    none.
    """
    own = best.factor * best.error
    if best.features is not None or not 0.0 < own < np.inf:
        return []
    errors = np.array([one.factor * one.error for one in tried])
    weights = np.minimum(own / errors, 1.0) ** (0.5 * n)
    shares = weights / weights.sum()
    others = zip(shares, tried, strict=True)
    return [(share, one) for share, one in others if one is not best and share >= LEAST]


def mixed_variances(beliefs, X_fit, X, *options):
    """Variances (m, k) of the mixture about the prediction of the first one."""
    total, mean = 0.0, None
    for one in beliefs:
        found = one.variances(X_fit, X, *options)
        if len(beliefs) > 1:
            values = one.values(X_fit, X)
            mean = values if mean is None else mean
            found += (values - mean) ** 2
        total = total + one.share * found
    return total


def mixed_covariances(beliefs, X_fit, X, *options):
    """Covariances (m, m, k) of the mixture about the prediction of the first one."""
    total, mean = 0.0, None
    for one in beliefs:
        found = one.covariances(X_fit, X, *options)
        if len(beliefs) > 1:
            values = one.values(X_fit, X)
            mean = values if mean is None else mean
            found += (values - mean)[:, None] * (values - mean)
        total = total + one.share * found
    return total
