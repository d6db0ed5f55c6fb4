"""Instructions for rows with positions.

Pairs of positions ``p`` and ``q`` of a grid of ``n`` have the numbers ``p n + q``.
"""

from typing import NamedTuple

import numpy as np

from . import grids
from ._instructions import instruction


def _needed(self, codes, n, n_after):
    """Pairs of which both positions are seen."""
    left, right = self.seen(*np.divmod(codes, n_after))
    return grids.unique((left * n + right)[(left >= 0) & (right >= 0)])


@instruction
class Convolve(NamedTuple):
    """Sum over the positions in a window, the same ones in both rows: weights do not mix them.

    ``K(p, q) <- sum_s K(a_s, b_s)``, and ``T`` likewise, where ``p`` sees the positions ``a_s`` and
    ``q`` the positions ``b_s``: rows of the table of any geometry of `grids`.
    """

    windows: tuple

    rule, needed = "convolve", _needed

    @property
    def is_ring(self):
        return self.windows.is_ring

    def after(self, grid):
        return self.windows.after

    def seen(self, left, right):
        """Positions that places see, or -1, of shape (pairs, window positions)."""
        table = self.windows.table
        return table[left], table[right]


@instruction
class Pool(NamedTuple):
    """Mean, or sum, of the signal in a window, whose positions all mix.

    ``K(p, q) <- scale sum_{s, t} K(a_s, b_t)``, and ``T`` likewise, with the positions that the
    places see as in `Convolve`.
    """

    windows: tuple
    scale: float

    rule, mixes, needed = "settle", True, _needed

    @property
    def numbers(self):
        return {"scale": self.scale}

    def after(self, grid):
        return self.windows.after

    def seen(self, left, right):
        """Pairs of positions that places see, -1 outside, of shape (pairs, window pairs)."""
        table = self.windows.table
        both = np.broadcast_arrays(table[left][:, :, None], table[right][:, None, :])
        return tuple(part.reshape(len(left), -1) for part in both)


@instruction
class Flatten(NamedTuple):
    """Mean over equal positions, as weights of their own for each position leave it."""

    grid: tuple

    rule, mixes, needed = "mean", True, _needed

    @property
    def numbers(self):
        return {"scale": 1.0 / np.prod(self.grid)}

    def after(self, grid):
        return ()

    def seen(self, left, right):
        """Positions that the only place sees."""
        return (np.arange(int(np.prod(self.grid)))[None],) * 2


@instruction
class Embed(NamedTuple):
    """Add a Gaussian signal of the positions, the same for all rows.

    Its covariance is ``variance exp(-|p - q|^2 / (2 length_scale^2))``, for a length scale of zero
    that of independent positions.
    """

    grid: tuple
    variance: float
    length_scale: float
    trained: bool

    rule = "embed"

    @property
    def numbers(self):
        return {"trained": self.trained}

    @property
    def covariances(self):
        at = grids.places(self.grid)
        if self.length_scale == 0.0:
            return self.variance * np.eye(len(at))
        apart = (at[:, None] - at) / self.length_scale
        return self.variance * np.exp(-0.5 * (apart**2).sum(axis=2))


@instruction
class Attend(NamedTuple):
    """Self-attention: sums over all positions, by weights that depend on the row.

    With linear scaling ``K <- S K S'`` for a matrix ``S`` of each row, its scores after the
    mechanism. The scores are ``score_scale K(x, x)``. With the scaling "sqrt" they stay random:
    ``K(p, q) <- score_scale^2 K(p, q) sum_{s, t} K(s, t)^2``, and they are trained, too.
    """

    grid: tuple
    mechanism: str
    scaling: str
    score_scale: float
    trained: bool

    mixes = takes_all = True

    @property
    def rule(self):
        """The scaling tells between two rules."""
        return f"attend_{self.scaling}"

    @property
    def numbers(self):
        return {"square": self.score_scale**2, "twice": 2.0 * self.trained}

    def needed(self, codes, n, n_after):
        return np.arange(n**2)


@instruction
class Recur(NamedTuple):
    """Recurrence in time: the `Pointwise` behind it has the activation of each step.

    ``K_g(p, q) = recurrent_var K_h(p - 1, q - 1) + weight_var K(p, q) + bias_var``, where ``h`` is
    ``g`` after the activation, and zero before the beginning. Weights are the same at all times.
    """

    grid: tuple
    weight_var: float
    recurrent_var: float
    bias_var: float
    trained: bool
    weight_tied: bool
    recurrent_tied: bool
    bias_tied: bool

    rule, runs_next = "recur", True

    @property
    def ties(self):
        return self.weight_tied or self.recurrent_tied, self.bias_tied

    @property
    def numbers(self):
        return {
            "recurrent": self.recurrent_var,
            "weight": self.weight_var,
            "bias": self.bias_var,
            "trained": self.trained,
            "recurrent_rate": self.recurrent_var * self.recurrent_tied,
            "weight_rate": self.weight_var * self.weight_tied,
            "bias_rate": self.bias_var * self.bias_tied,
        }

    def needed(self, codes, n, n_after):
        """The pairs themselves and all that are as many times before them."""
        first = np.minimum(*np.divmod(codes, n))
        return grids.unique(np.concatenate([codes[first >= k] - k * (n + 1) for k in range(n)]))
