"""Gram matrices as operators, which need not be in memory: rows, products, diagonal, dense array.

A solver that uses only rows, blocks, products and the diagonal works for Gram matrices that do not
fit into memory. One that needs the whole matrix calls `dense`, or `single` for half of its bytes.
"""

import math
from abc import ABC, abstractmethod
from functools import partial

import numpy as np

from .._runtime.device import device_name, is_on_device, on_host, product
from .._runtime.threads import run_apart
from ..engines._work import check_memory_of

CHUNK = 2**23
"""Entries of a Gram matrix that are held at a time."""

ON_DEVICE = 2**26
"""The same in the memory of a GPU: each block computes the series of all its columns anew."""

PANEL = 2**27
"""Entries of a stored matrix in one product of BLAS, which Ctrl-C waits for."""


class GramOperator(ABC):
    """A symmetric matrix K of shape (n, n), by its rows."""

    __module__ = "sklearn_ntk.gram"

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

    def map(self, function, parts):
        """Yield ``function(*part)`` for tuples of arguments, in order, where Ctrl-C ends a wait."""
        for part in parts:
            yield run_apart(lambda part=part: function(*part))

    def fold(self, function, parts, join):
        """As `fold_here`, where the operator computes."""
        return fold_here(function, parts, join)

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


class Stored:
    """A matrix in memory, for products with columns."""

    def __init__(self, K):
        self._K, self.dtype = K, K.dtype

    def __matmul__(self, V):
        return np.concatenate([product(self._K[rows], V) for rows in chunks(*self._K.shape, PANEL)])


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

    __module__ = "sklearn_ntk.gram"

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


class KernelOperator(GramOperator):
    """The Gram matrix of a kernel on rows, computed at each use and not kept.

    Parameters
    ----------
    kernel : callable
        ``kernel(X, Y)`` and ``kernel(X)`` give Gram matrices, and ``kernel.diag(X)`` a diagonal.
        A kernel with a method ``on_device`` says where `dense` computes and leaves the matrix.
    X : array of shape (n, d)
    whole : callable, optional
        The kernel that computes all of the matrix, by default the same: one that tells how far it
        is, where ``kernel`` would do so for each block.

    Examples
    --------
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.gram import KernelOperator
    >>> K = KernelOperator(NTKKernel(depth=0, bias_var=0.0), [[1.0, 0.0], [1.0, 1.0]])
    >>> K @ [1.0, 1.0]
    array([2., 3.])
    """

    __module__ = "sklearn_ntk.gram"

    _instead = "local"

    def __init__(self, kernel, X, whole=None):
        self.kernel, self._whole = kernel, kernel if whole is None else whole
        self.X = X if is_on_device(X) else np.asarray(X)

    @property
    def shape(self):
        return (len(self.X), len(self.X))

    @property
    def device(self):
        own = self.kernel.device if hasattr(self.kernel, "on_device") else None
        return device_name(self.X) or (None if own == "cpu" else own)

    def rows(self, index):
        return rows_of(self.kernel, self.X, index)

    def block(self, rows, columns):
        return self.between(rows, columns)()

    def between(self, rows, columns):
        rows, columns = np.asarray(rows), np.asarray(columns)
        shared = np.flatnonzero(np.isin(rows, columns))
        places, own = np.nonzero(rows[shared, None] == columns)
        X, Y = _at(self.X, rows), _at(self.X, columns)
        return partial(_part, self.kernel, X, Y, shared[places], own)

    def take(self, index):
        return KernelOperator(self.kernel, self.X[index])

    def diagonal(self):
        return self.kernel.diag(self.X)

    def dense(self):
        return self._whole(*placed(self._whole, self.X))

    def single(self):
        if hasattr(self._whole, "in_single"):
            return self._whole.in_single()(*placed(self._whole, self.X))
        return super().single()

    def times(self, B, count=None):
        """As of `GramOperator`; each entry off the diagonal is computed once, and used twice."""
        B, (X,) = np.asarray(B, dtype=np.float64), placed(self.kernel, self.X)
        total, parts = np.zeros(B.shape), chunks(len(X), 1, math.isqrt(CHUNK))
        for place, left in enumerate(parts):
            total[left] += product(self.kernel(X[left]), B[left])
            for right in parts[place + 1 :]:
                K = self.kernel(X[left], X[right])
                total[left] += product(K, B[right])
                total[right] += product(K.T, B[left])
            if count is not None:
                n_rows = len(X[left])
                count(n_rows * (2 * (len(X) - left.start) - n_rows))
        return total


def rows_of(kernel, X, index):
    """Rows (m, n) of the Gram matrix of a kernel on rows ``X``, for a slice or m row indices."""
    index = np.arange(len(X))[index]
    return _part(kernel, _at(X, index), X, np.arange(len(index)), index)


def _part(kernel, X, Y, places, own):
    """Entries (m, p) of a Gram matrix, in which row ``places[k]`` of X is row ``own[k]`` of Y.

    A kernel between two sets of rows has no noise of single rows, as a `Dropout` or a `WhiteKernel`
    adds to the diagonal of a Gram matrix: there, entries are those of ``kernel.diag``.
    """
    K = kernel(X, Y)
    if len(places):
        K[np.asarray(places, like=K), np.asarray(own, like=K)] = kernel.diag(_at(X, places))
    return K


def _at(X, index):
    """Rows of an array of any kind, by an array of indices."""
    return X[np.asarray(index, like=X)]


def fold_here(function, parts, join):
    """``function(parts)``, which sums over parts of rows.

    ``join(one, others)`` is the sum of sums over some of the parts each.
    """
    return function(parts)


def placed(kernel, *rows):
    """Arrays of rows where a kernel is computed, so that its matrices stay there.

    Without a method ``on_device`` of the kernel that is where they are.
    """
    return kernel.on_device(*rows) if hasattr(kernel, "on_device") else rows


def chunks(m, n, most=None):
    """Slices of m rows of n entries, with at most ``most``, or `CHUNK`, entries or of one row."""
    step = max(1, (most or CHUNK) // max(1, n))
    return [slice(start, start + step) for start in range(0, m, step)]
