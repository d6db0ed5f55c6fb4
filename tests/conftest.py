"""Which tests are slow because of what they compile."""

import importlib

import gpu as gpus
import pytest
from plain import QUICK

from sklearn_ntk.activations import ACTIVATIONS

COMPILING = {"engines", "gram", "kernels"}
"""Folders whose tests compile loops of the activations that they are parametrised by."""


def name_of(value):
    """Name of an activation or of its class; of other parameters, a name that no activation has."""
    return value if isinstance(value, str) else str(getattr(value, "name", ""))


def pytest_collection_modifyitems(items):
    """Mark tests of what is not quick, but for those of the reference engine alone."""
    for item in items:
        compiles = item.path.parent.name in COMPILING and not item.get_closest_marker("reference")
        if compiles and hasattr(item, "callspec"):
            names = {name_of(value) for value in item.callspec.params.values()}
            if names & ACTIVATIONS.keys() - QUICK:
                item.add_marker(pytest.mark.slow)


@pytest.fixture
def gpu():
    """CuPy on a GPU, or its stand-in."""
    if gpus.has_gpu():
        yield importlib.import_module("cupy")
        return
    if not gpus.has_compiler():
        pytest.skip("needs a GPU, or a C++ compiler")
    with gpus.importable():
        yield importlib.import_module("cupy")
