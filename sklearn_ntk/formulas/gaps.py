"""What the instructions do to single rows and to pairs, as formulas.

A row has a variance and an NTK, a pair a gap and an NTK (see `special`). For the pairs an
instruction keeps a record of each row: the two `halves` of the sum that the step makes, the
standard deviation of that sum, and, for a `Pointwise` step, the features of the activation.
"""

import numpy as np

from .special import halves, mixing, safe_inverse

N_FEATURES = 6
WIDTH = 3 + N_FEATURES
"""Length of a record with the largest number of features."""

NUMBERS = ("weight", "trained", "weight_rate")
"""What a `Pointwise` step knows of a pair besides the records."""

ROW_NUMBERS = ("weight", "bias", "trained", "weight_rate", "bias_rate")


def map_row(act, weight, bias, trained, variance, ntk):
    """`Pointwise` on a row: its new variance and NTK, and its record."""
    features = features_of(act, variance)
    slope = act.dual(0.0 * variance, features, features)[1]
    new, ntk, sums = affine_row(weight, bias, trained, features[1], slope, ntk)
    return new, ntk, (*sums, *features)


def features_of(act, variance):
    """Features of a row, truth values among them as the numbers that pairs read."""
    return tuple(1.0 * feature for feature in act.features(variance))


def affine_row(weight, bias, trained, std, slope, ntk):
    """New variance and NTK of a row, and the head of its record."""
    new = weight * (std * std) + bias
    root = np.sqrt(new)
    sums = (*halves(np.sqrt(weight) * std, np.sqrt(bias), root), root)
    return new, weight * slope * ntk + trained * new, sums


def map_pair(act, weight, trained, gap, ntk, left, right):
    """`Pointwise` on a pair: its new gap and NTK."""
    passed, slope = act.dual(gap, left[3:], right[3:])
    return affine_pair(weight, trained, passed, slope, ntk, left, right)


def affine_pair(weight, trained, passed, slope, ntk, left, right):
    """New gap and NTK of a pair, from those that the activation passed on."""
    new = weight * passed + mixing(left, right)
    passed_on = slope * (weight * ntk) + trained * left[2] * right[2]
    return new, passed_on - 0.5 * trained * new


def add_row(variance, ntk, saved_variance, saved_ntk):
    """`Add` on a row: its new variance and NTK, and its record."""
    new = variance + saved_variance
    root = np.sqrt(new)
    record = (*halves(np.sqrt(variance), np.sqrt(saved_variance), root), root)
    return new, ntk + saved_ntk, record


def add_pair(gap, ntk, saved_gap, saved_ntk, left, right):
    """`Add` on a pair: its new gap and NTK."""
    return gap + saved_gap + mixing(left, right), ntk + saved_ntk


def normalize_row(kept, variance, ntk):
    """`Normalize` on a row: its new variance and NTK, and its record."""
    std = np.sqrt(variance)
    inverse, new = safe_inverse(std), 1.0 * (variance > 0.0)
    return new, ntk * (inverse * inverse), (inverse, 0.0 * variance, new)


def normalize_pair(gap, ntk, left, right):
    """`Normalize` on a pair: its new gap and NTK."""
    scale = left[0] * right[0]
    return gap * scale, ntk * scale


def drop_row(kept, variance, ntk):
    """`Drop` on a row: its new variance and NTK, and its record."""
    noise = np.sqrt((2.0 / kept - 2.0) * variance)
    return variance / kept, ntk / kept, (noise, 0.0 * variance, np.sqrt(variance / kept))


def drop_pair(gap, ntk, left, right):
    """`Drop` on a pair: its new gap and NTK; both rows have noise of their own."""
    return gap + left[0] * right[0], ntk


RULES = {"normalize": (normalize_row, normalize_pair), "drop": (drop_row, drop_pair)}
"""What instructions without weights do to rows and to pairs."""
