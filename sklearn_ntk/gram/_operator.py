"""Gram matrices as operators, which need not be in memory: rows, products, diagonal, dense array.

A solver that uses only rows, products and the diagonal works for Gram matrices that do not fit into
memory. One that needs the whole matrix calls `dense`.
"""

from abc import ABC, abstractmethod

import numpy as np

CHUNK = 2**23
"""Entries of a Gram matrix that are held at a time."""


class GramOperator(ABC):
    """A symmetric matrix K of shape (n, n), by its rows."""

    __module__ = "sklearn_ntk.gram"

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

    def __matmul__(self, B):
        """``K @ B`` (n,) or (n, k), as B is, from at most `CHUNK` entries of K at once."""
        return np.concatenate([self.rows(chunk) @ B for chunk in chunks(*self.shape)])


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

    def rows(self, index):
        return self._K[index]

    def diagonal(self):
        return self._K.diagonal()

    def dense(self):
        return self._K if self._overwrite else self._K.copy()


class KernelOperator(GramOperator):
    """The Gram matrix of a kernel on rows, computed at each use and not kept.

    Parameters
    ----------
    kernel : callable
        ``kernel(X, Y)`` and ``kernel(X)`` give Gram matrices, and ``kernel.diag(X)`` a diagonal.
    X : array of shape (n, d)

    Examples
    --------
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.gram import KernelOperator
    >>> K = KernelOperator(NTKKernel(depth=0, bias_var=0.0), [[1.0, 0.0], [1.0, 1.0]])
    >>> K @ [1.0, 1.0]
    array([2., 3.])
    """

    __module__ = "sklearn_ntk.gram"

    def __init__(self, kernel, X):
        self._kernel = kernel
        self._X = np.asarray(X)

    @property
    def shape(self):
        return (len(self._X), len(self._X))

    def rows(self, index):
        return self._kernel(self._X[index], self._X)

    def diagonal(self):
        return self._kernel.diag(self._X)

    def dense(self):
        return self._kernel(self._X)


def chunks(m, n, most=None):
    """Slices of m rows of n entries, with at most ``most``, or `CHUNK`, entries or of one row."""
    step = max(1, (most or CHUNK) // max(1, n))
    return [slice(start, start + step) for start in range(0, m, step)]
