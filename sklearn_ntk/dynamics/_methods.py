"""Methods of training as values: what each has learned of an eigenvector after a time."""

from typing import NamedTuple

import numpy as np

from .._runtime.check import read_array
from .._values import complete, value
from . import _momentum
from ._arguments import read_momentum, read_times


class _Method:
    """What all methods have; the rest are the attributes ``is_flow``, ``calm`` and ``limit``.

    Training is stable for ``x`` less than ``limit``, and residuals keep their sign for ``x`` up to
    ``calm``. ``_shares(x, times)`` are the filter factors at increasing finite times. Contours of
    methods of steps (`_contours.of_steps`) read the momentum, ``boost`` and ``oscillation``: the
    largest absolute value of complex eigenvalues of a step, and the ``x`` from which on they are
    negative.
    """

    is_flow = False
    """Whether time is continuous, not a number of steps."""

    def filter(self, x, time):
        """Filter factors: the share of a component of the targets that the network has learned.

        Parameters
        ----------
        x : array of shape (...)
            Eigenvalues of the loss times the learning rate, ``learning_rate L / n`` for eigenvalues
            ``L`` of a Gram matrix of ``n`` rows, at least zero.
        time : float or array of shape (n_times,)
            Time of a flow, or whole number of steps; at least zero, possibly infinite.

        Returns
        -------
        array of the shape of ``x``, or of shape (n_times, ...)
            One minus the residual. Infinite where training does not settle in infinite time,
            or overflows.

        Raises
        ------
        ValueError
            If ``x``, a time or a parameter of the method is not a number in its range.
        """
        what = "an array of finite numbers >= 0"
        x = read_array(x, "x", what, "pass one array", range(33))
        if np.min(x, initial=0.0) < 0.0:
            raise ValueError(f"x must be {what}; got {x.min():.3g}: pass eigenvalues of a loss.")
        times = read_times(time, None if self.is_flow else self)
        distinct, places = np.unique(times, return_inverse=True)
        end = np.where(x < self.limit, 1.0 * (x > 0.0), np.inf)
        with np.errstate(all="ignore"):
            shares = [*self._shares(x, distinct[np.isfinite(distinct)]), end]
        shares = np.where(np.isfinite(shares), shares, np.inf)
        return shares[places.reshape(times.shape)]

    def rate(self, x):
        """Asymptotic rate of decay: the residual finally falls as ``exp(-rate(x) time)``.

        Parameters
        ----------
        x : array of shape (...)
            As for `filter`.

        Returns
        -------
        array of the shape of ``x``
            Zero where ``x`` is, negative where training diverges.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return self._rate(np.asarray(x, dtype=float)) + 0.0  # no minus zero


@value
class Flow(NamedTuple):
    """Gradient flow, descent with infinitesimal steps: the residual is ``exp(-x t)``.

    Examples
    --------
    >>> from sklearn_ntk.dynamics import Flow
    >>> Flow().filter([0.01, 1.0], 5.0).round(3)
    array([0.049, 0.993])
    """

    is_flow = True
    calm = limit = np.inf

    def _shares(self, x, times):
        return [-np.expm1(-x * time) for time in times]

    def _rate(self, x):
        return x


@value
class Descent(NamedTuple):
    """Gradient descent: the residual after k steps is ``(1 - x)^k``.

    Examples
    --------
    >>> from sklearn_ntk.dynamics import Descent
    >>> Descent().filter([0.01, 1.0], 5).round(3)
    array([0.049, 1.   ])
    >>> Descent().limit
    2.0
    """

    calm, limit = 1.0, 2.0
    boost, oscillation = 0.0, (0.0, 1.0)

    def _shares(self, x, times):
        logs = -self._rate(x)
        logs = np.maximum(logs, -np.finfo(float).max)  # 0 times infinity is 0 here
        for time in times:
            is_positive = (x <= 1.0) | (time % 2.0 == 0.0)
            yield np.where(is_positive, -np.expm1(time * logs), 1.0 + np.exp(time * logs))

    def _rate(self, x):
        return -np.where(x <= 1.0, np.log1p(-x), np.log(x - 1.0))


@value
class HeavyBall(NamedTuple):
    """Gradient descent with momentum, ``v <- momentum v - gradient``, ``theta <- theta + v``.

    This is the momentum of PyTorch's SGD, and of scikit-learn's without ``nesterovs_momentum``.

    Parameters
    ----------
    momentum : float, default=0.9
        In [0, 1).

    References
    ----------
    B. Polyak, "Some methods of speeding up the convergence of iteration methods", USSR
    Computational Mathematics and Mathematical Physics 4, 1964.

    Examples
    --------
    >>> from sklearn_ntk.dynamics import HeavyBall
    >>> HeavyBall(0.9).filter([0.01, 1.0], [5, 50]).round(3)
    array([[0.128, 0.198],
           [1.058, 1.05 ]])
    >>> HeavyBall(0.9).limit
    3.8
    """

    momentum: float = 0.9

    boost = 0.0

    @property
    def limit(self):
        """Training is stable for smaller ``x``."""
        return 2.0 * (1.0 + read_momentum(self.momentum))

    @property
    def calm(self):
        """Residuals oscillate for larger ``x``."""
        return (1.0 - np.sqrt(read_momentum(self.momentum))) ** 2

    @property
    def oscillation(self):
        root = np.sqrt(self.momentum)
        return root, (1.0 + root) ** 2

    def _shares(self, x, times):
        ones = np.ones_like(x)
        mu = read_momentum(self.momentum)
        step = _momentum.Steps(ones, ones, x, mu, 1.0 - mu - x)
        return [x * a for a in _momentum.path(step, times)]

    def _rate(self, x):
        return _momentum.slowest(read_momentum(self.momentum) - 1.0 - x, x, is_flow=False)


@value
class Nesterov(NamedTuple):
    """Gradient descent with Nesterov's momentum, in the form of PyTorch and scikit-learn.

    ``v <- momentum v - gradient``, ``theta <- theta + momentum v - gradient``: ``theta`` is where
    gradients are taken.

    Parameters
    ----------
    momentum : float, default=0.9
        In [0, 1).

    References
    ----------
    I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML
    2013.

    Examples
    --------
    >>> from sklearn_ntk.dynamics import Nesterov
    >>> Nesterov(0.9).filter([0.01, 1.0], [5, 50]).round(3)
    array([[0.162, 1.   ],
           [1.05 , 1.   ]])
    """

    momentum: float = 0.9

    @property
    def limit(self):
        """Training is stable for smaller ``x``."""
        mu = read_momentum(self.momentum)
        return 2.0 * (1.0 + mu) / (1.0 + 2.0 * mu)

    @property
    def calm(self):
        """Residuals oscillate for larger ``x``."""
        mu = read_momentum(self.momentum)
        return ((1.0 - mu) / (1.0 + mu)) ** 2

    @property
    def boost(self):
        return self.momentum

    @property
    def oscillation(self):
        return 2.0 * self.momentum / (1.0 + self.momentum), 1.0

    def _shares(self, x, times):
        mu = read_momentum(self.momentum)
        friction = 1.0 - mu - (1.0 + mu) * x
        step = _momentum.Steps(np.full_like(x, 1.0 + mu), np.ones_like(x), x, mu * mu, friction)
        return [x * a for a in _momentum.path(step, times)]

    def _rate(self, x):
        mu = read_momentum(self.momentum)
        return _momentum.slowest(mu - 1.0 - (1.0 + mu) * x, x, is_flow=False)


@value
class MomentumFlow(NamedTuple):
    """Heavy ball in continuous time: the residual solves ``r'' + (1 - momentum) r' + x r = 0``.

    It starts at rest. Time is in steps of `HeavyBall`, whose differences it replaces by
    derivatives.

    Parameters
    ----------
    momentum : float, default=0.9
        In [0, 1).

    References
    ----------
    N. Qian, "On the momentum term in gradient descent learning algorithms", Neural Networks 12,
    1999.

    Examples
    --------
    >>> from sklearn_ntk.dynamics import MomentumFlow
    >>> MomentumFlow(0.9).filter([0.01, 1.0], [5.0, 50.0]).round(3)
    array([[0.104, 0.821],
           [1.075, 0.924]])
    """

    momentum: float = 0.9

    is_flow = True
    limit = np.inf

    @property
    def calm(self):
        """Residuals oscillate for larger ``x``."""
        return (0.5 - 0.5 * read_momentum(self.momentum)) ** 2

    def _shares(self, x, times):
        friction = 1.0 - read_momentum(self.momentum)
        return [x * _momentum.flow(x, friction, time) for time in times]

    def _rate(self, x):
        return _momentum.slowest(read_momentum(self.momentum) - 1.0 + 0.0 * x, x, is_flow=True)


for _cls in (Flow, Descent, HeavyBall, Nesterov, MomentumFlow):
    complete(_cls, _Method)

FLOW = Flow()
"""The default of what trains."""
