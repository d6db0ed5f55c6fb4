"""Kernels of infinitely wide networks in high precision: slow, obvious, and sharing no code.

A network is a list of layers:

* ``("dense", weight_var, bias_var, trained)``, where ``weight_var`` may be the string ``"w"`` and
  ``bias_var`` the string ``"b"``: they take the values of the keywords ``w=`` and ``b=``;
* ``("activation", name, parameters)`` with a dictionary of parameters;
* ``("residual", body, shortcut)`` with two lists of layers; an empty shortcut is the identity.

The three covariances of a pair of rows are carried as they are. Differences of them cancel, and an
angle loses half of the digits, so the arithmetic has more than twice the digits asked for.
"""

from typing import Any, NamedTuple

import numpy as np
from mpmath import mp, mpf


class State(NamedTuple):
    """Covariances K(x, x), K(y, y), K(x, y) and the tangent kernel T(x, y) after some layer."""

    a: Any
    b: Any
    c: Any
    t: Any


# Activations: parameters of the function, then a, b, c. They return E[f(u)f(v)] and
# E[f'(u)f'(v)] for (u, v) normal with mean zero and covariance [[a, c], [c, b]].


def determinant(a, b, c):
    """Return ab - c^2, where rounding cannot make it negative."""
    return max(a * b - c * c, mpf(0))


def two_slopes(left, right, a, b, c):
    """Dual of ``left * min(x, 0) + right * max(x, 0)``."""
    root = mp.sqrt(determinant(a, b, c))
    angle = mp.atan2(root, c)
    h = (right - left) ** 2 / (2 * mp.pi)
    slope = (left**2 + right**2) / 2 - h * angle
    return h * root + slope * c, slope


def relu(a, b, c):
    """Dual of ``max(x, 0)``."""
    return two_slopes(mpf(0), mpf(1), a, b, c)


def leaky_relu(a, b, c, leak):
    """Dual of ``max(x, 0) + leak * min(x, 0)``."""
    return two_slopes(leak, mpf(1), a, b, c)


def absolute(a, b, c):
    """Dual of ``abs(x)``."""
    return two_slopes(mpf(-1), mpf(1), a, b, c)


def erf(a, b, c):
    """Dual of ``erf(x)``."""
    v = mp.sqrt(1 + 2 * a + 2 * b + 4 * determinant(a, b, c))
    return 2 / mp.pi * mp.atan2(2 * c, v), 4 / (mp.pi * v)


def gelu(a, b, c):
    """Dual of ``x * Phi(x)``, where Phi is the normal distribution function."""
    square = 1 + a + b + determinant(a, b, c)
    root = mp.sqrt(square)
    p = (1 + a) * (1 + b)
    quadrant = mpf(1) / 4 + mp.atan2(c, root) / (2 * mp.pi)
    k = c * quadrant + (c * c + a * b * square) / (2 * mp.pi * p * root)
    slope = quadrant + c / (2 * mp.pi * root) * (1 / square + (1 - a * b) / p + 1)
    return k, slope


def sin(a, b, c, scale=1, frequency=1, shift=0):
    """Dual of the function ``scale * sin(frequency * x + shift)``."""
    minus = mp.exp(-(frequency**2) * (a + b - 2 * c) / 2)
    plus = mp.exp(-(frequency**2) * (a + b + 2 * c) / 2) * mp.cos(2 * shift)
    k = scale**2 / mpf(2) * (minus - plus)
    return k, scale**2 * frequency**2 / mpf(2) * (minus + plus)


def cos(a, b, c, scale=1, frequency=1, shift=0):
    """Dual of the function ``scale * cos(frequency * x + shift)``."""
    return sin(a, b, c, scale, frequency, shift + mp.pi / 2)


def rbf(a, b, c, gamma=1):
    """Dual of ``sqrt(2) * sin(sqrt(2 gamma) x + pi / 4)``: the squared exponential."""
    k = mp.exp(-gamma * (a + b - 2 * c))
    return k, 2 * gamma * k


def gaussian(a, b, c, scale=1, rate=-1):
    """Dual of ``scale * exp(rate * x^2)``."""
    v = 1 - 2 * rate * (a + b) + 4 * rate**2 * determinant(a, b, c)
    return scale**2 / mp.sqrt(v), 4 * scale**2 * rate**2 * c / (v * mp.sqrt(v))


def identity(a, b, c):
    """Dual of ``x``."""
    return c, mpf(1)


DUALS = {
    "relu": relu,
    "leaky_relu": leaky_relu,
    "abs": absolute,
    "erf": erf,
    "gelu": gelu,
    "sin": sin,
    "cos": cos,
    "rbf": rbf,
    "gaussian": gaussian,
    "identity": identity,
}


def exact(value):
    """Convert a number to high precision without changing it."""
    return value if isinstance(value, mpf) else mpf(float(value))


def dual(name, parameters, a, b, c):
    """Return E[f(u)f(v)] and E[f'(u)f'(v)] of the activation called ``name``."""
    exact_parameters = {key: exact(value) for key, value in parameters.items()}
    return DUALS[name](a, b, c, **exact_parameters)


# Layers: each maps a state to a state.


def dense(state, tied, weight_var, bias_var, trained):
    """Affine layer; only a trained one adds to the tangent kernel."""
    w, v = (exact(tied.get(value, value)) for value in (weight_var, bias_var))
    a, b, c = (w * k + v for k in state[:3])
    return State(a, b, c, w * state.t + (c if trained else 0))


def activation(state, tied, name, parameters):
    """Pointwise function."""
    a, b, c, t = state
    k, slope = dual(name, parameters, a, b, c)
    k_aa, _ = dual(name, parameters, a, a, a)
    k_bb, _ = dual(name, parameters, b, b, b)
    return State(k_aa, k_bb, k, t * slope)


def residual(state, tied, body, shortcut):
    """Sum of two independent branches."""
    branches = propagate(body, state, tied), propagate(shortcut, state, tied)
    return State(*(left + right for left, right in zip(*branches, strict=True)))


LAYERS = {"dense": dense, "activation": activation, "residual": residual}


def propagate(layers, state, tied):
    """Send a state through a list of layers."""
    for kind, *arguments in layers:
        state = LAYERS[kind](state, tied, *arguments)
    return state


def start(x, y):
    """Return the state of two rows before the first layer."""
    x, y = [exact(value) for value in x], [exact(value) for value in y]
    a, b, c = (mp.fdot(u, v) / len(x) for u, v in ((x, x), (y, y), (x, y)))
    return State(a, b, c, mpf(0))


def pair(layers, x, y, w, b):
    """Return K(x, y) and T(x, y) in the precision at work."""
    state = propagate(layers, start(x, y), {"w": w, "b": b})
    return state.c, state.t


def enough(digits):
    """Arithmetic in which coincident and parallel rows have ``digits`` right digits."""
    return mp.workdps(2 * digits + 20)


def kernels(layers, x, y, digits=50, *, w=None, b=None):
    """Return K(x, y) and T(x, y) of a network as two numbers of ``digits`` digits.

    Parameters
    ----------
    layers : list of tuples
        The network, as the module says.
    x, y : sequences of floats
        Two rows, taken as exact.
    digits : int
        Decimal digits of the result.
    w, b : float
        Values of the variances written ``"w"`` and ``"b"``.

    Returns
    -------
    nngp, ntk : mpf
        Further arithmetic keeps their digits only inside ``mpmath.mp.workdps``.
    """
    with enough(digits):
        result = pair(layers, x, y, w, b)
    with mp.workdps(digits):
        return tuple(+value for value in result)


def gradient(layers, x, y, digits=50, *, w, b):
    """Differentiate K(x, y) and T(x, y) by the logarithms of the tied variances.

    Central differences, with a step of 1e-25 in 120-digit numbers if ``digits`` is 50.

    Parameters
    ----------
    layers, x, y, digits, w, b
        As in `kernels`.

    Returns
    -------
    nngp, ntk : tuples (derivative by log w, derivative by log b)
    """
    with enough(digits):
        step = mpf(10) ** (-digits // 2)
        by_w = central_difference(lambda r: pair(layers, x, y, exact(w) * r, exact(b)), step)
        by_b = central_difference(lambda r: pair(layers, x, y, exact(w), exact(b) * r), step)
    with mp.workdps(digits):
        return tuple((+left, +right) for left, right in zip(by_w, by_b, strict=True))


def central_difference(function, step):
    """Differentiate each entry of ``function(exp(h))`` at ``h = 0``."""
    above, below = function(mp.exp(step)), function(mp.exp(-step))
    return [(u - v) / (2 * step) for u, v in zip(above, below, strict=True)]


def gram(layers, X, Y=None, digits=30, *, w=None, b=None):
    """Return the Gram matrices K and T between the rows of X and of Y, rounded to float64."""
    Y = X if Y is None else Y
    values = [[kernels(layers, x, y, digits, w=w, b=b) for y in Y] for x in X]
    return np.moveaxis(np.array(values, dtype=float), -1, 0)


# Ways to write networks down.


def mlp(name, depth, weight_var=2.0, bias_var=0.1, parameters=None, n_frozen=0):
    """Return the layers of a network with ``depth`` hidden layers, the first ones frozen."""
    layers = [("dense", weight_var, bias_var, n_frozen < 1)]
    for index in range(1, depth + 1):
        layers.append(("activation", name, dict(parameters or {})))
        layers.append(("dense", weight_var, bias_var, index >= n_frozen))
    return layers


# Names of parameters in the reference files and here.
RENAMED = {
    "leaky_relu": {"alpha": "leak"},
    "sin": {"a": "scale", "b": "frequency", "c": "shift"},
    "cos": {"a": "scale", "b": "frequency", "c": "shift"},
    "gaussian": {"a": "scale", "b": "rate"},
}


def from_reference(layers):
    """Translate the ``layers`` of a reference file: standard deviations and other names."""
    return [translate(kind, *parameters) for kind, *parameters in layers]


def translate(kind, parameters=None):
    """Translate one layer of a reference file."""
    parameters = parameters or {}
    if kind == "dense":
        return ("dense", parameters["w_std"] ** 2, parameters["b_std"] ** 2, True)
    if kind == "residual":
        body, shortcut = parameters["branch"], parameters.get("shortcut", [])
        return ("residual", from_reference(body), from_reference(shortcut))
    names = RENAMED.get(kind, {})
    return ("activation", kind, {names.get(key, key): v for key, v in parameters.items()})
