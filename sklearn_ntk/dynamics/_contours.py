"""Inverse Laplace transforms at times, by sums along a contour in the complex plane."""

import numpy as np

N_NODES = 16
"""Nodes for times that differ by at most a factor of two: the error is about 1e-10."""

RATIO = 5.0
"""Ratio of the times that share a contour: few nodes in all."""


def contour(times):
    """Quadrature of the inverse Laplace transform at some times.

    Nodes ``s`` (n_nodes,) and weights (n_times, n_nodes) with ``f(t_i) = Re sum_k weights_ik
    F(s_k)``, if all singularities of ``F`` are on the negative real axis. The contour is a parabola
    with the optimal step and size of Weideman and Trefethen, for the ratio of the times, of which
    the number of nodes is made to keep the error.
    """
    ratio = max(times.max() / times.min(), 2.0)
    n_nodes = int(np.ceil(N_NODES * np.sqrt((8.0 * ratio + 1.0) / 17.0)))
    step = np.sqrt(8.0 * ratio + 1.0) / n_nodes
    size = np.pi / (4.0 * step * ratio * times.min())
    root = 1.0 + 1j * step * (np.arange(n_nodes) + 0.5)
    nodes = size * root**2
    return nodes, 2.0 * step * size / np.pi * root * np.exp(np.outer(times, nodes))


def groups(times):
    """Yield slices of increasing times, the last one at most `RATIO` times the first."""
    start = 0
    while start < len(times):
        end = max(np.searchsorted(times / RATIO, times[start], side="right"), start + 1)
        yield slice(start, end)
        start = end


def product(A, B):
    """Product of a real matrix and a real or complex one by real arithmetic."""
    if not np.iscomplexobj(B):
        return A @ B
    return (A @ np.ascontiguousarray(B).view(float)).view(complex)


def real_product(A, B):
    """Real part of the product of complex arrays (..., n) and (n, m) by real arithmetic."""
    parts = np.stack([B.real, -B.imag], axis=1).reshape(-1, B.shape[1])
    return np.ascontiguousarray(A).view(float) @ parts
