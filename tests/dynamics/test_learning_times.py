"""Losses along training, how long it takes, and the largest stable learning rate."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from odd_values import is_one_sentence
from training import problem, stable

from sklearn_ntk.dynamics import Descent, Flow, HeavyBall, MomentumFlow, Nesterov, Training

METHODS = [Flow(), Descent(), HeavyBall(0.8), Nesterov(0.8), MomentumFlow(0.8)]
each_method = pytest.mark.parametrize("method", METHODS, ids=repr)
each_stepping = pytest.mark.parametrize("method", METHODS[1:4], ids=repr)
RIDGES = pytest.mark.parametrize("alpha", [0.0, 0.7])
CONSTANTS = pytest.mark.parametrize("fit_intercept", [True, False])


@each_method
@RIDGES
@CONSTANTS
def test_losses_are_those_of_the_predictions(method, alpha, fit_intercept):
    old, _, Y, start, _, weights = problem()
    K, times = old @ old.T, [0, 1, 5, 50, np.inf]
    training = stable(K, weights, alpha, method, fit_intercept, 0.5)
    values = training.predict(K, Y, times, start, start)
    expected = np.einsum("i,tij->t", weights, (values - Y) ** 2) / (2.0 * weights.sum())
    assert_allclose(training.losses(Y, times, start), expected, rtol=1e-9, atol=1e-12)
    assert_allclose(training.losses(Y, 5, start), expected[2], rtol=1e-9)
    least, greatest = training.loss_bounds(times)
    ratios = expected / expected[0]
    assert np.all(least - 1e-12 <= ratios) and np.all(ratios <= greatest + 1e-12)
    column = training.losses(Y[:, 0], 1) + training.losses(Y[:, 1], 1)
    assert_allclose(column, training.losses(Y, 1))


def test_bounds_of_the_flow():
    old, _, _, _, _, weights = problem()
    K, root = old @ old.T, np.sqrt(weights)
    values = np.linalg.eigvalsh(root[:, None] * K * root)
    training = Training(K, weights, learning_rate=0.3, fit_intercept=False)
    least, greatest = training.loss_bounds(0.2)
    for found, value in ((least, values[-1]), (greatest, values[0])):
        assert_allclose(found, np.exp(-2.0 * 0.3 * value * 0.2 / weights.sum()), rtol=1e-10)
    assert_allclose(training.learning_times(), weights.sum() / (0.3 * values), rtol=1e-10)


@pytest.mark.parametrize("method", [Flow(), Descent()], ids=repr)
@pytest.mark.parametrize(("alpha", "share"), [(0.0, 0.3), (0.5, 0.3), (0.0, 0.95)])
def test_time_to_a_loss(method, alpha, share):
    old, _, Y, start, _, weights = problem()
    training = stable(old @ old.T, weights, alpha, method, True, share)
    first, last = training.losses(Y, [0, np.inf], start)
    for part in (0.999999, 0.9, 0.5, 1e-3, 1e-9):
        loss = last + part * (first - last)
        time = training.time_to(Y, loss, start)
        if method == Flow():
            assert_allclose(training.losses(Y, time, start), loss, rtol=1e-7)
        else:
            losses = training.losses(Y, [time - 1.0, time], start)
            assert losses[1] <= loss < losses[0]
    assert training.time_to(Y, first, start) == training.time_to(Y, 2.0 * first, start) == 0.0
    assert training.time_to(Y, last, start) == np.inf
    if alpha:
        assert training.time_to(Y, 0.5 * last, start) == np.inf


@pytest.mark.slow
@pytest.mark.parametrize(
    "method, alpha, share",
    [
        *(
            (method, *case)
            for method in (Descent(), HeavyBall(), Nesterov())
            for case in ((0.0, 0.1), (0.5, 0.1), (0.5, 0.9))
        ),
        (MomentumFlow(), 0.0, 0.1),
        (MomentumFlow(), 0.5, 0.1),
        pytest.param(MomentumFlow(), 0.5, 0.9, marks=pytest.mark.thorough),
    ],
    ids=repr,
)
def test_first_time_of_losses_that_rise_and_fall(method, alpha, share):
    """None before is below, and all are beyond the end of the oscillations."""
    old, _, Y, start, _, weights = problem()
    training = stable(old @ old.T, weights, alpha, method, True, share)
    first, last = training.losses(Y, [0, np.inf], start)
    times = np.arange(2001.0) if method.calm < np.inf and not method.is_flow else None
    times = np.linspace(0.0, 200.0, 2001) if times is None else times
    losses = training.losses(Y, times, start)
    for part in (0.5, 1e-2, 1e-6):
        loss = last + part * (first - last)
        expected = times[np.flatnonzero(losses <= loss)[0]]
        found = training.time_to(Y, loss, start)
        spacing = times[1] if method.is_flow else 0.0
        assert expected - spacing <= found <= expected
        assert training.losses(Y, found, start) <= loss * (1.0 + 1e-9)
    assert training.time_to(Y, first, start) == 0.0
    assert training.time_to(Y, 0.5 * losses.min(), start) >= times[-1] or alpha == 0.0


@pytest.mark.parametrize("method", [Descent(), HeavyBall(0.0), Nesterov(0.5)], ids=repr)
def test_a_loss_that_is_reached_exactly(method):
    """Of an eigenvalue of one the first step leaves nothing, of `Nesterov` the second."""
    training = Training(2.0 * np.eye(2), method=method, fit_intercept=False)
    assert training.time_to([1.0, -3.0], 0.0) == 1.0 + (method == Nesterov(0.5))
    assert Training(2.0 * np.eye(2), fit_intercept=False).time_to([1.0, -3.0], 0.0) == np.inf


@each_stepping
@pytest.mark.parametrize("share", [1.0, 1.01])
def test_no_time_to_a_loss_without_an_end(method, share):
    K = np.diag([1.0, 0.1])
    largest = Training(K, None, 0.0, 1e-9, method, False).max_learning_rate
    with pytest.warns(RuntimeWarning, match="largest stable one"):
        training = Training(K, None, 0.0, share * largest, method, False)
    with pytest.raises(ValueError, match=r"time_to needs training that settles .* less than") as e:
        training.time_to([1.0, 1.0], 1e-3)
    assert is_one_sentence(e)


@each_method
def test_learning_times(method):
    """Late residuals fall by a factor e in that time, up to oscillations."""
    training = stable(np.diag([1e-3, 0.1, 1.0]), np.ones(3), 0.0, method, False, 0.4)
    for k, time in enumerate(training.learning_times()):
        late = np.ceil([12.0 * time, 24.0 * time])
        oscillations = np.unique(np.floor(np.linspace(0.0, 3.0 * time + 8.0, 200)))
        sizes = [
            np.max(np.sqrt(training.losses(np.eye(3)[k], instant + oscillations)))
            for instant in late
        ]
        ratio = -np.log(sizes[1] / sizes[0]) / (late[1] - late[0])
        assert_allclose(ratio * time, 1.0, rtol=0.05)
    nothing = Training(np.diag([1.0, 0.0]), method=method, learning_rate=0.1, fit_intercept=False)
    assert nothing.learning_times()[0] == np.inf


@each_stepping
@CONSTANTS
def test_largest_learning_rate(method, fit_intercept):
    """Just below it training settles, just beyond it diverges, with a warning that has it."""
    old, _, Y, _, _, weights = problem()
    given = old @ old.T, weights, 0.3
    largest = Training(*given, 1e-9, method, fit_intercept).max_learning_rate
    below = Training(*given, 0.99 * largest, method, fit_intercept)
    assert_allclose(below.losses(Y, 5000), below.losses(Y, np.inf), rtol=1e-6)
    with pytest.warns(RuntimeWarning, match=rf"beyond the largest .* {largest:.4g}: training div"):
        beyond = Training(*given, 1.01 * largest, method, fit_intercept)
    assert beyond.losses(Y, 500) > 1e3
    for time in (10**6, np.inf):
        with pytest.raises(ValueError, match=rf"diverge; .* less than {largest:.4g}") as error:
            beyond.coefficients(Y, time)
        assert is_one_sentence(error)
    with pytest.warns(RuntimeWarning, match="beyond the largest .* training never settles"):
        Training(*given, largest, method, fit_intercept)


def test_one_row_and_no_kernel():
    for method in METHODS:
        one = Training([[2.0]], method=method)
        assert one.max_learning_rate == np.inf and one.losses([3.0], 1) == 0.0
        assert_array_equal(one.loss_bounds([0, 1]), 0.0)
        assert_array_equal(one.predict([[1.0]], [3.0], [0, 1]), 3.0)
        assert len(one.learning_times()) == 0
        zero = Training(np.zeros((3, 3)), method=method, fit_intercept=False)
        assert zero.max_learning_rate == np.inf
        assert_array_equal(zero.predict(np.ones((1, 3)), np.ones(3), [0, 1, np.inf]), 0.0)
