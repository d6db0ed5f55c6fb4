"""Polynomials, whose Hermite series is finite and exact."""

from math import comb, factorial, sqrt
from typing import NamedTuple

import numpy as np

from ._expand import LEAST_STD, TINY_STD, Expansion, Sums, assemble
from ._registry import NUMBERS, activation, degrees

HIGHEST = 60
"""Highest degree."""

COEFFICIENTS = NUMBERS._replace(
    test=lambda x: NUMBERS.test(x) and len(x) <= HIGHEST + 1,
    wording=f"a tuple of 1 to {HIGHEST + 1} finite numbers",
)


def _monomial(degree):
    """Terms ``(order, power, twice, factor)`` of ``x^degree``, as `_expand` takes them."""
    for i in range(degree // 2 + 1):
        order = degree - 2 * i
        yield order, degree, 0, factorial(degree) // (2**i * factorial(i)) / sqrt(factorial(order))


def _expand(terms, variance):
    """`Expansion` with ``a_order = sum factor s^power (s^2 - 1)^twice`` over the terms.

    ``terms`` are tuples ``(order, power, twice, factor)``.
    """
    shape, std = np.shape(variance), np.sqrt(np.ravel(variance))
    lowest = min(power for _, power, _, _ in terms)
    highest = max(power + 2 * twice for _, power, twice, _ in terms)
    a = np.zeros((3 + max(order for order, *_ in terms), len(std)))
    below, above = np.minimum(std, 1.0), 1.0 / np.maximum(std, 1.0)
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        # in units of the lowest power of small numbers, of the highest one of large numbers
        amplitude = below**lowest / above**highest
        for order, power, twice, factor in terms:
            rest = highest - power - 2 * twice
            part = below ** (power - lowest) * above**rest
            a[order] += factor * part * (below**2 - above**2) ** twice
        energy = (a * a).sum(axis=0)
        n = np.arange(len(a) - 2)[:, None]
        moment = (n * a[:-2] ** 2 + np.sqrt((n + 1) * (n + 2)) * a[:-2] * a[2:]).sum(axis=0)
        floored = np.maximum(std, TINY_STD if lowest else LEAST_STD)
        rows = assemble(floored, Sums(amplitude, a, energy, moment), len(a) - 2)
    return Expansion(*(x.reshape((*x.shape[:-1], *shape)) for x in rows))


@activation("monomial", degree=degrees(HIGHEST))
class Monomial(NamedTuple):
    """Monomial ``x^degree``.

    The coefficients are ``d! s^d / (2^i i! sqrt(n!))`` for orders ``n = d - 2 i`` (O'Donnell,
    "Analysis of Boolean Functions", 2014, chapter 11).

    Parameters
    ----------
    degree : int
        From 0 to 60.

    Examples
    --------
    >>> from sklearn_ntk import NNGPKernel
    >>> from sklearn_ntk.activations import Monomial
    >>> kernel = NNGPKernel(depth=1, activation=Monomial(2), weight_var=1.0, bias_var=0.0)
    >>> kernel.diag([[1.0, 1.0]])  # the fourth moment
    array([3.])
    """

    degree: int = 2

    def fn(self, x):
        return x**self.degree

    def expand(self, variance):
        return _expand(tuple(_monomial(self.degree)), variance)


@activation("polynomial", coefficients=COEFFICIENTS)
class Polynomial(NamedTuple):
    """Polynomial, ``sum(c * x**k for k, c in enumerate(coefficients))``, as a sum of `Monomial`.

    Parameters
    ----------
    coefficients : tuple of floats
        From degree 0 up, to 60 at most.

    Examples
    --------
    >>> from sklearn_ntk import NNGPKernel
    >>> from sklearn_ntk.activations import Polynomial
    >>> act = Polynomial((0.0, 1.0, 0.5))  # x + x^2 / 2
    >>> NNGPKernel(depth=1, activation=act).diag([[1.0, 2.0]]).round(3)
    array([67.])
    """

    coefficients: tuple = (0.0, 1.0)

    def fn(self, x):
        return np.polynomial.polynomial.polyval(x, self.coefficients)

    def expand(self, variance):
        terms = [
            (order, power, twice, c * factor)
            for degree, c in enumerate(self.coefficients)
            for order, power, twice, factor in _monomial(degree)
            if c != 0.0
        ]
        return _expand(terms or [(0, 0, 0, 0.0)], variance)


@activation("hermite", degree=degrees(HIGHEST))
class Hermite(NamedTuple):
    """Normalised Hermite polynomial of a degree d: rows of unit variance have the dual ``rho^d``.

    Otherwise the coefficient of order ``n = d - 2 i`` is ``sqrt(d! / n!) s^n (s^2 - 1)^i / (2^i
    i!)``, from the multiplication theorem.

    Parameters
    ----------
    degree : int
        From 0 to 60.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ntk import NNGPKernel
    >>> from sklearn_ntk.activations import Hermite
    >>> kernel = NNGPKernel(depth=1, activation=Hermite(3), weight_var=1.0, bias_var=0.0)
    >>> kernel(np.sqrt(2.0) * np.array([[1.0, 0.0], [0.6, 0.8]])).round(6)  # 0.6 ** 3
    array([[1.   , 0.216],
           [0.216, 1.   ]])
    """

    degree: int = 2

    def fn(self, x):
        series = np.zeros(self.degree + 1)
        series[-1] = factorial(self.degree) ** -0.5
        return np.polynomial.hermite_e.hermeval(x, series)

    def expand(self, variance):
        d = self.degree
        terms = [
            (d - 2 * i, d - 2 * i, i, sqrt(comb(d, 2 * i) * comb(2 * i, i) / 4**i))
            for i in range(d // 2 + 1)
        ]
        return _expand(terms, variance)
