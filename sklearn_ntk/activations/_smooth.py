"""Smooth activations without a closed dual, by Hermite series.

The series of those made of the logistic function are exact at any variance (see `_mixtures`). The
coefficients of Mish are integrated by quadrature (see `_expand`).
"""

from typing import NamedTuple

import numpy as np

from ._expand import expand_smooth
from ._mixtures import Terms, even_orders, expand_mixture, odd_orders
from ._registry import activation


def _below(*coefficients):
    """Array (n_terms, n_rows): coefficients (n_rows,) of low orders, then (n, n_rows) others."""
    *low, high = coefficients
    return np.concatenate([np.stack(low), high])


@activation("tanh")
class Tanh(NamedTuple):
    """Hyperbolic tangent, ``gain * tanh(x)``.

    Its kernel is a Hermite series (Daniely, Frostig and Singer, NeurIPS 2016), exact at any
    variance: a mixture of those of error functions (Andrews and Mallows, JRSS B 1974).

    Parameters
    ----------
    gain : float
        The upper limit.

    Examples
    --------
    >>> from sklearn_ntk import NNGPKernel
    >>> NNGPKernel(depth=1, activation="tanh").diag([[1.0, 2.0]]).round(6)
    array([2.387845])
    """

    gain: float = 1.0

    def fn(self, x):
        return self.gain * np.tanh(x)

    def orders(self, n):
        return odd_orders(n)

    def expand(self, variance):
        def make(std, n):
            terms = Terms(std, 2.0, n - 1)
            a, da = 2.0 * terms.odd, terms.order * terms.once
            return np.abs(self.gain) * terms.share, _below(0.0 * std, a), _below(0.0 * std, da)

        return expand_mixture(self, make, 0.0, variance)


@activation("sigmoid")
class Sigmoid(NamedTuple):
    """Logistic sigmoid, ``gain / (1 + exp(-x))``, exact at any variance, like `Tanh`.

    Parameters
    ----------
    gain : float
        The upper limit.

    Examples
    --------
    >>> from sklearn_ntk import NTKKernel
    >>> NTKKernel(depth=1, activation="sigmoid").diag([[1.0, 2.0]]).round(3)
    array([2.03])
    """

    gain: float = 1.0

    def fn(self, x):
        return 0.5 * self.gain * (1.0 + np.tanh(0.5 * x))

    def orders(self, n):
        return odd_orders(n)

    def expand(self, variance):
        def make(std, n):
            terms = Terms(std, 1.0, n - 1)
            a = terms.share * terms.odd
            da = 0.5 * terms.share * terms.order * terms.once
            return np.abs(self.gain) + 0.0 * std, _below(0.5 + 0.0 * std, a), _below(0.0 * std, da)

        return expand_mixture(self, make, 0.5 * self.gain, variance)


@activation("softplus")
class Softplus(NamedTuple):
    """Smooth rectifier, ``gain * log(1 + exp(x))``, exact at any variance, like `Tanh`.

    Parameters
    ----------
    gain : float
        The slope far to the right.

    Examples
    --------
    >>> from sklearn_ntk import NTKKernel
    >>> NTKKernel(depth=1, activation="softplus").diag([[1.0, 2.0]]).round(3)
    array([11.995])
    """

    gain: float = 1.0

    def fn(self, x):
        return self.gain * np.logaddexp(0.0, x)

    def orders(self, n):
        return even_orders(n)

    def expand(self, variance):
        def make(std, n):
            terms = Terms(std, 1.0, n - 2)
            p, first = terms.share, 0.5 * terms.share
            zeroth = terms.density @ (1.0 / terms.ratio).T / np.sqrt(2.0 * np.pi)
            dzeroth = 0.5 * p * p * (terms.density @ terms.ratio.T) / np.sqrt(2.0 * np.pi)
            part = p * p / np.sqrt(terms.order + 1.0)
            a = part * terms.odd
            da = 0.5 * (a + part * terms.order * terms.once)
            amplitude = np.abs(self.gain) * np.hypot(1.0, std)
            return amplitude, _below(zeroth, first, a), _below(dzeroth, 0.5 * first, da)

        return expand_mixture(self, make, self.gain * np.log(2.0), variance)


@activation("silu")
class SiLU(NamedTuple):
    """Sigmoid linear unit or swish, ``gain * x / (1 + exp(-x))``; exact at any variance, as `Tanh`.

    Parameters
    ----------
    gain : float
        The slope far to the right.

    Examples
    --------
    >>> from sklearn_ntk import NTKKernel
    >>> NTKKernel(depth=1, activation="silu").diag([[1.0, 2.0]]).round(3)
    array([12.293])
    """

    gain: float = 1.0

    def fn(self, x):
        return 0.5 * self.gain * x * (1.0 + np.tanh(0.5 * x))

    def orders(self, n):
        return even_orders(n)

    def expand(self, variance):
        def make(std, n):
            terms = Terms(std, 1.0, n - 2)
            order, half = terms.order, 0.5 + 0.0 * std
            zeroth, dzeroth = terms.share * terms.odd[0], 0.5 * terms.share * terms.once[0]
            part = terms.share / np.sqrt(order + 1.0)
            a = part * (terms.odd + order * terms.once)
            da = part * order * ((0.5 * order + 1.0) * terms.twice - 0.5 * terms.once)
            zeros = _below(zeroth, half, a), _below(dzeroth, 0.0 * std, da)
            return np.abs(self.gain) * std, zeros[0], zeros[1] + 0.5 * zeros[0]

        return expand_mixture(self, make, 0.0, variance)


@activation("mish")
class Mish(NamedTuple):
    """Mish, ``gain * x * tanh(log(1 + exp(x)))`` (Misra, BMVC 2020).

    Its kernel is a Hermite series of at most 256 terms, enough for pre-activations with standard
    deviations up to 2; beyond that, a warning gives the possible error.

    Parameters
    ----------
    gain : float
        The slope far to the right.

    Examples
    --------
    >>> from sklearn_ntk import NTKKernel
    >>> NTKKernel(depth=1, activation="mish").diag([[1.0, 2.0]]).round(3)
    array([13.091])
    """

    gain: float = 1.0

    def fn(self, x):
        return self.gain * x * np.tanh(np.logaddexp(0.0, x))

    def expand(self, variance):
        return expand_smooth(self, self.fn, 0.0, 0.75 * np.pi, variance)
