"""Recursions of the instructions for positions and pairs of positions.

The state of a pair of positions, ``p`` in row ``x`` and ``q`` in row ``y``, is its squared distance
``D = A + B - 2 K``, for the variances ``A = K(x_p, x_p)`` and ``B = K(y_q, y_q)`` and the
covariance ``K = K(x_p, y_q)``, and its NTK. Sums over windows and branches are linear in both; an
activation needs the gap ``D - (sqrt(A) - sqrt(B))^2``.

Formulas for rows map the variance of a position and return a record of it; formulas for pairs read
the records ``left`` of ``x_p`` and ``right`` of ``y_q``.
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


def _with_trained(trained, ntk, distance, variance, other):
    """NTK plus ``trained`` times the covariance ``(variance + other - distance) / 2``."""
    half = 0.5 * trained
    return ntk + half * variance + half * other - half * distance


# --- Rows: the new variance and the record --------------------------------------------------------


def pointwise_row(act, weight, bias, variance):
    """Activation and affine map; the record is the new variance and the activation's features."""
    features = gaps.features_of(act, variance)
    new = weight * (features[1] * features[1]) + bias
    return new, (new, *features)


def series_row(weight, bias, variance, std):
    """Affine map behind an activation; the record is the new variance and the root of the old one.

    ``std`` is the standard deviation behind the activation.
    """
    new = weight * (std * std) + bias
    return new, (new, np.sqrt(variance))


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
    """Attention with Gaussian scores: ``A <- square A total``, with ``total = sum_st K[s, t]^2``.

    For the record see `attend_linear_pair`.
    """
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
    return new, _with_trained(trained, slope * (weight * ntk), new, left[0], right[0])


def affine_pair(weight, trained, distance, ntk, left, right):
    """Affine map."""
    new = weight * distance
    return new, _with_trained(trained, weight * ntk, new, left[0], right[0])


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
    new_ntk = recurrent * ntk + weight * input_ntk
    return new, _with_trained(trained, new_ntk, new, left[0], right[0])


def embed_pair(trained, distance, ntk, both, own_left, own_right):
    """Sum with an embedding of positions, of covariance ``C``.

    ``both`` is ``C[p, q]``, ``own_left`` is ``C[p, p]``, and ``own_right`` is ``C[q, q]``.
    """
    return distance + (own_left + own_right - 2.0 * both), ntk + trained * both


def covariance_pair(distance, ntk, left, right):
    """The covariance ``(A + B - D) / 2`` in place of the distance; entry 0 of a record is ``A``."""
    return 0.5 * (left[0] + right[0] - distance), ntk


def attend_linear_pair(covariance, ntk, left, right):
    """Distance behind an attention, from the covariance there; exact for parallel positions.

    The record of position ``p`` is the variance before, the variance behind, and the sums ``sum_s
    |S[p, s]| A[s]`` and ``sum_s |S[p, s]|`` for the attention weights ``S``. The products of the
    last two of ``p`` and ``q`` bound the terms of the covariance, and so its rounding error.
    """
    distance = left[1] + right[1] - 2.0 * covariance
    std, other = np.sqrt(left[1]), np.sqrt(right[1])
    noise = NOISE * (left[2] * right[3] + left[3] * right[2])
    return _distance(_sharp_gap(distance, std, other, noise), std, other), ntk


def attend_sqrt_pair(square, twice, covariance, ntk, total, cross, left, right):
    """Attention with Gaussian scores: ``K <- square K total`` with ``total = sum_st K[s, t]^2``.

    The NTK is ``square (T total + 2 K cross)`` with ``cross = sum_st K[s, t] T[s, t]``, plus
    ``twice`` times the new covariance, for both layers of weights if they are trained.
    """
    new = square * covariance * total
    new_ntk = square * (ntk * total + 2.0 * covariance * cross) + twice * new
    return attend_linear_pair(new, new_ntk, left, right)


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
    "series": series_row,
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
"""Rules that add independent noise to each row. A position of a row paired with itself shares the
noise: there the NTK is divided by the rule's first number."""
