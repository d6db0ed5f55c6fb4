"""Duals of activations in high precision, for `oracle`.

They take a, b, c, then parameters of the function, and return E[f(u)f(v)] and E[f'(u)f'(v)] for
(u, v) normal with mean zero and covariance [[a, c], [c, b]].
"""

import numpy as np
from mpmath import mp, mpf


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


def erf(a, b, c, scale=1, rate=1, constant=0):
    """Dual of ``scale * erf(rate * x) + constant``."""
    a, b, c = (rate**2 * x for x in (a, b, c))
    v = mp.sqrt(1 + 2 * a + 2 * b + 4 * determinant(a, b, c))
    k = scale**2 * 2 / mp.pi * mp.atan2(2 * c, v) + constant**2
    return k, scale**2 * rate**2 * 4 / (mp.pi * v)


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


def gabor(a, b, c, scale=1, rate=-1, frequency=1):
    """Dual of ``scale * exp(rate * x^2) * sin(frequency * x)``, and ``dk / dc``."""
    k, delta = -2 * rate, determinant(a, b, c)
    v, dv = 1 + k * (a + b) + k**2 * delta, -2 * k**2 * c
    half = scale**2 / (2 * mp.sqrt(v))
    value = slope = mpf(0)
    for sign in (1, -1):
        p, dp = a + b + 2 * k * delta - sign * 2 * c, -4 * k * c - sign * 2
        wave = sign * half * mp.exp(-(frequency**2) * p / (2 * v))
        value += wave
        slope -= wave * (dv / (2 * v) + frequency**2 / mpf(2) * (dp / v - p * dv / v**2))
    return value, slope


def sign(a, b, c):
    """Dual of ``sign(x)``; its derivative vanishes almost everywhere."""
    angle = mp.atan2(mp.sqrt(determinant(a, b, c)), c)
    return (1 - 2 * angle / mp.pi) * (a > 0) * (b > 0), mpf(0)


def step(a, b, c):
    """Dual of ``x > 0``; its derivative vanishes almost everywhere."""
    angle = mp.atan2(mp.sqrt(determinant(a, b, c)), c)
    return (1 - angle / mp.pi) / 2 * (a > 0) * (b > 0), mpf(0)


def sigmoid_like(a, b, c):
    """Dual of ``(1 + erf(x / 2.4020563531719796)) / 2``."""
    square = 1 / mpf(2.4020563531719796) ** 2
    k, slope = erf(square * a, square * b, square * c)
    return (k + 1) / 4, square * slope / 4


def identity(a, b, c):
    """Dual of ``x``."""
    return c, mpf(1)


def exp(a, b, c, scale=1, rate=1):
    """Dual of ``scale * exp(rate x)``."""
    k = scale**2 * mp.exp(rate**2 * (a + b + 2 * c) / 2)
    return k, rate**2 * k


def exp_normalized(a, b, c, gamma=1, shift=-1):
    """Dual ``sqrt(ab) exp(gamma (c / sqrt(ab) + shift))``, zero for a row of zeros."""
    n = mp.sqrt(a * b)
    k = mp.exp(gamma * ((c / n if n else mpf(1)) + shift))
    return n * k, gamma * k


def rectified_monomial(a, b, c, degree=2):
    """Dual of ``max(x, 0)^degree``, as Cho and Saul (2009) write it."""
    root = mp.sqrt(determinant(a, b, c))
    angle, n = mp.atan2(root, c), mp.sqrt(a * b)

    def k(q):
        s, t = mp.sin(angle), mp.cos(angle)
        j = [
            mp.pi - angle,
            s + (mp.pi - angle) * t,
            3 * s * t + (mp.pi - angle) * (1 + 2 * t * t),
            15 * s - 11 * s**3 + (mp.pi - angle) * (9 * t + 6 * t**3),
        ]
        return n**q * j[q] / (2 * mp.pi)

    degree = int(degree)
    return k(degree), degree**2 * k(degree - 1) if degree else mpf(0)


def polynomial(a, b, c, coefficients=(0, 1)):
    """Dual of a polynomial, by Isserlis' theorem for every pair of its terms."""

    def moment(i, j):  # E[u^i v^j]
        if i < 0 or j < 0:
            return mpf(0)
        terms = (
            mp.factorial(i) * mp.factorial(j) * a**p * b**q * c**k
            / (2 ** (p + q) * mp.factorial(p) * mp.factorial(q) * mp.factorial(k))
            for k in range(min(i, j) + 1)
            for p, q in [((i - k) // 2, (j - k) // 2)]
            if (i - k) % 2 == 0 and (j - k) % 2 == 0
        )  # fmt: skip
        return mp.fsum(terms)

    pairs = [(x * y, i, j) for i, x in enumerate(coefficients) for j, y in enumerate(coefficients)]
    k = mp.fsum(w * moment(i, j) for w, i, j in pairs)
    return k, mp.fsum(w * i * j * moment(i - 1, j - 1) for w, i, j in pairs)


def monomial(a, b, c, degree=2):
    """Dual of ``x^degree``."""
    return polynomial(a, b, c, (0,) * int(degree) + (1,))


def hermite(a, b, c, degree=2):
    """Dual of the normalised Hermite polynomial."""
    lower, coefficients = [mpf(1)], [mpf(0), mpf(1)]
    for n in range(1, int(degree)):
        longer = [mpf(0), *coefficients]
        for k, x in enumerate(lower):
            longer[k] -= n * x
        lower, coefficients = coefficients, longer
    coefficients = coefficients if degree else lower
    k, slope = polynomial(a, b, c, coefficients)
    return k / mp.factorial(degree), slope / mp.factorial(degree)


def below(x, y, a, b, c):
    """Probability that u < x and v < y (Drezner and Wesolowsky, 1990)."""
    h, k = x / mp.sqrt(a), y / mp.sqrt(b)
    end = mp.atan2(c, mp.sqrt(determinant(a, b, c)))

    def density(t):
        sign = 1 if t > 0 else -1
        cosine, rest = mp.cos(t), 2 * h * k / (1 + abs(mp.sin(t)))
        if not cosine:
            return mp.exp(-rest / 2) if h == sign * k else mpf(0)
        return mp.exp(-(((h - sign * k) / cosine) ** 2 + sign * rest) / 2)

    layers = (mp.pi / 2 - mpf(10) ** -j for j in (1, 2, 4, 8, 12, 16))
    points = [0, *(mp.sign(end) * t for t in layers if t < abs(end)), end]
    return mp.ncdf(h) * mp.ncdf(k) + mp.quad(density, points) / (2 * mp.pi)


def elu(a, b, c, alpha=1):
    """Dual of ``max(x, 0) + alpha min(exp(x) - 1, 0)`` (Tsuchida et al., 2021)."""
    k, slope = relu(a, b, c)
    if not a * b:
        return k, slope
    delta, root = determinant(a, b, c), mp.sqrt(2 * mp.pi)

    def one_sided(a, b):  # E r(u) n(v), and E r'(u) n'(v)
        tau = mp.sqrt(delta / a)
        positive = mp.exp(b / 2) * (mp.ncdf(-mp.sqrt(b)) - below(-c, -b, a, b, c))
        product = mp.sqrt(a) / root * (mp.exp(tau**2 / 2) * mp.ncdf(-tau) - mpf(1) / 2)
        return product + c * positive, positive

    for left, right in ((a, b), (b, a)):
        product, positive = one_sided(left, right)
        k, slope = k + alpha * product, slope + alpha * positive
    both = mp.exp((a + b + 2 * c) / 2) * below(-a - c, -b - c, a, b, c)
    one = mp.exp(a / 2) * below(-a, -c, a, b, c) + mp.exp(b / 2) * below(-c, -b, a, b, c)
    negative = relu(a, b, c)[1]
    return k + alpha**2 * (both - one + negative), slope + alpha**2 * both


def selu(a, b, c, scale=1.0507009873554805, alpha=1.6732632423543772):
    """Dual of ``scale`` times an exponential linear unit."""
    k, slope = elu(a, b, c, mpf(alpha))
    return mpf(scale) ** 2 * k, mpf(scale) ** 2 * slope


# Smooth functions and their derivatives, in the longest numbers of the machine.


def tanh(x):
    """Hyperbolic tangent."""
    value = np.tanh(x)
    return value, 1 - value**2


def sigmoid(x):
    """Logistic function."""
    value = 1 / (1 + np.exp(-x))
    return value, value * (1 - value)


def softplus(x):
    """Logarithm of one plus the exponential."""
    return np.logaddexp(0, x), sigmoid(x)[0]


def silu(x):
    """Sigmoid linear unit."""
    value, slope = sigmoid(x)
    return x * value, value + x * slope


def mish(x):
    """Product of the argument and the tanh of its softplus."""
    (inner, dy) = softplus(x)
    value, slope = tanh(inner)
    return x * value, value + x * slope * dy


def by_trapezoids(function):
    """Dual of a smooth function by the trapezoid rule in the plane, to about 17 digits.

    ``function`` returns values and derivatives. The step is 1/16, and smaller for large variances.
    """

    def dual(a, b, c, gain=1):
        root = mp.sqrt(a)
        if not root:
            a, root = mpf(1), mpf(0)
        numbers = (root, c / mp.sqrt(a), mp.sqrt(max(b - c * c / a, 0)))
        first, second, third = (np.longdouble(mp.nstr(x, 25)) for x in numbers)
        density = 16 * int(np.ceil(max(1, mp.sqrt(max(a, b)) / 4)))
        z = np.arange(-10 * density, 10 * density + 1, dtype=np.longdouble) / density
        weight = np.exp(-z * z / 2)
        weight /= weight.sum()
        left = function(first * z)
        right = function(second * z[:, None] + third * z)
        values = (weight @ (u * (v @ weight)) for u, v in zip(left, right, strict=True))
        k, slope = (mpf(np.format_float_scientific(x, 22)) for x in values)
        return gain**2 * k, gain**2 * slope

    return dual


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
    "gabor": gabor,
    "exp_normalized": exp_normalized,
    "identity": identity,
    "sign": sign,
    "step": step,
    "sigmoid_like": sigmoid_like,
}

# Activations whose variance grows with depth faster than that of a linear network.
GROWING = {
    "exp": exp,
    "rectified_monomial": rectified_monomial,
    "monomial": monomial,
    "polynomial": polynomial,
    "hermite": hermite,
}

# Activations whose dual takes a second.
SLOW = {"elu": elu, "selu": selu}

# Activations whose dual is computed to machine precision only.
SMOOTH = {f.__name__: by_trapezoids(f) for f in (tanh, sigmoid, softplus, silu, mish)}

ALL = {**DUALS, **GROWING, **SLOW, **SMOOTH}


def exact(value):
    """Convert a number to high precision without changing it."""
    if isinstance(value, (list, tuple)):
        return tuple(map(exact, value))
    return value if isinstance(value, mpf) else mpf(float(value))


def dual(name, parameters, a, b, c):
    """Return E[f(u)f(v)] and E[f'(u)f'(v)] of the activation called ``name``."""
    exact_parameters = {key: exact(value) for key, value in parameters.items()}
    return ALL[name](a, b, c, **exact_parameters)


def vary(parameter):
    """Return a valid value, other than the given one, for a parameter of an activation."""
    if isinstance(parameter, tuple):
        return (*map(vary, parameter), -0.3)
    if isinstance(parameter, int):
        return parameter + 1
    return 0.7 * parameter + 0.2 * (abs(parameter) < 0.5)
