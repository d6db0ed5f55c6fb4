"""Dask arrays: of rows, in memory or lazy, and of Gram matrices."""

import dask
import dask.array as da
import numpy as np

from .._runtime.check import read_dtype, read_rows
from ._operator import on_worker


def gram(kernel, X, Y=None):
    """Gram matrix of the rows of Dask arrays, as a Dask array that is computed block by block.

    Parameters
    ----------
    kernel : Kernel
        Such as `NTKKernel`.
    X : dask array or data frame of shape (n, d)
    Y : dask array or data frame of shape (m, d), optional
        ``X`` by default. One of both may be an array in memory, which is a block then.

    Returns
    -------
    dask array of shape (n, n) or (n, m)
        With the chunks of the rows, in the precision of the kernel.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.dask import gram
    >>> gram(NTKKernel(), da.ones((6, 2), chunks=(3, 2)))
    dask.array<block, shape=(6, 6), dtype=float64, chunksize=(3, 3), chunktype=numpy.ndarray>
    """
    X = whole_rows(X)
    Y = X if Y is None else whole_rows(Y)
    dtype = read_dtype(getattr(kernel, "dtype", float))
    kinds = {"dtype": dtype, "meta": np.empty((0, 0), dtype), "concatenate": True}
    return da.blockwise(_block, "ij", X, "ik", Y, "jk", kernel=kernel, to=dtype, **kinds)


def _block(X, Y, kernel, to):
    return on_worker(kernel, X, Y).astype(to, copy=False)


def is_dask(X):
    """Whether it is a Dask array or data frame."""
    return isinstance(X, da.Array) or hasattr(X, "to_dask_array")


def in_memory(client, *parts):
    """Arrays, or data frames with their names, of what may be of Dask, computed together."""
    if not any(map(is_dask, parts)):
        return parts
    with client.as_current():
        return dask.compute(*parts, traverse=False)


def whole_rows(X):
    """Dask array whose chunks have all columns."""
    if not is_dask(X):
        return da.from_array(read_rows(X), chunks=-1)
    X = X if isinstance(X, da.Array) else X.to_dask_array(lengths=True)
    return X.rechunk({1: -1})


def parts_of(X):
    """Pairs of the number of rows of a part of a Dask array or data frame, and the delayed part.

    Numbers that are not known without computing the part, those of data frames, are NaN.
    """
    if isinstance(X, da.Array):
        X = whole_rows(X)
        return list(zip(X.chunks[0], X.to_delayed().ravel(), strict=True))
    return [(np.nan, part) for part in X.to_delayed()]


def example_of(X):
    """One row or two, of any numbers, with the columns of a Dask array or data frame."""
    if not isinstance(X, da.Array):
        return X._meta_nonempty
    if np.isnan(X.shape[1:]).any():
        raise ValueError(
            "X must have a known number of columns; got a dask array without: call its "
            "compute_chunk_sizes()."
        )
    return np.zeros((1, *X.shape[1:]))
