"""Which solver an estimator takes, by the number of its rows and the memory."""

from .._runtime.device import read_device
from .._runtime.memory import check_memory
from ..engines._work import free_memory_of
from ..gram._operator import CHUNK
from ..solvers._conjugate_gradient import rank_of
from ..solvers._iterations import memory_of
from ..solvers._local import COPIES as LEAF_COPIES
from ..solvers._nystroem import MOST_CENTERS
from ..solvers._ridge import GUESS_ROWS
from ..solvers._trials import columns_of

COPIES, SPECTRAL_COPIES = 3.2, 4.1
"""Peak memory of a fit in units of its Gram matrix: by Cholesky factors, and by eigenvectors."""

WORKSPACE = 2.5
"""What a GPU takes for eigenvectors beside, in these units: a copy, and the memory of cuSOLVER."""

FEW_ROWS = 5000
"""Rows up to which "auto" factorises on the CPU: conjugate gradients are no faster."""

SHARE = 0.5
"""Of the free memory, what "auto" takes at most."""


def can_stream(model):
    """Whether an estimator can learn from parts of the data."""
    is_open = model.solver in ("auto", "nystroem") and model._needs_matrix() is None
    return is_open and not (isinstance(model.kernel, str) and model.kernel == "precomputed")


def is_streaming(model):
    """Whether an estimator has been fitted to centres, so that more rows can be added."""
    return vars(model).get("_centers") is not None and model.kernel_ is not None


def wanted_solver(model):
    """The parameter ``solver``, or what ``partial_fit`` needs."""
    return "nystroem" if vars(model).get("_is_stream") else model.solver


def pick_solver(model, n, is_precomputed=False, device=None):
    """Name of the solver for n distinct rows; raises ValueError or MemoryError if it cannot be.

    ``device`` is the one in whose memory the Gram matrix will be; on a GPU the whole one, if it
    fits, is factorised. With ``verbose`` it prints what "auto" takes, and why.
    """
    reason, solver = model._needs_matrix(), wanted_solver(model)
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
    rows = "rows of a precomputed kernel" if is_precomputed else "distinct rows"
    if solver != "auto":
        _check(model, solver, n, rows, device)
        return solver
    if reason:
        _check(model, "cholesky", n, rows, device)
        return "cholesky"
    name, why = _by_memory(model, n, is_precomputed, device)
    if name is None:
        _check(model, "cg", n, rows)
        name, why = "cg", "it is all that fits"
    if model.verbose:
        print(f"solver={name!r} for {n} {rows}: {why}", flush=True)
    return name


def _by_memory(model, n, is_precomputed, device):
    """The first solver whose memory suffices, and why it is taken; None if none does."""
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
        return None, ""
    why = f"one matrix would need {sizes['cg']:.2g} GB, and {limit:.2g} GB are to be used"
    return "local", why


def bytes_of(model, name, n):
    """Memory of a fit at its peak."""
    if name == "cg":
        solving = memory_of(n, rank_of(None, n), columns_of(vars(model).get("_n_outputs", 1)))
        guess = memory_of_solve(min(n, GUESS_ROWS), False) + 8.0 * min(n * n, CHUNK)
        return max(guess, solving)
    if name == "local":
        return LEAF_COPIES * 8.0 * min(n, model.leaf_size) ** 2
    if name == "nystroem":
        is_given = not isinstance(model.centers, str)
        m = len(model.centers) if is_given else min(n, model.n_components or MOST_CENTERS)
        return 8.0 * m * (5.0 * m + min(n, 4000.0))
    return memory_of_solve(n, model._is_spectral())


def _check(model, name, n, rows, device=None):
    """Raise MemoryError if a solver does not fit into the free memory, or into ``max_memory``."""
    if name == "cholesky" and model.max_memory is None:
        check_solve(n, rows, model._is_spectral(), device)
        return
    n_bytes, what = bytes_of(model, name, n), f"A fit of {n} {rows} by solver={name!r}"
    remedy = "take solver='local'" if name in ("cholesky", "cg") else "take fewer centres or rows"
    if model.max_memory is None:
        check_memory(n_bytes, what, remedy)
    elif n_bytes > model.max_memory:
        raise MemoryError(
            f"{what} needs {n_bytes / 1e9:.3g} GB of memory and max_memory is "
            f"{model.max_memory / 1e9:.3g} GB: {remedy}, or increase it."
        )


def forget(model, name):
    """Set what fits by all solvers have in common, before one by the solver of this name."""
    model.solver_, model.n_iter_, model.residual_ = name, 1, None
    model.leaves_ = model.centers_ = model._leaves = model._centers = None


def memory_of_solve(n, is_spectral):
    """Bytes of an exact fit of n rows at its peak."""
    return (SPECTRAL_COPIES if is_spectral else COPIES) * 8.0 * n * n


def check_solve(n, rows, is_spectral, device=None):
    """Raise MemoryError if an exact fit of n rows would not fit into the memory of the device."""
    n_bytes, what = memory_of_solve(n, is_spectral), f"A fit of {n} {rows}"
    if read_device(device)[0] != "cuda":
        remedy = "take fewer rows, or solver='auto' of an estimator without a training_time"
        check_memory(n_bytes, what, remedy)
        return
    n_bytes += is_spectral * WORKSPACE * 8.0 * n * n
    if n_bytes > (free := free_memory_of(device)):
        raise MemoryError(
            f"{what} needs {n_bytes / 1e9:.3g} GB of the GPU's memory and {free / 1e9:.3g} GB are "
            f"free: take fewer rows, or device='cpu'."
        )
