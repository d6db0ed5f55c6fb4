"""Parameters of layers and activations that are refused: in one sentence."""

import numpy as np
import pytest

from sklearn_ntk import architectures, layers
from sklearn_ntk.activations import Numerical
from sklearn_ntk.activations._registry import ACTIVATIONS
from sklearn_ntk.gram import gram
from sklearn_ntk.layers import Conv, Dense, Input, Residual, lower

pd = pytest.importorskip("pandas")

# --- Networks -------------------------------------------------------------------------------------

ODD = [
    10**400,
    None,
    "a",
    -1,
    np.nan,
    np.inf,
    1j,
    [1],
    np.ones(2),
    np.array([True, False]),
    pd.NA,
    {},
]
ODD += [object, [[]], np.float64, 0.5]
ARGUMENTS = {
    "Conv": (3,),
    "ConvTranspose": (3,),
    "AvgPool": (2,),
    "SumPool": (2,),
    "Dropout": (0.5,),
}
ARGUMENTS["Residual"] = ((Dense(),),)
LAYERS = [name for name in layers.__all__ if name not in ("lower", "Input")]


def refuses_in_one_sentence(network):
    """Lower a network; an error must say where it is, and not come out of NumPy."""
    try:
        lower(network)
    except (ValueError, TypeError) as error:
        text = str(error)
        assert text.startswith("Invalid network at ") and "\n" not in text
        assert not any(word in text for word in ("ambiguous", "ufunc", "unhashable", "operand"))


@pytest.mark.parametrize("name", LAYERS)
def test_odd_parameters_of_layers(name):
    layer = getattr(layers, name)(*ARGUMENTS.get(name, ()))
    for field in layer._fields:
        for odd in ODD:
            if field != "strides" or odd is not ODD[0]:
                changed = layer._replace(**{field: odd})
                refuses_in_one_sentence((Input(8, 1), Dense(), changed, layers.Flatten(), Dense()))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_odd_parameters_of_activations(name):
    act = ACTIVATIONS[name]()
    for field in act._fields:
        for odd in ODD:
            refuses_in_one_sentence((Dense(), act._replace(**{field: odd}), Dense()))


def test_odd_layers():
    for odd in ODD:
        refuses_in_one_sentence((Dense(), odd, Dense()))
        refuses_in_one_sentence((Input(odd, 1), layers.Flatten(), Dense()))
        if not callable(odd):
            with pytest.raises(ValueError, match="fn of Numerical must be a function"):
                lower((Dense(), Numerical(odd), Dense()))


@pytest.mark.parametrize("number", [-1.0, np.nan, np.inf, None, "1", [1.0], True, 1j, 10**400])
@pytest.mark.parametrize("name", ["weight_var", "bias_var"])
def test_variances_of_the_network(name, number):
    with pytest.raises(ValueError, match=f"{name} must be a finite number >= 0; got"):
        lower(architectures.mlp(1), **{name: number})


@pytest.mark.parametrize("n_frozen", [-1, 0.5, None, "1", True, (0, -1), [0], (True,)])
def test_number_of_frozen_layers(n_frozen):
    with pytest.raises(ValueError, match="n_frozen must be a whole number >= 0; got"):
        lower(architectures.mlp(1), n_frozen=n_frozen)


def test_layer_without_parameters_is_not_an_empty_shortcut():
    """As a tuple it is empty; it must not be taken for the identity."""
    for shortcut in (layers.LayerNorm(), None, 0, {}):
        with pytest.raises(TypeError, match="shortcut must be a tuple of layers; got"):
            lower((Dense(), Residual(("relu", Dense()), shortcut), Dense()))
    networks = [(Dense(), Residual(("relu", Dense()), end), Dense()) for end in ((), [])]
    assert lower(networks[0]) == lower(networks[1])


def test_strides_beyond_all_grids():
    network = (Input(4, 1), Conv(1, strides=10**6), layers.Flatten(), Dense())
    assert gram(lower(network), np.eye(4)).shape == (4, 4)
