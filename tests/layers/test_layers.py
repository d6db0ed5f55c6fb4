"""Lowering of layers, its errors with their positions, and layers as values."""

import pickle
import re

import numpy as np
import pytest

from sklearn_ntk import layers as module
from sklearn_ntk import program as instructions
from sklearn_ntk.activations import ACTIVATIONS, Erf, Gaussian, Identity, LeakyReLU, ReLU
from sklearn_ntk.architectures import mlp
from sklearn_ntk.layers import Dense, Output, Residual, lower
from sklearn_ntk.program import Add, Pointwise, Program, Save, Swap

END = instructions.Output()

TIED = Dense()
FIXED = Dense(1.5, 0.3)


def affine(weight_var, bias_var, trained=True, tied=(False, False), activation=Identity()):  # noqa: B008
    """An instruction, in fewer words."""
    return Pointwise(activation, weight_var, bias_var, trained, *tied)


# --- What layers lower to -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "step"),
    [
        (Dense(), affine(1.7, 0.2, tied=(True, True))),
        (Dense(3.0), affine(3.0, 0.2, tied=(False, True))),
        (Dense(bias_var=0.5), affine(1.7, 0.5, tied=(True, False))),
        (Dense(3, 0), affine(3.0, 0.0)),
        (Dense(3.0, 0.5, frozen=True), affine(3.0, 0.5, trained=False)),
        (Dense(np.float32(0.5), np.int64(2)), affine(0.5, 2.0)),
    ],
    ids=repr,
)
def test_dense(layer, step):
    actual, end = lower((layer,), 1.7, 0.2).steps
    assert end == END
    assert actual == step
    assert type(actual.weight_var) is float and type(actual.bias_var) is float


def test_defaults_of_lower():
    assert lower((Dense(),)) == lower((Dense(),), weight_var=2.0, bias_var=0.1, n_frozen=0)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_by_name_or_object(name):
    default = ACTIVATIONS[name]()
    assert lower((TIED, name, TIED)) == lower((TIED, default, TIED)) == lower([TIED, default, TIED])
    assert lower((TIED, default, TIED)).steps[1].activation == default.traced()


def test_parameters_become_floats():
    _, step, _ = lower((TIED, LeakyReLU(0), TIED)).steps
    assert type(step.activation.leak) is float


def test_residual():
    body, shortcut = affine(1.5, 0.3, activation=ReLU()), affine(2.0, 0.1, tied=(True, True))
    plain = lower((FIXED, Residual((ReLU(), FIXED))))
    assert plain.steps == (affine(1.5, 0.3), Save(), body, Add(), END)
    both = lower((FIXED, Residual((ReLU(), FIXED), (TIED,))))
    assert both.steps == (affine(1.5, 0.3), Save(), body, Swap(), shortcut, Add(), END)
    assert lower((FIXED, Residual([ReLU(), FIXED], [TIED]))) == both


def test_output():
    program = lower((TIED, Output(), "relu", FIXED, Output()))
    assert program.n_outputs == 2 and lower((TIED,)).n_outputs == 1
    assert program.steps[1] == END and program.steps[-1] == END
    assert lower((TIED, Output(), "relu", FIXED)) == program
    for network, reason in [
        ((TIED, Residual((TIED, Output()))), "cannot be inside a branch"),
        ((module.Input(2, 1), Output(), module.Flatten()), "all pairs of positions, has its end"),
    ]:
        with pytest.raises(ValueError, match=f"Invalid network at architecture.*{reason}"):
            lower(network)


OPEN = Residual((TIED, "relu"))


@pytest.mark.parametrize(
    "network",
    [
        (Residual((TIED,)), TIED),
        (TIED, "relu", Residual((TIED,)), TIED),
        (TIED, Residual(("relu", TIED)), "relu", TIED),
        (TIED, "relu", Residual((TIED,), (TIED,)), "relu", TIED),
        (TIED, Residual((TIED, Residual(("relu", TIED)))), "relu", TIED),
        (TIED, Residual(("relu", TIED), ("erf", TIED, Residual(("erf", TIED)))), "relu", TIED),
        (TIED, Residual(("relu", TIED), ("erf",)), TIED),
        (TIED, OPEN, TIED),
        (TIED, Residual((TIED, OPEN, TIED)), TIED),
        (TIED, Residual((), (TIED,)), TIED),
        (TIED, Residual(("relu",), (TIED,)), TIED),
        (TIED, "relu", Residual(("identity",), (TIED,)), TIED),
        (TIED, Residual((TIED,), (OPEN, TIED)), TIED),
        (TIED, Residual((Residual((TIED,), (TIED,)),)), TIED),
        (Residual((TIED,), ("identity",)), TIED),
    ],
    ids=str,
)
def test_valid_networks(network):
    program = lower(network)
    assert sum(isinstance(step, Save) for step in program.steps) == sum(
        isinstance(step, Add) for step in program.steps
    )
    assert sum(step.trained for step in program.steps if isinstance(step, Pointwise)) >= 2


# --- Frozen layers --------------------------------------------------------------------------------


def trained(program):
    """Which layers with weights are trained, in order."""
    return [s.trained for s in program.steps if isinstance(s, Pointwise) and s != Pointwise(ReLU())]


@pytest.mark.parametrize("n_frozen", range(4))
def test_n_frozen(n_frozen):
    assert trained(lower(mlp(3), n_frozen=n_frozen)) == [i >= n_frozen for i in range(4)]


def test_n_frozen_counts_body_and_shortcut():
    network = (TIED, Residual(("relu", TIED), (TIED,)), "relu", TIED)
    for n_frozen in range(4):
        assert trained(lower(network, n_frozen=n_frozen)) == [i >= n_frozen for i in range(4)]


def test_n_frozen_counts_frozen_layers():
    network = (TIED, Dense(frozen=True), Dense(frozen=True), TIED, TIED)
    assert trained(lower(network)) == [True, False, False, True, True]
    assert trained(lower(network, n_frozen=2)) == [False, False, False, True, True]
    assert trained(lower(network, n_frozen=4)) == [False] * 4 + [True]


@pytest.mark.parametrize("n_frozen", [4, 5, (0, 4)])
def test_too_many_frozen(n_frozen):
    message = f"n_frozen must be less than .* weights, which is 4; got {re.escape(str(n_frozen))}"
    with pytest.raises(ValueError, match=message):
        lower(mlp(3), n_frozen=n_frozen)


def test_several_n_frozen():
    network = (*mlp(1), module.Residual(("relu", TIED)), TIED._replace(frozen=True))
    program, counts = lower(network, n_frozen=(0, 3, 1)), (0, 3, 1)
    alone = [trained(lower(network, n_frozen=n)) for n in counts]
    assert trained(program) == list(zip(*alone, strict=True))
    assert program.n_ntks == 3 and lower(network, n_frozen=3).n_ntks is None
    assert program.is_trained and not lower((TIED._replace(frozen=True),)).is_trained
    assert lower(network, n_frozen=(2,)).n_ntks == 1
    image = (module.Input(2, 2, 1), module.Flatten(), TIED)
    with pytest.raises(ValueError, match=r"positions takes one n_frozen at a time; got \(0, 1\)"):
        lower((*image, "relu", TIED), n_frozen=(0, 1))


# --- Errors ---------------------------------------------------------------------------------------

GAUSSIAN = "must follow a layer with weights, whose output is Gaussian. Put Dense() before it."
EMPTY = "a network must have layers. Append Dense()."
BODY = "one path of a Residual must end in a layer with weights, or the two would be correlated. "
BODY += "End the body in Dense()."
MEAN_ZERO = "LayerNorm must follow a layer with weights, whose output has mean zero. Put it behind "
MEAN_ZERO += "Dense() or Conv(), before the activation."
MOVED = "Put Dense() before it, or move it before the Dropout or Flatten."


@pytest.mark.parametrize(
    ("network", "position", "message"),
    [
        (("relu", TIED), "architecture[0]", f"the activation ReLU() {GAUSSIAN}"),
        ((TIED, "erf", Erf(), TIED), "architecture[2]", f"the activation Erf() {GAUSSIAN}"),
        ((Residual((TIED,)), "relu", TIED), "architecture[1]", GAUSSIAN),
        ((TIED, "relu", Residual((TIED,)), "relu", TIED), "architecture[3]", GAUSSIAN),
        ((TIED, "relu", Residual(("relu", TIED)), TIED), "architecture[2].body[0]", GAUSSIAN),
        ((TIED, "relu", Residual((TIED,), ("erf",))), "architecture[2].shortcut[0]", GAUSSIAN),
        ((TIED, Residual((TIED,), ("relu",)), "erf", TIED), "architecture[2]", GAUSSIAN),
        ((TIED, Residual((TIED, "relu")), "erf"), "architecture[2]", GAUSSIAN),
        ((TIED, module.Dropout(0.1), "relu"), "architecture[2]", MOVED),
        ((module.Input(2, 1), TIED, module.Flatten(), "erf"), "architecture[3]", MOVED),
        ((), "architecture", EMPTY),
        ((module.LayerNorm(), TIED), "architecture[0]", MEAN_ZERO),
        ((TIED, "relu", module.LayerNorm(), TIED), "architecture[2]", MEAN_ZERO),
        ((TIED, OPEN, module.LayerNorm(), TIED), "architecture[2]", MEAN_ZERO),
        ((TIED, "relu", OPEN, TIED), "architecture[2]", BODY),
        ((TIED, Residual(("relu",)), TIED), "architecture[1]", BODY),
        ((TIED, Residual(("relu",), ("erf",)), TIED), "architecture[1]", BODY),
        ((TIED, Residual((TIED, "relu"), (TIED, "erf")), TIED), "architecture[1]", BODY),
        ((TIED, Residual(()), TIED), "architecture[1]", BODY),
        ((TIED, Residual((Residual(()), TIED)), TIED), "architecture[1].body[0]", BODY),
        (
            (TIED, Residual((TIED,), (Residual(()), TIED)), TIED),
            "architecture[1].shortcut[0]",
            BODY,
        ),
        ((TIED, Residual((Residual((TIED,)),)), TIED), "architecture[1]", BODY),
        ((TIED, Residual((Residual((TIED,), ("relu",)),)), TIED), "architecture[1]", BODY),
    ],
    ids=str,
)
def test_invalid_network(network, position, message):
    """The error says where the network is wrong, and how to mend it."""
    with pytest.raises(ValueError) as error:
        lower(network)
    assert str(error.value).startswith(f"Invalid network at {position}: ")
    assert str(error.value).endswith(message)


@pytest.mark.parametrize("number", [-1.0, -1e-300, np.nan, np.inf, True, "1", 1j, (1.0,)], ids=repr)
@pytest.mark.parametrize("field", ["weight_var", "bias_var"])
def test_wrong_variance(field, number):
    layer = Dense(**{field: number})
    for network, position in [
        ((layer,), "architecture[0]"),
        ((TIED, Residual((TIED, layer))), "architecture[1].body[1]"),
    ]:
        with pytest.raises(ValueError) as error:
            lower(network)
        reason = f"{field} must be a number >= 0 or None; got {number!r}. Correct it."
        assert str(error.value) == f"Invalid network at {position}: {reason}"


@pytest.mark.parametrize(
    "thing", [Dense, ReLU, Residual, None, 3, np.tanh, (TIED, "relu")], ids=repr
)
def test_neither_layer_nor_activation(thing):
    for network, position in [
        ((TIED, thing), "architecture[1]"),
        ((TIED, Residual((TIED, thing), (TIED,))), "architecture[1].body[1]"),
        ((TIED, Residual((TIED,), (thing, TIED))), "architecture[1].shortcut[0]"),
    ]:
        with pytest.raises(TypeError) as error:
            lower(network)
        expected = f"Invalid network at {position}: {thing!r} is neither a layer nor an activation."
        assert str(error.value).startswith(expected)


@pytest.mark.parametrize("network", [None, "relu", 3, iter(()), {TIED}])
def test_not_a_tuple(network):
    with pytest.raises(TypeError, match="architecture must be a tuple of layers; got "):
        lower(network)
    with pytest.raises(TypeError, match="body must be a tuple of layers; got "):
        lower((TIED, Residual(network)))


@pytest.mark.parametrize("network", [Dense(), ReLU(), Residual((TIED,))], ids=repr)
def test_one_layer_is_not_a_tuple_of_layers(network):
    with pytest.raises(TypeError):
        lower(network)


TIMES = module.Input(4, 2)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Dense(frozen="no"), "frozen must be True or False; got 'no'. Correct it."),
        (
            module.Recurrent(return_sequences=2),
            "return_sequences must be True or False; got 2. Correct it.",
        ),
        (
            module.PositionalEmbedding(),
            "PositionalEmbedding must follow a layer with weights: in the few channels of the rows "
            "themselves its products would not average out. Put Dense() before it.",
        ),
        (
            module.SelfAttention(scaling="sqrt"),
            "the scaling 'sqrt' has no closed form with the mechanism 'softmax'. Take the "
            "mechanism 'identity', or the scaling 'linear'.",
        ),
        (
            module.Conv(5, padding="valid"),
            "a filter of (5,) has no place inside a grid of (4,) positions, where the padding "
            "'valid' keeps it. Make it smaller, pool less before it, or take the padding 'same'.",
        ),
        (
            module.ConvTranspose(2, padding="full"),
            "padding must be one of ('same', 'valid', 'circular'); got 'full'. Correct it.",
        ),
        (
            module.ConvTranspose((2, 2)),
            "filter_size must be an integer from 1 to 1000000, or one for each of the 1 axes; got "
            "(2, 2). Correct it.",
        ),
        (
            module.ConvTranspose(2, strides=0),
            "strides must be an integer from 1 to 1000000, or one for each of the 1 axes; got 0. "
            "Correct it.",
        ),
        (
            module.AvgPool(5),
            "a window of (5,) has no place inside a grid of (4,) positions, where the padding "
            "'valid' keeps it. Make it smaller, pool less before it, or take the padding 'same'.",
        ),
    ],
    ids=str,
)
def test_invalid_layer(layer, message):
    with pytest.raises(ValueError) as error:
        lower((TIMES, layer, module.Flatten(), TIED))
    assert str(error.value) == f"Invalid network at architecture[1]: {message}"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((), "along at least one axis, and channels; got ().*Input(8, 1)."),
        ((5,), "along at least one axis, and channels; got (5,).*Input(5, 1)."),
        (
            (8, 0, 1),
            "positive integers; got (8, 0, 1).*then that of channels, as in Input(8, 8, 1).",
        ),
        (((8, 8, 1),), "positive integers; got ((8, 8, 1),).*as in Input(8, 8, 1)."),
        ((8, 8, 8.0, 1), "positive integers; got (8, 8, 8.0, 1).*as in Input(8, 8, 1)."),
        ((True, 1), "positive integers; got (True, 1).*as in Input(8, 8, 1)."),
    ],
    ids=str,
)
def test_wrong_input(given, message):
    pattern = re.escape(message).replace(re.escape(".*"), ".*")
    with pytest.raises(ValueError, match=f"at architecture.0.: Input takes .*{pattern}$"):
        lower((module.Input(*given), module.Flatten(), TIED))


@pytest.mark.parametrize("network", [(TIMES,), (TIMES, module.Conv(2), "relu")], ids=str)
def test_positions_that_are_left(network):
    message = (
        r"ends with \(4,\) positions, and a kernel has one number for each pair of rows. Append"
    )
    with pytest.raises(ValueError, match=message):
        lower(network)


@pytest.mark.parametrize("n_frozen", [1.5, -1, "1", (), (0, -1), (0, "1")])
def test_n_frozen_is_a_count(n_frozen):
    message = re.escape(f"n_frozen must be a whole number >= 0; got {n_frozen!r}")
    with pytest.raises(ValueError, match=message):
        lower((TIED, "relu", TIED), n_frozen=n_frozen)


def test_errors_of_activations():
    with pytest.raises(ValueError, match=r"at architecture\[1\]: Unknown activation 'rellu'"):
        lower((TIED, "rellu", TIED))
    with pytest.raises(ValueError, match=r"the activation ELU\(\) must follow"):
        lower(("elu", TIED))
    with pytest.raises(ValueError, match=r"at architecture\[1\]: Unknown activation 'tnh'"):
        lower((TIMES, module.Recurrent("tnh"), TIED))
    with pytest.raises(ValueError, match="rate of Gaussian must be a negative number"):
        lower((TIED, Gaussian(rate=1.0), TIED))


# --- Values ---------------------------------------------------------------------------------------

VALUES = [
    Dense(),
    Dense(1.0),
    Dense(1.0, 0.0),
    Dense(1.0, 0.0, True),
    Residual((Dense(),)),
    Residual((Dense(),), (Dense(),)),
    Residual((ReLU(), Dense())),
    lower(mlp(2)),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_value(value):
    copy = pickle.loads(pickle.dumps(value))
    assert copy == value and type(copy) is type(value) and hash(copy) == hash(value)
    assert value != tuple(value)
    if not isinstance(value, Program):
        assert eval(repr(value), {**vars(module), "ReLU": ReLU}) == value
    with pytest.raises(AttributeError):
        setattr(value, value._fields[0], None)


def test_values_differ():
    assert len(set(VALUES)) == len(VALUES)
    for i, one in enumerate(VALUES):
        assert [one == other for other in VALUES] == [i == j for j in range(len(VALUES))]
