"""NTK and NNGP as kernels of `sklearn.gaussian_process`: values, gradients, hyperparameters.

`_empirical` has the kernel of a finite network, which has no hyperparameters.
"""

from ._empirical import EmpiricalNTKKernel
from ._nngp import NNGPKernel
from ._ntk import NTKKernel

__all__ = ["EmpiricalNTKKernel", "NNGPKernel", "NTKKernel"]
