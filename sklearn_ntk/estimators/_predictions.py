"""Predictions of regression, with their uncertainty."""

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from .._runtime.memory import check_memory
from .._runtime.notices import one_notice


class Predictions:
    """Mixin: predictions of a fitted `NTKRegressor`."""

    @one_notice()
    def predict(self, X, return_std=False, return_cov=False):
        """Predict targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        return_std : bool
            Also return the standard deviation of a new observation, noise included.
        return_cov : bool
            Also return the covariance of new observations.

        Returns
        -------
        mean : array of shape (n_samples,) or (n_samples, n_outputs)
        std : array of the same shape, if ``return_std``
        cov : array of shape (n_samples, n_samples) or (n_samples, n_samples, n_outputs), if
            ``return_cov``

        Notes
        -----
        The covariance is ``amplitude_`` times that of the posterior of the Gaussian process with
        this kernel and the noise variance ``alpha_`` (with the NNGP, a Bayesian network), plus
        ``noise_``. Amplitude and noise are those at which the leave-one-out residuals, and the
        scatter of the targets of equal rows, are most likely. Farther from the data than training
        rows are from each other, the amplitude rises, if needed, until functions vary as much as
        the targets do. A new observation has the mean weight of the training rows, where copies of
        a row with the same target count as one row. The first call computes a factorisation; the
        model keeps it, a matrix (n_distinct, n_distinct), until the next fit, but not in pickles
        and copies.

        With a ``training_time`` the posterior is replaced by the distribution of networks that
        start as draws of this Gaussian process and are trained for this time (J. Lee et al.,
        NeurIPS 2019), which tends to the posterior.
        """
        if return_std and return_cov:
            raise ValueError("At most one of return_std and return_cov can be requested.")
        check_is_fitted(self)
        if return_cov and self.kernel_ is not None:
            n = np.shape(X)[0]
            check_memory(
                16.0 * n * (n + len(self.X_fit_)),
                f"The covariance of {n} rows",
                "take fewer rows, or return_std=True",
            )
        scores = self._units.values(self._values(X, self._dual, self._constant))
        mean = scores[:, 0] if self._is_flat else scores
        if not (return_std or return_cov):
            return mean
        self._check_spread("return_std and return_cov need")
        X = validate_data(self, X, reset=False, dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            spread = self._covariance(X) if return_cov else self._deviation(X)
        check_finite(spread, mean, ", or take return_std=True" * return_cov)
        return mean, spread[..., 0] if self._is_flat else spread

    def _check_spread(self, what):
        """Raise ValueError if the model has no posterior; ``what`` begins the sentence."""
        if self.kernel_ is None:
            raise ValueError(
                f"{what} the kernel between new rows, which a precomputed Gram matrix lacks: pass "
                f"the kernel itself."
            )
        if len(self.X_fit_) < 2:
            raise ValueError(
                f"{what} at least 2 distinct training rows to learn the noise from; got 1."
            )

    def _deviation(self, X):
        """Standard deviations (m, k) of new observations, noise included."""
        arguments = self.kernel_, self.X_fit_, self._rows(X)
        latent, kernel_variance = self._posterior.variance(*arguments)
        latent = latent * self._lengthening(X) ** 2
        scale = self._spread.scale(latent, kernel_variance)
        return self._units.differences(np.sqrt(latent[:, None] * scale + self._spread.observed))

    def _covariance(self, X):
        """Covariances (m, m, k) of new observations, noise included."""
        arguments = self.kernel_, self.X_fit_, self._rows(X)
        latent, kernel_variance = self._posterior.covariance(*arguments)
        lengthening = self._lengthening(X)
        latent = latent * lengthening[:, None] * lengthening
        root = np.sqrt(self._spread.scale(latent.diagonal(), kernel_variance))
        spread = latent[..., None] * root[:, None] * root
        return self._units.variances(spread + np.eye(len(X))[..., None] * self._spread.observed)

    def _lengthening(self, X):
        """By how much rows (m, d) are farther from the mean than as the kernel sees them, (m,).

        Functions of wide networks, and thus what is unknown of them, grow in proportion.
        """
        return np.ones(len(X)) if self._columns is None else self._columns.lengthening(X)


def check_finite(spread, mean, advice=""):
    """Raise ValueError if an uncertainty is not finite."""
    if not np.all(np.isfinite(spread)):
        raise ValueError(
            f"The uncertainty of predictions that reach {np.max(np.abs(mean)):.3g} overflows: "
            f"scale the data{advice}."
        )
