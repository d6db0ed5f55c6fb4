"""Values know their type apart, and are otherwise the tuples that they are."""

import copy
from typing import NamedTuple

import pytest

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
        hash(Pair([], 1))


def test_tuple():
    (number,) = Meters(3.0)
    assert number == 3.0 and repr(Meters(3.0)) == "Meters(number=3.0)"
    assert copy.deepcopy(Meters(3.0)) == Meters(3.0)._replace(number=3.0)
