"""Gram matrices as operators, which need not be in memory: rows, products, diagonal, dense array.

A solver that uses only rows, blocks, products and the diagonal works for Gram matrices that do not
fit into memory. One that needs the whole matrix calls `dense`, or `single` for half of its bytes.
"""

from abc import ABC, abstractmethod
from functools import partial

import numpy as np

from .._runtime.chunks import chunks
from .._runtime.device import device_name, is_on_device, on_host, product
from .._runtime.threads import map_apart
from ..engines._tasks import side_by_side
from ..engines._work import check_memory_of

ON_DEVICE = 2**26
"""Entries of a Gram matrix that are held at a time in the memory of a GPU, more than `CHUNK`: each
block computes the series of all its columns anew."""

PANEL = 2**27
"""Entries of a stored matrix in one product of BLAS, which Ctrl-C waits for."""


class GramOperator(ABC):
    """A symmetric matrix K of shape (n, n) that is accessed by rows."""

    device = None
    """Name of the GPU in whose memory `dense` is; None for the memory of the machine."""

    _instead = "nystroem"
    """Solver for a matrix that is too large."""

    @property
    @abstractmethod
    def shape(self):
        """The pair (n, n)."""

    @abstractmethod
    def rows(self, index):
        """``K[index]`` of shape (m, n), for a slice or an array of m row indices."""

    @abstractmethod
    def diagonal(self):
        """``K_ii`` of shape (n,)."""

    @abstractmethod
    def dense(self):
        """All of K, as an array that the caller may overwrite."""

    def block(self, rows, columns):
        """``K[i, j]`` (m, p) for arrays of m row indices i and p column indices j."""
        return self.rows(rows)[:, columns]

    def between(self, rows, columns):
        """Function without arguments that returns `block`."""
        return partial(self.block, rows, columns)

    def take(self, index):
        """The operator of some rows, and of the same columns, by an array of their indices."""
        return ArrayOperator(self.block(index, index), overwrite=True)

    def single(self):
        """All of K, in single precision."""
        K = np.empty(self.shape, np.float32)
        for chunk in chunks(*self.shape):
            K[chunk] = self.rows(chunk)
        return K

    def stored(self, is_single, n_more, what):
        """All of K where products with it are fast: what has ``@``, and a ``dtype``.

        Raises MemoryError if it does not fit, with ``n_more`` bytes in the memory of the machine;
        ``what`` begins the sentence.
        """
        remedy = f"take solver={self._instead!r}, or fewer rows"
        n_bytes = (4.0 if is_single else 8.0) * self.shape[0] ** 2
        if self.device is not None:
            check_memory_of(self.device, n_bytes, what, remedy)
            n_bytes = 0.0
        check_memory_of(None, n_bytes + n_more, what, remedy)
        return Stored(self.single() if is_single else self.dense())

    def check_task(self, n_bytes, what, remedy):
        """Raise MemoryError, as `check_memory_of`, if a task of `map` needs more than there is."""
        check_memory_of(self.device, n_bytes, what, remedy)

    def map(self, function, parts, tasks):
        """Yield ``function(*part)`` for tuples of arguments, in order, where Ctrl-C ends a wait.

        Several at the same time as `Tasks` say, if K is computed on the CPU.
        """
        if self.device is not None:
            return map_apart(function, parts, 1)
        return side_by_side(function, parts, tasks)

    def fold(self, function, parts, join):
        """As `fold_here`, where the operator computes."""
        return fold_here(function, parts, join)

    def parts(self, function, *arguments):
        """`Parts` of ``function(operator, rows, *arguments)``, for slices of all rows."""
        return Parts([function(self, slice(0, self.shape[0]), *arguments)])

    def __matmul__(self, B):
        return self.times(B)

    def times(self, B, count=None):
        """``K @ B`` (n,) or (n, k), as B is, from at most `CHUNK` entries of K at once.

        ``count``, if given, is called with the number of entries that are done.
        """
        parts = []
        for chunk in chunks(*self.shape):
            parts.append(self.rows(chunk) @ B)
            if count is not None:
                count(len(parts[-1]) * self.shape[1])
        return np.concatenate(parts)


class Parts:
    """Values for parts of the rows, in order, kept where their operator computes."""

    def __init__(self, values):
        self._values = values

    def __len__(self):
        return len(self._values)

    def update(self, function, *arguments):
        """Put ``function(value, *arguments)`` in the place of each value.

        The function may overwrite arrays of the value if it writes the same when it is called
        again.
        """
        self._values = [function(value, *arguments) for value in self._values]

    def ask(self, function, *arguments):
        """List of ``function(value, *arguments)``."""
        return [function(value, *arguments) for value in self._values]

    def total(self, function):
        """Sum of ``function(value)``, of which there is no room for a list."""
        return sum(map(function, self._values))


class Stored:
    """A symmetric matrix in memory, for products with columns."""

    def __init__(self, K):
        self._K, self.dtype = K, K.dtype

    def __matmul__(self, V):
        """``K V`` (n, c), as ``(V'K)'``, for which BLAS takes two thirds of the time, or less."""
        if is_on_device(self._K):
            return product(self._K, V)
        return sum(V[rows].T @ self._K[rows] for rows in chunks(*self._K.shape, PANEL)).T


class ArrayOperator(GramOperator):
    """A Gram matrix in memory.

    Parameters
    ----------
    K : array of shape (n, n)
    overwrite : bool, default=False
        Whether `dense` returns K itself, which the caller may overwrite, rather than a copy.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ntk.gram import ArrayOperator
    >>> ArrayOperator(np.array([[2.0, 1.0], [1.0, 2.0]])) @ np.array([1.0, -1.0])
    array([ 1., -1.])
    """

    def __init__(self, K, overwrite=False):
        self._K = K
        self._overwrite = overwrite

    @property
    def shape(self):
        return self._K.shape

    @property
    def device(self):
        return device_name(self._K)

    def rows(self, index):
        return self._K[index]

    def block(self, rows, columns):
        rows, columns = (np.asarray(index, like=self._K) for index in (rows, columns))
        return self._K[rows[:, None], columns]

    def diagonal(self):
        return on_host(self._K.diagonal())

    def dense(self):
        return self._K if self._overwrite else self._K.copy()


def fold_here(function, parts, join):
    """``function(parts)``, which sums over parts of rows.

    ``join(first, others)`` adds partial sums; unused here, cluster operators need it.
    """
    return function(parts)
