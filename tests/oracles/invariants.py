"""Invariants of all networks and estimators, which `trials` checks."""

import traceback
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from unittest.mock import patch

import contract
import contract_positions
import numpy as np
import sklearn
from draws import decades, draw_estimator, draw_network, draw_rows, pick
from sklearn.base import is_classifier
from sklearn.gaussian_process import GaussianProcessClassifier

import sklearn_ntk
from sklearn_ntk._runtime.errors import OutOfRange
from sklearn_ntk.engines.reference import lines, tiles
from sklearn_ntk.engines.rows import lines as lines_of_rows
from sklearn_ntk.estimators._base import NetworkEstimator
from sklearn_ntk.formulas import attention
from sklearn_ntk.gram import diagonal, gram
from sklearn_ntk.layers import lower
from sklearn_ntk.program import Pointwise, Recur

NUDGE = 1e-9
"""Relative perturbation of rows that measures how kernels respond to rounding."""

SHAKES, ROUNDINGS = 3, 16.0
"""Number of runs with random relative errors, and their size in units of rounding: the response of
kernels to them measures what rounding may change."""

BOTH = ("nngp", "ntk")
FOLDERS = [Path(package.__file__).parent for package in (sklearn_ntk, sklearn)]


def is_refusal(error):
    """Whether an error is raised on purpose, with a message of one line.

    Messages of the package must end in a full stop; not all of scikit-learn do. An error of the
    factorisation in its Gaussian processes, where a kernel is 1e16 times the noise, is a refusal.
    """
    frames = traceback.extract_tb(error.__traceback__)
    files = [Path(frame.filename) for frame in frames]
    if isinstance(error, np.linalg.LinAlgError):
        return any(FOLDERS[1] / "gaussian_process" in file.parents for file in files)
    ours, theirs = (folder in files[-1].parents for folder in FOLDERS)
    is_raised = (ours or theirs) and frames[-1].line.startswith("raise")
    is_line = (theirs or str(error).endswith((".", "?"))) and "\n" not in str(error)
    return type(error) in (ValueError, TypeError, MemoryError, OutOfRange) and is_raised and is_line


# --- Kernels --------------------------------------------------------------------------------------


class KernelTrial:
    """Both kernels of a random network on random rows, and checks of their invariants."""

    def __init__(self, rng):
        self.network, n_columns = draw_network(rng)
        self.variances = (decades(rng, -1.0, 1.0), pick(rng, 0.0, decades(rng, -2.0, 1.0)))
        self.X, self.Y = (draw_rows(rng, rng.integers(1, n), n_columns) for n in (9, 4))
        self.order = rng.permutation(len(self.X))

    def __str__(self):
        w, b = self.variances
        X, Y = (np.array2string(Z, separator=",", floatmode="unique") for Z in (self.X, self.Y))
        return f"program = lower({self.network}, {w}, {b})\nX = np.array({X})\nY = np.array({Y})"

    def failures(self):
        """Yield the name, error and bound of each invariant that is violated."""
        self.jumps = count_jumps(self.program)  # each halves the digits
        for name, (check, bound, dtype) in INVARIANTS.items():
            error = float(check(self))
            if error > bound:
                bound = self.loosened(bound, dtype)
            if not error <= bound:
                yield f"{name}: {error:.2g}, at most {bound:.2g}"

    def loosened(self, bound, dtype):
        """The bound plus an estimate of the effect of rounding of the rows and in the formulas."""
        if not bound:
            return bound
        nudge = max(NUDGE, 0.2 * bound)
        by_rows = self.unrest(nudge) * (bound / nudge) ** 0.5 ** max(self.jumps, 1)
        return bound + by_rows + self.response(ROUNDINGS * float(np.finfo(dtype).eps))

    @cached_property
    def program(self):
        return lower(self.network, *self.variances)

    @cached_property
    def K(self):
        return self.gram(self.X)

    @cached_property
    def diagonal(self):
        return np.stack(diagonal(self.program, self.X, BOTH))

    @cached_property
    def with_gradient(self):
        return list(map(np.stack, gram(self.program, self.X, None, BOTH, gradient=True)))

    def unrest(self, nudge):
        """Relative change of the kernels if rows are perturbed by ``nudge`` times their size.

        With positions, whose distances round like the largest row, that is the size of all rows.
        """
        noise = np.random.default_rng(0).standard_normal(self.X.shape)
        axis = 1 if self.program.shape is None else None
        sizes = np.abs(self.X).max(axis=axis, keepdims=True)
        return self.relative(self.gram(self.X + nudge * sizes * noise) - self.gram(self.X))

    def response(self, size):
        """Change of the kernels if every number of every layer has a random error of this size."""
        K = by_reference(self)
        changes = []
        for seed in range(SHAKES):
            with shaken(size, np.random.default_rng(seed)):
                changes.append(self.relative(by_reference(self) - K))
        return max(changes)

    def gram(self, X, Y=None, **how):
        return np.stack(gram(self.program, X, Y, BOTH, **how))

    def relative(self, error):
        """Largest error of the matrices of X, in units of their diagonals."""
        left, right = self.diagonal[:, :, None], self.diagonal[:, None, :]
        if self.program.shape is None:
            return contract.relative(error, left, right).max(initial=0.0)
        scale = np.maximum(left, right)
        return np.abs(error / (scale + (scale == 0.0))).max(initial=0.0)

    def between(self, K):
        """Error of ``K`` between two sides; with dropout, which differs there, off the diagonal."""
        error = K - self.K
        if "Dropout" in str(self.network):
            error[:, *np.diag_indices(len(self.X))] = 0.0
        return self.relative(error)


@contextmanager
def shaken(size, rng):
    """Context in which formulas of the reference engine have random relative errors of this size.

    Gaps of inputs have the error ``size^2``, as if directions of rows had the error ``size``.
    """

    def turned(X, Y):
        lengths = (np.sqrt(np.mean(Z * Z, axis=1)) for Z in (X, Y))
        return gap(X, Y) + size**2 * np.outer(*lengths)

    def shake(values):
        if isinstance(values, tuple):
            return tuple(map(shake, values))
        return values * (1.0 + size * rng.choice([-1.0, 1.0], np.shape(values)))

    def shaking(function):
        return lambda *arguments: shake(function(*arguments))

    gap, distances = tiles.initial_gap, lines.Sides.distances
    with ExitStack() as stack:
        stack.enter_context(patch.object(tiles, "initial_gap", shaking(turned)))
        stack.enter_context(patch.object(lines.Sides, "distances", shaking(distances)))
        for name in ("covariances", "mix", "mix_left"):
            stack.enter_context(patch.object(attention, name, shaking(getattr(attention, name))))
        for module in (tiles, lines, lines_of_rows):
            build = module.built
            replaced = patch.object(module, "built", lambda *key, build=build: shaking(build(*key)))
            stack.enter_context(replaced)
        yield


def count_jumps(program):
    """Number of activations with a jump in a program, times the steps of a recurrence."""
    tiny = np.array([-1e-100, 1e-100])
    acts = [step.activation for step in program.steps if isinstance(step, Pointwise)]
    times = [step.grid[0] for step in program.steps if isinstance(step, Recur)]
    return sum(bool(np.ptp(act.fn(tiny)) > 1e-9) for act in acts) * max(times, default=1)


def count_bad(trial):
    """Number of entries that are not finite."""
    parts = (trial.K, trial.diagonal, *trial.with_gradient, trial.gram(trial.X, trial.Y))
    return sum(np.count_nonzero(~np.isfinite(part)) for part in parts)


def skew(trial):
    """Largest difference of Gram matrices to their transposes."""
    return np.abs(trial.K - trial.K.swapaxes(1, 2)).max()


def off_diagonal(trial):
    """Largest difference of the diagonals of Gram matrices to `gram.diagonal`."""
    return np.abs(np.diagonal(trial.K, axis1=1, axis2=2) - trial.diagonal).max()


def unlike_itself(trial):
    """Largest difference of Gram matrices that are computed twice."""
    return np.abs(trial.K - trial.gram(trial.X)).max()


def most_negative(trial):
    """Smallest eigenvalue, with the sign changed, relative to the largest."""
    sizes = np.abs(trial.K).max(axis=(1, 2), keepdims=True)
    eigenvalues = np.linalg.eigvalsh(trial.K / (sizes + (sizes == 0.0)))
    return (-eigenvalues[:, 0] / (eigenvalues[:, -1] + (eigenvalues[:, -1] == 0.0))).max()


def beside_gradient(trial):
    """Error of the Gram matrices that are computed together with the gradient."""
    return trial.relative(trial.K - trial.with_gradient[0])


def asymmetric_gradient(trial):
    """Largest difference of gradients to their transposes."""
    gradient = trial.with_gradient[1]
    return np.abs(gradient - gradient.swapaxes(1, 2)).max()


def from_two_sides(trial):
    """Error of Gram matrices between rows and a copy of them."""
    return trial.between(trial.gram(trial.X, trial.X.copy()))


def permuted(trial):
    """Error of Gram matrices of permuted rows."""
    order, back = trial.order, np.argsort(trial.order)
    return trial.relative(trial.K - trial.gram(trial.X[order])[:, back][:, :, back])


def by_reference(trial):
    """Kernels (2, n, n) by the reference engine."""
    run = (contract if trial.program.shape is None else contract_positions).run_numpy
    with np.errstate(all="ignore"):
        return run(trial.program, trial.X, trial.X)


def beside_reference(trial):
    """Error of the reference engine."""
    return trial.between(by_reference(trial))


def in_single(trial):
    """Error in single precision, if the kernel does not overflow in it."""
    try:
        K = trial.gram(trial.X, dtype="float32")
    except ValueError as error:
        if is_refusal(error):
            return 0.0
        raise
    return trial.relative(np.maximum(np.abs(K - trial.K) - np.finfo(np.float32).tiny, 0.0))


INVARIANTS = {
    "numbers that are not finite": (count_bad, 0.0, "float64"),
    "asymmetry": (skew, 0.0, "float64"),
    "difference to the diagonal": (off_diagonal, 0.0, "float64"),
    "difference of two runs": (unlike_itself, 0.0, "float64"),
    "asymmetry of the gradient": (asymmetric_gradient, 0.0, "float64"),
    "negative eigenvalue": (most_negative, 1e-12, "float64"),
    "difference with the gradient": (beside_gradient, 1e-13, "float64"),
    "difference between two sides": (from_two_sides, 1e-12, "float64"),
    "difference for permuted rows": (permuted, 1e-12, "float64"),
    "difference to the reference engine": (beside_reference, 1e-12, "float64"),
    "single precision": (in_single, 5e-6, "float32"),
}
"""Tuples by the name of the error: a function of a trial that returns it, its bound, and the
precision in which it is computed."""


# --- Estimators -----------------------------------------------------------------------------------


class EstimatorTrial:
    """A random estimator, random data, and checks of its predictions."""

    def __init__(self, rng):
        self.model, n_columns = draw_estimator(rng)
        self.X = draw_rows(rng, rng.integers(2, 17), n_columns)
        self.Y = np.vstack([draw_rows(rng, 3, n_columns), self.X[:2]])
        self.y = rng.standard_normal(len(self.X))
        if is_classifier(self.model):
            self.y = (self.y > rng.normal()).astype(int) + (self.y > 1.0)
        self.factor = 2.0 ** rng.integers(-500, 500)

    def __str__(self):
        parts = "\n".join(f"{name} = np.{getattr(self, name)!r}" for name in ("X", "y", "Y"))
        return f"model = {self.model!r}\n{parts}"

    def failures(self):
        """Yield a description of each property that does not hold."""
        check = self._check_classifier if is_classifier(self.model) else self._check_regressor
        return (words for words, is_true in check() if not is_true)

    def _check_regressor(self):
        found, again = (self._predict() for _ in range(2))
        yield "numbers that are not finite", np.isfinite(found).all()
        yield "negative standard deviations", (found[1] >= 0.0).all()
        yield "predictions of two fits differ", np.array_equal(found, again)
        if isinstance(self.model, NetworkEstimator):
            scaled = self._predict(self.factor) / self.factor
            yield "not linear in targets", np.allclose(scaled, found, 1e-9, 1e-9 * found.max())

    def _predict(self, factor=1.0):
        """Means and standard deviations (2, m) at new rows, of a fit to the scaled targets."""
        return np.stack(self.model.fit(self.X, factor * self.y).predict(self.Y, return_std=True))

    def _check_classifier(self):
        labels, again = (self.model.fit(self.X, self.y).predict(self.Y) for _ in range(2))
        yield "labels that are no classes", np.isin(labels, self.y).all()
        yield "labels of two fits differ", np.array_equal(labels, again)
        if hasattr(self.model, "decision_function"):
            yield "scores not finite", np.isfinite(self.model.decision_function(self.Y)).all()
        is_of_package = not isinstance(self.model, GaussianProcessClassifier)
        if is_of_package and hasattr(self.model, "predict_proba"):
            shares = self.model.predict_proba(self.Y)
            yield "probabilities below zero", (shares >= 0.0).all()
            yield "probabilities whose sum is not one", np.allclose(shares.sum(axis=1), 1.0, 1e-12)
