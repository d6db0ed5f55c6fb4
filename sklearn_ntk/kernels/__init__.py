"""NTK and NNGP as kernels of `sklearn.gaussian_process`: values, gradients, hyperparameters."""

from ._nngp import NNGPKernel
from ._ntk import NTKKernel

__all__ = ["NNGPKernel", "NTKKernel"]
