"""Functions of a matrix as sums of its resolvents, by integrals along contours.

Training from zero has the coefficients ``(1 - r(h L)) / L`` of eigenvalues ``L``, where ``h`` is
the learning rate per row and ``r`` what remains of a residual. They are ::

    (1 - r(h L)) / L = 1 / (2 pi i) int r(-h s) / (s (L + s)) ds

along a contour around ``s = 0`` and all ``s = -L``: a sum of solutions with the ridges ``s``, each
of which has leave-one-out residuals in closed form. The nodes ``s`` and the weights here make ``Re
sum_k weights_k F(s_k)`` of such an integral of ``F(s)``, with ``r``, or its square, in the weights.
"""

import numpy as np

from .._runtime import device

N_NODES = 16
"""Nodes for times that differ by at most a factor of two: the error is about 1e-10."""

RATIO = 5.0
"""Ratio of the times that share a contour: few nodes in all."""

PRECISION = 1e-11
"""Size of what is neglected."""

FEWEST_STEPS = 2 * N_NODES
"""For fewer steps a circle has no more nodes than two parabolas."""

MOST_STEPS = 1e15
"""More steps than these count as so many."""


def of_flow(times):
    """Contour of ``r = exp(-h L)`` for several ``h`` (n,), ``times`` here, and all ``L`` >= 0.

    Nodes (n_nodes,) and weights (n, n_nodes).
    """
    nodes, factors = _parabola(times.min(), times.max() / times.min())
    return nodes, factors * np.exp(np.outer(times, nodes))


def of_steps(method, h, count, power, largest):
    """Contour of ``r**power`` after a number of steps, for all ``L`` from 0 to ``largest``.

    The residual after k steps is ``r = ((z - mu) z^k + (mu - z') z'^k) / (z - z')`` for the
    eigenvalues ``z`` and ``z'`` of one step, which depend on ``h L``. The contour is in the plane
    of ``z``: a circle around all of them, or, after many steps, parabolas around those near 1 and
    -1, all others being fast. Nodes (n_nodes,) and weights (1, n_nodes).
    """
    mu, boost = getattr(method, "momentum", 0.0), 1.0 + method.boost
    middle, turn = method.oscillation
    k = min(count, MOST_STEPS)
    last = -method.rate(h * largest) if h * largest > turn else -np.inf
    if k * power < FEWEST_STEPS or middle ** (k * power) > PRECISION:
        logs, factors = _circle(k * power, max(last, 0.0))
        sign = 1.0
    else:
        logs, factors = _parabola(k * power)
        sign = np.ones(N_NODES)
        if k * power * last > np.log(PRECISION):
            logs = np.concatenate([logs, max(last, 0.0) + logs])
            factors, sign = np.tile(factors, 2), np.repeat([1.0, -1.0], N_NODES)
    z, beyond = sign * np.exp(logs), np.where(sign > 0.0, np.expm1(logs), -np.exp(logs) - 1.0)
    slower = 1.0 + boost * beyond
    s = beyond * (z - mu) / slower  # this is -h L
    slope = (beyond + z - mu - boost * s) / slower
    is_twin = np.abs(z) < middle  # z and z' have changed places, and both are fast
    other = np.where(is_twin, 0.0, mu - beyond + boost * s)
    residual = ((z - mu) * sign**k * np.exp(k * logs) + (mu - other) * other**k) / (z - other)
    return s / h, (np.where(is_twin, 0.0, residual**power) * slope * z * factors / h)[None]


def _parabola(time, ratio=2.0):
    """Nodes ``s`` of an integral of ``exp(time s) F(s)``, F with poles ``s <= 0``, and factors.

    The contour is a parabola with the optimal step and size of Weideman and Trefethen, for times up
    to ``ratio`` times this one, of which the number of nodes is made to keep the error.
    """
    ratio = max(ratio, 2.0)
    n_nodes = int(np.ceil(N_NODES * np.sqrt((8.0 * ratio + 1.0) / 17.0)))
    step = np.sqrt(8.0 * ratio + 1.0) / n_nodes
    size = np.pi / (4.0 * step * ratio * time)
    root = 1.0 + 1j * step * (np.arange(n_nodes) + 0.5)
    return size * root**2, 2.0 * step * size / np.pi * root


def _circle(degree, log_radius):
    """Logarithms of points ``z`` on half a circle, and the factors of an integral over ``dz / z``.

    It is as far outside of the radius as polynomials of this degree and rounding allow.
    """
    n = max(int(degree), N_NODES)
    log_radius -= 0.5 * np.log(PRECISION) / n
    return log_radius + 1j * np.pi / n * (np.arange(n) + 0.5), np.full(n, 1.0 / n)


def groups(times):
    """Yield slices of increasing times, the last one at most `RATIO` times the first."""
    start = 0
    while start < len(times):
        end = max(np.searchsorted(times / RATIO, times[start], side="right"), start + 1)
        yield slice(start, end)
        start = end


def product(A, B):
    """Product of a real matrix, maybe on a GPU, and a real or complex one by real arithmetic."""
    if not np.iscomplexobj(B):
        return device.product(A, B)
    return device.product(A, np.ascontiguousarray(B).view(float)).view(complex)


def real_part(A, B):
    """Real part of the product of complex arrays (..., n) and (n, m) by real arithmetic."""
    parts = np.stack([B.real, -B.imag], axis=1).reshape(-1, B.shape[1])
    return np.ascontiguousarray(A).view(float) @ parts
