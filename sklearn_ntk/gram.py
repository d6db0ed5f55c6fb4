"""Gram matrices and diagonals of a program, tile by tile on all threads."""

import reprlib
from collections import deque
from contextlib import nullcontext
from functools import partial
from itertools import product

import numpy as np

from . import positions
from ._check import read_dtype, read_flag
from ._notices import one_notice
from ._progress import Progress
from ._results import NAMES, allocate, names_of, select
from ._threads import run
from .engines._packing import has_series
from .linalg import single_threaded_blas
from .pairs import Pairs
from .program import Program
from .rows import SLAB, check_overflow, check_rows, scan

WORK_PER_THREAD = 500_000
"""Pairs times steps, about two milliseconds, below which another thread does not pay."""

NEAR = {"float64": 1e-5, "float32": 1e-2}
"""Squared distance of directions, or of opposite ones, up to which differences are summed."""

SERIES_COLUMNS = 2 * SLAB
"""Columns of a block that makes the coefficients of series for itself."""


@one_notice()
def gram(program, X, Y=None, get="ntk", gradient=False, dtype="float64", verbose=0, out=None):
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
    out : array, or tuple of them, optional
        Where to put what is returned, of its structure, shapes and ``dtype``. By default large
        results take over the memory of earlier ones that nobody refers to any more: the system
        would have to clear fresh memory, which is a good part of the time of shallow networks.

    Returns
    -------
    array of shape (n, m), or a tuple of them as ``get`` is
        With an axis more in front if the program has several outputs, and for NTKs one before it if
        the program has several numbers of frozen layers.
    array of shape (n, m, 2), or a tuple of them, if ``gradient``

    Raises
    ------
    ValueError
        If the kernel overflows, if derivatives of several NTKs are wanted, or if ``out`` does not
        fit the result.
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
    dtype, gradient = _check(program, gradient, dtype)
    symmetric = Y is None or Y is X
    rows = [check_rows(X)] if symmetric else [check_rows(X), check_rows(Y, "Y")]
    shape, widths = [len(rows[i][0]) for i in (0, -1)], [rows[i][0].shape[1] for i in (0, -1)]
    if widths[0] != widths[1]:
        raise ValueError(
            f"X and Y must have the same number of columns; got {widths[0]} and {widths[1]}."
        )
    results = allocate(program, shape, get, gradient, dtype, out, rows)
    title = f"Gram matrix of {shape[0]} x {shape[1]} rows"
    if 0 not in shape:
        fill = _fill if program.shape is None else _fill_positions
        fill(program, rows, gradient, results, title, verbose)
    if dtype == np.float32:  # what overflows on the way of pairs may not do so on that of rows
        check_overflow(list(results), rows, dtype)
    return select(program, get, gradient, results) if out is None else out


def _fill(program, rows, gradient, results, title, verbose):
    """Compute the results for rows without positions."""
    from .engines import _numba  # compiles or loads code: not before a kernel is wanted

    symmetric = len(rows) == 1
    names = [name for name, result in zip(NAMES, results, strict=False) if result.size]
    X, dtype = rows[0][0], results.ntk.dtype
    shape = len(X), len(rows[-1][0])

    def compute(left, block):
        i0, i1, j0, j1 = block
        right = pairs.right(left, j0, j1)
        for i, j in product(range(i0, i1, _numba.BLOCK_ROWS), range(j0, j1, pairs.block_columns)):
            ends = min(i + _numba.BLOCK_ROWS, i1), min(j + pairs.block_columns, j1)
            inner = pairs.inner_products(i, ends[0], j, ends[1])
            _numba.fill(plan, left, right, near, i, j, symmetric, inner, results)

    n_threads = _numba.get_num_threads()
    with single_threaded_blas if _wakes_blas(program, *shape, X.shape[1]) else nullcontext():
        pairs = Pairs(program, rows, gradient, names, dtype, n_threads)
        plan = _numba.make_plan(program, pairs.spans, gradient, dtype)
        near = dtype.type(NEAR[dtype.name])
        parts = [
            (
                lambda place=place: partial(compute, pairs.side(0, *place)),
                _blocks(*place, shape[1], symmetric, pairs, _numba.BLOCK_ROWS),
            )
            for place in pairs.parts()
        ]
        work = sum(_size(block) for _, blocks in parts for block in blocks) * len(program.steps)
        _run(parts, min(n_threads, 1 + work // WORK_PER_THREAD), title, verbose)
    if symmetric:
        _set_diagonal(results, pairs.diagonals)


def _fill_positions(program, rows, gradient, results, title, verbose):
    """Compute the results for rows that have positions."""
    from .engines import _numba

    work = positions.Pairs(program, rows, gradient, results.ntk.dtype)
    with single_threaded_blas:
        parts = [(lambda: partial(work.compute, results=results), work.blocks())]
        _run(parts, _numba.get_num_threads(), title, verbose)
    if work.is_symmetric:
        _set_diagonal(results, _diagonals(work.scan))


def _set_diagonal(results, found):
    for result, diagonals in zip(results, found, strict=True):
        if result.size:
            index = np.arange(result.shape[1])
            result[:, index, index] = diagonals


def _wakes_blas(program, n, m, d):
    """Whether a product of matrices would start threads, beside which nobody may fork."""
    return has_series(program) or n * m * d > 2**18 or (n + m) * d > 2**13


@one_notice()
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
    (dtype, gradient), names = _check(program, gradient, dtype), names_of(get)
    rows = [check_rows(X)]
    if program.shape is None:
        with single_threaded_blas if has_series(program) else nullcontext():
            scanned, _ = scan(program, rows, gradient, names, dtype)
    else:
        scanned = positions.scan(program, rows, gradient, dtype)
    found = [None if part is None else part.astype(dtype) for part in _diagonals(scanned)]
    return select(program, get, gradient, found)


def _check(program, gradient, dtype):
    """The type of the results, and whether with derivatives; raises an error for what is wrong."""
    if not isinstance(program, Program):
        raise TypeError(
            f"program must be a Program, as sklearn_ntk.layers.lower makes of a network; got "
            f"{reprlib.repr(program)}."
        )
    gradient = read_flag(gradient, "gradient")
    if gradient and program.n_ntks is not None:
        raise ValueError("Derivatives are those of one NTK: lower the network for one n_frozen.")
    return read_dtype(dtype), gradient


def _diagonals(scanned):
    """Diagonals of NNGP, NTK and their derivatives, one for each output along the first axis."""
    found = (scanned.variance, scanned.ntk, scanned.dvariance, scanned.dntk)
    n_axes = (2, 2, 3, 3)
    return tuple(
        part if part is None or part.ndim == n else part[None]
        for part, n in zip(found, n_axes, strict=True)
    )


def _blocks(start, stop, m, symmetric, pairs, n_rows):
    """Blocks of some rows and their columns, the most expensive ones first."""
    blocks = deque()
    if pairs.is_held or symmetric:
        for i0 in range(start, stop, n_rows):
            i1 = min(i0 + n_rows, stop)
            end = i1 if symmetric else m
            for j0 in range(start, end, pairs.block_columns):
                blocks.appendleft((i0, i1, j0, min(j0 + pairs.block_columns, end)))
    if not pairs.is_held:  # the coefficients of columns are made once for all of these rows
        end = start if symmetric else m
        for j0 in reversed(range(0, end, SERIES_COLUMNS)):
            blocks.appendleft((start, stop, j0, min(j0 + SERIES_COLUMNS, end)))
    return blocks


def _size(block):
    """Number of pairs of a block."""
    i0, i1, j0, j1 = block
    return (i1 - i0) * (j1 - j0)


def _run(parts, n_threads, title, verbose):
    """Run all blocks: each part is what makes a function of blocks, and the blocks.

    The first block, one of the smallest, is done alone: it may compile.
    """
    remedy = "take fewer rows, dtype='float32', or a network with fewer positions"
    total, progress = sum(_size(block) for _, blocks in parts for block in blocks), None
    for prepare, blocks in parts:
        compute = prepare()
        if progress is None and blocks:
            first = blocks.pop()
            compute(first)
            progress = Progress(total - _size(first), title, remedy, verbose)
        run(compute, blocks, n_threads, partial(_count, progress))
        del compute  # before the next part takes memory


def _count(progress, block):
    progress.add(_size(block))
