"""Dask arrays: of rows, in memory or lazy, and of Gram matrices."""

import dask
import dask.array as da
import numpy as np
from dask.delayed import Delayed

from .._runtime.check import check_shape_of_rows, read_dtype, read_rows
from ..engines._tasks import on_one_thread
from ..gram._running import check_widths
from ._operator import check_connected


def gram(kernel, X, Y=None):
    """Gram matrix of the rows of Dask arrays, as a Dask array that is computed block by block.

    Parameters
    ----------
    kernel : Kernel
        A kernel such as `NTKKernel`.
    X : dask array or data frame of shape (n, d)
    Y : dask array or data frame of shape (m, d), optional
        ``X`` by default. One of ``X`` and ``Y`` may be an array in memory, which is then one block.

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
    is_same, X = Y is None, whole_rows(X)
    Y = X if is_same else whole_rows(Y, "Y")
    check_widths(X.shape[1], Y.shape[1])
    dtype = read_dtype(getattr(kernel, "dtype", float))
    kinds = {"dtype": dtype, "meta": np.empty((0, 0), dtype), "concatenate": True}
    i, j = (da.arange(side.numblocks[0], chunks=1) for side in (X, Y))
    blocks = [X, "ik", Y, "jk", i, "i", j, "j"]
    given = {"kernel": kernel, "to": dtype, "is_same": is_same, "align_arrays": False}
    return da.blockwise(_block, "ij", *blocks, **given, **kinds)


def _block(X, Y, i, j, kernel, to, is_same):
    """Block of the numbers ``i[0], j[0]``; those on the diagonal have the noise of the kernel."""
    shape = X.shape[0], Y.shape[0]
    if not all(shape):
        return np.empty(shape, to)
    sides = [X] if is_same and i[0] == j[0] else [X, Y]
    return on_one_thread(kernel, *sides).astype(to, copy=False)


def is_dask(X):
    """Whether it is a Dask array or data frame."""
    return isinstance(X, da.Array) or hasattr(X, "to_dask_array")


def in_memory(client, *parts):
    """Arrays, or data frames with their names, of what may be of Dask, those of a kind together.

    Dask mixes up the order of results of different kinds, such as of arrays and data frames.
    """
    check_connected(client)
    found = list(parts)
    kinds = [(isinstance(part, da.Array), isinstance(part, Delayed)) for part in parts]
    for kind in dict.fromkeys(kinds):
        places = [place for place, each in enumerate(kinds) if each == kind]
        with client.as_current():
            computed = dask.compute(*(parts[place] for place in places), traverse=False)
        for place, part in zip(places, computed, strict=True):
            found[place] = part
    return found


def whole_rows(X, name="X"):
    """Dask array (n, d) whose chunks have all columns."""
    if not is_dask(X):
        return da.from_array(read_rows(X, name), chunks=-1)
    X = X if isinstance(X, da.Array) else X.to_dask_array(lengths=True)
    check_shape_of_rows(X.shape, name)
    _check_columns_known(X, name)
    return X.rechunk({1: -1})


def _check_columns_known(X, name="X"):
    if np.isnan(X.shape[1:]).any():
        raise ValueError(
            f"{name} must have a known number of columns; got a dask array without: call its "
            f"compute_chunk_sizes()."
        )


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
    _check_columns_known(X)
    return np.zeros((1, *X.shape[1:]))
