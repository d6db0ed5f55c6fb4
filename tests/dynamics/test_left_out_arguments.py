"""What training in time takes, and how it refuses the rest: in one sentence."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from odd_values import NO_NUMBERS, K, is_one_sentence

from sklearn_ntk import NTKKernel, NTKRegressor
from sklearn_ntk.dynamics import Training

pd = pytest.importorskip("pandas")

# --- Training in time -----------------------------------------------------------------------------

Y = np.array([[1.0, 0.0], [2.0, 5.0], [4.0, 3.0]])
METHODS = {
    "coefficients": lambda flow, Y, time: flow.coefficients(Y, time)[0],
    "intercept": lambda flow, Y, time: flow.coefficients(Y, time)[1],
    "residuals": lambda flow, Y, time: flow.residuals(Y, time),
    "left_out": lambda flow, Y, time: flow.left_out(np.ones((2, flow._n)), Y, time),
    "rotated": lambda flow, Y, time: flow.rotated(Y, time),
}
each_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


@each_method
def test_targets_keep_their_axes(method):
    flow = Training(K)
    expected = method(flow, Y, 0.3)
    for k in (0, 1):
        column = method(flow, Y[:, k], 0.3)
        assert np.shape(column) == expected.shape[:-1]
        assert_allclose(column, expected[..., k], rtol=1e-12)
    assert_array_equal(method(flow, Y.tolist(), 0.3), expected)
    assert_array_equal(method(flow, pd.DataFrame(Y), 0.3), expected)
    assert_array_equal(method(flow, Y[:, 0].astype(int), 0.3), method(flow, Y[:, 0], 0.3))
    assert_array_equal(method(flow, np.asfortranarray(Y), np.float32(0.5)), method(flow, Y, 0.5))
    one = Training([[2.0]])
    assert np.shape(method(one, [3.0], 1.0)) == np.shape(method(one, [[3.0]], 1.0))[:-1]


def test_trained_predictions():
    """The example that came out as nonsense: one column of targets."""
    rows = np.arange(5.0)[:, None]
    flow = Training(NTKKernel(1)(rows))
    dual, intercept = flow.coefficients(rows[:, 0], 10.0)
    assert dual.shape == (5,) and np.ndim(intercept) == 0
    model = NTKRegressor(NTKKernel(1), training_time=10.0).fit(rows, rows[:, 0])
    assert_allclose(NTKKernel(1)(rows) @ dual + intercept, model.predict(rows), rtol=1e-10)


@each_method
@pytest.mark.parametrize(
    "targets",
    [*(y for name, y in NO_NUMBERS.items() if name != "set"), Y[:2], Y[:, :, None], 1.0, []],
)
def test_no_targets(method, targets):
    with pytest.raises(ValueError, match=r"Y must be an array \(3,\) or \(3, k\) of fi") as error:
        method(Training(K), targets, 1.0)
    assert is_one_sentence(error)


@pytest.mark.parametrize("time", [-1.0, np.nan, "1", None, [1.0], True, 1j, pd.NA, 10**400])
def test_no_time(time):
    flow = Training(K)
    methods = [lambda flow, _, time: flow.variances(time)]
    methods += [lambda flow, _, time: flow.reduction(K, time)]
    methods += [METHODS[name] for name in METHODS if time != [1.0] or name[0] == "r"]
    for method in methods:
        with pytest.raises(ValueError, match="time must be a number >= 0; got") as error:
            method(flow, Y, time)
        assert is_one_sentence(error)


@each_method
def test_infinite_time_is_the_end(method):
    flow = Training(K, alpha=0.1)
    for end in (np.inf, np.array(np.inf)):
        assert_allclose(method(flow, Y, end), method(flow, Y, 1e12), rtol=1e-6, atol=1e-9)


def test_weights():
    expected = Training(K, np.array([1.0, 2.0, 3.0])).coefficients(Y, 1.0)[0]
    for weights in ([1, 2, 3], pd.Series([1, 2, 3]), (1.0, 2.0, 3.0)):
        assert_array_equal(Training(K.tolist(), weights).coefficients(Y, 1.0)[0], expected)


@pytest.mark.parametrize(
    "weights",
    [
        [0, 1, 1],
        [-1, 1, 1],
        [1, 1],
        [[1], [1], [1]],
        2.0,
        [np.nan, 1, 1],
        ["1", "1", "1"],
        [1j] * 3,
    ],
    ids=str,
)
def test_no_weights(weights):
    with pytest.raises(ValueError, match=r"weights must be an array \(3,\) of positive n") as error:
        Training(K, weights)
    assert is_one_sentence(error)


@pytest.mark.parametrize(
    "matrix",
    [*NO_NUMBERS.values(), K[:2], K[0], np.triu(K), K[None], np.ones((0, 0)), 2.0],
)
def test_no_gram_matrix(matrix):
    with pytest.raises(ValueError, match=r"K must be a symmetric array \(n, n\) of fin") as error:
        Training(matrix)
    assert is_one_sentence(error)


def test_rounding_is_symmetric_enough():
    shifted = K * (1.0 + 1e-12 * np.arange(3.0))
    assert_allclose(Training(shifted).variances(1.0), Training(K).variances(1.0), rtol=1e-6)


@pytest.mark.parametrize(
    "number", [-1.0, np.nan, np.inf, None, "1", [1.0], True, 1j, pd.NA, 10**400]
)
def test_no_ridge_and_no_rate(number):
    with pytest.raises(ValueError, match="alpha must be a finite number >= 0; got") as error:
        Training(K, alpha=number)
    assert is_one_sentence(error)
    for rate in (number, 0.0):
        with pytest.raises(ValueError, match="learning_rate must be a finite number > 0; got"):
            Training(K, learning_rate=rate)


def test_cross():
    flow = Training(K)
    expected = flow.reduction(K[:2], 1.0)
    for found, part in zip(flow.reduction(K[:2].tolist(), 1), expected, strict=True):
        assert_array_equal(found, part)
    for cross in (K[0], K[:, :2], None, [["a"] * 3], [[np.nan] * 3]):
        with pytest.raises(ValueError, match=r"cross must be an array \(m, 3\) of fin") as error:
            flow.reduction(cross, 1.0)
        assert is_one_sentence(error)
