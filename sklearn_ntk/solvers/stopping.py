"""When to stop training: solutions at given times, and the time of the smallest error."""

from typing import NamedTuple

import numpy as np

from .flow import GradientFlow
from .ridge import best_position, default_ridges, relative_error


class Trained(NamedTuple):
    """Solution at one time.

    ``residuals`` are those of leaving out one row, ``rotated`` those of
    `dynamics.GradientFlow.rotated`.
    """

    dual: np.ndarray
    intercept: np.ndarray
    residuals: np.ndarray
    rotated: np.ndarray

    def gcv(self, weights):
        """Error of generalised cross-validation, as that of `Solution`."""
        return np.mean(np.sum(self.rotated**2, axis=0)) / len(weights)


class Stopped(NamedTuple):
    """`Trained` at the time in use, and the candidates that were tried, with the error of each.

    ``precision`` is the inverse of the variances of leaving out one row, see
    `dynamics.GradientFlow.variances`.
    """

    dual: np.ndarray
    intercept: np.ndarray
    residuals: np.ndarray
    precision: np.ndarray
    ridge: float
    ridges: np.ndarray
    time: float
    times: np.ndarray
    errors: np.ndarray


def default_times(K, weights, n, learning_rate=1.0):
    """Decreasing times that damp as much as `solvers.default_ridges` do."""
    return weights.sum() / (learning_rate * default_ridges(K, weights, n))


def fit_time(K, Y, weights, time, alpha=0.0, learning_rate=1.0):
    """Gradient flow, stopped at a given time.

    Parameters
    ----------
    K : array of shape (n, n)
        Gram matrix.
    Y : array of shape (n, k)
        Targets.
    weights : array of shape (n,)
        Positive weights of the rows.
    time, alpha, learning_rate : float

    Returns
    -------
    Stopped
        No errors are in it.
    """
    flow = GradientFlow(K, weights, alpha, learning_rate)
    return _stopped(flow, _train(flow, Y, time, is_whole=True), time, [time], [])


def select_time(K, Y, weights, times, error=relative_error, alpha=0.0, learning_rate=1.0):
    """Gradient flow, stopped at the time of the smallest error.

    Parameters and returns are those of `fit_time`, with the decreasing candidates ``times``, and a
    function ``error(solution, Y, weights)``.
    """
    flow, found = GradientFlow(K, weights, alpha, learning_rate), {}
    for k, time in enumerate(times):
        solution = _train(flow, Y, time, is_whole=True)
        found[k] = error(solution, Y, weights), solution
    best = best_position(found)
    errors = [value for value, _ in found.values()]
    return _stopped(flow, found[best][1], times[best], times, errors)


def train_path(K, Y, weights, times, is_whole):
    """`Trained` at each time, as `solvers.solve_path` for ridges; not all of it if not whole."""
    flow = GradientFlow(K, weights)
    return (_train(flow, Y, time, is_whole) for time in times)


def _train(flow, Y, time, is_whole):
    ends = (flow.residuals(Y, time), flow.rotated(Y, time)) if is_whole else (None, None)
    return Trained(*flow.coefficients(Y, time), *ends)


def _stopped(flow, solution, time, times, errors):
    """What `fit_time` and `select_time` return."""
    ridges, precision = np.array([flow.alpha]), 1.0 / flow.variances(time)
    ends = (flow.alpha, ridges, time, np.array(times, dtype=float), np.array(errors))
    return Stopped(*solution[:3], precision, *ends)
