"""Prediction intervals of kernel ridge regression in closed form: full conformal and jackknife+."""

import numpy as np
from scipy.special import ndtri
from sklearn.utils.validation import check_is_fitted

from .._runtime.check import read_number
from .._runtime.chunks import chunks
from .._runtime.device import on_host
from .._runtime.notices import one_notice
from ..dynamics import Training
from ..dynamics._added import RESOLVED, decays_with_row, residuals_with_row
from ..gram._kernel_operator import placed
from ..solvers._units import scaled
from ._checks import check_finite
from ._memory import check_solve
from ._observations import METHODS, left_out_of_leaves, observed, rank_of, ranked
from ._places import read_new, where_rows_are

BLOCK, LEAVES_BLOCK = 2**20, 2**24
"""Weights of targets in predictions that are held at a time; the same where factors of leaves may
have to be made anew each time."""

ROUNDING, TIMES_RESIDUAL = 1e-9, 10.0
"""Slack at both ends if rows have copies, in units of the targets, and of the residual of conjugate
gradients: the exact end often equals the target of a copy, which rounding must not exclude."""


class Intervals:
    """Mixin: prediction intervals of a fitted `NTKRegressor`."""

    @one_notice()
    @where_rows_are
    def predict_interval(self, X, coverage=0.9, method="auto"):
        """Predict intervals that hold a new target with a given probability.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        coverage : float, default=0.9
            Share of new targets that should lie in their intervals, between 0 and 1.
        method : {"auto", "conformal", "jackknife+", "gaussian"}, default="auto"
            How the ends are found, see the notes. "auto" is "conformal", or "jackknife+" after fits
            with the solver "local".

        Returns
        -------
        array of shape (n_samples, 2) or (n_samples, 2, n_outputs)
            Lower and upper ends.

        Raises
        ------
        ValueError
            If there are too few training rows for the coverage, which with n rows is at most ``n /
            (n + 1)``, or if the kernel is precomputed. For "conformal", also if steps of training
            oscillate (with momentum, or with a learning rate above half of the largest stable one,
            which is smaller if a new row is far away), and if the ``training_time`` is so long that
            the residual of a training or new row is mere rounding.

        Notes
        -----
        - "conformal": full conformal prediction. A target is in the interval if, in the fit to the
          training rows and this one, its studentised residual (in units of its standard deviation)
          is not among the largest. If training and new rows come from one distribution, whatever it
          is, targets are in the interval with at least the given probability, for a network that
          was not chosen by the same rows.
        - "jackknife+": from leave-one-out predictions and residuals. In practice the coverage is
          close to ``coverage``; the guarantee is ``1 - 2 (1 - coverage)``.
        - "gaussian": quantiles of the normal distribution with the mean and standard deviation of
          `predict`. There is no guarantee.

        The first two follow from one factorisation without a refit (with a ``training_time``, from
        eigenvectors at each call), and assume no distribution of the noise. Their guarantees hold
        for a given network and ridge: on real sets of 200 rows, 0.9 became 0.898 where both were
        chosen with the same targets, and 0.899 where features were learned, too. "conformal" is not
        available with the solver "local"; with "nystroem", both methods use only rows that were no
        candidates for centres. Where many rows learn features, all methods use only the other rows.
        Copies of a row with the same targets count once, as an integer weight does; if rows are
        categories (see the notes of the class), each copy counts. A new row has the mean weight of
        the observations; guarantees are for equal weights. With several outputs, each has its own
        intervals. With ``alpha=0``, no residual is as large as those of equal rows with different
        targets: if more rows have these than the coverage leaves out, conformal intervals are
        practically unbounded.

        References
        ----------
        V. Vovk, A. Gammerman and G. Shafer, "Algorithmic learning in a random world", 2005.

        E. Burnaev and V. Vovk, "Efficiency of conformalized ridge regression", COLT 2014.

        R. Barber, E. Candes, A. Ramdas and R. Tibshirani, "Predictive inference with the
        jackknife+", Annals of Statistics 49, 2021.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_ntk import NTKRegressor
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(300, 1))
        >>> y = np.sin(3.0 * X[:, 0]) + 0.2 * rng.normal(size=300)
        >>> low, high = NTKRegressor().fit(X[:200], y[:200]).predict_interval(X[200:]).T
        >>> bool(0.85 < np.mean((low <= y[200:]) & (y[200:] <= high)) < 0.97)
        True
        """
        check_is_fitted(self)
        if read_number(coverage, "coverage", is_positive=True) >= 1.0:
            raise ValueError(f"coverage must be less than 1; got {coverage:.6g}.")
        names = ("auto", *METHODS, "gaussian")
        if method not in names:
            names = ", ".join(map(repr, names))
            raise ValueError(f"method must be one of {names}; got {method!r}.")
        if method == "auto":
            method = "conformal" if self._leaves is None else "jackknife+"
        self._check_spread("predict_interval needs")
        if method == "gaussian":
            mean, std = map(on_host, self.predict(X, return_std=True))
            reach = ndtri(0.5 + 0.5 * coverage) * std
            return np.stack([mean - reach, mean + reach], axis=1)
        if self._leaves is not None and method != "jackknife+":
            raise ValueError(
                f"method={method!r} needs one model for all rows; got the local ones of "
                f"solver='local': take method='jackknife+', or 'gaussian'."
            )
        mean = self._values(X, self._dual, self._constant)
        X = self._rows(read_new(self, X))
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if self._posterior.time is None:
                find = self._ends if self._leaves is None else self._ends_of_leaves
                ends = find(X, coverage, method) + mean
            else:
                ends = self._ends_after_stop(X, coverage, method)
        ends = np.stack([self._units.values(each) for each in ends], axis=1)
        check_finite(ends, mean)
        return ends[..., 0] if self._is_flat else ends

    def _ends(self, X, coverage, method):
        """Ends (2, m, k) at rows as the kernel sees them, less the predictions."""
        seen = observed(self)
        most = max(1, BLOCK * len(self.X_fit_) // len(seen.group))
        blocks = self._posterior.influences(*self._arguments(X), most)
        found = [
            seen.ends(method, coverage, weights, self._unit_deviation(variance))
            for weights, variance in blocks
        ]
        return self._widened(np.concatenate(found, axis=1), seen.counts)

    def _ends_of_leaves(self, X, coverage, method):
        """The same for local models, by the jackknife+.

        Without a row, each leaf that has it predicts otherwise, and these predictions are blended;
        the residual of the row is that of the blended prediction without it.
        """
        kernel, X_fit, X = self._arguments(X)
        residuals, kept, counts, of_leaves = left_out_of_leaves(self)
        rank, size = rank_of(coverage, counts), np.abs(residuals)
        n_leaf, k = max(len(leaf.rows) for leaf in self._leaves.leaves), size.shape[1]
        found = np.empty((2, len(X), k))
        for many in chunks(len(X), n_leaf * k, LEAVES_BLOCK):
            shifts = [[] for _ in range(len(X[many]))]  # by which predictions without rows differ
            for number, rows, part in self._posterior.influences_in_leaves(kernel, X_fit, X[many]):
                pairs, place, own, local = of_leaves[number]
                part = (part[:, place] * own)[:, :, None] * local
                for row, shift in zip(rows, part, strict=True):
                    shifts[row].append((pairs, shift))
            for row, parts in zip(range(len(X))[many], shifts, strict=True):
                shift = np.zeros(size.shape)
                for pairs, part in parts:
                    shift[pairs] += part
                found[0, row] = -ranked((shift + size)[None, kept], rank, counts)[0]
                found[1, row] = ranked((size - shift)[None, kept], rank, counts)[0]
        return self._widened(found, counts)

    def _ends_after_stop(self, X, coverage, method):
        """Ends (2, m, k) of training that stops.

        Of each pair that has copies, one is a row, and all others together are another one.
        """
        posterior, seen = self._posterior, self._observations
        counts = seen.counts
        rank, others = rank_of(coverage, counts), np.flatnonzero(counts > 1.0)
        places = np.append(np.arange(len(counts)), others)
        group, targets = seen.group[places], seen.targets[places]
        check_solve(len(group), "distinct training rows or targets", is_spectral=True)
        X_fit, X = placed(self.kernel_, self.X_fit_, X)
        K = on_host(self.kernel_(X_fit))[np.ix_(group, group)]
        exponent = int(np.frexp(np.abs(K.diagonal()).max())[1])  # a kernel may be of any size
        K, ridge = (scaled(each, -exponent) for each in (K, posterior.ridge))
        rate, finite = scaled(posterior.learning_rate, exponent), np.finfo(float)
        rate = np.clip(rate, finite.smallest_subnormal, finite.max)
        numbers = np.append(np.ones(len(counts)), counts[others] - 1.0)
        weights = numbers * seen.shares[places] * posterior.weights[group]
        training = Training(K, weights, ridge, rate, posterior.method)
        find, found = AFTER_STOP[method], []
        for rows in chunks(len(X), targets.size, BLOCK):
            cross = on_host(self.kernel_(X[rows], X_fit))[:, group]
            cross, new = scaled(cross, -exponent), on_host(self.kernel_.diag(X[rows]))
            new = scaled(new, -exponent), self._new_weight
            found.append(find(training, cross, new, targets, posterior.time, rank, counts))
        return self._widened(np.concatenate(found, axis=1), counts)

    def _widened(self, ends, counts):
        """Ends (2, m, k) by rows of so many copies each, wider by what rounding may take."""
        if np.all(counts == 1.0):
            return ends
        slack = max(ROUNDING, TIMES_RESIDUAL * (self.residual_ or 0.0))
        return ends + np.array([-slack, slack])[:, None, None]

    def _unit_deviation(self, variance):
        """Standard deviations (m,) of new observations for an amplitude of one, without `noise_`.

        ``variance`` (m,) is that of the posterior.
        """
        noise = self._posterior.ridge / self._new_weight
        return np.sqrt(np.maximum(variance + noise, np.finfo(float).tiny))


def _jackknife_plus_after_stop(training, cross, new, Y, time, rank, counts):
    """Ends (2, m, k) of the jackknife+ for targets (n, k); the first rows have ranks, by counts."""
    n = len(counts)
    sizes, values = np.abs(training.residuals(Y, time))[:n], training.left_out(cross, Y, time)
    lower, upper = sizes - values[:, :n], values[:, :n] + sizes
    return np.stack([-ranked(lower, rank, counts), ranked(upper, rank, counts)])


def _conformal_after_stop(training, cross, new, Y, time, rank, counts):
    """Ends (2, m, k) of the full conformal set of residuals divided by their deviations.

    The first rows have ranks, by their counts. ``new`` are the kernel of the new rows with
    themselves (m,) and their weight. A residual is ``first + z slope`` for the target ``z`` of the
    new row. Residuals as functions of the targets are a positive semi-definite matrix by the
    weights: divided by the roots of the diagonal, those of the other rows depend less on ``z`` than
    that of the new row.
    """
    if not decays_with_row(training, cross, *new):
        raise ValueError(
            f"method='conformal' needs training without oscillations, with each of the new rows "
            f"too; got {training.method!r}: take a smaller learning_rate, or method='jackknife+'."
        )
    first, slope, own = residuals_with_row(training, cross, new[0], Y, time, new[1])
    weights = np.append(training.weights, new[1])
    scale = np.sqrt(weights / own)
    slope = (slope * scale)[:, :, None]
    first = first * scale[:, :, None]
    center = -first[:, -1] / slope[:, -1]
    ranks = slice(len(counts))
    away = first[:, ranks] + slope[:, ranks] * center[:, None]
    tilt = np.where(away < 0.0, -slope[:, ranks], slope[:, ranks])
    sides, least = [slope[:, -1:] + tilt, slope[:, -1:] - tilt], RESOLVED * slope[:, -1:]
    lower, upper = (np.where(side > least, np.abs(away) / side, np.inf) for side in sides)
    reach = np.stack([-ranked(lower, rank, counts), ranked(upper, rank, counts)])
    if not np.all(np.isfinite(reach)) or np.any(own == 0.0):
        raise ValueError(
            f"method='conformal' compares residuals, of which training_time={time:.4g} leaves no "
            f"more than rounding at some training rows or new ones: take a shorter one, or None, "
            f"or method='jackknife+'."
        )
    return center + reach


AFTER_STOP = {
    "conformal": _conformal_after_stop,
    "jackknife+": _jackknife_plus_after_stop,
}
"""The same after a training time."""
