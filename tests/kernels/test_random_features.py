"""Random features: their mean and error, scikit-learn's checks, precision, refusals."""

import pickle
import tracemalloc
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_ntk import NNGPKernel, NTKKernel, NTKRandomFeatures
from sklearn_ntk.activations import Elementwise, Numerical, as_activation
from sklearn_ntk.finite._random_features import _directions, draw_features, shapes_of
from sklearn_ntk.layers import Conv

KERNELS = {"nngp": NNGPKernel, "ntk": NTKKernel}
each_kernel = pytest.mark.parametrize("kernel", KERNELS)


@pytest.mark.slow
@parametrize_with_checks(
    [
        NTKRandomFeatures(20),
        NTKRandomFeatures(20, kernel="ntk", depth=1, activation="erf", bias_var=0.0),
        NTKRandomFeatures(20, kernel="ntk", dtype="float32"),
    ]
)
def test_estimator_check(estimator, check):
    check(estimator)


def rows(n=30, d=4):
    return np.random.default_rng(0).normal(size=(n, d))


# --- Mean and error ------------------------------------------------------------------------------

COVERING = {("relu", 1, "ntk"), ("erf", 2, "ntk"), ("relu", 3, "nngp"), ("erf", 1, "nngp")}
"""Each activation, depth and kernel."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "activation, depth, kernel",
    [
        pytest.param(*case, marks=[pytest.mark.thorough] * (case not in COVERING))
        for case in product(("relu", "erf"), (1, 2, 3), KERNELS)
    ],
)
def test_error_falls_as_the_root_of_the_number(activation, depth, kernel):
    """Relative error of the matrix, root mean square of draws: a quarter for 16 times as many."""
    X, numbers = rows(), (24, 384)
    K = KERNELS[kernel](depth, activation)(X)
    errors = []
    for n in numbers:
        squares = []
        for seed in range(24):
            model = NTKRandomFeatures(n, kernel=kernel, depth=depth, activation=activation)
            F = model.set_params(random_state=seed).fit_transform(X)
            squares.append(np.sum((F @ F.T - K) ** 2) / np.sum(K**2))
        errors.append(np.sqrt(np.mean(squares)))
    assert 3.2 < errors[0] / errors[1] < 5.0
    assert errors[1] < (0.13 if kernel == "nngp" else 0.16)


def assert_mean(draw, expected):
    """The mean of 1500 draws is as expected, within four and a half standard errors."""
    rng = np.random.RandomState(0)
    draws = [F @ F.T for F in (draw(rng) for _ in range(1500))]
    error = np.std(draws, axis=0, ddof=1) / np.sqrt(len(draws))
    assert np.all(np.abs(np.mean(draws, axis=0) - expected) <= 4.5 * error + 1e-12)
    assert np.max(error) < 0.06 * np.max(expected)


@pytest.mark.slow
@each_kernel
@pytest.mark.parametrize(
    ("activation", "n", "bias_var"), [("relu", 3, 0.7), ("erf", 3, 0.7), ("sign", 9, 0.0)]
)
def test_unbiased_for_one_hidden_layer(activation, kernel, n, bias_var):
    X, act = rows(4), as_activation(activation)
    shapes = shapes_of(4, n, 1, bias_var > 0.0)

    def draw(rng):
        return draw_features(shapes, act, (1.5, bias_var), rng, kernel == "ntk", float).features(X)

    assert_mean(draw, KERNELS[kernel](1, act, 1.5, bias_var)(X))


@pytest.mark.slow
@each_kernel
def test_unbiased_given_the_layers_before(kernel):
    """The last layer on average makes of the features before what an infinitely wide one does."""
    X, weight_var, bias_var, n = rows(4), 1.5, 0.7, 6
    model = NTKRandomFeatures(n, kernel=kernel, activation="erf", random_state=1)
    network = model.set_params(weight_var=weight_var, bias_var=bias_var).fit(X)._network
    first = network.layers[0]
    t = network._replace(layers=[first]).features(X)
    z = network._replace(layers=[first._replace(sketch=None)]).features(X)
    hidden = z[:, :-1] * np.sqrt(n / weight_var)
    expected, NTK = (K(1, "erf", weight_var, bias_var)(hidden) for K in KERNELS.values())
    if kernel == "ntk":
        expected = expected + (NTK - expected) / (z @ z.T) * (t @ t.T)
    act, shapes = network.activation, [(n + 1, n)]

    def draw(rng):
        last = draw_features(shapes, act, (1.5, 0.7), rng, kernel == "ntk", float).layers
        return network._replace(layers=[first, *last]).features(X)

    assert_mean(draw, expected)


@pytest.mark.parametrize(("n_inputs", "n"), [(5, 12), (5, 3), (1, 4)])
def test_directions(n_inputs, n):
    """Orthogonal in blocks, all of the same length, in directions that average out."""
    rng = np.random.RandomState(0)
    W = _directions(rng, n_inputs, n)
    for start in range(0, n, n_inputs):
        block = W[:, start : start + n_inputs]
        assert_allclose(block.T @ block, n_inputs * np.eye(block.shape[1]), atol=1e-12)
    many = np.array([_directions(rng, n_inputs, n) for _ in range(1000)])
    assert np.abs(many.mean(axis=0)).max() < 4.5 / np.sqrt(1000)


# --- As a transformer ----------------------------------------------------------------------------


@each_kernel
def test_shapes_and_seeds(kernel):
    X = rows()
    model = NTKRandomFeatures(7, kernel=kernel, random_state=3)
    F = model.fit_transform(X)
    assert F.shape == (30, 8) and F.dtype == np.float64
    assert_array_equal(F[:, 7], 1.0)
    again = NTKRandomFeatures(7, kernel=kernel, random_state=3).fit(rows(2) + 1.0)
    assert_allclose(again.transform(X[:3]), F[:3], rtol=1e-13)  # other rows, the same network
    other = NTKRandomFeatures(7, kernel=kernel, random_state=4).fit_transform(X)
    assert np.abs(other - F).max() > 1.0
    assert_array_equal(pickle.loads(pickle.dumps(model)).transform(X), F)
    assert NTKRandomFeatures(7, kernel=kernel, bias_var=0.0).fit_transform(X).shape == (30, 7)


def test_names():
    pytest.importorskip("pandas")
    model = NTKRandomFeatures(2).set_output(transform="pandas")
    names = [f"ntkrandomfeatures{k}" for k in range(3)]
    assert list(model.fit_transform(rows()).columns) == names == list(model.get_feature_names_out())


@each_kernel
@pytest.mark.parametrize(
    "activation", ["relu", "erf", "tanh", "rbf", Numerical(np.arctan)], ids=str
)
def test_single_precision(kernel, activation):
    X = rows()
    model = NTKRandomFeatures(40, kernel=kernel, activation=activation, random_state=0)
    F = model.fit_transform(X.astype(np.float32))
    assert F.dtype == np.float64  # not by accident
    single = model.set_params(dtype="float32").fit_transform(X)
    assert single.dtype == np.float32
    for dtype in ("float32", "f4", np.float32, np.dtype("float32")):
        tags = model.set_params(dtype=dtype).__sklearn_tags__()
        assert tags.transformer_tags.preserves_dtype == ["float32"]
    assert_allclose(single, F, rtol=0, atol=1e-5 * np.abs(F).max())


@pytest.mark.slow
def test_parts_of_many_rows():
    """Rows are taken in parts, and results do not depend on them but for rounding."""
    X = rows(6000)
    model = NTKRandomFeatures(1000, depth=1, random_state=0).fit(X)
    F = model.transform(X)
    for start in (0, 2999, 5990):
        assert_allclose(F[start : start + 10], model.transform(X[start : start + 10]), atol=1e-13)


def test_memory_of_rows_of_many_columns(monkeypatch):
    """Rows in units of their mean square are copies, of a part of the rows at a time."""
    monkeypatch.setattr("sklearn_ntk._runtime.chunks.CHUNK", 2**16)
    X = np.ones((300, 2000))
    model = NTKRandomFeatures(2, depth=1, random_state=0).fit(X[:1])
    tracemalloc.start()
    try:
        F = model.transform(X)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.75 * X.nbytes
    assert_allclose(F, np.broadcast_to(F[0], F.shape))


# --- Refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"depth": 0}, "The 'depth' parameter of NTKRandomFeatures must be an int in the range"),
        ({"kernel": "auto"}, "The 'kernel' parameter of NTKRandomFeatures must be a str among"),
        ({"activation": "swiss"}, "Unknown activation 'swiss': choose one of"),
        ({"activation": Conv(3)}, "activation must be a name or an object of"),
        (
            {"activation": "exp_normalized"},
            r"activation ExpNormalized\(\) has no random features, as .*: take another one",
        ),
        (
            {"activation": Elementwise(None, lambda c, u, v: c)},
            "has no random features, as it has no function fn: take another one",
        ),
        ({"dtype": "int"}, "dtype must be 'float64' or 'float32'; got 'int'"),
    ],
)
def test_refusals(parameters, message):
    with pytest.raises((ValueError, TypeError), match=message):
        NTKRandomFeatures(5, **parameters).fit(rows())
    tags = NTKRandomFeatures(5, **parameters).__sklearn_tags__()
    assert tags.transformer_tags.preserves_dtype == ["float64"]


def test_refusals_of_rows():
    X = rows()
    model = NTKRandomFeatures(5, activation="exp", random_state=0).fit(X)
    with pytest.raises(ValueError, match=r"Features overflow for entries of X of up to .*: scale"):
        model.transform(1e4 * X)
    with pytest.raises(ValueError, match="Found array with dim 3"):
        model.fit(np.ones((2, 3, 3)))


def test_refusal_of_what_does_not_fit():
    with pytest.raises(MemoryError, match=r"hidden layers of 10000000 units needs .*: take fewer"):
        NTKRandomFeatures(10**7).fit(rows())
