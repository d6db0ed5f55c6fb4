"""Gram matrices and diagonals of a program: checks, memory for results, threads, selection.

Engines compute the blocks (see `engines._work`); kernels and searches call `gram` and `diagonal`.
`_results` allocates the results, or refuses those too large for the memory; `_operator` has
matrices that need not be in memory, `_spectrum` eigenvectors.
"""

import reprlib
from contextlib import nullcontext

import numpy as np

from .._runtime.blas import single_threaded_blas
from .._runtime.check import read_dtype, read_flag
from .._runtime.notices import one_notice
from .._values import publish
from ..engines._work import engine_for
from ..engines.packing.tiles import has_series
from ..engines.rows.tiles import check_overflow
from ..program import Program
from ._kernel_operator import KernelOperator
from ._length_scale import gradient_length_scale
from ._operator import ArrayOperator, GramOperator
from ._results import allocate, names_of, select
from ._row_gradient import gradient_x
from ._running import check_pairs, fill, given

__all__ = [
    "ArrayOperator",
    "GramOperator",
    "KernelOperator",
    "diagonal",
    "gradient_length_scale",
    "gradient_x",
    "gram",
]

publish(__name__, globals())


@one_notice()
def gram(
    program,
    X,
    Y=None,
    get="ntk",
    gradient=False,
    dtype="float64",
    verbose=0,
    out=None,
    device=None,
):
    """Gram matrices of a network between the rows of ``X`` and of ``Y``.

    Parameters
    ----------
    program : Program
    X : array of shape (n, d)
    Y : array of shape (m, d), optional
        ``X`` by default. Then, or if it is the same object, only half of the pairs are computed;
        the result is exactly symmetric, and its diagonal is that of `diagonal`.
    get : {"ntk", "nngp"} or a tuple of them
        The kernels to compute; all come from one pass.
    gradient : bool
        Whether to return also the derivatives with respect to the logarithms of ``weight_var`` and
        ``bias_var``, through all layers whose own variances are None.
    dtype : {"float64", "float32"}
        Precision of the pairs and of the result; single rows are always computed in double
        precision.
    verbose : int
        Whether to print progress and an estimate of the remaining time.
    out : array, or tuple of them, optional
        Arrays to fill, with the nesting, shapes and ``dtype`` of the return value. This avoids
        fresh memory, whose clearing by the system is a good part of the time for shallow networks.
    device : {None, "cpu", "cuda"} or "cuda:" and a number
        Where to compute. None is where the rows are: on a GPU for arrays of CuPy, else on the CPU.
        The result is of the same kind as the rows.

    Returns
    -------
    array of shape (n, m), or a tuple of them if ``get`` is one
        If the program has several outputs, there is a first axis for them; if it has several
        numbers of frozen layers, NTKs have another axis before that.
    array of shape (n, m, 2), or a tuple of them, if ``gradient``

    Raises
    ------
    ValueError
        If the kernel overflows, if derivatives of several NTKs are requested, if ``out`` does not
        fit the result, or if ``device`` cannot take the rows from where they are.
    MemoryError
        If the result would not fit into the free memory; nothing is computed then.
    ImportError, RuntimeError
        If ``device`` is a GPU, and CuPy is not installed or finds none.

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
    (dtype, gradient), names = _check(program, gradient, dtype), names_of(get)
    engine = engine_for(given(X, Y), device)
    with engine.active():
        rows = check_pairs(X, Y, engine.check_rows)
        n, m = (len(rows[i][0]) for i in (0, -1))
        apart = [*given(X, Y), *(Z for Z, _ in rows)]
        results = allocate(program, (n, m), get, gradient, dtype, out, apart, engine)
        if n and m:
            fill(engine, program, rows, names, gradient, dtype, results, verbose)
        if dtype == np.float32:  # pairs may overflow where single rows, in float64, do not
            check_overflow(list(results), rows, dtype)
    return select(program, get, gradient, results) if out is None else out


@one_notice()
def diagonal(program, X, get="ntk", gradient=False, dtype="float64", device=None):
    """Diagonal of the Gram matrices of ``X``, in time linear in its rows.

    Parameters and results are as for `gram`, with one axis less.

    Examples
    --------
    >>> from sklearn_ntk.architectures import mlp
    >>> from sklearn_ntk.gram import diagonal
    >>> from sklearn_ntk.layers import lower
    >>> diagonal(lower(mlp(depth=1), 2.0, 0.0), [[1.0, 0.0], [0.0, 3.0]])
    array([ 2., 18.])
    """
    (dtype, gradient), names = _check(program, gradient, dtype), names_of(get)
    engine = engine_for([X], device)
    with engine.active(), single_threaded_blas if has_series(program) else nullcontext():
        rows = [engine.check_rows(X)]
        diagonals = engine.diagonals(program, rows, names, gradient, dtype)
        diagonals = [d if d is None else engine.as_result(d.astype(dtype)) for d in diagonals]
    return select(program, get, gradient, diagonals)


def _check(program, gradient, dtype):
    """Checked ``dtype`` and ``gradient``; raises TypeError or ValueError."""
    if not isinstance(program, Program):
        raise TypeError(
            f"program must be a Program, as sklearn_ntk.layers.lower makes of a network; got "
            f"{reprlib.repr(program)}."
        )
    gradient = read_flag(gradient, "gradient")
    if gradient and program.n_ntks is not None:
        raise ValueError(
            f"Derivatives are those of one NTK; got a program with {program.n_ntks}: lower the "
            f"network for one n_frozen."
        )
    return read_dtype(dtype), gradient
