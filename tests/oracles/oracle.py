"""Kernels of infinitely wide networks in high precision, by code that shares none with the package.

A network is a list of layers:

* ``("dense", weight_var, bias_var, trained)``, where ``weight_var`` may be the string ``"w"`` and
  ``bias_var`` the string ``"b"``: they take the values of the keywords ``w=`` and ``b=``;
* ``("activation", name, parameters)`` with a dictionary of parameters;
* ``("residual", body, shortcut)`` with two lists of layers; an empty shortcut is the identity.

The state of a pair of rows is its three covariances, not a gap. Differences of them cancel, and an
angle loses half of the digits, so the arithmetic has more than twice the digits asked for.
"""

from typing import Any, NamedTuple

import numpy as np
from mpmath import mp, mpf
from oracle_duals import dual, exact


class State(NamedTuple):
    """Covariances K(x, x), K(y, y), K(x, y) and the tangent kernel T(x, y) after some layer."""

    a: Any
    b: Any
    c: Any
    t: Any


# Layers: each maps a state to a state.


def dense(state, tied, weight_var, bias_var, trained):
    """Affine layer: ``K <- w K + v`` and ``T <- w T + K``, without the last term if not trained."""
    w, v = (exact(tied.get(value, value)) for value in (weight_var, bias_var))
    a, b, c = (w * k + v for k in state[:3])
    return State(a, b, c, w * state.t + (c if trained else 0))


def activation(state, tied, name, parameters):
    """Pointwise function: dual activations of all three covariances."""
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
    """State behind a list of layers."""
    for kind, *arguments in layers:
        state = LAYERS[kind](state, tied, *arguments)
    return state


def start(x, y):
    """Return the state of two rows before the first layer."""
    x, y = [exact(value) for value in x], [exact(value) for value in y]
    a, b, c = (mp.fdot(u, v) / len(x) for u, v in ((x, x), (y, y), (x, y)))
    return State(a, b, c, mpf(0))


def pair(layers, x, y, w, b):
    """Return K(x, y) and T(x, y) in the current precision of mpmath."""
    state = propagate(layers, start(x, y), {"w": w, "b": b})
    return state.c, state.t


def enough(digits):
    """Context of a precision that gives ``digits`` digits for coincident and parallel rows, too."""
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
    """Derivatives of K(x, y) and T(x, y) with respect to log w and log b.

    Central differences, with a step of 1e-25 in 120-digit numbers if ``digits`` is 50.

    Parameters
    ----------
    layers, x, y, digits, w, b
        As in `kernels`.

    Returns
    -------
    nngp, ntk : tuples (derivative with respect to log w, to log b)
    """
    with enough(digits):
        step = mpf(10) ** (-digits // 2)
        by_w = central_difference(lambda r: pair(layers, x, y, exact(w) * r, exact(b)), step)
        by_b = central_difference(lambda r: pair(layers, x, y, exact(w), exact(b) * r), step)
    with mp.workdps(digits):
        return tuple((+left, +right) for left, right in zip(by_w, by_b, strict=True))


def gradient_x(layers, x, y, digits=50, *, w=None, b=None):
    """Differentiate K(x, y) and T(x, y) by the entries of x, as `gradient` by variances.

    At a kink these are the means of the derivatives on both sides.
    """
    with enough(digits):
        step, x = mpf(10) ** (-digits // 2), [exact(value) for value in x]

        def moved(place, change):
            return [value + (i == place) * change for i, value in enumerate(x)]

        found = [
            central_difference(lambda r, i=i: pair(layers, moved(i, mp.log(r)), y, w, b), step)
            for i in range(len(x))
        ]
    return np.array(found, dtype=float).T


def gradient_length_scale(layers, x, y, digits=50, *, w=None, b=None):
    """Differentiate K(x, y) and T(x, y) by the logarithms of scales that divide the columns."""
    with enough(digits):
        step, rows = mpf(10) ** (-digits // 2), [[exact(value) for value in z] for z in (x, y)]

        def divided(place, scale):
            return [
                [value / scale if i == place else value for i, value in enumerate(z)] for z in rows
            ]

        found = [
            central_difference(lambda r, i=i: pair(layers, *divided(i, r), w, b), step)
            for i in range(len(x))
        ]
    return np.array(found, dtype=float).T


def central_difference(function, step):
    """Derivative of each entry of ``function(exp(h))`` with respect to ``h`` at 0."""
    above, below = function(mp.exp(step)), function(mp.exp(-step))
    return [(u - v) / (2 * step) for u, v in zip(above, below, strict=True)]


def gram(layers, X, Y=None, digits=30, *, w=None, b=None):
    """Return the Gram matrices K and T between the rows of X and of Y, rounded to float64."""
    Y = X if Y is None else Y
    values = [[kernels(layers, x, y, digits, w=w, b=b) for y in Y] for x in X]
    return np.moveaxis(np.array(values, dtype=float), -1, 0)


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
    "exp": {"a": "scale", "b": "rate"},
    "polynomial": {"coef": "coefficients"},
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
