"""From checked rows to filled arrays: the part of Gram matrices that all faces of them share."""

from contextlib import nullcontext
from functools import partial

from .._runtime.blas import single_threaded_blas
from .._runtime.progress import Progress
from .._runtime.threads import run
from ..engines._work import n_pairs
from ..engines.packing.tiles import has_series
from ..engines.rows.tiles import check_rows


def given(X, Y):
    """List of both sides, or of one side if ``Y`` is None or ``X`` itself."""
    return [X] if Y is None or Y is X else [X, Y]


def check_pairs(X, Y, check_rows=check_rows):
    """Pairs (rows, norms) of both sides, or of one side if ``Y`` is None or ``X`` itself."""
    rows = [check_rows(*item) for item in zip(given(X, Y), "XY", strict=False)]
    check_widths(rows[0][0].shape[1], rows[-1][0].shape[1])
    return rows


def check_widths(width, other):
    """Raise ValueError unless ``X`` and ``Y`` have the same number of columns."""
    if width != other:
        raise ValueError(
            f"X and Y must have the same number of columns; got {width} and {other}: pass "
            f"the same features."
        )


def fill(engine, program, rows, names, gradient, dtype, results, verbose):
    """Fill `Results` with what an engine computes of all pairs.

    Diagonals of symmetric matrices are those of single rows.
    """
    n, m = (len(rows[i][0]) for i in (0, -1))
    with single_threaded_blas if _wakes_blas(program, rows) else nullcontext():
        work = engine.work(program, rows, names, gradient, dtype)
        _run(work, results, f"Gram matrix of {n} x {m} rows", verbose)
    for result, values in zip(results, work.diagonals, strict=True) if len(rows) == 1 else ():
        if result.size:
            entries = result.reshape(len(result), n * n, *result.shape[3:])
            entries[:, :: n + 1] = engine.as_result(values)


def _wakes_blas(program, rows):
    """Whether the matrix products are so large that BLAS would start threads.

    Only then BLAS is limited to one thread: the limit itself starts a thread, after which forking
    is unsafe.
    """
    (n, d), m = rows[0][0].shape, len(rows[-1][0])
    is_large = n * m * d > 2**18 or (n + m) * d > 2**13
    return is_large or program.shape is not None or has_series(program)


def _run(work, results, title, verbose):
    """Compute all blocks; the cheapest of the first part alone, since it may compile loops."""
    remedy = "take fewer rows, dtype='float32', or a network with fewer positions"
    parts, progress = list(work.parts()), None
    total = sum(n_pairs(block) for part in parts for block in part.blocks)
    for prepare, blocks in parts:
        compute = partial(prepare(), results=results)
        if progress is None and blocks:
            first = blocks.pop()
            compute(first)
            progress = Progress(total - n_pairs(first), title, remedy, verbose)
        run(compute, blocks, work.n_threads, partial(_count, progress))
        del compute  # frees its memory before the next part takes some


def _count(progress, block):
    """Report the pairs of a block as done."""
    progress.add(n_pairs(block))
