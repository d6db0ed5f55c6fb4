"""Both engines agree with stored values and with high-precision arithmetic."""

import json
from pathlib import Path

import numpy as np
import oracle
import oracle_duals
import pytest
from contract import (
    ASIDE,
    BOTH,
    ENGINES,
    OPPOSITE,
    PAIRS,
    ROW,
    UNEQUAL,
    ZERO,
    assert_small,
    compare,
    deep,
    diagonals,
    engines,
    errors,
    exact,
    kernels_of_pairs,
    parameters_of,
    relative,
    run_cuda,
    run_numba,
    run_numpy,
    to_layers,
    tractable,
)
from numpy.testing import assert_allclose, assert_array_equal
from plain import QUICK

from sklearn_ntk.activations import ACTIVATIONS
from sklearn_ntk.architectures import mlp, resmlp
from sklearn_ntk.gram import diagonal, gram
from sklearn_ntk.layers import Dense, Dropout, LayerNorm, Output, Residual, lower

DATA = Path(__file__).parents[1] / "data"
REFERENCES = sorted(path.stem for path in DATA.glob("*mlp_*.json"))


# --- Stored values --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "case, run",
    [
        *((case, run_numpy) for case in REFERENCES),
        *(
            pytest.param(case, run, marks=[pytest.mark.thorough] * (name not in QUICK))
            for case, name in ((case, case.split("_")[1]) for case in REFERENCES)
            for run in (run_numba, run_cuda)
        ),
    ],
)
def test_stored_values(case, run):
    """The kernels of the field's reference implementation."""
    data = json.loads((DATA / f"{case}.json").read_text())
    program = lower(to_layers(oracle.from_reference(data["layers"])))
    X, Y = np.array(data["x1"]), np.array(data["x2"])
    for Z, suffix in ((X.copy(), "x1_x1"), (Y, "x1_x2")):
        expected = np.stack([data[f"{name}_{suffix}"] for name in BOTH])
        assert errors(run(program, X, Z), expected, program, X, Z).max() <= 1e-13


# --- High precision -------------------------------------------------------------------------------

DEPTHS = [1, 3, 10]


@pytest.mark.slow
@engines
@pytest.mark.parametrize("bias_var", [0.1, 0.0])
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("name", oracle_duals.DUALS)
def test_high_precision(name, depth, bias_var, run):
    network = deep(name, depth, 2.0, bias_var)
    pairs = tractable(PAIRS, name, depth)
    assert_small(compare(run, network, pairs, exact(name, depth, bias_var)), 1e-12)


@pytest.mark.slow
@engines
@pytest.mark.parametrize("bias_var, tolerance", [(0.1, 1e-12), (0.0, 1e-9)])
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("name", oracle_duals.DUALS)
def test_antiparallel_rows(name, depth, bias_var, tolerance, run):
    network = deep(name, depth, 2.0, bias_var)
    pairs = OPPOSITE if bias_var else tractable(OPPOSITE, name, depth)
    errors = compare(run, network, pairs, exact(name, depth, bias_var))
    if bias_var == 0.0:  # a gap cannot hold how far rows are from opposite ones: 1e-8 at worst
        assert_small({k: v for k, v in errors.items() if "1e-08" in k}, 1e-7)
        errors = {k: v for k, v in errors.items() if "1e-08" not in k}
    assert_small(errors, tolerance)


@engines
@pytest.mark.parametrize("depth", [1, 2, 12])
@pytest.mark.parametrize("name", ["tanh", "erf", "sin", "identity"])
@pytest.mark.filterwarnings("ignore:The Hermite series")
def test_opposite_rows_behind_odd_activations(name, depth, run):
    """They stay opposite, and rectifiers send them to orthogonal features."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 5)) * 10.0 ** rng.uniform(-3.0, 1.5, (40, 1))
    program = lower((Dense(), *(name, Dense()) * depth, "relu", Dense()), 1.7, 0.0)
    kernels = np.diagonal(run(program, X, -X), axis1=1, axis2=2)
    assert np.all(np.abs(kernels) <= 1e-14 * diagonals(program, X))


@engines
@pytest.mark.parametrize("bias_var", [0.1, 0.0])
@pytest.mark.parametrize("name", oracle_duals.DUALS)
def test_rows_of_unequal_norm(name, bias_var, run):
    """Relative to the larger diagonal entry: a gap holds no smaller covariance."""

    def to_larger(error, left, right):
        return np.abs(error) / np.maximum(left, right)

    network, known = deep(name, 3, 2.0, bias_var), exact(name, 3, bias_var)
    assert_small(compare(run, network, UNEQUAL, known, to_larger), 1e-14)


def chain(*names):
    """A network of the oracle with one layer of each activation."""
    layers = [("dense", 1.7, 0.1, True)]
    for position, name in enumerate(names):
        layers.append(("activation", name, parameters_of(name)))
        layers.append(("dense", 1.5, 0.2 * (position % 2), True))
    return layers


RELU, ERF = ("activation", "relu", {}), ("activation", "erf", {})
BODY = [RELU, ("dense", 0.6, 0.05, True)]
RESIDUAL = {
    "identity shortcut": [
        chain()[0],
        ("residual", BODY, []),
        ("residual", BODY, []),
        *chain("erf")[1:],
    ],
    "shortcut with weights": [chain()[0], ("residual", BODY, [("dense", 0.4, 0.2, True)]), *BODY],
    "deep shortcut": [chain()[0], ("residual", BODY, [ERF, ("dense", 0.4, 0.0, True)]), *BODY],
    "residual before weights": [("residual", [chain()[0]], [chain()[0]]), *BODY],
    "in the body": [chain()[0], ("residual", [*BODY, ("residual", BODY, [])], []), *BODY],
    "in the shortcut": [
        chain()[0],
        ("residual", BODY, [*BODY, ("residual", [*BODY], [("dense", 0.4, 0.2, False)])]),
        *BODY,
    ],
    "frozen body": [chain()[0], ("residual", [RELU, ("dense", 0.6, 0.05, False)], []), *BODY],
}
MIXED = {
    " ".join(names): chain(*names)
    for names in [
        ("erf", "relu"),
        ("relu", "erf", "relu", "relu"),
        ("gelu", "relu"),
        ("gaussian", "abs"),
        ("sin", "relu"),
        ("cos", "leaky_relu", "gelu"),
        ("rbf", "erf"),
        ("abs", "gelu", "gaussian"),
        ("identity", "relu"),
    ]
}
COMPILED = [key for key in MIXED if set(key.split()) <= {"erf", "relu", "identity"}]


@pytest.mark.parametrize("key", MIXED)
def test_mixed_activations(key):
    """On the reference engine all, on the compiled one those that need no new code."""
    known = kernels_of_pairs(MIXED[key], PAIRS)
    for run in [run_numpy, run_numba][: 1 + (key in COMPILED)]:
        assert_small(compare(run, MIXED[key], PAIRS, known), 1e-12)


@pytest.mark.parametrize("key", RESIDUAL)
def test_residual_networks(key):
    known = kernels_of_pairs(RESIDUAL[key], {**PAIRS, **OPPOSITE})
    for run in ENGINES.values():
        assert_small(compare(run, RESIDUAL[key], {**PAIRS, **OPPOSITE}, known), 1e-12)


@engines
@pytest.mark.parametrize("n_frozen", range(4))
def test_frozen_layers(n_frozen, run):
    network = oracle.mlp("relu", 3, 2.0, 0.1, n_frozen=n_frozen)
    pairs = {key: PAIRS[key] for key in ("1 apart", "coincident")}
    error = compare(run, network, pairs, kernels_of_pairs(network, pairs))
    assert_small(error, 1e-14)


SEVERAL = {
    "relu": (Dense(), "relu", Dense(), Output(), "relu", Dense(), Output(), "erf", Dense()),
    "series": (Dense(), "tanh", Dense(), Output(), "sigmoid", Dense()),
    "rules": (Dense(), LayerNorm(), "relu", Dropout(0.8), Dense(), "relu", Dense()),
    "residual": (Dense(), *resmlp(2)[1:], Residual(("erf", Dense(frozen=True)), (Dense(),))),
}


@engines
@pytest.mark.parametrize("key", SEVERAL)
def test_several_numbers_of_frozen_layers(key, run):
    """The NTKs of one pass are those of a pass for each number, and so are the diagonals."""
    program, counts = lower(SEVERAL[key], 1.5, 0.2, n_frozen=(1, 0, 2)), (1, 0, 2)
    X = np.random.default_rng(0).standard_normal((70, 3))
    alone = [lower(SEVERAL[key], 1.5, 0.2, n_frozen=n) for n in counts]
    for Y in (X[:40] + 1e-3, X):
        single = [run(one, X, Y) for one in alone]
        nngp = single[0][: len(single[0]) // 2]
        ntks = [one[len(nngp) :] for one in single]
        found = run(program, X, Y)
        assert_array_equal(found[: len(nngp)], nngp)
        assert_allclose(found[len(nngp) :], np.concatenate(ntks), 1e-14, 1e-15)
        assert not np.array_equal(ntks[0], ntks[1])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_shapes_of_several_ntks(dtype):
    X = np.random.default_rng(0).standard_normal((5, 3))
    for key, outputs in (("relu", (3,)), ("rules", ())):
        program = lower(SEVERAL[key], n_frozen=(0, 1))
        nngp, ntk = gram(program, X, get=BOTH, dtype=dtype)
        assert nngp.shape == (*outputs, 5, 5) and ntk.shape == (2, *outputs, 5, 5)
        found = diagonal(program, X, BOTH, dtype=dtype)
        for part, whole in zip(found, (nngp, ntk), strict=True):
            assert_array_equal(part, np.diagonal(whole, axis1=-2, axis2=-1))
        one = gram(lower(SEVERAL[key], n_frozen=(1,)), X, dtype=dtype)
        assert one.shape == (1, *outputs, 5, 5)
        assert_allclose(one, ntk[1:], rtol=1e-14 if dtype == "float64" else 1e-6)
        for call in (gram, diagonal):
            with pytest.raises(ValueError, match="lower the network for one n_frozen"):
                call(program, X, gradient=True)


@engines
def test_gain_is_a_weight_variance(run):
    """A factor before or after a homogeneous activation is one of the weights."""
    for name in ("relu", "abs", "identity"):
        scaled = lower((Dense(), ACTIVATIONS[name](gain=1.5), Dense()), 2.0, 0.1)
        plain = lower((Dense(), name, Dense(2.0 * 1.5**2)), 2.0, 0.1)
        X, Y = np.array([ROW, ASIDE]), np.array([ROW + 1e-3 * ASIDE, -ROW])
        assert errors(run(scaled, X, Y), run(plain, X, Y), plain, X, Y).max() <= 1e-15


# --- Derivatives ----------------------------------------------------------------------------------

GRADIENT_PAIRS = {
    **{key: PAIRS[key] for key in ("1 apart", "0.01 apart", "1e-08 apart", "parallel")},
    **{key: PAIRS[key] for key in ("coincident", "zero", "both zero")},
    **OPPOSITE,
}
TIED = [("dense", "w", "b", True), RELU, ("dense", "w", 0.1, True), ERF, ("dense", 0.8, "b", True)]
SHORTCUT = [("dense", "w", 0.2, False)]
TIED_RESIDUAL = [
    TIED[0],
    ("residual", TIED[1:3], []),
    ("residual", TIED[1:], SHORTCUT),
    ("residual", [*TIED[1:3], ("residual", TIED[3:], [])], [ERF, *SHORTCUT]),
    *TIED[3:],
]


def check_gradient(network, w=1.7, b=0.1):
    """The derivatives of both kernels of pairs, on all engines."""
    program = lower(to_layers(network), w, b)
    X, Y = (np.array(rows) for rows in zip(*GRADIENT_PAIRS.values(), strict=True))
    known = [oracle.gradient(network, *pair, 40, w=w, b=b) for pair in GRADIENT_PAIRS.values()]
    for run in ENGINES.values():
        actual = np.diagonal(run(program, X, Y, gradient=True)[1], axis1=1, axis2=2)
        error = actual - np.moveaxis(np.array(known, float), 0, -1)
        scaled = relative(error, *(diagonals(program, Z)[:, None] for Z in (X, Y)))
        assert_small(dict(zip(GRADIENT_PAIRS, scaled.max(axis=(0, 1)), strict=True)), 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("name", oracle_duals.DUALS)
def test_gradient(name):
    check_gradient(deep(name, 3, "w", "b"))


@pytest.mark.parametrize("network", [TIED, TIED_RESIDUAL], ids=["mlp", "residual"])
def test_gradient_of_partly_tied_networks(network):
    check_gradient(network)


@engines
def test_gradient_without_bias(run):
    """A homogeneous network grows as the number of dense layers in the power of the weights."""
    program = lower(mlp(depth=3), 1.7, 0.0)
    X, Y = np.array([ROW, ASIDE, -ROW]), np.array([ROW, 2.0 * ROW, ROW + 1e-8 * ASIDE, ZERO])
    values, rates = run(program, X, Y, gradient=True)
    error = errors(rates[..., 0], 4.0 * values, program, X, Y)
    assert error[:, :2].max() <= 1e-12
    assert error[:, 2].max() <= 1e-9  # antiparallel
    assert np.all(rates[..., 1] == 0.0)
