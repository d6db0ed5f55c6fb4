"""Features whose inner products are an empirical kernel on average, for many rows."""

from typing import NamedTuple

import numpy as np

from .._runtime.check import read_count
from .._runtime.memory import read_memory
from ._kernels import at_a_time
from ._outputs import functions_for
from ._readers import reader_for, restarted
from ._signals import as_numpy

PROBED = 200
"""Rows on which the standard error is measured."""

TOGETHER = 256
"""Rows that are worth more runs of the model, as each part of the rows draws its matrices anew."""

DRAWN = 4096
"""Rows of a Gaussian matrix that are drawn at a time."""


class TangentFeatures(NamedTuple):
    """Features (n, n_features), and the standard error of their inner products.

    The error is the root mean square over pairs of rows, in units of the mean diagonal.
    """

    features: np.ndarray
    standard_error: float


def tangent_features(
    model,
    X,
    n_components=32,
    random_state=None,
    *,
    outputs="mean",
    layers=None,
    memory="512 MB",
    check=True,
):
    """Random features of the tangent kernel of a finite network.

    For each layer, inputs and gradients are multiplied by Gaussian matrices with ``n_components``
    columns; the features are their products, summed over positions, so that gradients are never
    formed. Averaged over the matrices, ``features @ features.T`` is `empirical_ntk`; the error
    falls as ``1 / sqrt(n_components)``. Use them for linear models on many rows; a kernel matrix
    that fits into memory is exact and takes less time.

    Parameters
    ----------
    model, X, outputs, layers, memory, check
        As for `empirical_ntk`; ``outputs`` may not be "blocks".
    n_components : int
        Even number of columns of the matrices. A layer has at most half its square as features.
    random_state : int, optional
        Equal numbers give equal matrices, which new rows need. If layers see only some of the rows
        (experts, early exits), features from two calls do not match: pass all rows at once.

    Returns
    -------
    TangentFeatures
        ``features`` (n, n_features) and ``standard_error``.

    Examples
    --------
    >>> from sklearn.neural_network import MLPRegressor
    >>> from sklearn_ntk.finite import tangent_features
    >>> X, y = [[0.0], [1.0], [2.0]], [0.0, 1.0, 4.0]
    >>> line = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs").fit(X, y)
    >>> features, error = tangent_features(line, X, n_components=4)
    >>> (features @ features.T).round(6), error  # few inputs and one output: nothing is projected
    (array([[1., 1., 1.],
           [1., 2., 3.],
           [1., 3., 5.]]), 0.0)
    """
    size = read_count(n_components, "n_components", 2) // 2
    if isinstance(outputs, str) and outputs == "blocks":
        raise ValueError("outputs must not be 'blocks', whose features differ: take 'mean'.")
    reader = reader_for(model, layers, check)
    X = reader.prepare(X)
    functions = functions_for(outputs, reader.n_outputs)
    random_state = None if random_state is None else read_count(random_state, "random_state")
    entropy = np.random.SeedSequence(random_state).entropy
    halves = _halves(reader, X, functions, size, entropy, read_memory(memory))
    halves /= np.sqrt(2.0 * functions.divisor)
    return TangentFeatures(np.hstack(list(halves)), _standard_error(halves[:, :PROBED]))


@restarted
def _halves(reader, X, functions, size, entropy, memory):
    """Features (2, n, d) of prepared rows, from two sets of matrices."""
    number, step = at_a_time(reader, X, functions, 0.7 * memory, min(len(X), TOGETHER))
    parts, step = [], max(1, step)
    for start in range(0, len(X), step):
        halves = []
        for seeds in functions.parts(number):
            signals = reader.signals(X[start : start + step], seeds)[1]
            halves = halves or [
                [
                    _Layer(s, functions.number, size, (entropy, half, k))
                    for k, s in enumerate(signals)
                ]
                for half in range(2)
            ]
            for layers in halves:
                for layer, signal in zip(layers, signals, strict=True):
                    layer.add(signal)
        found = [np.hstack([layer.features() for layer in layers]) for layers in halves]
        parts.append(np.stack(found))
    return np.concatenate(parts, axis=1)


class _Layer:
    """Features of a layer: products of projected inputs and gradients, of all functions in turn."""

    def __init__(self, signal, n_functions, size, seed):
        a, n_gradients = as_numpy(signal.inputs), n_functions * signal.gradients.shape[-1]
        if signal.is_tokens:
            a = _normal(np.random.default_rng((*seed, 0)), a.max() + 1, size)[a]
        self._inputs = _Projection(a.shape[-1], size, (*seed, 0))
        self._inputs.add(a)
        self._gradients = _Projection(n_gradients, size, (*seed, 1))

    def add(self, signal):
        """Add the signals of the next functions."""
        self._gradients.add(as_numpy(signal.merged().gradients[:, :, 0]))

    def features(self):
        """Features (n, up to size^2)."""
        a, g = self._inputs.found, self._gradients.found
        return (a.swapaxes(1, 2).astype(g.dtype, copy=False) @ g).reshape(len(a), -1)


class _Projection:
    """Entries (n, T, p), some after the other, times a Gaussian matrix (p, size).

    Few entries are taken as they are. ``found`` is what comes of those that were added.
    """

    def __init__(self, p, size, seed):
        self._size, self._rng, self.found = size, np.random.default_rng(seed), None
        self._is_few = p <= size

    def add(self, x):
        """Add the next entries."""
        if self._is_few:
            self.found = x if self.found is None else np.concatenate([self.found, x], axis=-1)
            return
        for start in range(0, x.shape[-1], DRAWN):
            part = x[..., start : start + DRAWN]
            product = part @ _normal(self._rng, part.shape[-1], self._size).astype(x.dtype)
            self.found = product if self.found is None else self.found + product


def _normal(rng, p, size):
    """The next p rows of a Gaussian matrix that keeps inner products on average."""
    return rng.standard_normal((p, size)) / np.sqrt(size)


def _standard_error(halves):
    """Of the inner products of both halves (2, n, d) together, in units of the mean diagonal."""
    one, other = (2.0 * half @ half.T for half in halves)
    diagonal = 0.5 * (one + other).trace() / len(one)
    return float(0.5 * np.sqrt(np.mean((one - other) ** 2)) / diagonal) if diagonal else 0.0
