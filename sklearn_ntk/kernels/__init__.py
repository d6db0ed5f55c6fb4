"""NTK and NNGP as kernels of `sklearn.gaussian_process`: values, gradients, hyperparameters.

`_empirical` has the kernel of a finite network, which has no hyperparameters, `_random_features` a
transformer to features whose inner products approximate the kernel.
"""

from .._values import publish
from ._empirical import EmpiricalNTKKernel
from ._nngp import NNGPKernel
from ._ntk import NTKKernel
from ._random_features import NTKRandomFeatures

__all__ = ["EmpiricalNTKKernel", "NNGPKernel", "NTKKernel", "NTKRandomFeatures"]

publish("sklearn_ntk", globals())
