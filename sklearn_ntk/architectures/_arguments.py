"""Arguments that several architectures have."""

from ..layers import Input


def choose(name, key, table):
    """Entry of a table for the argument ``name``; raises ValueError that lists the keys."""
    if not isinstance(key, (str, int)) or key not in table:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, table))}; got {key!r}.")
    return table[key]


def input_of(shape):
    """`Input` of a shape; raises TypeError if it is no tuple."""
    if not isinstance(shape, (tuple, list)):
        raise TypeError(
            f"shape must be a tuple, (height, width, channels) or (time, channels); got {shape!r}."
        )
    return Input(*shape)
