"""Gradients of fitted functions with respect to rows, and the shares of columns in them."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._runtime.device import on_host
from .._runtime.notices import one_notice
from ..engines._work import active
from ..gram._kernel_operator import placed
from ._checks import check_takes, kind_of, mixes_columns
from ._features import gradients, project
from ._losses import fitted_loss
from ._places import device_of, read_new, where_rows_are

FEW_ROWS = 100
"""Rows of importances where a gradient takes hundreds of times as long as the kernel."""


class Gradients:
    """Mixin: gradients of the functions of a fitted estimator, by ``_functions()``."""

    @property
    def feature_importances_(self):
        """Shares of the columns in the mean squared gradient, see the attributes."""
        check_is_fitted(self)
        if not hasattr(self.kernel_, "gradient_x"):
            raise AttributeError(
                f"feature_importances_ needs a kernel with a method gradient_x; got "
                f"{kind_of(self.kernel_)}."
            )
        if getattr(self.kernel_, "takes_positions", False):  # hours, at all training images
            raise AttributeError(
                "feature_importances_ are of columns, which are positions here: take the mean of "
                "the squares of predict_gradient at some rows."
            )
        try:
            with active([self.X_fit_], device_of(self)):
                parts = self._importances()
                shares = sum(on_host((part**2).sum(axis=0)) for part in parts)
        except ValueError as error:
            raise AttributeError(f"feature_importances_: {error}") from error
        return shares / (shares.sum() or 1.0)

    def _importances(self):
        """Gradients at the training rows, or at the centres, as `_features.gradients` yields them.

        Local models have those of their leaves, by their shares in the predictions there.
        """
        rows = self.features_, self._stds
        variances, dual = self._functions()
        if self._leaves is None:
            (X,) = placed(self.kernel_, self.X_fit_)
            problem = X, *rows, variances, self._weights, dual
            yield from gradients(self.kernel_, *problem, _sampled(self.kernel_, len(X)))
            return
        for leaf in self._leaves.leaves:
            X, weights = self.X_fit_[leaf.rows], self._weights[leaf.rows] * leaf.shares
            root = np.sqrt(weights.sum() / self._weights.sum())
            problem = X, *rows, variances, weights, leaf.dual
            parts = gradients(self.kernel_, *problem, _sampled(self.kernel_, len(X)))
            yield from (root * part for part in parts)

    def _gradients(self, X, dual):
        """Gradients (n, k, d) of functions at new rows, by their coefficients."""
        X = read_new(self, X)
        if not hasattr(self.kernel_, "gradient_x"):
            raise ValueError(
                f"predict_gradient needs a kernel with a method gradient_x, such as NTKKernel(); "
                f"got {kind_of(self.kernel_)}."
            )
        check_takes(self.kernel_, X)
        if self._leaves is None:
            rows = placed(self.kernel_, self._rows(X), self.X_fit_)
            gradients = self.kernel_.gradient_x(*rows, dual)
        else:
            gradients = self._leaves.gradients(self.kernel_, self.X_fit_, on_host(self._rows(X)))
        gradients = project(gradients, None if self.features_ is None else self.features_.T)
        gradients, columns = on_host(gradients), self._columns
        return gradients if columns is None else gradients * on_host(columns.slopes(X))[:, None]


def _sampled(kernel, n):
    """Places of the rows that importances are by where gradients take long, None for all rows."""
    if mixes_columns(kernel) or n <= FEW_ROWS:
        return None
    return np.sort(np.random.default_rng(0).choice(n, FEW_ROWS, replace=False))


class RegressorGradients(Gradients):
    """Mixin: gradients of the predictions of a fitted `NTKRegressor`."""

    @one_notice()
    @where_rows_are
    def predict_gradient(self, X):
        """Gradients of the predictions with respect to the rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples, n_features) or (n_samples, n_outputs, n_features)
            Change of `predict` per unit of each column, in units of the targets.

        Notes
        -----
        For networks of `NTKKernel` and `NNGPKernel` whose activations do not jump. Gradients of
        images are with respect to pixels, in the order of the columns. The NTK of an activation
        with a kink, such as "relu", has a kink at each training row: there, the gradient is the
        mean of the gradients on both sides.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_ntk import NTKRegressor
        >>> X = np.random.default_rng(0).normal(size=(100, 2))
        >>> model = NTKRegressor(activation="erf").fit(X, X[:, 0] ** 2)
        >>> bool(abs(model.predict_gradient([[0.5, 0.0]]) - [[1.0, 0.0]]).max() < 0.1)
        True
        """
        check_is_fitted(self)
        found = self._gradients(X, self._dual).swapaxes(1, 2)
        found = self._units.differences(found).swapaxes(1, 2)
        return found[:, 0] if self._is_flat else found

    def _functions(self):
        """Variances (k,) of the targets, and coefficients (n_distinct, k) of the predictions."""
        return self._spread.total, self._dual


class ClassifierGradients(Gradients):
    """Mixin: gradients of the scores of a fitted `NTKClassifier`."""

    @one_notice()
    @where_rows_are
    def predict_gradient(self, X):
        """Gradients of the scores, of `decision_function`, with respect to the rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples, n_features) or (n_samples, n_classes, n_features)
            Change of the scores per unit of each column; two classes have one score. Networks are
            limited as in `NTKRegressor.predict_gradient`. The hinge loss has no gradients for more
            than two classes, whose scores are counts.
        """
        check_is_fitted(self)
        found = self._gradients(X, fitted_loss(self).coefficients(self))
        return self._of_all(found[:, 0] if self._n_scores == 1 else found, axis=1)

    def _functions(self):
        """Units (k,) of the scores, ones, and their coefficients (n_distinct, k)."""
        return np.ones(self._n_scores), fitted_loss(self).coefficients(self)
