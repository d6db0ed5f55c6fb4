"""Preconditioner of conjugate gradients: a damped low-rank approximation of the Gram matrix."""

import numpy as np
from scipy import linalg

from ..gram._operator import chunks

ROUNDS = 10
"""In how many rounds, about, pivots are proposed; some are rejected, which takes a few more."""

STEEP = 3e6
"""Largest eigenvalue of an approximation, in units of what it leaves, from which on it needs double
precision: its inverse is a difference."""

EXHAUSTED = 1e-13
"""Share of the trace at which an approximation has all that rounding leaves."""


def pivoted_cholesky(operator, root, rank, rng):
    """Factor ``F`` (r, n), r <= rank, and what is left, the diagonal of ``A - F'F`` (n,).

    ``A`` is ``W^1/2 K W^1/2`` and ``root`` is ``sqrt(w)``. Pivots are drawn with probabilities
    that are proportional to the diagonal that is left: blocks of them are proposed, and each is
    accepted by what is left of it behind the others (E. Epperly, J. Tropp and R. Webber, "Embrace
    rejection: kernel matrix approximation by accelerated randomly pivoted Cholesky", 2024).
    """
    left = root**2 * operator.diagonal()
    if left.min() < 0.0:
        raise ValueError(
            f"A Gram matrix must have a diagonal >= 0; its least entry is {left.min():.3g}: use a "
            f"positive semi-definite kernel."
        )
    total, r = left.sum(), 0
    F = np.empty((rank, len(root)))
    pivots = []
    while r < rank and left.sum() > EXHAUSTED * total:
        n_proposed = min(max(1, rank // ROUNDS), rank - r)
        proposed = np.unique(rng.choice(len(root), n_proposed, p=left / left.sum()))
        rng.shuffle(proposed)
        scale = root[proposed]
        block = scale[:, None] * operator.block(proposed, proposed) * scale
        block -= F[:r, proposed].T @ F[:r, proposed]
        kept, L = _accept(block, rng.uniform(size=len(proposed)))
        if not len(kept):
            continue
        chosen = proposed[kept]
        rows = root[chosen, None] * operator.rows(chosen) * root
        rows -= F[:r, chosen].T @ F[:r]
        new = linalg.solve_triangular(L, rows, lower=True, check_finite=False)
        F[r : r + len(kept)] = new
        left = np.maximum(left - np.einsum("ij,ij->j", new, new), 0.0)
        left[chosen] = 0.0
        pivots.extend(chosen)
        r += len(kept)
    return F[:r], left, np.array(pivots, dtype=int)


def _accept(block, chances):
    """Places of the accepted pivots among those proposed, and the Cholesky factor of their block.

    A pivot is accepted with the probability of what is left of its diagonal entry behind those
    accepted before it.
    """
    first, kept, columns = block.diagonal().copy(), [], []
    left = first.copy()
    for place, chance in enumerate(chances):
        if left[place] <= chance * first[place] or left[place] <= 0.0:
            continue
        column = block[:, place] - sum(one * one[place] for one in columns)
        column /= np.sqrt(left[place])
        left = left - column**2
        kept.append(place)
        columns.append(column)
    return kept, np.tril(np.array(columns).T[kept]) if kept else None


class Preconditioner:
    """Inverses of ``G G' + mu + ridge``, an approximation of ``A + ridge`` for any ridge.

    ``mu`` is the mean of the diagonal that the factor leaves: without it, the eigenvalues of the
    preconditioned matrix reach ``1 + mu / ridge``. The columns of ``G`` are orthogonal, so that
    ``P^-1 R = (R - G diag(1 / (s + rho)) G'R) / rho`` with ``rho = mu + ridge`` and ``s`` their
    squares. ``G`` needs not be exact: it is in single precision, unless its size is `STEEP`.
    """

    def __init__(self, operator, root, rank, rng):
        F, left, _ = pivoted_cholesky(operator, root, rank, rng)
        self.damping = left.mean()
        squares, vectors = linalg.eigh(F @ F.T, driver="evd", check_finite=False)
        self._squares = np.maximum(squares, 0.0)[:, None]
        self._size = np.sqrt(max(self._squares.max(initial=0.0), np.finfo(float).tiny))
        is_steep = self._size**2 > STEEP * self.damping
        self._G = F if is_steep else np.empty(F.shape, np.float32)  # (r, n)
        axes = vectors.T.astype(self._G.dtype)
        for part in chunks(F.shape[1], len(F)):  # F is overwritten: there is no room for two
            self._G[:, part] = axes @ (F[:, part] / self._size).astype(axes.dtype)

    @property
    def rank(self):
        """Number of columns of ``G``."""
        return len(self._G)

    def diagonal(self, ridge):
        """The diagonal (n,) of ``P^-1`` for a ridge."""
        rho = self.damping + ridge
        shares = self._size**2 / (self._squares[:, 0] + rho)
        return (1.0 - np.einsum("i,ij,ij->j", shares, self._G, self._G)) / rho

    def __call__(self, R, ridge):
        """``P^-1 R`` (n, c)."""
        rho = self.damping + ridge
        scale = np.abs(R).max(axis=0)
        scale = np.where(scale > 0.0, scale, 1.0)
        dtype = self._G.dtype
        inner = (self._G @ (R / scale).astype(dtype)).astype(np.float64)
        inner *= self._size**2 / (self._squares + rho)
        return (R - scale * (self._G.T @ inner.astype(dtype))) / rho
