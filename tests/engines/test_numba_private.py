"""A version of numba that lacks what `engines/numba/_private.py` takes of it is told by name."""

import inspect
import re
from operator import attrgetter
from pathlib import Path

import numba
import pytest
from numba import types

from sklearn_ntk.engines.numba import _private


def triple(place, number):
    place[0] = 3 * number


@pytest.fixture
def dispatcher(monkeypatch, tmp_path):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    return numba.njit(cache=True)(triple)


def check(holder, names, what):
    """Fail with what is missing."""
    for name in names:
        try:
            attrgetter(name)(holder)
        except AttributeError:
            pytest.fail(
                f"numba {numba.__version__} has no {name} of {what}, which "
                f"sklearn_ntk/engines/numba/_private.py uses: change it there."
            )


def test_disk_cache(dispatcher):
    names = ("_cache.save_overload", "_cache._cache_file._data_name")
    check(dispatcher, names, "a compiled function")
    name_of = dispatcher._cache._cache_file._data_name
    assert list(inspect.signature(name_of).parameters) == ["number"]
    assert name_of(1) != name_of(2)


def test_addresses(dispatcher):
    arguments = types.int64[::1], types.int64
    dispatcher.compile(types.void(*arguments))
    check(dispatcher, ["overloads"], "a compiled function")
    names = ("library.get_pointer_to_function", "fndesc.llvm_func_name")
    check(dispatcher.overloads[arguments], names, "its compiled code")
    assert _private.address_of(dispatcher, arguments) > 0


def test_code_generation():
    check(numba.np.arrayobj, ["make_array"], "the module numba.np.arrayobj")
    names = ("call_conv.get_function_type", "call_conv.call_function", "get_dummy_value")
    check(numba.core.registry.cpu_target.target_context, names, "the target context")


def test_mended_cache(dispatcher, monkeypatch):
    """No two saves of a function share a file, and a full disk is no error."""

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(type(dispatcher._cache), "save_overload", fail)
    _private.mend_cache(dispatcher)
    name_of = dispatcher._cache._cache_file._data_name
    assert name_of(1) != name_of(1)
    dispatcher.compile((types.int64[::1], types.int64))


def test_no_other_file_is_private():
    """All other files of the engine leave these names alone."""
    names = "_cache|fndesc|overloads|make_array|call_conv|get_pointer_to_function"
    private = Path(_private.__file__)
    for file in private.parent.glob("*.py"):
        found = re.findall(rf"(?:\.|import )(?:{names})\b", file.read_text(encoding="utf-8"))
        assert bool(found) == (file == private), file.name
