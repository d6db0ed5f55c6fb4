"""The kernels of wide networks on scikit-learn's Gaussian-process kernel API."""

from ._nngp import NNGPKernel
from ._ntk import NTKKernel

__all__ = ["NNGPKernel", "NTKKernel"]
