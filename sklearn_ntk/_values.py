"""Immutable values: NamedTuples that compare by type and fields, and print non-default fields.

As plain tuples, ``ReLU(1.0)`` and ``Abs(1.0)`` would be equal; as values they are not. Layers,
activations and instructions are values. `publish` gives public names the module from which users
import them.
"""

import sys

import numpy as np


def value(cls):
    """Decorator of a NamedTuple class: equality and hash look at the type, too; a short repr.

    Fields that are lists or arrays count as tuples of the same entries.
    """
    cls.__eq__ = lambda self, other: type(self) is type(other) and _key(self) == _key(other)
    cls.__ne__ = lambda self, other: not self == other
    cls.__hash__ = lambda self: hash(_key(self))
    if cls.__repr__.__module__ == "collections":  # the class does not define a repr
        cls.__repr__ = _represented
    return cls


def publish(home, namespace):
    """Set ``__module__`` to ``home`` for the classes and functions that this module exports.

    They are looked up in ``namespace``, and left alone if they are not there. Pickles, `help` and
    `repr` then name the module from which users import them.
    """
    for name in sys.modules[home].__all__:
        member = namespace.get(name)
        if hasattr(member, "__qualname__"):  # a class or a function
            member.__module__ = home


def _plain(field):
    """A field, with lists and arrays as tuples."""
    if isinstance(field, np.ndarray):
        field = field.tolist()
    return tuple(map(_plain, field)) if isinstance(field, list) else field


def _key(self):
    """What is the same for equal values."""
    return type(self).__qualname__, *map(_plain, self)


def complete(cls, defaults):
    """Copy to a class the attributes of ``defaults`` that it lacks: NamedTuples cannot inherit."""
    for name, default in vars(defaults).items():
        if not name.startswith("__") and not hasattr(cls, name):
            setattr(cls, name, default)
    return cls


def _represented(self):
    """``Name(field=value, ...)`` with the fields that differ from their defaults."""
    defaults = self._field_defaults
    texts = [
        f"{name}={_text(field)}"
        for name, field in zip(self._fields, self, strict=True)
        if name not in defaults or not _is_same(field, defaults[name])
    ]
    return f"{type(self).__name__}({', '.join(texts)})"


def _text(field):
    """The name of a function or class, the repr of any other value."""
    name = getattr(field, "__qualname__", None) or getattr(field, "__name__", None)
    return name or repr(field)


def _is_same(field, default):
    """Whether a field equals its default; False for arrays, whose ``==`` is an array."""
    try:
        is_equal = field == default
    except ValueError:  # arrays whose shapes do not broadcast
        return False
    return isinstance(is_equal, (bool, np.bool_)) and bool(is_equal)
