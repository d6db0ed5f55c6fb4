"""Infinitely wide neural networks for scikit-learn."""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "EmpiricalNTKKernel": "kernels",
    "NNGPKernel": "kernels",
    "NTKKernel": "kernels",
    "NTKRandomFeatures": "kernels",
    "NTKClassifier": "estimators",
    "NTKClassifierCV": "model_selection",
    "NTKRegressor": "estimators",
    "NTKRegressorCV": "model_selection",
}
_SUBMODULES = (
    "activations",
    "architectures",
    "dask",
    "dynamics",
    "finite",
    "gram",
    "kernels",
    "layers",
    "model_selection",
    "plotting",
    "solvers",
    "spectrum",
)

__all__ = [*_HOMES, *_SUBMODULES]


def __getattr__(name):
    """Import a public class or submodule at its first use: the package itself loads quickly."""
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    if name in _SUBMODULES:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
