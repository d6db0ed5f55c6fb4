"""Engines are exchangeable: whole Gram matrices of every kind of network by each of them."""

import subprocess
import sys

import gpu
import numpy as np
import pytest
from contract_positions import fewer_networks, program_of, rows_of

from sklearn_ntk.architectures import mlp, resmlp
from sklearn_ntk.engines import _work
from sklearn_ntk.gram import diagonal, gram
from sklearn_ntk.layers import Dense, Dropout, LayerNorm, Output, Residual, lower

BOTH = ("nngp", "ntk")
ROWS = {
    "perceptron": mlp(2, "erf"),
    "series": mlp(2, "mish"),
    "residual": resmlp(2),
    "normalised": (Dense(), LayerNorm(), "gelu", Dropout(0.2), Dense()),
    "outputs": (Dense(), Output(), "relu", Dense(), Output(), "abs", Dense()),
    "twice residual": (Dense(), Residual((Residual(("relu", Dense())), "erf", Dense())), Dense()),
}
PROGRAMS = {name: lower(network, 1.5, 0.1) for name, network in ROWS.items()}
PROGRAMS["several NTKs"] = lower(mlp(3), 1.5, 0.1, n_frozen=(0, 1, 2))


@pytest.fixture(params=["reference", "cuda"])
def run(request, monkeypatch):
    """Function that computes by another engine than the compiled one."""

    def by_reference(function, *arguments, **options):
        with monkeypatch.context() as patch:
            patch.setitem(_work.ENGINES, "cpu", "reference")
            return function(*arguments, **options)

    def on_gpu(function, *arguments, **options):
        with gpu.ready():
            return function(*arguments, **options, device="cuda")

    return on_gpu if request.param == "cuda" else by_reference


def compare(found, expected, atol):
    for part, other in zip(found, expected, strict=True):
        scale = np.abs(other).max()
        np.testing.assert_allclose(part, other, rtol=0, atol=atol * scale)


@pytest.mark.slow
@pytest.mark.parametrize("gradient", [False, True], ids=["values", "gradient"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_rows(name, gradient, run):
    program, (X, Y) = PROGRAMS[name], np.random.default_rng(0).standard_normal((2, 70, 3))
    if gradient and program.n_ntks:
        pytest.skip("derivatives are those of one NTK")
    for rows in ((X,), (X, Y[:5])):
        expected = gram(program, *rows, get=BOTH, gradient=gradient)
        found = run(gram, program, *rows, get=BOTH, gradient=gradient)
        pairs = zip(found, expected, strict=True) if gradient else [(found, expected)]
        for part, other in pairs:
            compare(part, other, 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    "gradient",
    [pytest.param(False, marks=pytest.mark.thorough), True],
    ids=["values", "gradient"],
)
@fewer_networks
def test_positions(name, gradient, run):
    program, X = program_of(name), rows_of(name, 5)
    for rows in ((X,), (X, X[:2])):
        expected = gram(program, *rows, get=BOTH, gradient=gradient)
        found = run(gram, program, *rows, get=BOTH, gradient=gradient)
        pairs = zip(found, expected, strict=True) if gradient else [(found, expected)]
        for part, other in pairs:
            compare(part, other, 1e-10)


def test_symmetric_matrices(run):
    """Symmetric to the bit, with the diagonal of `diagonal`, also over several blocks."""
    X = np.random.default_rng(1).standard_normal((150, 4))
    K = run(gram, PROGRAMS["residual"], X)
    assert np.array_equal(K, K.T)
    assert np.array_equal(K.diagonal(), run(diagonal, PROGRAMS["residual"], X))


WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = sys.modules["llvmlite"] = None
from sklearn_ntk.engines import _work
from sklearn_ntk import NTKKernel
from sklearn_ntk.architectures import cnn
_work.ENGINES["cpu"] = "reference"
print(NTKKernel(1, weight_var=2.0, bias_var=0.0)([[1.0, 0.0], [0.0, 1.0]])[0, 1].round(4))
print(NTKKernel(architecture=cnn((2, 2, 1), 1))([[1.0, 0.0, 0.0, 1.0]]).shape)
"""


@pytest.mark.slow
def test_numba_is_not_needed():
    command = [sys.executable, "-c", WITHOUT_NUMBA]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split("\n")[:2] == ["0.3183", "(1, 1)"]
