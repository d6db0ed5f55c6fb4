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
    """The gap at a squared distance, of these standard deviations."""
    apart = std - other
    return np.maximum(distance - apart * apart, 0.0)


def _sharp_gap(distance, std, other, noise):
    """Gap that is 0, or ``4 std other``, for positions parallel or opposite but for noise."""
    apart, total = std - other, std + other
    is_opposite = total * total - distance <= noise
    gap = np.maximum(distance - apart * apart, is_opposite * (4.0 * std * other))
    return gap * (gap > noise)


def _distance(gap, std, other):
    apart = std - other
    return gap + apart * apart


def _trained(trained, ntk, distance, variance, other):
    """The NTK with what trained weights add to it: their own covariance."""
    half = 0.5 * trained
    return ntk + half * variance + half * other - half * distance


# --- Rows: the new variance and the record --------------------------------------------------------


def pointwise_row(act, weight, bias, variance):
    """Activation and affine map; the record is the new variance and the features."""
    features = gaps.features_of(act, variance)
    new = weight * (features[1] * features[1]) + bias
    return new, (new, *features)


def affine_row(weight, bias, variance):
    """Affine map; the record is the new variance."""
    new = weight * variance + bias
    return new, (new,)


def normalize_row(variance):
    """Division by the standard deviation, which is the record with its inverse."""
    std = np.sqrt(variance)
    new = 1.0 * (variance > 0.0)
    return new, (std, safe_inverse(std), new)


def drop_row(kept, variance):
    """Dropout; the record is the variance of the noise."""
    new = variance / kept
    return new, (new - variance,)


def recur_row(recurrent, weight, bias, variance, inputs):
    """One time of a recurrence, before the activation; the record is the new variance."""
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
    """An affine map, then an activation with no other map behind it: both in one pass."""
    gap = gap_of(weight * distance, left[1], right[1])
    ntk = weight * ntk + trained * left[1] * right[1] - 0.5 * trained * gap
    passed, slope = act.dual(gap, left[1:], right[1:])
    return _distance(passed, left[2], right[2]), slope * ntk


def weigh_pair(weight, trained, passed, slope, ntk, left, right):
    """Affine map behind an activation; records have the standard deviation there in third place."""
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
    """Dropout: independent noise of both rows adds to their distance."""
    return distance + left[0] + right[0], ntk


def recur_pair(recurrent, weight, trained, distance, ntk, inputs, input_ntk, left, right):
    """One time of a recurrence, before the activation."""
    new = recurrent * distance + weight * inputs
    return new, _trained(trained, recurrent * ntk + weight * input_ntk, new, left[0], right[0])


def embed_pair(trained, distance, ntk, both, own_left, own_right):
    """Sum with a signal of which this is the covariance, and the variance at both positions."""
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
    """Mean from a sum over equal positions."""
    return scale * distance, scale * ntk


def settle_pair(scale, distance, ntk, left, right):
    """Means from sums over pairs of positions, of which the distances inside a row are taken off.

    A record is half of the scaled sum of distances inside the row, the number of positions, and the
    scaled sum of variances. Positions that are equal, parallel or opposite but for rounding count
    as such.
    """
    whole, uneven = scale * distance, (left[1] - right[1]) * (left[2] - right[2])
    rest = whole - left[0] - right[0] + uneven
    std, other = (np.sqrt(np.maximum(side[1] * side[2] - side[0], 0.0)) for side in (left, right))
    return _distance(_sharp_gap(rest, std, other, NOISE * whole), std, other), scale * ntk


# --- Rules ----------------------------------------------------------------------------------------

ROWS = {
    "pointwise": pointwise_row,
    "affine": affine_row,
    "normalize": normalize_row,
    "drop": drop_row,
    "recur": recur_row,
    "attend_sqrt": attend_sqrt_row,
}
"""Formulas of rules for rows."""

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
"""Formulas of rules for pairs.

The gap and the slope of a series come from its sums. The numbers of a joined map are those of its
affine map, which is the step before.
"""

NOISY = ("drop",)
"""Rules with noise of each row's own: the NTK of a row at one position with itself is divided by
the first number."""
