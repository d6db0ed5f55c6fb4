"""The first time at which the loss of training is as small as asked for."""

import numpy as np
from scipy.optimize import brentq

SETTLED = 32.0
"""Learning times after which nothing is left of an oscillation: ``exp(-32)`` is 1e-14."""

PER_PERIOD = 16
"""Instants that are looked at in the shortest period of an oscillation in continuous time."""

MOST_INSTANTS = 2**20
"""Most instants that are looked at; steps are instants."""

BLOCK = 256
"""Instants that are looked at together."""

ROUNDING = 1e-14
"""A loss that is missed by less than that share of the one at the start counts as reached there."""


def first_time(training, parts, loss):
    """First time, or step, at which the loss is at most ``loss``, infinite if it stays above.

    ``parts`` (n - 1,) are the losses of the components of the targets at the start. While residuals
    oscillate all steps are looked at, or instants of a flow; afterwards the loss only falls.
    """
    is_flow = training.method.is_flow

    def excess(times):
        return training._residuals(times) ** 2 @ parts - loss

    if excess(0.0) <= ROUNDING * parts.sum():
        return 0.0
    count, spacing = _oscillations(training, parts)
    early = 0.0
    for start in range(0, count, BLOCK):
        times = spacing * np.arange(start, min(start + BLOCK, count) + 1)
        below = np.flatnonzero(excess(times) <= 0.0)
        if len(below):
            place = max(below[0], 1)  # rounding errors may differ from those of the block before
            return _between(excess, times[place - 1], times[place], is_flow)
        early = times[-1]
    if excess(np.inf) >= 0.0:
        return np.inf
    late = max(2.0 * early, training.learning_times().min() if is_flow else 1.0)
    while excess(late) > 0.0:
        early, late = late, 2.0 * late
    return _between(excess, early, late, is_flow)


def _oscillations(training, parts):
    """Number and spacing of the instants to look at, after which the loss only falls.

    Two steps are looked at in any case, as they may reach the limit exactly.
    """
    method, least = training.method, 0 if training.method.is_flow else 2
    x = training._x[(parts > 0.0) & (training._x > method.calm)]
    if len(x) == 0:
        return least, 1.0
    spacing = 2.0 * np.pi / np.sqrt(x.max()) / PER_PERIOD if method.is_flow else 1.0
    rate = method.rate(x).min()
    if rate * MOST_INSTANTS * spacing <= SETTLED:
        raise ValueError(
            f"time_to needs training that settles in less than {MOST_INSTANTS:.3g} steps; got "
            f"{method!r} with learning_rate={training.learning_rate:.4g}, to be less than "
            f"{training.max_learning_rate:.4g}: decrease it, or look among losses(Y, times)."
        )
    return max(int(SETTLED / rate / spacing), least), spacing


def _between(excess, early, late, is_flow):
    """Time, or step, at which a falling ``excess`` becomes at most zero."""
    if is_flow:
        if excess(early) <= 0.0:  # by a rounding error, as below
            return float(early)
        if excess(late) > 0.0:
            return float(late)
        return float(brentq(excess, early, late, xtol=np.finfo(float).tiny))
    while late - early > 1.0:
        middle = np.floor(0.5 * (early + late))
        early, late = (middle, late) if excess(middle) > 0.0 else (early, middle)
    return float(late)
