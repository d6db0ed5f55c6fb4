"""Which solver an estimator takes, by the number of its rows and the memory."""

import warnings

from ..engines._work import SHARE, free_memory_of
from ._memory import is_gpu
from ._places import device_of
from ._solvers import SOLVERS, Size, solver_of

FEW_ROWS = 5000
"""Rows up to which "auto" factorises on the CPU: conjugate gradients are no faster."""


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


def pick_solver(model, name, size):
    """`Solver` for a `Size`; raises ValueError or MemoryError if it cannot be.

    ``name`` is that of the solver or "auto", for which the whole matrix, if it fits, is factorised
    where it is on a GPU. With ``verbose`` it prints what "auto" takes, and why.
    """
    reason, device = model._needs_matrix(), size.place or device_of(model)
    if name == "auto" and (reason or size.place):
        name = "cholesky"
    elif name == "auto":
        name, why = _by_memory(model, size, device)
        if model.verbose:
            print(f"solver={name!r} for {size.n} {size.rows}: {why}", flush=True)
    solver = SOLVERS[name]
    solver.check(size, reason)
    if model.max_memory is None:
        solver.check_free(model, size, device)
    else:
        solver.check_limit(model, size)
    return solver


def _by_memory(model, size, device):
    """Name of the first solver whose memory suffices, or else of the last, and why it is taken."""
    limit = SHARE * free_memory_of(device) if model.max_memory is None else model.max_memory
    whole, one = (SOLVERS[name].n_bytes(model, size) / 1e9 for name in ("cholesky", "cg"))
    limit /= 1e9
    if whole <= limit and is_gpu(device):
        return "cholesky", "a GPU factorises what fits into its memory"
    if size.n <= FEW_ROWS and whole <= limit:
        return "cholesky", f"a factorisation is fastest up to {FEW_ROWS}"
    if one <= limit:
        return "cg", f"conjugate gradients need {one:.2g} GB, of {limit:.2g} GB to use"
    if size.is_precomputed:
        return "cg", "it needs least of those that take a matrix"
    return "local", f"one matrix would need {one:.2g} GB, and {limit:.2g} GB are to be used"


def memory_beside(model):
    """Bytes that conjugate gradients may take beside a fit by the solver of the model, or None.

    Beside local models that is the memory of the fit of a leaf.
    """
    limits = model.max_memory, solver_of(model).bytes_beside(model)
    return min((limit for limit in limits if limit is not None), default=None)


def rows_that_fit(model, n, k):
    """How many of n rows conjugate gradients may take, for k outputs, beside a fit by the solver.

    Beside local models they are at least as many as a leaf has, if ``max_memory`` allows.
    """
    most, least = memory_beside(model), 1
    if most != model.max_memory:
        least = min(n, model.leaf_size)
    while most is not None and n > least and SOLVERS["cg"].n_bytes(model, Size(n, k)) > most:
        n = max(int(0.9 * n), least)
    return n
