"""What the instructions do at positions, as formulas.

A pair of positions, one in each row, has a squared distance ``D = A + B - 2 K`` of its variances
and its covariance, and an NTK. Sums over windows and branches are linear in both; an activation
needs the gap ``D - (sqrt(A) - sqrt(B))^2``. For the pairs an instruction keeps a record of each
position of each row.
"""

import numpy as np

from . import gaps
from .special import safe_inverse
from .tracing import NOISE


def gap_of(distance, std, other):
    """Gap ``D - (std - other)^2`` of a squared distance, for both standard deviations."""
    apart = std - other
    return np.maximum(distance - apart * apart, 0.0)


def _sharp_gap(distance, std, other, noise):
    """`gap_of`, exactly 0 for positions that are parallel within ``noise``.

    For opposite ones it is exactly ``4 std other``, the largest gap there is.
    """
    apart, total = std - other, std + other
    is_opposite = total * total - distance <= noise
    gap = np.maximum(distance - apart * apart, is_opposite * (4.0 * std * other))
    return gap * (gap > noise)


def _distance(gap, std, other):
    """Squared distance of a gap, the inverse of `gap_of`."""
    apart = std - other
    return gap + apart * apart


def _trained(trained, ntk, distance, variance, other):
    """NTK plus ``trained`` times the covariance ``(variance + other - distance) / 2``."""
    half = 0.5 * trained
    return ntk + half * variance + half * other - half * distance


# --- Rows: the new variance and the record --------------------------------------------------------


def pointwise_row(act, weight, bias, variance):
    """Activation and affine map; the record is the new variance and the activation's features."""
    features = gaps.features_of(act, variance)
    new = weight * (features[1] * features[1]) + bias
    return new, (new, *features)


def affine_row(weight, bias, variance):
    """Affine map; the record is the new variance."""
    new = weight * variance + bias
    return new, (new,)


def normalize_row(variance):
    """Division by the standard deviation; the record is that, its inverse, and the new variance."""
    std = np.sqrt(variance)
    new = 1.0 * (variance > 0.0)
    return new, (std, safe_inverse(std), new)


def drop_row(kept, variance):
    """Dropout; the record is the variance of the noise."""
    new = variance / kept
    return new, (new - variance,)


def recur_row(recurrent, weight, bias, variance, inputs):
    """One time step of a recurrence, before the activation; the record is the new variance.

    ``variance`` is that of the previous state behind the activation, ``inputs`` that of the input.
    """
    new = recurrent * variance + weight * inputs + bias
    return new, (new,)


def attend_sqrt_row(square, variance, total):
    """Attention with scores that stay random; for the record see `attend_linear_pair`."""
    new, size = square * variance * total, np.sqrt(square * total)
    return new, (variance, new, variance * size, size)


# --- Pairs: the new distance and NTK --------------------------------------------------------------


def pointwise_pair(act, weight, trained, distance, ntk, left, right):
    """Activation and affine map."""
    duals = act.dual(gap_of(distance, left[1], right[1]), left[1:], right[1:])
    return weigh_pair(weight, trained, *duals, ntk, left, right)


def joined_pair(act, weight, trained, distance, ntk, left, right):
    """Affine map, then an activation without an affine map behind it: two instructions in one.

    Records are those of the second instruction.
    """
    gap = gap_of(weight * distance, left[1], right[1])
    ntk = weight * ntk + trained * left[1] * right[1] - 0.5 * trained * gap
    passed, slope = act.dual(gap, left[1:], right[1:])
    return _distance(passed, left[2], right[2]), slope * ntk


def weigh_pair(weight, trained, passed, slope, ntk, left, right):
    """Affine map behind an activation, from the gap ``passed`` and the slope behind the latter.

    Entry 2 of a record is the standard deviation behind the activation.
    """
    new = weight * _distance(passed, left[2], right[2])
    return new, _trained(trained, slope * (weight * ntk), new, left[0], right[0])


def affine_pair(weight, trained, distance, ntk, left, right):
    """Affine map."""
    new = weight * distance
    return new, _trained(trained, weight * ntk, new, left[0], right[0])


def normalize_pair(distance, ntk, left, right):
    """Division by both standard deviations."""
    scale = left[1] * right[1]
    std, other = left[0], right[0]
    noise = NOISE * np.abs((std - other) * (std + other))
    gap = _sharp_gap(distance, std, other, noise) * scale
    return _distance(gap, left[2], right[2]), ntk * scale


def drop_pair(distance, ntk, left, right):
    """Dropout: the variances of the noise of both rows, which is independent, add to ``D``."""
    return distance + left[0] + right[0], ntk


def recur_pair(recurrent, weight, trained, distance, ntk, inputs, input_ntk, left, right):
    """One time step of a recurrence, before the activation, from the state behind it and the input.

    ``inputs`` and ``input_ntk`` are the squared distance and the NTK of the input.
    """
    new = recurrent * distance + weight * inputs
    return new, _trained(trained, recurrent * ntk + weight * input_ntk, new, left[0], right[0])


def embed_pair(trained, distance, ntk, both, own_left, own_right):
    """Sum with a signal of covariance ``both`` at ``(p, q)`` and variances ``own_...`` at both."""
    return distance + (own_left + own_right - 2.0 * both), ntk + trained * both


def covariance_pair(distance, ntk, left, right):
    """The covariance in place of the distance; a record begins with the variance."""
    return 0.5 * (left[0] + right[0] - distance), ntk


def attend_linear_pair(covariance, ntk, left, right):
    """Distance of this covariance behind an attention, aligned but for rounding as for aligned.

    A record is the variance before, that behind, and the sums over positions, by the absolute
    values of weights, of variances and of ones: the products of those of two positions are what
    rounding of their covariance is relative to.
    """
    distance = left[1] + right[1] - 2.0 * covariance
    std, other = np.sqrt(left[1]), np.sqrt(right[1])
    noise = NOISE * (left[2] * right[3] + left[3] * right[2])
    return _distance(_sharp_gap(distance, std, other, noise), std, other), ntk


def attend_sqrt_pair(square, twice, covariance, ntk, total, cross, left, right):
    """Attention with scores that stay random, from the sums of `attention.squares`."""
    behind = square * covariance * total
    passed_on = square * (ntk * total + 2.0 * covariance * cross) + twice * behind
    return attend_linear_pair(behind, passed_on, left, right)


def mean_pair(scale, distance, ntk):
    """Mean over positions ``p``, from the sums of ``D(p, p)`` and of ``T(p, p)``."""
    return scale * distance, scale * ntk


def settle_pair(scale, distance, ntk, left, right):
    """Distance and NTK behind a pooling, from the sums over pairs of positions of two windows.

    ``scale sum_st D(p_s, q_t)`` less the same halved sums inside each row is the squared distance
    of the pooled signals, if both windows have as many positions; ``uneven`` corrects for others.
    A record is ``scale / 2 sum_st D(p_s, p_t)`` inside the row, the number of positions in the
    window, and ``scale sum_s A(p_s)``. Positions that are equal, parallel or opposite but for
    rounding become exactly that.
    """
    total, uneven = scale * distance, (left[1] - right[1]) * (left[2] - right[2])
    rest = total - left[0] - right[0] + uneven
    std, other = (np.sqrt(np.maximum(side[1] * side[2] - side[0], 0.0)) for side in (left, right))
    return _distance(_sharp_gap(rest, std, other, NOISE * total), std, other), scale * ntk


# --- Rules ----------------------------------------------------------------------------------------

ROWS = {
    "pointwise": pointwise_row,
    "affine": affine_row,
    "normalize": normalize_row,
    "drop": drop_row,
    "recur": recur_row,
    "attend_sqrt": attend_sqrt_row,
}
"""Formulas for rows, by the rule of an instruction."""

PAIRS = {
    "pointwise": pointwise_pair,
    "joined": joined_pair,
    "series": weigh_pair,
    "affine": affine_pair,
    "normalize": normalize_pair,
    "drop": drop_pair,
    "recur": recur_pair,
    "embed": embed_pair,
    "mean": mean_pair,
    "settle": settle_pair,
    "covariance": covariance_pair,
    "attend_linear": attend_linear_pair,
    "attend_sqrt": attend_sqrt_pair,
}
"""Formulas for pairs of positions, by the rule of an instruction.

For "series" the inputs ``passed`` and ``slope`` come from `series`. Numbers of "joined" are those
of its affine map, the instruction before; its record is that of the activation.
"""

NOISY = ("drop",)
"""Rules with noise of each row's own: the NTK of a row at one position with itself is divided by
the first number."""
