"""Finite networks over positions: forward passes in plain NumPy, gradients by differences."""

import finite_positions
import numpy as np
import pytest
from finite_positions import LAYERS, draw, empirical_kernels
from numpy.lib.stride_tricks import sliding_window_view
from numpy.testing import assert_allclose

IMAGE, SEQUENCE = ("input", {"shape": (4, 3, 2)}), ("input", {"shape": (4, 2)})
DENSE = ("dense", {"weight_var": 1.3, "bias_var": 0.2})
FROZEN = ("dense", {"weight_var": 1.3, "bias_var": 0.2, "frozen": True})
ERF, RELU = ("activation", {"name": "erf"}), ("activation", {"name": "relu"})
AVERAGE, FLATTEN, NORM = ("global_avg_pool", {}), ("flatten", {}), ("layer_norm", {})


def normal(shape):
    """Random entries, the same ones in whatever order tests run."""
    return np.random.default_rng(0).standard_normal(shape)


def conv(filter_size, padding="same", **others):
    variances = {"weight_var": 1.4, "bias_var": 0.3}
    return ("conv", {"filter_size": filter_size, "padding": padding, **variances, **others})


def conv_transpose(filter_size, padding="same", **others):
    return ("conv_transpose", conv(filter_size, padding, **others)[1])


def attention(mechanism="softmax", scaling="linear", **others):
    variances = dict(query_var=1.7, key_var=0.8, value_var=1.2, out_var=0.9, bias_var=0.3)
    return ("self_attention", {**variances, "mechanism": mechanism, "scaling": scaling, **others})


def recurrent(name="erf", **others):
    variances = {"weight_var": 1.4, "recurrent_var": 0.8, "bias_var": 0.2}
    return ("recurrent", {"activation": name, **variances, **others})


class Recorder:
    """Stands in for a random generator: returns given parameters, or draws and records them."""

    def __init__(self, parameters=None):
        self.given = parameters
        self.drawn = []
        self.rng = np.random.default_rng(1)

    def standard_normal(self, shape):
        """The next parameters."""
        if self.given is None:
            self.drawn.append(self.rng.standard_normal(shape))
        else:
            start = sum(block.size for block in self.drawn)
            self.drawn.append(self.given[start : start + np.prod(shape)].reshape(shape))
        return self.drawn[-1]


# --- Gradients ------------------------------------------------------------------------------------

EMBEDDING = {"var": 0.7, "length_scale": 1.5}
# Each network with the matrices of parameters, in the order in which they are drawn, not trained.
NETWORKS = {
    "conv": ([IMAGE, conv((3, 2)), ERF, conv(2, "valid"), ERF, FLATTEN, DENSE], ()),
    "circular": ([IMAGE, conv(3, "circular", strides=(1, 2)), ERF, FLATTEN, DENSE], ()),
    "transposed": (
        [SEQUENCE, conv_transpose(3, strides=2), ERF, conv_transpose(4, "valid"), FLATTEN, DENSE],
        (),
    ),
    "transposed circular": (
        [IMAGE, conv(2), ERF, conv_transpose((1, 3), "circular", strides=(1, 2)), AVERAGE, DENSE],
        (),
    ),
    "frozen": ([SEQUENCE, conv(3), ERF, conv(2, frozen=True), ERF, AVERAGE, DENSE], (1,)),
    "frozen dense": ([SEQUENCE, FROZEN, ERF, conv(2), AVERAGE, FROZEN], (0, 2)),
    "averages": (
        [IMAGE, conv(2), RELU, ("avg_pool", {"window": 2, "strides": 1}), DENSE, AVERAGE, DENSE],
        (),
    ),
    "sums": (
        [
            *[IMAGE, conv(2), ERF, ("sum_pool", {"window": (3, 2), "padding": "same"}), DENSE],
            *[ERF, ("global_sum_pool", {}), DENSE],
        ],
        (),
    ),
    "norm": ([SEQUENCE, conv(2), NORM, ERF, conv(2), NORM, FLATTEN, DENSE], ()),
    "residual": (
        [
            *[SEQUENCE, DENSE, ("residual", {"body": [ERF, conv(3)]})],
            *[("residual", {"body": [ERF, conv(3, strides=2)], "shortcut": [conv(1, strides=2)]})],
            *[ERF, FLATTEN, DENSE],
        ],
        (),
    ),
    "embedding": ([IMAGE, DENSE, ("positional_embedding", EMBEDDING), ERF, AVERAGE, DENSE], ()),
    "frozen embedding": (
        [
            *[SEQUENCE, DENSE, ("positional_embedding", {**EMBEDDING, "frozen": True})],
            *[ERF, AVERAGE, DENSE],
        ],
        (1,),
    ),
    **{
        f"attention, {name}": ([SEQUENCE, DENSE, attention(name), ERF, AVERAGE, DENSE], ())
        for name in ("softmax", "identity", "relu", "abs")
    },
    "attention over an image": ([IMAGE, attention(), ERF, FLATTEN, DENSE], ()),
    "random scores": ([SEQUENCE, DENSE, attention("identity", "sqrt"), ERF, AVERAGE, DENSE], ()),
    "frozen attention": ([SEQUENCE, DENSE, attention(frozen=True), AVERAGE, DENSE], (1, 2, 3)),
    "last state": ([SEQUENCE, recurrent(), DENSE], ()),
    "all states": ([SEQUENCE, conv(2), recurrent(return_sequences=True), AVERAGE, DENSE], ()),
    "two of them": (
        [SEQUENCE, recurrent("tanh", return_sequences=True), recurrent("relu"), DENSE],
        (),
    ),
    "frozen states": (
        [SEQUENCE, DENSE, recurrent(return_sequences=True, frozen=True), FLATTEN, DENSE],
        (1,),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients(name):
    network, frozen = NETWORKS[name]
    X = normal((3, np.prod(network[0][1]["shape"])))
    recorder = Recorder()
    _, _, ntk = draw(network, X, 4, recorder)
    trained = [np.full(x.size, i not in frozen) for i, x in enumerate(recorder.drawn)]
    parameters = np.concatenate([x.ravel() for x in recorder.drawn])
    differences = [
        [draw(network, X, 4, Recorder(parameters + sign * change))[0] for sign in (1, -1)]
        for change in 1e-5 * np.eye(len(parameters))[np.concatenate(trained)]
    ]
    above, below = np.swapaxes(differences, 0, 1)
    gradients = (above - below) / 2e-5
    assert_allclose(ntk, gradients.T @ gradients, rtol=1e-7)


# --- Forward passes -------------------------------------------------------------------------------


def forward(layer, rows, width=5):
    """Result of a layer, and the parameters it drew."""
    kind, parameters = layer
    recorder = Recorder()
    return LAYERS[kind](rows, recorder, width, **parameters)[0], recorder.drawn


@pytest.mark.parametrize(
    ("filter_size", "strides", "padding", "before", "after"),
    [
        ((3, 3), 1, "same", (1, 1), (1, 1)),
        ((2, 4), 1, "same", (0, 1), (1, 2)),
        ((3, 3), 2, "same", (1, 0), (1, 1)),
        ((4, 1), (3, 2), "same", (1, 0), (1, 0)),
        (1, 2, "same", (0, 0), (0, 0)),
        ((3, 2), 1, "circular", (1, 0), (1, 1)),
        ((3, 3), (2, 3), "circular", (1, 1), (1, 1)),
        ((3, 2), (2, 1), "valid", (0, 0), (0, 0)),
    ],
)
def test_convolution(filter_size, strides, padding, before, after):
    """Windows of padded rows."""
    rows = normal((2, 5, 4, 3))
    layer = conv(filter_size, padding, strides=strides)
    actual, [weights] = forward(layer, rows)
    mode = "wrap" if padding == "circular" else "constant"
    padded = np.pad(rows, ((0, 0), *zip(before, after, strict=True), (0, 0)), mode=mode)
    filter_size, strides = (np.broadcast_to(value, 2) for value in (filter_size, strides))
    seen = sliding_window_view(padded, filter_size, (1, 2))[:, :: strides[0], :: strides[1]]
    filters = weights[:-1].reshape(*filter_size, 3, 5)
    expected = np.einsum("nijcab,abco->nijo", seen, filters)
    expected = np.sqrt(1.4 / (3 * np.prod(filter_size))) * expected + np.sqrt(0.3) * weights[-1]
    assert_allclose(actual, expected, rtol=1e-12, atol=1e-14)


def test_convolution_of_a_sequence():
    rows = normal((2, 4, 1, 3))
    image, _ = forward(conv((3, 1), "circular", strides=(2, 1)), rows)
    sequence, _ = forward(conv(3, "circular", strides=2), rows[:, :, 0])
    assert_allclose(sequence, image[:, :, 0], rtol=1e-13)


@pytest.mark.parametrize(
    ("filter_size", "strides", "before", "after"),
    [
        ((3, 2), 1, (1, 0), (1, 1)),
        ((3, 4), 2, (0, 1), (1, 1)),
        ((5, 2), (2, 3), (1, 0), (2, 0)),
        ((1, 2), (1, 2), (0, 0), (0, 0)),
    ],
)
def test_transposed_convolution(filter_size, strides, before, after):
    """Each input position adds a copy of the filter; the border is cut off, or wraps around."""
    rows, window = normal((2, 4, 3, 3)), np.array(filter_size)
    steps = np.broadcast_to(strides, 2)
    layer = conv_transpose(filter_size, "valid", strides=strides)
    actual, [weights] = forward(layer, rows)
    filters = weights[:-1].reshape(*filter_size, 3, 5)
    full = np.zeros((2, *((4, 3) * steps + np.maximum(window - steps, 0)), 5))
    for i, j in np.ndindex(4, 3):
        place = tuple(
            slice(p * s, p * s + w) for p, s, w in zip((i, j), steps, window, strict=True)
        )
        full[:, *place] += np.einsum("nc,abco->nabo", rows[:, i, j], filters)
    scale, bias = np.sqrt(1.4 / (3 * window.prod())), np.sqrt(0.3) * weights[-1]
    assert_allclose(actual, scale * full + bias, rtol=1e-12, atol=1e-14)

    cut = tuple(slice(b, n - a) for b, a, n in zip(before, after, full.shape[1:3], strict=True))
    actual, _ = forward(conv_transpose(filter_size, strides=strides), rows)
    assert_allclose(actual, (scale * full + bias)[:, *cut], rtol=1e-12, atol=1e-14)
    ring = np.zeros_like(actual)
    for i, j in np.ndindex(*full.shape[1:3]):
        ring[:, (i - before[0]) % ring.shape[1], (j - before[1]) % ring.shape[2]] += full[:, i, j]
    actual, _ = forward(conv_transpose(filter_size, "circular", strides=strides), rows)
    assert_allclose(actual, scale * ring + bias, rtol=1e-12, atol=1e-14)


def test_pooling():
    rows = normal((2, 6, 4, 3))
    blocks = rows.reshape(2, 3, 2, 2, 2, 3)
    for kind, by in (("avg_pool", 4), ("sum_pool", 1)):
        actual, _ = forward((kind, {"window": 2}), rows)
        assert_allclose(actual, blocks.sum(axis=(2, 4)) / by, rtol=1e-12, atol=1e-14)
        actual, _ = forward((kind, {"window": (3, 1), "strides": 1, "padding": "same"}), rows)
        around = np.pad(rows, ((0, 0), (1, 1), (0, 0), (0, 0)))
        expected = (around[:, :-2] + around[:, 1:-1] + around[:, 2:]) / (3 if by == 4 else 1)
        assert_allclose(actual, expected, rtol=1e-12, atol=1e-14)
    assert_allclose(forward(AVERAGE, rows)[0], rows.mean(axis=(1, 2)), rtol=1e-12)
    assert_allclose(forward(("global_sum_pool", {}), rows)[0], rows.sum(axis=(1, 2)), rtol=1e-12)
    assert_allclose(forward(FLATTEN, rows)[0], rows.reshape(2, -1), rtol=0)


def test_norm():
    rows, _ = forward(NORM, 3 + 2 * normal((2, 4, 30)))
    assert_allclose(rows.mean(axis=-1), 0, atol=1e-14)
    assert_allclose((rows**2).mean(axis=-1), 1, rtol=1e-12)


@pytest.mark.parametrize("length_scale", [None, 1.5])
def test_embedding_has_its_covariance(length_scale):
    parameters = {"var": 0.7, "length_scale": length_scale}
    rows, _ = forward(("positional_embedding", parameters), np.zeros((2, 2, 3, 100_000)))
    assert_allclose(rows[0], rows[1], rtol=0)
    places = [(i, j) for i in range(2) for j in range(3)]
    squares = np.array([[(a - c) ** 2 + (b - d) ** 2 for c, d in places] for a, b in places])
    expected = 0.7 * (np.eye(6) if length_scale is None else np.exp(-squares / (2 * 1.5**2)))
    e = rows[0].reshape(6, -1)
    assert_allclose(e @ e.T / e.shape[1], expected, atol=0.7 * 5 * np.sqrt(2 / e.shape[1]))


@pytest.mark.parametrize("mechanism", ["softmax", "identity", "relu", "abs"])
def test_attention(mechanism):
    """Attention of each position by a loop; queries and keys have the same weights."""
    rows = normal((2, 4, 3))
    actual, (keys, values, out) = forward(attention(mechanism), rows)
    for x, result in zip(rows, actual, strict=True):
        k, v = x @ keys[:-1] / np.sqrt(3), np.sqrt(1.2 / 3) * x @ values[:-1]
        for a in range(4):
            scores = np.array([np.sqrt(1.7 * 0.8) * k[a] @ k[b] / 5 for b in range(4)])
            weights = {
                "softmax": np.exp(scores) / np.exp(scores).sum(),
                "identity": scores,
                "relu": np.maximum(scores, 0),
                "abs": np.abs(scores),
            }[mechanism]
            z = sum(weights[b] * v[b] for b in range(4))
            assert_allclose(result[a], np.sqrt(0.9 / 5) * z @ out[:-1] + np.sqrt(0.3) * out[-1])


def test_attention_with_random_scores():
    """Attention with two heads by a loop."""
    rows = normal((2, 4, 3))
    actual, (keys, queries, values, out) = forward(attention("identity", "sqrt"), rows, 8)
    expected = np.sqrt(0.3) * out[-1] + np.zeros((2, 4, 8))
    for head in np.split(np.arange(8), 2):
        k, q = (np.sqrt(v / 3) * rows @ w[:-1, head] for v, w in ((0.8, keys), (1.7, queries)))
        v = np.sqrt(1.2 / 3) * rows @ values[:-1, head]
        z = np.einsum("nac,nbc,nbd->nad", q, k, v) / np.sqrt(len(head))
        expected += np.sqrt(0.9 / 8) * z @ out[:-1][head]
    assert finite_positions.HEAD_WIDTH == 4
    assert_allclose(actual, expected, rtol=1e-12)


def test_recurrence():
    """Recurrence by a loop over time steps."""
    rows = normal((2, 4, 3))
    states, [weights] = forward(recurrent("tanh", return_sequences=True), rows)
    W, U, b = weights[:5], weights[5:8], weights[8]
    h = np.zeros((2, 5))
    for t in range(4):
        h = np.tanh(np.sqrt(0.8 / 5) * h @ W + np.sqrt(1.4 / 3) * rows[:, t] @ U + np.sqrt(0.2) * b)
        assert_allclose(states[:, t], h, rtol=1e-12)
    assert_allclose(forward(recurrent("tanh"), rows)[0], h, rtol=1e-12)


# --- Averages -------------------------------------------------------------------------------------


def test_averages_of_a_linear_network():
    """Its expected kernels are those of the limit: weight_var / (CF) times sums over windows."""
    network = [SEQUENCE, conv(2, "valid"), AVERAGE, DENSE]
    X = normal((3, 8))
    nngp, ntk, *errors = empirical_kernels(network, X, width=300, n_networks=30)
    rows = X.reshape(3, 4, 2)
    means = np.concatenate([rows[:, :-1], rows[:, 1:]], axis=2).mean(axis=1)
    hidden = 1.4 * means @ means.T / 4 + 0.3
    for mean, limit, error in zip(
        (nngp, ntk), (1.3 * hidden + 0.2, 2 * 1.3 * hidden + 0.2), errors, strict=True
    ):
        assert np.all(np.abs(mean - limit) <= 5 * error)
        assert np.all(error <= 0.03 * limit.diagonal().max())


def test_equal_seeds_give_equal_results():
    X = normal((3, 8))
    network = [SEQUENCE, recurrent(), DENSE]
    first, again = (empirical_kernels(network, X, 20, 3, seed=4) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, empirical_kernels(network, X, 20, 3, seed=5))
