"""Lists by which tests find what to compare have everything that exists."""

import re
from pathlib import Path

import contract_positions
import finite_positions
import montecarlo
import oracle_duals
import oracle_positions

from sklearn_ntk import layers
from sklearn_ntk.activations import ACTIVATIONS

DOC = Path(__file__).parents[2] / "doc"
NO_LAYERS = {"Input", "Output", "lower"}
"""What describes rows and results, and the function."""

LAYERS = {name: re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower() for name in layers.__all__}
KINDS = {kind for name, kind in LAYERS.items() if name not in NO_LAYERS}


def kinds_of(network):
    """Kinds of layers, also within branches."""
    found = set()
    for kind, parameters in network:
        found.add(kind)
        for value in parameters.values():
            found |= kinds_of(value) if isinstance(value, list) else set()
    return found


def test_every_activation_has_a_dual_and_finite_networks():
    assert set(oracle_duals.ALL) == set(ACTIVATIONS) == set(montecarlo.ACTIVATIONS)


def test_every_layer_has_a_kernel_and_finite_networks():
    for module in (oracle_positions, finite_positions):
        assert set(module.LAYERS) == KINDS | {"activation"}


def test_engines_are_compared_on_every_layer():
    for names in (contract_positions.NETWORKS, contract_positions.FEW):
        networks = (contract_positions.NETWORKS[name] for name in names)
        assert set().union(*map(kinds_of, networks)) == KINDS | {"activation", "input"}


def test_pages_have_all_names():
    names = {"activations": {cls.__name__ for cls in ACTIVATIONS.values()}}
    names["architectures"] = set(LAYERS) - {"lower", "Output"}
    for page, wanted in names.items():
        text = (DOC / f"{page}.md").read_text(encoding="utf-8")
        assert [name for name in wanted if f"`{name}" not in text] == []
