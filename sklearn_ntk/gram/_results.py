"""Results of a Gram matrix: which ones are wanted, and the arrays for them."""

import math
import reprlib

import numpy as np

from .._runtime.memory import check_memory
from ..engines.packing.tile import Results

NAMES = ("nngp", "ntk")


def names_of(get):
    """The kernels that ``get`` asks for, as a tuple."""
    names = get if isinstance(get, (tuple, list)) else (get,)
    are_names = all(isinstance(name, str) and name in NAMES for name in names)
    if not names or not are_names or len(set(names)) < len(names):
        raise ValueError(f"get must be 'ntk', 'nngp' or a tuple of them; got {reprlib.repr(get)}.")
    return tuple(names)


def allocate(program, shape, get, gradient, dtype, out, rows, empty):
    """Arrays for NNGP, NTK and their derivatives, without entries for those that are not wanted.

    They are those of ``out``, or made by ``empty(shape, dtype)``.
    """
    names = names_of(get)
    numbers = (program.n_outputs, program.n_outputs * (program.n_ntks or 1))
    sizes = [n * (name in names) for n, name in zip(numbers, NAMES, strict=True)]
    shapes = [(n, *shape) if n else (0, 0, 0) for n in sizes]
    shapes += [(*s, 2) if gradient else (0, 0, 0, 0) for s in shapes]
    if out is not None:
        return _within(program, shapes, get, gradient, dtype, out, rows)
    single = "" if dtype == np.float32 else "dtype='float32', "
    check_memory(
        sum(map(math.prod, shapes)) * dtype.itemsize,
        f"A Gram matrix of {shape[0]} x {shape[1]} rows{', with derivatives,' * gradient}",
        f"take fewer rows, {single}or sklearn.kernel_approximation.Nystroem with this kernel and a "
        f"linear model",
    )
    return Results(*(empty(s, dtype) for s in shapes))


def _within(program, shapes, get, gradient, dtype, out, rows):
    """Results of these shapes whose memory is that of ``out``."""
    results = [np.empty([0] * len(shape), dtype) for shape in shapes]
    others = [X for X, _ in rows]
    for first, level in enumerate(_entries(out, 2) if gradient else [out]):
        items = [level] if isinstance(get, str) else _entries(level, len(get))
        for name, item in zip(names_of(get), items, strict=True):
            k = 2 * first + NAMES.index(name)
            shape = (*_axes(program, name), *shapes[k][1:])
            is_array = isinstance(item, np.ndarray) and item.dtype == dtype
            if not is_array or item.shape != shape or not item.flags.carray:
                raise ValueError(
                    f"out must have a C-contiguous, writeable array of {dtype} and shape {shape} "
                    f"for {'the derivatives of ' * first}the {name}; got {_about(item)}."
                )
            if any(np.may_share_memory(item, other) for other in others):
                raise ValueError("out must not share memory with X, with Y or with itself.")
            others.append(item)
            results[k] = np.asarray(item).reshape(shapes[k])  # a matrix would keep its two axes
    return Results(*results)


def _about(item):
    """What to say of an array that does not fit."""
    if not isinstance(item, np.ndarray):
        return f"an object of type {type(item).__name__}"
    return f"{item.dtype} and shape {item.shape}{'' if item.flags.carray else ', not so laid out'}"


def _entries(item, n):
    """The entries of a part of ``out`` that must have so many."""
    if not isinstance(item, (tuple, list)) or len(item) != n:
        raise ValueError(
            f"out must be a tuple of {n}, as the result is for this get and gradient; got "
            f"{f'{len(item)} of them' if isinstance(item, (tuple, list)) else _about(item)}."
        )
    return item


def select(program, get, gradient, results):
    """What was asked for, without the axis of the outputs if there is only one."""
    places = [NAMES.index(name) for name in names_of(get)]
    picked = []
    for first in (0, 2)[: 1 + gradient]:
        found = ((_axes(program, NAMES[k]), results[first + k]) for k in places)
        items = tuple(result.reshape(*axes, *result.shape[1:]) for axes, result in found)
        picked.append(items[0] if isinstance(get, str) else items)
    return tuple(picked) if gradient else picked[0]


def _axes(program, name):
    """Axes of a result in front of those for rows: several NTKs, and several outputs."""
    axes = (program.n_outputs,) if program.n_outputs > 1 else ()
    is_several = name == "ntk" and program.n_ntks is not None
    return (program.n_ntks, *axes) if is_several else axes
