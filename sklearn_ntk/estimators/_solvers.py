"""The solvers of squared errors: for each its memory, the fit, and the posterior that follows."""

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from .._runtime.chunks import CHUNK
from .._runtime.errors import NotConverged
from ..engines._work import check_memory_of
from ..solvers import ConjugateGradient, Local, Nystroem
from ..solvers._conjugate_gradient import rank_of
from ..solvers._factors import LARGEST
from ..solvers._iterations import memory_of
from ..solvers._local import memory_of as memory_of_leaf
from ..solvers._nystroem import MOST_CENTERS
from ..solvers._nystroem import memory_of as memory_of_centers
from ..solvers._part import GUESS_ROWS
from ..solvers._solution import relative_error
from ..solvers._trials import n_columns
from ._approximations import CentersPosterior, LeavesPosterior, SinglePosterior
from ._centers import absorb, fit_to_given, given_centers
from ._ensemble import posterior_of
from ._memory import OF_CUPY, ON_GPU, check_solve, is_gpu, memory_of_solve
from ._posterior import WholePosterior
from ._quiet import quiet_operator
from ._squares import fit_squares, fitted_ridges, given_alpha

FACTORISED = LARGEST
"""Rows of a fit by conjugate gradients up to which variances are by a factor in double precision.
Factors serve more rows, too: one takes the time of conjugate gradients for some hundred new rows,
and then each of these costs a product."""


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


class Solver:
    """Base class of solvers, as estimators have them by the parameter ``solver``."""

    is_exact = False
    """Whether it factorises the whole Gram matrix, as all but plain ridge regression needs it."""

    needs_rows = False
    """Whether a precomputed kernel is not enough."""

    teaches = True
    """Whether features are learned of more rows for its fits; see `can_learn_more`."""

    goes_on = False
    """Whether a fit may go on from the solutions of the last one."""

    def check(self, size, reason):
        """Raise ValueError for fits that it does not take.

        ``reason``, a text or None, is the parameter that needs the whole Gram matrix.
        """
        if reason:
            raise ValueError(
                f"solver={self.name!r} is for ridge regression to the end of training; got "
                f"{reason}, which needs the whole matrix: take solver='cholesky'."
            )
        if size.is_precomputed and self.needs_rows:
            raise ValueError(
                f"solver={self.name!r} splits rows, which kernel='precomputed' lacks: pass the "
                f"kernel itself, or take solver='cg'."
            )
        if size.place:
            what = "matrices" if size.is_precomputed else "rows"
            raise ValueError(
                f"solver={self.name!r} takes {what} of NumPy; got one of CuPy: copy it by "
                f"cupy.asnumpy, or take solver='cholesky'."
            )

    def check_classes(self, model, n):
        """Raise ValueError if it cannot tell n classes."""

    def n_bytes(self, model, size):
        """Memory of a fit at its peak."""
        raise NotImplementedError

    def bytes_beside(self, model):
        """Memory that learning features may take before a fit; None if there is no limit."""

    def check_limit(self, model, size):
        """Raise MemoryError if a fit needs more than ``max_memory``."""
        n_bytes = self.n_bytes(model, size)
        if model.max_memory is not None and n_bytes > model.max_memory:
            raise MemoryError(
                f"{self._fit_of(size)} needs {n_bytes / 1e9:.3g} GB of memory and max_memory is "
                f"{model.max_memory / 1e9:.3g} GB: {self.remedy(model, size)}, or increase it."
            )

    def check_free(self, model, size, device):
        """Raise MemoryError if a fit needs more than is free, on a device or else the machine."""
        n_bytes, remedy = self.n_bytes(model, size), self.remedy(model, size, device)
        check_memory_of(device, n_bytes, self._fit_of(size), remedy)

    def _fit_of(self, size):
        return f"A fit of {size.n} {size.rows} by solver={self.name!r}"

    def remedy(self, model, size, device=None):
        """What to do if a fit needs too much memory, of a device or else of the machine."""
        if model._needs_matrix():
            return "take fewer rows"
        return "take solver='nystroem'" if size.is_precomputed else "take solver='local'"

    def fit(self, model, operator, Y, weights, unit, error=relative_error, blind=()):
        """As `fit_squares`, to all rows; the exact solver alone is ``blind``.

        Sets ``n_iter_`` and the like, and what predictions need of the solver; the rows of the
        model become the centres if there are any.
        """
        alpha = given_alpha(model.alpha, unit)
        problem = self.value(model, alpha, error), quiet_operator(operator), Y, weights
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotConverged)  # `_fit` gives that of scikit-learn
            path = self._fit(model, *problem)
        return path, path.value, fitted_ridges(model, path, alpha, unit)

    def _fit(self, model, solver, operator, Y, weights):
        """`Path` of a fit by the value of `solvers`; may set attributes of the model."""
        return solver.fit(operator, Y, weights, judges=model._judges)

    def value(self, model, alpha, error=relative_error):
        """The value of `solvers` with the parameters of a model; ``error`` is what chooses."""
        seed = int(check_random_state(model.random_state).randint(2**31 - 1))
        return self._value(model, alpha, error=error, seed=seed, verbose=int(model.verbose))

    def posterior(self, model, weights, ridge, solution):
        """The posterior of a fitted regressor, and inverse variances of leave-one-out residuals.

        The latter belong to the rows of the `Solution`.
        """
        return self._posterior(model, weights, ridge), solution.precision


class Exact(Solver):
    """Factors of the Gram matrix, or its eigenvectors; also at finite times, and for any loss."""

    name, is_exact = "cholesky", True

    def check(self, size, reason):
        """It takes all fits."""

    def n_bytes(self, model, size):
        return memory_of_solve(size.n, model._is_spectral())

    def check_free(self, model, size, device):
        remedy = self.remedy(model, size, device)
        check_solve(size.n, size.rows, model._is_spectral(), device, remedy)

    def remedy(self, model, size, device=None):
        if size.place:
            return OF_CUPY
        return ON_GPU if is_gpu(device) else super().remedy(model, size)

    fit, posterior = staticmethod(fit_squares), staticmethod(posterior_of)


class Iterative(Solver):
    """Conjugate gradients, which a later fit may go on from."""

    name, goes_on = "cg", True

    def n_bytes(self, model, size):
        n = size.n
        solving = memory_of(n, rank_of(None, n), n_columns(n, size.k))
        guess = memory_of_solve(min(n, GUESS_ROWS), False) + 8.0 * min(n * n, CHUNK)
        return max(guess, solving)

    def _value(self, model, alpha, **options):
        own = alpha, model.tol, model.max_iter
        return ConjugateGradient(*own, **options, max_memory=model.max_memory)

    def _fit(self, model, solver, operator, Y, weights):
        start = model._iterations if model.warm_start else None
        if start is not None and start.columns.shape != (len(Y), Y.shape[1] + 1):
            start = None
        path = solver.fit(operator, Y, weights, start=start, judges=model._judges)
        details = path.solution.details
        model.n_iter_, model.residual_ = details.n_iter, details.residual
        goes_on = model.warm_start or details.trouble
        # solutions for signs take more memory than all else that is kept of the fit
        model._iterations = details if goes_on else details._replace(probes=None)
        if details.trouble:
            warnings.warn(details.trouble, ConvergenceWarning, stacklevel=2)
        return path

    def _posterior(self, model, weights, ridge):
        if len(weights) <= FACTORISED:
            return WholePosterior(weights, ridge)
        return SinglePosterior(weights, ridge, int(model.verbose))


class LocalModels(Solver):
    """Exact fits in the leaves of a tree."""

    name, needs_rows = "local", True

    def check_classes(self, model, n):
        if model.leaf_size < 2 * n:
            raise ValueError(
                f"leaf_size must be at least {2 * n}, two rows for each of the classes; got "
                f"{model.leaf_size}: increase it."
            )

    def n_bytes(self, model, size):
        return memory_of_leaf(min(size.n, model.leaf_size))

    def bytes_beside(self, model):
        return memory_of_leaf(model.leaf_size)

    def remedy(self, model, size, device=None):
        return "take a smaller leaf_size"

    def _value(self, model, alpha, **options):
        own = alpha, model.leaf_size, model.overlap
        return Local(*own, **options, max_memory=model.max_memory)

    def _fit(self, model, *problem):
        path = super()._fit(model, *problem)
        model._leaves = path.solution.details
        model.leaves_ = [leaf.rows for leaf in model._leaves.leaves]
        return path

    def _posterior(self, model, weights, ridge):
        return LeavesPosterior(weights, ridge, model._leaves)


class OnCenters(Solver):
    """Functions of centres, which more rows can be added to."""

    name, teaches = "nystroem", False

    def n_bytes(self, model, size):
        is_given = not isinstance(model.centers, str)
        m = len(model.centers) if is_given else min(size.n, model.n_components or MOST_CENTERS)
        return memory_of_centers(size.n, m)

    def check_free(self, model, size, device):
        super().check_free(model, size, None)  # they have their kernel on the machine

    def remedy(self, model, size, device=None):
        return "take fewer centres or rows"

    def _value(self, model, alpha, **options):
        centers = model.centers if isinstance(model.centers, str) else "uniform"
        return Nystroem(alpha, model.n_components, centers, **options)

    def _fit(self, model, solver, *problem):
        if isinstance(model.centers, str):
            path = solver.fit(*problem)
            rows = path.solution.details.rows
            model._weights = model._weights[rows]
            if model.kernel_ is None:
                model._kept = model.centers_ = model._kept[rows]
            else:
                model.X_fit_ = model.centers_ = model.X_fit_[rows]
        else:
            given = given_centers(model)
            path = fit_to_given(solver, given, *problem)
            model._weights, model.X_fit_ = np.ones(len(given)), given
            model.centers_ = given
        model._centers = path.solution.details
        return path

    def absorb(self, model, X, Y, weights):
        """The `Path` of a fit after more rows, as of `_centers.absorb`."""
        return absorb(self.value(model, None), model, X, Y, weights)

    def _posterior(self, model, weights, ridge):
        return CentersPosterior(model._weights, ridge, model._centers)


SOLVERS = {each.name: each for each in (Exact(), Iterative(), LocalModels(), OnCenters())}
"""By the names that estimators have for them."""


def solver_of(model):
    """Solver that a model was fitted by, or is about to be."""
    return SOLVERS[model.solver_]
