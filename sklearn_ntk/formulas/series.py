"""Pointwise steps whose activation has no closed dual: Hermite series, on rows and on pairs.

With ``u`` and ``v`` the unit vectors of Hermite coefficients of two rows (see
`activations`), the covariance after the activation is ``P(rho) = sum u_n v_n rho^n`` times
both standard deviations. For ``rho = 1 - delta`` the gap needs ``P(1) - P(rho) = delta S``, where
``S = sum_k rho^k C_k`` and ``C_k = sum_{n > k} u_n v_n``: no term cancels another.

The features of a row are the standard deviation after the activation, ``1 / (2 s)`` with the
standard deviation ``s`` before it, their ratio ``gain``, ``log s^2``, and the coefficients. The
rates of the coefficients are taken along ``log s^2``, whose own rates the features hold.
"""

import numpy as np

from . import gaps
from .tracing import NOISE, built

N_HEAD = 4
"""Number of features before the coefficients."""

OPPOSITE = 1.0 - NOISE
"""Half of ``delta`` above which rows are opposite but for rounding."""


def map_row(step, numbers, state):
    """`Pointwise` on a row: its new state, its record, and no rates."""
    rows = step.activation.expand(state[0])
    order = np.arange(len(rows.unit))[:, None]
    duals = (rows.std, rows.gain**2 * (order * rows.unit**2).sum(axis=0))
    new, sums, _ = built(gaps.affine_row_source, False)(numbers, state, duals)
    return new, (*sums, *head(rows, state[0]), *rows.unit), ()


def head(rows, variance):
    """What a row knows besides its coefficients."""
    root = np.sqrt(variance)
    root = root + (root == 0.0)  # any number: the gap is zero, too
    return rows.std, 0.5 / root, rows.gain, 2.0 * np.log(root)


def map_row_rates(step, numbers, state):
    """`Pointwise` on a row: its new state with rates, its record, and the record's rates."""
    variance = state[0]
    rows = step.activation.expand(variance)
    std, inverse, gain, clock = head(rows, variance)
    order = np.arange(len(rows.unit))[:, None]
    order_mean = (order * rows.unit**2).sum(axis=0)
    order_rate = 2.0 * (order * rows.unit * rows.dunit).sum(axis=0)
    gain_rate = 2.0 * inverse * rows.dstd - 0.5 * gain
    slope_rate = gain * (2.0 * gain_rate * order_mean + gain * order_rate)
    speeds = tuple(rate / (variance + (variance == 0.0)) for rate in state[2:4])
    duals = (std, gain**2 * order_mean)
    duals += tuple(rows.dstd * speed for speed in speeds)
    duals += tuple(slope_rate * speed for speed in speeds)
    new, sums, sum_rates = built(gaps.affine_row_source, True)(numbers, state, duals)
    heads = [
        (rows.dstd * speed, -0.5 * inverse * speed, gain_rate * speed, speed) for speed in speeds
    ]
    rates = tuple(
        (*sum_rate, *head, *rows.dunit) for sum_rate, head in zip(sum_rates, heads, strict=True)
    )
    return new, (*sums, std, inverse, gain, clock, *rows.unit), rates


def dual(gap, left, right):
    """Gap and slope after the activation, from the features of both rows."""
    return _evaluate(gap, left, right)[:2]


def _evaluate(gap, left, right):
    """Gap and slope, then the sums of which they are made, for the derivatives."""
    half = np.minimum(gap * left[1] * right[1], 1.0)
    share = 2.0 * (half + (half > OPPOSITE) * (1.0 - half))
    apart, sums = _sum_up(1.0 - share, left[N_HEAD:], right[N_HEAD:], 3)
    passed = left[0] * right[0] * (apart + 2.0 * share * sums[0])
    slope = left[2] * right[2] * (sums[0] - share * sums[1])
    return passed, slope, share, apart, sums


def _sum_up(rho, u, v, n_derivatives):
    """``sum (u_n - v_n)^2``, and S with its derivatives by ``rho``."""
    apart = (u[0] - v[0]) ** 2
    cumulated, sums = 0.0, [0.0 * rho] * n_derivatives
    for x, y in zip(u[:0:-1], v[:0:-1], strict=True):
        cumulated = cumulated + x * y
        for i in range(n_derivatives - 1, 0, -1):
            sums[i] = sums[i] * rho + i * sums[i - 1]
        sums[0] = sums[0] * rho + cumulated
        apart = apart + (x - y) ** 2
    return apart, sums


def dual_rates(gap, gap_rates, left, right, dleft, dright):
    """`dual`, then the rates of the gap along both directions, then those of the slope."""
    passed, slope, share, apart, sums = _evaluate(gap, left, right)
    rho = 1.0 - share
    u, v, du, dv = (side[N_HEAD:] for side in (left, right, dleft[0], dright[0]))
    by_left, by_right = _sum_up(rho, du, v, 2)[1], _sum_up(rho, u, dv, 2)[1]
    moves = [x - y for x, y in zip(u, v, strict=True)]
    apart_left = 2.0 * sum(move * x for move, x in zip(moves, du, strict=True))
    apart_right = -2.0 * sum(move * y for move, y in zip(moves, dv, strict=True))
    scale, gain = left[0] * right[0], left[2] * right[2]
    passed_rates, slope_rates = [], []
    for gap_rate, dx, dy in zip(gap_rates, dleft, dright, strict=True):
        dshare = 2.0 * gap_rate * left[1] * right[1] + share * (dx[1] / left[1] + dy[1] / right[1])
        dshare = (share < 2.0) * dshare
        dsum, dnext = (
            by_left[i] * dx[3] + by_right[i] * dy[3] - sums[i + 1] * dshare for i in range(2)
        )
        dapart = apart_left * dx[3] + apart_right * dy[3]
        moved = (dx[0] * right[0] + left[0] * dy[0]) * (apart + 2.0 * share * sums[0])
        passed_rates.append(moved + scale * (dapart + 2.0 * (dshare * sums[0] + share * dsum)))
        risen = (dx[2] * right[2] + left[2] * dy[2]) * (sums[0] - share * sums[1])
        slope_rates.append(risen + gain * (dsum - dshare * sums[1] - share * dnext))
    return passed, slope, *passed_rates, *slope_rates
