"""Factorisations of LAPACK in place, while other threads of Python run and Ctrl-C ends the wait.

SciPy's own wrappers hold the interpreter's lock for as long as LAPACK works: the factorisations of
several threads follow each other, and an interrupt waits. Here, the addresses that SciPy exports
for Cython are called by ctypes, which gives up the lock.

Matrices (n, n) are in single or double precision. What is not in Fortran order, or may not be
overwritten, is copied.
"""

import ctypes
from functools import cache

import numpy as np
from scipy import linalg
from scipy.linalg import cython_lapack

from .threads import check_wanted, run_apart

LONG = 2000
"""Rows from which on a factorisation is run apart: it takes longer than the start of a thread."""

_name_of = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(
    ("PyCapsule_GetName", ctypes.pythonapi)
)
_address_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


def potrf(A):
    """Lower Cholesky factor of a symmetric matrix, zeros above it; None if not positive definite.

    Only the lower half is read.
    """
    A = _own(A)
    if _call("potrf", b"L", len(A), A, max(1, len(A))):
        return None
    for column in range(1, len(A)):
        A[:column, column] = 0.0
    return A


def trtri(L):
    """Inverse of a lower triangular matrix; what is above its diagonal stays."""
    L = _own(L)
    _call("trtri", b"L", b"N", len(L), L, max(1, len(L)))
    return L


def syevd(A):
    """Increasing eigenvalues (n,) of a symmetric matrix, and eigenvectors as columns.

    Only the lower half is read. Raises LinAlgError if they are not found.
    """
    A = _own(A)
    n = len(A)
    size, integer = 1 + 6 * n + 2 * n * n, _function("syevd", A.dtype.char)[1]
    if integer(size).value != size:  # about 33,000 rows
        return linalg.eigh(A, driver="evr", overwrite_a=True, check_finite=False)
    values, work = np.empty(n, A.dtype), np.empty(size, A.dtype)
    integers = np.empty(3 + 5 * n, integer)
    problem = b"V", b"L", n, A, max(1, n), values
    if _call("syevd", *problem, work, len(work), integers, len(integers)):
        raise np.linalg.LinAlgError(f"The eigenvalues of a matrix of {n} rows were not found.")
    return values, A


def _own(A):
    """A square matrix that LAPACK may overwrite."""
    if A.ndim != 2 or A.shape[0] != A.shape[1]:
        raise ValueError(f"A matrix must be square; got shape {A.shape}.")
    return np.require(A, None if A.dtype in (np.float32, np.float64) else np.float64, "FW")


def _call(name, *arguments):
    """What a function says of its end, zero if it is as it should be; arrays are overwritten."""
    check_wanted()
    A = next(each for each in arguments if isinstance(each, np.ndarray))
    function, integer = _function(name, A.dtype.char)
    info = integer(0)

    def run():  # has the arrays, which live as long as it does
        function(*(_reference(each, integer) for each in arguments), ctypes.byref(info))
        return info.value

    return run_apart(run) if len(A) >= LONG else run()


def _reference(value, integer):
    """Pointer to a letter, a number or the entries of an array."""
    if isinstance(value, bytes):
        return ctypes.c_char_p(value)
    if isinstance(value, int):
        return ctypes.byref(integer(value))
    return ctypes.c_void_p(value.ctypes.data)


@cache
def _function(name, letter):
    """Callable of pointers, for NumPy's "f" or "d", and its integers, which may have 64 bits."""
    capsule = cython_lapack.__pyx_capi__[{"f": "s", "d": "d"}[letter] + name]
    signature = _name_of(capsule)
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * signature.count(b"*"))
    is_short = b", int *" in signature
    return prototype(_address_of(capsule, signature)), ctypes.c_int if is_short else ctypes.c_int64
