"""Kernels over positions in high precision, by code that shares none with the package.

A network is a list of pairs ``(kind, parameters)`` as in `finite_positions`: the parameters are
those of the layer of that name in ``sklearn_ntk.layers``, and the first layer is
``("input", {"shape": ...})``. Variances may be ``"w"`` and ``"b"``: they take the values of the
keywords ``w=`` and ``b=``.

The state is the covariance K and the tangent kernel T between all positions of all rows, two arrays
of shape (rows, positions, rows, positions), in numbers that have more than twice the digits asked
for.
"""

import json
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import oracle
import oracle_duals
from mpmath import mp, mpf
from oracle_duals import exact


class State(NamedTuple):
    """Kernels K and T (n, p, n, p) between all positions of all rows, and the grid's shape."""

    K: Any
    T: Any
    shape: tuple


def start(X, shape):
    """State of inputs (n, features); ``shape`` is (positions ..., channels)."""
    *grid, n_channels = shape
    X = np.frompyfunc(exact, 1, 1)(np.asarray(X)).reshape(len(X), -1, n_channels)
    K = np.tensordot(X, X, (2, 2)) / mpf(n_channels)
    return State(K, 0 * K, tuple(grid))


# Layers with weights.


def affine(state, weight_var, bias_var, frozen=False):
    K = exact(weight_var) * state.K + exact(bias_var)
    return State(K, exact(weight_var) * state.T + (0 if frozen else K), state.shape)


def places(n, size, stride, padding):
    """Ranges of the input positions of each output along an axis, which may be outside the grid."""
    if padding == "valid":
        return [range(i, i + size) for i in range(0, n - size + 1, stride)]
    n_places = -(-n // stride)
    before = max((n_places - 1) * stride + size - n, 0) // 2
    return [range(i * stride - before, i * stride - before + size) for i in range(n_places)]


def selections(shape, window, strides, padding):
    """Matrices (outputs, inputs) for each entry of a window, and the grid of the outputs.

    They are 1 where the entry, for that output, covers that input position, else 0.
    """
    window, strides = (np.broadcast_to(given, len(shape)) for given in (window, strides))
    axes = [places(*axis, padding) for axis in zip(shape, window, strides, strict=True)]
    after = tuple(map(len, axes))
    matrices = []
    for entry in product(*map(range, window)):
        A = np.zeros((*after, *shape), dtype=int)
        for place in product(*map(range, after)):
            seen = [axis[i][s] for axis, i, s in zip(axes, place, entry, strict=True)]
            if padding == "circular":
                seen = [p % n for p, n in zip(seen, shape, strict=True)]
            if all(0 <= p < n for p, n in zip(seen, shape, strict=True)):
                A[(*place, *seen)] = 1
        matrices.append(A.reshape(np.prod(after, dtype=int), -1))
    return matrices, after


def sandwich(A, K):
    """``A K A'`` over the positions of both rows: sum_st A[p, s] K[r, s, r', t] A[q, t]."""
    return np.tensordot(np.tensordot(K, A, (3, 1)), A, (1, 1)).transpose(0, 3, 1, 2)


def conv(state, filter_size, weight_var, bias_var, strides=1, padding="same", frozen=False):
    """Convolution: mean over the entries of the filter, equal ones in both rows, then affine."""
    matrices, shape = selections(state.shape, filter_size, strides, padding)
    K, T = (sum(sandwich(A, L) for A in matrices) / mpf(len(matrices)) for L in state[:2])
    return affine(State(K, T, shape), weight_var, bias_var, frozen)


def conv_transpose(
    state, filter_size, weight_var, bias_var, strides=1, padding="same", frozen=False
):
    """Transposed convolution: each input adds to the outputs that the filter covers there."""
    window, strides = (np.broadcast_to(given, len(state.shape)) for given in (filter_size, strides))
    over = np.maximum(window - strides, 0)
    after = np.array(state.shape) * strides + (over if padding == "valid" else 0)
    before = 0 * over if padding == "valid" else over // 2
    total = []
    for entry in product(*map(range, window)):
        A = np.zeros((*after, *state.shape), dtype=int)
        for position in product(*map(range, state.shape)):
            place = np.array(position) * strides + entry - before
            place = place % after if padding == "circular" else place
            if ((place >= 0) & (place < after)).all():
                A[(*place, *position)] = 1
        total.append(A.reshape(np.prod(after, dtype=int), -1))
    K, T = (sum(sandwich(A, L) for A in total) / mpf(len(total)) for L in state[:2])
    return affine(State(K, T, tuple(map(int, after))), weight_var, bias_var, frozen)


def softmax(scores):
    weights = np.frompyfunc(mp.exp, 1, 1)(scores - scores.max())
    return weights / weights.sum(axis=1, keepdims=True)


MECHANISMS = {
    "softmax": softmax,
    "identity": lambda scores: scores,
    "relu": lambda scores: np.maximum(scores, mpf(0)),
    "abs": abs,
}


def self_attention(
    state, query_var=1, key_var=1, value_var=1, out_var=1, bias_var=0, mechanism="softmax",
    scaling="linear", frozen=False,
):  # fmt: skip
    """Attention of J. Hron et al. (2020): attention weights, then values, then output."""
    K, T, shape = state
    scale = mp.sqrt(exact(query_var) * exact(key_var))
    if scaling == "sqrt":
        total, cross = ((K * L).sum(axis=(1, 3), keepdims=True) for L in (K, T))
        new = scale**2 * K * total
        tangent = scale**2 * (T * total + 2 * K * cross) + (0 if frozen else 2 * new)
    else:
        weights = [MECHANISMS[mechanism](scale * K[r, :, r, :]) for r in range(len(K))]
        new, tangent = K.copy(), T.copy()
        for r, s in product(range(len(K)), repeat=2):
            for L, out in ((K, new), (T, tangent)):
                out[r, :, s, :] = weights[r] @ L[r, :, s, :] @ weights[s].T
    values = affine(State(new, tangent, shape), value_var, 0, frozen)
    return affine(values, out_var, bias_var, frozen)


def positional_embedding(state, var, length_scale=None, frozen=False):
    """Add the same Gaussian array, with a covariance of positions, to all rows."""
    K, T, shape = state
    at = np.array(list(product(*map(range, shape))))
    squares = ((at[:, None] - at) ** 2).sum(axis=2)
    covariance = np.zeros(squares.shape, dtype=object)
    for (p, q), square in np.ndenumerate(squares):
        near = mpf(int(p == q))
        if length_scale is not None:
            near = mp.exp(-mpf(int(square)) / (2 * exact(length_scale) ** 2))
        covariance[p, q] = exact(var) * near
    covariance = covariance[:, None, :]
    return State(K + covariance, T + (0 if frozen else covariance), shape)


# Activations and recurrence.


def duals(name, parameters=()):
    """The dual of an activation as a function of arrays of a, b, c."""
    return np.frompyfunc(partial(oracle_duals.dual, name, dict(parameters)), 3, 2)


def variances(K):
    """Variances (n_rows, n_positions)."""
    return np.einsum("rprp->rp", K)


def activation(state, name, **parameters):
    K, T, shape = state
    own = variances(K)
    new, slope = duals(name, parameters)(own[:, :, None, None], own, K)
    return State(new, T * slope, shape)


def recurrent(
    state, activation, weight_var, recurrent_var, bias_var, return_sequences=False, frozen=False
):  # fmt: skip
    """Recurrence: covariances of times (p, q) from those of times (p - 1, q - 1)."""
    K, T, (n_times,) = state
    weight_var, carry, bias_var = map(exact, (weight_var, recurrent_var, bias_var))
    dual, n = duals(activation), len(K)
    own, last = variances(K).copy(), 0
    for t in range(n_times):
        own[:, t] = carry * last + weight_var * own[:, t] + bias_var
        last = dual(own[:, t], own[:, t], own[:, t])[0]
    zeros = np.full((n, n_times + 1, n, n_times + 1), mpf(0))  # time zero is before the beginning
    new, tangent = zeros, zeros.copy()
    for p, q in product(range(n_times), repeat=2):
        before = carry * new[:, p, :, q] + weight_var * K[:, p, :, q] + bias_var
        rate = carry * tangent[:, p, :, q] + weight_var * T[:, p, :, q] + (1 - frozen) * before
        new[:, p + 1, :, q + 1], slope = dual(own[:, p, None], own[:, q], before)
        tangent[:, p + 1, :, q + 1] = rate * slope
    first = 1 if return_sequences else n_times
    shape = (n_times,) if return_sequences else ()
    return State(new[:, first:, :, first:], tangent[:, first:, :, first:], shape)


# Layers without weights, and branches.


def pool(state, window, strides=None, padding="valid", average=True):
    """Mean or sum of the signal over a window, with zeros outside the grid."""
    matrices, shape = selections(state.shape, window, strides or window, padding)
    A = sum(matrices) / mpf(len(matrices) if average else 1)
    return State(sandwich(A, state.K), sandwich(A, state.T), shape)


def global_pool(state, average=True):
    pooled = pool(state, state.shape, 1, average=average)
    return pooled._replace(shape=())


def flatten(state):
    """Flatten: mean over the pairs of equal positions."""
    n = state.K.shape[1]
    K, T = (np.einsum("rpsp->rs", L)[:, None, :, None] / mpf(n) for L in state[:2])
    return State(K, T, ())


def layer_norm(state):
    K, T, shape = state
    root = np.frompyfunc(mp.sqrt, 1, 1)(variances(K))
    root = root + (root == 0)
    scale = 1 / (root[:, :, None, None] * root)
    return State(K * scale, T * scale, shape)


def dropout(state, rate):
    """Dropout: noise is independent for each position of each row."""
    kept, (n, m) = 1 - exact(rate), state.K.shape[:2]
    is_same = np.eye(n * m).reshape(n, m, n, m) == 1
    K, T = (L / np.where(is_same, kept, mpf(1)) for L in state[:2])
    return State(K, T, state.shape)


def residual(state, body, shortcut=()):
    """Sum of two independent branches."""
    left, right = propagate(body, state), propagate(shortcut, state)
    return State(left.K + right.K, left.T + right.T, left.shape)


LAYERS = {
    "activation": activation,
    "avg_pool": pool,
    "conv": conv,
    "conv_transpose": conv_transpose,
    "dense": affine,
    "dropout": dropout,
    "flatten": flatten,
    "global_avg_pool": global_pool,
    "global_sum_pool": partial(global_pool, average=False),
    "layer_norm": layer_norm,
    "positional_embedding": positional_embedding,
    "recurrent": recurrent,
    "residual": residual,
    "self_attention": self_attention,
    "sum_pool": partial(pool, average=False),
}


def propagate(layers, state):
    """State behind a list of layers."""
    for kind, parameters in layers:
        state = LAYERS[kind](state, **parameters)
    return state


def with_values(network, values):
    """Nested lists or dictionaries of a network, with numbers in place of "w" and "b"."""
    if isinstance(network, str):
        return values.get(network, network)
    if isinstance(network, dict):
        return {key: with_values(value, values) for key, value in network.items()}
    if isinstance(network, (list, tuple)):
        return [with_values(value, values) for value in network]
    return network


def kernels(network, X, w=None, b=None):
    """Array (2, n, n) of K and T between all rows of X, in the current precision of mpmath."""
    (_, first), *layers = with_values(network, {"w": w, "b": b})
    K, T, shape = propagate(layers, start(X, first["shape"]))
    assert shape == (), "the network must leave no positions"
    return np.stack([K[:, 0, :, 0], T[:, 0, :, 0]])


def gram(network, X, w=None, b=None, digits=16):
    """Array (2, n, n) of K and T between all rows of X, rounded to float64."""
    with oracle.enough(digits):
        return kernels(network, X, w, b).astype(float)


def gradient(network, X, w, b, digits=16):
    """Derivatives (2, n, n, 2) of K and T with respect to log "w" and log "b"."""
    with oracle.enough(digits):
        step = mpf(10) ** (-digits)
        pairs = []
        for moved in ((1, 0), (0, 1)):
            factors = [[mp.exp(sign * step * move) for move in moved] for sign in (1, -1)]
            above, below = (kernels(network, X, exact(w) * u, exact(b) * v) for u, v in factors)
            pairs.append((above - below) / (2 * step))
        return np.stack(pairs, axis=-1).astype(float)


def slope(network, x, y, move, w, b, digits=40):
    """Derivatives of K(x, y) and T(x, y) by x along ``move``; at a kink those in the middle."""
    with oracle.enough(digits):
        step = mpf(10) ** (-digits // 2)
        x, y, move = (np.frompyfunc(exact, 1, 1)(np.asarray(row)) for row in (x, y, move))
        ends = (kernels(network, [x + h * move, y], w, b) for h in (step, -step))
        above, below = (end[:, 0, 1] for end in ends)
        return ((above - below) / (2 * step)).astype(float)


def store(file, networks, rows_of, w, b):
    """Add matrices, and derivatives of three rows, of the named networks that a file lacks."""
    with open(file) as stream:
        results = json.load(stream)
    for name in [name for name in networks if name not in results]:
        network, X = networks[name], rows_of(name, 5)
        values, rates = gram(network, X, w, b), gradient(network, X[[0, 2, 3]], w, b)
        results[name] = {"X": X.tolist(), "values": values.tolist(), "rates": rates.tolist()}
    with open(file, "w") as stream:
        json.dump(results, stream)
