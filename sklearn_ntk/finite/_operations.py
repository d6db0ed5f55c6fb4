"""What the layers of a drawn network do, in NumPy and, going forward, in torch.

An operation has ``run(x, space)`` for an array (n, positions, channels); it returns what it puts
out and a function ``back(delta, record)``. From gradients ``delta`` (n, positions, r, channels) of
r functions of the outputs, that returns those with respect to x, and calls ``record(place, inputs,
gradients)`` for the matrix number ``place``. ``space`` has what differs between NumPy and torch:
see `_running.NumPySpace`.

Operations that change the stack of branches, `Save`, `Swap` and `Add`, have ``run_stack(x, stack)``
instead, and ``back_stack(delta, stack)`` for gradients on the way back.
"""

from functools import partial
from typing import NamedTuple

import numpy as np

from ..activations import Abs, Identity, ReLU
from ._functions import derivative
from ._running import times

MECHANISMS = {"identity": Identity(), "relu": ReLU(), "abs": Abs()}
"""Activation of the scores of attention by name, but for softmax."""


class Affine(NamedTuple):
    """``sqrt(weight_var / divisor) x W + sqrt(bias_var) b``, the same at all positions."""

    place: int
    weight_var: float
    bias_var: float
    divisor: float

    def inputs(self, x, space):
        """What the matrix of standard normal entries multiplies: scaled x, and a constant."""
        x = (self.weight_var / self.divisor) ** 0.5 * x
        if not self.bias_var:
            return x
        ones = space.ones(x, (*x.shape[:-1], 1))
        return space.concat([x, self.bias_var**0.5 * ones], -1)

    def features(self, inputs):
        """The x of these `inputs`."""
        x = inputs[..., :-1] if self.bias_var else inputs
        return (self.divisor / (self.weight_var or 1.0)) ** 0.5 * x

    def run(self, x, space):
        inputs, n_channels = self.inputs(x, space), x.shape[-1]

        def back(delta, record):
            record(self.place, inputs, delta)
            below = times(delta, space.matrix(self.place)[:n_channels].T)
            return (self.weight_var / self.divisor) ** 0.5 * below

        return space.multiply(self.place, inputs), back


class Activate(NamedTuple):
    """An activation of all entries."""

    activation: tuple

    def run(self, x, space):
        def back(delta, record):
            return delta * derivative(self.activation, x)[:, :, None]

        return space.apply(self.activation, x), back


class Gather(NamedTuple):
    """The channels of all positions in a window, side by side; ``table`` (outputs, window size)."""

    table: np.ndarray

    def run(self, x, space):
        n, n_positions, n_channels = x.shape
        padded = space.concat([x, 0.0 * x[:, :1]], 1)  # position -1 is outside

        def back(delta, record):
            below = np.zeros((n, n_positions + 1, *delta.shape[2:-1], n_channels))
            parts = np.split(delta, self.table.shape[1], axis=-1)
            for covered, part in zip(self.table.T, parts, strict=True):
                below[:, covered] += part  # an entry of the window covers a position once
            return below[:, :-1]

        return padded[:, space.positions(self.table)].reshape(n, len(self.table), -1), back


class Pool(NamedTuple):
    """A multiple of the sum over the positions of a window."""

    table: np.ndarray
    scale: float

    def run(self, x, space):
        n_positions = x.shape[1]
        padded = space.concat([x, 0.0 * x[:, :1]], 1)

        def back(delta, record):
            below = np.zeros((len(x), n_positions + 1, *delta.shape[2:]))
            for covered in self.table.T:
                below[:, covered] += self.scale * delta
            return below[:, :-1]

        return self.scale * padded[:, space.positions(self.table)].sum(2), back


class Flatten(NamedTuple):
    """One position with the channels of all."""

    def run(self, x, space):
        def back(delta, record):
            n, _, r, _ = delta.shape
            return delta.reshape(n, r, *x.shape[1:]).swapaxes(1, 2)

        return x.reshape(len(x), 1, -1), back


class Embed(NamedTuple):
    """Add a Gaussian signal of the positions; ``root`` is a root of its covariance."""

    place: int
    root: np.ndarray

    def run(self, x, space):
        root = space.ones(x, (len(x), 1, 1)) * space.constant(self.root, x)

        def back(delta, record):
            record(self.place, root, delta)
            return delta

        return x + space.multiply(self.place, root), back


class Normalize(NamedTuple):
    """Standardise the channels of each position."""

    def run(self, x, space):
        centred = x - x.mean(-1, keepdims=True)
        variance = (centred * centred).mean(-1, keepdims=True)
        deviation = (variance + (variance == 0.0)) ** 0.5  # autograd takes no root of zero
        y = centred / deviation

        def back(delta, record):
            mean, unit = partial(np.mean, axis=-1, keepdims=True), y[:, :, None]
            return (delta - mean(delta) - mean(delta * unit) * unit) / deviation[:, :, None]

        return y, back


class Drop(NamedTuple):
    """Dropout, with new noise at each run."""

    kept: float

    def run(self, x, space):
        mask = space.noise(x, self.kept) / self.kept
        return mask * x, lambda delta, record: delta * mask[:, :, None]


class Attention(NamedTuple):
    """Heads of attention over all positions, before the output matrix.

    ``keys`` are None if they have the weights of the queries.
    """

    queries: Affine
    keys: Affine | None
    values: Affine
    n_heads: int
    mechanism: str
    score_scale: float

    def run(self, x, space):
        (q, of_queries), (v, of_values) = (a.run(x, space) for a in (self.queries, self.values))
        k, of_keys = (q, None) if self.keys is None else self.keys.run(x, space)
        q, k, v = (self._split(each) for each in (q, k, v))
        width = q.shape[-1]
        scale = self.score_scale / (width if self.keys is None else width**0.5)
        scores = scale * (q @ k.swapaxes(2, 3))
        is_softmax = self.mechanism == "softmax"
        mechanism = MECHANISMS.get(self.mechanism)
        S = space.softmax(scores) if is_softmax else space.apply(mechanism, scores)
        y = (S @ v).swapaxes(1, 2)

        def back(delta, record):
            delta = delta.reshape(*delta.shape[:3], self.n_heads, -1).transpose(0, 2, 3, 1, 4)
            by_values = S.swapaxes(2, 3)[:, None] @ delta
            by_S = delta @ v.swapaxes(2, 3)[:, None]
            if is_softmax:
                weights = S[:, None]
                by_S = weights * (by_S - (weights * by_S).sum(-1, keepdims=True))
            else:
                by_S = by_S * derivative(mechanism, scores)[:, None]
            by_queries = scale * (by_S @ k[:, None])
            by_keys = scale * (by_S.swapaxes(3, 4) @ q[:, None])
            below = of_values(_merge(by_values), record)
            if of_keys is None:
                return below + of_queries(_merge(by_queries + by_keys), record)
            below = below + of_queries(_merge(by_queries), record)
            return below + of_keys(_merge(by_keys), record)

        return y.reshape(*x.shape[:2], -1), back

    def _split(self, x):
        """Axes (n, heads, positions, channels of a head)."""
        return x.reshape(*x.shape[:2], self.n_heads, -1).swapaxes(1, 2)


def _merge(delta):
    """Gradients (n, positions, r, channels) from (n, r, heads, positions, channels of a head)."""
    n, r, _, n_positions, _ = delta.shape
    return delta.transpose(0, 3, 1, 2, 4).reshape(n, n_positions, r, -1)


class Recurrence(NamedTuple):
    """States ``h_t = f(sqrt(recurrent_var / width) h_{t-1} W + ...)`` at all times.

    One matrix multiplies the state before, and the inputs of ``entry`` with its constant.
    """

    activation: tuple
    recurrent_var: float
    width: int
    entry: Affine

    def run(self, x, space):
        carry, entering = (self.recurrent_var / self.width) ** 0.5, self.entry.inputs(x, space)
        state, states, inputs, gains = 0.0 * space.ones(x, (len(x), self.width)), [], [], []
        for t in range(x.shape[1]):
            inputs.append(space.concat([carry * state, entering[:, t]], -1))
            gains.append(space.multiply(self.entry.place, inputs[-1]))
            state = space.apply(self.activation, gains[-1])
            states.append(state[:, None])

        def back(delta, record):
            W = space.matrix(self.entry.place)
            by_gains, carried = np.zeros(delta.shape), 0.0
            for t in reversed(range(x.shape[1])):
                slope = derivative(self.activation, gains[t])[:, None]
                by_gains[:, t] = (delta[:, t] + carried) * slope
                carried = carry * times(by_gains[:, t], W[: self.width].T)
            record(self.entry.place, np.stack(inputs, axis=1), by_gains)
            scale = (self.entry.weight_var / self.entry.divisor) ** 0.5
            return scale * times(by_gains, W[self.width : self.width + x.shape[2]].T)

        return space.concat(states, 1), back


class Save(NamedTuple):
    """Push a copy onto the stack."""

    def run_stack(self, x, stack):
        return x, [*stack, x]

    def back_stack(self, delta, stack):
        return delta + stack[-1], stack[:-1]


class Swap(NamedTuple):
    """Exchange the signal with the top of the stack."""

    def run_stack(self, x, stack):
        return stack[-1], [*stack[:-1], x]

    back_stack = run_stack


class Add(NamedTuple):
    """Pop a signal from the stack and add it."""

    def run_stack(self, x, stack):
        return x + stack[-1], stack[:-1]

    def back_stack(self, delta, stack):
        return delta, [*stack, delta]
