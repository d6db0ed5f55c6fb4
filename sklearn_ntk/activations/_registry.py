"""The table of activations, and what turns a name into one."""

import difflib
import numbers

import numpy as np

from .._values import value

POSITIVE = (lambda x: np.isfinite(x) and x > 0, "a positive number")
NEGATIVE = (lambda x: np.isfinite(x) and x < 0, "a negative number")
"""Domains of parameters: a test, and the wording of the error."""

ACTIVATIONS = {}
"""Registered classes by their snake_case name."""


def activation(name, **domains):
    """Register a class under ``name``; ``domains`` names a test and a wording for each field.

    Its formulas may use arithmetic, integer powers up to 4, comparisons, and the ufuncs sqrt, exp,
    expm1, cos, sin, abs, arctan2, maximum and minimum.
    """

    def register(cls):
        if name in ACTIVATIONS:
            raise ValueError(f"An activation named {name!r} exists already: choose another name.")
        cls.name = name
        cls.domains = domains
        cls.is_series = False
        cls.__str__ = lambda self: str(self.name) if self == cls() else repr(self)
        if cls.__module__.startswith(__package__):
            cls.__module__ = __package__  # where users find it, and pickles of later versions
        ACTIVATIONS[name] = cls
        return value(cls)

    return register


def as_activation(spec):
    """Return the activation that ``spec``, a registered name or an activation, stands for.

    Examples
    --------
    >>> from sklearn_ntk.activations import as_activation
    >>> as_activation("leaky_relu")
    LeakyReLU(leak=0.01)
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
    if isinstance(spec, type) or getattr(type(spec), "name", None) not in ACTIVATIONS:
        raise TypeError(
            f"activation must be a name or an object of sklearn_ntk.activations, such as "
            f"'relu' or ReLU(); got {spec!r}."
        )
    return type(spec)(*map(_checked, [spec] * len(spec), spec._fields, spec))


def _checked(owner, field, number):
    """A parameter of an activation as a float, or an error that says what it must be."""
    test, wording = owner.domains.get(field, (np.isfinite, "a finite number"))
    if isinstance(number, bool) or not isinstance(number, numbers.Real) or not test(number):
        raise ValueError(f"{field} of {type(owner).__name__} must be {wording}; got {number!r}.")
    return float(number)


def is_activation(spec):
    """Whether ``spec`` is an activation rather than a layer or a name."""
    return getattr(type(spec), "name", None) in ACTIVATIONS
