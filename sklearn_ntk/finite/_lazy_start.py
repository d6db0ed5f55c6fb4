"""A finite network before its training, what is predicted of that, and comparisons on the way."""

from typing import NamedTuple

import numpy as np

from .._runtime.check import read_cross, read_gram
from .._runtime.memory import check_memory
from ..dynamics import Descent, Training
from ..spectrum._alignment import alignment
from ._kernels import ntk, ntk_diagonal


class Checkpoint(NamedTuple):
    """Findings of a `LazyTrainingReport` after some steps; norms are Frobenius norms.

    Attributes
    ----------
    step : int
    loss, linear_loss, infinite_loss : float
        Half the mean squared error at the training rows, summed over outputs: of the network, of
        its linear model, and of the infinitely wide network with the same initial outputs.
    weight_change : float
        ``|w_t - w_0| / |w_0|``; ``layer_changes`` is a dict with the change of each layer by name.
    kernel_change : float
        ``|K_t - K_0| / |K_0|`` of the mean over outputs of the empirical kernels.
    jacobian_change : float
        ``|J_t - J_0| / |J_0|``.
    alignment : float
        Cosine between the kernel and the kernel of the targets, both centred.
    to_linear, to_infinite : float
        Root mean square distance of the outputs from the predictions of these two models, in units
        of the standard deviation of the targets; at new rows, or at the training rows if none are
        given.
    """

    step: int
    loss: float
    linear_loss: float
    infinite_loss: float
    weight_change: float
    layer_changes: dict
    kernel_change: float
    jacobian_change: float
    alignment: float
    to_linear: float
    to_infinite: float


class Start:
    """The network before training: outputs, kernels, and what linear models make of them."""

    def __init__(self, reader, rows, new, Y, outputs, kernel, memory):
        self.reader, self.rows, self.new, self.Y, self._memory = reader, rows, new, Y, memory
        self._parameters, self._trainings = reader.parameters(), {}
        self.outputs, self.at_new = outputs, reader.outputs(new)
        self.deviation = float(np.sqrt(np.mean(Y.var(axis=0)))) or 1.0
        self._exact = reader.in_double(rows)  # small eigenvalues need it
        self._exact_rows = self._exact.prepare(rows)
        self.K = ntk(self._exact, self._exact_rows, self._exact_rows, memory=memory)
        if not self.K.any():
            raise ValueError(
                "A report needs gradients that are not all zero; got a kernel of zeros: choose "
                "other layers, or other parameters at the start, as of a head of zeros."
            )
        n, k = Y.shape
        check_memory(16.0 * (n * k) ** 2, "The kernel of all outputs", "take fewer rows")
        self.matrices = {"linear": self._matrix(rows)}
        self._crosses = {"linear": self._matrix(new)}
        self._norm = ntk_diagonal(reader, rows, memory=memory).sum()
        if kernel is not None:
            flat, flat_new = (as_flat(each) for each in (rows, new))
            K = read_gram(kernel(flat))
            cross = K if new is rows else read_cross(kernel(flat_new, flat), n)
            self.matrices["infinite"], self._crosses["infinite"] = K, cross

    def _matrix(self, rows):
        """Kernel (m, n) between rows and the training rows; of k outputs, (m k, n k)."""
        k = self.Y.shape[1]
        if k == 1 and rows is self.rows:
            return self.K
        own = self._exact_rows
        rows = own if rows is self.rows else self._exact.prepare(rows)
        K = ntk(self._exact, rows, own, "mean" if k == 1 else "blocks", memory=self._memory)
        return K if k == 1 else K.swapaxes(1, 2).reshape(len(rows) * k, -1)

    def _problem(self, name):
        """`Training`, and targets, outputs at both kinds of rows, as it takes them; a factor.

        The linear model has all outputs of all rows in one column; rates, which are for losses
        divided by the number of rows, are multiplied by the factor.
        """
        K, arrays = self.matrices[name], (self.Y, self.outputs, self.at_new)
        if name not in self._trainings:  # which has the eigenvectors
            options = {"method": Descent(), "fit_intercept": False}
            self._trainings[name] = Training(K, learning_rate=1e-300, **options)
        is_flat = len(K) > len(self.Y)
        arrays = [each.reshape(-1, 1) for each in arrays] if is_flat else arrays
        return self._trainings[name], *arrays, self.Y.shape[1] if is_flat else 1

    def max_learning_rates(self):
        """Largest stable rate by name."""
        found = {}
        for name in self.matrices:
            training, *_, factor = self._problem(name)
            found[name] = training.max_learning_rate / factor
        return found

    def predictions(self, steps, rate):
        """By name outputs (n_steps, n, k) at training rows, and at new rows.

        Infinite where the model has diverged.
        """
        found = {}
        for name, cross in self._crosses.items():
            training, Y, start, start_new, factor = self._problem(name)
            training, parts = training.at_rate(factor * rate), []
            for matrix, first in ((self.matrices[name], start), (cross, start_new)):
                stages = []
                for step in map(int, steps):
                    try:
                        stage = training.predict(matrix, Y, step, start, first)
                    except ValueError:  # beyond all bounds
                        stage = np.full(first.shape, np.inf)
                    stages.append(stage.reshape(-1, self.Y.shape[1]))
                parts.append(stages)
            found[name] = parts
        return found

    def kappa(self, n_steps, rate):
        """Relative change of the Jacobian up to where the linear model is after so many steps.

        Infinite if it has diverged beyond all bounds.
        """
        training, Y, start, _, factor = self._problem("linear")
        solved = self.reader.copy()
        try:
            dual, _ = training.at_rate(factor * rate).coefficients(Y, n_steps, start)
            solved.move(self.rows, lambda outputs: dual.reshape(self.Y.shape))
            return self.jacobian_change(solved)
        except ValueError:
            return np.inf

    def to_infinite(self):
        """Relative distance of the kernel from that of the infinitely wide network."""
        K = self.matrices.get("infinite")
        return np.nan if K is None else _relative(self.K, K)

    def jacobian_change(self, moved):
        """``|J_t - J_0| / |J_0|`` from traces: of both kernels, and of that between them."""
        both = ntk_diagonal(moved, self.rows, memory=self._memory).sum() + self._norm
        cross = ntk_diagonal(self.reader, self.rows, memory=self._memory, other=moved).sum()
        return float(np.sqrt(max(both - 2.0 * cross, 0.0) / self._norm))

    def compare(self, moved, step, outputs, at_new, predicted):
        """`Checkpoint` of the reader of a trained network, with outputs and those predicted."""
        K = ntk(moved, self.rows, self.rows, memory=self._memory)
        own, new = predicted["linear"]
        wide, wide_new = predicted.get("infinite", (np.nan * outputs, np.nan * at_new))
        weight_change, layer_changes = _changes(self._parameters, moved.parameters())
        return Checkpoint(
            step,
            *map(self._loss, (outputs, own, wide)),
            weight_change,
            layer_changes,
            _relative(K, self.K),
            self.jacobian_change(moved),
            alignment(K, self.Y, True),
            self._distance(at_new, new),
            self._distance(at_new, wide_new),
        )

    def _loss(self, outputs):
        return float(0.5 * np.sum((outputs - self.Y) ** 2) / len(self.Y))

    def _distance(self, outputs, predicted):
        """Root mean square difference in units of the deviation of the targets."""
        return float(np.sqrt(np.mean((outputs - predicted) ** 2)) / self.deviation)


def as_flat(rows):
    """Prepared rows as an array (n, d) in float64."""
    rows = rows if isinstance(rows, np.ndarray) else rows.double().cpu().numpy()
    return rows.reshape(len(rows), -1).astype(np.float64)


def _relative(K, reference):
    return float(np.linalg.norm(K - reference) / np.linalg.norm(reference))


def _changes(before, after):
    """Relative change of all parameters, and by name that of each layer."""
    squares = {}
    for name, start in before.items():
        layer = name.rpartition(".")[0] or name
        pair = np.array([_square(after[name] - start), _square(start)])
        squares[layer] = squares.get(layer, 0.0) + pair
    ratios = {name: _root_ratio(pair) for name, pair in squares.items()}
    return _root_ratio(sum(squares.values())), ratios


def _square(values):
    return float((values.astype(np.float64) ** 2).sum())


def _root_ratio(pair):
    """Norm of a change by the norm before it; infinite for parameters that start at zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.nan_to_num(np.sqrt(pair[0] / pair[1]), nan=0.0, posinf=np.inf))
