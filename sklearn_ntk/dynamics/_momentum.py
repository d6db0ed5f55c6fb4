"""Sums of the powers of the 2 x 2 maps of methods with momentum, without cancellation.

Along an eigenvector a method moves a coordinate and its velocity by the affine map ``z -> M z + b``
for each step. After k steps from ``z = 0`` it is ``(a, v) = (1 + M + .. + M^(k-1)) b``, where ``a``
is the sum of the gradients so far, in units of the first one: the residual is ``1 - x a``. As
``M - 1`` maps ``(1, 0)`` to ``-x b``, the matrix of k steps is a function of ``(a, v)``, ::

    M^k - 1 = [[-x a, e v], [-x v, -x a - d v]]

with numbers ``e`` and ``d`` that depend on the method and on ``x`` alone. Thus ``(a, v)`` of k + l
steps follows from those of k and of l, see `Steps.joined`, and huge numbers of steps from few
products. Nothing is lost for small ``x``, where ``M`` is nearly one, nor where its eigenvalues
coincide, as it would be in formulas with eigenvalues.
"""

from typing import NamedTuple

import numpy as np

N_TERMS = 18
"""Terms of the Taylor series of `flow`, for times of at most a quarter."""


class Steps(NamedTuple):
    """A number of steps: arrays ``a`` and ``v`` of the shape of ``x``, and the constants."""

    a: np.ndarray
    v: np.ndarray
    x: np.ndarray
    e: np.ndarray
    d: np.ndarray

    def joined(self, other):
        """These steps and others, in any order."""
        a, v, x, e, d = self
        b, w = other[:2]
        return self._replace(
            a=a + b - x * a * b + e * v * w,
            v=v + w - x * (a * w + b * v) - d * v * w,
        )


def path(step, counts):
    """``a`` (n_counts, ...) after increasing finite numbers of equal steps."""
    counts = [int(count) for count in counts]
    powers, state, done, found = [step], step._replace(a=0.0 * step.x, v=0.0 * step.x), 0, []
    for count in counts:
        for bit in range((count - done).bit_length()):
            if bit == len(powers):
                powers.append(powers[-1].joined(powers[-1]))
            if (count - done) >> bit & 1:
                state = state.joined(powers[bit])
        done = count
        found.append(state.a)
    return found


def flow(x, friction, time):
    """Solution ``a`` at a finite time of ``a'' + friction a' + x a = 1``, at rest at ``a = 0``.

    By the Taylor series at the time divided by ``2**n``, and n doublings.
    """
    speed = friction + np.sqrt(np.max(x, initial=0.0))
    n = int(max(np.ceil(np.log2(speed) + np.log2(time) + 2.0), 0.0)) if time > 0.0 else 0
    time = np.ldexp(time, -n)
    a, v = np.zeros_like(x), np.full_like(x, time)
    state = Steps(a, v, x, 1.0, friction)
    for k in range(2, N_TERMS + 1):
        a, v = time / k * v, time / k * (-x * a - friction * v)
        state = state._replace(a=state.a + a, v=state.v + v)
    for _ in range(n):
        state = state.joined(state)
    return state.a


def slowest(trace, x, is_flow):
    """Rate at which the slowest part of the residual decays, per unit of time or per step.

    The eigenvalues ``z`` of ``M - 1`` have this trace and the product ``x``. The rate is the
    smallest ``-Re z`` of a flow, and the smallest ``-log |1 + z|`` of steps.
    """
    root = np.sqrt((trace * trace - 4.0 * x).astype(complex))
    far = 0.5 * (trace - root)  # the larger one if they are real, as traces are negative
    near = x / far
    if is_flow:
        return np.minimum(-far.real, -near.real)
    squares = [2.0 * z.real + np.abs(z) ** 2 for z in (far, near)]  # |1 + z|^2 - 1
    return -0.5 * np.log1p(np.maximum(np.maximum(*squares), -1.0))
