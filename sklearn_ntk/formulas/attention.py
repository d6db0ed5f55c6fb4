"""Self-attention: what positions, and pairs of them, add to sums, as formulas; sums on arrays.

With linear scaling each row has weights, its scores after the mechanism, for softmax divided by
their sum. ``S K R'``, for the weights of both rows, is a sum of terms `weigh` over the positions of
the left row, then over those of the right one. With the scaling "sqrt" the sums of `squares` over
all pairs are enough. What follows from the sums is in `distances`.

Arrays have the axes (parts, positions, positions, rows), or two axes for left and right rows. The
parts are those of a state, or the value and its rates along both directions, if wanted.
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
"""What makes weights of scores."""


def share(score, total):
    """A share of a sum."""
    return (score / total,)


def weigh(factor, covariance, ntk):
    """What a position adds to both sums with weights, of which this is one."""
    return factor * covariance, factor * ntk


def squares(covariance, ntk):
    """What a pair of positions adds to the sum of squared covariances, and to that of products."""
    return covariance * covariance, covariance * ntk


# --- Traces ---------------------------------------------------------------------------------------

_PARTS = {0: (), 1: (0,), 2: (0, 1), 3: (0, 2, 3), 6: range(6)}
"""Places in a state of so many parts."""

VALUE = (0, 2, 3)
"""Places of a covariance, or a distance, and its rates."""


def trace(formula, gradient):
    """Outputs of a formula, then their rates if wanted; for names of inputs see `inputs`."""
    return trace_state(formula, (), None, 0, gradient)


@cache
def _source(formula, n_parts, n_others):
    state, others = (
        [f"{letter}{part}" for part in _PARTS[n]] for letter, n in (("s", n_parts), ("d", n_others))
    )
    return source("term", {"state": state, "others": others}, trace(formula, n_parts > 2))


def evaluate(formula, state, others=()):
    """A formula on arrays: parts of its outputs."""
    return np.stack(built(_source, formula, len(state), len(others))(state, others))


# --- Arrays ---------------------------------------------------------------------------------------


def covariances(state, *sides):
    """Covariances and NTKs from a state, and from records of both sides and their rates."""
    sides = [side[:1] for side in sides]
    function = built(line_traces.pair_source, "covariance", None, len(state) > 2)
    return np.stack(function((), (), state, (), *sides))


def weights(step, K):
    """Attention weights (parts, positions, positions, n) of rows from their own covariances."""
    scores = step.score_scale * K
    if step.mechanism != "softmax":
        return evaluate(MECHANISMS[step.mechanism], scores)
    scores[0] -= scores[0].max(axis=1, keepdims=True)
    scores = evaluate(MECHANISMS["softmax"], scores)
    return evaluate(share, scores, scores.sum(axis=2, keepdims=True))


def mix_left(S, state):
    """Sums over the first position of pairs, by the weights of the rows on the left."""
    sums = (evaluate(weigh, state, S[:, p, :, None]).sum(axis=1) for p in range(S.shape[1]))
    return np.stack([*sums], axis=1)


def mix(S, R, state):
    """Sums over both positions of pairs, by the weights of both rows."""
    return mix_left(R, mix_left(S, state).swapaxes(1, 2)).swapaxes(1, 2)
