"""Wide random networks over images and sequences have the kernels of the limit.

The average kernel of networks of width n differs from the limit by a multiple of 1 / n: covariances
fluctuate by multiples of 1 / sqrt(n), and what follows bends them. Each case has a bound for that
multiple, relative to the diagonal, and keeps it in narrow networks too, where it shows. Measured at
widths 32 and 64: at most 0.6, but 1.5 for the transformer, 3 for softmax, 8 for random scores, and
17 to 21 for the other attentions, where scores times values are a third power of what fluctuates.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from finite_positions import empirical_kernels

from sklearn_ntk import layers
from sklearn_ntk.gram import gram

# --- Networks, and others that one could take for them --------------------------------------------


class Mistake(NamedTuple):
    """Another layer in a place, or the share of the way to it."""

    place: int
    layer: tuple
    share: float = 1.0


class Case(NamedTuple):
    """A network, mistakes that must show, and how far it is from the limit, times its width."""

    network: list
    mistakes: dict
    bound: float = 1.0
    width: int = 256
    n_networks: int = 80


def make(kind, **parameters):
    return (kind, parameters)


def variant(kind, **defaults):
    return lambda **parameters: (kind, {**defaults, **parameters})


def conv(filter_size, padding="same", **others):
    variances = {"weight_var": 1.8, "bias_var": 0.1}
    return make("conv", filter_size=filter_size, padding=padding, **variances, **others)


def conv_transpose(filter_size, padding="same", **others):
    return make("conv_transpose", **conv(filter_size, padding, **others)[1])


def average(window, **others):
    return make("avg_pool", window=window, **others)


embed = variant("positional_embedding", var=1.5)
attend = variant(
    "self_attention", query_var=0.6, key_var=0.7, value_var=1.4, out_var=1.2, bias_var=0.1
)
recur = variant("recurrent", activation="erf", weight_var=1.2, recurrent_var=1.4, bias_var=0.2)
IMAGE, SEQUENCE = make("input", shape=(4, 3, 2)), make("input", shape=(5, 2))
VOLUME = make("input", shape=(2, 3, 2, 2))
DENSE, FROZEN = (make("dense", weight_var=1.6, bias_var=0.2, frozen=x) for x in (False, True))
RELU, ERF, NOTHING = (make("activation", name=name) for name in ("relu", "erf", "identity"))
MEAN, TOTAL, FLAT = make("global_avg_pool"), make("global_sum_pool"), make("flatten")
NORM, DROPOUT = make("layer_norm"), variant("dropout", rate=0.3)


def residual(*body, shortcut=()):
    return make("residual", body=body, shortcut=shortcut)


WIDE, STRIDED = (RELU, conv(3)), (RELU, conv((3, 2), strides=2))
WIDER = residual(RELU, DENSE, shortcut=[DENSE])
SMOOTH, SCORES = {"length_scale": 1.0}, {"mechanism": "identity", "scaling": "sqrt"}
ALL, TWO = {"return_sequences": True}, {"return_sequences": True, "activation": "relu"}
CASES = {
    "dropout": Case(
        [IMAGE, conv(2), RELU, DROPOUT(), conv((3, 2)), RELU, DROPOUT(rate=0.2), MEAN, DENSE],
        {
            "none": Mistake(3, NOTHING),
            "other rate": Mistake(6, DROPOUT(rate=0.5)),
            "behind the mean": Mistake(6, NOTHING),
        },
    ),
    "same padding": Case(
        [IMAGE, conv((3, 2)), RELU, conv((2, 3)), RELU, FLAT, DENSE],
        {
            "circular": Mistake(3, conv((2, 3), "circular")),
            "transposed": Mistake(3, conv((3, 2))),
            "pooled": Mistake(5, MEAN),
        },
        n_networks=50,
    ),
    "valid padding": Case(
        [IMAGE, conv(2, "valid"), ERF, conv((3, 1)), RELU, MEAN, DENSE],
        {"same": Mistake(1, conv(2)), "flattened": Mistake(5, FLAT)},
    ),
    "circular padding": Case(
        [IMAGE, conv(2, "circular"), RELU, conv(3, "circular"), RELU, FLAT, DENSE],
        {"same": Mistake(3, conv(3))},
        n_networks=50,
    ),
    "strides": Case(
        [IMAGE, conv(2), RELU, conv((3, 2), strides=(2, 1)), RELU, FLAT, DENSE],
        {
            "other axis": Mistake(3, conv((3, 2), strides=(1, 2))),
            "circular": Mistake(3, conv((3, 2), "circular", strides=(2, 1))),
        },
    ),
    "sequence": Case(
        [SEQUENCE, conv(2), RELU, conv(3, strides=2), RELU, MEAN, DENSE],
        {"longer": Mistake(3, conv(5, strides=2))},
    ),
    "wide filters": Case(
        [IMAGE, conv((9, 2)), RELU, conv(7, "circular"), RELU, MEAN, DENSE],
        {"same": Mistake(3, conv(7))},
        n_networks=50,
    ),
    "volume": Case(
        [VOLUME, conv(2), RELU, conv((2, 3, 1), "circular", strides=(1, 2, 1)), RELU, MEAN, DENSE],
        {
            "same": Mistake(3, conv((2, 3, 1), strides=(1, 2, 1))),
            "other axis": Mistake(3, conv((2, 3, 1), "circular", strides=(1, 1, 2))),
        },
        n_networks=50,
    ),
    "transposed": Case(
        [SEQUENCE, conv(3, strides=2), RELU, conv_transpose(3, strides=2), RELU, MEAN, DENSE],
        {
            "as many": Mistake(3, conv(3)),
            "valid": Mistake(3, conv_transpose(3, "valid", strides=2)),
            "circular": Mistake(3, conv_transpose(3, "circular", strides=2)),
        },
    ),
    "transposed image": Case(
        [IMAGE, conv_transpose((2, 3), "circular", strides=(1, 2)), RELU, FLAT, DENSE],
        {
            "valid": Mistake(1, conv_transpose((2, 3), "valid", strides=(1, 2))),
            "without strides": Mistake(1, conv_transpose((2, 3), "circular")),
        },
    ),
    "frozen": Case(
        [SEQUENCE, conv(3), ERF, conv(2, frozen=True), RELU, MEAN, DENSE],
        {"trained": Mistake(3, conv(2)), "all frozen": Mistake(1, conv(3, frozen=True))},
    ),
    "frozen readout": Case(
        [IMAGE, FROZEN, ERF, conv(2), RELU, MEAN, FROZEN],
        {"first trained": Mistake(1, DENSE), "last trained": Mistake(6, DENSE)},
    ),
    "averages": Case(
        [IMAGE, conv(3), RELU, average((2, 1)), conv(2), RELU, FLAT, DENSE],
        {"other axis": Mistake(3, average((1, 2))), "none": Mistake(3, NOTHING)},
    ),
    "overlapping averages": Case(
        [IMAGE, conv(3), RELU, average(2, strides=1, padding="same"), conv(2), RELU, MEAN, DENSE],
        {"valid": Mistake(3, average(2, strides=1))},
    ),
    "sums": Case(
        [SEQUENCE, conv(3), RELU, make("sum_pool", window=2), conv(2), RELU, TOTAL, DENSE],
        {"averages": Mistake(3, average(2)), "average": Mistake(6, MEAN)},
    ),
    "dense between": Case(
        [SEQUENCE, conv(3), RELU, DENSE, RELU, MEAN, DENSE],
        {"frozen": Mistake(3, FROZEN), "flattened": Mistake(5, FLAT)},
    ),
    "norm": Case(
        [SEQUENCE, conv(3), NORM, ERF, conv(2), NORM, RELU, MEAN, DENSE],
        {"first left out": Mistake(2, NOTHING), "last left out": Mistake(5, NOTHING)},
    ),
    "residual": Case(
        [
            *[IMAGE, conv(2), residual(*WIDE), residual(*STRIDED, shortcut=[conv(1, strides=2)])],
            *[RELU, MEAN, DENSE],
        ],
        {
            "frozen": Mistake(2, residual(RELU, conv(3, frozen=True))),
            "pooled": Mistake(3, residual(*STRIDED, shortcut=[average(2, padding="same")])),
        },
        n_networks=40,
    ),
    "residual of features": Case(
        [SEQUENCE, DENSE, residual(DENSE, RELU), conv(2), RELU, MEAN, DENSE],
        {"same weights": Mistake(2, residual(RELU)), "other order": Mistake(2, WIDER)},
    ),
    "weights on the shortcut": Case(
        [SEQUENCE, DENSE, residual(RELU, shortcut=[DENSE]), conv(2), RELU, MEAN, DENSE],
        {"no weights": Mistake(2, residual(RELU)), "on both": Mistake(2, WIDER)},
    ),
    "embedding": Case(
        [SEQUENCE, DENSE, embed(), RELU, conv(2), RELU, MEAN, DENSE],
        {
            "frozen": Mistake(2, embed(frozen=True)),
            "smooth": Mistake(2, embed(**SMOOTH)),
            "none": Mistake(2, NOTHING),
        },
    ),
    "smooth embedding": Case(
        [IMAGE, DENSE, embed(**SMOOTH), RELU, MEAN, DENSE],
        {
            "frozen": Mistake(2, embed(**SMOOTH, frozen=True)),
            "smoother": Mistake(2, embed(length_scale=2**0.5)),
        },
    ),
    "frozen embedding": Case(
        [SEQUENCE, conv(2), embed(**SMOOTH, frozen=True), RELU, MEAN, DENSE],
        {"trained": Mistake(2, embed(**SMOOTH))},
    ),
    "softmax": Case(
        [SEQUENCE, conv(2), attend(), RELU, MEAN, DENSE],
        {
            "uniform": Mistake(2, attend(query_var=0.0)),
            "values or outputs": Mistake(2, attend(frozen=True), 0.5),
        },
        bound=4.0,
    ),
    "attention of rows": Case(
        [SEQUENCE, attend(), RELU, MEAN, DENSE],
        {
            "uniform": Mistake(1, attend(query_var=0.0)),
            "values or outputs": Mistake(1, attend(frozen=True), 0.5),
        },
        bound=4.0,
    ),
    **{
        name: Case(
            [SEQUENCE, conv(2), attend(mechanism=name), RELU, MEAN, DENSE],
            {
                "other": Mistake(2, attend(mechanism=other)),
                "values or outputs": Mistake(2, attend(mechanism=name, frozen=True), 0.5),
            },
            bound=25.0,
            width=512,
            n_networks=50,
        )
        for name, other in (("identity", "abs"), ("abs", "identity"), ("relu", "identity"))
    },
    "frozen attention": Case(
        [SEQUENCE, conv(2), attend(frozen=True), RELU, FLAT, DENSE],
        {"trained": Mistake(2, attend())},
        bound=4.0,
    ),
    "random scores": Case(
        [SEQUENCE, conv(2), attend(**SCORES), RELU, MEAN, DENSE],
        {
            "not through scores": Mistake(2, attend(**SCORES, through_scores=False)),
            "two of four": Mistake(2, attend(**SCORES, frozen=True), 0.5),
        },
        bound=12.0,
        width=512,
        n_networks=30,
    ),
    "transformer": Case(
        [
            *[SEQUENCE, DENSE, embed(**SMOOTH), residual(attend()), NORM],
            *[residual(DENSE, RELU, DENSE), NORM, MEAN, DENSE],
        ],
        {
            "no attention": Mistake(3, NOTHING),
            "no shortcut": Mistake(3, attend()),
            "no norm": Mistake(6, NOTHING),
        },
        bound=2.0,
    ),
    "last state": Case(
        [SEQUENCE, recur(), DENSE],
        {"half": Mistake(1, recur(recurrent_var=0.7)), "frozen": Mistake(1, recur(frozen=True))},
    ),
    "all states": Case(
        [SEQUENCE, recur(**ALL), MEAN, DENSE],
        {"not shared": Mistake(1, recur(**ALL, shared=False)), "flattened": Mistake(2, FLAT)},
    ),
    "two recurrences": Case(
        [SEQUENCE, conv(2), recur(**TWO), recur(**ALL, bias_var=0.0), TOTAL, DENSE],
        {
            "first not shared": Mistake(2, recur(**TWO, shared=False)),
            "last not shared": Mistake(3, recur(**ALL, bias_var=0.0, shared=False)),
        },
    ),
    "frozen states": Case(
        [SEQUENCE, DENSE, recur(**ALL, frozen=True), FLAT, DENSE],
        {"trained": Mistake(2, recur(**ALL))},
    ),
}


# --- Comparisons ----------------------------------------------------------------------------------


def rows_for(network):
    """Three rows, of which the second is long and the last close to the first."""
    X = np.random.default_rng(7).standard_normal((3, np.prod(network[0][1]["shape"])))
    return np.stack([X[0], 1.5 * X[1], 0.8 * X[0] + 0.3 * X[2]])


def to_layers(network):
    """The same network in the package."""
    return tuple(to_layer(*layer) for layer in network)


def to_layer(kind, parameters):
    if kind == "activation":
        return parameters["name"]
    if kind == "input":
        return layers.Input(*parameters["shape"])
    if kind == "residual":
        return layers.Residual(*map(to_layers, parameters.values()))
    return getattr(layers, kind.title().replace("_", ""))(**parameters)


@cache
def limit_of(name):
    """NNGP and NTK of infinitely wide networks."""
    network = CASES[name].network
    X = rows_for(network)
    return np.array(gram(layers.lower(to_layers(network)), X, None, ("nngp", "ntk")))


def is_near(name, network, narrow=1, share=1.0):
    """Whether random networks, or a share of the way to them, have the kernels of a case."""
    case, limit = CASES[name], limit_of(name)
    width, n_networks = case.width // narrow, case.n_networks * max(1, narrow // 2)
    sample = np.array(empirical_kernels(network, rows_for(network), width, n_networks))
    roots = np.sqrt(np.diagonal(limit, axis1=1, axis2=2))
    scale = roots[:, :, None] * roots[:, None]
    distance, error = share * np.abs(sample[:2] - limit) / scale, share * sample[2:] / scale
    return np.all(distance <= 4.0 * error + case.bound / width)


QUICK = ("volume", "transposed", "transformer", "two recurrences")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.thorough] * (n not in QUICK)) for n in CASES]
)
def test_wide_network(name):
    assert is_near(name, CASES[name].network)


@pytest.mark.thorough
@pytest.mark.parametrize("name", CASES)
def test_narrow_network(name):
    """The distance grows as the inverse of the width, and not faster."""
    assert is_near(name, CASES[name].network, narrow=8)


MISTAKES = [(name, mistake) for name, case in CASES.items() for mistake in case.mistakes]


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "mistake"), MISTAKES)
def test_mistakes_show(name, mistake):
    """The comparison is sharp enough to tell a plausible mistake from the truth."""
    network, (place, layer, share) = list(CASES[name].network), CASES[name].mistakes[mistake]
    network[place] = layer
    assert not is_near(name, network, share=share)
