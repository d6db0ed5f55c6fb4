"""Values: NamedTuples that know their type apart.

As tuples, ``ReLU(1.0)`` and ``Abs(1.0)`` are equal; as values they must not be.
"""


def value(cls):
    """Make a NamedTuple equal only to values of its own type; usable as a decorator."""
    cls.__eq__ = lambda self, other: type(self) is type(other) and tuple.__eq__(self, other)
    cls.__ne__ = lambda self, other: not self == other
    cls.__hash__ = lambda self: hash((type(self).__qualname__, *self))
    return cls
