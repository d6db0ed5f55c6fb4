"""The text of the kernels for GPUs, compiled by NVIDIA's compiler where it is installed."""

import re

import nvrtc
import pytest

from sklearn_ntk.activations import ACTIVATIONS
from sklearn_ntk.architectures import mlp, resmlp
from sklearn_ntk.engines.sources import cuda, cuda_rows
from sklearn_ntk.layers import Dense, Dropout, LayerNorm, lower

ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
SOME = ("sm_75", "sm_120")
NETWORKS = {
    "perceptron": lower(mlp(3)),
    "residual": lower(resmlp(2)),
    "normalised": lower((Dense(), LayerNorm(), "relu", Dropout(0.2), Dense())),
    "several NTKs": lower(mlp(3), n_frozen=(0, 1, 2, 3)),
    "series": lower(mlp(2, "mish")),
}
CLOSED = [name for name, cls in ACTIVATIONS.items() if not cls().is_series]


@pytest.mark.parametrize("name", NETWORKS)
def test_no_headers_and_no_missing_text(name):
    """NVRTC has no headers; all that stands for other text is replaced."""
    for gradient in (False, True):
        for single in (False, True):
            kinds = cuda.kinds_of(NETWORKS[name], gradient and name != "several NTKs", single)
            for module in (cuda, cuda_rows):
                text = module.source(kinds)
                assert "#include" not in text and f" {module.NAME}(int n_steps, " in text
                assert not any(f"\n{word}\n" in text for word in ("CASES", "RATES"))
                assert len(re.findall(r"\n +case \d+: {\n", text)) == len(kinds.cases)


@pytest.mark.slow
@pytest.mark.parametrize(
    "architecture",
    [pytest.param(a, marks=[pytest.mark.thorough] * (a not in SOME)) for a in ARCHITECTURES],
)
def test_architectures(architecture):
    """Registers of a thread that let two blocks run at once, and hardly any spills."""
    for single in (False, True):
        kinds = cuda.kinds_of(NETWORKS["perceptron"], False, single)
        ((registers, spills),) = nvrtc.compile_for(architecture, cuda.source(kinds))
        assert registers <= 144 and spills <= 32
        ((registers, spills),) = nvrtc.compile_for(architecture, cuda_rows.source(kinds))
        assert registers <= 128 and spills == 0


SPILLS = {"gelu": 600, "elu": 2500, "selu": 2500, "gabor": 400}
"""Bytes of registers that kernels with derivatives keep in memory, beyond a few, by activation."""


@pytest.mark.thorough
@pytest.mark.parametrize("name", CLOSED)
def test_activations(name):
    program = lower(mlp(1, name))
    for gradient in (False, True):
        kinds = cuda.kinds_of(program, gradient, False)
        ((registers, spills),) = nvrtc.compile_for("sm_90", cuda.source(kinds))
        assert registers <= (255 if gradient or name in ("elu", "selu") else 152)
        assert spills <= (SPILLS.get(name, 32) if gradient else 32)


@pytest.mark.thorough
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name):
    kinds = cuda.kinds_of(NETWORKS[name], name != "several NTKs", False)
    ((registers, spills),) = nvrtc.compile_for("sm_90", cuda.source(kinds))
    assert registers <= 255 and spills <= 64
    if name != "series":
        nvrtc.compile_for("sm_90", cuda_rows.source(kinds))
