"""The table of registered activations, checks of their parameters, and look-up by name."""

import difflib
from typing import Any, NamedTuple

import numpy as np

from .._runtime.check import is_number
from .._values import value
from ..formulas.tracing import Graph

MOST_FEATURES = 6
"""Largest number of features: the records of compiled code have room for so many."""


@value
class Domain(NamedTuple):
    """Domain of a parameter: ``test(x)``, its wording in errors, and conversion to its type."""

    test: Any
    wording: str
    convert: Any = float


def _is_numbers(x):
    is_row = isinstance(x, (tuple, list)) or (isinstance(x, np.ndarray) and x.ndim == 1)
    return is_row and len(x) > 0 and all(map(is_number, x))


def degrees(last):
    """Domain of the degrees 0 to ``last``."""
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

SYNONYMS = {
    "swish": "silu", "logistic": "sigmoid", "linear": "identity", "none": "identity",
    "rectifier": "relu", "prelu": "leaky_relu", "lrelu": "leaky_relu", "absolute": "abs",
    "exponential": "exp", "sine": "sin", "siren": "sin", "cosine": "cos",
    "heaviside": "step", "signum": "sign", "sgn": "sign",
}  # fmt: skip
"""Names of ours by those elsewhere, for the hint in errors."""

ACTIVATIONS = {}
"""Registered classes whose parameters have defaults, by their snake_case name."""


def activation(name, **domains):
    """Register a class under ``name``; ``domains`` are those of fields, `FINITE` by default.

    Formulas of the class may use arithmetic, integer powers up to 4, comparisons, the ufuncs sqrt,
    exp, expm1, log, cos, sin, arctan2, arctan, arcsin, arccos, abs, square, maximum and minimum,
    and the functions of `formulas.special`. A comparison times a number selects it. A sum of
    comparisons alone is "or", a product "and", as in NumPy.

    A class whose function has a jump sets ``jumps = True``: its kernels have no gradients with
    respect to rows.

    Programs hold activations whose fields are all numbers. A class with other fields, such as
    functions, has a method ``traced()`` that returns an equivalent activation of another class
    without these fields. A special case of another class may return an instance of that class, so
    that both share compiled code.
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
    """Whether all fields have defaults that are in their domains."""
    defaults = cls._field_defaults
    tests = (cls.domains.get(field, FINITE).test(x) for field, x in defaults.items())
    return len(defaults) == len(cls._fields) and all(tests)


def _all_orders(self, n):
    """Orders 0 to ``n - 1``: the default of ``orders``."""
    return np.arange(float(n))


def _check_features(cls):
    """Raise ValueError if ``features`` returns more than `MOST_FEATURES`, by tracing it."""
    graph = Graph()
    n_features = len(cls(*graph.inputs(*cls._fields)).features(*graph.inputs("variance")))
    if n_features > MOST_FEATURES:
        raise ValueError(
            f"The features of {cls.__name__} must be at most {MOST_FEATURES} arrays; got "
            f"{n_features}: let dual compute some of them from the others."
        )


def as_activation(spec):
    """Activation of a registered name, or the activation ``spec`` itself with checked parameters.

    Examples
    --------
    >>> from sklearn_ntk.activations import as_activation
    >>> as_activation("leaky_relu")
    LeakyReLU()
    """
    if isinstance(spec, str):
        if spec not in ACTIVATIONS:
            name = SYNONYMS.get(spec.lower(), spec.lower())
            near = difflib.get_close_matches(name, ACTIVATIONS, n=1)
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
    act.traced()  # raises an error for functions that cannot be traced
    return act


def _checked(owner, field, parameter):
    """A parameter converted to its type; raises ValueError if it is not in its domain."""
    domain = owner.domains.get(field, FINITE)
    if not domain.test(parameter):
        raise ValueError(
            f"{field} of {type(owner).__name__} must be {domain.wording}; got {parameter!r}."
        )
    return domain.convert(parameter)


def is_activation(spec):
    """Whether ``spec`` is an activation rather than a layer or a name."""
    return not isinstance(spec, type) and hasattr(type(spec), "is_series")
