"""How much each training row moves predictions, in closed form."""

from typing import NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._runtime.device import on_host
from .._runtime.memory import check_memory
from .._runtime.notices import one_notice
from ..dynamics import Training
from ..gram._operator import chunks, placed
from ..solvers import Ridge
from ._choice_of_solver import check_solve
from ._losses import loss_of
from ._observations import observe
from ._places import read_new, where_rows_are
from ._squares import method_of
from ._stages import check_exact, check_rows_kept
from ._uncertainty import Posterior


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

    The estimator keeps `Samples` as ``_samples``, has ``_squares()``, which returns targets and
    weights of distinct rows, ridge, time, learning rate and method of training, and
    ``_differences(values)`` in units of the predictions.
    """

    @one_notice()
    @where_rows_are
    def influence(self, X):
        """How much each training row moves each prediction.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows at which predictions are made; the training rows, too.

        Returns
        -------
        array of shape (n_samples, n_train) or (n_samples, n_train, n_outputs)
            Entry (i, j) is the prediction at the row i, of `predict` for numbers and of
            `decision_function` for classes, minus that of the model without the training row j;
            zero for training rows of weight zero.

        Notes
        -----
        Exact, without a refit: leaving out a row of kernel ridge regression moves a prediction by
        the weight of its target in it, times the leave-one-out residual; after a ``training_time``
        by a sum of such terms with complex ridges. Kernel, features, ridge, time and the weights of
        classes stay those of the fit. Of copies of a row one is left out. Each call factorises the
        Gram matrix, as a fit does. For the squared error, and the solver "cholesky".

        The influence of a row on itself, ``model.influence(X_train).diagonal()`` for one output, is
        large where a target is not what the other rows say: among the largest are wrong labels.

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
        found, (Y, weights, ridge, time, *method) = np.zeros(shape), self._squares()
        find = _of_ridge if time is None else _of_stop
        for rows, part in find(self, X, Y, weights, ridge, time, *method):
            found[rows, samples.kept] = part
        found = self._differences(found)
        return found[:, :, 0] if self._has_one_output() else found


def _of_ridge(model, X, Y, weights, ridge, *_):
    """Yield slices of rows, and influences (m, N, k) of ridge regression there."""
    samples, kernel = model._samples, model.kernel_
    X_fit, X = placed(kernel, model.X_fit_, X)
    solution = Ridge(ridge).fit(kernel(X_fit), Y, weights).solution
    pairs = samples.group, samples.weights, samples.targets
    seen = observe(pairs, Y, weights, ridge, solution)
    residuals = seen.dual / seen.precision[:, None]
    posterior, start = Posterior(weights, ridge), 0
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
    X_fit, X = on_host(model.X_fit_), on_host(X)
    K = model.kernel_(X_fit)[np.ix_(group, group)]
    training = Training(K, samples.weights, ridge, learning_rate, method)
    for rows in chunks(len(X), targets.size, 2**20):
        cross = model.kernel_(X[rows], X_fit)[:, group]
        whole = training.predict(cross, targets, time)
        yield rows, whole[:, None] - training.left_out(cross, targets, time)


class RegressorInfluence(Influence):
    """Influences on the predictions of `NTKRegressor`."""

    def _squares(self):
        time = self.training_time_
        posterior, method = self._posterior, (self.learning_rate, method_of(self))
        return self._targets, posterior.weights, posterior.ridge, time, *method

    def _differences(self, values):
        return self._units.differences(values)

    def _has_one_output(self):
        return self._is_flat


class ClassifierInfluence(Influence):
    """Influences on the scores of `NTKClassifier`."""

    def _squares(self):
        if not loss_of(self).is_squares:
            raise ValueError(
                f"influence needs loss='squared_error', which has a closed form; got "
                f"loss={self.loss!r}."
            )
        Y, weights, ridge, *method = self._problem
        return Y, weights, ridge, self.training_time_, *method

    def _differences(self, values):
        return values

    def _has_one_output(self):
        return len(self.classes_) == 2
