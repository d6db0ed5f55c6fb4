"""Conjugate gradients for many columns at once, on a stored matrix."""

from typing import NamedTuple

import numpy as np

from .._runtime.chunks import CHUNK
from .._runtime.progress import Progress
from ._moments import norms, norms_or_one, or_one, sizes
from ._preconditioner import Preconditioner

SINGLE, DOUBLE_ROWS = (1e-30, 1e30), 2500
"""Least and largest diagonal of a matrix that is stored in single precision, and rows up to which
it is not: it takes little memory anyway."""

FIRST, AGAIN = 5e-5, 3
"""Residual down to which single precision is used without a look at the true one, and how often, at
most, a solution is refined by its true residual."""

STUCK = 0.5
"""Share of a true residual that a refinement leaves from which on rounding errors allow no less."""

WRONG, SAMPLED_ROWS = 3e-2, 128
"""True residual from which on a solution is none, and number of rows by which it is estimated."""

TAIL, DOUBTFUL = 0.01, 10.0
"""`TAIL` is a guess of the least eigenvalue, in units of ``damping``. If the ridge plus that guess
is less than `DOUBTFUL` times the rounding errors, these are blamed for no convergence."""

ARRAYS = 14
"""Arrays of a row for each column that a solve holds at a time."""

STEPS = 1000
"""Units of progress from the first residual to the tolerance."""


class Iterations(NamedTuple):
    """How conjugate gradients ended.

    ``columns`` (n, k + 1) are solutions for the centred targets and for ones, and ``probes`` (n, p)
    rough ones for random signs, if any, which a later fit may start from. ``n_iter`` is the number
    of products with the matrix, and ``residual`` the largest norm of a true residual of
    ``columns``, computed anew in double precision, in units of the norm of its right side.
    ``trouble`` says in a sentence what is wrong with the solution, if anything.
    """

    n_iter: int
    residual: float
    columns: np.ndarray
    probes: np.ndarray | None = None
    trouble: str = ""


class System:
    """The matrix ``A = W^1/2 K W^1/2``, in memory in single precision, and its preconditioner.

    In single precision ``A + ridge`` need not be positive definite for small ridges. The matrix is
    made anew in double precision, if that fits into ``max_memory`` bytes, for ridges below its
    rounding errors, and where a solution is found to be wrong. ``n_iter`` counts the iterations of
    all solves, ``n_last`` those of the last one.
    """

    def __init__(self, operator, weights, rank, seed, verbose=0, max_memory=None):
        self.operator, self.root, self.verbose = operator, np.sqrt(weights), verbose
        self._max_memory = np.inf if max_memory is None else max_memory
        diagonal, rng = operator.diagonal(), np.random.default_rng(seed)
        self.diagonal = weights * diagonal
        in_range = SINGLE[0] < diagonal.min() and diagonal.max() < SINGLE[1]
        self._is_single = self._is_open = len(weights) > DOUBLE_ROWS and in_range
        total, eps = self.diagonal.sum(), np.finfo(np.float32).eps
        self._least = np.finfo(float).eps * total
        self.n_iter, self.n_last, self._K = 0, 0, None
        self.precondition = Preconditioner(operator, self.root, rank, rng)
        largest = np.sqrt(self.diagonal.max()) * np.sqrt(total)  # about its spectral norm
        self._rounding = eps * largest
        if self._is_single:
            chances = self.diagonal / total
            self._sample = rng.choice(len(weights), SAMPLED_ROWS, p=chances)
            self._chances = chances[self._sample, None]

    @property
    def is_limited(self):
        """Whether single precision is not enough, and there is no memory for double precision."""
        return self._is_single and not self._is_open

    def _resolves(self, ridge, margin=1.0):
        """Whether a ridge, or the least eigenvalues of A by a guess, are above rounding errors."""
        return ridge + TAIL * self.precondition.damping >= margin * self._rounding

    def is_stable(self, ridge):
        """Whether a ridge is far above the rounding errors of single precision."""
        return self._resolves(ridge, DOUBTFUL)

    def _prepare(self, ridge, n_columns):
        """Have the matrix in memory, for this ridge; raises ValueError if it is singular."""
        if ridge + self.precondition.damping <= self._least:
            raise ValueError(
                "The Gram matrix is singular to working precision, and conjugate gradients need a "
                "ridge then; got 0: increase alpha."
            )
        if not self._resolves(ridge):
            self._widen(n_columns)
        if self._K is None:
            self._store(n_columns)

    def _store(self, n_columns):
        """Have the matrix in memory, with room for columns."""
        n = len(self.root)
        what = f"A fit of {n} rows by conjugate gradients"
        self._K = self.operator.stored(self._is_single, memory_of_columns(n, n_columns), what)

    def _widen(self, n_columns):
        """Have the matrix in double precision, if there is memory for it; whether that is new."""
        if not self._is_open:
            return False
        n, rank = len(self.root), self.precondition.rank
        self._is_open = self._is_single = False
        self._K = None
        try:
            if memory_of(n, rank, n_columns, is_single=False) > self._max_memory:
                raise MemoryError
            self._store(n_columns)
        except MemoryError:
            self._is_single = True
            self._store(n_columns)
        return not self._is_single

    def exact(self, V, ridge):
        """``(A + ridge) V`` (n, c) in double precision, from blocks of K that are not kept."""
        root, n = self.root[:, None], len(self.root)
        progress = Progress(n * n, "The true residual", "take a larger tol", self.verbose)
        return root * self.operator.times(root * V, progress.add) + ridge * V

    def _true(self, X, B, ridge):
        """Estimates (c,) of the true residuals of solutions, by rows drawn as errors are likely."""
        rows, root = self._sample, self.root[:, None]
        R = B[rows] - root[rows] * (self.operator.rows(rows) @ (root * X)) - ridge * X[rows]
        return np.sqrt(np.mean(R**2 / self._chances, axis=0)) / norms_or_one(B)

    def product(self, V):
        """``A V`` from the matrix in memory."""
        root = self.root[:, None]
        V = root * V
        size = sizes(V)
        V = (V / size).astype(self._K.dtype)
        return root * (size * (self._K @ V))

    def solve(self, B, ridge, tol, most, start=None):
        """Solutions X (n, c) of ``(A + ridge) x = b``, and estimates (c,) of their residuals.

        ``ridge`` and ``tol`` are numbers, or one for each column; all columns share the products
        with A. A column is left alone when its residual is ``tol`` times the norm of its right
        side, or after ``most`` iterations.
        """
        ridge, tol = (np.broadcast_to(each, B.shape[1]) for each in (ridge, tol))
        self._prepare(ridge.min(), B.shape[1])
        self.n_last = 0
        units = norms_or_one(B)
        X, R, residuals = _begin(B, start, lambda X: self.product(X) + ridge * X)
        todo = np.flatnonzero(residuals > tol)
        first = np.max(residuals / tol, initial=0.0)
        progress = Progress(
            STEPS, "Conjugate gradients", "take a larger ridge or tol", self.verbose
        )
        R, D, gain = R[:, todo], 0.0, 1.0
        while len(todo) and self.n_last < most:
            Z = self.precondition(R, ridge[todo])
            before, gain = gain, np.sum(R * Z, axis=0)
            D = Z + gain / before * D
            image = self.product(D) + ridge[todo] * D
            curvature = np.sum(D * image, axis=0)
            self.n_iter, self.n_last = self.n_iter + 1, self.n_last + 1
            is_convex = curvature > 0.0
            if not is_convex.all() and self._widen(B.shape[1]):
                return self.solve(B, ridge, tol, most, X)
            step = np.where(is_convex, gain / or_one(curvature), 0.0)
            X[:, todo] += step * D
            R = R - step * image
            residuals[todo] = norms(R) / units[todo]
            going = (residuals[todo] > tol[todo]) & is_convex
            todo, R, D, gain = todo[going], R[:, going], D[:, going], gain[going]
            share = _share(first, np.max(residuals[todo] / tol[todo], initial=0.0))
            progress.reach(max(share, STEPS * self.n_last // most))
        if self._is_single:
            true = self._true(X, B, ridge)
            is_right = true <= np.maximum(WRONG, 2.0 * residuals)
            is_right &= (residuals <= tol) | self._resolves(ridge, DOUBTFUL)
            if not is_right.all() and self._widen(B.shape[1]):
                return self.solve(B, ridge, tol, most, X)
            residuals = np.where(is_right, residuals, np.maximum(residuals, true))
        return X, residuals

    def refine(self, B, ridge, tol, most, start=None):
        """Solutions (n, c), their true residuals (c,), and whether iterations ran out.

        Solves for what is left, with at most ``most`` iterations in all; a true residual takes one
        pass over the kernel, also before the first solve for a ``start``, which may be exact. No
        column is worse than zeros.
        """
        X, R, residuals = _begin(B, start, lambda X: self.exact(X, ridge))
        units, left = norms_or_one(B), most
        for _ in range(1 + AGAIN):
            worst = np.flatnonzero(residuals > tol)
            if not len(worst) or left <= 0:
                break
            largest = residuals.max()
            goal = max(0.5 * tol / largest, FIRST)
            step, _ = self.solve(R[:, worst], ridge, goal, left)
            left -= self.n_last
            better = X[:, worst] + step
            R_better = B[:, worst] - self.exact(better, ridge)
            new = norms(R_better) / units[worst]
            kept = new < residuals[worst]
            places = worst[kept]
            X[:, places], R[:, places] = better[:, kept], R_better[:, kept]
            residuals[places] = new[kept]
            if not new.max() <= STUCK * largest:
                break
        return X, residuals, left <= 0


def memory_of(n, rank, n_columns, is_single=True):
    """Bytes of a system of n rows at their peak: as the factor of this rank is made, or later."""
    n_bytes, block = 4.0 if is_single and n > DOUBLE_ROWS else 8.0, 8.0 * min(n * n, CHUNK)
    solving = n_bytes * n * n + 8.0 * n * rank + memory_of_columns(n, n_columns)
    return block + max(12.0 * n * rank, solving)


def memory_of_columns(n, n_columns):
    """Bytes that a solve for some columns takes."""
    return 8.0 * ARRAYS * n * n_columns


def _begin(B, start, image):
    """Copies of a start and of what it leaves of B, and residuals; zeros where those are better.

    ``image(X)`` is the matrix times X.
    """
    units = norms_or_one(B)
    X, R, residuals = np.zeros_like(B), B.copy(), norms(B) / units
    if start is not None:
        R_start = B - image(start)
        new = norms(R_start) / units
        better = new < residuals
        X[:, better], R[:, better] = start[:, better], R_start[:, better]
        residuals[better] = new[better]
    return X, R, residuals


def _share(first, now):
    """Units of progress, by the logarithm of the residual in units of the tolerance."""
    if now <= 1.0 or first <= 1.0:
        return STEPS
    return max(0, int(STEPS * np.log(first / now) / np.log(first)))
