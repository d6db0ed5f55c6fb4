"""Which tests are slow because of what they compile."""

import pytest

from sklearn_ntk.activations import ACTIVATIONS

QUICK = {"relu", "erf", "sin", "tanh", "monomial", "sign"}
"""One activation of each kind of formulas; loops of each of the others take seconds to compile."""

COMPILING = {"engines", "gram", "kernels"}
"""Folders whose tests compile loops of the activations that they are parametrised by."""


def pytest_collection_modifyitems(items):
    """Mark tests of what is not quick."""
    for item in items:
        if item.path.parent.name in COMPILING and hasattr(item, "callspec"):
            names = {x for x in item.callspec.params.values() if isinstance(x, str)}
            if names & ACTIVATIONS.keys() - QUICK:
                item.add_marker(pytest.mark.slow)
