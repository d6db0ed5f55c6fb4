"""What numba does not promise: its disk cache, how arrays lie, and addresses of functions.

All of it is here, and `tests/test_numba_private.py` says which part of it a version of numba lacks.
"""

import contextlib
import uuid

from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array


def mend_cache(dispatcher):
    """Let no full disk stop a computation, and let no two processes write the same file.

    Numba numbers its files in order. Two processes that save a function for different types at once
    would take the same number, and the index of one would mean the code of the other.
    """
    cache = dispatcher._cache
    save, files = cache.save_overload, cache._cache_file
    name_of = files._data_name

    def save_if_possible(*arguments):
        with contextlib.suppress(OSError):
            save(*arguments)

    cache.save_overload = save_if_possible
    files._data_name = lambda number: name_of(uuid.uuid4().int >> 64)


def pointer(context, builder, kind, array, place):
    """Where an entry of a contiguous array is, counted from its beginning."""
    return builder.gep(make_array(kind)(context, builder, array).data, [place], inbounds=True)


def address_of(step, arguments):
    """Address of a compiled step for arguments of these types; compiles or loads it."""
    step.compile(types.void(*arguments))
    result = step.overloads[arguments]
    return result.library.get_pointer_to_function(result.fndesc.llvm_func_name)


@intrinsic
def call(typing_context, place, number, tile):
    """Call the step at an address, on its number and a tile."""

    def generate(context, builder, signature, arguments):
        convention, types_ = context.call_conv, signature.args[1:]
        kind = convention.get_function_type(signature.return_type, types_)
        function = builder.inttoptr(arguments[0], kind.as_pointer())
        convention.call_function(builder, function, signature.return_type, types_, arguments[1:])
        return context.get_dummy_value()

    return types.void(types.int64, number, tile), generate
