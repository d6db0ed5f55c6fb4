"""A stand-in for CuPy on a machine without a GPU: arrays, CUDA text run by the system's compiler.

It has the part of CuPy that the package may use, and is stricter: no array becomes one of NumPy's,
or meets one, unless `asarray`, `asnumpy` or `get` copy it; fresh memory is full of NaN; `LOG`
counts the bytes that are copied, and launches; `set_limit` sets the memory of the device.
"""

import itertools
import weakref

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

__version__ = "0.stand-in"

float32, float64, int32, int64 = np.float32, np.float64, np.int32, np.int64


class Log:
    """Counts bytes copied to and from the device, launches of kernels, and bytes in use."""

    def __init__(self):
        self.used, self.limit, self.pool_limit = 0, float("inf"), 0
        self.clear()

    def clear(self):
        self.to_device = self.from_device = self.launches = self.allocations = 0


LOG = Log()


def set_limit(n_bytes):
    """Bytes of the device's memory."""
    LOG.limit = n_bytes


def _free(n_bytes):
    LOG.used -= n_bytes


class _Pointer:
    def __init__(self, ptr):
        self.ptr = ptr


class ndarray(NDArrayOperatorsMixin):
    """An array of the device: a view of an array of NumPy that owns its memory."""

    __array_priority__ = 100

    def __init__(self, host, base=None):
        """Array of a NumPy array that nothing else refers to, or a view of memory of ``base``."""
        host = np.asarray(host)
        self._host, self._base = host, base
        self.device = cuda.Device() if base is None else base.device
        if base is None:
            LOG.allocations += 1
            limit = np.fmin(LOG.limit, LOG.pool_limit or LOG.limit)
            if LOG.used + host.nbytes > limit:
                raise cuda.memory.OutOfMemoryError(host.nbytes, LOG.used, limit)
            LOG.used += host.nbytes
            weakref.finalize(self, _free, host.nbytes)

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: _Flags(self._host.flags))
    T = property(lambda self: self._view(self._host.T))
    data = property(lambda self: _Pointer(self._host.ctypes.data))

    def _view(self, host):
        return ndarray(host, self if self._base is None else self._base)

    def _result(self, host):
        """A view if the result shares this memory, else a new array."""
        if isinstance(host, np.ndarray) and np.may_share_memory(host, self._host):
            return self._view(host)
        return ndarray(host)

    def __reduce__(self):
        return array, (self.get(order="A"),)

    def __array__(self, *arguments, **options):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct "
            "a NumPy array explicitly."
        )

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        if method != "__call__":
            return NotImplemented
        hosts = [_host(x) for x in inputs]
        if out is None:
            result = ufunc(*hosts, **options)
            return tuple(map(ndarray, result)) if isinstance(result, tuple) else ndarray(result)
        ufunc(*hosts, out=tuple(_host(x) for x in out), **options)
        return out[0]

    def __array_function__(self, function, types, arguments, options):
        place = linalg if function.__module__ == "numpy.linalg" else globals()
        place = place if isinstance(place, dict) else vars(place)
        own = place.get(function.__name__)
        if own is None or not all(issubclass(kind, ndarray) for kind in types):
            return NotImplemented
        return own(*arguments, **options)

    def __getitem__(self, key):
        return self._result(self._host[_key(key)])

    def __setitem__(self, key, value):
        self._host[_key(key)] = _host(value)

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __repr__(self):
        return repr(self.get())

    def _number(self):
        LOG.from_device += self.nbytes
        return self._host[()]

    def __bool__(self):
        return bool(self._number())

    def __float__(self):
        return float(self._number())

    def __int__(self):
        return int(self._number())

    def item(self):
        return self._number().item()

    def get(self, stream=None, order="C", out=None, blocking=True):
        LOG.from_device += self.nbytes
        if out is None:
            return np.array(self._host, order=order)
        assert out.shape == self.shape and out.dtype == self.dtype and out.flags.c_contiguous
        out[...] = self._host
        return out

    def set(self, values):
        assert isinstance(values, np.ndarray)
        LOG.to_device += values.nbytes
        self._host[...] = values

    def astype(self, dtype, copy=True):
        if not copy and self.dtype == dtype:
            return self
        return ndarray(self._host.astype(dtype))

    def copy(self, order="C"):
        return ndarray(self._host.copy(order=order))

    def max(self, axis=None, out=None, keepdims=False):
        return ndarray(self._host.max(axis=axis, keepdims=keepdims))

    def min(self, axis=None, out=None, keepdims=False):
        return ndarray(self._host.min(axis=axis, keepdims=keepdims))


class _Flags:
    """Only what CuPy's flags have."""

    def __init__(self, flags):
        self.c_contiguous, self.f_contiguous = flags.c_contiguous, flags.f_contiguous
        self.owndata = flags.owndata

    def __getitem__(self, name):
        return getattr(self, name.lower())


def _host(value):
    """NumPy's array or number of an argument; arrays of NumPy are refused, as CuPy does."""
    if isinstance(value, ndarray):
        if value.device != cuda.Device():
            raise ValueError("The device where the array resides is not the current device")
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    return value


def _key(key):
    """Index as NumPy takes it."""
    return tuple(map(_host, key)) if isinstance(key, tuple) else _host(key)


def _hosts(value):
    """Nested lists and tuples of NumPy's arrays and numbers."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(_hosts, value))
    return _host(value)


def _method(name):
    def method(self, *arguments, **options):
        return self._result(getattr(self._host, name)(*_hosts(arguments), **options))

    return method


for _name in (
    *("reshape", "ravel", "transpose", "swapaxes", "squeeze", "diagonal", "view", "repeat"),
    *("sum", "mean", "prod", "any", "all", "dot", "argmin", "argmax", "argsort", "cumsum", "var"),
    *("round", "clip", "take", "conj"),
):
    setattr(ndarray, _name, _method(_name))


def _function(function, without=()):
    """A function of NumPy for arrays of the device; ``without`` are options that CuPy lacks."""

    def call(*arguments, **options):
        assert not options.keys() & set(without), options
        options = {name: _hosts(value) for name, value in options.items()}
        found = function(*_hosts(arguments), **options)
        if "out" in options:
            return next(a for a in itertools.chain(arguments, [None]))
        if isinstance(found, (tuple, list)):
            return type(found)(map(ndarray, found))
        if isinstance(found, int):
            return found
        owners = [a for a in arguments if isinstance(a, ndarray)]
        return owners[0]._result(found) if owners else ndarray(found)

    return call


for _name in (
    *("concatenate", "stack", "vstack", "column_stack", "moveaxis", "swapaxes", "reshape"),
    *("zeros_like", "ones_like", "full_like", "zeros", "ones", "full", "arange", "eye", "tri"),
    *("dot", "matmul", "einsum", "outer", "tensordot", "sum", "mean", "any", "all", "where"),
    *("diag", "diagonal", "trace", "tril", "triu", "clip", "ravel", "transpose", "expand_dims"),
    *("argsort", "argmin", "argmax", "sort", "cumsum", "median", "nonzero", "flatnonzero"),
    *("average", "hypot", "shape"),
    *("broadcast_to", "take_along_axis", "repeat", "tile", "squeeze", "prod", "linspace"),
    *(
        "array_equal",
        "allclose",
        "size",
        "isfinite",
        "isnan",
        "sqrt",
        "exp",
        "log",
        "maximum",
        "minimum",
    ),
):
    globals()[_name] = _function(getattr(np, _name))
max = amax = _function(np.max, ("initial", "where"))
min = amin = _function(np.min, ("initial", "where"))


def empty(shape, dtype=float):
    """Memory full of NaN, or of large numbers."""
    dtype = np.dtype(dtype)
    return ndarray(np.full(shape, np.nan if dtype.kind == "f" else 2**30 + 1, dtype))


def empty_like(a, dtype=None):
    return empty(a.shape, dtype or a.dtype)


def asarray(a, dtype=None, order=None):
    """Array on the device; one from the host is copied in its own order, and counted."""
    if isinstance(a, ndarray):
        return a if dtype is None else a.astype(dtype, copy=False)
    is_fortran = isinstance(a, np.ndarray) and a.flags.fnc and order != "C"
    host = np.array(a, dtype, order="F" if order == "F" or is_fortran else "C")
    if host.dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {host.dtype}")
    LOG.to_device += host.nbytes
    return ndarray(host)


def array(a, dtype=None, copy=True):
    return asarray(a, dtype).copy() if isinstance(a, ndarray) else asarray(a, dtype)


def ascontiguousarray(a, dtype=None):
    a = asarray(a, dtype)
    return a if a.flags.c_contiguous else a.copy()


def asnumpy(a, stream=None, order="C", out=None):
    return a.get(out=out) if isinstance(a, ndarray) else np.asarray(a)


def may_share_memory(a, b):
    return np.may_share_memory(a._host, b._host)


def get_array_module(*arrays):
    return __import__("cupy") if any(isinstance(a, ndarray) for a in arrays) else np


def is_available():
    return True


class _Pool:
    def used_bytes(self):
        return LOG.used

    def free_bytes(self):
        return 0

    def free_all_blocks(self):
        pass

    def get_limit(self):
        return LOG.pool_limit

    def set_limit(self, size):
        LOG.pool_limit = size


def get_default_memory_pool():
    return _Pool()


from . import cuda, linalg  # noqa: E402
from ._raw import RawModule  # noqa: E402

__all__ = ["RawModule", "cuda", "linalg", "ndarray"]
