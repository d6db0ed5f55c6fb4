"""Which solver an estimator takes, by the number of its rows and the memory."""

import warnings

from .._runtime.device import device_name, is_on_device, read_device
from ..engines._work import SHARE, check_memory_of, free_memory_of
from ..gram._operator import CHUNK
from ..solvers._conjugate_gradient import rank_of
from ..solvers._iterations import memory_of
from ..solvers._local import memory_of as bytes_of_leaf
from ..solvers._nystroem import MOST_CENTERS
from ..solvers._nystroem import memory_of as memory_of_centers
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


def can_stream(model):
    """Whether an estimator can learn from parts of the data."""
    is_open = model.solver in ("auto", "nystroem") and model._needs_matrix() is None
    return is_open and not (isinstance(model.kernel, str) and model.kernel == "precomputed")


def is_streaming(model):
    """Whether an estimator has been fitted to centres, so that more rows can be added."""
    return vars(model).get("_centers") is not None and model.kernel_ is not None


def warn_if_fitted(model):
    """Warn that a first part of the data replaces a fit by a solver that keeps no sums.

    An error would be safer, but scikit-learn's checks call ``partial_fit`` after `fit`.
    """
    name = vars(model).get("solver_")
    if name is not None:
        warnings.warn(
            f"partial_fit starts over, without the rows of a fit by solver={name!r}, which keeps "
            f"no sums: fit by solver='nystroem' to go on from it.",
            UserWarning,
            stacklevel=2,
        )


def wanted_solver(model):
    """The parameter ``solver``, or what ``partial_fit`` needs."""
    return "nystroem" if vars(model).get("_is_stream") else model.solver


def pick_solver(model, n, X, is_precomputed=False):
    """Name of the solver for n distinct rows; raises ValueError or MemoryError if it cannot be.

    ``X`` are the rows, or the precomputed matrix. The whole matrix, if it fits, is factorised where
    it is on a GPU. With ``verbose`` it prints what "auto" takes, and why.
    """
    reason, solver = model._needs_matrix(), wanted_solver(model)
    device, is_cupy = device_name(X) or device_of(model), is_on_device(X)
    _refuse(solver, reason, is_precomputed, is_cupy)
    rows = "rows of a precomputed kernel" if is_precomputed else "distinct rows"
    if solver == "auto" and (reason or is_cupy):
        solver = "cholesky"
    elif solver == "auto":
        solver, why = _by_memory(model, n, is_precomputed, device)
        if model.verbose:
            print(f"solver={solver!r} for {n} {rows}: {why}", flush=True)
    if model.max_memory is None:
        remedy = _remedy(model, solver, is_precomputed, is_cupy, device)
        _check_free(model, solver, n, rows, device, remedy)
    else:
        check_limit(model, solver, n, is_precomputed, is_cupy)
    return solver


def _refuse(solver, reason, is_precomputed, is_cupy):
    """Raise ValueError for a solver that does not take such a fit; ``reason`` is a text or None."""
    if reason and solver not in ("auto", "cholesky"):
        raise ValueError(
            f"solver={solver!r} is for ridge regression to the end of training; got "
            f"{reason}, which needs the whole matrix: take solver='cholesky'."
        )
    if is_precomputed and solver == "local":
        raise ValueError(
            "solver='local' splits rows, which kernel='precomputed' lacks: pass the kernel itself, "
            "or take solver='cg'."
        )
    if is_cupy and solver not in ("auto", "cholesky"):
        raise ValueError(
            f"solver={solver!r} takes {'matrices' if is_precomputed else 'rows'} of NumPy; got "
            f"one of CuPy: copy it by cupy.asnumpy, or take solver='cholesky'."
        )


def _check_free(model, solver, n, what, device, remedy):
    """Raise MemoryError if a solver needs more memory than is free."""
    if solver == "cholesky":
        check_solve(n, what, model._is_spectral(), device, remedy)
        return
    n_bytes = bytes_of(model, solver, n)  # centres have their kernel in the memory of the machine
    where = None if solver == "nystroem" else device
    check_memory_of(where, n_bytes, f"A fit of {n} {what} by {solver=}", remedy)


def _by_memory(model, n, is_precomputed, device):
    """The first solver whose memory suffices, or else the last, and why it is taken."""
    limit = SHARE * free_memory_of(device) if model.max_memory is None else model.max_memory
    sizes = {name: bytes_of(model, name, n) / 1e9 for name in ("cholesky", "cg", "local")}
    limit /= 1e9
    if sizes["cholesky"] <= limit and read_device(device)[0] == "cuda":
        return "cholesky", "a GPU factorises what fits into its memory"
    if n <= FEW_ROWS and sizes["cholesky"] <= limit:
        return "cholesky", f"a factorisation is fastest up to {FEW_ROWS}"
    if sizes["cg"] <= limit:
        return "cg", f"conjugate gradients need {sizes['cg']:.2g} GB, of {limit:.2g} GB to use"
    if is_precomputed:
        return "cg", "it needs least of those that take a matrix"
    why = f"one matrix would need {sizes['cg']:.2g} GB, and {limit:.2g} GB are to be used"
    return "local", why


def bytes_of(model, name, n):
    """Memory of a fit at its peak."""
    if name == "cg":
        solving = memory_of(n, rank_of(None, n), columns_of(model, n))
        guess = memory_of_solve(min(n, GUESS_ROWS), False) + 8.0 * min(n * n, CHUNK)
        return max(guess, solving)
    if name == "local":
        return bytes_of_leaf(min(n, model.leaf_size))
    if name == "nystroem":
        is_given = not isinstance(model.centers, str)
        m = len(model.centers) if is_given else min(n, model.n_components or MOST_CENTERS)
        return memory_of_centers(n, m)
    return memory_of_solve(n, model._is_spectral())


def columns_of(model, n):
    """Columns that conjugate gradients solve for at a time: of targets, of ones, and of signs."""
    return n_columns(n, vars(model).get("_n_outputs", 1))


def memory_beside(model):
    """Bytes that conjugate gradients may take beside a fit by the solver of the model, or None.

    Beside local models that is the memory of the fit of a leaf.
    """
    limits = [] if model.max_memory is None else [model.max_memory]
    if model.solver_ == "local":
        limits.append(bytes_of(model, "local", model.leaf_size))
    return min(limits, default=None)


def rows_that_fit(model, n):
    """How many of n rows conjugate gradients may take beside a fit by the solver of the model.

    Beside local models they are at least as many as a leaf has, if ``max_memory`` allows.
    """
    most, least = memory_beside(model), 1
    if model.solver_ == "local" and most != model.max_memory:
        least = min(n, model.leaf_size)
    while most is not None and n > least and bytes_of(model, "cg", n) > most:
        n = max(int(0.9 * n), least)
    return n


def check_limit(model, solver, n, is_precomputed=False, is_cupy=False):
    """Raise MemoryError if a fit of n rows by a solver needs more than ``max_memory``."""
    n_bytes = bytes_of(model, solver, n)
    if model.max_memory is not None and n_bytes > model.max_memory:
        rows = "rows of a precomputed kernel" if is_precomputed else "distinct rows"
        raise MemoryError(
            f"A fit of {n} {rows} by {solver=} needs {n_bytes / 1e9:.3g} GB of memory and "
            f"max_memory is {model.max_memory / 1e9:.3g} GB: "
            f"{_remedy(model, solver, is_precomputed, is_cupy)}, or increase it."
        )


def _remedy(model, solver, is_precomputed, is_cupy, device=None):
    """What to do if a solver needs too much memory, of a device or else of the machine."""
    if is_cupy:
        return OF_CUPY
    if solver == "cholesky" and read_device(device)[0] == "cuda":
        return ON_GPU
    if solver == "local":
        return "take a smaller leaf_size"
    if solver == "nystroem":
        return "take fewer centres or rows"
    if model._needs_matrix():
        return "take fewer rows"
    return "take solver='nystroem'" if is_precomputed else "take solver='local'"


def forget(model, name):
    """Set what fits by all solvers have in common, before one by the solver of this name."""
    model.solver_, model.n_iter_, model.residual_ = name, 1, None
    model.leaves_ = model.centers_ = model._leaves = model._centers = None
    if name != "cg":
        vars(model).pop("_iterations", None)  # of an earlier fit


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
