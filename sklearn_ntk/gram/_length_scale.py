"""Derivatives of Gram matrices with respect to the length scales of columns.

Rows are divided by the length scales ``l`` of their columns before a kernel sees them. The divided
rows have directions ``u`` and ``v``, standard deviations ``s`` and ``t``, and between them the gap
``q = s t |u - v|^2``. With the derivatives by factors ``a`` and ``b`` of both rows,

    -dk/dlog l_j = (dk/dlog a + dk/dlog b) (u_j^2 + v_j^2) / 2
                   + (dk/dlog a - dk/dlog b) (u_j^2 - v_j^2) / 2
                   + 2 s t dk/dq ((u_j - v_j)^2 - |u - v|^2 (u_j^2 + v_j^2) / 2).

Every term stays finite as rows approach each other: where the derivative by the gap grows like the
inverse of ``|u - v|``, it meets the square. The last line is the same with ``v`` and ``dk/dq``
negated, which serves rows that are nearly opposite. The sum in the first line comes from a pass of
its own, since its parts may grow and cancel.
"""

import math

import numpy as np

from .._runtime.check import read_dtype, read_flag
from .._runtime.chunks import chunks
from .._runtime.device import device_name, is_on_device
from .._runtime.notices import one_notice
from ..engines._work import check_memory_of, engine_for
from ..engines.rows.tiles import check_overflow
from ..formulas.special import safe_inverse
from ._row_gradient import Rates, check_differentiable

CACHED = 2**16
"""Numbers of pairs and columns that stay in the cache."""

ON_DEVICE = 2**24
"""Numbers of pairs and columns that are computed at a time in the memory of a GPU."""


@one_notice()
def gradient_length_scale(
    program, X, get="ntk", isotropic=False, dtype="float64", verbose=0, out=None, device=None
):
    """Derivatives of a Gram matrix with respect to the logarithms of length scales of the columns.

    Parameters
    ----------
    program : Program
        Program of a network with one output and continuous activations, for rows without positions.
    X : array of shape (n, d)
        Rows, already divided by their length scales.
    get : {"ntk", "nngp"}
        The kernel.
    isotropic : bool
        Whether all columns share one length scale; its derivative is the sum of the derivatives of
        all columns.
    dtype : {"float64", "float32"}
        Precision of the pairs and of the result.
    verbose : int
        Whether to print progress and an estimate of the remaining time.
    out : array, optional
        Array of the shape and ``dtype`` of the result to fill, which may be a part of another.
    device : {None, "cpu", "cuda"} or "cuda:" and a number
        Where to compute, as for `gram`.

    Returns
    -------
    array of shape (n, n, d), or (n, n, 1) if ``isotropic``
        Exactly symmetric, and of the same kind as the rows. The computation needs memory for three
        more Gram matrices (four in single precision), all in double precision.

    Raises
    ------
    ValueError
        If an activation jumps, if rows have positions, or if the kernel overflows.
    MemoryError
        If the result would not fit into the free memory; nothing is computed then.

    Examples
    --------
    >>> from sklearn_ntk.architectures import mlp
    >>> from sklearn_ntk.gram import gradient_length_scale
    >>> from sklearn_ntk.layers import lower
    >>> gradient_length_scale(lower(mlp(depth=0), 2.0, 0.0), [[3.0, 4.0]])  # of 2 (x/l).(y/l) / d
    array([[[-18., -32.]]])
    """
    dtype, isotropic = read_dtype(dtype), read_flag(isotropic, "isotropic")
    fixed = ", or length_scale_bounds='fixed' of the kernel"
    check_differentiable(program, get, "Derivatives by length scales", fixed)
    if program.shape is not None:
        raise ValueError(
            f"Derivatives by length scales need rows without positions; got a network on "
            f"Input{program.shape}: take Dense layers{fixed}."
        )
    engine = engine_for([X], device)
    with engine.active():
        rows = X, _ = engine.check_rows(X)
        n, d = X.shape
        shape = (n, n, 1 if isotropic else d)
        found = None if out is None else (np.shape(out), getattr(out, "dtype", None))
        if found not in (None, (shape, dtype)):
            raise ValueError(
                f"out must be an array of {dtype} and shape {shape}; got one of {found[1]} and "
                f"{found[0]}."
            )
        _check_memory(engine, X, shape, dtype, out is None)
        out = engine.empty(shape, dtype) if out is None else out
        if n:
            rates = Rates(program, get, dtype, verbose, device)
            by_left = None if isotropic else rates([rows, rows], "left")[0].copy()
            by_both, by_gap = rates([rows], "both")
            if isotropic:
                out[..., 0] = engine.as_result(-by_both)
            else:
                _fill(out, engine.as_result, rows, by_both, by_left, by_gap)
        if dtype == np.float32:
            check_overflow([out], [rows], dtype)
    return out


def _check_memory(engine, X, shape, dtype, is_new):
    """Raise MemoryError if a new result of this shape, or what is computed on X, does not fit.

    The latter is where X is: three matrices, and what those are copies of in single precision.
    """
    needed = {device_name(X): (32.0 if dtype == np.float32 else 24.0) * len(X) ** 2}
    place = device_name(engine.empty((0,), np.float64))  # of results
    needed[place] = needed.get(place, 0.0) + float(is_new * dtype.itemsize) * math.prod(shape)
    for place, n_bytes in needed.items():
        what, remedy = f"Derivatives of shape {shape}", "take fewer rows, or fewer columns"
        check_memory_of(place, n_bytes, what, remedy)


def _fill(out, as_result, rows, by_both, by_left, by_gap):
    """Fill ``out`` with the derivatives by all columns, from those of `Rates`, which change.

    ``as_result`` moves them to where ``out`` is.
    """
    X, norms = rows
    directions, stds = (X * safe_inverse(norms)[:, None]).T.copy(), norms / np.sqrt(X.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):  # of rows that coincide
        by_gap *= 2.0 * stds[:, None] * stds
    by_gap[~np.isfinite(by_gap)] = 0.0
    for part in chunks(len(X), X.size, ON_DEVICE if is_on_device(X) else CACHED):
        some = slice(part.stop)  # the other pairs are mirrored
        left, right = directions[:, part, None], directions[:, None, some]
        sign = 1.0 - 2.0 * (np.einsum("ki,kj->ij", left[..., 0], right[:, 0]) < 0.0)
        terms = left - sign * right
        terms *= terms
        terms *= -sign * by_gap[part, some]
        rest = by_both[part, some] + terms.sum(axis=0)
        odd = by_left[part, some] - by_left[some, part].T
        terms -= 0.5 * (rest + odd) * (left * left) + 0.5 * (rest - odd) * (right * right)
        terms = as_result(np.moveaxis(terms, 0, -1))
        out[part, some], out[some, part] = terms, terms.swapaxes(0, 1)
