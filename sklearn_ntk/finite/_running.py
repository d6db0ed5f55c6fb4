"""How a drawn network runs: a sequence of `_operations` with a stack for branches."""

import numpy as np


def times(x, matrix):
    """An array (..., p) times a matrix (p, q), at once: `numpy.matmul` would go row by row."""
    return (x.reshape(-1, x.shape[-1]) @ matrix).reshape(*x.shape[:-1], -1)


class NumPySpace:
    """Operations on NumPy arrays, for matrices (p, q)."""

    concat = staticmethod(np.concatenate)

    def __init__(self, matrices, rng):
        self._matrices, self._rng = matrices, rng

    def matrix(self, place):
        """Matrix (p, q)."""
        return self._matrices[place]

    def multiply(self, place, inputs):
        """Inputs (..., p) times a matrix."""
        return times(inputs, self._matrices[place])

    def ones(self, like, shape):
        """Array of ones."""
        return np.ones(shape)

    def constant(self, array, like):
        """A constant array."""
        return array

    def positions(self, table):
        """Numbers of positions as an index."""
        return table

    def noise(self, like, kept):
        """Zeros and, with probability ``kept``, ones."""
        return (self._rng.random(like.shape) < kept).astype(float)

    def apply(self, activation, x):
        """Values of an activation."""
        return activation.fn(x)

    def softmax(self, x):
        """Softmax over the last axis."""
        x = np.exp(x - x.max(-1, keepdims=True))
        return x / x.sum(-1, keepdims=True)


def run(operations, x, space):
    """What a sequence of operations puts out, and ``back(delta, record)``, which returns None."""
    stack, backs = [], []
    for operation in operations:
        if hasattr(operation, "run_stack"):
            x, stack = operation.run_stack(x, stack)
            backs.append(operation.back_stack)
        else:
            x, back = operation.run(x, space)
            backs.append(back)

    def back(delta, record):
        stack = []
        for operation, step in zip(reversed(operations), reversed(backs), strict=True):
            if hasattr(operation, "run_stack"):
                delta, stack = step(delta, stack)
            else:
                delta = step(delta, record)

    return x, back
