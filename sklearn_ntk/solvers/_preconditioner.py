"""Preconditioner of conjugate gradients: a damped low-rank approximation of the Gram matrix."""

from typing import NamedTuple

import numpy as np
from scipy import linalg

from .._runtime.chunks import chunks
from ..gram import GramOperator
from ..gram._spectrum import eigenvectors
from ._moments import sizes

ROUNDS = 10
"""In how many rounds, about, pivots are proposed; some are rejected, which takes a few more."""

STEEP = 3e6
"""Largest eigenvalue of an approximation, in units of what it leaves, from which on it needs double
precision: its inverse is a difference."""

EXHAUSTED = 1e-13
"""Share of the trace at which an approximation has all that rounding leaves."""


def pivoted_cholesky(operator, root, rank, rng):
    """`_Factor` of ``F`` (r, n), r <= rank, what is left, the diagonal of ``A - F'F``, and pivots.

    ``A`` is ``W^1/2 K W^1/2`` and ``root`` is ``sqrt(w)``. Pivots are drawn with probabilities
    that are proportional to the diagonal that is left: blocks of them are proposed, and each is
    accepted by what is left of it behind the others (E. Epperly, J. Tropp and R. Webber, "Embrace
    rejection: kernel matrix approximation by accelerated randomly pivoted Cholesky", 2024).
    ``F`` is in `Parts`, each with the columns of some rows, where the operator computes.
    """
    left = root**2 * operator.diagonal()
    if left.min() < 0.0:
        raise ValueError(
            f"A Gram matrix must have a diagonal >= 0; its least entry is {left.min():.3g}: use a "
            f"positive semi-definite kernel."
        )
    total, pivots = left.sum(), []
    factors = operator.parts(_Factor.empty, root, rank)
    while len(pivots) < rank and left.sum() > EXHAUSTED * total:
        n_proposed = min(max(1, rank // ROUNDS), rank - len(pivots))
        proposed = np.unique(rng.choice(len(root), n_proposed, p=left / left.sum()))
        rng.shuffle(proposed)
        scale = root[proposed]
        block = scale[:, None] * operator.block(proposed, proposed) * scale
        columns = sum(factors.ask(_Factor.at, proposed))
        block -= columns.T @ columns
        kept, L = _accept(block, rng.uniform(size=len(proposed)))
        if not len(kept):
            continue
        chosen = proposed[kept]
        factors.update(_Factor.extended, chosen, columns[:, kept], L)
        left = np.maximum(left - np.concatenate(factors.ask(_Factor.gain)), 0.0)
        left[chosen] = 0.0
        pivots.extend(chosen)
    return factors, left, np.array(pivots, dtype=int)


class _Factor(NamedTuple):
    """Columns of ``F`` for a slice of the rows.

    ``rows`` is the slice, ``room`` (rank, m) has the first ``r`` rows of ``F``, of which the last
    ``n_new`` are new.
    """

    operator: GramOperator
    rows: slice
    root: np.ndarray
    room: np.ndarray
    r: int = 0
    n_new: int = 0

    @classmethod
    def empty(cls, operator, rows, root, rank):
        """Nothing yet, with room for a rank."""
        return cls(operator, rows, root, np.empty((rank, len(root[rows]))))

    def known(self):
        """``F`` (r, m) as far as it is known."""
        return self.room[: self.r]

    def at(self, index):
        """Columns (r, k) of ``F`` by k indices of rows, zero for those of other parts."""
        places = index - self.rows.start
        is_own = (places >= 0) & (places < self.room.shape[1])
        found = np.zeros((self.r, len(index)))
        found[:, is_own] = self.known()[:, places[is_own]]
        return found

    def extended(self, chosen, columns, L):
        """With rows of ``F`` for k pivots, of columns (r, k) and a Cholesky factor (k, k)."""
        end = self.r + len(chosen)
        new = self.root[chosen, None] * self._rows_of_kernel(chosen) * self.root[self.rows]
        new -= columns.T @ self.known()
        self.room[self.r : end] = linalg.solve_triangular(L, new, lower=True, check_finite=False)
        return self._replace(r=end, n_new=len(chosen))

    def _rows_of_kernel(self, chosen):
        n = self.operator.shape[0]
        if self.rows == slice(0, n):
            return self.operator.rows(chosen)
        return self.operator.block(chosen, np.arange(n)[self.rows])

    def gain(self):
        """What the new rows take from the diagonal (m,)."""
        new = self.known()[self.r - self.n_new :]
        return np.einsum("ij,ij->j", new, new)

    def products(self):
        """The share (r, r) of this part in ``F F'``."""
        return self.known() @ self.known().T

    def rotated(self, axes, size):
        """`_Columns` of ``axes F / size`` (r, m), in the precision of ``axes`` (r, r)."""
        F = self.known()
        G = np.empty(F.shape, axes.dtype)
        for part in chunks(F.shape[1], len(F)):  # there is no room for another F
            G[:, part] = axes @ (F[:, part] / size).astype(axes.dtype)
        return _Columns(self.rows, G)


class _Columns(NamedTuple):
    """Columns of ``G`` (r, m) for a slice of the rows."""

    rows: slice
    G: np.ndarray

    def inner(self, R):
        """The share of this part in ``G R`` (r, c)."""
        return self.G @ R[self.rows]

    def outer(self, W):
        """``G' W`` (m, c) for these rows."""
        return self.G.T @ W

    def squares(self, shares):
        """Diagonal (m,) of ``G' diag(shares) G`` for these rows."""
        return np.einsum("i,ij,ij->j", shares, self.G, self.G)


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
    squares. ``G`` needs not be exact: it is in single precision, unless its size is `STEEP`. It is
    where the operator computes, as its factor was.
    """

    def __init__(self, operator, root, rank, rng):
        self._parts, left, pivots = pivoted_cholesky(operator, root, rank, rng)
        self.rank, self.damping = len(pivots), left.mean()
        products = self._parts.total(_Factor.products)
        squares, vectors = eigenvectors(products, overwrite=True)
        self._squares = np.maximum(squares, 0.0)[:, None]
        self._size = np.sqrt(max(self._squares.max(initial=0.0), np.finfo(float).tiny))
        is_steep = self._size**2 > STEEP * self.damping
        self._dtype = np.dtype(np.float64 if is_steep else np.float32)
        self._parts.update(_Factor.rotated, vectors.T.astype(self._dtype), self._size)

    def diagonal(self, ridge):
        """The diagonal (n,) of ``P^-1`` for a ridge."""
        rho = self.damping + ridge
        shares = self._size**2 / (self._squares[:, 0] + rho)
        return (1.0 - np.concatenate(self._parts.ask(_Columns.squares, shares))) / rho

    def __call__(self, R, ridge):
        """``P^-1 R`` (n, c)."""
        rho = self.damping + ridge
        scale = sizes(R)
        shares = self._parts.ask(_Columns.inner, (R / scale).astype(self._dtype))
        inner = np.sum(shares, axis=0, dtype=np.float64)
        inner *= self._size**2 / (self._squares + rho)
        images = self._parts.ask(_Columns.outer, inner.astype(self._dtype))
        return (R - scale * np.concatenate(images)) / rho
