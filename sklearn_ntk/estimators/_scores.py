"""Scores of the classes, at the end of training and on the way."""

from functools import partial

from sklearn.utils.validation import check_is_fitted

from .._runtime.device import on_host
from .._runtime.notices import one_notice
from ._losses import fitted_loss
from ._places import where_rows_are
from ._stages import stages


class Scores:
    """Mixin: scores of a fitted `NTKClassifier`."""

    @one_notice()
    @where_rows_are
    def decision_function(self, X):
        """Scores of the classes; `predict` takes the largest, except for the hinge loss.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples,) or (n_samples, n_classes)
            For two classes, one score, positive for the second class. For more classes, the scores
            of the squared error sum to one (to zero if only two classes have weight); for the
            hinge loss, the score of a class is the number of classes that it wins against, up to a
            fraction, as in `sklearn.svm.SVC`. After ``fit``, a class whose rows all have weight
            zero has the score 0, and is never predicted.
        """
        check_is_fitted(self)
        return self._of_all(fitted_loss(self).scores(self, X))

    @one_notice()
    @where_rows_are
    def staged_decision_function(self, X, times):
        """Scores of the classes after several training times.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        times : array-like of shape (n_times,)
            Times, as ``training_time``, in any order; ``np.inf`` is the end of training, which the
            log loss reaches only with a ridge.

        Yields
        ------
        array of shape (n_samples,) or (n_samples, n_classes)
            What `decision_function` returns for each time, with the kernel and ``alpha_`` of the
            fit. Not for the hinge loss.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.preprocessing import scale
        >>> from sklearn_ntk import NTKClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = NTKClassifier(alpha=0.0).fit(scale(X), y)
        >>> for labels in model.staged_predict(scale(X), times=[0.0, 10.0, 10000.0]):
        ...     print(np.mean(labels == y) > 0.9)
        False
        True
        True
        """
        loss = fitted_loss(self)
        found = stages(self, X, times, "staged_decision_function", partial(loss.training, self))
        return (self._of_all(stage[:, 0] if stage.shape[1] == 1 else stage) for stage in found)

    @where_rows_are
    def staged_predict(self, X, times):
        """Predict labels after several training times.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        times : array-like of shape (n_times,)
            As for `staged_decision_function`.

        Yields
        ------
        array of shape (n_samples,)
        """
        found = map(on_host, self.staged_decision_function(X, times))
        return (fitted_loss(self).best(self, scores) for scores in found)
