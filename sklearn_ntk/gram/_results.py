"""The arrays of results, by the arguments ``get``, ``gradient`` and ``out`` of `gram.gram`."""

import math
import reprlib

import numpy as np

from ..engines.packing.tile import Results

NAMES = ("nngp", "ntk")


def names_of(get):
    """The kernels that ``get`` asks for, as a tuple."""
    names = get if isinstance(get, (tuple, list)) else (get,)
    are_names = all(isinstance(name, str) and name in NAMES for name in names)
    if not names or not are_names or len(set(names)) < len(names):
        raise ValueError(f"get must be 'ntk', 'nngp' or a tuple of them; got {reprlib.repr(get)}.")
    return tuple(names)


def allocate(program, shape, get, gradient, dtype, out, apart, engine):
    """`Results` for NNGP, NTK and derivatives, with arrays of size zero for those not wanted.

    The arrays are those of ``out``, which must share no memory with arrays among ``apart``, or made
    by the engine; ``shape`` is (n, m).
    """
    names = names_of(get)
    numbers = (program.n_outputs, program.n_outputs * (program.n_ntks or 1))
    sizes = [n * (name in names) for n, name in zip(numbers, NAMES, strict=True)]
    shapes = [(n, *shape) if n else (0, 0, 0) for n in sizes]
    shapes += [(*s, 2) if gradient else (0, 0, 0, 0) for s in shapes]
    if out is not None:
        return _within(program, shapes, get, gradient, dtype, out, apart, engine.empty)
    single = "" if dtype == np.float32 else "dtype='float32', "
    engine.check_memory(
        sum(map(math.prod, shapes)) * dtype.itemsize,
        f"A Gram matrix of {shape[0]} x {shape[1]} rows{', with derivatives,' * gradient}",
        f"take fewer rows, {single}or sklearn.kernel_approximation.Nystroem with this kernel and a "
        f"linear model",
    )
    return Results(*(engine.empty(s, dtype) for s in shapes))


def _within(program, shapes, get, gradient, dtype, out, apart, empty):
    """`Results` of these shapes whose memory is that of ``out``; raises ValueError if it differs.

    ``out`` is nested as the return value: (kernels, derivatives) with ``gradient``, each a tuple if
    ``get`` is one.
    """
    results = [empty([0] * len(shape), dtype) for shape in shapes]
    kind = type(results[0])
    others = [array for array in apart if isinstance(array, kind)]
    for is_derivative, level in enumerate(_entries(out, 2) if gradient else [out]):
        items = [level] if isinstance(get, str) else _entries(level, len(get))
        for name, item in zip(names_of(get), items, strict=True):
            k = 2 * is_derivative + NAMES.index(name)
            shape = (*_axes(program, name), *shapes[k][1:])
            is_array = isinstance(item, kind) and item.dtype == dtype
            if not is_array or item.shape != shape or not _is_plain(item):
                raise ValueError(
                    f"out must have a C-contiguous, writeable array of {dtype} and shape {shape} "
                    f"for {'the derivatives of ' * is_derivative}the {name}; got {_about(item)}."
                )
            if any(np.may_share_memory(item, other) for other in others):
                raise ValueError("out must not share memory with X, with Y or with itself.")
            others.append(item)
            item = np.asarray(item) if kind is np.ndarray else item  # np.matrix keeps its two axes
            results[k] = item.reshape(shapes[k])
    return Results(*results)


def _is_plain(item):
    """Whether an array is C-contiguous, aligned and writeable."""
    return item.flags.carray if isinstance(item, np.ndarray) else item.flags.c_contiguous


def _about(item):
    """Type and shape of an entry of ``out`` that does not fit, for the error."""
    if not hasattr(item, "flags"):
        return f"an object of type {type(item).__name__}"
    return f"{item.dtype} and shape {item.shape}{'' if _is_plain(item) else ', not so laid out'}"


def _entries(item, n):
    """A tuple or list of ``out``, which must have ``n`` entries."""
    if not isinstance(item, (tuple, list)) or len(item) != n:
        raise ValueError(
            f"out must be a tuple of {n}, as the result is for this get and gradient; got "
            f"{f'{len(item)} of them' if isinstance(item, (tuple, list)) else _about(item)}."
        )
    return item


def select(program, get, gradient, results):
    """Return value of `gram.gram` from `Results`, or of `gram.diagonal`, which have an axis less.

    Kernels come first and then, with ``gradient``, derivatives. Results have an axis of outputs in
    front; the return value has it only if there are several.
    """
    places = [NAMES.index(name) for name in names_of(get)]
    returned = []
    for first in (0, 2)[: 1 + gradient]:
        arrays = [(NAMES[k], results[first + k]) for k in places]
        items = tuple(a.reshape(*_axes(program, name), *a.shape[1:]) for name, a in arrays)
        returned.append(items[0] if isinstance(get, str) else items)
    return tuple(returned) if gradient else returned[0]


def _axes(program, name):
    """Lengths of the axes before those of rows: NTKs and outputs, each if there are several."""
    axes = (program.n_outputs,) if program.n_outputs > 1 else ()
    is_several = name == "ntk" and program.n_ntks is not None
    return (program.n_ntks, *axes) if is_several else axes
