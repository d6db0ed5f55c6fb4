"""Derivatives of kernels with respect to rows.

A kernel of two rows depends on their variances and their gap (see `formulas.gaps`). Engines give
its derivatives by the standard deviation ``s = |x| / sqrt(d)`` of the left row at the same gap, and
by the gap ``q = 2 (|x| |y| - x.y) / d``. With the directions ``u = x / |x|`` and ``v = y / |y|``,

    dk/dx = dk/ds u / sqrt(d) + dk/dq 2 |y| (u - v) / d,

whose second term stays finite as rows approach each other: where the derivative by the gap grows
like the inverse of the distance of two directions, it meets their difference.
"""

import math
import reprlib
from typing import NamedTuple

import numpy as np

from .._runtime.check import read_array, read_dtype
from .._runtime.chunks import chunks
from .._runtime.device import is_on_device, on_host
from .._runtime.notices import one_notice
from ..engines._work import engine_for
from ..engines.packing.sides import NEAR
from ..engines.packing.tile import Results
from ..engines.reference.tiles import between_directions, scan_rows
from ..engines.rows.tiles import check_overflow, check_rows
from ..formulas.special import safe_inverse
from ..formulas.tracing import ROUNDING
from ..program import Program
from ._pixel_gradient import PixelGradients
from ._results import NAMES
from ._running import check_pairs, fill, given

CLOSE = 1e-10
"""Squared distance of directions up to which they are subtracted row by row in any case."""

CACHED = 2**18
"""Numbers of close pairs that are held at a time."""

ON_DEVICE = 2**26
"""Numbers that are held in the memory of a GPU at a time; `chunks` says how many elsewhere."""


@one_notice()
def gradient_x(program, X, Y=None, coef=None, get="ntk", dtype="float64", verbose=0, device=None):
    """Gradients of a kernel ``k(x, y)`` with respect to ``x``, or of sums of kernels.

    Parameters
    ----------
    program : Program
        Program of a network with one output and continuous activations.
    X : array of shape (n, d)
        Rows at which gradients are taken.
    Y : array of shape (m, d), optional
        The other rows, which are held fixed; ``X`` by default.
    coef : array of shape (m,) or (m, k), optional
        Coefficients of functions ``f(x) = sum_j coef[j] k(x, y_j)`` whose gradients are returned
        instead.
    get : {"ntk", "nngp"}
        The kernel.
    dtype : {"float64", "float32"}
        Precision of the pairs, and of the result without ``coef``. Pairs of rows with positions are
        in double precision.
    verbose : int
        Whether to print progress and an estimate of the remaining time.
    device : {None, "cpu", "cuda"} or "cuda:" and a number
        Where to compute, as for `gram`; rows with positions are computed on the CPU.

    Returns
    -------
    array of shape (n, m, d), or with ``coef`` (n, d) or (n, k, d)
        In units of the kernel, or of the functions, per unit of a column; of the same kind as the
        rows.

    Raises
    ------
    ValueError
        If an activation jumps, or if the kernel overflows.
    MemoryError
        If the result would not fit into the free memory; nothing is computed then.

    Notes
    -----
    Where a kernel has a kink, its gradient is the mean of the gradients on both sides. The NTK of
    an activation with a kink behaves like the distance of two nearly equal rows: at ``y`` itself,
    that part has gradient zero; at a distance of ``t |x|``, its direction is accurate to ``1e-16 /
    t``. Networks without biases may have no gradient at the origin: a row of zeros counts as a tiny
    row at right angles to all others, and so does a position without a signal. The noise of a
    `Dropout` in ``x`` is independent of that in ``y``, even where the two are equal.

    Gradients of rows with positions are propagated backwards through the network, for all pairs of
    positions on which the kernel depends, and take about twenty times as long as the kernel. Sums
    of a few functions take no longer than one.

    Examples
    --------
    >>> from sklearn_ntk.architectures import mlp
    >>> from sklearn_ntk.gram import gradient_x
    >>> from sklearn_ntk.layers import lower
    >>> gradient_x(lower(mlp(depth=0), 2.0, 0.0), [[1.0, 0.0]], [[3.0, 4.0]])  # of 2 x.y / d
    array([[[3., 4.]]])
    """
    dtype = read_dtype(dtype)
    check_differentiable(program, get, "Gradients with respect to rows")
    engine = engine_for(given(X, Y), device)
    with engine.active():
        rows = check_pairs(X, Y, engine.check_rows)
        rates = Rates(program, get, dtype, verbose, device)
        found = _gradients(engine, (rows[0], rows[-1]), coef, rates)
        check_overflow([found], rows, dtype)
    return found


def _gradients(engine, rows, coef, rates):
    """`gradient_x` of checked rows, from the derivatives of their pairs."""
    (n, d), m = rows[0][0].shape, len(rows[1][0])
    if coef is not None:
        what = f"an array ({m},) or ({m}, k) of finite numbers"
        coef = read_array(coef, "coef", what, "give each row of Y its own", [1, 2], m)
    shape = (n, m, d) if coef is None else (n, *coef.shape[1:], d)
    n_bytes, remedy = 8.0 * math.prod(shape), "take fewer rows, or coef"
    engine.check_memory(n_bytes, f"Gradients of shape {shape}", remedy)
    found = engine.empty(shape, rates.dtype if coef is None else np.float64)
    if not found.size or not m:
        found[...] = 0.0
        return found
    if rates.program.shape is not None:
        weights = np.eye(m) if coef is None else on_host(coef).reshape(m, -1)
        rows = [tuple(map(on_host, side)) for side in rows]
        pixels = PixelGradients(rates.program, rows, rates.get, rates.verbose)
        found[...] = engine.as_result(pixels.sums(weights).reshape(shape))
        return found
    left, right = (_Side(Z, norms, safe_inverse(norms)) for Z, norms in rows)
    center, most = right.directions.mean(axis=0), ON_DEVICE if is_on_device(left.X) else None
    coef = None if coef is None else np.asarray(on_host(coef), like=left.X).reshape(m, -1)
    for part in chunks(n, 8 * m + 2 * d + math.prod(shape[1:]), most):
        some = _Side(*(item[part] for item in left))
        pairs = _Pairs(some, right, center, *_weights(some, right, rates))
        values = pairs.gradients() if coef is None else pairs.sums(coef)
        found[part] = engine.as_result(values.reshape(-1, *shape[1:]))
    return found


def check_differentiable(program, get, what, other=""):
    """Raise ValueError for kernels without derivatives by rows, which ``what`` needs.

    ``other`` is what else to do where an activation jumps.
    """
    if not isinstance(get, str) or get not in NAMES:
        raise ValueError(f"get must be 'ntk' or 'nngp'; got {reprlib.repr(get)}.")
    for act in program.activations:
        if act.jumps:
            raise ValueError(
                f"{what} need continuous activations; got {act!r}, which jumps: take another one, "
                f"such as Erf{other}."
            )
    if program.n_outputs > 1 or program.n_ntks is not None:
        raise ValueError(
            f"{what} are those of one kernel; got a network with "
            f"{program.n_outputs * (program.n_ntks or 1)}: lower it for one Output and n_frozen."
        )


class _Side(NamedTuple):
    """Rows with their norms, and the inverses of these, zero for rows of zeros."""

    X: np.ndarray
    norms: np.ndarray
    inverse: np.ndarray

    @property
    def directions(self):
        """Rows of length one, or of zeros."""
        return self.X * self.inverse[:, None]


def _weights(left, right, rates):
    """Weights of ``u`` and of ``u - v`` in the gradients of all pairs, from `Rates`."""
    d = left.X.shape[1]
    by_std, by_gap = rates([left[:2], right[:2]])
    is_zero = left.norms == 0.0
    if is_zero.any() and rates.is_flat:
        axes = np.asarray(np.sqrt(2.0 / d) * np.eye(2), like=left.X)
        tiny = np.cbrt(np.finfo(rates.dtype).eps) * (float(right.norms.mean()) or 1.0)
        rows = [check_rows(Z) for Z in (tiny * axes[:1], right.norms[:, None] * axes[1:])]
        by_gap = np.where(is_zero[:, None], rates(rows)[1], by_gap)
    with np.errstate(over="ignore"):  # of rows that coincide, see `_Pairs._apart`
        return by_std / np.sqrt(d), by_gap * (2.0 / d * right.norms)


class Rates(NamedTuple):
    """Derivatives of a kernel, two arrays (n, m), along both directions of a program ``by_rows``.

    They are where the rows are.
    Those of one side with itself are symmetric to the bit.
    """

    program: Program
    get: str
    dtype: np.dtype
    verbose: int
    device: str | None

    @property
    def is_flat(self):
        """Whether the signal of rows of zeros vanishes on its way through the network."""
        scanned = scan_rows(self.program, np.zeros(1))
        return any(record and record[2][0] == 0.0 for record in scanned.records)

    def __call__(self, rows, which="std"):
        place, engine = NAMES.index(self.get), engine_for([rows[0][0]], self.device)
        shape = (1, len(rows[0][0]), len(rows[-1][0]), 2)
        results = [np.empty([0] * n, self.dtype) for n in (3, 3, 4, 4)]
        results[2 + place] = engine.empty(shape, self.dtype)
        program, wanted = self.program.along_rows(which), ((self.get,), True, self.dtype)
        with engine.active():
            fill(engine, program, rows, *wanted, Results(*results), self.verbose)
        return np.moveaxis(results[2 + place][0].astype(np.float64, copy=False), -1, 0)


class _Pairs:
    """Gradients of pairs ``along u + across (u - v)`` from two matrices of weights.

    Directions of pairs that are close are subtracted row by row, those of others lose no digits if
    they are summed up first.
    """

    def __init__(self, left, right, center, along, across):
        self.left, self.right, self.along, self.across = left, right, along, across
        self.directions = left.directions
        self.U, self.V = self.directions - center, right.directions - center
        size, others = (np.einsum("ij,ij->i", Z, Z) for Z in (self.U, self.V))
        near = np.maximum(0.5 * NEAR["float64"] * (size + others.max()), CLOSE)
        products = self.U @ (2.0 * self.V.T)
        products -= others
        close = products >= (size - near)[:, None]
        close &= (left.inverse > 0.0)[:, None] & (right.inverse > 0.0)  # that have directions
        self.close = close

    def _batches(self, n_functions):
        """Yield the close pairs, those of some rows at a time.

        These are the rows (r, 1) and columns (r, p) of pairs, whether they are pairs, or repeat the
        first one of the row (r, p), and their ``u - v`` (r, p, d).
        """
        counts, width = on_host(self.close.sum(axis=1)), n_functions + 3 * self.U.shape[1]
        order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
        while len(order):
            n_columns = counts[order[0]]
            step = max(1, CACHED // (n_columns * width))
            (rows, order), places = np.split(order, [step]), np.arange(n_columns)
            is_pair = places < counts[rows, None]
            first = np.cumsum(counts[rows]) - counts[rows]
            index = (rows[:, None], first[:, None] + is_pair * places, is_pair)
            rows, places, is_pair = (np.asarray(each, like=self.U) for each in index)
            columns = np.nonzero(self.close[rows[:, 0]])[1][places]
            yield rows, columns, is_pair, self._apart(rows, columns)

    def _apart(self, rows, columns):
        """``u - v`` (r, p, d) of pairs; zero, and of no weight, if it is rounding."""
        (X, _, inverse), (Y, others, _) = self.left, self.right
        ratio = others[columns] * inverse[rows]
        scale = np.exp2(-np.rint(np.log2(ratio)))
        pairs = X[rows], Y[columns] * scale[..., None], inverse[rows][..., None], ratio * scale
        apart = between_directions(*pairs)
        is_rounding = np.abs(apart).max(axis=2) <= ROUNDING
        self.across[rows, columns] = np.where(is_rounding, 0.0, self.across[rows, columns])
        return np.where(is_rounding[..., None], 0.0, apart)

    def gradients(self):
        """Gradients (n, m, d) of all pairs."""
        found = self.U[:, None] - self.V
        for rows, columns, _, apart in self._batches(0):
            found[rows, columns] = apart
        found *= self.across[..., None]
        found += self.along[..., None] * self.directions[:, None]
        return found

    def sums(self, coef):
        """Gradients (n, k, d) of sums with coefficients (m, k) over the rows on the right."""
        total = (self.along @ coef)[..., None] * self.directions[:, None]
        for rows, columns, is_pair, apart in self._batches(coef.shape[1]):
            weights = np.where(is_pair, self.across[rows, columns], 0.0)
            total[rows[:, 0]] += (weights[..., None] * coef[columns]).swapaxes(1, 2) @ apart
            self.across[rows, columns] = 0.0
        total += (self.across @ coef)[..., None] * self.U[:, None]
        for some in chunks(coef.shape[1], self.V.size):
            columns = coef[:, some, None] * self.V[:, None]
            total[:, some] -= np.tensordot(self.across, columns, 1)
        return total
