"""Fits of squared errors: ridge regression, or training that stops."""

import numpy as np

from ..dynamics import Descent, Flow, HeavyBall, Nesterov
from ..solvers import EarlyStopping, Ridge
from ..solvers._solution import relative_error
from ..solvers._units import scaled

LARGEST_RIDGE = 1e300
"""Larger ridges, for weights of about one, are replaced by this one, so that nothing overflows."""

OPTIMIZERS = {"flow": Flow, "descent": Descent, "heavy_ball": HeavyBall, "nesterov": Nesterov}
"""Methods of training by the names that estimators have for them."""


def method_of(model):
    """Method of training of an estimator, a value of `dynamics`."""
    cls = OPTIMIZERS[model.optimizer]
    return cls(model.momentum) if "momentum" in cls._fields else cls()


def given_alpha(alpha, unit):
    """The ridge for weights divided by ``2**unit``; None for "auto"."""
    return None if alpha == "auto" else min(scaled(float(alpha), -unit), LARGEST_RIDGE)


def fit_squares(model, operator, Y, weights, unit, error=relative_error, blind=()):
    """Fit ridge regression or training that stops: its `Path`, the ridge, and fitted attributes.

    ``unit`` is the exponent of the power of two by which weights were divided, and ``error`` is
    what chooses. ``blind`` is as for `Ridge.fit`.
    """
    alpha = given_alpha(model.alpha, unit)
    if model.training_time is None:
        path = Ridge(alpha, error).fit(operator, Y, weights, judges=model._judges, blind=blind)
        return path, path.value, fitted_ridges(model, path, alpha, unit)
    ridge = 0.0 if alpha is None else alpha
    candidates = None if model.training_time == "auto" else model.training_time
    stopping = EarlyStopping(candidates, ridge, model.learning_rate, error, method_of(model))
    path = stopping.fit(operator, Y, weights, blind)
    times = {"training_time_": path.value, "training_times_": path.values}
    one = path._replace(values=np.array([ridge]), best=0)
    return path, ridge, fitted_ridges(model, one, alpha, unit) | times


def fitted_ridges(model, path, alpha, unit):
    """Fitted attributes of ridges and their errors; ``alpha`` is that of `given_alpha`."""
    return {
        "alpha_": scaled(path.value, unit) if alpha is None else model.alpha,
        "alphas_": scaled(path.values, unit),
        "loo_errors_": path.errors,
        "training_time_": None,
        "training_times_": np.empty(0),
    }
