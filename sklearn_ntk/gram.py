"""Gram matrices and diagonals of a program, tile by tile on all threads."""

import math
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np

from . import positions
from ._memory import check_memory
from ._progress import Progress
from .engines._tile import Results
from .linalg import single_threaded_blas
from .pairs import Pairs, check_rows, scan

WORK_PER_THREAD = 500_000
"""Pairs times steps, about two milliseconds, below which another thread does not pay."""

NEAR = {"float64": 1e-5, "float32": 1e-2}
"""Squared distance of directions, or of opposite ones, up to which differences are summed."""

_NAMES = ("nngp", "ntk")


def gram(program, X, Y=None, get="ntk", gradient=False, dtype="float64", verbose=0):
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
    dtype : {"float64", "float32"}
        Precision of the pairs and of the result; single rows are always in double precision.
    verbose : int
        Whether to print how far the computation is and how long it will take.

    Returns
    -------
    array of shape (n, m), or a tuple of them as ``get`` is
        With an axis more in front if the program has several outputs.
    array of shape (n, m, 2), or a tuple of them, if ``gradient``

    Raises
    ------
    ValueError
        If the kernel overflows.
    MemoryError
        If the result would not fit into the free memory; nothing is computed then.

    Warns
    -----
    UserWarning
        If the computation will take more than an hour.

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

    dtype = np.dtype(dtype)
    symmetric = Y is None or Y is X
    rows = [check_rows(Z) for Z in ((X,) if symmetric else (X, Y))]
    shape, widths = [len(rows[i][0]) for i in (0, -1)], [rows[i][0].shape[1] for i in (0, -1)]
    if widths[0] != widths[1]:
        raise ValueError(
            f"X and Y must have the same number of columns; got {widths[0]} and {widths[1]}."
        )
    results = _allocate(program, shape, get, gradient, dtype)
    title = f"Gram matrix of {shape[0]} x {shape[1]} rows"
    if program.shape is not None:
        _fill_positions(program, rows, gradient, results, title, verbose)
        return _select(get, gradient, results)

    def compute(block):
        i0, i1, j0, j1 = block
        inner = pairs.inner_products(i0, i1, j0, j1)
        _numba.fill(plan, pairs.left, pairs.right, near, i0, j0, symmetric, inner, results)

    with single_threaded_blas if _wakes_blas(*shape, widths[0]) else nullcontext():
        pairs = Pairs(program, rows, gradient, _names(get), dtype)
        plan = _numba.make_plan(program, pairs.spans, gradient, dtype)
        near = dtype.type(NEAR[dtype.name])
        blocks = _blocks(*shape, symmetric, pairs.block_columns, _numba)
        work = sum(map(_size, blocks)) * len(program.steps)
        n_threads = min(_numba.get_num_threads(), 1 + work // WORK_PER_THREAD)
        _run(compute, blocks, n_threads, title, verbose)
    if symmetric:
        _set_diagonal(results, pairs.scan)
    return _select(get, gradient, results)


def _fill_positions(program, rows, gradient, results, title, verbose):
    """Compute the results for rows that have positions."""
    from .engines import _numba

    work = positions.Pairs(program, rows, gradient, results.ntk.dtype)
    with single_threaded_blas:
        progress = (title, verbose)
        n_threads = _numba.get_num_threads()
        _run(lambda block: work.compute(block, results), work.blocks(), n_threads, *progress)
    if work.is_symmetric:
        _set_diagonal(results, work.scan)


def _set_diagonal(results, scanned):
    for result, diagonals in zip(results, _diagonals(scanned), strict=True):
        if result.size:
            index = np.arange(result.shape[1])
            result[:, index, index] = diagonals


def _wakes_blas(n, m, d):
    """Whether a product of matrices would start threads, beside which nobody may fork."""
    return n * m * d > 2**18 or (n + m) * d > 2**13


def _allocate(program, shape, get, gradient, dtype):
    """Arrays for NNGP, NTK and their derivatives, empty ones for those that are not wanted."""
    names = _names(get)
    shapes = [(program.n_outputs, *shape) if name in names else (0, 0, 0) for name in _NAMES]
    shapes += [(*s, 2) if gradient else (0, 0, 0, 0) for s in shapes]
    single = "" if dtype == np.float32 else "dtype='float32', "
    check_memory(
        sum(map(math.prod, shapes)) * dtype.itemsize,
        f"A Gram matrix of {shape[0]} x {shape[1]} rows{', with derivatives,' * gradient}",
        f"take fewer rows, {single}or sklearn.kernel_approximation.Nystroem with this kernel and a "
        f"linear model",
    )
    return Results(*(np.empty(s, dtype) for s in shapes))


def diagonal(program, X, get="ntk", gradient=False, dtype="float64"):
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
    dtype = np.dtype(dtype)
    rows = [check_rows(X)]
    if program.shape is None:
        scanned = scan(program, rows, gradient, _names(get), dtype)
    else:
        scanned = positions.scan(program, rows, gradient, dtype)
    found = [None if part is None else part.astype(dtype) for part in _diagonals(scanned)]
    return _select(get, gradient, found)


def _diagonals(scanned):
    """Diagonals of NNGP, NTK and their derivatives, one for each output along the first axis."""
    found = (scanned.variance, scanned.ntk, scanned.dvariance, scanned.dntk)
    return tuple(part if part is None else np.atleast_2d(part) for part in found)


def _blocks(n, m, symmetric, n_columns, engine):
    """Blocks of rows and columns, the most expensive ones first."""
    blocks = deque()
    for i0 in range(0, n, engine.BLOCK_ROWS):
        i1 = min(i0 + engine.BLOCK_ROWS, n)
        end = i1 if symmetric else m
        for j0 in range(0, end, n_columns):
            blocks.appendleft((i0, i1, j0, min(j0 + n_columns, end)))
    return blocks


def _run(compute, blocks, n_threads, title, verbose):
    """Run the blocks on so many threads; the first one here, where it may compile."""
    remedy = "take fewer rows, dtype='float32', or a network with fewer positions"
    if blocks:
        compute(blocks.popleft())
    progress = Progress(sum(map(_size, blocks)), title, remedy, verbose)
    n_helpers = min(n_threads - 1, len(blocks))
    if n_helpers < 1:
        _drain(compute, blocks, progress)
        return
    with ThreadPoolExecutor(n_helpers) as pool:
        try:
            helpers = [pool.submit(_drain, compute, blocks, progress) for _ in range(n_helpers)]
            _drain(compute, blocks, progress)
        finally:  # also after an interrupt the other threads must stop
            blocks.clear()
        for helper in helpers:
            helper.result()


def _size(block):
    """Number of pairs of a block."""
    i0, i1, j0, j1 = block
    return (i1 - i0) * (j1 - j0)


def _drain(compute, blocks, progress):
    try:
        while True:
            try:
                block = blocks.popleft()
            except IndexError:
                return
            compute(block)
            progress.add(_size(block))
    except BaseException:  # also an interrupt: it stops the other threads, too
        blocks.clear()
        raise


def _names(get):
    """The kernels that ``get`` asks for, as a tuple."""
    names = (get,) if isinstance(get, str) else tuple(get)
    if not names or not set(names) <= set(_NAMES):
        raise ValueError(f"get must be 'ntk', 'nngp' or a tuple of them; got {get!r}.")
    return names


def _select(get, gradient, results):
    """What was asked for, without the axis of the outputs if there is only one."""
    places = [_NAMES.index(name) for name in _names(get)]
    picked = []
    for first in (0, 2)[: 1 + gradient]:
        items = [results[first + place] for place in places]
        items = tuple(item[0] if len(item) == 1 else item for item in items)
        picked.append(items[0] if isinstance(get, str) else items)
    return tuple(picked) if gradient else picked[0]
