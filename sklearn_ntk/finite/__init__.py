"""Finite networks: the kernels of networks with the parameters that they have.

`_signals` has the contraction from which all kernels come, `_kernels` the empirical kernels,
`_features` random features of them, `_random_features` those of wide perceptrons, `_regression`
predictions by them, `_influence` what training rows do to predictions. `_readers` is the table of
models that are understood; `_sklearn` and `_torch` read those of scikit-learn and torch. `_network`
draws networks from layers: `_drawing` makes the `_operations` of their instructions, which
`_running` runs, and `_functions` has derivatives of activations. `_lazy` is the report on lazy
training, and `_lazy_start` what it compares. Only `_torch` imports torch, the extra ``torch``.
"""

from importlib import import_module

from .._values import publish
from ._features import TangentFeatures, tangent_features
from ._influence import influence
from ._kernels import empirical_nngp, empirical_ntk, empirical_ntk_diagonal
from ._lazy import LazyTrainingReport
from ._lazy_start import Checkpoint
from ._network import FiniteNetwork, sample_network
from ._readers import needs_torch
from ._regression import empirical_regression

__all__ = [
    "Checkpoint",
    "EmpiricalNTKKernel",
    "FiniteNetwork",
    "LazyTrainingReport",
    "Linearized",
    "TangentFeatures",
    "TaskAddition",
    "TaskVector",
    "empirical_nngp",
    "empirical_ntk",
    "empirical_ntk_diagonal",
    "empirical_regression",
    "influence",
    "normalized_accuracy",
    "sample_network",
    "tangent_features",
]

_HOMES = {
    "EmpiricalNTKKernel": "..kernels",
    "Linearized": "._torch",
    "TaskAddition": "._torch",
    "TaskVector": "._torch",
    "normalized_accuracy": "._torch",
}
"""Modules imported at the first use: of scikit-learn, which nothing here knows, and of torch."""

publish(__name__, globals())


def __getattr__(name):
    """Import what needs scikit-learn, or torch, at its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name], __name__), name)
    except ModuleNotFoundError as error:
        raise needs_torch(name, error) from None
