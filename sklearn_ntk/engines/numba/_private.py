"""Uses of numba's internals, which may change: disk cache, memory of arrays, function addresses.

All are here, and `tests/engines/test_numba_private.py` fails for those that a version of numba
lacks.
"""

import contextlib
import uuid

from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array


def mend_cache(dispatcher):
    """Ignore errors when code is saved to disk, and give each file of the cache a random number.

    Numba numbers its files in order: two processes that save the same function for different types
    would take the same number, and the index of one would refer to the code of the other.
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
    """Pointer to an entry of a contiguous array, counted from its beginning."""
    return builder.gep(make_array(kind)(context, builder, array).data, [place], inbounds=True)


def address_of(step, arguments):
    """Address of a compiled step for arguments of these types; compiles or loads it."""
    step.compile(types.void(*arguments))
    result = step.overloads[arguments]
    return result.library.get_pointer_to_function(result.fndesc.llvm_func_name)


@intrinsic
def call(typing_context, place, number, tile):
    """Call the step at the address ``place`` with the arguments ``(number, tile)``."""

    def generate(context, builder, signature, arguments):
        convention, types_ = context.call_conv, signature.args[1:]
        kind = convention.get_function_type(signature.return_type, types_)
        function = builder.inttoptr(arguments[0], kind.as_pointer())
        convention.call_function(builder, function, signature.return_type, types_, arguments[1:])
        return context.get_dummy_value()

    return types.void(types.int64, number, tile), generate
