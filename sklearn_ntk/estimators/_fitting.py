"""Decorators of methods that fit."""

import numbers
from functools import wraps

from .._runtime.blas import blas_for


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
