"""Signals of the multilayer perceptrons of scikit-learn, in NumPy."""

import numpy as np

from .._runtime.check import read_rows
from ._readers import chosen, with_rows
from ._running import times
from ._signals import Signal


def _logistic(x):
    return 0.5 + 0.5 * np.tanh(0.5 * x)


_ACTIVATIONS = {
    "identity": (lambda x: x, np.ones_like),
    "relu": (lambda x: np.maximum(x, 0.0), lambda h: h > 0.0),
    "tanh": (np.tanh, lambda h: 1.0 - h * h),
    "logistic": (_logistic, lambda h: h * (1.0 - h)),
}
"""By name an activation, and its derivative as a function of its value."""


class Reader:
    """Reader of a fitted ``MLPRegressor`` or ``MLPClassifier``: see `_readers`.

    Outputs are those before the last function: softmax or logistic for classes, and the exponential
    function for counts. A layer is called "0", "1", ... .
    """

    def __init__(self, model, layers=None, check=True):
        if not hasattr(model, "coefs_"):
            raise ValueError(
                f"The kernel of a network needs its weights; got an unfitted "
                f"{type(model).__name__}: call its fit first."
            )
        if model.activation not in _ACTIVATIONS:
            raise ValueError(
                f"activation must be one of {', '.join(_ACTIVATIONS)}; got {model.activation!r}."
            )
        self._weights = list(zip(model.coefs_, model.intercepts_, strict=True))
        self._function, self._derivative = _ACTIVATIONS[model.activation]
        self.n_outputs = model.coefs_[-1].shape[1]
        self.layers = chosen([str(k) for k in range(len(self._weights))], layers)

    def prepare(self, X):
        """Checked rows."""
        X, n_columns = with_rows(read_rows(X)), len(self._weights[0][0])
        if X.shape[1] != n_columns:
            raise ValueError(
                f"X must have the {n_columns} columns of the fit; got {X.shape[1]}: pass the same "
                f"columns."
            )
        return X

    def _inputs(self, X):
        """Inputs of all layers, and the outputs."""
        inputs = [X]
        for W, b in self._weights:
            inputs.append(self._function(inputs[-1] @ W + b))
        W, b = self._weights[-1]
        return inputs[:-1], inputs[-2] @ W + b

    def signals(self, X, seeds):
        """Outputs, and signals of the chosen layers."""
        inputs, outputs = self._inputs(X)
        g = np.broadcast_to(np.asarray(seeds, X.dtype), (len(X), *np.shape(seeds)))
        found = []
        for k in reversed(range(len(inputs))):
            if str(k) in self.layers:
                ones = np.ones((len(X), 1))
                a = np.concatenate([inputs[k], ones], axis=1)
                found.append(Signal(str(k), a[:, None], g[:, None]))
            if k:
                g = times(g, self._weights[k][0].T) * self._derivative(inputs[k])[:, None]
        return outputs, found[::-1]

    def row_bytes(self, X, seeds):
        """Memory of the signals of a row, with that of the products on the way."""
        return 2.0 * sum(signal.n_bytes for signal in self.signals(X[:1], seeds)[1])

    def outputs(self, X):
        """Outputs (n, k)."""
        return self._inputs(X)[1]

    def in_double(self, X):
        """The reader itself."""
        return self

    def hidden(self, X):
        """Inputs of the last layer."""
        return self._inputs(X)[0][-1]
