"""Finite networks: the kernels of networks with the parameters that they have.

`_signals` has the contraction from which all kernels come, `_kernels` the empirical kernels,
`_features` random features of them, `_readers` the table of models that are understood, `_sklearn`
and `_torch` those of scikit-learn and torch. `_network` draws networks from layers: `_drawing`
makes the `_operations` of their instructions, which `_running` runs, and `_functions` has
derivatives of activations. Only `_torch` imports torch, which is the extra ``torch``.
"""

from importlib import import_module

from ._features import TangentFeatures, tangent_features
from ._kernels import empirical_nngp, empirical_ntk, empirical_ntk_diagonal
from ._network import FiniteNetwork, sample_network

__all__ = [
    "EmpiricalNTKKernel",
    "FiniteNetwork",
    "TangentFeatures",
    "empirical_nngp",
    "empirical_ntk",
    "empirical_ntk_diagonal",
    "sample_network",
    "tangent_features",
]

for _each in map(globals().get, __all__[1:]):
    _each.__module__ = __name__  # the public module


def __getattr__(name):
    """Import the kernel at its first use: it knows scikit-learn, and nothing here does."""
    if name == "EmpiricalNTKKernel":
        return getattr(import_module("..kernels", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
