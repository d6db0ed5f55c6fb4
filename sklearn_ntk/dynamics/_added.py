"""Training with one more row, of unknown target: the residuals as functions of that target."""

import numpy as np

from ._contours import product
from ._row_contours import largest_root

RESOLVED = 1e-6
"""Derivatives that are a smaller part of what is integrated, on average along the contour, count as
zero: the ends of an interval would have fewer than four digits."""


def residuals_with_row(training, cross, new, Y, time, weight):
    """Residuals of the rows and of a new one, when it is trained with them, for m such rows each.

    For the target ``z`` of the new row they are ``first + z slope``. ``cross`` (m, n) and ``new``
    (m,) are the kernel with the training rows, and of the new rows, which have this ``weight``;
    ``Y`` has shape (n, k). Returns ``first`` (m, n + 1, k), ``slope`` (m, n + 1), and the
    derivatives (m, n + 1) of the residuals by their own targets, zero where they are no more than
    the rounding of an integral; the new row is the last one.

    With a ridge ``r`` a row of target ``z`` has the dual coefficient ``(z - f) / S``, where ``f``
    is the prediction without it, and ``S`` its variance plus ``r / weight``; others, ``c``, change
    by ``-l`` times that, where ``l`` are the weights of their targets in ``f``. Residuals are ``r``
    times coefficients by weights. Those at a time are integrals over ridges, see `_contours`.
    """
    (m, n), root = cross.shape, training._root
    projected, centred = _seen(training, cross, new)
    targets, average = training._project(Y), training._shares @ Y
    first, (slope, own, size) = np.zeros((m, n + 1, Y.shape[1])), np.zeros((3, m, n + 1))
    rest = np.array([1.0 + weight / training._total])
    more = _increase(training, projected, centred, weight)
    nodes, factors = training._contour(training._time(time), rest, more=more)
    factors = factors[0] / nodes
    for node, factor in zip(nodes, factors, strict=True):
        ridge = training.alpha + node
        damping = 1.0 / (training._values[:, None] + ridge)
        constant = ridge * training._shares.sum() / training._total
        variance = centred + constant - product(projected.T**2, damping)[:, 0]
        drops = (factor * ridge / (variance + ridge / weight))[:, None]
        values = average + product(projected.T, damping * targets)
        effects = product(training._vectors, damping * projected).T + training._shares / root
        kept = factor * ridge * product(training._vectors, damping * targets)
        first[:, :-1] += (kept / root[:, None]).real + _real_outer(drops * effects / root, values)
        first[:, -1] -= (drops / weight * values).real
        slope[:, :-1] -= (drops * effects / root).real
        alone = factor * ridge * product(training._squares, damping)[:, 0]
        parts = np.append(alone + drops * effects**2, drops / weight, axis=1)
        own, size = own + parts.real, size + np.abs(parts)
    slope[:, -1] = own[:, -1]
    return first, slope, np.where(own > RESOLVED * size / np.abs(factors).sum(), own, 0.0)


def decays_with_row(training, cross, new, weight):
    """Whether residuals decay, see `Training.decays`, also when one of m new rows is trained, too.

    Arguments are those of `residuals_with_row`.
    """
    if training.method.calm == np.inf:
        return True
    more = _increase(training, *_seen(training, cross, new), weight)
    largest = np.max(training._values, initial=0.0) + more
    rate = training.learning_rate / (training._total + weight)
    return training.decays() and bool(rate * (largest + training.alpha) <= training.method.calm)


def _seen(training, cross, new):
    """Kernel (n - 1, m) with new rows along the eigenvectors, and its centred diagonal (m,)."""
    projected, means = training._project_cross(cross)
    return projected, new - 2.0 * means + training._shares @ training._means


def _increase(training, projected, centred, weight):
    """By how much the largest eigenvalue grows with one of m new rows, the most of them.

    With its kernels ``p`` along the eigenvectors and ``k`` with itself, the new one is the largest
    root ``r`` of ``r - a k = a sum_j p_j^2 / (r - L_j)``, where ``a`` is its weight, less what the
    constant takes.
    """
    values, squares = training._values[:, None], projected**2
    own = weight / (1.0 + weight * training._shares.sum() / training._total)
    top = np.max(values, initial=0.0)
    low, high = np.maximum(top, own * centred), top + own * np.maximum(centred, 0.0)

    def is_below(middle):
        return middle < own * (centred + np.sum(squares / (middle - values), axis=0))

    return float(largest_root(is_below, low, high) - top)


def _real_outer(A, B):
    """Real part (m, n, k) of the products of entries of ``A`` (m, n) and ``B`` (m, k)."""
    return A.real[:, :, None] * B.real[:, None] - A.imag[:, :, None] * B.imag[:, None]
