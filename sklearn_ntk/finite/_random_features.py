"""Random features of the kernels of perceptrons: what a random network makes of rows."""

from typing import NamedTuple

import numpy as np

from ._functions import check_activation, derivative


class Layer(NamedTuple):
    """A hidden layer: ``weights`` (n_in, n), and for the NTK ``sketch`` (n_in, n).

    The sketch multiplies features of the NTK of the layer before. As its columns are zero on
    average, so are products of what comes of it with features of the NNGP.
    """

    weights: np.ndarray
    sketch: np.ndarray | None = None


class RandomFeatures(NamedTuple):
    """A random perceptron, and the features (m, n) or (m, n + 1) that it makes of rows (m, d)."""

    layers: list
    activation: tuple
    weight_var: float
    bias_var: float

    def features(self, X):
        """Features of the NTK if the layers have sketches, else of the NNGP, in the type of X."""
        z = t = self._with_bias(X)
        for layer in self.layers:
            u = z @ layer.weights
            a = self.activation.fn(u)
            if layer.sketch is not None:
                t = a + derivative(self.activation, u) * (t @ layer.sketch)
                t = self._with_bias(t.astype(X.dtype, copy=False))
            z = self._with_bias(a.astype(X.dtype, copy=False))
        return z if layer.sketch is None else t

    def _with_bias(self, a):
        """Entries (m, k) whose squares add up to a variance, with a column for the bias if any."""
        scaled = np.sqrt(self.weight_var / a.shape[1]).astype(a.dtype) * a
        if self.bias_var == 0.0:
            return scaled
        constant = np.full((len(a), 1), np.sqrt(self.bias_var), a.dtype)
        return np.hstack([scaled, constant])


def shapes_of(n_inputs, n, depth, has_bias):
    """Shapes of the matrices of the hidden layers."""
    return [(k + has_bias, n) for k in [n_inputs] + (depth - 1) * [n]]


def draw_features(shapes, activation, variances, rng, is_ntk, dtype):
    """`RandomFeatures` with matrices of these shapes; raises ValueError if a function has none.

    ``variances`` are those of weights and biases, ``rng`` a RandomState.
    """
    try:
        check_activation(activation)
    except TypeError as error:
        raise ValueError(
            f"activation {activation!r} has no random features, as {error}: take another one."
        ) from None
    layers = []
    for n_inputs, n in shapes:
        weights = _directions(rng, n_inputs, n)
        weights *= np.sqrt(rng.chisquare(n_inputs, n) / n_inputs)
        layer = Layer(weights.astype(dtype))
        if is_ntk:
            layer = layer._replace(sketch=_directions(rng, n_inputs, n).astype(dtype))
        layers.append(layer)
    return RandomFeatures(layers, activation, *variances)


def _directions(rng, n_inputs, n):
    """Matrix (n_inputs, n) of columns in random directions, of squared norm n_inputs.

    Up to n_inputs of them at a time are orthogonal to each other.
    """
    size = min(n_inputs, n)
    Q, R = np.linalg.qr(rng.standard_normal((-(-n // size), n_inputs, size)))
    Q *= np.copysign(np.sqrt(n_inputs), np.diagonal(R, axis1=1, axis2=2))[:, None]
    return Q.swapaxes(0, 1).reshape(n_inputs, -1)[:, :n]
