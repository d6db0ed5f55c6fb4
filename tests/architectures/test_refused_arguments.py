"""Arguments of architectures that are refused: in one sentence."""

import numpy as np
import pytest

from sklearn_ntk import architectures

pd = pytest.importorskip("pandas")

SHAPES = {"cnn": (8, 8, 1), "myrtle": (8, 8, 1), "resnet": (8, 8, 1)}
SHAPES |= {"recurrent": (4, 1), "transformer": (4, 1)}
COUNTS = [("mlp", "depth"), ("resmlp", "depth"), ("cnn", "depth"), ("recurrent", "depth")]
COUNTS += [("resnet", "n_blocks"), ("resnet", "n_stages"), ("transformer", "n_blocks")]


def build(name, **parameters):
    function = getattr(architectures, name)
    return function(SHAPES[name], **parameters) if name in SHAPES else function(**parameters)


@pytest.mark.parametrize("name, parameter", COUNTS)
def test_numbers_of_layers(name, parameter):
    for number in (2.0, "2", None, [2], True, np.nan, pd.NA, np.ones(1)):
        with pytest.raises(ValueError, match=f"{parameter} must be a whole number; got"):
            build(name, **{parameter: number})
    with pytest.raises(ValueError, match=rf"{parameter} must be at least \d; got -1"):
        build(name, **{parameter: -1})
    assert build(name, **{parameter: np.int64(1)}) == build(name, **{parameter: 1})


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name):
    function = getattr(architectures, name)
    for shape in (8, None, "881", {8: 1}, 8.0):
        with pytest.raises(TypeError, match=r"shape must be a tuple.*; got"):
            function(shape)
    assert function(list(SHAPES[name])) == function(SHAPES[name])


def test_choices():
    for odd in (10**400, None, -1, np.nan, 1j, [1], np.ones(2), pd.NA, {}, object):
        for call in (
            lambda odd=odd: architectures.cnn((8, 8, 1), 1, odd),
            lambda odd=odd: architectures.recurrent((4, 1), readout=odd),
            lambda odd=odd: architectures.myrtle((8, 8, 1), odd),
        ):
            with pytest.raises(ValueError, match=r"(readout|n_layers) must be one of .*; got"):
                call()
