"""Networks on images and sequences: both engines against high precision, references, identities."""

import json
import pickle
from pathlib import Path

import contract
import numpy as np
import oracle_positions as oracle
import pytest
from contract_positions import (
    BOTH,
    ENGINES,
    NETWORKS,
    RELU,
    B,
    W,
    conv,
    dense,
    from_reference,
    image,
    program_of,
    rows_of,
    run_gram,
    run_numpy,
    to_layers,
)
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import WhiteKernel
from sklearn.model_selection import GridSearchCV

from sklearn_ntk import NNGPKernel, NTKClassifier, NTKKernel, NTKRegressor
from sklearn_ntk.activations import ACTIVATIONS
from sklearn_ntk.engines.numba import line_scan, line_work
from sklearn_ntk.engines.reference import lines as _positions
from sklearn_ntk.engines.rows import blocks
from sklearn_ntk.engines.rows import lines as _position_rows
from sklearn_ntk.engines.rows.tiles import check_rows
from sklearn_ntk.engines.schedule import writer as _schedule
from sklearn_ntk.engines.schedule.operations import Gather, Map
from sklearn_ntk.gram import diagonal, gram
from sklearn_ntk.layers import (
    AvgPool,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    Input,
    LayerNorm,
    Recurrent,
    lower,
)

DATA = Path(__file__).parents[1] / "data"
REFERENCES = sorted(
    path.relative_to(DATA).with_suffix("").as_posix()
    for pattern in (
        *("cnn*", "resnet*", "attention*", "transformer*", "layer_norm/*", "unusual/*"),
        "transposed/*",
    )
    for path in DATA.glob(f"{pattern}.json")
)
STORED = json.loads((DATA / "positions" / "exact.json").read_text())
"""What `oracle_positions.store` wrote."""


@pytest.mark.parametrize("name", NETWORKS)
def test_high_precision(name):
    """Every layer, on both engines, to the last digits; dropout is noise of each row's own."""
    X, expected = rows_of(name, 5), np.array(STORED[name]["values"])
    scale = np.abs(expected).max()
    program = program_of(name)
    for run in ENGINES.values():
        values = run(program, X[:3], X[3:])
        assert np.abs(values - expected[:, :3, 3:]).max() <= 1e-12 * scale
    assert np.abs(np.stack(gram(program, X, get=BOTH)) - expected).max() <= 1e-12 * scale
    exact = np.stack(diagonal(program, X, BOTH))
    assert np.abs(exact - np.diagonal(expected, axis1=1, axis2=2)).max() <= 1e-12 * scale


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_in_high_precision(name):
    """Derivatives by both logarithms, of the matrix and of its diagonal."""
    X, expected = rows_of(name, 5)[[0, 2, 3]], np.array(STORED[name]["rates"])
    scale = np.abs(expected).max()
    program = program_of(name)
    _, symmetric = gram(program, X, get=BOTH, gradient=True)
    assert np.abs(np.stack(symmetric) - expected).max() <= 1e-10 * scale
    for run in ENGINES.values():
        rates = run(program, X[:1], X[1:], gradient=True)[1]
        assert np.abs(rates - expected[:, :1, 1:]).max() <= 1e-10 * scale


@pytest.mark.slow
@pytest.mark.parametrize("name", ["recurrent erf", "softmax", "attention sqrt", "valid flatten"])
def test_stored_values_are_those_of_the_oracle(name):
    """The others take a minute each."""
    X = rows_of(name, 5)
    np.testing.assert_allclose(STORED[name]["X"], X, rtol=0, atol=0)
    K = oracle.gram(NETWORKS[name], X[:3], w=W, b=B)
    np.testing.assert_allclose(np.array(STORED[name]["values"])[:, :3, :3], K, rtol=1e-15)


@pytest.mark.parametrize("case", REFERENCES)
def test_reference_implementation(case):
    """The field's reference; its diagonals are off by 2e-9, from angles of equal rows."""
    data = json.loads((DATA / f"{case}.json").read_text())
    X, Y = (np.array(data[key]) for key in ("x1", "x2"))
    network = to_layers(from_reference(data["layers"]))
    if X.ndim > 2:
        network = (Input(*X.shape[1:]), *network)
    program = lower(network)
    X, Y = (Z.reshape(len(Z), -1) for Z in (X, Y))
    pairs = ~np.eye(len(X), dtype=bool)
    for kind in BOTH:
        square = np.array(data[f"{kind}_x1_x1"])
        scale = np.diag(square).max()
        K = gram(program, X, get=kind)
        assert np.abs(K - square)[pairs].max() <= 1e-10 * scale
        assert np.abs(np.diag(K) - np.diag(square)).max() <= 2e-9 * scale
        assert np.abs(gram(program, X, Y, kind) - data[f"{kind}_x1_x2"]).max() <= 1e-10 * scale


# --- Every activation -----------------------------------------------------------------------------

few_terms = pytest.mark.filterwarnings("ignore:The Hermite series")
READOUTS = {"pooled": GlobalAvgPool(), "flattened": Flatten()}
PARTS = {"pooled": np.ones((2, 2)) / 4.0, "flattened": np.eye(2) / 2.0}
"""Shares of the pairs of two positions."""


def means_of_patches(body, readout, X, Y):
    """Kernels of `patches` and their derivatives: means of those of patches as rows."""
    rows = [Z[:, [[0, 1], [1, 2]]].reshape(-1, 2) for Z in (X, Y)]
    found = contract.run_numpy(lower((Dense(), *body, Dense()), W, B), *rows, True)
    axes = len(X), 2, len(Y), 2
    return [
        np.einsum("kipjq...,pq->kij...", part.reshape(2, *axes, *part.shape[3:]), PARTS[readout])
        for part in found
    ]


def patches(body, readout):
    network = (Input(3, 1), Conv(2, padding="valid"), *body, READOUTS[readout], Dense())
    return lower(network, W, B)


def rows_of_patches():
    """Rows of all signs and sizes; one is zero, one constant, two are equal."""
    X = np.random.default_rng(0).standard_normal((6, 3))
    X[1], X[2], X[3], X[-1] = 0.0, 0.7, 3.0 * X[3], X[0]
    return X[:4], X[3:]


@few_terms
@pytest.mark.parametrize("rule", [(), (LayerNorm(),)], ids=len)
@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("cls", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_every_activation(cls, readout, rule):
    """On the reference engine, with derivatives and without."""
    body, (X, Y) = (*rule, contract.varied(cls)), rows_of_patches()
    expected, rates = means_of_patches(body, readout, X, Y)
    scale, program = np.abs(expected).max(), patches(body, readout)
    found, moves = run_numpy(program, X, Y, True)
    for part, wanted in ((found, expected), (moves, rates), (run_numpy(program, X, Y), expected)):
        assert part.shape == wanted.shape
        assert np.abs(part - wanted).max() <= 1e-12 * scale


NEW_CODE = [name for name in ACTIVATIONS if name not in ("relu", "rbf", "tanh")]


@few_terms
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in NEW_CODE)) for name in ACTIVATIONS],
)
def test_every_compiled_activation(name, dtype):
    """Code for most is compiled for this test alone."""
    body, (X, Y) = (contract.varied(ACTIVATIONS[name]),), rows_of_patches()
    tolerance = 1e-12 if dtype == "float64" else 5e-6
    for readout in READOUTS:
        expected, rates = means_of_patches(body, readout, X, Y)
        program = patches(body, readout)
        found = gram(program, X, Y, BOTH, dtype=dtype)
        with_rates = gram(program, X, Y, BOTH, gradient=True, dtype=dtype)
        scale = np.abs(expected).max()
        for part in (found, with_rates[0]):
            assert np.abs(np.stack(part) - expected).max() <= tolerance * scale
        assert np.abs(np.stack(with_rates[1]) - rates).max() <= 10.0 * tolerance * scale


@pytest.mark.parametrize("run", ENGINES.values(), ids=ENGINES)
def test_constant_variance(run):
    """The RBF activation, whose variance traces fold to a number."""
    convolution = Conv(2, padding="valid", weight_var=1.0, bias_var=0.0)
    network = (Input(3, 1), convolution, "rbf", GlobalAvgPool(), Dense(1.0, 0.0))
    X = np.array([[1.0, 2.0, -1.0], [0.5, -1.0, 1.0]])
    expected = [[3.00336897, 0.28255467], [0.28255467, 1.30151577]]
    np.testing.assert_allclose(run(lower(network), X, X)[1], expected, rtol=1e-7)
    np.testing.assert_allclose(run(lower(network), X, X, True)[0][1], expected, rtol=1e-7)


# --- Engines and schedules ------------------------------------------------------------------------


@pytest.mark.parametrize("portion", [1, 7, None])
@pytest.mark.parametrize(
    "name",
    ["conv pooled", "overlapping pools", "transformer", "all times", "transposed with gaps"],
)
def test_portions(name, portion, monkeypatch):
    """Where a schedule is cut makes no difference."""
    X, program = rows_of(name, 5), program_of(name)
    expected = run_gram(program, X, X[:2])
    monkeypatch.setattr(
        line_work,
        "schedule",
        lambda p, _=None, diagonal=False: _schedule.schedule(p, portion, True),
    )
    np.testing.assert_allclose(run_gram(program, X, X[:2]), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_compiled_scan_of_rows(name, gradient, monkeypatch):
    """Single rows come out the same from compiled loops, whatever their number."""
    X, program = rows_of(name, 35), program_of(name)
    X = blocks.check_shape(X, program.shape)
    expected = _positions.scan_rows(program, X, gradient)
    monkeypatch.setattr(line_scan, "COMPILED_LINES", 0)
    ends = gradient, np.float64, line_scan.scan_blocks
    found = blocks.scan(program, [(X.reshape(len(X), -1), None)], *ends)
    for part, other in zip(flat(found), flat(expected), strict=True):
        size = np.abs(other).max(initial=1e-3)
        np.testing.assert_allclose(part, other, rtol=0, atol=1e-10 * size)


def flat(item):
    """All arrays of a scan."""
    if isinstance(item, (list, tuple)):
        return [part for one in item for part in flat(one)]
    return [] if item is None else [np.asarray(item)]


def test_only_what_is_needed():
    """A flattened readout asks for equal positions only, pooling for all pairs."""
    body = (Input(8, 8, 1), Conv(3), "relu", Conv(3), "relu")
    counts = [
        _schedule.schedule(lower((*body, readout, Dense()))).cost
        for readout in (Flatten(), GlobalAvgPool())
    ]
    assert counts[0] == 4 * 64 + 2
    assert counts[1] == 4 * 64**2 + 2


def test_new_numbers_need_no_new_schedule():
    """Nor do other activations of the same network."""
    network = (Input(4, 4, 1), Conv(3), "relu", GlobalAvgPool(), Dense())
    first = _schedule.schedule(lower(network, 1.0, 0.1))
    assert _schedule.schedule(lower((*network[:2], "erf", *network[3:]), 2.0, 0.3)) is first


@pytest.mark.parametrize("shape", [(1, 1), (17, 1), (1, 33), (16, 16), (40, 21)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_numbers_of_rows(shape, dtype):
    """Lines that are not full, and more than one block."""
    program = program_of("conv pooled")
    n, m = shape
    X, Y = rows_of("conv pooled", n + 3)[3:], rows_of("conv pooled", m + 3, 1)[3:]
    expected = run_numpy(program, X, Y)
    K = np.stack(gram(program, X, Y, BOTH, dtype=dtype))
    tolerance = 1e-13 if dtype == "float64" else 2e-6
    assert K.dtype == dtype
    assert np.abs(K - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("n", [1, 2, 3, 16, 32, 33, 34, 65])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["conv pooled", "recurrent"])
def test_ring_of_rows(name, n, dtype):
    """A symmetric matrix has each pair of rows once, in lines that begin at any row."""
    program, X = program_of(name), rows_of(name, n + 3)[3:]
    expected = run_numpy(program, X, X)
    found, rates = gram(program, X, get=BOTH, dtype=dtype, gradient=True)
    wanted = gram(program, X, X.copy(), get=BOTH, dtype=dtype, gradient=True)[1]
    tolerance = 1e-13 if dtype == "float64" else 2e-6
    for K, other in zip((*found, *rates), (*expected, *wanted), strict=True):
        assert_array_equal(K, K.swapaxes(0, 1))
        assert np.abs(K - other).max() <= tolerance * np.abs(other).max()
    diagonals = diagonal(program, X, BOTH, dtype=dtype, gradient=True)
    for K, ends in zip((*found, *rates), (*diagonals[0], *diagonals[1]), strict=True):
        assert_array_equal(K[np.arange(n), np.arange(n)], ends)


@pytest.mark.parametrize(
    "layers, steps",
    [
        ((Conv(3), "relu"), {1, 2}),
        ((Conv((3, 1)), "relu"), {0, 1}),
        ((Conv(5), "relu"), {2}),
        ((Conv(1), "relu"), {0}),
        ((Conv(3), "relu", Conv(1), "erf"), set()),
        ((Conv(3), "tanh"), set()),
    ],
)
def test_joined_operations(layers, steps):
    """The sum of three lines, an affine map and an activation alone are one loop."""
    program = lower((Input(6, 6, 1), *layers, GlobalAvgPool(), Dense()), 2.0, 0.1)
    work = line_work.LineWork(
        program, [check_rows(np.eye(36)[:2])], ("ntk",), False, np.dtype("float64")
    )
    operations = _schedule.schedule(program, diagonal=True).operations
    kinds = zip(operations, work._plan.ops, strict=True)
    left_out = {op.step for op, row in kinds if isinstance(op, (Gather, Map)) and row[3] == 0}
    assert left_out == steps


@pytest.mark.parametrize("name", NETWORKS)
def test_single_precision(name):
    """To the digits that it has, relative to the diagonal; far fewer behind sums of scores."""
    X, program = rows_of(name, 6), program_of(name)
    exact = np.stack(gram(program, X, get=BOTH))
    K = np.stack(gram(program, X, get=BOTH, dtype="float32"))
    scale = np.abs(np.diagonal(exact, axis1=1, axis2=2)).max(axis=1)[:, None, None]
    assert (np.abs(K - exact) <= 5e-6 * scale).all()


# --- Properties of the matrices -------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_symmetric_and_positive(name):
    X = rows_of(name, 20)
    for kernel in (NTKKernel, NNGPKernel):
        kernel = kernel(architecture=to_layers(NETWORKS[name]), weight_var=W, bias_var=B)
        K = kernel(X)
        np.testing.assert_array_equal(K, K.T)
        np.testing.assert_array_equal(np.diag(K), kernel.diag(X))
        eigenvalues = np.linalg.eigvalsh(K)
        assert eigenvalues[0] >= -1e-12 * eigenvalues[-1]


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_extreme_norms(scale):
    """A network of rectifiers without biases is homogeneous, as far as numbers reach."""
    program = lower(to_layers(NETWORKS["residual with strides"]), W, 0.0)
    X = rows_of("residual with strides", 6)
    expected = np.stack(gram(program, X, get=BOTH))
    K = np.stack(gram(program, scale * X, get=BOTH))
    np.testing.assert_allclose(K / scale / scale, expected, rtol=1e-12, atol=1e-12)


def test_overflow_is_told():
    X = 1e155 * rows_of("conv pooled", 4)
    with pytest.raises(ValueError, match="overflows on rows whose largest entry"):
        gram(program_of("conv pooled"), X)
    X = 1e19 * rows_of("conv pooled", 4)
    with pytest.raises(ValueError, match="or take dtype='float64'"):
        gram(program_of("conv pooled"), X, dtype="float32")


def test_near_duplicates_of_images():
    """Images 1e-9 apart, flattened: all digits; the reference form has half of them."""
    network = image(conv(3), RELU, conv(3), RELU, ("flatten", {}))
    X = np.random.default_rng(0).standard_normal((2, 24))
    X[1] = X[0] + 1e-9 * X[1]
    expected = oracle.gram(network, X, w=W, b=B)
    K = np.stack(gram(lower(to_layers(network), W, B), X, get=BOTH))
    assert np.abs(K - expected).max() <= 1e-14 * np.abs(expected).max()


# --- Identities -----------------------------------------------------------------------------------


def both(network, X, weight_var=W, bias_var=B):
    return np.stack(gram(lower(network, weight_var, bias_var), X, get=BOTH))


def test_convolution_of_size_one_is_dense():
    X = np.random.default_rng(0).standard_normal((4, 24))
    first, second = (
        (Input(4, 3, 2), layer, "relu", layer, "erf", GlobalAvgPool(), Dense())
        for layer in (Conv(1), Dense())
    )
    np.testing.assert_array_equal(both(first, X), both(second, X))


def test_flatten_of_dense_layers_is_a_mean():
    """Of covariances of perceptrons at each position."""
    X = np.random.default_rng(0).standard_normal((4, 5, 3))
    network = (Input(5, 3), Dense(), "relu", Dense(), "erf", Flatten(), Dense(1.0, 0.0))
    mean = np.mean([both((*network[1:5], network[-1]), X[:, t]) for t in range(5)], axis=0)
    np.testing.assert_allclose(both(network, X.reshape(4, -1)), mean, rtol=1e-13)


def test_one_position_is_a_perceptron():
    X = np.random.default_rng(0).standard_normal((6, 3))
    network = (Dense(), "relu", Dense(), "tanh", Dense())
    np.testing.assert_allclose(
        both((Input(1, 3), *network[:-1], Flatten(), Dense()), X), both(network, X), rtol=1e-12
    )


def test_global_pooling_is_a_window_of_the_size_of_the_image():
    X = np.random.default_rng(0).standard_normal((4, 24))
    body = (Input(4, 3, 2), Conv(3), "relu")
    first = both((*body, GlobalAvgPool(), Dense()), X)
    second = both((*body, AvgPool((4, 3)), Flatten(), Dense()), X)
    np.testing.assert_allclose(first, second, rtol=1e-13)


def test_circular_convolutions_do_not_see_shifts():
    """Of both images at once; with pooling, not of one of them either."""
    images = np.random.default_rng(0).standard_normal((2, 4, 4, 1))
    moved = np.roll(images, (1, 2), axis=(1, 2)).reshape(2, -1)
    X = images.reshape(2, -1)
    body = (
        Input(4, 4, 1),
        Conv(3, padding="circular"),
        "relu",
        Conv(2, padding="circular"),
        "relu",
    )
    flat, pooled = (lower((*body, end, Dense())) for end in (Flatten(), GlobalAvgPool()))
    np.testing.assert_allclose(gram(flat, X), gram(flat, moved), rtol=1e-13)
    np.testing.assert_allclose(gram(pooled, X), gram(pooled, X, moved), rtol=1e-13)
    assert np.abs(gram(flat, X) / gram(flat, X, moved) - 1.0).max() > 0.01


@pytest.mark.parametrize("act", ["tanh", "erf"])
def test_opposite_positions(act):
    """Without biases an odd activation keeps them opposite, on both engines and for dense rows."""
    X = np.random.default_rng(0).standard_normal((3, 4))
    X[1] = -X[0]
    network = (Dense(1.5, 0.0), act, Dense(1.5, 0.0), "relu", Dense(1.5, 0.0))
    expected = both(network, X)
    images = lower((Input(1, 4), *network[:-1], Flatten(), network[-1]))
    for run in ENGINES.values():
        assert np.abs(run(images, X, X) - expected).max() <= 1e-9 * np.abs(expected).max()


def test_recurrence_of_one_step_is_a_layer():
    X = np.random.default_rng(0).standard_normal((5, 3))
    first = both((Input(1, 3), Recurrent("erf"), Dense()), X)
    np.testing.assert_allclose(first, both((Dense(), "erf", Dense()), X), rtol=1e-12)


def test_frozen_layers():
    """The first ones, by number or by name, add nothing to the NTK."""
    X = np.random.default_rng(0).standard_normal((4, 16))
    ends = ("relu", Conv(3), "relu", GlobalAvgPool(), Dense())
    by_name = NTKKernel(architecture=(Input(4, 4, 1), Conv(3, frozen=True), *ends))
    by_number = NTKKernel(architecture=(Input(4, 4, 1), Conv(3), *ends), n_frozen=1)
    np.testing.assert_array_equal(by_name(X), by_number(X))
    whole = NTKKernel(architecture=(Input(4, 4, 1), Conv(3), *ends))
    assert (np.diag(by_name(X)) < np.diag(whole(X))).all()


# --- scikit-learn ---------------------------------------------------------------------------------

SMALL = (Input(4, 4, 1), Conv(3), "relu", GlobalAvgPool(), Dense())


def blobs(n, seed=0):
    """Images with a horizontal or a vertical bar somewhere, and which it is."""
    random = np.random.default_rng(seed)
    images, kinds = 0.1 * random.standard_normal((n, 4, 4)), random.integers(0, 2, n)
    for picture, kind, place in zip(images, kinds, random.integers(0, 4, n), strict=True):
        (picture if kind else picture.T)[place] += 1.0
    return images.reshape(n, -1), kinds


def test_clone_and_pickle():
    kernel = NTKKernel(architecture=(*SMALL[:3], Flatten(), Dense(0.5)))
    for other in (clone(kernel), pickle.loads(pickle.dumps(kernel))):
        assert other == kernel
        assert other.architecture == kernel.architecture
    assert repr(SMALL[0]) == "Input(4, 4, 1)"
    assert Flatten() != GlobalAvgPool()


def test_grid_search_over_architectures():
    """Each network is fitted and scored, and the best one refitted."""
    X, y = blobs(60)
    networks = [SMALL, (*SMALL[:3], Flatten(), Dense())]
    search = GridSearchCV(NTKClassifier(), {"architecture": networks}, cv=3).fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert (scores > 0.9).all()
    assert search.best_estimator_.architecture == networks[scores.argmax()]
    assert (search.predict(X) == y).mean() > 0.9


def test_gaussian_process():
    """Hyperparameters of a network on images are fitted by their gradients."""
    X, y = blobs(30)
    kernel = NNGPKernel(architecture=SMALL) + WhiteKernel(0.01)
    process = GaussianProcessRegressor(kernel).fit(X, y)
    start = process.log_marginal_likelihood(kernel.theta)
    assert process.log_marginal_likelihood_value_ > start + 1.0


def test_regressor():
    X, y = blobs(40)
    model = NTKRegressor(architecture=SMALL).fit(X, y)
    mean, std = model.predict(X[:5], return_std=True)
    assert mean.shape == std.shape == (5,)
    assert model.score(*blobs(40, 2)) > 0.3


def test_rows_that_do_not_fill_the_shape():
    with pytest.raises(ValueError, match=r"Input\(4, 4, 1\) takes rows of 16 columns.*got 15"):
        NTKKernel(architecture=SMALL)(np.zeros((2, 15)))


def test_scan_stops_at_the_output():
    """The last record of a scan is the variance of the output."""
    program = program_of("conv pooled")
    X = blocks.check_shape(rows_of("conv pooled", 4), program.shape)
    scanned = _positions.scan_rows(program, X)
    assert isinstance(scanned, _position_rows.LineRows)
    np.testing.assert_array_equal(scanned.records[-1][0][0], scanned.variance)


def test_dense_network_behind_the_contract():
    """The contract names its layers as the package does."""
    assert to_layers([dense(2.0, 0.1)]) == (Dense(2.0, 0.1),)
