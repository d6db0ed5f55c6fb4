"""Kernels that explain the targets of regression about as well as the one that was chosen.

In gaps between rows they may differ by more than each knows of itself, which a deviation by the
chosen one alone would not tell.
"""

from typing import NamedTuple

import numpy as np

from .._runtime.device import on_host, product
from ._posterior import Posterior
from ._uncertainty import Spread

LEAST = 0.02
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

    def variances(self, X_fit, X, lengthening, include_noise, see=None):
        """Variances (m, k) of new observations, or of the function, whose scale is lengthened."""
        options = () if see is None else (see,)
        latent, kernel_variance = self.posterior.variance(self.kernel, X_fit, X, *options)
        latent = latent * lengthening**2
        found = latent[:, None] * self.spread.scale(latent, kernel_variance)
        found += self.posterior.disagreement(self.kernel, X_fit, X)
        return found + include_noise * self.spread.observed

    def variances_about(self, mean, X_fit, X, lengthening, include_noise):
        """Mean squares (m, k) about a prediction (m, k), from one pass over the kernel."""
        values = np.empty_like(mean)

        def see(rows, cross):
            values[rows] = on_host(product(cross, self.dual)) + self.intercept

        found = self.variances(X_fit, X, lengthening, include_noise, see)
        return found + (values - mean) ** 2

    def covariances(self, X_fit, X, lengthening, include_noise):
        """Covariances (m, m, k) of new observations, or of the function."""
        latent, kernel_variance = self.posterior.covariance(self.kernel, X_fit, X)
        latent = latent * lengthening[:, None] * lengthening
        root = np.sqrt(self.spread.scale(latent.diagonal(), kernel_variance))
        noise = np.eye(len(X))[..., None] * (include_noise * self.spread.observed)
        return latent[..., None] * root[:, None] * root + noise

    def covariances_about(self, mean, X_fit, X, *options):
        """Mean products (m, m, k) about a prediction (m, k)."""
        cross = self.kernel(X, X_fit)
        away = on_host(product(cross, self.dual)) + self.intercept - mean
        return self.covariances(X_fit, X, *options) + away[:, None] * away


def rivals_of(best, tried, weights):
    """Pairs of a share and a `Candidate` for those beside the best one that are about as good.

    By independent Gaussian residuals of leaving out, a kernel whose mean square is larger by a
    factor ``c`` is less likely by ``c^(-n / 2)`` for n rows; unequal weights (n,) make these fewer.
    All outputs have the same shares. Where features were learned there are no rivals.
    """
    errors = np.array([one.error for one in tried])
    if best.features is not None or not 0.0 < errors.min() < np.inf:
        return []
    n = weights.sum() ** 2 / np.sum(weights**2)
    likelihoods = (errors.min() / errors) ** (0.5 * n)
    shares = zip(likelihoods / likelihoods.sum(), tried, strict=True)
    return [(share, one) for share, one in shares if one is not best and share >= LEAST]


def mixed_variances(mean, own, rivals, *arguments):
    """Variances (m, k) of the mixture about the prediction (m, k) of the chosen one."""
    others = (one.share * one.variances_about(mean, *arguments) for one in rivals)
    return sum(others, own.share * own.variances(*arguments))


def mixed_covariances(mean, own, rivals, *arguments):
    """Covariances (m, m, k) of the mixture about the prediction (m, k) of the chosen one."""
    others = (one.share * one.covariances_about(mean, *arguments) for one in rivals)
    return sum(others, own.share * own.covariances(*arguments))
