"""Rows of a torch module from arrays and tensors."""

import reprlib
from contextlib import contextmanager

import numpy as np
import torch
from torch.utils.data import Dataset

from ._state import in_short


def read_rows(X, parameters):
    """Rows as a tensor on the device of the parameters, complex ones as such.

    Arrays get the precision of the first parameter, and so do tensors in one that none has.
    """
    is_tensor = isinstance(X, torch.Tensor)
    rows = X if is_tensor else _of_array(X)
    if rows.layout != torch.strided:
        raise ValueError(
            f"X must be a dense tensor; got layout {rows.layout}: call its to_dense()."
        )
    rows = rows.detach().to(parameters[0].device if parameters else rows.device).contiguous()
    dtypes = [each.dtype.to_real() for each in parameters if _is_of_numbers(each)]
    if dtypes and (rows.dtype == torch.bool or _is_of_numbers(rows)):
        if not is_tensor or rows.dtype == torch.bool or rows.dtype.to_real() not in dtypes:
            rows = rows.to(dtypes[0].to_complex() if rows.is_complex() else dtypes[0])
    return rows


def _is_of_numbers(tensor):
    """Whether these are real or complex numbers, not whole ones."""
    return tensor.is_floating_point() or tensor.is_complex()


def _of_array(X):
    """Tensor of an array of numbers; raises ValueError, also for several inputs."""
    is_several = isinstance(X, tuple) and any(isinstance(each, torch.Tensor) for each in X)
    try:
        if is_several or isinstance(X, Dataset):
            raise TypeError
        array = np.array(X)
        kind = np.float64 if array.dtype == np.longdouble else array.dtype.newbyteorder("=")
        return torch.from_numpy(array.astype(kind, copy=False))
    except (TypeError, ValueError):
        raise ValueError(
            f"X must be a tensor or an array of numbers with the rows on its first axis; got "
            f"{reprlib.repr(X)}: make rows equally long, and wrap a model of several inputs in a "
            f"module that takes one."
        ) from None


@contextmanager
def tells_of_rows(rows):
    """Where an error of a model tells which rows it was given."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.cuda.OutOfMemoryError):
            raise
        remedy = "if they are no tokens, make them real numbers."
        if _is_of_numbers(rows):
            remedy = "the first axis has the rows; torch.nn.Unflatten gives flat ones a shape."
        raise ValueError(
            f"X must be rows that the model takes; got {rows.dtype} of shape {tuple(rows.shape)} "
            f"({in_short(error)}): {remedy}"
        ) from error
