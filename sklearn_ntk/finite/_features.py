"""Features whose inner products are an empirical kernel on average, for many rows."""

from typing import NamedTuple

import numpy as np

from .._runtime.check import read_count
from .._runtime.memory import read_memory
from ._outputs import functions_for
from ._readers import reader_for, restarted
from ._signals import as_numpy

PROBED = 200
"""Rows on which the standard error is measured."""


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
    columns, and their products, summed over positions, are the features: gradients are never
    formed. On average over the matrices, ``features @ features.T`` is `empirical_ntk`; the error
    falls as ``1 / sqrt(n_components)``. They serve linear models on many rows; a kernel matrix that
    fits into memory is exact and takes less time.

    Parameters
    ----------
    model, X, outputs, layers, memory, check
        As in `empirical_ntk`, for outputs other than "blocks".
    n_components : int
        Even number of columns of the matrices; a layer has up to half the square of it features.
    random_state : int, optional
        Equal numbers give equal matrices, as new rows need. Where layers see some rows only
        (experts, early exits), features of two calls do not go together: pass all rows at once.

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
    seeds = functions.seeds()
    random_state = None if random_state is None else read_count(random_state, "random_state")
    entropy = np.random.SeedSequence(random_state).entropy
    halves = _halves(reader, X, seeds, size, entropy, read_memory(memory))
    halves /= np.sqrt(2.0 * functions.divisor)
    return TangentFeatures(np.hstack(list(halves)), _standard_error(halves[:, :PROBED]))


@restarted
def _halves(reader, X, seeds, size, entropy, memory):
    """Features (2, n, d) of prepared rows, from two sets of matrices."""
    step, parts = max(1, int(0.5 * memory / reader.row_bytes(X, seeds))), []
    for start in range(0, len(X), step):
        signals = reader.signals(X[start : start + step], seeds)[1]
        halves = [
            np.hstack(
                [_features(s.merged(), size, (entropy, half, k)) for k, s in enumerate(signals)]
            )
            for half in range(2)
        ]
        parts.append(np.stack(halves))
    return np.concatenate(parts, axis=1)


def _features(signal, size, seed):
    """Features (n, up to size^2) of a layer: products of projected inputs and gradients."""
    a, g = as_numpy(signal.inputs), as_numpy(signal.gradients[:, :, 0])
    if signal.is_tokens:
        a = _normal((a.max() + 1, size), (*seed, 0))[a].astype(g.dtype)
    a, g = (_projected(x, size, (*seed, side)) for side, x in enumerate((a, g)))
    return (a.swapaxes(1, 2) @ g).reshape(len(a), -1)


def _projected(x, size, seed):
    """Entries (n, T, p) times a Gaussian matrix (p, size), or as they are if there are few."""
    return x if x.shape[-1] <= size else x @ _normal((x.shape[-1], size), seed).astype(x.dtype)


def _normal(shape, seed):
    """Gaussian matrix that keeps inner products on average; its first rows are always the same."""
    return np.random.default_rng(seed).standard_normal(shape) / np.sqrt(shape[1])


def _standard_error(halves):
    """Of the inner products of both halves (2, n, d) together, in units of the mean diagonal."""
    one, other = (2.0 * half @ half.T for half in halves)
    diagonal = 0.5 * (one + other).trace() / len(one)
    return float(0.5 * np.sqrt(np.mean((one - other) ** 2)) / diagonal) if diagonal else 0.0
