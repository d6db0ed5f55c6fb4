"""Which tests are slow or thorough by what they compile, and fixtures for engines and devices."""

import sys

import gpu as gpus
import pytest
from plain import QUICK

from sklearn_ntk.activations import ACTIVATIONS
from sklearn_ntk.engines import _work

COMPILING = {"engines", "gram", "kernels"}
"""Folders whose tests compile loops of the activations that they are parametrised by."""


def name_of(value):
    """Name of an activation or of its class; of other parameters, a name that no activation has."""
    return value if isinstance(value, str) else str(getattr(value, "name", ""))


def pytest_collection_modifyitems(items):
    """Mark tests of what is not quick, but for those of the reference engine alone.

    What is thorough is slow, too.
    """
    for item in items:
        compiles = item.path.parent.name in COMPILING and not item.get_closest_marker("reference")
        if compiles and hasattr(item, "callspec"):
            names = {name_of(value) for value in item.callspec.params.values()}
            if names & ACTIVATIONS.keys() - QUICK:
                item.add_marker(pytest.mark.thorough)
        if item.get_closest_marker("thorough"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def seed_of_torch():
    """Modules of a test are the same whichever tests ran before it."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture
def gpu():
    """CuPy on a GPU, or its stand-in."""
    with gpus.ready() as cupy:
        yield cupy


def is_on_gpu(value):
    """Whether a parameter of a test is a kernel or an estimator on a GPU."""
    get = getattr(value, "get_params", None)
    devices = [v for name, v in get().items() if name.endswith("device")] if get else []
    return any(str(each).startswith("cuda") for each in devices)


@pytest.fixture(autouse=True)
def gpu_of_parameters(request):
    """A GPU, or the stand-in, for tests whose parameters are on it."""
    values = request.node.callspec.params.values() if hasattr(request.node, "callspec") else ()
    if any(is_on_gpu(value) for value in values if not isinstance(value, type)):
        request.getfixturevalue("gpu")


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    """Where kernels and estimators compute: on the processor, and on a GPU or its stand-in."""
    if request.param == "cuda":
        request.getfixturevalue("gpu")
    return request.param


@pytest.fixture(params=["numba", "reference", "cuda"])
def engine(request, monkeypatch):
    """Compute by this engine where no device is named."""
    if request.param != "cuda":
        monkeypatch.setitem(_work.ENGINES, "cpu", request.param)
        yield request.param
        return
    with gpus.default():
        yield request.param
