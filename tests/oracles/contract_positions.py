"""The numerical contract over positions: a network for every layer, and runs of all engines."""

import gpu
import numpy as np
import pytest

import sklearn_ntk.layers as package
from sklearn_ntk.activations import ACTIVATIONS
from sklearn_ntk.engines.reference import lines as _positions
from sklearn_ntk.engines.rows import blocks as positions
from sklearn_ntk.gram import gram
from sklearn_ntk.layers import lower

BOTH = ("nngp", "ntk")

# --- Networks of `finite_positions` and `oracle_positions` as those of the package ----------------


def class_of(kind):
    """Class in `sklearn_ntk.layers` for a kind of layer, such as "global_avg_pool"."""
    return getattr(package, "".join(word.capitalize() for word in kind.split("_")))


def to_layers(network):
    """A network as a tuple of layers; variances "w" and "b" become None, the kernel's."""
    return tuple(to_layer(*layer) for layer in network)


def to_layer(kind, parameters):
    """One layer of the package."""
    if kind == "activation":
        rest = {key: value for key, value in parameters.items() if key != "name"}
        return ACTIVATIONS[parameters["name"]](**rest)
    if kind == "input":
        return package.Input(*parameters["shape"])
    if kind == "residual":
        return package.Residual(*(to_layers(parameters.get(k, ())) for k in ("body", "shortcut")))
    tied = ("w", "b")
    given = {k: None if v in tied else v for k, v in parameters.items()}
    return class_of(kind)(**given)


# --- Reference files ------------------------------------------------------------------------------


def from_reference(layers):
    """Translate the ``layers`` of a reference file."""
    return [translate(*layer) for layer in layers]


def translate(kind, parameters=None):
    """Translate one layer of a reference file, which has standard deviations for variances."""
    parameters = dict(parameters or {})
    if kind == "residual":
        body, shortcut = parameters["branch"], parameters.get("shortcut", [])
        return "residual", {"body": from_reference(body), "shortcut": from_reference(shortcut)}
    if kind in ACTIVATIONS:
        return "activation", {"name": kind, **parameters}
    translated = {}
    for name, value in parameters.items():
        if name.endswith("_std"):
            stem = {"w": "weight", "b": "bias"}.get(name[:-4], name[2:-4])
            translated[f"{stem}_var"] = value**2
        elif name == "linear_scaling":
            translated["scaling"] = "linear" if value else "sqrt"
        else:
            name = {"filter": "filter_size"}.get(name, name)
            translated[name] = tuple(value) if isinstance(value, list) else value
    return kind, translated


# --- Networks with every layer --------------------------------------------------------------------


def act(name):
    return "activation", {"name": name}


def dense(weight_var="w", bias_var="b", **others):
    return "dense", {"weight_var": weight_var, "bias_var": bias_var, **others}


def conv(filter_size, weight_var="w", bias_var="b", **others):
    return "conv", {
        "filter_size": filter_size, "weight_var": weight_var, "bias_var": bias_var, **others
    }  # fmt: skip


def conv_transpose(filter_size, **others):
    return "conv_transpose", conv(filter_size, **others)[1]


def recurrent(activation, weight_var="w", recurrent_var="w", bias_var="b", **others):
    numbers = {"weight_var": weight_var, "recurrent_var": recurrent_var, "bias_var": bias_var}
    return "recurrent", {"activation": activation, **numbers, **others}


def image(*layers):
    return [("input", {"shape": (4, 3, 2)}), *layers, dense(1.0, "b")]


def sequence(*layers):
    return [("input", {"shape": (4, 2)}), *layers, dense(1.0, "b")]


def volume(*layers):
    return [("input", {"shape": (2, 3, 2, 2)}), *layers, dense(1.0, "b")]


def attention(mechanism, scaling="linear"):
    others = {"mechanism": mechanism, "scaling": scaling, "bias_var": "b"}
    return "self_attention", {
        "query_var": 1.3, "key_var": 0.8, "value_var": 1.1, "out_var": 0.9, **others
    }  # fmt: skip


def residual(*body, shortcut=()):
    return "residual", {"body": list(body), "shortcut": list(shortcut)}


NAMES = ("relu", "erf", "gelu", "tanh", "rbf", "identity")
RELU, ERF, GELU, TANH, RBF, NOTHING = map(act, NAMES)
FLATTEN, MEAN, SUM = ("flatten", {}), ("global_avg_pool", {}), ("global_sum_pool", {})
NORM, DROPOUT = ("layer_norm", {}), ("dropout", {"rate": 0.3})


def avg_pool(window, **others):
    return "avg_pool", {"window": window, **others}


NETWORKS = {
    "conv flatten": image(conv(3), RELU, conv((2, 3)), ERF, FLATTEN),
    "conv pooled": image(conv(3), RELU, conv((3, 2)), ERF, MEAN),
    "valid": image(conv(2, padding="valid"), RELU, conv((2, 1), padding="valid"), RELU, MEAN),
    "valid flatten": image(conv((2, 3), padding="valid"), RELU, FLATTEN),
    "circular": image(conv(3, padding="circular"), RELU, conv(2, padding="circular"), RELU, MEAN),
    "strides": image(conv(3, strides=2), RELU, conv(2, strides=(1, 2)), RELU, MEAN),
    "strides flatten": image(conv(3, strides=(2, 1)), RELU, conv(1, strides=2), RELU, FLATTEN),
    "strided circular": image(conv(3, strides=2, padding="circular"), RELU, MEAN),
    "times": sequence(conv(3), RELU, conv(2, padding="valid"), GELU, SUM),
    "pools": image(conv(3), RELU, avg_pool(2), conv((2, 1)), RELU, ("sum_pool", {"window": (2, 1)}),
                   FLATTEN),
    "overlapping pools": image(
        conv(1), RELU, avg_pool(3, strides=1, padding="same"), conv(1), RELU,
        avg_pool((2, 3), strides=(1, 2), padding="circular"), conv(2), RELU, MEAN,
    ),
    "pool of the input": image(avg_pool(2), conv((2, 1)), RELU, FLATTEN),
    "only linear": image(conv(3), conv(2), MEAN),
    "residual": image(conv(3), residual(RELU, conv(3), RELU, conv(3, 0.5)), RELU, MEAN),
    "residual flatten": image(conv(3), residual(RELU, conv(3)), RELU, FLATTEN),
    "residual with strides": image(
        conv(3), residual(RELU, conv(3, strides=2), shortcut=[conv(1, strides=2)]), RELU, MEAN
    ),
    "residual with pools": image(
        conv(3),
        residual(RELU, avg_pool(2), conv((3, 1)), shortcut=[ERF, avg_pool(2), conv(1)]),
        RELU, FLATTEN,
    ),
    "residual in residual": image(
        conv(3), residual(residual(RELU, conv(3)), RELU, conv(2)), RELU, MEAN
    ),
    "layer norm": image(conv(3), NORM, RELU, conv(3), NORM, ERF, MEAN),
    "layer norm of a residual": image(conv(3), residual(RELU, conv(3)), NORM, RELU, FLATTEN),
    "constant variance": image(conv(2), RBF, conv((2, 1)), NORM, RBF, MEAN),
    "dropout": image(conv(3), RELU, DROPOUT, conv(3), RELU, MEAN, DROPOUT),
    "dropout flatten": image(DROPOUT, conv(3), RELU, DROPOUT, FLATTEN),
    "softmax": sequence(dense(), RELU, attention("softmax"), RELU, MEAN),
    "attention identity": sequence(dense(), attention("identity"), ERF, FLATTEN),
    "attention relu": sequence(dense(), attention("relu"), RELU, MEAN),
    "attention abs": sequence(dense(), RELU, attention("abs"), RELU, FLATTEN),
    "attention sqrt": sequence(dense(), RELU, attention("identity", "sqrt"), RELU, MEAN),
    "attention of images": image(conv(2), RELU, avg_pool(2), attention("softmax"), RELU, MEAN),
    "two attentions": sequence(dense(), attention("softmax"), attention("identity"), FLATTEN),
    "transformer": sequence(
        dense(), ("positional_embedding", {"var": 0.5, "length_scale": 1.5}),
        residual(attention("softmax")), NORM, residual(dense(), RELU, dense()), NORM, MEAN,
    ),
    "embedding": image(
        dense(), ("positional_embedding", {"var": 0.5}), conv(2), RELU,
        ("positional_embedding", {"var": 0.4, "frozen": True}), FLATTEN,
    ),
    "embedding pooled": sequence(
        dense(), ("positional_embedding", {"var": 0.5, "length_scale": 2.0}), RELU, MEAN
    ),
    "recurrent": sequence(recurrent("relu")),
    "recurrent erf": sequence(dense(), recurrent("erf", 1.2, "w", 0.2)),
    "all times": sequence(recurrent("erf", "w", 0.7, return_sequences=True), MEAN),
    "all times flatten": sequence(conv(2), recurrent("relu", return_sequences=True), FLATTEN),
    "two recurrences": sequence(recurrent("erf", return_sequences=True), recurrent("relu")),
    "recurrence and attention": sequence(
        recurrent("erf", return_sequences=True), dense(), attention("softmax"), recurrent("erf")
    ),
    "frozen": image(conv(3, frozen=True), RELU, conv(2), RELU, MEAN),
    "frozen attention": sequence(dense(), (attention("softmax")[0],
                                           {**attention("softmax")[1], "frozen": True}), MEAN),
    "frozen recurrence": sequence(dense(), recurrent("relu", frozen=True)),
    "wide filters": sequence(
        conv(11), RELU, conv(6, padding="circular", strides=2), ERF, conv((7,)), RELU, MEAN
    ),
    "wide filters flatten": image(
        conv((9, 4)), RELU, conv((5, 7), padding="circular", strides=(3, 1)), RELU, FLATTEN
    ),
    "wide windows": sequence(
        conv(2), RELU, avg_pool(9, strides=2, padding="same"), dense(), RELU,
        ("sum_pool", {"window": 5, "strides": 1, "padding": "circular"}), dense(), RELU, MEAN,
    ),
    "volume": volume(
        conv(2), RELU, conv((3, 2, 5), padding="circular", strides=(1, 2, 1)), ERF, MEAN
    ),
    "volume flatten": volume(
        conv((1, 3, 2)), RELU, conv((2, 2, 1), padding="valid"), NORM, FLATTEN
    ),
    "volume pools": volume(
        dense(), ("positional_embedding", {"var": 0.5, "length_scale": 1.5}), RELU,
        avg_pool((1, 2, 2)), residual(conv(1)), attention("softmax"), RELU, MEAN,
    ),
    "transposed": sequence(conv_transpose(3, strides=2), RELU, MEAN),
    "transposed flatten": sequence(
        conv(2), RELU, conv_transpose(4, strides=3, padding="valid"), ERF, FLATTEN
    ),
    "transposed with gaps": sequence(conv_transpose(2, strides=3), NORM, RELU, MEAN),
    "transposed circular": image(
        conv_transpose((2, 3), strides=(1, 2), padding="circular"), RELU, avg_pool((2, 3)), dense(),
        MEAN,
    ),
    "transposed volume": volume(
        conv_transpose((1, 3, 2), strides=(1, 2, 1)), RELU, FLATTEN
    ),
    "there and back": sequence(
        conv(3, strides=2), RELU, conv_transpose(5, strides=2, frozen=True),
        residual(RELU, conv_transpose(2, padding="circular")), GELU, recurrent("erf"),
    ),
    "attention of rows": sequence(attention("softmax"), RELU, MEAN),
    "attention of rows sqrt": sequence(attention("identity", "sqrt"), RELU, FLATTEN),
    "attention behind pools": image(avg_pool(2), attention("abs"), ERF, MEAN),
    "identity anywhere": image(
        NOTHING, conv(2), DROPOUT, NOTHING, NORM, conv(2), RELU, DROPOUT, NOTHING, FLATTEN, NOTHING
    ),
    "features": [*image(conv(2), RELU, conv((1, 2)), GELU)[:-1], MEAN],
    "features of sequences": sequence(conv(2), RELU, attention("relu"), FLATTEN, DROPOUT)[:-1],
    "features of recurrences": sequence(recurrent("erf"))[:-1],
    "residual of features": sequence(
        dense(), residual(dense(), RELU), conv(2), residual(ERF, shortcut=[conv(2)]), MEAN
    ),
    "dense behind": image(conv(2), RELU, MEAN, dense(), RELU, dense(), ERF),
    "dense behind flatten": image(conv(2), RELU, FLATTEN, dense(), RELU, DROPOUT, dense(), NORM),
}  # fmt: skip

FEW = (
    *("conv pooled", "overlapping pools", "residual with strides", "constant variance", "times"),
    *("transformer", "attention relu", "attention abs", "attention sqrt", "dropout flatten"),
    *("all times", "recurrent", "volume flatten", "transposed with gaps", "identity anywhere"),
    *("pools", "dense behind flatten", "features of recurrences", "frozen"),
)
"""Networks that have every kind of layer, mechanism, padding and readout between them."""

each_network = pytest.mark.parametrize("name", NETWORKS)
few_networks = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in FEW)) for name in NETWORKS]
)
"""All networks, those that are not in `FEW` marked as slow, for tests that compile loops."""

fewer_networks = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.thorough] * (n not in FEW)) for n in NETWORKS]
)
"""All networks, those that are not in `FEW` marked as thorough."""

W, B = 1.5, 0.2


def rows_of(name, n, seed=0):
    """Random rows (n, n_features) for a network: row 1 zero, row 2 constant, the last as row 0."""
    n_features = int(np.prod(NETWORKS[name][0][1]["shape"]))
    X = np.random.default_rng(seed).standard_normal((n, n_features))
    X[1], X[2], X[-1] = 0.0, 0.7, X[0]
    return X


def program_of(name):
    """The program of a network of the contract."""
    return lower(to_layers(NETWORKS[name]), W, B)


# --- Engines --------------------------------------------------------------------------------------


def run_numpy(program, X, Y, gradient=False, portion=None):
    """Kernels (2, n, m), NNGP then NTK, and derivatives (2, n, m, 2), by the reference engine."""
    sides = [positions.check_shape(np.asarray(Z), program.shape) for Z in (X, Y)]
    scan = _positions.scan_rows(program, np.concatenate(sides), gradient)  # series as long for all
    rows = [positions.take_rows(scan, part) for part in (slice(len(X)), slice(len(X), None))]
    nngp, ntk, *rates = _positions.run(program, *sides, *rows, gradient)
    values = np.stack([nngp, ntk])
    return (values, np.stack(rates)) if gradient else values


def run_gram(program, X, Y, gradient=False, **options):
    """Kernels and derivatives as `run_numpy`, by `gram.gram`."""
    result = gram(program, X, Y, BOTH, gradient, **options)
    return tuple(map(np.stack, result)) if gradient else np.stack(result)


def run_cuda(program, X, Y, gradient=False):
    """Kernels and derivatives as `run_numpy`, by the engine for GPUs, or on its stand-in."""
    with gpu.ready():
        return run_gram(program, X, Y, gradient, device="cuda")


ENGINES = {"numpy": run_numpy, "gram": run_gram, "cuda": run_cuda}
