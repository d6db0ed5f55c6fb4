"""Linear algebra; as in CuPy, failures show only as NaN unless `cupyx.errstate` asks for errors."""

import numpy as np
from numpy.linalg import LinAlgError

import cupy

MOST = 2**62
"""Rows up to which eigenvalues are found."""


def _fails(error):
    """Raise an error if `cupyx.errstate` asks for it."""
    import cupyx

    if cupyx.geterr()["linalg"] == "raise":
        raise error


def cholesky(a):
    try:
        return cupy.ndarray(np.linalg.cholesky(a._host))
    except LinAlgError as error:
        _fails(error)
        return cupy.ndarray(np.full(a.shape, np.nan))


def eigh(a, UPLO="L"):
    if len(a) > MOST:
        _fails(LinAlgError("Error reported by xsyevd in cuSOLVER. devInfo = 1."))
    return tuple(map(cupy.ndarray, np.linalg.eigh(a._host, UPLO)))


def eigvalsh(a, UPLO="L"):
    return eigh(a, UPLO)[0]


def solve(a, b):
    return cupy.ndarray(np.linalg.solve(a._host, b._host))


def norm(x, ord=None, axis=None, keepdims=False):
    return cupy.ndarray(np.linalg.norm(x._host, ord, axis, keepdims))
