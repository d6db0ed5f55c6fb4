COUNT = 2


class CUDARuntimeError(RuntimeError):
    pass


def getDeviceProperties(device):
    return {"name": b"stand-in for a GPU"}


def getDeviceCount():
    if not COUNT:
        raise CUDARuntimeError(
            "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime "
            "version"
        )
    return COUNT
