"""Free memory of the machine or container, an error before it runs out, and aligned arrays."""

import math
import os
import reprlib
from pathlib import Path, PurePosixPath

import numpy as np

from .check import read_number

LINE_BYTES = 64
"""Bytes of a cache line, on most machines."""

SMALL = 2**26
"""Bytes up to which `check_memory` does not look: reading the free memory takes half a ms."""

_ROOT = "/sys/fs/cgroup"

_KINDS = {
    "memory": ("/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
    "": ("", "memory.max", "memory.current", ""),
}
"""By controller of a control group, of version 1 and 2: the folder, the files of limit and usage,
and the prefix of the names in ``memory.stat``."""


def _read(path):
    """Text of a file, or the empty string where it cannot be read."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def free_memory():
    """Free memory in bytes, of the machine or of its container; infinite if that is not known."""
    return max(0.0, min([float("inf"), *_of_machine(), *_of_groups()]))


def _of_machine():
    """Available memory of the machine; where that is unknown, its physical memory."""
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            yield 1024.0 * float(line.split()[1])
            return
    try:
        yield float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return


def _of_groups():
    """Memory left below the limit of each control group of this process and of their parents."""
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        for name in _KINDS.keys() & controllers.split(","):
            for part in (PurePosixPath(group), *PurePosixPath(group).parents):
                yield from _of_group(*_KINDS[name], str(part).rstrip("/"))


def _of_group(folder, limit, usage, prefix, group):
    """Limit minus usage plus the page cache, which the kernel drops when memory is needed."""
    path = f"{_ROOT}{folder}{group}/"
    numbers = [_read(path + name).strip() for name in (limit, usage)]
    if all(number.isdigit() for number in numbers):
        statistics = dict(line.split() for line in _read(path + "memory.stat").splitlines())
        files = (statistics.get(f"{prefix}{kind}active_file", 0) for kind in ("", "in"))
        yield float(numbers[0]) - float(numbers[1]) + sum(map(float, files))


def _gigabytes(n_bytes):
    return f"{n_bytes / 1e9:.3g}" if n_bytes < 1e12 else f"{n_bytes / 1e9:,.0f}"


def check_memory(n_bytes, what, remedy):
    """Raise MemoryError if ``n_bytes`` are not free; ``remedy`` is what to do."""
    if n_bytes > SMALL and n_bytes > (free := free_memory()):
        raise MemoryError(
            f"{what} needs {_gigabytes(n_bytes)} GB of memory and {_gigabytes(free)} GB are free: "
            f"{remedy}."
        )


def aligned_empty(shape, dtype):
    """Uninitialised array that begins at a cache line, so that streaming stores fill whole ones."""
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(n_bytes + LINE_BYTES, np.uint8)
    start = -memory.__array_interface__["data"][0] % LINE_BYTES
    return memory[start : start + n_bytes].view(dtype).reshape(shape)


_UNITS = {"kB": 1e3, "MB": 1e6, "GB": 1e9}


def read_memory(value, name="memory"):
    """Bytes, from a number of them or a text such as "512 MB"."""
    number, unit = value, 1.0
    try:
        if isinstance(value, str):
            text = value.strip()
            number, unit = float(text[:-2]), _UNITS[text[-2:]]
        return unit * read_number(number, name, is_positive=True)
    except (KeyError, ValueError):
        raise ValueError(
            f"{name} must be a number of bytes > 0 or a text such as '512 MB'; got "
            f"{reprlib.repr(value)}."
        ) from None
