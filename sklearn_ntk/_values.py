"""Values: NamedTuples that know their type apart, and print what differs from the default.

As tuples, ``ReLU(1.0)`` and ``Abs(1.0)`` are equal; as values they must not be.
"""

import numpy as np


def value(cls):
    """Make a NamedTuple equal only to values of its own type; usable as a decorator."""
    cls.__eq__ = lambda self, other: type(self) is type(other) and tuple.__eq__(self, other)
    cls.__ne__ = lambda self, other: not self == other
    cls.__hash__ = lambda self: hash((type(self).__qualname__, *self))
    if cls.__repr__.__module__ == "collections":  # not one of its own
        cls.__repr__ = _represented
    if cls.__module__.startswith(f"{__package__}."):  # where users find it, and later pickles
        cls.__module__ = cls.__module__.partition("._")[0]
    return cls


def complete(cls, answers):
    """Give a class what it lacks of another one, as NamedTuples cannot inherit."""
    for name, answer in vars(answers).items():
        if not name.startswith("__") and not hasattr(cls, name):
            setattr(cls, name, answer)
    return cls


def _represented(self):
    defaults = self._field_defaults
    texts = [
        f"{name}={_text(entry)}"
        for name, entry in zip(self._fields, self, strict=True)
        if name not in defaults or not _is_same(entry, defaults[name])
    ]
    return f"{type(self).__name__}({', '.join(texts)})"


def _text(entry):
    """What stands for an entry: of a function its name."""
    name = getattr(entry, "__qualname__", None) or getattr(entry, "__name__", None)
    return name or repr(entry)


def _is_same(entry, default):
    """Whether an entry equals its default; arrays and other things of many answers do not."""
    try:
        answer = entry == default
    except ValueError:  # of arrays whose shapes do not match
        return False
    return isinstance(answer, (bool, np.bool_)) and bool(answer)
