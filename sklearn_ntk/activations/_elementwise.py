"""Activations that users give by their dual kernels, as formulas."""

import numbers
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from .._values import value
from ..formulas.special import safe_inverse, within_rounding
from ..formulas.tracing import Graph, Node, differentiate
from ..formulas.writing import build, source
from ._registry import FUNCTION, UFUNCS, Domain, activation

STEP = 2.0**-10
"""Relative step of standard deviations in the difference quotient of `_features`."""

ARGUMENTS = ("cov12", "var1", "var2")
DUAL = Domain(callable, "a function of a covariance and two variances", lambda x: x)


def _or_none(domain):
    test = lambda x: x is None or domain.test(x)  # noqa: E731
    return Domain(test, f"{domain.wording}, or None", domain.convert)


@activation("elementwise", fn=_or_none(FUNCTION), nngp_fn=DUAL, d_nngp_fn=_or_none(DUAL))
class Elementwise(NamedTuple):
    """Your own activation, given by its dual kernel, with the arguments of neural-tangents.

    The kernel must be a formula like those of the package: arithmetic, integer powers up to 4,
    comparisons in place of branches, and the NumPy functions sqrt, exp, expm1, log, cos, sin,
    arctan2, arctan, arcsin, arccos, abs, square, maximum and minimum. It is traced, differentiated
    and compiled once for each function object. If only the function ``f`` is known, `Numerical`
    finds its kernel.

    The distance of two rows after the activation is a difference of kernels, which loses digits to
    rounding. For rows so close that all digits would be lost, it is the distance before, times the
    derivative. Use ``np.maximum(..., 0.0)`` under a square root that rounding may make negative. If
    the derivative of ``nngp_fn`` is unbounded for equal rows, give ``d_nngp_fn``, which is more
    accurate.

    Parameters
    ----------
    fn : callable, optional
        The function f itself; kernels do not need it.
    nngp_fn : callable
        ``nngp_fn(cov12, var1, var2)`` is ``E[f(u) f(v)]`` for normal u and v with mean zero and
        these variances and covariance. Values are equal if their functions are the same objects;
        for pickling, functions must have a name in a module.
    d_nngp_fn : callable, optional
        ``E[f'(u) f'(v)]``, by default the derivative of ``nngp_fn`` with respect to the covariance.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ntk import NTKKernel
    >>> from sklearn_ntk.activations import Elementwise
    >>> def squares(cov12, var1, var2):  # of x^2
    ...     return 2.0 * cov12**2 + var1 * var2
    >>> X = np.array([[1.0, 0.0], [0.6, 0.8]])
    >>> ours, theirs = (NTKKernel(1, act) for act in (Elementwise(None, squares), "monomial"))
    >>> bool(np.allclose(ours(X), theirs(X)))
    True
    """

    fn: Any = None
    nngp_fn: Any = None
    d_nngp_fn: Any = None

    def traced(self):
        """The same activation, as an instance of a class without fields for these functions."""
        return _traced_class(self)()

    def variance(self, v):
        return self.features(v)[1] ** 2

    def features(self, v):
        return self.traced().features(v)

    def dual(self, q, left, right):
        return self.traced().dual(q, left, right)


@cache
def _traced_class(act):
    """Class of an activation without fields, whose formulas contain the functions of ``act``."""
    graph = Graph()
    inputs = graph.inputs(*ARGUMENTS)
    kernel = _called(act, "nngp_fn", inputs)
    if act.d_nngp_fn is not None:
        slope = _called(act, "d_nngp_fn", inputs)
    else:
        is_node = isinstance(kernel, Node)
        (slope,) = differentiate([kernel], {inputs[0]: 1.0}) if is_node else (0.0,)
    pair = build(source("pair", dict.fromkeys(ARGUMENTS, ()), (kernel, slope)))

    @value
    class Traced(NamedTuple):
        def __repr__(self):
            return repr(act)

        def features(self, v):
            return _features(pair, v)

        def dual(self, q, left, right):
            return _dual(pair, q, left, right)

    Traced.is_series = Traced.is_linear = Traced.jumps = False
    Traced.name = act.name
    return Traced


def _called(act, name, inputs):
    """Result of a function of the user for nodes; raises TypeError if it is no formula."""
    try:
        result = getattr(act, name)(*inputs)
    except Exception as error:
        result, seen = None, f"it raised {type(error).__name__}: {error}"
    else:
        seen = f"it returned {type(result).__name__}"
    if not isinstance(result, (Node, numbers.Real)):
        raise TypeError(
            f"{name} of {act!r} must be a formula of three numbers, of arithmetic, integer powers "
            f"up to 4, comparisons and the NumPy functions {UFUNCS}, without branches; {seen}"
        )
    return result


def _features(pair, v):
    """Features: both standard deviations, the variance before, and ``stretch``.

    That is the root of the gap, behind the activation, of two parallel rows with standard
    deviations ``(1 -+ STEP) std``, divided by the difference of these.
    """
    std = np.sqrt(v)
    low, high = v * (1.0 - STEP) ** 2, v * (1.0 + STEP) ** 2
    std_new, std_low, std_high = (np.sqrt(_variance(pair, x)) for x in (v, low, high))
    gap = 2.0 * (std_low * std_high - pair(v * (1.0 - STEP**2), low, high)[0])
    stretch = np.sqrt(np.maximum(gap, 0.0)) * safe_inverse(2.0 * STEP * std)
    return std, std_new, 1.0 * v, stretch


def _variance(pair, v):
    """Variance ``E[f(u)^2]`` behind the activation, at least zero."""
    return np.maximum(pair(v, v, v)[0] + 0.0 * v, 0.0)


def _dual(pair, q, left, right):
    """Gap and slope: the gap as a difference of kernels, within its rounding by linearisation."""
    apart = left[0] - right[0]
    kernel, slope = pair(left[0] * right[0] - 0.5 * q, left[2], right[2])
    close = q * slope + left[3] * right[3] * (apart * apart)
    gap = within_rounding(close, 2.0 * left[1] * right[1], 2.0 * kernel)
    return gap, slope + 0.0 * q
