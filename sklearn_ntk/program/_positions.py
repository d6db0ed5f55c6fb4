"""Instructions for rows with positions: convolution, pooling, flattening, attention, recurrence.

The pair of position ``p`` of the left row and ``q`` of the right row, on a grid of ``n`` positions,
has the code ``p n + q``. ``K(p, q)`` and ``T(p, q)`` are its covariance and NTK.
"""

from typing import NamedTuple

import numpy as np

from . import grids
from ._instructions import instruction


def _needed(self, codes, n, n_after):
    """Codes of the pairs that `seen` yields, without those that have a position outside."""
    left, right = self.seen(*np.divmod(codes, n_after))
    return grids.unique((left * n + right)[(left >= 0) & (right >= 0)])


@instruction
class Convolve(NamedTuple):
    """Sum over the entries of a filter, whose weights are independent of each other.

    ``K(p, q) <- sum_s K(a_s, b_s)``, and ``T`` likewise, where the filter at ``p`` covers the
    positions ``a_s`` and that at ``q`` the positions ``b_s``: the rows ``p`` and ``q`` of
    ``windows.table``, for any geometry of `grids`. Variances of weights are in the `Pointwise`
    behind it.
    """

    windows: tuple

    rule = "convolve"

    def needed(self, codes, n, n_after):
        """As `_needed`; all pairs need all if each position is in its own window."""
        own = np.arange(n)[:, None]
        if len(codes) == n**2 == n_after**2 and np.any(np.all(self.windows.table == own, axis=0)):
            return codes
        return _needed(self, codes, n, n_after)

    @property
    def is_ring(self):
        return self.windows.is_ring

    def after(self, grid):
        return self.windows.after

    def seen(self, left, right):
        """Positions ``a_s`` and ``b_s`` for outputs ``left`` and ``right``, -1 outside the grid.

        Both have the shape (n_pairs, window size).
        """
        table = self.windows.table
        return table[left], table[right]


@instruction
class Pool(NamedTuple):
    """Mean or sum of the signal over a pooling window.

    ``K(p, q) <- scale sum_{s, t} K(a_s, b_t)``, and ``T`` likewise, with positions ``a_s`` and
    ``b_t`` of the windows at ``p`` and ``q`` as in `Convolve`.
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
        """Positions ``a_s`` and ``b_t``, -1 outside the grid, for all pairs ``(s, t)``.

        Both have the shape (n_pairs, window size squared).
        """
        table = self.windows.table
        both = np.broadcast_arrays(table[left][:, :, None], table[right][:, None, :])
        return tuple(positions.reshape(len(left), -1) for positions in both)


@instruction
class Flatten(NamedTuple):
    """Mean over equal positions, ``K <- (1 / n) sum_p K(p, p)``: independent weights for each."""

    grid: tuple

    rule, mixes, needed = "mean", True, _needed

    @property
    def numbers(self):
        return {"scale": 1.0 / np.prod(self.grid)}

    def after(self, grid):
        return ()

    def seen(self, left, right):
        """All positions, twice: the pairs ``(p, p)`` of the only output."""
        return (np.arange(int(np.prod(self.grid)))[None],) * 2


@instruction
class Embed(NamedTuple):
    """Add a Gaussian signal that depends on the position only and is the same for all rows.

    Its covariance is ``variance exp(-|p - q|^2 / (2 length_scale^2))``; with a length scale of
    zero positions are independent.
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
    """Self-attention: sums over all positions with attention weights that depend on the row.

    With linear scaling ``K <- S K R'``, where ``S`` and ``R`` (n_positions, n_positions) are the
    attention weights of the left and the right row: its scores ``score_scale K(x_p, x_q)`` after
    the mechanism, such as a softmax. With the scaling "sqrt" scores stay random: ``K(p, q) <-
    score_scale^2 K(p, q) sum_{s, t} K(s, t)^2``, and their weights are trained, too.
    """

    grid: tuple
    mechanism: str
    scaling: str
    score_scale: float
    trained: bool

    mixes = takes_all = True

    @property
    def rule(self):
        """One rule for each scaling."""
        return f"attend_{self.scaling}"

    @property
    def numbers(self):
        return {"square": self.score_scale**2, "twice": 2.0 * self.trained}

    def needed(self, codes, n, n_after):
        return np.arange(n**2)


@instruction
class Recur(NamedTuple):
    """Recurrence in time, with the same weights at all times: ``h_p = f(g_p)``.

    ``K_g(p, q) = recurrent_var K_h(p - 1, q - 1) + weight_var K(p, q) + bias_var``, where ``K`` is
    the covariance of the inputs and ``h`` is zero before time 0. The activation ``f`` is that of
    the next instruction, a `Pointwise`.
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
        """The pairs ``(p, q)`` and all earlier ``(p - k, q - k)``."""
        first = np.minimum(*np.divmod(codes, n))
        return grids.unique(np.concatenate([codes[first >= k] - k * (n + 1) for k in range(n)]))
