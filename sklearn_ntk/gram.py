"""Gram matrices and diagonals of a program, tile by tile on all threads."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .engines import _numpy
from .linalg import single_threaded_blas

BLOCK_COLUMNS = 4096
"""Columns of a block: what one thread computes at a time, for which it holds inner products."""

WORK_PER_THREAD = 500_000
"""Pairs times steps, about two milliseconds, below which another thread does not pay."""

_NAMES = ("nngp", "ntk")


def gram(program, X, Y=None, get="ntk", gradient=False):
    """Gram matrices of a network between the rows of ``X`` and of ``Y``.

    Parameters
    ----------
    program : Program
    X : array of shape (n, d)
    Y : array of shape (m, d), optional
        Defaults to ``X``; then, or if it is the same object, half of the pairs are computed, the
        result is symmetric to the bit, and its diagonal is that of `diagonal`.
    get : {"ntk", "nngp"} or a tuple of them
        The kernels wanted; all come out of one pass.
    gradient : bool
        Also return the derivatives with respect to the logarithms of ``weight_var`` and
        ``bias_var`` of the layers that left theirs to the kernel.

    Returns
    -------
    array of shape (n, m), or a tuple of them as ``get`` is
    array of shape (n, m, 2), or a tuple of them, if ``gradient``

    Examples
    --------
    >>> from sklearn_ntk.architectures import mlp
    >>> from sklearn_ntk.gram import gram
    >>> from sklearn_ntk.layers import lower
    >>> gram(lower(mlp(depth=1), 2.0, 0.0), [[1.0, 0.0], [0.0, 1.0]]).round(4)
    array([[2.    , 0.3183],
           [0.3183, 2.    ]])
    """
    from .engines import _numba  # compiles or loads code: not before a kernel is wanted

    names = _names(get)
    symmetric = Y is None or Y is X
    left = _Side(program, X, gradient, _numba)
    right = left if symmetric else _Side(program, Y, gradient, _numba)
    shape = (left.norms.shape[0], right.norms.shape[0])
    values = {name: np.empty(shape if name in names else (0, 0)) for name in _NAMES}
    is_wanted = {name: gradient and name in names for name in _NAMES}
    rates = {name: np.empty((*shape, 2) if is_wanted[name] else (0, 0, 0)) for name in _NAMES}
    plan = _numba.pack_program(program)
    rate_pair = (left.rates, right.rates) if gradient else None
    results = (*values.values(), *rates.values())

    def compute(block):
        i0, i1, j0, j1 = block
        inner = np.matmul(left.X[i0:i1], right.X[j0:j1].T)
        _numba.fill(plan, left.packed, right.packed, rate_pair, inner, i0, j0, symmetric, results)

    blocks = _blocks(shape, symmetric, _numba.TILE_ROWS)
    work = sum((i1 - i0) * (j1 - j0) for i0, i1, j0, j1 in blocks) * len(program.steps)
    _run(compute, blocks, min(_numba.get_num_threads(), 1 + work // WORK_PER_THREAD))
    if symmetric:
        index = np.arange(shape[0])
        for table, diagonals in zip((values, rates), _diagonals(left.scan, gradient), strict=True):
            for name in names if diagonals else ():
                table[name][index, index] = diagonals[name]
    return _select(get, values, rates, gradient)


def diagonal(program, X, get="ntk", gradient=False):
    """Diagonal of the Gram matrices of ``X``, in time linear in its rows.

    Parameters and returns are those of `gram`, with one axis less.

    Examples
    --------
    >>> from sklearn_ntk.architectures import mlp
    >>> from sklearn_ntk.gram import diagonal
    >>> from sklearn_ntk.layers import lower
    >>> diagonal(lower(mlp(depth=1), 2.0, 0.0), [[1.0, 0.0], [0.0, 3.0]])
    array([ 2., 18.])
    """
    X, norms = _rows(X)
    scan = _scan(program, _variances(X, norms), gradient)
    return _select(get, *_diagonals(scan, gradient), gradient)


class _Side:
    """What the pairs need to know of one of the two sets of rows."""

    def __init__(self, program, X, gradient, engine):
        X, self.norms = _rows(X)
        self.X = X if X.flags.writeable else X.copy()  # a read-only type would compile anew
        self.scan = _scan(program, _variances(self.X, self.norms), gradient)
        records, self.rates = engine.pack_rows(self.scan, gradient)
        self.packed = (self.X, self.norms, records)


def _rows(X):
    """Rows in double precision and their norms, to the bit the same in every memory order."""
    X = np.ascontiguousarray(X, dtype=np.float64)
    return X, np.sqrt(np.einsum("ij,ij->i", X, X))


def _variances(X, norms):
    return norms * (norms / X.shape[1])


def _scan(program, variances, gradient):
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        scan = _numpy.scan_rows(program, variances, gradient)
    if not (np.isfinite(scan.variance).all() and np.isfinite(scan.ntk).all()):
        raise ValueError(
            f"The kernel of this network overflows on rows whose mean square reaches "
            f"{variances.max():.3g}: scale the data, or lower weight_var or the depth."
        )
    return scan


def _blocks(shape, symmetric, n_rows):
    """Blocks of rows and columns, the most expensive ones first."""
    blocks = deque()
    for i0 in range(0, shape[0], n_rows):
        i1 = min(i0 + n_rows, shape[0])
        end = i1 if symmetric else shape[1]
        for j0 in range(0, end, BLOCK_COLUMNS):
            blocks.appendleft((i0, i1, j0, min(j0 + BLOCK_COLUMNS, end)))
    return blocks


def _run(compute, blocks, n_threads):
    """Run the blocks on so many threads; the first one here, where it may compile."""
    if blocks:
        compute(blocks.popleft())
    n_helpers = min(n_threads - 1, len(blocks))
    if n_helpers < 1:
        _drain(compute, blocks)
        return
    with single_threaded_blas, ThreadPoolExecutor(n_helpers) as pool:
        helpers = [pool.submit(_drain, compute, blocks) for _ in range(n_helpers)]
        _drain(compute, blocks)
        for helper in helpers:
            helper.result()


def _drain(compute, blocks):
    while True:
        try:
            block = blocks.popleft()
        except IndexError:
            return
        try:
            compute(block)
        except BaseException:  # also an interrupt: it stops the other threads, too
            blocks.clear()
            raise


def _diagonals(scan, gradient):
    """Diagonals of the kernels by name, and their derivatives if these are wanted."""
    values = {"nngp": scan.variance, "ntk": scan.ntk}
    if not gradient:
        return values, {}
    return values, {
        "nngp": np.stack(scan.dvariance, axis=-1),
        "ntk": np.stack(scan.dntk, axis=-1),
    }


def _names(get):
    """The kernels that ``get`` asks for, as a tuple."""
    names = (get,) if isinstance(get, str) else tuple(get)
    if not names or not set(names) <= set(_NAMES):
        raise ValueError(f"get must be 'ntk', 'nngp' or a tuple of them; got {get!r}.")
    return names


def _select(get, values, rates, gradient):
    tables = (values, rates) if gradient else (values,)
    picked = [tuple(table[name] for name in _names(get)) for table in tables]
    if isinstance(get, str):
        picked = [items[0] for items in picked]
    return tuple(picked) if gradient else picked[0]
