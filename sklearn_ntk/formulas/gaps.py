"""Recursions of the instructions for rows and pairs of rows.

The state of a row is its variance and NTK, that of a pair the gap ``2 (sqrt(K(x, x) K(y, y)) -
K(x, y))`` and the NTK (see `special`). Formulas for rows return the new variance, the new NTK, and
a record; formulas for pairs read the records ``left`` of ``x`` and ``right`` of ``y``. For an
instruction that is a sum of two independent signals, entries 0 and 1 of a record are the `halves`
of their standard deviations and entry 2 is the standard deviation of the sum; for `Pointwise`, the
features of the activation follow.
"""

import numpy as np

from .special import halves, mixing, safe_inverse

N_FEATURES = 6
WIDTH = 3 + N_FEATURES
"""Length of a record with the largest number of features."""

NUMBERS = ("weight", "trained", "weight_rate")
"""Numbers of a `Pointwise` instruction that its formulas for pairs read: see `inputs`."""

ROW_NUMBERS = ("weight", "bias", "trained", "weight_rate", "bias_rate")
"""Those that its formulas for rows read."""


def map_row(act, weight, bias, trained, variance, ntk):
    """`Pointwise` on a row: ``K <- weight E[f(u)^2] + bias``, the NTK, and the record."""
    features = features_of(act, variance)
    slope = act.dual(0.0 * variance, features, features)[1]
    new, ntk, sums = affine_row(weight, bias, trained, features[1], slope, ntk)
    return new, ntk, (*sums, *features)


def features_of(act, variance):
    """Features of a row for the dual of an activation, all of them as numbers."""
    return tuple(1.0 * feature for feature in act.features(variance))


def affine_row(weight, bias, trained, std, slope, ntk):
    """Affine map behind an activation, for a row: new variance and NTK, and the head of the record.

    ``std`` is the standard deviation ``E[f(u)^2]^(1/2)`` behind the activation, ``slope`` is
    ``E[f'(u)^2]``, and the new NTK is ``weight slope ntk + trained K``.
    """
    new = weight * (std * std) + bias
    root = np.sqrt(new)
    sums = (*halves(np.sqrt(weight) * std, np.sqrt(bias), root), root)
    return new, weight * slope * ntk + trained * new, sums


def map_pair(act, weight, trained, gap, ntk, left, right):
    """`Pointwise` on a pair: dual activation of the gap, then `affine_pair`."""
    passed, slope = act.dual(gap, left[3:], right[3:])
    return affine_pair(weight, trained, passed, slope, ntk, left, right)


def affine_pair(weight, trained, passed, slope, ntk, left, right):
    """Affine map behind an activation, for a pair: new gap and NTK.

    ``passed`` is the gap behind the activation and ``slope`` is ``E[f'(u) f'(v)]``; the new NTK is
    ``weight slope ntk + trained K`` with ``K = left[2] right[2] - new / 2``.
    """
    new = weight * passed + mixing(left, right)
    new_ntk = slope * (weight * ntk) + trained * left[2] * right[2]
    return new, new_ntk - 0.5 * trained * new


def add_row(variance, ntk, saved_variance, saved_ntk):
    """`Add` on a row: the sums of both variances and of both NTKs, and the record."""
    new = variance + saved_variance
    root = np.sqrt(new)
    record = (*halves(np.sqrt(variance), np.sqrt(saved_variance), root), root)
    return new, ntk + saved_ntk, record


def add_pair(gap, ntk, saved_gap, saved_ntk, left, right):
    """`Add` on a pair: the gap of the sum of both covariances, and the sum of both NTKs."""
    return gap + saved_gap + mixing(left, right), ntk + saved_ntk


def normalize_row(kept, variance, ntk):
    """`Normalize` on a row: variance 1, but 0 stays 0; the record is ``(1 / std, 0, new std)``."""
    std = np.sqrt(variance)
    inverse, new = safe_inverse(std), 1.0 * (variance > 0.0)
    return new, ntk * (inverse * inverse), (inverse, 0.0 * variance, new)


def normalize_pair(gap, ntk, left, right):
    """`Normalize` on a pair: gap and NTK divided by both standard deviations."""
    scale = left[0] * right[0]
    return gap * scale, ntk * scale


def drop_row(kept, variance, ntk):
    """`Drop` on a row: variance and NTK divided by ``kept``.

    The record is ``(sqrt((2 / kept - 2) variance), 0, new standard deviation)``.
    """
    noise = np.sqrt((2.0 / kept - 2.0) * variance)
    return variance / kept, ntk / kept, (noise, 0.0 * variance, np.sqrt(variance / kept))


def drop_pair(gap, ntk, left, right):
    """`Drop` on a pair: independent noise keeps the covariance and increases both variances."""
    return gap + left[0] * right[0], ntk


RULES = {"normalize": (normalize_row, normalize_pair), "drop": (drop_row, drop_pair)}
"""Formulas for rows and for pairs of instructions without weights, by their rule."""
