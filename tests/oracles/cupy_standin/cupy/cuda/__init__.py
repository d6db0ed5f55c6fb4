"""Devices, streams and errors; the number of devices is `runtime.COUNT`."""

import threading

from . import memory, nvrtc, runtime

cublas = cusolver = None  # modules of CUDA's libraries

_current = threading.local()

SHARED = 232448
"""Bytes of shared memory that a block of threads may have."""


class Device:
    """A device, current inside ``with``; without a number, the current one."""

    def __init__(self, device=None):
        self.id = getattr(_current, "id", 0) if device is None else int(device)

    def __enter__(self):
        self._before = getattr(_current, "id", 0)
        self.use()
        return self

    def __exit__(self, *error):
        _current.id = self._before

    def use(self):
        if self.id >= runtime.getDeviceCount():
            raise runtime.CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        _current.id = self.id

    def synchronize(self):
        pass

    @property
    def attributes(self):
        return {"MaxSharedMemoryPerBlockOptin": SHARED}

    @property
    def mem_info(self):
        from cupy import LOG

        return LOG.limit - LOG.used, LOG.limit

    def __int__(self):
        return self.id

    def __eq__(self, other):
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self):
        return self.id


class Stream:
    def synchronize(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


def get_current_stream():
    return Stream()


__all__ = ["Device", "Stream", "get_current_stream", "memory", "nvrtc", "runtime"]
