"""Which tests are slow because of what they compile."""

import pytest

LONG = {"elu", "selu"}
"""Activations whose formulas a compiler takes half a minute for; tests without one use values."""


def pytest_collection_modifyitems(items):
    """Mark what is parametrised by the name of a long one."""
    for item in items:
        parameters = getattr(item, "callspec", None)
        if parameters and any(x in LONG for x in parameters.params.values() if type(x) is str):
            item.add_marker(pytest.mark.slow)
