"""Values know their type apart, print what differs, and are otherwise the tuples that they are."""

import copy
from typing import NamedTuple

import numpy as np
import pytest

from sklearn_ntk import NTKKernel, activations, architectures, layers
from sklearn_ntk._values import value


@value
class Meters(NamedTuple):
    number: float = 1.0


@value
class Seconds(NamedTuple):
    number: float = 1.0


@value
class Pair(NamedTuple):
    first: object
    second: object


def test_equality():
    assert Meters() == Meters(1.0) == Meters(1)
    assert not Meters() != Meters()
    assert Meters(2.0) != Meters() and not Meters(2.0) == Meters()


@pytest.mark.parametrize("other", [Seconds(), (1.0,), [1.0], 1.0, None, "Meters(number=1.0)"])
def test_other_types(other):
    assert Meters() != other and other != Meters()
    assert not Meters() == other and not other == Meters()


def test_nested():
    assert Pair(Meters(), 1) == Pair(Meters(), 1)
    assert Pair(Meters(), 1) != Pair(Seconds(), 1)
    assert (Meters(),) != (Seconds(),) and (Meters(),) == (Meters(),)


def test_hash():
    assert hash(Meters()) == hash(Meters(1)) and hash(Meters()) != hash(Seconds())
    table = {Meters(): "m", Seconds(): "s", Meters(2.0): "2 m", (1.0,): "tuple"}
    assert len(table) == 4 and table[Meters()] == "m" and table[Seconds()] == "s"
    with pytest.raises(TypeError):
        hash(Pair({}, 1))


@pytest.mark.parametrize("make", [list, np.array], ids=["list", "array"])
def test_lists_and_arrays_count_as_tuples(make):
    plain, other = (
        Pair((0.1, 0.5), ((1, 2), (3, 4))),
        Pair(make([0.1, 0.5]), make([[1, 2], [3, 4]])),
    )
    assert plain == other == plain and not plain != other and hash(plain) == hash(other)
    assert other == Pair(*other) and other != Pair(make([0.1, 0.5, 0.3]), other[1])
    kernels = [NTKKernel(activation=activations.Polynomial(make(c))) for c in ([1, 2], [1, 2, 3])]
    assert kernels[0] == NTKKernel(activation=activations.Polynomial((1, 2))) != kernels[1]


def test_tuple():
    (number,) = Meters(3.0)
    assert number == 3.0
    assert copy.deepcopy(Meters(3.0)) == Meters(3.0)._replace(number=3.0)


# --- Representations ------------------------------------------------------------------------------


@value
class Trip(NamedTuple):
    path: tuple
    length: object = Meters()
    note: str = ""


def describe(x):
    return x


TEXTS = {
    "Meters()": Meters(),
    "Meters(number=3.0)": Meters(3.0),
    "Meters(number=nan)": Meters(np.nan),
    "Pair(first=1, second='two')": Pair(1, "two"),
    "Trip(path=())": Trip(()),
    "Trip(path=(), note='home')": Trip((), note="home"),
    "Trip(path=(Meters(), 'a'), length=Seconds())": Trip((Meters(), "a"), Seconds(1.0)),
    "Trip(path=(Trip(path=()),), length=Meters(number=2))": Trip((Trip(()),), Meters(2)),
    "Pair(first=describe, second=tanh)": Pair(describe, np.tanh),
    "Meters(number=array([1., 1.]))": Meters(np.ones(2)),
    "Meters(number=None)": Meters(None),
}


@pytest.mark.parametrize("text", TEXTS)
def test_representation(text):
    """It has what differs from the default, at every depth."""
    assert repr(TEXTS[text]) == text
    if "array" not in text and "nan" not in text:
        assert eval(text, globals() | {"tanh": np.tanh}) == TEXTS[text]


def test_default_of_another_type():
    assert repr(Meters(1)) == repr(Meters(np.float64(1.0))) == "Meters()"


def test_own_representation_is_kept():
    @value
    class Secret(NamedTuple):
        word: str = "swordfish"

        def __repr__(self):
            return "Secret(...)"

    assert repr(Secret()) == "Secret(...)"


NETWORKS = {
    "resmlp": architectures.resmlp(3),
    "cnn": architectures.cnn((8, 8, 1), 2, filter_size=5),
    "resnet": architectures.resnet((8, 8, 1)),
    "transformer": architectures.transformer((4, 3)),
    "recurrent": architectures.recurrent((4, 3)),
    "tuned": (
        layers.Dense(1.5, frozen=True),
        layers.Residual(("erf", layers.Dense()), (layers.Dense(bias_var=0.0),)),
        activations.LeakyReLU(0.2),
        layers.Dropout(0.1),
        layers.Dense(1.0, 0.0),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name):
    text = repr(NETWORKS[name])
    assert eval(text, vars(layers) | vars(activations)) == NETWORKS[name]
    assert "None" not in text and "False" not in text
    kernel = NTKKernel(architecture=NETWORKS[name])
    assert f"architecture={text}" in repr(kernel)


def test_representation_of_a_network():
    assert (
        repr(architectures.resmlp(1))
        == "(Dense(), Residual(body=('relu', Dense())), 'relu', Dense())"
    )
    assert repr(NETWORKS["tuned"]) == (
        "(Dense(weight_var=1.5, frozen=True), Residual(body=('erf', Dense()), shortcut="
        "(Dense(bias_var=0.0),)), LeakyReLU(leak=0.2), Dropout(rate=0.1), "
        "Dense(weight_var=1.0, bias_var=0.0))"
    )
