"""Which solver an estimator takes, by the number of its rows and the memory."""

import warnings
from typing import NamedTuple

from .._runtime.device import read_device
from ..engines._work import SHARE, check_memory_of, free_memory_of
from ..gram._operator import CHUNK
from ..solvers._conjugate_gradient import rank_of
from ..solvers._iterations import memory_of
from ..solvers._local import bytes_of as bytes_of_leaf
from ..solvers._nystroem import MOST_CENTERS
from ..solvers._part import GUESS_ROWS
from ..solvers._trials import n_columns
from ._places import device_of

COPIES, SPECTRAL_COPIES = 3.2, 4.1
"""Peak memory of a fit in units of its Gram matrix: by Cholesky factors, and by eigenvectors."""

WORKSPACE = 2.5
"""What a GPU takes for eigenvectors beside, in these units: a copy, and the memory of cuSOLVER."""

FEW_ROWS = 5000
"""Rows up to which "auto" factorises on the CPU: conjugate gradients are no faster."""

OF_CUPY = "take fewer rows, or copy the rows by cupy.asnumpy"
"""What to do if a factorisation of rows of CuPy does not fit into the memory."""


class Size(NamedTuple):
    """What a solver is chosen for: a fit of ``n`` distinct rows to ``k`` outputs.

    ``place`` is the name of the device that has the rows, or a precomputed matrix of them, as an
    array of CuPy; None for arrays of NumPy.
    """

    n: int
    k: int
    place: str | None = None
    is_precomputed: bool = False

    @property
    def rows(self):
        """What there are n of, as text."""
        return "rows of a precomputed kernel" if self.is_precomputed else "distinct rows"


def can_stream(model):
    """Whether an estimator can learn from parts of the data."""
    is_open = model.solver in ("auto", "nystroem") and model._needs_matrix() is None
    return is_open and not (isinstance(model.kernel, str) and model.kernel == "precomputed")


def is_streaming(model):
    """Whether an estimator has been fitted to centres, so that more rows can be added."""
    return model._centers is not None and model.kernel_ is not None


def warn_if_fitted(model):
    """Warn that a first part of the data replaces a fit by a solver that keeps no sums.

    An error would be safer, but scikit-learn's checks call ``partial_fit`` after `fit`.
    """
    if hasattr(model, "solver_"):
        warnings.warn(
            f"partial_fit starts over, without the rows of a fit by solver={model.solver_!r}, "
            f"which keeps no sums: fit by solver='nystroem' to go on from it.",
            UserWarning,
            stacklevel=2,
        )


def pick_solver(model, solver, size):
    """Name of the solver for a `Size`; raises ValueError or MemoryError if it cannot be.

    ``solver`` is a name or "auto", for which the whole matrix, if it fits, is factorised where it
    is on a GPU. With ``verbose`` it prints what "auto" takes, and why.
    """
    reason, device = model._needs_matrix(), size.place or device_of(model)
    _refuse(solver, reason, size)
    if solver == "auto" and (reason or size.place):
        solver = "cholesky"
    elif solver == "auto":
        solver, why = _by_memory(model, size, device)
        if model.verbose:
            print(f"solver={solver!r} for {size.n} {size.rows}: {why}", flush=True)
    if model.max_memory is None:
        _check_free(model, solver, size, device)
    else:
        check_limit(model, solver, size)
    return solver


def _refuse(solver, reason, size):
    """Raise ValueError for a solver that does not take such a fit; ``reason`` is a text or None."""
    if reason and solver not in ("auto", "cholesky"):
        raise ValueError(
            f"solver={solver!r} is for ridge regression to the end of training; got "
            f"{reason}, which needs the whole matrix: take solver='cholesky'."
        )
    if size.is_precomputed and solver == "local":
        raise ValueError(
            "solver='local' splits rows, which kernel='precomputed' lacks: pass the kernel itself, "
            "or take solver='cg'."
        )
    if size.place and solver not in ("auto", "cholesky"):
        what = "matrices" if size.is_precomputed else "rows"
        raise ValueError(
            f"solver={solver!r} takes {what} of NumPy; got one of CuPy: copy it by "
            f"cupy.asnumpy, or take solver='cholesky'."
        )


def _check_free(model, solver, size, device):
    """Raise MemoryError if a solver needs more memory than is free."""
    remedy = _remedy(model, solver, size, device)
    if solver == "cholesky":
        check_solve(size.n, size.rows, model._is_spectral(), device, remedy)
        return
    n_bytes = bytes_of(model, solver, size)
    # centres have their kernel in the memory of the machine
    where = None if solver == "nystroem" else device
    check_memory_of(where, n_bytes, f"A fit of {size.n} {size.rows} by {solver=}", remedy)


def _by_memory(model, size, device):
    """The first solver whose memory suffices, or else the last, and why it is taken."""
    limit = SHARE * free_memory_of(device) if model.max_memory is None else model.max_memory
    sizes = {name: bytes_of(model, name, size) / 1e9 for name in ("cholesky", "cg", "local")}
    limit /= 1e9
    if sizes["cholesky"] <= limit and read_device(device)[0] == "cuda":
        return "cholesky", "a GPU factorises what fits into its memory"
    if size.n <= FEW_ROWS and sizes["cholesky"] <= limit:
        return "cholesky", f"a factorisation is fastest up to {FEW_ROWS}"
    if sizes["cg"] <= limit:
        return "cg", f"conjugate gradients need {sizes['cg']:.2g} GB, of {limit:.2g} GB to use"
    if size.is_precomputed:
        return "cg", "it needs least of those that take a matrix"
    why = f"one matrix would need {sizes['cg']:.2g} GB, and {limit:.2g} GB are to be used"
    return "local", why


def bytes_of(model, name, size):
    """Memory of a fit at its peak."""
    n = size.n
    if name == "cg":
        solving = memory_of(n, rank_of(None, n), n_columns(n, size.k))
        guess = memory_of_solve(min(n, GUESS_ROWS), False) + 8.0 * min(n * n, CHUNK)
        return max(guess, solving)
    if name == "local":
        return bytes_of_leaf(min(n, model.leaf_size))
    if name == "nystroem":
        is_given = not isinstance(model.centers, str)
        m = len(model.centers) if is_given else min(n, model.n_components or MOST_CENTERS)
        return 8.0 * m * (5.0 * m + min(n, 4000.0))
    return memory_of_solve(n, model._is_spectral())


def memory_beside(model):
    """Bytes that conjugate gradients may take beside a fit by the solver of the model, or None.

    Beside local models that is the memory of the fit of a leaf.
    """
    limits = [] if model.max_memory is None else [model.max_memory]
    if model.solver_ == "local":
        limits.append(bytes_of_leaf(model.leaf_size))
    return min(limits, default=None)


def rows_that_fit(model, n, k):
    """How many of n rows conjugate gradients may take, for k outputs, beside a fit by the solver.

    Beside local models they are at least as many as a leaf has, if ``max_memory`` allows.
    """
    most, least = memory_beside(model), 1
    if model.solver_ == "local" and most != model.max_memory:
        least = min(n, model.leaf_size)
    while most is not None and n > least and bytes_of(model, "cg", Size(n, k)) > most:
        n = max(int(0.9 * n), least)
    return n


def check_limit(model, solver, size):
    """Raise MemoryError if a fit by a solver needs more than ``max_memory``."""
    n_bytes = bytes_of(model, solver, size)
    if model.max_memory is not None and n_bytes > model.max_memory:
        raise MemoryError(
            f"A fit of {size.n} {size.rows} by {solver=} needs {n_bytes / 1e9:.3g} GB of memory "
            f"and max_memory is {model.max_memory / 1e9:.3g} GB: {_remedy(model, solver, size)}, "
            f"or increase it."
        )


def _remedy(model, solver, size, device=None):
    """What to do if a solver needs too much memory, of a device or else of the machine."""
    if size.place:
        return OF_CUPY
    if solver == "cholesky" and read_device(device)[0] == "cuda":
        return ON_GPU
    if solver == "local":
        return "take a smaller leaf_size"
    if solver == "nystroem":
        return "take fewer centres or rows"
    if model._needs_matrix():
        return "take fewer rows"
    return "take solver='nystroem'" if size.is_precomputed else "take solver='local'"


def forget(model, name):
    """Set what fits by all solvers have in common, before one by the solver of this name."""
    model.solver_, model.n_iter_, model.residual_ = name, 1, None
    model.leaves_ = model.centers_ = model._leaves = model._centers = None
    if name != "cg":
        model._iterations = None


def memory_of_solve(n, is_spectral):
    """Bytes of an exact fit of n rows at its peak."""
    return (SPECTRAL_COPIES if is_spectral else COPIES) * 8.0 * n * n


EXACT = "take fewer rows, or solver='auto' of an estimator without a training_time"
ON_GPU = "take fewer rows, or device='cpu'"
"""What to do if a factorisation does not fit into the memory."""


def check_solve(n, rows, is_spectral, device=None, remedy=None):
    """Raise MemoryError if an exact fit of n rows would not fit into the memory of the device."""
    n_bytes, instead = memory_of_solve(n, is_spectral), EXACT
    if read_device(device)[0] == "cuda":
        n_bytes, instead = n_bytes + is_spectral * WORKSPACE * 8.0 * n * n, ON_GPU
    check_memory_of(device, n_bytes, f"A fit of {n} {rows}", remedy or instead)
