"""Compiles steps from source code; they are cached on disk and called by their addresses.

A compiled step is a function of its number and a `Tile` or `Lines`. All steps of a kind have the
same signature, so that the interpreter is compiled once, for all networks. A new network compiles
only steps that no network before it had.
"""

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
from numba import config, njit, types
from numba.extending import intrinsic

from ..._runtime import memory
from ...formulas import gaps, writing
from ..packing import lines, tile
from ..packing.tile import Results, Tile, TileSide
from ..sources.lines import N_LANES
from ._private import address_of, mend_cache, pointer
from .arithmetic import hide, read, with_runs, write

OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
INNER = {**OPTIONS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


@cache
def _version():
    """Digest of the files that compiled functions depend on, which numba's disk cache ignores."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    files += [Path(module.__file__) for module in (tile, lines, memory, writing, gaps)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def compiled(function, options=OPTIONS):
    """Compile a function at its first call, with a cache on disk if there is a directory for it.

    The cache finds a function by its name and ignores what it calls: the name gets a `_version`.
    """
    if config.DISABLE_JIT:
        raise RuntimeError(
            "The compiled engine of sklearn_ntk needs numba's compiler, which NUMBA_DISABLE_JIT="
            f"{config.DISABLE_JIT} switches off: unset NUMBA_DISABLE_JIT."
        )
    version = f"_{_version()}"
    function.__qualname__ = function.__qualname__.removesuffix(version) + version
    try:
        dispatcher = njit(cache=True, **options)(function)
    except RuntimeError:  # no directory for the cache
        return njit(**options)(function)
    mend_cache(dispatcher)
    return dispatcher


def _reader(is_apart):
    """Intrinsic that returns an entry of a contiguous array, counted from its beginning."""

    @intrinsic
    def get(typing_context, array, place):
        def generate(context, builder, signature, arguments):
            return read(builder, pointer(context, builder, array, *arguments), is_apart)

        return array.dtype(array, types.intp), generate

    return get


def _setter(is_apart):
    """Intrinsic that writes an entry of a contiguous array."""

    @intrinsic
    def put(typing_context, array, place, number):
        def generate(context, builder, signature, arguments):
            target = pointer(context, builder, array, *arguments[:2])
            write(builder, target, arguments[2], is_apart)
            return context.get_dummy_value()

        return types.void(array, types.intp, array.dtype), generate

    return put


load, fetch = _reader(False), _reader(True)
"""Entries of arrays; what `fetch` reads no `put` of the same function writes."""

store, put = _setter(False), _setter(True)
"""Writers of entries of arrays; where `put` writes no `fetch` of the same function reads."""


@intrinsic
def opaque(typing_context, number):
    """The same number, hidden from the compiler's constant folding."""

    def generate(context, builder, signature, arguments):
        return hide(context, builder, *arguments)

    return number(number), generate


@intrinsic
def select(typing_context, truth, yes, no):
    """``yes if truth else no``, without a branch."""

    def generate(context, builder, signature, arguments):
        truth = context.cast(builder, arguments[0], signature.args[0], types.boolean)
        return builder.select(truth, *arguments[1:])

    return yes(truth, yes, yes), generate


def from_source(text, single):
    """Compile the source of a function, under a name made of its digest for the disk cache."""
    kind = np.float32 if single else np.float64
    digest = hashlib.sha256(f"{kind}{N_LANES[kind.__name__]}{text}".encode()).hexdigest()
    name = f"loop_{digest[:16]}"
    text = text.replace("def loop", f"def {name}", 1)
    names = {"F": kind, "load": load, "store": store, "opaque": opaque, "select": select}
    names |= {"fetch": fetch, "put": put, "LANES": N_LANES[kind.__name__]}
    text, runs = with_runs(text, kind)
    return compiled(writing.build(text, __file__, **names, **runs), INNER)


def signature(dtype):
    """Numba types of the arguments of a step on a tile: its number, and a `Tile` of this dtype."""
    single = {np.float32: types.float32, np.float64: types.float64}[dtype.type]

    def real(n_axes, kind=single):
        return types.Array(kind, n_axes, "C")

    double = [real(2, types.float64), real(1, types.float64)]
    side = types.NamedTuple(
        [*double, *[real(1)] * 3, real(3), real(4), real(2), real(2), types.int64], TileSide
    )
    results = types.NamedTuple([real(3), real(3), real(4), real(4)], Results)
    whole = types.Array(types.int64, 1, "C")
    tile = types.NamedTuple(
        [
            *(real(2), types.Array(types.int64, 2, "C"), real(2), side, side, single),
            *(types.boolean, real(2), results, *[types.int64] * 4, whole, whole),
            *(real(3), real(4), real(3), real(2), real(2)),
        ],
        Tile,
    )
    return types.int64, tile


@cache
def address(step, dtype):
    """Address of a compiled step for tiles of this dtype; compiles it, or loads it from disk."""
    return address_of(step, signature(dtype))
