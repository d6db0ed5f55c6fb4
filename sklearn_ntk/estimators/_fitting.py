"""Decorators of methods that fit, and tasks of a fit that run at the same time."""

import numbers
from functools import partial, wraps

from sklearn import config_context, get_config

from .._runtime.blas import blas_for
from ..engines._tasks import side_by_side


def all_or_nothing(fit):
    """Decorator of a method that fits: if it raises an error, the model stays as it was."""

    @wraps(fit)
    def whole(self, *arguments, **keywords):
        before = dict(vars(self))
        try:
            return fit(self, *arguments, **keywords)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    return whole


def with_blas_for_rows(fit):
    """Decorator of a method that fits to rows: threads of BLAS are those of `blas_for`."""

    @wraps(fit)
    def limited(self, X, *arguments, **keywords):
        first = X.shape[:1] if hasattr(X, "shape") else (len(X),) if hasattr(X, "__len__") else ()
        n_rows = next((n for n in first if isinstance(n, numbers.Integral)), 0)  # some are lazy
        with blas_for(n_rows):
            return fit(self, X, *arguments, **keywords)

    return limited


def at_the_same_time(function, parts, tasks):
    """As `side_by_side`, with the configuration of scikit-learn, which other threads lack."""
    return side_by_side(partial(_configured, get_config(), function), parts, tasks)


def _configured(config, function, *arguments):
    with config_context(**config):
        return function(*arguments)
