"""Kernels of finite random networks, by forward pass and explicit backpropagation in NumPy.

Networks are lists of layers as in ``oracle.py``, with numbers for all variances. The hidden layers
have a common width and the last layer is dense.
"""

import numpy as np
from scipy.special import erf, expit, factorial, ndtr

SQRT_PI = np.sqrt(np.pi)

# Activations: the parameters of the function give the function and its derivative.


def relu():
    """Return ``max(x, 0)`` and its derivative."""
    return leaky_relu(0.0)


def leaky_relu(leak):
    """Return ``max(x, 0) + leak * min(x, 0)`` and its derivative."""
    return lambda x: np.where(x > 0, x, leak * x), lambda x: np.where(x > 0, 1.0, leak)


def gelu():
    """Return ``x * Phi(x)`` and its derivative."""
    return lambda x: x * ndtr(x), lambda x: ndtr(x) + x * np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi)


def sin(scale=1.0, frequency=1.0, shift=0.0):
    """Return the function ``scale * sin(frequency * x + shift)`` and its derivative."""
    return (
        lambda x: scale * np.sin(frequency * x + shift),
        lambda x: scale * frequency * np.cos(frequency * x + shift),
    )


def cos(scale=1.0, frequency=1.0, shift=0.0):
    """Return the function ``scale * cos(frequency * x + shift)`` and its derivative."""
    return (
        lambda x: scale * np.cos(frequency * x + shift),
        lambda x: -scale * frequency * np.sin(frequency * x + shift),
    )


def rbf(gamma=1.0):
    """Return ``sqrt(2) * sin(sqrt(2 gamma) x + pi / 4)`` and its derivative."""
    return sin(np.sqrt(2.0), np.sqrt(2.0 * gamma), np.pi / 4)


def gaussian(scale=1.0, rate=-1.0):
    """Return ``scale * exp(rate * x^2)`` and its derivative."""
    return (
        lambda x: scale * np.exp(rate * x * x),
        lambda x: 2 * rate * x * scale * np.exp(rate * x * x),
    )


def gabor(scale=1.0, rate=-1.0, frequency=1.0):
    """Return ``scale * exp(rate * x^2) * sin(frequency * x)`` and its derivative."""
    window, slope = gaussian(scale, rate)
    wave, turn = sin(1.0, frequency)
    return lambda x: window(x) * wave(x), lambda x: window(x) * turn(x) + slope(x) * wave(x)


def exp_normalized(gamma=1.0, shift=-1.0):
    """Return ``s exp(sqrt(gamma) x / s + ...)``, for the root mean square s, and its derivative.

    The derivative is for constant ``s``, as in the kernel.
    """

    def value(x):
        std = np.sqrt(np.mean(x * x, axis=-1, keepdims=True))
        return std * np.exp(np.sqrt(gamma) * x / std + gamma * (shift - 1.0) / 2.0)

    def derivative(x):
        return np.sqrt(gamma / np.mean(x * x, axis=-1, keepdims=True)) * value(x)

    return value, derivative


def polynomial(coefficients):
    """Return a polynomial and its derivative."""
    function = np.polynomial.Polynomial(coefficients)
    return function, function.deriv()


def rectified_monomial(degree):
    """Return ``max(x, 0)^degree`` and its derivative."""
    return (
        lambda x: (x > 0) * x**degree,
        lambda x: (x > 0) * degree * x ** max(degree - 1, 0),
    )


def elu(scale=1.0, alpha=1.0):
    """Return an exponential linear unit and its derivative."""
    return (
        lambda x: scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
        lambda x: scale * np.where(x > 0, 1, alpha * np.exp(np.minimum(x, 0))),
    )


ACTIVATIONS = {
    "relu": relu,
    "leaky_relu": leaky_relu,
    "abs": lambda: (np.abs, np.sign),
    "erf": lambda scale=1.0, rate=1.0, constant=0.0: (
        lambda x: scale * erf(rate * x) + constant,
        lambda x: 2 / SQRT_PI * scale * rate * np.exp(-((rate * x) ** 2)),
    ),
    "gelu": gelu,
    "sin": sin,
    "cos": cos,
    "rbf": rbf,
    "gaussian": gaussian,
    "gabor": gabor,
    "exp_normalized": exp_normalized,
    "identity": lambda: (lambda x: x, np.ones_like),
    "sign": lambda: (np.sign, np.zeros_like),
    "step": lambda: rectified_monomial(0),
    "sigmoid_like": lambda: (
        lambda x: 0.5 + 0.5 * erf(x / 2.4020563531719796),
        lambda x: np.exp(-((x / 2.4020563531719796) ** 2)) / np.sqrt(np.pi) / 2.4020563531719796,
    ),
    "exp": lambda rate: (lambda x: np.exp(rate * x), lambda x: rate * np.exp(rate * x)),
    "rectified_monomial": rectified_monomial,
    "monomial": lambda degree: polynomial([0] * degree + [1]),
    "polynomial": polynomial,
    "hermite": lambda degree: polynomial(
        np.polynomial.hermite_e.herme2poly([0] * degree + [1]) / np.sqrt(factorial(degree))
    ),
    "elu": elu,
    "selu": lambda: elu(1.0507009873554805, 1.6732632423543772),
    "tanh": lambda: (np.tanh, lambda x: 1 / np.cosh(x) ** 2),
    "sigmoid": lambda: (expit, lambda x: expit(x) * expit(-x)),
    "softplus": lambda: (lambda x: np.log1p(np.exp(x)), expit),
    "silu": lambda: (
        lambda x: x * expit(x),
        lambda x: expit(x) * (1 + x * expit(-x)),
    ),
    "mish": lambda: (
        lambda x: x * np.tanh(np.log1p(np.exp(x))),
        lambda x: np.tanh(np.log1p(np.exp(x))) + x * expit(x) / np.cosh(np.log1p(np.exp(x))) ** 2,
    ),
}


# Layers: each returns its output rows and a function ``backward(delta)``, for the gradient
# ``delta`` of one network output with respect to these rows. That returns the gradient with respect
# to the input rows, and the matrix (n, n) of inner products of gradients with respect to the
# parameters of the layer.


def dense(rows, rng, width, weight_var, bias_var, trained):
    """Affine layer with ``width`` outputs, with parameters drawn from ``rng``."""
    scale = weight_var / rows.shape[1]
    weights = np.sqrt(scale) * rng.standard_normal((rows.shape[1], width))
    bias = np.sqrt(bias_var) * rng.standard_normal(width)

    def backward(delta):
        products = (delta @ delta.T) * (scale * rows @ rows.T + bias_var)
        return delta @ weights.T, float(trained) * products

    return rows @ weights + bias, backward


def activation(rows, rng, width, name, parameters):
    """Apply a function to every entry."""
    function, derivative = ACTIVATIONS[name](**parameters)
    return function(rows), lambda delta: (delta * derivative(rows), 0.0)


def residual(rows, rng, width, body, shortcut):
    """Add two branches."""
    left, left_backward = sequence(rows, rng, width, body)
    right, right_backward = sequence(rows, rng, width, shortcut)

    def backward(delta):
        pairs = zip(left_backward(delta), right_backward(delta), strict=True)
        return tuple(u + v for u, v in pairs)

    return left + right, backward


LAYERS = {"dense": dense, "activation": activation, "residual": residual}


def sequence(rows, rng, width, layers):
    """Layers in sequence."""
    steps = []
    for kind, *arguments in layers:
        rows, step = LAYERS[kind](rows, rng, width, *arguments)
        steps.append(step)

    def backward(delta):
        total = 0.0
        for step in reversed(steps):
            delta, products = step(delta)
            total = total + products
        return delta, total

    return rows, backward


def draw(layers, rows, width, rng):
    """Empirical NNGP and NTK (n, n) of one network with one output."""
    *hidden, (kind, weight_var, bias_var, trained) = layers
    assert kind == "dense", "the last layer must be dense"
    rows, hidden_backward = sequence(rows, rng, width, hidden)
    _, last_backward = dense(rows, rng, 1, weight_var, bias_var, trained)
    delta, last = last_backward(np.ones((len(rows), 1)))
    _, earlier = hidden_backward(delta)
    return weight_var / rows.shape[1] * rows @ rows.T + bias_var, last + earlier


def empirical_kernels(layers, X, Y, width=1000, n_networks=20, seed=0):
    """Average the kernels of finite networks between the rows of X and of Y.

    The NNGP is the covariance of the output over the last layer's parameters, given the hidden
    layers; the NTK is that of a single output.

    Parameters
    ----------
    layers : list of tuples
        The network, ending in a dense layer.
    X, Y : arrays of shape (n, d) and (m, d)
        Few rows: all pairs of them are computed.
    width : int
        Width of all hidden layers; the bias of the averages falls as 1 / width.
    n_networks : int
        How many networks are averaged.
    seed : int
        Equal seeds give equal results.

    Returns
    -------
    nngp, ntk, nngp_standard_error, ntk_standard_error : arrays of shape (n, m)
    """
    rng = np.random.default_rng(seed)
    rows = np.vstack([X, Y]).astype(float)
    samples = np.array([draw(layers, rows, width, rng) for _ in range(n_networks)])
    samples = samples[:, :, : len(X), len(X) :]
    mean = samples.mean(axis=0)
    error = samples.std(axis=0, ddof=1) / np.sqrt(n_networks)
    return mean[0], mean[1], error[0], error[1]
