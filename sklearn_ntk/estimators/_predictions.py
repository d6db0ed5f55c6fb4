"""Predictions of regression, with their uncertainty."""

import numpy as np
from scipy import linalg
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._runtime.device import on_host
from .._runtime.memory import check_memory
from .._runtime.notices import one_notice
from ..engines._work import active
from ..gram._kernel_operator import placed
from ..solvers import Ridge
from ._checks import check_finite, check_normal, read_draws, read_flags
from ._places import DeterminationScore, device_of, read_new, where_rows_are
from ._rivals import Belief, mixed_covariances, mixed_variances
from ._stages import check_exact, check_rows_kept, stages


class Predictions(DeterminationScore):
    """Mixin: predictions of a fitted `NTKRegressor`."""

    @one_notice()
    @where_rows_are
    def predict(self, X, return_std=False, return_cov=False, include_noise=True):
        """Predict targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        return_std : bool
            Also return the standard deviation of a new observation.
        return_cov : bool
            Also return the covariance of new observations.
        include_noise : bool
            Whether uncertainties include the noise of a new observation; if not, they are those of
            the function alone.

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
        ``noise_``. Amplitude and noise maximise the likelihood of the leave-one-out residuals, and
        of the scatter of the targets of equal rows. At rows farther from the data than training
        rows are from each other, the amplitude rises, if needed, until functions vary as much as
        the targets do. A new observation has the mean weight of the training rows; copies of a row
        with the same target count as one, unless rows are categories (see above). The first call
        computes a factorisation, a matrix (n_distinct, n_distinct). The model keeps it until the
        next fit, but not in pickles and copies.

        With a ``training_time``, the posterior is replaced by the distribution of networks that
        start as draws of this Gaussian process and are trained for this time (J. Lee et al.,
        NeurIPS 2019); it tends to the posterior. With ``uncertainty="ensemble"``, networks start as
        random networks do, as draws of the Gaussian process of the NNGP, and are trained by
        ``kernel_``; ``amplitude_`` multiplies the NNGP. The fit of an ensemble computes
        eigenvectors, and the model keeps two matrices.
        """
        return_std, return_cov, include_noise = read_flags(return_std, return_cov, include_noise)
        check_is_fitted(self)
        if return_cov:
            self._check_covariance(X, "return_cov")
        standard = self._values(X, self._dual, self._constant)
        mean = self._units.values(standard)
        flat = mean[:, 0] if self._is_flat else mean
        if not (return_std or return_cov):
            return flat
        self._check_spread("return_std and return_cov need")
        X = read_new(self, X)
        with np.errstate(over="ignore", invalid="ignore"):
            if return_cov:
                cov = self._covariance(X, include_noise, standard)
                spread = self._units.variances(cov)
                check_normal(spread, cov)
            else:
                spread = self._units.differences(self._deviation(X, include_noise, standard))
        check_finite(spread, mean, ", or take return_std=True" * return_cov)
        return flat, spread[..., 0] if self._is_flat else spread

    @one_notice()
    @where_rows_are
    def sample_y(self, X, n_samples=1, random_state=None, include_noise=True):
        """Draw targets, or functions, at new rows from the distribution of `predict`.

        Parameters
        ----------
        X : array-like of shape (n_samples_X, n_features)
        n_samples : int
            Number of draws.
        random_state : int, RandomState instance or None
            None gives different draws at each call.
        include_noise : bool
            Whether to draw new observations; if not, functions are drawn.

        Returns
        -------
        array of shape (n_samples_X, n_samples) or (n_samples_X, n_outputs, n_samples)
            Each draw is normal with the mean and the covariance of `predict`; outputs are
            independent.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_ntk import NTKRegressor
        >>> X = np.linspace(-1.0, 1.0, 20)[:, None]
        >>> model = NTKRegressor(alpha=0.1).fit(X, np.sin(3.0 * X[:, 0]))
        >>> model.sample_y([[0.0], [0.5]], n_samples=5, random_state=0).shape
        (2, 5)
        """
        n_samples, include_noise = read_draws(n_samples, include_noise)
        check_is_fitted(self)
        self._check_spread("sample_y needs")
        self._check_covariance(X, "sample_y")
        mean, random = self._values(X, self._dual, self._constant), check_random_state(random_state)
        with np.errstate(over="ignore", invalid="ignore"):
            cov = self._covariance(read_new(self, X), include_noise, mean)
        check_finite(cov, self._units.values(mean))
        draws = np.empty((n_samples, *mean.shape))
        for k, center in enumerate(mean.T):
            values, vectors = linalg.eigh(cov[..., k])
            roots = np.sqrt(np.maximum(values, 0.0))  # negative ones are rounding
            root = (vectors * roots) @ vectors.T  # whatever the signs of the vectors
            normal = random.standard_normal((len(mean), n_samples))
            draws[..., k] = (center[:, None] + root @ normal).T
        draws = np.moveaxis(self._units.values(draws), 0, -1)
        check_finite(draws, self._units.values(mean))
        return draws[:, 0] if self._is_flat else draws

    def log_marginal_likelihood(self):
        """Restricted log marginal likelihood of the training targets, summed over outputs.

        Returns
        -------
        float
            Logarithm of the density of the targets under the Gaussian process with the covariance
            ``amplitude_ k(x, y)`` and the noise ``amplitude_ alpha_ + noise_``, divided by the
            weight of the row. Infinite for constant targets.

        Notes
        -----
        "Restricted" means that the constant is integrated over, with a flat prior of density one
        (C. Rasmussen and C. Williams, "Gaussian processes for machine learning", 2006, section
        2.7). Equal rows enter with the mean of their targets. Compare values only between models of
        the same targets. Amplitude and noise are fitted to leave-one-out residuals, so they do not
        maximise this likelihood. Each call computes the Gram matrix, and a factorisation for each
        output.
        """
        check_is_fitted(self)
        check_rows_kept(self, "log_marginal_likelihood")
        self._check_spread("log_marginal_likelihood needs")
        check_exact(self, "log_marginal_likelihood")
        if not self._posterior.has_likelihood:
            raise ValueError(
                f"log_marginal_likelihood needs the posterior of a Gaussian process; got "
                f"training_time={self._posterior.time} and uncertainty={self.uncertainty!r}: take "
                f"training_time=None and uncertainty='posterior'."
            )
        with active([self.X_fit_], device_of(self)):
            return self._likelihood(*placed(self.kernel_, self.X_fit_))

    def _likelihood(self, X_fit):
        """Result of `log_marginal_likelihood` from training rows where the kernel computes."""
        n, total = len(X_fit), 0.0
        K, weights = self.kernel_(X_fit), self._posterior.weights
        columns = zip(self._targets.T, self._units.exponents, *self._spread[:2], strict=True)
        for y, exponent, amplitude, noise in columns:
            if amplitude == 0.0:
                return np.inf
            ridge = self._posterior.ridge + noise / amplitude
            solution = Ridge(ridge).fit(K, y, weights).solution
            spread = np.log(2.0 * np.pi * amplitude) + 2.0 * exponent * np.log(2.0)
            fit = y @ solution.dual[:, 0] / amplitude
            total -= 0.5 * ((n - 1) * spread + solution.log_determinant + fit)
        return float(total)

    @one_notice()
    @where_rows_are
    def staged_predict(self, X, times):
        """Predict targets after several training times.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        times : array-like of shape (n_times,)
            Times, as ``training_time``, in any order; ``np.inf`` is the end of training.

        Yields
        ------
        array of shape (n_samples,) or (n_samples, n_outputs)
            What `predict` returns for each time, with the kernel and ``alpha_`` of the fit.

        Notes
        -----
        All times share one eigendecomposition and one pass over the rows. `dynamics.Training`
        offers other methods of training, other losses and learning times.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_ntk import NTKRegressor
        >>> X = np.linspace(-1.0, 1.0, 20)[:, None]
        >>> model = NTKRegressor(alpha=0.0).fit(X, np.sin(3.0 * X[:, 0]))
        >>> for y in model.staged_predict([[0.5]], times=[1.0, 10.0, np.inf]):
        ...     print(y.round(2))
        [0.45]
        [0.71]
        [1.]
        """

        def problem(K):
            return self._posterior.training(K), self._targets

        found = stages(self, X, times, "staged_predict", problem)
        found = (self._units.values(stage) for stage in found)
        return (stage[:, 0] if self._is_flat else stage for stage in found)

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

    def _check_covariance(self, X, name):
        """Raise an error if covariances of these rows do not exist, or do not fit into memory.

        ``name`` is what needs them.
        """
        if self.kernel_ is not None:
            n = (getattr(X, "shape", None) or np.shape(X))[0]
            check_memory(
                16.0 * n * (n + len(self.X_fit_)),
                f"The covariance of {n} rows",
                "take fewer rows, or return_std=True",
            )
        if self._leaves is not None:
            raise ValueError(
                f"{name} needs one model for all rows; got the local ones of solver='local': take "
                f"return_std=True, or another solver."
            )

    def _arguments(self, X):
        """Kernel, training rows and new rows (m, d), where the posterior computes with them."""
        rows = self.X_fit_, X
        if self._posterior.is_on_device:
            return self.kernel_, *placed(self.kernel_, *rows)
        return self.kernel_, *map(on_host, rows)

    def _deviation(self, X, include_noise, mean):
        """Standard deviations (m, k) of new observations, or without noise of the function.

        They are those of standardised targets, about predictions (m, k).
        """
        return np.sqrt(mixed_variances(mean, *self._mixture(X), include_noise))

    def _covariance(self, X, include_noise, mean):
        """Covariances (m, m, k) of new observations, or without noise of the function.

        They are those of standardised targets, about predictions (m, k).
        """
        return mixed_covariances(mean, *self._mixture(X), include_noise)

    def _mixture(self, X):
        """The `Belief` of the chosen kernel, those of its rivals, and arguments of methods."""
        kernel, *rows = self._arguments(self._rows(X))
        share = 1.0 - sum(one.share for one in self._rivals)
        own = Belief(share, kernel, self._dual, self._constant, self._posterior, self._spread)
        return own, self._rivals, *rows, self._lengthening(X)

    def _lengthening(self, X):
        """By how much rows (m, d) are farther from the mean than as the kernel sees them, (m,).

        Functions of wide networks, and thus what is unknown of them, grow in proportion.
        """
        return np.ones(len(X)) if self._columns is None else self._columns.lengthening(X)
