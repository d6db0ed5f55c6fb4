"""Self-attention: formulas of the terms of its sums over positions, and these sums on arrays.

For a pair of rows let ``K[p, q]`` be the covariances and ``T[p, q]`` the NTK before the attention.
With linear scaling each row has attention weights, functions of its own scores: ``S[p, s]`` for the
left row and ``R[q, t]`` for the right one. Behind the attention covariance and NTK are ``S K R'``
and ``S T R'``, computed as sums of the terms `weigh` over ``s``, then over ``t``. With the scaling
"sqrt" the scores are Gaussian, of covariance proportional to ``K[p, q] K[s, t]``; both follow from
``K``, ``T`` and the sums ``sum_st K[s, t]^2`` and ``sum_st K[s, t] T[s, t]`` of the terms
`squares`. `distances` has the formulas that take these sums.

Arrays are (parts, positions, positions, n) for n rows, each paired with itself, and (parts,
positions, positions, n, m) for pairs of rows. The parts are those of a state (covariance, NTK,
rates), or a value and, with gradients, its rates along both directions.
"""

from functools import cache

import numpy as np

from . import line_traces
from .inputs import trace_state
from .writing import built, source

MECHANISMS = {
    "softmax": lambda score: (np.exp(score),),
    "identity": lambda score: (score,),
    "relu": lambda score: (np.maximum(score, 0.0),),
    "abs": lambda score: (np.abs(score),),
}
"""Attention weight of a score, for softmax before the division by the sum, by its name."""


def share(score, total):
    """Attention weight of softmax: a term divided by the sum of all."""
    return (score / total,)


def weigh(factor, covariance, ntk):
    """Terms of the sums of covariances and NTKs, by the attention weight ``factor``."""
    return factor * covariance, factor * ntk


def squares(covariance, ntk):
    """Terms ``K^2`` and ``K T`` of the sums over all pairs of positions."""
    return covariance * covariance, covariance * ntk


# --- Traces ---------------------------------------------------------------------------------------

_PARTS = {0: (), 1: (0,), 2: (0, 1), 3: (0, 2, 3), 6: range(6)}
"""Indices ``i`` of the inputs ``s{i}`` or ``d{i}`` (see `inputs`), by the number of parts."""

VALUE = (0, 2, 3)
"""Indices of the covariance, or distance, and its rates among the parts of a state."""


def trace(formula, gradient):
    """Outputs of a formula, with ``gradient`` then their rates, for the inputs of `inputs`."""
    return trace_state(formula, (), None, 0, gradient)


@cache
def _source(formula, n_parts, n_others):
    """Source of a formula, a function of arrays: the parts of a state and of ``others``."""
    state, others = (
        [f"{letter}{part}" for part in _PARTS[n]] for letter, n in (("s", n_parts), ("d", n_others))
    )
    return source("term", {"state": state, "others": others}, trace(formula, n_parts > 2))


def evaluate(formula, state, others=()):
    """Outputs of a formula with their rates, as one array (parts, ...).

    ``state`` holds the parts of its first parameters, and ``others`` those of sums.
    """
    return np.stack(built(_source, formula, len(state), len(others))(state, others))


# --- Arrays ---------------------------------------------------------------------------------------


def covariances(state, *sides):
    """Covariances ``(A + B - D) / 2``, NTKs and rates from a state (parts, ...) of distances.

    ``sides`` are the records of the left and right rows, then their rates along both directions.
    """
    sides = [side[:1] for side in sides]
    function = built(line_traces.pair_source, "covariance", None, len(state) > 2)
    return np.stack(function((), (), state, (), *sides))


def weights(step, K):
    """Attention weights ``S[p, s]`` (parts, positions, positions, n) of n rows.

    ``K`` (parts, positions, positions, n) holds the covariances inside the rows and their rates.
    """
    scores = step.score_scale * K
    if step.mechanism != "softmax":
        return evaluate(MECHANISMS[step.mechanism], scores)
    scores[0] -= scores[0].max(axis=1, keepdims=True)
    scores = evaluate(MECHANISMS["softmax"], scores)
    return evaluate(share, scores, scores.sum(axis=2, keepdims=True))


def pull_weights(step, K, S, bar):
    """Derivatives by the covariances ``K``, from those (positions, positions, n, k) by ``S``.

    ``K`` and the attention weights ``S`` are (positions, positions, n, 1), without rates.
    """
    if step.mechanism == "softmax":
        return step.score_scale * S * (bar - (S * bar).sum(axis=1, keepdims=True))
    scores = np.stack([step.score_scale * K, np.ones_like(K), np.zeros_like(K)])
    return step.score_scale * evaluate(MECHANISMS[step.mechanism], scores)[1] * bar


def mix_left(S, state):
    """``sum_s S[p, s] K[s, q]`` for ``K`` of a state and the weights ``S`` of the left rows."""
    sums = (evaluate(weigh, state, S[:, p, :, None]).sum(axis=1) for p in range(S.shape[1]))
    return np.stack([*sums], axis=1)


def mix(S, R, state):
    """``sum_st S[p, s] K[s, t] R[q, t]`` for ``K`` of a state and the weights of both rows."""
    return mix_left(R, mix_left(S, state).swapaxes(1, 2)).swapaxes(1, 2)
