"""Early stopping: training until given times, and the time of the smallest error."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .._runtime.check import read_number
from .._values import value
from ..dynamics import Flow, Training
from ._ridge import default_ridges
from ._solution import Path, Solution, best_place, read_problem, read_values, relative_error


@value
class EarlyStopping(NamedTuple):
    """Training in time (`dynamics.Training`) that stops at a given time, or at the best one.

    Parameters
    ----------
    times : float, array-like or None, default=None
        The time, or number of steps, or several from which the one with the smallest error is
        chosen. None takes ``sum_i w_i (1 - momentum) / (learning_rate ridge)`` for the default
        ridges of `Ridge`, which regularise about as much.
    alpha : float, default=0.0
        Ridge, as weight decay.
    learning_rate : float, default=1.0
        Factor of the times, or step size.
    error : callable, optional
        The error to minimise, as for `Ridge`.
    method : value, default=dynamics.Flow()
        Method of training; not `dynamics.MomentumFlow`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.solvers import EarlyStopping
    >>> x = np.linspace(-1.0, 1.0, 5)[:, None]
    >>> path = EarlyStopping([0.1, 10.0, 1e5]).fit(NTKKernel(depth=1)(x), x**2)
    >>> path.value, path.solution.dual.shape
    (np.float64(100000.0), (5, 1))
    """

    times: float | Sequence | None = None
    alpha: float = 0.0
    learning_rate: float = 1.0
    error: Callable = relative_error
    method: object = Flow()

    def fit(self, operator, Y, weights=None, blind=()):
        """Train until the given time, or until the best one.

        Parameters
        ----------
        operator : array of shape (n, n) or GramOperator
            Gram matrix.
        Y : array of shape (n,) or (n, k)
            Targets.
        weights : array of shape (n,), optional
            Positive weights of the rows, ones by default.
        blind : list of pairs
            As for `Ridge.fit`.

        Returns
        -------
        Path
        """
        operator, Y, weights = read_problem(operator, Y, weights)
        K = operator.dense()
        kernels = [(K, slice(None))]
        kernels += [(read_problem(each, Y, None)[0].dense(), rows) for each, rows in blind]
        trainings = [(self._training(each, weights), rows) for each, rows in kernels]
        if self.times is not None and np.ndim(self.times) == 0:
            times = np.array([read_number(self.times, "times", may_be_infinite=True)])
            best, solution, errors = 0, _judged(trainings, Y, times[0]), []
        else:
            times = self._values(K, weights)
            solutions = [_judged(trainings, Y, time) for time in times]
            errors = [self.error(one, Y, weights) for one in solutions]
            best = best_place(errors)
            solution = solutions[best]
        precision = np.empty(len(Y))
        for training, rows in trainings:
            precision[rows] = 1.0 / training.variances(times[best])[rows]
        solution = solution._replace(precision=precision)
        return Path(times, np.array(errors), best, solution)

    def solutions(self, operator, Y, weights, is_whole):
        """Yield the `Solution` for each time, as `Ridge.solutions`, always without a precision."""
        K = operator.dense()
        training = self._training(K, weights)
        for time in self._values(K, weights):
            yield _solution(training, Y, time, is_whole)

    def _training(self, K, weights):
        return Training(K, weights, self.alpha, self.learning_rate, self.method)

    def _values(self, K, weights):
        """Decreasing times to try."""
        if self.times is None:
            times = default_times(K, weights, len(weights), self.learning_rate)
            if self.method.is_flow:
                return times
            return np.unique(np.ceil((1.0 - getattr(self.method, "momentum", 0.0)) * times))[::-1]
        return read_values(self.times, "times", may_be_infinite=True)[::-1]


def default_times(K, weights, n, learning_rate=1.0):
    """Decreasing times ``sum_i w_i / (learning_rate ridge)`` for the `default_ridges`."""
    with np.errstate(over="ignore"):
        times = weights.sum() / (learning_rate * default_ridges(K, weights, n))
    return np.minimum(times, np.finfo(float).max)


def _judged(trainings, Y, time):
    """`_solution` of the first of some trainings, with residuals of the others for their rows."""
    (training, _), *others = trainings
    solution = _solution(training, Y, time)
    for other, rows in others:
        solution = solution.judged(_solution(other, Y, time), rows)
    return solution


def _solution(training, Y, time, is_whole=True):
    """`Solution` at one time without a precision, and without residuals unless ``is_whole``."""
    dual, intercept = training.coefficients(Y, time)
    if not is_whole:
        return Solution(dual, intercept)
    residuals, leverages = training.training_residuals(Y, time)
    return Solution(
        dual,
        intercept,
        residuals=training.residuals(Y, time),
        gcv=np.mean(np.sum(training.rotated(Y, time) ** 2, axis=0)) / len(Y),
        training_residuals=residuals,
        leverages=leverages,
    )
