"""Where arrays are and where computations run: the names of devices, and arrays of CuPy.

Nothing here imports CuPy: an array can be one of CuPy's only if someone else has imported it.
"""

import re
import reprlib
import sys
from contextlib import ExitStack, contextmanager, nullcontext

import numpy as np

NAME = re.compile(r"cpu|cuda(?::(\d{1,4}))?")


def is_on_device(array):
    """Whether this is an array of CuPy, in the memory of a GPU."""
    return isinstance(array, getattr(sys.modules.get("cupy"), "ndarray", ()))


def check_library(array, name):
    """Raise ValueError for an array on a GPU that is not of CuPy."""
    if hasattr(array, "__cuda_array_interface__") and not is_on_device(array):
        raise ValueError(
            f"{name} must be an array of NumPy or of CuPy; got one on a GPU of another library: "
            f"pass cupy.asarray of it."
        )


def device_name(array):
    """Name of the device that has an array of CuPy in its memory; None for other arrays."""
    return f"cuda:{array.device.id}" if is_on_device(array) else None


def on_host(array):
    """The array as one of NumPy, copied from the memory of a GPU if it is there."""
    return array.get() if is_on_device(array) else array


def product(A, B):
    """``A @ B`` where B is: an array of NumPy meets a matrix on a GPU there, and comes back."""
    if is_on_device(A) and not is_on_device(B):
        with A.device:
            return (A @ np.asarray(B, like=A)).get()
    return A @ B


def as_here():
    """Function that gives another thread a context with the device and stream of this one.

    CUDA has them for each thread. Where it cannot be used, as in a fork of a process that has used
    it, the context is empty.
    """
    try:
        cuda = sys.modules["cupy"].cuda
        device, stream = cuda.Device(), cuda.get_current_stream()
    except (KeyError, AttributeError, ImportError, RuntimeError):
        return nullcontext

    @contextmanager
    def entered():
        with ExitStack() as stack:
            try:
                stack.enter_context(device)
                stack.enter_context(stream)
            except RuntimeError:
                stack.close()
            yield

    return entered


def read_device(device):
    """Pair (kind, number) of ``device``: None, "cpu" or "cuda", and a number or None."""
    if device is None:
        return None, None
    found = NAME.fullmatch(device) if isinstance(device, str) else None
    if found is None:
        raise ValueError(
            f"device must be None, 'cpu', 'cuda' or 'cuda:' and a number; got "
            f"{reprlib.repr(device)}."
        )
    number = found[1] and int(found[1])
    return ("cpu" if device == "cpu" else "cuda"), number


def place_of(arrays, device):
    """Pair (kind, number) of where to compute with arrays: "cpu" or "cuda", and a number or None.

    Raises ValueError for arrays of several places, or that are not on this device.
    """
    kind, number = read_device(device)
    place = place_together(arrays, "X and Y")
    if place is None:
        return kind or "cpu", number
    if kind == "cpu" or number not in (None, place):
        raise ValueError(
            f"device={device!r} cannot take arrays of {_names({place})}: copy the rows, or leave "
            f"it at None, which a fitted model takes by kernel_.set_params(device=None)."
        )
    return "cuda", place


def place_together(arrays, names):
    """Number of the device that has all of the arrays, None for those of NumPy.

    Raises ValueError for arrays of several places.
    """
    places = {array.device.id if is_on_device(array) else None for array in arrays}
    if len(places) > 1:
        raise ValueError(
            f"{names} must be in the memory of one device; got {_names(places)}: copy one by "
            f"cupy.asarray or cupy.asnumpy."
        )
    return places.pop()


def check_host(arrays, what):
    """Raise ValueError if one of the arrays, which ``what`` takes, is in the memory of a GPU."""
    if any(map(is_on_device, arrays)):
        raise ValueError(
            f"{what} are computed from arrays of NumPy; got one of CuPy: copy it by cupy.asnumpy."
        )


def _names(places):
    """Names of places, for errors."""
    numbers = sorted(place for place in places if place is not None)
    names = ["NumPy"] * (None in places) + [f"CuPy on device {number}" for number in numbers]
    return " and ".join(names)
