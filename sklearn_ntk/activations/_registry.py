"""The table of activations, and what turns a name into one."""

import difflib
from typing import Any, NamedTuple

import numpy as np

from .._runtime.check import is_number
from .._values import value
from ..formulas.tracing import Graph

MOST_FEATURES = 6
"""Number of features for which compiled code has room."""


@value
class Domain(NamedTuple):
    """Values that a parameter may have: a test, the wording of the error, and their type."""

    test: Any
    wording: str
    convert: Any = float


def _is_numbers(x):
    is_row = isinstance(x, (tuple, list)) or (isinstance(x, np.ndarray) and x.ndim == 1)
    return is_row and len(x) > 0 and all(map(is_number, x))


def degrees(last):
    """Domain of a degree."""
    return Domain(
        lambda x: is_number(x) and x in range(last + 1), f"a whole number from 0 to {last}", int
    )


FINITE = Domain(is_number, "a finite number")
POSITIVE = Domain(lambda x: is_number(x) and x > 0, "a positive number")
NEGATIVE = Domain(lambda x: is_number(x) and x < 0, "a negative number")
NUMBERS = Domain(_is_numbers, "a tuple of finite numbers", lambda x: tuple(map(float, x)))
FUNCTION = Domain(callable, "a function of arrays", lambda x: x)

UFUNCS = (
    "sqrt, exp, expm1, log, cos, sin, arctan2, arctan, arcsin, arccos, abs, square, maximum and "
    "minimum"
)
"""Functions that formulas may use."""

ACTIVATIONS = {}
"""Registered classes whose parameters have defaults, by their snake_case name."""


def activation(name, **domains):
    """Register a class under ``name``; ``domains`` names the `Domain` of each field but `FINITE`.

    Its formulas may use arithmetic, integer powers up to 4, comparisons, and the ufuncs `UFUNCS`. A
    comparison times a number selects it; a sum of comparisons alone is "or", a product "and", as in
    NumPy.

    A class whose function has a jump says so by ``jumps = True``: its kernels have no gradients
    with respect to rows.

    A class with fields other than numbers has a method ``traced``, which returns the same as a
    value of numbers only, of a class whose formulas have the other fields written out in them. So
    may have one that is a special case of another class, to share its code.
    """

    def register(cls):
        if name in ACTIVATIONS:
            raise ValueError(f"An activation named {name!r} exists already: choose another name.")
        cls.name = name
        cls.domains = domains
        cls.is_series = hasattr(cls, "expand")
        cls.is_linear = getattr(cls, "is_linear", False)
        cls.jumps = getattr(cls, "jumps", False)
        if not hasattr(cls, "traced"):
            cls.traced = lambda self: self
            if not cls.is_series:
                _check_features(cls)
        if cls.is_series and not hasattr(cls, "orders"):
            cls.orders = _all_orders
        if _defaults_serve(cls):
            ACTIVATIONS[name] = cls
            cls.__str__ = lambda self: str(self.name) if self == cls() else repr(self)
        return value(cls)

    return register


def _defaults_serve(cls):
    """Whether all parameters have defaults, and these are in the domains."""
    defaults = cls._field_defaults
    tests = (cls.domains.get(field, FINITE).test(x) for field, x in defaults.items())
    return len(defaults) == len(cls._fields) and all(tests)


def _all_orders(self, n):
    """Orders of ``n`` coefficients, none of which is left out."""
    return np.arange(float(n))


def _check_features(cls):
    """Count the features of a row, by a trace."""
    graph = Graph()
    n_features = len(cls(*graph.inputs(*cls._fields)).features(*graph.inputs("variance")))
    if n_features > MOST_FEATURES:
        raise ValueError(
            f"The features of {cls.__name__} must be at most {MOST_FEATURES} arrays; got "
            f"{n_features}: let dual compute some of them from the others."
        )


def as_activation(spec):
    """Return the activation that ``spec``, a registered name or an activation, stands for.

    Examples
    --------
    >>> from sklearn_ntk.activations import as_activation
    >>> as_activation("leaky_relu")
    LeakyReLU()
    """
    if isinstance(spec, str):
        if spec not in ACTIVATIONS:
            near = difflib.get_close_matches(spec, ACTIVATIONS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"Unknown activation {spec!r}: choose one of {', '.join(sorted(ACTIVATIONS))}, "
                f"or pass an object of sklearn_ntk.activations.{hint}"
            )
        return ACTIVATIONS[spec]()
    if not is_activation(spec):
        hint = ", such as 'relu' or ReLU()"
        if callable(spec) and not isinstance(spec, type):
            hint = ": for a function of your own, Numerical(fn)"
        raise TypeError(
            f"activation must be a name or an object of sklearn_ntk.activations{hint}; "
            f"got {spec!r}."
        )
    act = type(spec)(*map(_checked, [spec] * len(spec), spec._fields, spec))
    act.traced()  # or an error
    return act


def _checked(owner, field, parameter):
    """A parameter of an activation in its type, or an error that says what it must be."""
    domain = owner.domains.get(field, FINITE)
    if not domain.test(parameter):
        raise ValueError(
            f"{field} of {type(owner).__name__} must be {domain.wording}; got {parameter!r}."
        )
    return domain.convert(parameter)


def is_activation(spec):
    """Whether ``spec`` is an activation rather than a layer or a name."""
    return not isinstance(spec, type) and hasattr(type(spec), "is_series")
