"""Kernels of CUDA text and their arguments."""

from functools import cache

import numpy as np

from .devices import library, with_room

_NUMBERS = {"int": np.int32, "place_t": np.int64, "float": np.float32, "double": np.float64}
"""NumPy types of parameters that are numbers, by their types in C++."""


@cache
def kernel_of(module, kinds, name):
    """A kernel of a module of `sources` for `Kinds`."""
    return _compiled(module, kinds).get_function(name)


@cache
def _compiled(module, kinds):
    """All kernels of a module for `Kinds`, which CuPy compiles together and keeps on disk."""
    return library().RawModule(code=module.source(kinds), options=("-std=c++17",))


def launch(module, kinds, grid, block, values):
    """Run the kernel of a module of `sources` for `Kinds`, with arguments by name.

    CUDA refuses a grid of no blocks, for which there is nothing to do.
    """
    if 0 in grid:
        return
    number = "float" if kinds.single else "double"
    arguments = []
    for name, kind in module.PARAMETERS.items():
        value, kind = values[name], number if kind == "T" else kind
        if kind.endswith("*"):
            arguments.append(np.uint64(0) if value is None else value)
        else:
            arguments.append(_NUMBERS[kind](value))
    kernel = with_room(kernel_of, module, kinds, module.NAME)
    with_room(kernel, grid, block, tuple(arguments))
