"""How much memory is free, and the refusal of what would not fit."""

from pathlib import Path

_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def _read(path):
    """Text of a file of the system, or nothing where it does not exist."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def free_memory():
    """Free memory in bytes, of the machine or of its container; infinite if that is not known."""
    found = [float("inf")]
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            found.append(1024.0 * float(line.split()[1]))
    for limit, usage in _CGROUPS:
        numbers = [_read(path).strip() for path in (limit, usage)]
        if all(number.isdigit() for number in numbers):
            found.append(float(numbers[0]) - float(numbers[1]))
    return max(min(found), 0.0)


def check_memory(n_bytes, what, remedy):
    """Raise MemoryError, which says what to do, if so many bytes are not free."""
    free = free_memory()
    if n_bytes > free:
        raise MemoryError(
            f"{what} needs {n_bytes / 1e9:.3g} GB of memory and {free / 1e9:.3g} GB are free: "
            f"{remedy}."
        )
