"""Kernels of finite random networks over positions: images and sequences, in NumPy.

A network is a list of pairs ``(kind, parameters)``. The kinds are those of ``LAYERS`` below, the
parameters those of the layer of that name in ``sklearn_ntk.layers``, with numbers for all
variances; the first is ``("input", {"shape": ...})`` and the last is dense and sees one position.
``shared=False`` (weights of a recurrence differ between times) and ``through_scores=False`` (no
gradient with respect to queries and keys) are plausible mistakes, which tests must notice.

Rows have the shape (n, positions..., channels). As in ``montecarlo.py``, a layer returns rows and a
function ``backward(delta)``, for the gradient ``delta`` of one output with respect to these rows.
It returns the gradient with respect to the inputs of the layer, and the matrix (n, n) of inner
products of gradients with respect to the layer's parameters, between rows.
"""

from functools import partial, reduce

import montecarlo
import numpy as np
from scipy.special import softmax
from threadpoolctl import threadpool_limits

TANH = (np.tanh, lambda x: 1 - np.tanh(x) ** 2)
ACTIVATIONS = {**montecarlo.ACTIVATIONS, "tanh": lambda: TANH}
HEAD_WIDTH = 4


def flat(rows):
    """Rows (n, positions, channels), with all positions on one axis."""
    return rows.reshape(len(rows), -1, rows.shape[-1])


# The same matrix of standard normal parameters multiplies every position of every row.


def inner_products(delta, inputs):
    """Inner products (n, n) of gradients with respect to the matrix that multiplied ``inputs``."""
    n, delta, inputs = len(delta), np.concatenate(flat(delta)), np.concatenate(flat(inputs))
    products = (delta @ delta.T) * (inputs @ inputs.T)
    return products.reshape(n, len(delta) // n, n, -1).sum(axis=(1, 3))


def augment(rows, weight_var, bias_var):
    """Inputs of standard normal parameters: scaled channels, and a constant for the bias."""
    bias = np.full((*rows.shape[:-1], 1), np.sqrt(bias_var))
    return np.concatenate([np.sqrt(weight_var / rows.shape[-1]) * rows, bias], axis=-1)


def dense(rows, rng, width, weight_var, bias_var, frozen=False):
    """Affine map of the channels, the same at all positions."""
    inputs = augment(rows, weight_var, bias_var)
    weights = rng.standard_normal((inputs.shape[-1], width))

    def backward(delta):
        products = 0.0 if frozen else inner_products(delta, inputs)
        return np.sqrt(weight_var / rows.shape[-1]) * delta @ weights[:-1].T, products

    return inputs @ weights, backward


# Convolution and pooling: windows of positions.


def windows(n, size, stride, padding):
    """Array (windows, size, n): 1 where an entry of a window along an axis covers a position."""
    total = 0 if padding == "valid" else max((-(-n // stride) - 1) * stride + size - n, 0)
    starts = np.arange(0, n + total - size + 1, stride) - total // 2
    positions = starts[:, None, None] + np.arange(size)[:, None]
    return 1.0 * ((positions % n if padding == "circular" else positions) == np.arange(n))


def spread(n, size, stride, padding):
    """Array (outputs, size, n) like `windows`, for a transposed convolution along an axis."""
    over, n_places = max(size - stride, 0), n * stride
    full = np.zeros((n_places + over, size, n))
    for position, entry in np.ndindex(n, size):
        full[position * stride + entry, entry, position] = 1.0
    if padding == "valid":
        return full
    kept = full[over // 2 : over // 2 + n_places].copy()
    for place in range(len(full)) if padding == "circular" else ():
        if not 0 <= place - over // 2 < n_places:
            kept[(place - over // 2) % n_places] += full[place]
    return kept


def selection(shape, size, strides, padding, windows=windows):
    """Array (windows, entries, positions) over all axes, and the grid of the windows."""
    sizes, strides = (np.broadcast_to(value, len(shape)) for value in (size, strides))
    axes = [windows(n, *pair, padding) for n, *pair in zip(shape, sizes, strides, strict=True)]
    return reduce(np.kron, axes), tuple(map(len, axes))


def conv(
    rows, rng, width, filter_size, strides=1, padding="same", windows=windows, **dense_parameters
):
    """Affine map of the channels of all positions in a window, the same for all windows."""
    matrices, shape = selection(rows.shape[1:-1], filter_size, strides, padding, windows)
    patches = np.einsum("wsp,npc->nwsc", matrices, flat(rows), optimize=True)
    joined = patches.reshape(*patches.shape[:2], -1)
    outputs, step = dense(joined, rng, width, **dense_parameters)

    def backward(delta):
        below, products = step(flat(delta))
        below = np.einsum("wsp,nwsc->npc", matrices, below.reshape(patches.shape), optimize=True)
        return below.reshape(rows.shape), products

    return outputs.reshape(len(rows), *shape, width), backward


def pool(rows, rng, width, window, strides=None, padding="valid", average=True):
    """Average or sum over windows; padding counts as zeros."""
    matrices, shape = selection(rows.shape[1:-1], window, strides or window, padding)
    weights = matrices.mean(axis=1) if average else matrices.sum(axis=1)

    def backward(delta):
        return (weights.T @ flat(delta)).reshape(rows.shape), 0.0

    return (weights @ flat(rows)).reshape(len(rows), *shape, rows.shape[-1]), backward


def global_pool(rows, rng, width, average=True):
    """Average or sum over all positions."""
    outputs, step = pool(rows, rng, width, rows.shape[1:-1], average=average)
    return outputs.reshape(len(rows), -1), lambda delta: step(delta[:, None])


def flatten(rows, rng, width):
    """Concatenate the channels of all positions."""
    return rows.reshape(len(rows), -1), lambda delta: (delta.reshape(rows.shape), 0.0)


# Layers without parameters, and branches.


def activation(rows, rng, width, name):
    """Apply a function to every entry."""
    function, derivative = ACTIVATIONS[name]()
    return function(rows), lambda delta: (delta * derivative(rows), 0.0)


def layer_norm(rows, rng, width):
    """Standardise the channels of each position: mean zero and mean square one."""
    mean = partial(np.mean, axis=-1, keepdims=True)
    deviation = rows.std(axis=-1, keepdims=True)
    outputs = (rows - mean(rows)) / deviation

    def backward(delta):
        return (delta - mean(delta) - mean(delta * outputs) * outputs) / deviation, 0.0

    return outputs, backward


def dropout(rows, rng, width, rate):
    """Keep each entry of each row by chance, and divide it by the probability."""
    kept = 1.0 - rate
    mask = (rng.random(rows.shape) < kept) / kept
    return rows * mask, lambda delta: (delta * mask, 0.0)


def residual(rows, rng, width, body, shortcut=()):
    """Add two branches."""
    left, left_step = sequence(rows, rng, width, body)
    right, right_step = sequence(rows, rng, width, shortcut)

    def backward(delta):
        return tuple(u + v for u, v in zip(left_step(delta), right_step(delta), strict=True))

    return left + right, backward


def positional_embedding(rows, rng, width, var, length_scale=None, frozen=False):
    """Add a Gaussian array to each row, the same for all rows."""
    places = np.indices(rows.shape[1:-1]).reshape(rows.ndim - 2, -1).T
    distances = ((places[:, None] - places) ** 2).sum(axis=-1)
    covariance = (
        distances == 0 if length_scale is None else np.exp(-distances / length_scale**2 / 2)
    )
    values, vectors = np.linalg.eigh(1.0 * covariance)
    root = vectors * np.sqrt(len(places) * values.clip(min=0))
    inputs = np.broadcast_to(root, (len(rows), *root.shape))
    embedding, step = dense(inputs, rng, rows.shape[-1], var, 0.0, frozen)
    return rows + embedding.reshape(rows.shape), lambda delta: (delta, step(flat(delta))[1])


# Attention and recurrence.


def attend(scores, mechanism):
    """Attention weights from scores, and ``backward``."""
    if mechanism != "softmax":
        return activation(scores, None, None, mechanism)
    weights = softmax(scores, axis=-1)
    total = partial(np.sum, axis=-1, keepdims=True)
    return weights, lambda delta: (weights * (delta - total(weights * delta)), 0.0)


def self_attention(
    rows, rng, width, query_var=1.0, key_var=1.0, value_var=1.0, out_var=1.0, bias_var=0.0,
    mechanism="softmax", scaling="linear", frozen=False, through_scores=True,
):  # fmt: skip
    """Attention between the positions of each row.

    With linear scaling the scores of one wide head have a deterministic limit, so one head is
    enough; otherwise they are Gaussian, and many narrow heads approximate infinitely many.
    """
    tied = scaling == "linear"
    head_width, norm = (width, width) if tied else (HEAD_WIDTH, np.sqrt(HEAD_WIDTH))

    def split(x):  # to the axes rows, heads, positions, channels of a head
        return x.reshape(*x.shape[:2], -1, head_width).swapaxes(1, 2)

    def merge(x):
        return x.swapaxes(1, 2).reshape(len(x), x.shape[2], -1)

    inputs = flat(rows)
    base, key_step = dense(inputs, rng, width, 1.0, 0.0, frozen)
    keys = split(np.sqrt(key_var) * base)
    base, query_step = (base, None) if tied else dense(inputs, rng, width, 1.0, 0.0, frozen)
    queries = split(np.sqrt(query_var) * base)
    values, value_step = dense(inputs, rng, width, value_var, 0.0, frozen)
    values = split(values)
    weights, weights_step = attend(queries @ keys.swapaxes(2, 3) / norm, mechanism)
    outputs, out_step = dense(merge(weights @ values), rng, width, out_var, bias_var, frozen)

    def backward(delta):
        delta, total = out_step(flat(delta))
        delta = split(delta)
        scores = weights_step(delta @ values.swapaxes(2, 3))[0] / norm
        by_queries = np.sqrt(query_var) * merge(scores @ keys)
        by_keys = np.sqrt(key_var) * merge(scores.swapaxes(2, 3) @ queries)
        steps = [value_step(merge(weights.swapaxes(2, 3) @ delta))]
        if tied:
            steps.append(key_step(by_queries + by_keys))
        elif through_scores:
            steps += [query_step(by_queries), key_step(by_keys)]
        below, products = (sum(parts) for parts in zip(*steps, strict=True))
        return below.reshape(rows.shape), total + products

    return outputs.reshape(*rows.shape[:-1], width), backward


def recurrent(
    rows, rng, width, activation, weight_var, recurrent_var, bias_var, return_sequences=False,
    frozen=False, shared=True,
):  # fmt: skip
    """Pass a state from each time step to the next."""
    function, derivative = ACTIVATIONS[activation]()
    n, n_steps, n_channels = rows.shape
    weights = rng.standard_normal((width + n_channels + 1, width))
    carry, scale = np.sqrt(recurrent_var / width), np.sqrt(weight_var / n_channels)
    states, inputs, gains = np.zeros((n, n_steps + 1, width)), [], []
    for t in range(n_steps):
        entering = augment(rows[:, t], weight_var, bias_var)
        inputs.append(np.hstack([carry * states[:, t], entering]))
        gains.append(inputs[-1] @ weights)
        states[:, t + 1] = function(gains[-1])
    inputs = np.stack(inputs, axis=1)

    def backward(delta):
        if not return_sequences:
            delta = np.stack([*[np.zeros_like(delta)] * (n_steps - 1), delta], axis=1)
        by_gains, below, carried = np.zeros(delta.shape), np.zeros(rows.shape), 0.0
        for t in reversed(range(n_steps)):
            by_gains[:, t] = (delta[:, t] + carried) * derivative(gains[t])
            by_inputs = by_gains[:, t] @ weights.T
            carried = carry * by_inputs[:, :width]
            below[:, t] = scale * by_inputs[:, width:-1]
        times = [] if frozen else np.split(np.arange(n_steps), 1 if shared else n_steps)
        return below, sum(inner_products(by_gains[:, t], inputs[:, t]) for t in times)

    return states[:, 1:] if return_sequences else states[:, -1], backward


LAYERS = {
    "activation": activation,
    "avg_pool": pool,
    "conv": conv,
    "conv_transpose": partial(conv, windows=spread),
    "dense": dense,
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


def sequence(rows, rng, width, layers):
    """Layers in sequence, with parameters drawn from ``rng``."""
    steps = []
    for kind, parameters in layers:
        rows, step = LAYERS[kind](rows, rng, width, **parameters)
        steps.append(step)

    def backward(delta):
        total = 0.0
        for step in reversed(steps):
            delta, products = step(delta)
            total = total + products
        return delta, total

    return rows, backward


def draw(network, X, width, rng):
    """Outputs (n,) of one network, their covariance (n, n) given the hidden layers, and its NTK."""
    (_, start), *hidden, (kind, last) = network
    assert kind == "dense", "the last layer must be dense"
    rows, hidden_step = sequence(X.reshape(len(X), *start["shape"]), rng, width, hidden)
    outputs, last_step = dense(rows, rng, 1, **last)
    inputs = augment(rows, last["weight_var"], last["bias_var"])
    delta, total = last_step(np.ones((len(X), 1)))
    return outputs[:, 0], inputs @ inputs.T, total + hidden_step(delta)[1]


def empirical_kernels(network, X, width=256, n_networks=60, seed=0):
    """Average NNGP and NTK over random networks, with standard errors; four arrays (n, n)."""
    rng = np.random.default_rng(seed)
    with threadpool_limits(1):  # the matrices are small
        samples = np.array([draw(network, X, width, rng)[1:] for _ in range(n_networks)])
    mean, error = samples.mean(axis=0), samples.std(axis=0, ddof=1) / np.sqrt(n_networks)
    return *mean, *error
