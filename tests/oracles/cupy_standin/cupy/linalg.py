"""Linear algebra; as in CuPy, failures show only as NaN unless `cupyx.errstate` asks for errors."""

import numpy as np
from numpy.linalg import LinAlgError

import cupy


def cholesky(a):
    import cupyx

    try:
        return cupy.ndarray(np.linalg.cholesky(a._host))
    except LinAlgError:
        if cupyx.geterr()["linalg"] == "raise":
            raise
        return cupy.ndarray(np.full(a.shape, np.nan))


def eigh(a, UPLO="L"):
    return tuple(map(cupy.ndarray, np.linalg.eigh(a._host, UPLO)))


def eigvalsh(a, UPLO="L"):
    return cupy.ndarray(np.linalg.eigvalsh(a._host, UPLO))


def solve(a, b):
    return cupy.ndarray(np.linalg.solve(a._host, b._host))


def norm(x, ord=None, axis=None, keepdims=False):
    return cupy.ndarray(np.linalg.norm(x._host, ord, axis, keepdims))
