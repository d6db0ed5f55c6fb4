"""Attention on arrays: covariances and NTKs of all positions of rows, with their rates.

Quantities come as tuples, the value first, then its rates along both directions if wanted. Arrays
have the axes (positions, positions, rows), or two axes for left and right rows.
"""

import numpy as np


def weights(step, K):
    """Attention weights (positions, positions, n) of rows from their own covariances."""
    scores, *rates = (step.score_scale * part for part in K)
    if step.mechanism == "softmax":
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        S = scores / scores.sum(axis=1, keepdims=True)
        return (S, *(S * (rate - (S * rate).sum(axis=1, keepdims=True)) for rate in rates))
    sign = {"identity": 1.0, "relu": 1.0 * (scores > 0.0), "abs": np.sign(scores)}[step.mechanism]
    return tuple(sign * part for part in (scores, *rates))


def _sandwich(S, K, R):
    """``S K R'`` for each row, or for each pair of rows."""
    rows = "nm" if K.ndim == 4 else "n"
    half = np.einsum(f"abn,bc{rows}->ac{rows}", S, K)
    return np.einsum(f"ac{rows},dc{rows[-1]}->ad{rows}", half, R)


def sizes(step, A, K, S):
    """Sums of variances ``A``, and of ones, by the absolute values of weights, of single rows.

    Products of those of two positions are what rounding of their covariance is relative to.
    """
    if step.scaling == "sqrt":
        total = step.score_scale * np.sqrt((K * K).sum(axis=(0, 1))) + 0.0 * A
        return A * total, total
    return np.einsum("abn,bn->an", np.abs(S), A), np.abs(S).sum(axis=1)


def linear(K, S, R):
    """``S K R'`` for weights ``S`` and ``R`` of both rows."""
    moves = (
        _sandwich(dS, K[0], R[0]) + _sandwich(S[0], dK, R[0]) + _sandwich(S[0], K[0], dR)
        for dK, dS, dR in zip(K[1:], S[1:], R[1:], strict=True)
    )
    return (_sandwich(S[0], K[0], R[0]), *moves)


def square_root(step, K):
    """``square K(p, q) sum K(s, t)^2``, the covariance behind scores that stay random."""
    square, total = step.score_scale**2, (K[0] * K[0]).sum(axis=(0, 1))
    moves = (dK * total + 2.0 * K[0] * (K[0] * dK).sum(axis=(0, 1)) for dK in K[1:])
    return (square * K[0] * total, *(square * move for move in moves))


def square_root_ntk(step, K, T, new):
    """NTK behind scores that stay random, with ``new`` the covariance there."""

    def total_of(part):
        return part.sum(axis=(0, 1))

    square, twice = step.score_scale**2, 2.0 * step.trained
    total, cross = total_of(K[0] * K[0]), total_of(K[0] * T[0])
    parts = [square * (T[0] * total + 2.0 * K[0] * cross) + twice * new[0]]
    for dK, dT, dnew in zip(K[1:], T[1:], new[1:], strict=True):
        dtotal, dcross = 2.0 * total_of(K[0] * dK), total_of(dK * T[0] + K[0] * dT)
        move = dT * total + T[0] * dtotal + 2.0 * (dK * cross + K[0] * dcross)
        parts.append(square * move + twice * dnew)
    return tuple(parts)


def covariances(step, K, S, R):
    """Covariances behind an attention."""
    return square_root(step, K) if step.scaling == "sqrt" else linear(K, S, R)


def ntks(step, K, T, S, R, new):
    """NTKs behind an attention."""
    return square_root_ntk(step, K, T, new) if step.scaling == "sqrt" else linear(T, S, R)
