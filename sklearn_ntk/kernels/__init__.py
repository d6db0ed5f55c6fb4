"""The kernels of wide networks on scikit-learn's Gaussian-process kernel API."""

from ._network import NNGPKernel, NTKKernel

__all__ = ["NNGPKernel", "NTKKernel"]
