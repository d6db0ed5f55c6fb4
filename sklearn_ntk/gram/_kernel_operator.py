"""The Gram matrix of a kernel on rows, as an operator."""

from functools import partial

import numpy as np

from .._runtime.chunks import sides
from .._runtime.device import device_name, is_on_device, product
from ._operator import GramOperator


class KernelOperator(GramOperator):
    """The Gram matrix of a kernel on rows, computed at each use and never stored.

    Parameters
    ----------
    kernel : callable
        ``kernel(X, Y)`` and ``kernel(X)`` return Gram matrices, and ``kernel.diag(X)`` a diagonal.
        If the kernel has a method ``on_device``, it decides where `dense` computes and leaves the
        matrix.
    X : array of shape (n, d)
    whole : callable, optional
        The kernel that computes the whole matrix, by default ``kernel``. Use it if the kernel
        prints progress, so that ``kernel`` does not do so for each block.

    Examples
    --------
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.gram import KernelOperator
    >>> K = KernelOperator(NTKKernel(depth=0, bias_var=0.0), [[1.0, 0.0], [1.0, 1.0]])
    >>> K @ [1.0, 1.0]
    array([2., 3.])
    """

    _instead = "local"

    def __init__(self, kernel, X, whole=None):
        self.kernel, self._whole = kernel, kernel if whole is None else whole
        self.X = X if is_on_device(X) else np.asarray(X)

    @property
    def shape(self):
        return (len(self.X), len(self.X))

    @property
    def device(self):
        own = device_of_kernel(self.kernel)
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
        total, parts = np.zeros(B.shape), sides(len(X))
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


def device_of_kernel(kernel):
    """The device of a kernel that has a method ``on_device``; None of others."""
    return kernel.device if hasattr(kernel, "on_device") else None


def placed(kernel, *rows):
    """Arrays of rows where a kernel is computed, so that its matrices stay there.

    Without a method ``on_device`` of the kernel that is where they are.
    """
    return kernel.on_device(*rows) if hasattr(kernel, "on_device") else rows
