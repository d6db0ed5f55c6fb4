"""Training with one more row, of unknown target: the residuals as functions of that target."""

import numpy as np

from ._contours import product


def residuals_with_row(training, cross, new, Y, time, weight):
    """Residuals of the rows and of a new one, when it is trained with them, for m such rows each.

    For the target ``z`` of the new row they are ``first + z slope``. ``cross`` (m, n) and ``new``
    (m,) are the kernel with the training rows, and of the new rows, which have this ``weight``;
    ``Y`` has shape (n, k). Returns ``first`` (m, n + 1, k), ``slope`` (m, n + 1), and the
    derivatives (m, n + 1) of the residuals by their own targets; the new row is the last one.

    With a ridge ``r`` a row of target ``z`` has the dual coefficient ``(z - f) / S``, where ``f``
    is the prediction without it, and ``S`` its variance plus ``r / weight``; others, ``c``, change
    by ``-l`` times that, where ``l`` are the weights of their targets in ``f``. Residuals are ``r``
    times coefficients by weights. Those at a time are integrals over ridges, see `_contours`.
    """
    (m, n), root = cross.shape, training._root
    projected, means = training._project_cross(cross)
    targets, average = training._project(Y), training._shares @ Y
    centred = new - 2.0 * means + training._shares @ training._means
    first, slope, own = np.zeros((m, n + 1, Y.shape[1])), np.zeros((m, n + 1)), np.zeros((m, n + 1))
    rest, more = np.array([1.0 + weight / training._total]), weight * np.max(centred)
    nodes, factors = training._contour(training._time(time), rest, more=more)
    for node, factor in zip(nodes, factors[0] / nodes, strict=True):
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
        slope[:, -1] += (drops[:, 0] / weight).real
        alone = factor * ridge * product(training._squares, damping)[:, 0]
        own[:, :-1] += (alone + drops * effects**2).real
    own[:, -1] = slope[:, -1]
    return first, slope, own


def _real_outer(A, B):
    """Real part (m, n, k) of the products of entries of ``A`` (m, n) and ``B`` (m, k)."""
    return A.real[:, :, None] * B.real[:, None] - A.imag[:, :, None] * B.imag[:, None]
