"""How much each training row moves predictions, in closed form."""

from typing import NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._runtime.chunks import chunks
from .._runtime.device import on_host
from .._runtime.memory import check_memory
from .._runtime.notices import one_notice
from ..dynamics import Training
from ..gram._kernel_operator import placed
from ..solvers import Ridge
from ._equal_rows import Pairs
from ._logistic import NewtonSteps
from ._losses import fitted_loss
from ._memory import check_solve
from ._observations import observe
from ._places import read_new, where_rows_are
from ._posterior import WholePosterior
from ._stages import check_exact, check_rows_kept


class Samples(NamedTuple):
    """The N training rows of positive weight, out of ``n``, at the places ``kept``.

    ``group`` (N,) is the number of the distinct row of each, ``weights`` (N,) and ``targets`` (N,
    k) are their own.
    """

    n: int
    kept: np.ndarray
    group: np.ndarray
    weights: np.ndarray
    targets: np.ndarray


class Influence:
    """Mixin: influence of training rows on predictions of a fitted estimator.

    The estimator keeps `Samples` as ``_samples``, has ``_influences(X)``, which yields slices of
    new rows and influences (m, N, k) there, ``_differences(values)`` in units of the predictions,
    and ``_shaped(values)`` in their shape.
    """

    @one_notice()
    @where_rows_are
    def influence(self, X):
        """How much each training row moves each prediction.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows at which predictions are made; training rows are allowed.

        Returns
        -------
        array of shape (n_samples, n_train) or (n_samples, n_train, n_outputs)
            Entry (i, j) is the prediction at row i (of `predict` for regression, of
            `decision_function` for classification), minus the prediction of the model without
            training row j; zero for training rows of weight zero.

        Notes
        -----
        Exact for the squared error, without a refit: leaving out a row of kernel ridge regression
        moves a prediction by the weight of its target in that prediction, times the leave-one-out
        residual; after a ``training_time``, by a sum of such terms with complex ridges. Kernel,
        features, ridge, time, weights of classes, and the means and standard deviations that
        ``squash`` uses, stay as they are in the fit. If a row has copies, one copy is left out.
        Each call factorises the Gram matrix, as a fit does; the solver must be "cholesky".

        For the log loss, this is an estimate: one step of Newton's method from the scores of the
        fit, on the log loss of the other rows, which is ridge regression on working targets (K. Rad
        and A. Maleki, "A scalable estimate of the out-of-sample prediction error via approximate
        leave-one-out cross-validation", JRSS B 2020). It is too small for a row that alone keeps
        scores bounded, such as the only one of its class. The hinge loss has no second derivatives,
        and so no such formula.

        The influence of a row on itself, ``model.influence(X_train).diagonal()`` for one output, is
        large where its target disagrees with the other rows: wrong labels are among the largest
        values.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_ntk import NTKRegressor
        >>> X = np.linspace(-1.0, 1.0, 20)[:, None]
        >>> y = np.sin(3.0 * X[:, 0])
        >>> y[7] += 2.0
        >>> model = NTKRegressor("ntk", activation="erf", alpha=0.1).fit(X, y)
        >>> effects = model.influence([[0.0]])
        >>> int(np.argmax(np.abs(effects)))
        7
        >>> others = np.delete(np.arange(20), 7)
        >>> without = NTKRegressor(model.kernel_, alpha=0.1).fit(model.X_fit_[others], y[others])
        >>> bool(abs(model.predict([[0.0]]) - without.predict([[0.0]]) - effects[0, 7]) < 1e-10)
        True
        """
        check_is_fitted(self)
        check_rows_kept(self, "influence")
        check_exact(self, "influence")
        samples, k = self._samples, self._samples.targets.shape[1]
        X = self._rows(read_new(self, X))
        shape = (len(X), samples.n, k)
        check_memory(24.0 * np.prod(shape), f"Influences of shape {shape}", "take fewer rows")
        found = np.zeros(shape)
        for rows, part in self._influences(X):
            found[rows, samples.kept] = part
        return self._shaped(self._differences(found))


def _of_squares(model, X, Y, weights, ridge, time, *method):
    """Yield slices of rows, and influences (m, N, k) of the squared error there."""
    find = _of_ridge if time is None else _of_stop
    return find(model, X, Y, weights, ridge, time, *method)


def _of_ridge(model, X, Y, weights, ridge, *_):
    """Yield slices of rows, and influences (m, N, k) of ridge regression there."""
    samples, kernel = model._samples, model.kernel_
    X_fit, X = placed(kernel, model.X_fit_, X)
    solution = Ridge(ridge).fit(kernel(X_fit), Y, weights).solution
    pairs = Pairs(samples.group, samples.weights, samples.targets, np.ones(len(samples.group)))
    seen = observe(pairs, Y, weights, ridge, solution)
    residuals = seen.dual / seen.precision[:, None]
    posterior, start = WholePosterior(weights, ridge), 0
    most = max(1, 2**20 * len(Y) // samples.targets.size)
    for part, _ in posterior.influences(kernel, X_fit, X, most):
        part = part[:, seen.group] * seen.shares
        yield slice(start, start + len(part)), part[:, :, None] * residuals
        start += len(part)


def _of_stop(model, X, Y, weights, ridge, time, learning_rate, method):
    """The same for training that stops."""
    samples = model._samples
    group, targets = samples.group, samples.targets
    check_solve(len(group), "training rows", is_spectral=True)
    X_fit, X = placed(model.kernel_, model.X_fit_, X)
    K = on_host(model.kernel_(X_fit))[np.ix_(group, group)]
    training = Training(K, samples.weights, ridge, learning_rate, method)
    for rows in chunks(len(X), targets.size, 2**20):
        cross = on_host(model.kernel_(X[rows], X_fit))[:, group]
        whole = training.predict(cross, targets, time)
        yield rows, whole[:, None] - training.left_out(cross, targets, time)


def _of_log_loss(model, X):
    """The same for the log loss, by a step of Newton's method for each row."""
    Y, weights, ridge, _ = model._problem
    (n, k), samples = Y.shape, model._samples
    size = n * max(1, k - 1)
    check_memory(32.0 * size * size, "Influences by second derivatives", "take fewer rows")
    X_fit, X = placed(model.kernel_, model.X_fit_, X)
    K = on_host(model.kernel_(X_fit))
    scores = K @ model.dual_coef_ + model.intercept_
    steps = NewtonSteps(K, scores, weights, ridge, samples)
    for rows in chunks(len(X), samples.targets.size * max(1, k - 1), 2**20):
        yield rows, steps(on_host(model.kernel_(X[rows], X_fit)))


class RegressorInfluence(Influence):
    """Influences on the predictions of `NTKRegressor`."""

    def _influences(self, X):
        fit = self._posterior  # parameters of the model may have changed since
        problem = fit.weights, fit.ridge, fit.time, fit.learning_rate, fit.method
        return _of_squares(self, X, self._targets, *problem)

    def _differences(self, values):
        return self._units.differences(values)

    def _shaped(self, found):
        return found[:, :, 0] if self._is_flat else found


class ClassifierInfluence(Influence):
    """Influences on the scores of `NTKClassifier`."""

    def _influences(self, X):
        loss = fitted_loss(self)
        if loss.is_squares:
            Y, weights, ridge, *method = self._problem
            return _of_squares(self, X, Y, weights, ridge, self.training_time_, *method)
        if not loss.is_curved or self.training_time_ is not None:
            raise ValueError(
                f"influence needs loss='squared_error', for which it is exact, or 'log_loss' "
                f"without a training_time; got loss={self._loss!r} and "
                f"training_time={self.training_time!r}: take one of these."
            )
        return _of_log_loss(self, X)

    def _differences(self, values):
        return values

    def _shaped(self, found):
        return self._of_all(found[:, :, 0] if self._n_scores == 1 else found)
